"""Keeping the configured peers: dialling, back-off with jitter, heartbeats, and letting go of the silent.

A part that every node core composes. It decides when to dial whom and when a silent peer is given up (network.md 3);
the driver only carries out `Dial` and `HangUp`. Until discovery exists, whom to dial is configuration.

A link counts once it has lasted: until then the back-off goes on growing, so that two nodes which keep losing each
other find a pace at once. The pace is slowest where a peer ended the link as a "duplicate" again and again. That
happens when two machines run with one node key - a folder that was copied, a backup that was restored while the first
still runs: the peer can only think that one node has come back, and gives up the older link for the newer. No end can
tell which of the two is meant, but both can see it and say so.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

from supervm.protocol.base.address import encode_node_id
from supervm.protocol.wire.link import Heartbeat

from ..contract.core import DialFailed, Outbox, PeerDown, PeerUp

HEARTBEAT_US = 10_000_000
"""Time between heartbeats to a connected peer (network.md 3)."""
SILENCE_US_MAX = 15_000_000
"""1.5 heartbeats without any message: the peer counts as lost (network.md 3)."""
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


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """What is known of a peer that is up."""

    node_id: bytes
    tier: int
    features: tuple[str, ...]
    clock_offset_ms: int


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
    clock: str = ""  # why it refused us, or we it, if that was for the clock


class Peering:
    """Peers of one node.

    Args:
        outbox: where effects go.
        targets: (node id or None, ``host:port``) to stay connected to.
        rng: source of the jitter.
    """

    def __init__(self, outbox: Outbox, targets: Iterable[tuple[bytes | None, str]], rng: random.Random) -> None:
        self._outbox = outbox
        self._rng = rng
        self._targets = [_Target(address, node_id) for node_id, address in targets]
        self._heard_us: dict[bytes, int] = {}
        self._heartbeat_at_us = 0
        self._silence_at_us = 0
        self._counter = 0
        self._dials_changed = True
        self._dial_at_us: int | None = None  # the earliest of the targets', if they have not changed
        self._duplicate_at_us: int | None = None  # when another node with our key was last noticed
        self.up: dict[bytes, PeerInfo] = {}
        """Peers that are up, in the order they came."""
        self.height = 0
        """Certified height that heartbeats report."""
        self.load_percent = 0
        """Load that heartbeats report."""
        self.loads: dict[bytes, int] = {}
        """Load in percent that each peer last reported."""

    @property
    def deadline_us(self) -> int | None:
        """When `tick` has something to do."""
        if self._dials_changed:
            self._dials_changed = False
            dials = [target.dial_at_us for target in self._targets if target.dial_at_us is not None]
            self._dial_at_us = min(dials, default=None)
        dial_at_us = self._dial_at_us
        if not self.up:
            return dial_at_us
        due_us = self._heartbeat_at_us if self._heartbeat_at_us < self._silence_at_us else self._silence_at_us
        return due_us if dial_at_us is None or due_us < dial_at_us else dial_at_us

    def tick(self, now_us: int) -> None:
        """Dial what is due, send heartbeats, hang up on the silent."""
        due_us = self.deadline_us
        if due_us is None or due_us > now_us:
            return
        self._dials_changed = True
        for target in self._targets:
            if target.dial_at_us is not None and target.dial_at_us <= now_us:
                expected = target.node_id or target.known
                if expected is not None and expected in self.up:
                    target.dial_at_us, target.peer = None, expected
                    continue
                target.dial_at_us = now_us + DIAL_TIMEOUT_US
                self._outbox.dial(target.address, target.node_id)
        if self.up and self._heartbeat_at_us <= now_us:
            self._heartbeat_at_us = now_us + HEARTBEAT_US
            self._counter += 1
            beat = Heartbeat(self._counter, self.load_percent, now_us // 1000, self.height)
            for node_id in self.up:
                self._outbox.send(node_id, beat)
        if self.up and self._silence_at_us <= now_us:
            self._silence_at_us = now_us + SILENCE_US_MAX
            for node_id, heard_us in self._heard_us.items():
                if heard_us + SILENCE_US_MAX <= now_us:
                    self._outbox.hang_up(node_id, "silent", "no message for 1.5 heartbeats")
                else:
                    self._silence_at_us = min(self._silence_at_us, heard_us + SILENCE_US_MAX)

    def peer_up(self, now_us: int, event: PeerUp) -> None:
        """Note a new peer; a target that it answers is connected."""
        if not self.up:
            self._heartbeat_at_us = now_us + HEARTBEAT_US
            self._silence_at_us = now_us + SILENCE_US_MAX
        self.up[event.peer] = PeerInfo(event.peer, event.tier, event.features, event.clock_offset_ms)
        self._heard_us[event.peer] = now_us
        self._dials_changed = True
        for target in self._targets:
            if target.node_id == event.peer or (target.node_id is None and target.address == event.address):
                target.dial_at_us, target.peer, target.known = None, event.peer, event.peer
                target.up_at_us, target.clock = now_us, ""

    def peer_down(self, now_us: int, event: PeerDown) -> None:
        """Forget a peer and plan to dial it again if it is a target."""
        self.up.pop(event.peer, None)
        self._heard_us.pop(event.peer, None)
        self.loads.pop(event.peer, None)
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
        self._dials_changed = True
        for target in self._targets:
            if target.address == event.address and target.peer is None:
                target.clock = event.reason if event.code == "clock" else ""
                if event.peer is not None and event.peer in self.up and target.node_id in (None, event.peer):
                    target.dial_at_us, target.peer, target.known = None, event.peer, event.peer
                else:
                    self._retry(target, now_us)

    def heard(self, now_us: int, peer: bytes) -> None:
        """Any message is a sign of life."""
        if peer in self._heard_us:
            self._heard_us[peer] = now_us

    def heartbeat(self, peer: bytes, message: Heartbeat) -> None:
        """Remember the load that the peer reports."""
        if peer in self.up:
            self.loads[peer] = message.load_percent

    def of_tier(self, tier: int) -> list[bytes]:
        """Return the node ids of peers of a tier that are up, in the order they came."""
        return [info.node_id for info in self.up.values() if info.tier == tier]

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
            self._outbox.publish(
                "node-key-in-use", level="warning", peer=encode_node_id(peer), times=target.duplicates,
                reason=DUPLICATE_TEXT,
            )

    def _retry(self, target: _Target, now_us: int) -> None:
        self._dials_changed = True
        target.dial_at_us = now_us + target.backoff_us // 2 + self._rng.randrange(target.backoff_us // 2 + 1)
        most_us = BACKOFF_US_MAX_DUPLICATE if target.duplicates >= DUPLICATES_NAMED else BACKOFF_US_MAX
        target.backoff_us = min(target.backoff_us * (4 if target.duplicates > 1 else 2), most_us)
