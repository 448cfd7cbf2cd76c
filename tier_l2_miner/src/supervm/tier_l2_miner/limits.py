"""Holding peers to their share: token buckets and a penalty score that decays (network.md 7)."""

from __future__ import annotations

PENALTY_MAX = 100
"""Score at which a peer is hung up on."""
PENALTY_DECAY_US = 100_000
"""Time in which one point of penalty is forgiven."""


class TokenBucket:
    """Lets `rate` tokens per second through, and up to `burst` at once. Integers only.

    Args:
        rate: tokens per second, at least 1.
        burst: size of the bucket; it starts full.
        now_us: the time now.
    """

    __slots__ = ("_burst", "_millionths", "_rate", "_then_us")

    def __init__(self, rate: int, burst: int, now_us: int) -> None:
        self._rate = rate
        self._burst = burst * 1_000_000
        self._millionths = self._burst
        self._then_us = now_us

    def take(self, count: int, now_us: int) -> int:
        """Take up to `count` tokens and return how many were there."""
        self._millionths = min(self._burst, self._millionths + (now_us - self._then_us) * self._rate)
        self._then_us = now_us
        granted = min(count, self._millionths // 1_000_000)
        self._millionths -= granted * 1_000_000
        return granted


class PenaltyScore:
    """Penalties of one peer, forgiven with time."""

    __slots__ = ("_points", "_then_us")

    def __init__(self, now_us: int) -> None:
        self._points = 0
        self._then_us = now_us

    def add(self, points: int, now_us: int) -> bool:
        """Add penalty points; return whether the peer has to go."""
        forgiven = (now_us - self._then_us) // PENALTY_DECAY_US
        self._then_us += forgiven * PENALTY_DECAY_US
        self._points = max(0, self._points - forgiven) + points
        return self._points >= PENALTY_MAX
