"""The peers that a node chooses itself (network.md 7).

Theory of operation. Who dials a node is up to others; whom it dials is up to the node, and that is what keeps it from
seeing only what somebody shows it. It stays connected to `count` nodes of its choice, no two of one network. When one
is gone another is dialled at once, and one more each half second until somebody is there, since most of what
is known of strangers is out of date.

Every second dial goes to a node that has answered before, every second one to one of whom it is only said that it
exists: the first kind keeps an attacker out who came later, the second lets new nodes in. The two peers that have been
up longest are *anchors*: they are dialled first after a restart, so that it is no chance to replace them all. *Feelers*
dial a node that nobody has dialled yet every two minutes, only to see whether it is there.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from ...contract.core import DialFailed, Outbox, PeerDown, PeerUp, earliest
from ..peering import Peering
from .known import Known, KnownNodes

IMPATIENT_US: Final = 500_000
"""After that long without an answer another node is dialled, too."""
PENDING_MAX: Final = 8
"""Dials at once."""
GIVE_UP_US: Final = 10_000_000
"""A dial that nobody answers by then counts as failed."""
RETRY_US, RETRY_US_MAX = 1_000_000, 60_000_000
"""Time until somebody is looked for again when nobody was found: at first, and at most; twice as long each time."""
FEELER_US: Final = 120_000_000
"""Mean time between feelers."""
UNWANTED: Final = ("full", "banned", "enough")
"""Good-byes of a node that would not have us."""
ANCHORS: Final = 2
ANCHOR_US: Final = 60_000_000
"""How long an anchor must have been up."""


@dataclass(slots=True)
class Chosen:
    """A node that was chosen.

    Attributes:
        node_id: who.
        endpoint: where it is dialled.
        group: of that address.
        asked_us: when it was dialled.
        up_us: since when it is up; None: not yet.
        feeler: it is only dialled to see whether it is there.
        felt: it dialled us, and has been dialled since to see whether it can be.
    """

    node_id: bytes
    endpoint: str
    group: str
    asked_us: int
    up_us: int | None = None
    feeler: bool = False
    felt: bool = False


class Neighbours:
    """Chooses them and stays connected to them.

    Args:
        outbox: where hang-ups go.
        peering: dials, and knows who is up.
        nodes: whom there is to choose from.
        rng: choices.
        tiers: of which tiers peers are chosen.
        count: how many.

    Attributes:
        chosen: those that are up or dialled, in the order they were chosen.
        anchors: node ids to dial first.
    """

    def __init__(
        self,
        outbox: Outbox,
        peering: Peering,
        nodes: KnownNodes,
        rng: random.Random,
        *,
        tiers: tuple[int, ...],
        count: int,
    ) -> None:
        self._outbox = outbox
        self._peering = peering
        self._nodes = nodes
        self._rng = rng
        self._tiers = tiers
        self._count = count
        self.chosen: dict[bytes, Chosen] = {}
        self.anchors: list[bytes] = []
        self._next_us: int | None = 0
        self._retry_us = RETRY_US
        self._feeler_us: int | None = None
        self._proven_next = True

    @property
    def deadline_us(self) -> int | None:
        """When `tick` has something to do."""
        return earliest(self._next_us, self._feeler_us)

    @property
    def missing(self) -> int:
        """How many are not up."""
        return self._count - sum(item.up_us is not None and not item.feeler for item in self.chosen.values())

    def oldest(self, now_us: int) -> list[bytes]:
        """Return who has been up longest, at most `ANCHORS`: only who has been for a while, and can be dialled."""
        up = [
            item
            for item in self.chosen.values()
            if item.up_us is not None and item.up_us + ANCHOR_US <= now_us and self._is_proven(item.node_id)
        ]
        return [item.node_id for item in sorted(up, key=lambda item: item.up_us or 0)[:ANCHORS]]

    def look(self) -> None:
        """Look for somebody at the next `tick`, if somebody is missing: one is gone, or there is news of others."""
        self._next_us, self._retry_us = 0, RETRY_US

    def tick(self, now_us: int) -> None:
        """Dial whom it takes."""
        if self._feeler_us is None:
            self._feeler_us = self._next_feeler_us(now_us)
        if self._next_us is not None and self._next_us <= now_us:
            self._give_up(now_us)
            self._fill(now_us)
        if self._feeler_us <= now_us:
            self._feeler_us = self._next_feeler_us(now_us)
            self._feel(now_us)

    def peer_up(self, now_us: int, event: PeerUp) -> bool:
        """Note who is there; return False if it is let go: one too many, or only felt for."""
        item = self.chosen.get(event.peer)
        if item is None or item.up_us is not None:
            return True
        if not item.feeler and self.missing > 0:
            item.up_us = now_us
            return True
        self._release(item)
        if event.address is None:
            return True  # it dialled us at the same time, and has its own reasons
        if item.feeler:
            self._outbox.hang_up(event.peer, "feeler", "this was to see whether you are there; thank you")
        else:
            self._outbox.hang_up(event.peer, "enough", "another node was faster")
        return False

    def peer_down(self, now_us: int, event: PeerDown) -> None:
        """Look for another one at once."""
        item = self.chosen.get(event.peer)
        if item is None:
            return
        if item.up_us is not None:
            self._nodes.lasted(item.node_id, now_us - item.up_us)
            self._nodes.tried(now_us, item.node_id, item.endpoint)
        if item.up_us is None or event.code in UNWANTED:
            self._nodes.failed(item.node_id, item.endpoint)
        self._release(item)
        self.look()

    def dial_failed(self, now_us: int, event: DialFailed) -> None:
        """Look for another one at once, unless who was dialled is up all the same."""
        for item in [item for item in self.chosen.values() if item.up_us is None and item.endpoint == event.address]:
            if event.peer == item.node_id and not item.feeler:
                item.up_us = now_us
                continue
            self._nodes.failed(item.node_id, item.endpoint)
            self._release(item)
            self.look()

    def _is_proven(self, node_id: bytes) -> bool:
        known = self._nodes.get(node_id)
        return known is not None and known.proven

    def _next_feeler_us(self, now_us: int) -> int:
        return now_us + FEELER_US // 2 + self._rng.randrange(FEELER_US)

    def _give_up(self, now_us: int) -> None:
        """Let go of dials that nobody answers."""
        for item in [item for item in self.chosen.values() if item.up_us is None]:
            if item.asked_us + GIVE_UP_US <= now_us:
                self._nodes.failed(item.node_id, item.endpoint)
                self._release(item)

    def _fill(self, now_us: int) -> None:
        """Dial as many as are missing, and one more for each that does not answer soon."""
        pending = [item for item in self.chosen.values() if item.up_us is None and not item.feeler]
        waited_for = sum(item.asked_us + IMPATIENT_US > now_us for item in pending)
        dials, found = len(pending), True
        while waited_for < self.missing and dials < PENDING_MAX:
            known = self._draw(now_us)
            found = known is not None
            if known is None:
                break
            if self._choose(now_us, known).up_us is None:
                waited_for += 1
                dials += 1
        if not self.missing and not dials:
            self._next_us = None
        elif found or dials:
            self._next_us = now_us + IMPATIENT_US
        else:
            self._next_us = now_us + self._retry_us
            self._retry_us = min(2 * self._retry_us, RETRY_US_MAX)

    def _draw(self, now_us: int) -> Known | None:
        """Return whom to dial next."""
        groups = {item.group: None for item in self.chosen.values()}
        while self.anchors:
            known = self._nodes.get(self.anchors.pop(0))
            if known is None or not known.places or known.node_id in self.chosen:
                continue
            if known.best().spot.group not in groups:
                return known
        self._proven_next = not self._proven_next
        # whoever dialled us is chosen only if there is nobody else: nobody knows yet whether it answers
        for without in ({**self.chosen, **self._peering.up}, self.chosen):
            for proven in (self._proven_next, not self._proven_next):
                known = self._nodes.draw(now_us, tiers=self._tiers, without=without, groups=groups, proven=proven)
                if known is not None:
                    return known
        return None

    def _choose(self, now_us: int, known: Known, *, feeler: bool = False) -> Chosen:
        """Dial a node; one that is connected already, because it dialled us, is there at once."""
        spot = known.best().spot
        item = self.chosen[known.node_id] = Chosen(known.node_id, spot.endpoint, spot.group, now_us, feeler=feeler)
        self._nodes.tried(now_us, known.node_id, spot.endpoint)
        if known.node_id in self._peering.up:
            item.up_us = now_us
        self._peering.want(known.node_id, spot.endpoint)
        return item

    def _feel(self, now_us: int) -> None:
        """Dial somebody who has not been proven: a neighbour that dialled us, whose link just moves, or a stranger."""
        for item in self.chosen.values():
            if item.up_us is not None and not item.felt and not self._is_proven(item.node_id):
                item.felt = True
                self._nodes.tried(now_us, item.node_id, item.endpoint)
                self._outbox.dial(item.endpoint, item.node_id)
                return
        without = {**self.chosen, **self._peering.up}
        known = self._nodes.draw(now_us, tiers=self._tiers, without=without, groups=(), proven=False)
        if known is not None:
            self._choose(now_us, known, feeler=True)
            self._next_us = earliest(self._next_us, now_us + GIVE_UP_US)

    def _release(self, item: Chosen) -> None:
        del self.chosen[item.node_id]
        self._peering.unwant(item.node_id)
