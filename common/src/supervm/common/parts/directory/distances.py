"""How far those are who answer questions, as far as their answers tell.

Theory of operation. The time to an answer is the way there and back, and whatever the other node had to ask for itself.
The shortest of late is therefore taken for the distance: a shorter time is believed at once, a longer one by an eighth.
Who was never asked is asked first, and once in a while a question goes to anybody, so that no figure stays wrong for
good.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

EIGHTH: Final = 8
"""A longer time counts for one part of so many."""
SAME_US: Final = 5_000
"""Distances that differ by so little are the same."""
ANYBODY: Final = 32
"""One question of so many goes to anybody."""


class Distances:
    """Of all peers that were asked."""

    def __init__(self) -> None:
        self._us: dict[bytes, int] = {}

    def of(self, peer: bytes) -> int:
        """Return how far a peer is, there and back, in us; 0: not known."""
        return self._us.get(peer, 0)

    def note(self, peer: bytes, took_us: int) -> None:
        """A peer has answered after so long, or has not for so long."""
        known = self._us.get(peer, took_us)
        self._us[peer] = max(1, min(took_us, known + (took_us - known) // EIGHTH))

    def forget(self, peer: bytes) -> None:
        """A peer is gone."""
        self._us.pop(peer, None)

    def nearest(self, peers: Sequence[bytes], rng: random.Random) -> Sequence[bytes]:
        """Return those of `peers`, who are somebody, that are to be asked next; any of them is as good."""
        fresh = [peer for peer in peers if peer not in self._us]
        if fresh:
            return fresh
        if not rng.randrange(ANYBODY):
            return peers
        best_us = min(self._us[peer] for peer in peers)
        return [peer for peer in peers if self._us[peer] <= best_us + SAME_US]
