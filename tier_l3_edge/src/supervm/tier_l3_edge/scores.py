"""Penalty points per peer, forgiven with time (network.md 7)."""

from __future__ import annotations

SCORE_MAX = 100
"""Points at which a peer is hung up."""
FORGIVE_US = 100_000
"""Time in which one point is forgiven."""


class Scores:
    """Points of the peers that are up."""

    def __init__(self) -> None:
        self._points: dict[bytes, tuple[int, int]] = {}  # points, and as of when

    def add(self, now_us: int, peer: bytes, points: int) -> bool:
        """Add points to a peer; return whether it has to go."""
        before, since_us = self._points.get(peer, (0, now_us))
        now = max(0, before - (now_us - since_us) // FORGIVE_US) + points
        self._points[peer] = (now, now_us)
        return now >= SCORE_MAX

    def forget(self, peer: bytes) -> None:
        """Drop the points of a peer that is gone."""
        self._points.pop(peer, None)
