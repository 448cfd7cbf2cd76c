"""How traffic moves to a second connection of two hosts, as `supervm.common.driver.replacing` does it (network.md 3).

Theory of operation. An *end* is the lane that begins at a host. The dialler's end takes over first: what its core sends
goes there, and ``Goodbye("moved")`` goes over the old one, behind everything else. What comes over the new connection
waits at each end until that Goodbye has come over the old one; then the core hears `PeerMoved`. A second Goodbye says
that everything has come, and the old connection is gone. If the old one ends first, the core hears `PeerDown` and
`PeerUp`; if it ends between the peer's two Goodbyes, the new one ends, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from supervm.common.contract.core import Input, PeerDown, PeerMoved, PeerUp
from supervm.common.link.connection import MOVED, goodbye
from supervm.protocol.wire.frames import encode_message

from .host import CALL, Host, Lane, Parcel
from .network import Network
from .queue import BucketQueue

SILENCE_US: Final = 2_000_000
"""How long an old connection may say nothing before the new one is delivered all the same."""
MOVE_US_MAX: Final = 10_000_000
"""How long it may go on speaking without its Goodbye."""
CONFIRM_US_MAX: Final = 15_000_000
"""How long the second Goodbye may take."""
NEWER: Final = "a newer connection between the two nodes is kept"

_MOVED: Final = goodbye(MOVED, "the traffic goes on over another connection")
_FRAME: Final = encode_message(_MOVED)


class Ending(Protocol):
    """Ends connections."""

    def end(self, lane: Lane, reason: str) -> None:
        """Take a connection down at one end; the other end follows."""

    def give_up(self, lane: Lane, reason: str) -> None:
        """Take a connection down at both ends at once."""


class Moves:
    """Moves under way in a world.

    Args:
        queue: the world's events.
        network: carries the Goodbyes.
        links: ends connections.
        feed: gives a core an input, through the queue.
    """

    def __init__(
        self, queue: BucketQueue[Any], network: Network, links: Ending, feed: Callable[[Host, Input], None]
    ) -> None:
        self._queue = queue
        self._network = network
        self._links = links
        self._feed = feed
        self.release: Callable[[Lane], None] = lambda lane: None
        """Gives a core what has waited for it in a lane."""

    def begin(self, new: Lane, old: Lane, *, first: bool) -> None:
        """Let a new end take the place of an old one of the same host; `first`: at once, as the dialler does."""
        old.after, new.before = new, old
        new.open = True
        new.back.on_hold = True
        if first:
            new.src.links[new.dst.node_id] = new
            self._say(old)
        if old.parted:
            self._parted(old)
        else:
            self._watch(old, self._queue.now_us + MOVE_US_MAX)

    def goodbye(self, lane: Lane) -> None:
        """Take a Goodbye that has come over a lane, behind everything that was sent before."""
        end = lane.back
        if not end.parted:
            self._parted(end)
        elif end.after is not None:
            end.after.before = None
            end.after = None
            end.open = False
            del end.src.made[end.link.number]
            if end.link.number not in end.dst.made:
                self._network.close(end.link)

    def ended(self, end: Lane, reason: str) -> bool:
        """Let follow what does from the loss of an end that was open; return whether its core has lost its peer."""
        host, peer = end.src, end.dst.node_id
        old, new = end.before, end.after
        end.before = end.after = None
        is_used = host.links.get(peer) is end
        if old is not None:
            old.after = None
            if is_used:
                self._links.end(old, reason)
        if new is not None:
            new.before = None
            if end.parted:
                self._links.end(new, f"the connection before it ended too early: {reason}")
            else:
                self._feed(host, PeerDown(peer, reason))
                self.up(new)
                self._turn(new)
            return False
        if is_used:
            del host.links[peer]
            self._feed(host, PeerDown(peer, reason))
        return is_used

    def up(self, end: Lane) -> None:
        """Open an end, and tell its core that the peer is up."""
        end.open = True
        end.src.links[end.dst.node_id] = end
        self._feed(
            end.src,
            PeerUp(end.dst.node_id, end.dst.tier, end.dst.wire.features, end.offset_ms, end.address, end.dst.remote),
        )

    def _parted(self, end: Lane) -> None:
        """The peer has said everything that it had to say over this connection."""
        end.parted = True
        new, host, peer = end.after, end.src, end.dst.node_id
        if new is None:  # it has moved to a connection that has not come here
            self._end_at(end, self._queue.now_us + SILENCE_US)
            return
        if host.links.get(peer) is not new:
            host.links[peer] = new
            self._say(end)
        self._say(end)
        self._end_at(end, self._queue.now_us + CONFIRM_US_MAX)
        self._feed(host, PeerMoved(peer, new.address, end.dst.remote))
        new.back.held_until_us = end.back.held_until_us
        self._turn(new)

    def _turn(self, new: Lane) -> None:
        """Let a core hear what comes over the new connection, after what it has been told until now."""

        def release() -> None:
            new.back.on_hold = False
            self.release(new.back)

        self._queue.push(self._queue.now_us, (CALL, release))

    def _say(self, lane: Lane) -> None:
        if not self._network.carry(lane, Parcel(_MOVED, _FRAME, lane.src.wire)):
            self._queue.push(self._queue.now_us, (CALL, lambda: self._links.give_up(lane, "slow")))

    def _watch(self, old: Lane, until_us: int) -> None:
        """End an old connection over which nothing comes any more."""

        def look() -> None:
            if old.after is None or old.parted or not old.open:
                return
            now_us, coming = self._queue.now_us, old.back
            silent_at_us = coming.last_us + SILENCE_US
            if coming.bulk or coming.waiting:
                silent_at_us = now_us + SILENCE_US
            if silent_at_us > now_us and now_us < until_us:
                self._queue.push(min(silent_at_us, until_us), (CALL, look))
            else:
                self._links.end(old, NEWER)

        self._queue.push(self._queue.now_us + SILENCE_US, (CALL, look))

    def _end_at(self, end: Lane, at_us: int) -> None:
        def late() -> None:
            if end.open:
                self._links.end(end, NEWER)

        self._queue.push(at_us, (CALL, late))
