"""Keeping peers: heartbeats, letting go of the silent, and dialling those in the book.

A part that every node core composes. Whom to dial and when is the book's (`book`); here is who is up, how often each of
them is greeted, and when a silent one is given up (network.md 3). The driver only carries out `Dial` and `HangUp`.

Each peer has the heartbeat of its medium: a link that costs is greeted more rarely, and its silence means something
later. Peers with the same heartbeat are greeted together, so a node with thousands of them has one timer.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from supervm.protocol.wire.link import Heartbeat

from ..contract.core import HEARTBEAT_US, DialFailed, Outbox, PeerDown, PeerMoved, PeerUp, earliest
from .book import (
    BACKOFF_US_MAX,
    BACKOFF_US_MAX_DUPLICATE,
    BACKOFF_US_MIN,
    DIAL_TIMEOUT_US,
    DUPLICATE_TEXT,
    LASTED_US,
    Book,
)

__all__ = [
    "BACKOFF_US_MAX",
    "BACKOFF_US_MAX_DUPLICATE",
    "BACKOFF_US_MIN",
    "DIAL_TIMEOUT_US",
    "DUPLICATE_TEXT",
    "HEARTBEAT_US",
    "LASTED_US",
    "SILENCE_US_MAX",
    "PeerInfo",
    "Peering",
    "silence_us",
]


def silence_us(heartbeat_us: int) -> int:
    """Return how long a peer may say nothing: 1.5 of its heartbeats (network.md 3)."""
    return heartbeat_us * 3 // 2


SILENCE_US_MAX = silence_us(HEARTBEAT_US)
"""The same for an ordinary link: 15 s."""


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """What is known of a peer that is up."""

    node_id: bytes
    tier: int
    features: tuple[str, ...]
    clock_offset_ms: int
    address: str | None = None
    """The address at which we dialled it; None if it dialled us."""


@dataclass(slots=True)
class _Rhythm:
    """Peers with one heartbeat: when they are greeted next, when one may be silent for too long, who was heard when."""

    heartbeat_us: int
    beat_at_us: int
    silence_at_us: int
    heard_us: dict[bytes, int] = field(default_factory=dict)


class Peering:
    """Peers of one node.

    Args:
        outbox: where effects go.
        targets: (node id or None, address) to stay connected to.
        rng: source of the jitter.
    """

    def __init__(self, outbox: Outbox, targets: Iterable[tuple[bytes | None, str]], rng: random.Random) -> None:
        self._outbox = outbox
        self._rhythms: dict[int, _Rhythm] = {}
        self._rhythm_of: dict[bytes, _Rhythm] = {}
        self._moved = True  # whether a beat or a silence is due at another time than when `_first_us` was computed
        self._first_us: int | None = None
        self._counter = 0
        self.up: dict[bytes, PeerInfo] = {}
        """Peers that are up, in the order they came."""
        self.book = Book(outbox, targets, rng, self.up)
        """Whom to dial."""
        self.height = 0
        """Certified height that heartbeats report."""
        self.load_percent = 0
        """Load that heartbeats report."""
        self.loads: dict[bytes, int] = {}
        """Load in percent that each peer last reported."""

    @property
    def deadline_us(self) -> int | None:
        """When `tick` has something to do."""
        if self._moved or self.book.changed:  # computed when it changes: drivers ask after every input
            self._moved = False
            first_us = self.book.deadline_us
            for rhythm in self._rhythms.values():
                first_us = earliest(first_us, rhythm.beat_at_us, rhythm.silence_at_us)
            self._first_us = first_us
        return self._first_us

    def want(self, node_id: bytes, address: str) -> None:
        """Stay connected to a node, too; see `Book.want`."""
        self.book.want(node_id, address)

    def unwant(self, node_id: bytes) -> None:
        """Dial a node no more that was wanted; see `Book.unwant`."""
        self.book.unwant(node_id)

    def tick(self, now_us: int) -> None:
        """Dial what is due, send heartbeats, hang up on the silent."""
        due_us = self.deadline_us
        if due_us is None or due_us > now_us:
            return
        self._moved = True
        self.book.tick(now_us)
        for rhythm in self._rhythms.values():
            if rhythm.beat_at_us <= now_us:
                rhythm.beat_at_us = now_us + rhythm.heartbeat_us
                self._counter += 1
                beat = Heartbeat(self._counter, self.load_percent, now_us // 1000, self.height)
                for node_id in rhythm.heard_us:
                    self._outbox.send(node_id, beat)
        for rhythm in self._rhythms.values():
            if rhythm.silence_at_us <= now_us:
                self._let_go(now_us, rhythm)

    def peer_up(self, now_us: int, event: PeerUp) -> None:
        """Note a new peer; a target that it answers is connected."""
        self.up[event.peer] = PeerInfo(event.peer, event.tier, event.features, event.clock_offset_ms, event.address)
        self._pace(now_us, event.peer, event.heartbeat_us)
        self.book.peer_up(now_us, event.peer, event.address)

    def peer_moved(self, now_us: int, event: PeerMoved) -> PeerUp | None:
        """Note that a peer goes on over another connection; return what `PeerUp` would say of it now.

        Whoever was dialled once stays somebody who was dialled. None: the peer is not up.
        """
        known = self.up.get(event.peer)
        if known is None:
            return None
        address = known.address if event.address is None else event.address
        self.up[event.peer] = replace(known, address=address)
        self._pace(now_us, event.peer, event.heartbeat_us)
        self.book.peer_moved(event.peer, event.address)
        return PeerUp(
            event.peer, known.tier, known.features, known.clock_offset_ms, address, event.remote, event.heartbeat_us
        )

    def peer_down(self, now_us: int, event: PeerDown) -> None:
        """Forget a peer and plan to dial it again if it is a target."""
        self.up.pop(event.peer, None)
        self.loads.pop(event.peer, None)
        self._leave(event.peer)
        self.book.peer_down(now_us, event)

    def dial_failed(self, now_us: int, event: DialFailed) -> None:
        """Plan the next try."""
        self.book.dial_failed(now_us, event)

    def heard(self, now_us: int, peer: bytes) -> None:
        """Any message is a sign of life."""
        rhythm = self._rhythm_of.get(peer)
        if rhythm is not None:
            rhythm.heard_us[peer] = now_us

    def heartbeat(self, peer: bytes, message: Heartbeat) -> None:
        """Remember the load that the peer reports."""
        if peer in self.up:
            self.loads[peer] = message.load_percent

    def of_tier(self, tier: int) -> list[bytes]:
        """Return the node ids of peers of a tier that are up, in the order they came."""
        return [info.node_id for info in self.up.values() if info.tier == tier]

    def problems(self, now_us: int) -> list[str]:
        """Return what the owner should know of the links."""
        return self.book.problems(now_us)

    def _pace(self, now_us: int, peer: bytes, heartbeat_us: int) -> None:
        """Greet a peer, just heard, at this pace from now on."""
        self._moved = True
        known = self._rhythm_of.get(peer)
        if known is not None and known.heartbeat_us != heartbeat_us:
            self._leave(peer)
        rhythm = self._rhythms.get(heartbeat_us)
        if rhythm is None:
            rhythm = self._rhythms[heartbeat_us] = _Rhythm(
                heartbeat_us, now_us + heartbeat_us, now_us + silence_us(heartbeat_us)
            )
        self._rhythm_of[peer] = rhythm
        rhythm.heard_us[peer] = now_us

    def _leave(self, peer: bytes) -> None:
        self._moved = True
        rhythm = self._rhythm_of.pop(peer, None)
        if rhythm is not None:
            del rhythm.heard_us[peer]
            if not rhythm.heard_us:
                del self._rhythms[rhythm.heartbeat_us]

    def _let_go(self, now_us: int, rhythm: _Rhythm) -> None:
        """Hang up on those who have been silent for too long."""
        longest_us = silence_us(rhythm.heartbeat_us)
        rhythm.silence_at_us = now_us + longest_us
        for node_id, heard_us in rhythm.heard_us.items():
            if heard_us + longest_us <= now_us:
                self._outbox.hang_up(node_id, "silent", "no message for 1.5 heartbeats")
            else:
                rhythm.silence_at_us = min(rhythm.silence_at_us, heard_us + longest_us)
