"""What peers of an L1 may cost it (docs/messages.md, Budgets): units are microseconds of one core.

Catching up and batches are refunded as far as they turn out to be of use, so their rates bound what is useless: blocks
that are known, batches of transactions that cannot run. Strangers - other L1 nodes that follow, or whose set has not
come yet - share a twentieth of a core.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from supervm.common.parts.buckets import Rate
from supervm.common.parts.manners import Budget, Rank

BUDGETS: Final[Mapping[Rank, Budget]] = {
    Rank.MEMBER: Budget(
        {
            "link": Rate(20_000, 200_000),
            "answers": Rate(50_000, 1_000_000),
            "batches": Rate(50_000, 1_000_000),
            "history": Rate(200_000, 2_000_000),
            "consensus": Rate(100_000, 1_000_000),
        }
    ),
    Rank.NAMED: Budget(
        {
            "link": Rate(20_000, 200_000),
            "accounts": Rate(60_000, 600_000),
            "receipts": Rate(60_000, 600_000),
            "answers": Rate(50_000, 1_000_000),
            "batches": Rate(50_000, 3_000_000),
            "history": Rate(200_000, 2_000_000),
            "consensus": Rate(20_000, 200_000),
        }
    ),
    Rank.STRANGER: Budget(
        {
            "link": Rate(2_000, 20_000),
            "answers": Rate(20_000, 1_000_000),
            "batches": Rate(5_000, 50_000),
            "history": Rate(25_000, 250_000),
            "consensus": Rate(5_000, 50_000),
        },
        together=Rate(50_000, 500_000),
        peers_max=64,
    ),
}
"""Rank -> budget."""
