"""The bounds of one edge, as its core takes them (network.md 7, N2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from supervm.common.parts.buckets import Rate
from supervm.common.parts.costs import CostClass

from .budgets import DEFAULT_RATES


@dataclass(frozen=True, slots=True)
class EdgeOptions:
    """What an operator of an L3 may set.

    Attributes:
        cache_bytes_max: bytes of cached proofs and their checkpoints.
        store_max: transfers that wait for their fate; one peer may fill half of it.
        subscriptions_max: accounts that one connection may subscribe.
        rates: what one peer may ask, by message class.
    """

    cache_bytes_max: int = 32 << 20
    store_max: int = 65_536
    subscriptions_max: int = 4_096
    rates: Mapping[CostClass, Rate] = field(default_factory=lambda: DEFAULT_RATES)
