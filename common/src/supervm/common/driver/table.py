"""Which connections there are, over which of them a peer is up, and what the core is told of that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

from supervm.protocol.base.address import encode_node_id
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.wire.frames import encode_message

from ..contract.core import Input, PeerDown, PeerMoved, PeerUp
from ..link.connection import LocalNode, goodbye
from . import events as said
from .admission import Admission
from .clock import Clock
from .limits import Limits
from .parts import EventSink, Identity
from .peer import PeerLink

FULL_BYTES = 64 << 10
"""A queue or an unfinished frame below that is never the reason why all of them are too much."""


@dataclass(frozen=True, slots=True)
class Node:
    """What the connections of one node have in common.

    Attributes:
        identity: keys and network.
        local: what Hello says.
        clock: wall-clock microseconds.
        limits: bounds.
        feed: takes inputs for the core.
        gone: told of a peer that is no longer up, before the core is.
        sink: told every event.
    """

    identity: Identity
    local: LocalNode
    clock: Clock
    limits: Limits
    feed: Callable[[Sequence[Input]], None]
    gone: Callable[[bytes], None]
    sink: EventSink


class LinkTable:
    """The connections of one node.

    Args:
        node: whose they are.

    Attributes:
        links: all of them, in the order they were made.
        peers: node id -> the connection over which that peer is up.
        admission: counts the inbound ones.
        counts: counters for metrics.
        closing: the node is stopping.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self.links: dict[PeerLink, None] = {}
        self.peers: dict[bytes, PeerLink] = {}
        self.admission: Admission[PeerLink] = Admission(node.limits)
        self.counts = {"received": 0, "sent": 0, "refused": 0, "too_slow": 0, "not_sent": 0, "moved": 0}
        self.closing = False
        self._sent_bytes = 0  # of connections that have ended

    def forget(self, link: PeerLink) -> None:
        """Forget a connection that has ended, but for what it has sent."""
        if link in self.links:
            del self.links[link]
            self._sent_bytes += link.sent_bytes

    def is_core(self, link: PeerLink) -> bool:
        """Return whether both ends are L1 or L2."""
        return {self.node.local.tier, link.connection.peer_tier} <= {1, 2}

    def ready(self, link: PeerLink) -> None:
        """Keep a connection whose peer is proven, for when it is wanted."""
        link.scope.deadline = inf
        peer, known = link.connection.peer_id, self.node.local.known_tiers or {}
        evicted = self.admission.up(link, is_needed=peer in known or self.is_core(link))
        if evicted is not None:
            reason = "connections have run out, and other networks have fewer of them than yours"
            evicted.end(reason, orderly=True, last=encode_message(goodbye("full", reason)))

    def take(self, link: PeerLink) -> None:
        """Send what is for its peer over this connection from now on."""
        connection, limits = link.connection, self.node.limits
        if connection.peer_id is None:
            raise LocalProtocolError("a connection without a peer cannot be up")
        self.ready(link)
        link.queue.set_bytes_max(limits.queue_bytes_max_core if self.is_core(link) else limits.queue_bytes_max)
        link.up, link.up_at_us = True, self.node.clock.now_us()
        self.peers[connection.peer_id] = link

    def up(self, link: PeerLink) -> None:
        """Take a connection, and tell the core that its peer is up; there must be no other one to it."""
        self.take(link)
        self.node.feed([self._peer_up(link)])

    def again(self, old: PeerLink, new: PeerLink) -> None:
        """Tell the core that messages of a peer may be lost between its old connection and the one taken since."""
        if self.peers.get(new.connection.peer_id or b"") is new:
            self.node.feed([self._peer_down(old), self._peer_up(new)])

    def moved(self, link: PeerLink) -> None:
        """Tell the core that its peer goes on over this connection."""
        peer = link.connection.peer_id
        if peer is None or self.peers.get(peer) is not link:
            return
        self.counts["moved"] += 1
        self.node.sink(said.PeerMoved(encode_node_id(peer), link.remote, link.connection.dialled))
        self.node.feed([PeerMoved(peer, link.address, link.remote, link.traits.heartbeat_us)])

    def down(self, link: PeerLink) -> None:
        """Tell the core that a connection over which a peer was up is of no more use."""
        peer = link.connection.peer_id
        if peer is not None and self.peers.get(peer) is link:
            del self.peers[peer]
            self.node.feed([self._peer_down(link)])

    def _peer_up(self, link: PeerLink) -> PeerUp:
        connection = link.connection
        peer, hello = connection.peer_id, connection.peer_hello
        if peer is None or hello is None:
            raise LocalProtocolError("a connection without a peer cannot be up")
        self.node.sink(
            said.PeerUp(
                encode_node_id(peer),
                hello.tier,
                hello.agent,
                link.remote,
                connection.dialled,
                connection.clock_offset_ms,
                level="warning" if connection.clock_wrong else "info",
            )
        )
        return PeerUp(
            peer,
            hello.tier,
            hello.features,
            connection.clock_offset_ms,
            link.address,
            link.remote,
            link.traits.heartbeat_us,
        )

    def _peer_down(self, link: PeerLink) -> PeerDown:
        peer, fault = link.connection.peer_id or b"", link.fault
        self.node.gone(peer)
        self.node.sink(said.PeerDown(encode_node_id(peer), link.ended))
        return PeerDown(peer, link.ended, fault.code if fault else link.code, fault.penalty if fault else 0)

    def metrics(self) -> dict[str, int]:
        """Return counters and gauges."""
        return {
            **self.counts,
            "sent_bytes": self._sent_bytes + sum(link.sent_bytes for link in self.links),
            "peers": len(self.peers),
            "connections": len(self.links),
            "unauthenticated": self.admission.unauthenticated,
            "queued_bytes": sum(link.queue.bytes for link in self.links),
            "dropped": sum(link.queue.dropped for link in self.links),
            "left_out": sum(link.connection.left_out for link in self.links),
        }
