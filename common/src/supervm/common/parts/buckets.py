"""Token buckets: how much of something a peer may have at once and per second (network.md 7).

All arithmetic is on integers: a bucket holds millionths of a token, so that `per_s` tokens a second are exactly
`per_s` millionths a microsecond, and the same inputs give the same answers everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MICRO: Final = 1_000_000
DEBT_US_MAX: Final = 10_000_000
"""A bucket owes at most what flows into it in this time, so nobody is kept waiting for longer."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A bucket's measure: `per_s` tokens a second, at most `burst` saved up; both >= 1."""

    per_s: int
    burst: int


class Bucket:
    """One bucket; it starts full.

    Tokens are either *granted* as far as they are there (`take`), or *charged* whether they are there or not
    (`charge`): what is charged beyond the level is a debt, and `ready_us` says when it is paid off.

    What flows in is added only when the level does not suffice, and is capped then; so a bucket may give up to twice
    its burst at once after a pause, and a charge that it can bear costs one subtraction.

    Args:
        rate: its measure.
        now_us: the time now.
    """

    __slots__ = ("_burst", "_debt", "_level", "_per_s", "_then_us")

    def __init__(self, rate: Rate, now_us: int) -> None:
        self._per_s = rate.per_s
        self._burst = rate.burst * MICRO
        self._debt = rate.per_s * DEBT_US_MAX
        self._level = self._burst
        self._then_us = now_us

    def charge(self, now_us: int, tokens: int) -> bool:
        """Take tokens whether they are there or not; return whether they were."""
        level = self._level - tokens * MICRO
        if level < 0:
            elapsed_us = max(0, now_us - self._then_us)
            level = min(self._burst, self._level + elapsed_us * self._per_s) - tokens * MICRO
            self._then_us = now_us
            if level < -self._debt:
                level = -self._debt
        self._level = level
        return level >= 0

    def is_short(self, now_us: int) -> bool:
        """Return whether there is a debt."""
        return self._level < 0 and self._level + max(0, now_us - self._then_us) * self._per_s < 0

    def ready_us(self, now_us: int) -> int:
        """Return when no debt is left: now, or later."""
        if self._level >= 0:
            return now_us
        return max(now_us, self._then_us - self._level // self._per_s)

    def take(self, now_us: int, count: int, *, each: int = 1) -> int:
        """Take up to `count` things of `each` tokens; return how many there was enough for."""
        self._level = min(self._burst, self._level + max(0, now_us - self._then_us) * self._per_s)
        self._then_us = now_us
        granted = max(0, min(count, self._level // (each * MICRO)))
        self._level -= granted * each * MICRO
        return granted

    def refund(self, tokens: int) -> None:
        """Give back tokens that were charged for what turned out to be of use."""
        self._level = min(self._burst, self._level + tokens * MICRO)
