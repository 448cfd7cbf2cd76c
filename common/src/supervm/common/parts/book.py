"""Whom a node wants a link to, and when it dials them: back-off with jitter, and when two nodes have one key.

What is in the book at first is configuration; whoever finds out more - of the validators of an epoch, later of a
directory - adds nodes by their id and takes them out again.

A link counts once it has lasted: until then the back-off goes on growing, so that two nodes which keep losing each
other find a pace at once. The pace is slowest where a peer ended the link as a "duplicate" again and again. That
happens when two machines run with one node key - a folder that was copied, a backup that was restored while the first
still runs: the peer can only think that one node has come back, and gives up the older link for the newer. No end can
tell which of the two is meant, but both can see it and say so.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass

from supervm.protocol.base.address import encode_node_id

from ..contract.core import DialFailed, Outbox, PeerDown
from .events import NodeKeyInUse

BACKOFF_US_MIN, BACKOFF_US_MAX = 200_000, 5_000_000
BACKOFF_US_MAX_DUPLICATE = 60_000_000
"""Longest pause where another node with our key seems to be connected."""
LASTED_US = 10_000_000
"""A link that stood as long begins its back-off anew when it ends."""
DUPLICATES_NAMED = 3
"""Ends of links as duplicates, none of which had lasted in between, after which they are not taken for chance."""
DUPLICATE_SHOWN_US = 600_000_000
"""How long after the last of them it is still shown to the owner."""
DIAL_TIMEOUT_US = 15_000_000
"""A dial that is answered neither way by then is started again."""

DUPLICATE_TEXT = (
    "another device or process runs with this node's key, and each pushes the other's link out: stop one of the two, "
    "or give one a node.key of its own (a copied folder is no second node)"
)


@dataclass(slots=True)
class _Target:
    address: str
    node_id: bytes | None
    backoff_us: int = BACKOFF_US_MIN
    dial_at_us: int | None = 0  # None: connected
    peer: bytes | None = None
    known: bytes | None = None  # who answered there last; while it is up, dialling would only replace its connection
    up_at_us: int = 0
    duplicates: int = 0  # ends as a duplicate, one after the other
    has_failed: bool = False  # the last dial, or the last link
    clock: str = ""  # why it refused us, or we it, if that was for the clock


class Book:
    """Targets of one node.

    Args:
        outbox: where effects go.
        targets: (node id or None, address) to stay connected to for as long as the node runs.
        rng: source of the jitter.
        up: the peers that are up.
    """

    def __init__(
        self, outbox: Outbox, targets: Iterable[tuple[bytes | None, str]], rng: random.Random, up: Container[bytes]
    ) -> None:
        self._outbox = outbox
        self._rng = rng
        self._up = up
        self._targets = [_Target(address, node_id) for node_id, address in targets]
        self._wanted: dict[bytes, _Target] = {}
        self.changed = True
        """Whether `deadline_us` may be another than the last time."""
        self.preference: Callable[[str], int] | None = None
        """Returns the place of an address among those of one node: the least is dialled first, others once it fails."""
        self._dial_at_us: int | None = None  # the earliest of the targets', if they have not changed
        self._duplicate_at_us: int | None = None  # when another node with our key was last noticed

    @property
    def deadline_us(self) -> int | None:
        """When `tick` has something to do."""
        if self.changed:
            self.changed = False
            dials = [target.dial_at_us for target in self._targets if target.dial_at_us is not None]
            self._dial_at_us = min(dials, default=None)
        return self._dial_at_us

    def want(self, node_id: bytes, address: str) -> None:
        """Stay connected to a node, too; a later address of one that was wanted before replaces the earlier one.

        It is dialled at the next `tick` if it is not up.
        """
        target = self._wanted.get(node_id)
        if target is None:
            if any(other.node_id == node_id and other.address == address for other in self._targets):
                return  # its owner wants it anyway
            target = self._wanted[node_id] = _Target(address, node_id)
            self._targets.append(target)
        elif target.address != address:
            target.address, target.backoff_us = address, BACKOFF_US_MIN
            if target.peer is None:
                target.dial_at_us = 0
        self.changed = True

    def unwant(self, node_id: bytes) -> None:
        """Dial a node no more unless it was among the first targets; a link that is up stays until it ends."""
        target = self._wanted.pop(node_id, None)
        if target is not None:
            self._targets = [other for other in self._targets if other is not target]
            self.changed = True

    def tick(self, now_us: int) -> None:
        """Dial who is due."""
        self.changed = True
        for target in self._targets:
            if target.dial_at_us is not None and target.dial_at_us <= now_us:
                expected = target.node_id or target.known
                if expected is not None and expected in self._up:
                    target.dial_at_us, target.peer = None, expected
                    continue
                if self._has_better(target):
                    target.dial_at_us = now_us + BACKOFF_US_MIN
                    continue
                target.dial_at_us = now_us + DIAL_TIMEOUT_US
                self._outbox.dial(target.address, target.node_id)

    def _has_better(self, target: _Target) -> bool:
        """Return whether the same node has an address of a transport that comes before this one's, and may answer."""
        return self.preference is not None and any(
            other.node_id == target.node_id is not None
            and not other.has_failed
            and self.preference(other.address) < self.preference(target.address)
            for other in self._targets
        )

    def peer_up(self, now_us: int, peer: bytes, address: str | None) -> None:
        """Note who is connected; a target that it answers is."""
        for target in self._answered(peer, address):
            target.up_at_us, target.clock = now_us, ""

    def peer_moved(self, peer: bytes, address: str | None) -> None:
        """Note that a peer that is up goes on over another connection, maybe one that a target was dialled for."""
        self._answered(peer, address)

    def _answered(self, peer: bytes, address: str | None) -> list[_Target]:
        """Note, and return, the targets that a peer answers."""
        self.changed = True
        found = [
            target
            for target in self._targets
            if target.node_id == peer or (target.node_id is None and target.address == address)
        ]
        for target in found:
            target.dial_at_us, target.peer, target.known = None, peer, peer
            target.has_failed = target.has_failed and target.address != address
        return found

    def peer_down(self, now_us: int, event: PeerDown) -> None:
        """Plan to dial a peer again if it is a target."""
        for target in self._targets:
            if target.peer == event.peer:
                target.peer = None
                if event.code == "duplicate":
                    self._pushed_out(target, now_us, event.peer)
                elif target.up_at_us + LASTED_US <= now_us:
                    target.backoff_us, target.duplicates = BACKOFF_US_MIN, 0
                self._retry(target, now_us)

    def dial_failed(self, now_us: int, event: DialFailed) -> None:
        """Plan the next try with back-off and jitter; none is needed where a peer answered that is up already."""
        self.changed = True
        for target in self._targets:
            if target.address == event.address and target.peer is None:
                target.clock = event.reason if event.code == "clock" else ""
                if event.peer is not None and event.peer in self._up and target.node_id in (None, event.peer):
                    target.dial_at_us, target.peer, target.known = None, event.peer, event.peer
                else:
                    self._retry(target, now_us)

    def problems(self, now_us: int) -> list[str]:
        """Return what the owner should know of the links: another node with our key, clocks that are too far apart."""
        found = [f"no link to {target.address}: {target.clock}" for target in self._targets if target.clock]
        if self._duplicate_at_us is not None and now_us < self._duplicate_at_us + DUPLICATE_SHOWN_US:
            found.append(DUPLICATE_TEXT)
        return found

    def _pushed_out(self, target: _Target, now_us: int, peer: bytes) -> None:
        """Count a link that its peer gave up for a newer one with the same node key."""
        target.duplicates += 1
        if target.duplicates >= DUPLICATES_NAMED:
            self._duplicate_at_us = now_us
            self._outbox.publish(NodeKeyInUse(encode_node_id(peer), target.duplicates, DUPLICATE_TEXT))

    def _retry(self, target: _Target, now_us: int) -> None:
        self.changed = target.has_failed = True
        target.dial_at_us = now_us + target.backoff_us // 2 + self._rng.randrange(target.backoff_us // 2 + 1)
        most_us = BACKOFF_US_MAX_DUPLICATE if target.duplicates >= DUPLICATES_NAMED else BACKOFF_US_MAX
        target.backoff_us = min(target.backoff_us * (4 if target.duplicates > 1 else 2), most_us)
