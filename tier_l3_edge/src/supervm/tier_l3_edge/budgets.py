"""What peers of an edge may cost it (docs/messages.md, Budgets): units are microseconds of one core.

Clients are strangers to an edge, and they are whom it is there for: each has rates that its owner sets, in
transactions, accounts and receipts, and all of them together have most of a core, so that the miners' answers still get
through.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from supervm.common.parts.buckets import Rate
from supervm.common.parts.costs import ACCOUNT, TRANSACTION, CostClass
from supervm.common.parts.manners import Budget, Rank

RECEIPT: Final = 200
"""A receipt asked for: an edge passes the question on."""
EACH: Final[Mapping[CostClass, int]] = {"transactions": TRANSACTION, "accounts": ACCOUNT, "receipts": RECEIPT}
"""Units of one thing of each class that a client is granted by number."""


def budgets(rates: Mapping[CostClass, Rate]) -> Mapping[Rank, Budget]:
    """Return the budgets by rank; `rates` are those of one client, in things, not in units."""
    of_client = {
        cost_class: Rate(rate.per_s * EACH[cost_class], rate.burst * EACH[cost_class])
        for cost_class, rate in rates.items()
    }
    return {
        Rank.MEMBER: Budget({}),
        Rank.NAMED: Budget({"link": Rate(20_000, 200_000), "answers": Rate(500_000, 20_000_000)}),
        Rank.STRANGER: Budget(
            {**of_client, "link": Rate(20_000, 200_000), "history": Rate(5_000, 50_000)},
            together=Rate(700_000, 7_000_000),
        ),
    }
