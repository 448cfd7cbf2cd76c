"""What peers of a phone may cost it (docs/messages.md, Budgets): units are microseconds of one core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from supervm.common.parts.buckets import Rate
from supervm.common.parts.manners import Budget, Rank

BUDGETS: Final[Mapping[Rank, Budget]] = {
    Rank.MEMBER: Budget({}),
    Rank.NAMED: Budget({"link": Rate(5_000, 100_000), "answers": Rate(100_000, 10_000_000)}),
    Rank.STRANGER: Budget({"link": Rate(1_000, 10_000), "answers": Rate(1_000, 10_000)}),
}
"""Rank -> budget: a phone talks to the edges that it has dialled, and to nobody else."""
