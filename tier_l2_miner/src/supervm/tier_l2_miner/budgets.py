"""What peers of a miner may cost it (docs/messages.md, Budgets): units are microseconds of one core."""

from __future__ import annotations

from collections.abc import Mapping

from supervm.common.parts.buckets import Rate
from supervm.common.parts.costs import ACCOUNT, TRANSACTION
from supervm.common.parts.manners import Budget, Rank

from .options import MinerOptions


def budgets(options: MinerOptions) -> Mapping[Rank, Budget]:
    """Return the budgets by rank: edges submit and ask, validators answer and vote; anybody else has nothing to say."""
    questions = options.query_rate * ACCOUNT
    edge, other = options.submit_rate_edge * TRANSACTION, options.submit_rate_other * TRANSACTION
    return {
        Rank.MEMBER: Budget(
            {
                "link": Rate(20_000, 200_000),
                "answers": Rate(200_000, 4_000_000),
                "batches": Rate(400_000, 4_000_000),
                "history": Rate(200_000, 2_000_000),
                "consensus": Rate(20_000, 200_000),
            }
        ),
        Rank.NAMED: Budget(
            {
                "link": Rate(50_000, 500_000),
                "transactions": Rate(edge, 2 * edge),
                "accounts": Rate(questions, 2 * questions),
                "receipts": Rate(questions, 2 * questions),
                "history": Rate(20_000, 200_000),
            },
            together=Rate(700_000, 7_000_000),
        ),
        Rank.STRANGER: Budget(
            {
                "link": Rate(2_000, 20_000),
                "transactions": Rate(other, 2 * other),
                "accounts": Rate(questions, 2 * questions),
                "receipts": Rate(questions, 2 * questions),
                "answers": Rate(50_000, 8_000_000),
                "batches": Rate(50_000, 8_000_000),
                "history": Rate(20_000, 200_000),
                "consensus": Rate(2_000, 20_000),
            },
            together=Rate(100_000, 8_000_000),
            peers_max=256,
        ),
    }
