"""Whom a node asks and tells: those of the tier above, and, where a phone's owner wants it, other phones first.

Theory of operation. Questions go up, and only the nearest tier of those above is asked; of its nodes the one that
answers soonest (`distances`). A phone may ask one phone that it is connected to before it asks an edge: it answers from
its own table alone, so such a question ends there, and what it did not know goes up all the same.
"""

from __future__ import annotations

import random
from typing import Final

from supervm.protocol.wire.reach import Find

from .distances import Distances

ROOT: Final = 1
PHONE: Final = 4


class Ladder:
    """The peers that name the subject, by their tiers.

    Args:
        tier: of this node.
        rng: which one of several.
        ask_phones: whether a phone asks another one before an edge.

    Attributes:
        tiers: peer -> tier.
        distances: of those that were asked.
    """

    def __init__(self, tier: int, rng: random.Random, *, ask_phones: bool = False) -> None:
        self._tier, self._rng = tier, rng
        self._ask_phones = ask_phones and tier == PHONE
        self.tiers: dict[bytes, int] = {}
        self.distances = Distances()

    @property
    def nearest(self) -> list[bytes]:
        """Those of the nearest tier above, who have been there longest first."""
        tier = max((known for known in self.tiers.values() if 0 < known < self._tier), default=0)
        return [peer for peer, known in self.tiers.items() if known == tier and tier]

    @property
    def told(self) -> list[bytes]:
        """Who hears of the nodes below: all validators, or the one miner or edge that has been there longest."""
        nearest = self.nearest
        return nearest if nearest and self.tiers[nearest[0]] == ROOT else nearest[:1]

    @property
    def asks(self) -> bool:
        """Whether there is anybody to ask."""
        return bool(self.nearest or self._beside)

    @property
    def _beside(self) -> list[bytes]:
        return [peer for peer, known in self.tiers.items() if known == PHONE] if self._ask_phones else []

    def is_beside(self, peer: bytes) -> bool:
        """Return whether what a peer does not know may still be known above."""
        return self.tiers.get(peer) == self._tier

    def choose(self, question: Find, but: bytes | None) -> bytes | None:
        """Return whom to put a question to; None: there is nobody.

        Args:
            question: what is asked.
            but: who was asked already; None: nobody.
        """
        peers = self._beside if but is None and question.nodes else []
        peers = peers or [peer for peer in self.nearest if peer != but] or self.nearest
        return self._rng.choice(self.distances.nearest(peers, self._rng)) if peers else None
