"""Token buckets per peer and message class (network.md 7): what one peer may ask of the edge.

All arithmetic is on integers: a bucket holds millionths of a token, so that `per_s` tokens a second are exactly
`per_s` millionths a microsecond, and the same inputs give the same answers everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MICRO = 1_000_000

TRANSFERS, ACCOUNTS, RECEIPTS = "transfers", "accounts", "receipts"
"""Message classes: transfers submitted, accounts asked for or subscribed, receipts asked for."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A bucket's measure: `per_s` tokens a second, at most `burst` saved up; both >= 1."""

    per_s: int
    burst: int


DEFAULT_RATES: Mapping[str, Rate] = {
    TRANSFERS: Rate(5_000, 20_000),
    ACCOUNTS: Rate(500, 8_192),
    RECEIPTS: Rate(200, 2_000),
}
"""What one peer may do by default; the transfers' burst lets a queue of 10,000 offline payments pass at once."""


class Rates:
    """The buckets of all peers that are up.

    Args:
        rates: measure of each class.
    """

    def __init__(self, rates: Mapping[str, Rate]) -> None:
        self._rates = dict(rates)
        self._buckets: dict[tuple[bytes, str], tuple[int, int]] = {}  # millionths of a token, and as of when

    def take(self, now_us: int, peer: bytes, kind: str, count: int) -> int:
        """Take up to `count` tokens of class `kind`; return how many there were."""
        rate = self._rates[kind]
        full = rate.burst * MICRO
        level, since_us = self._buckets.get((peer, kind), (full, now_us))
        level = min(full, level + (now_us - since_us) * rate.per_s)
        granted = min(count, level // MICRO)
        self._buckets[peer, kind] = (level - granted * MICRO, now_us)
        return granted

    def forget(self, peer: bytes) -> None:
        """Drop the buckets of a peer that is gone.

        A peer gets full buckets by connecting again; the handshake costs it more than that gains (network.md 7:
        handshakes are limited per address).
        """
        for kind in self._rates:
            self._buckets.pop((peer, kind), None)
