"""Which of two connections to one peer is kept, and how traffic moves to a new one without loss (network.md 3).

Theory of operation. Of two connections between the same two nodes made at about the same time, both ends keep the one
that the lower node id began (decisions.md, Links). A later one replaces an earlier one: its dialler would not dial if
it still had the other. If peer, tier and features are the same at both, the traffic *moves*, and no message is lost,
doubled or overtaken:

1. The initiator of the new connection begins, once it is up: what it sends goes over the new one, and the old one ends
   with ``Goodbye("moved")`` behind what still waits there.
2. The other end, which has kept the new connection ready and unread, hears that, does the same, and delivers what comes
   over the new one: everything older has been delivered. So does the initiator when that Goodbye arrives.
3. Each end answers the other's Goodbye with a second one: all has come. With both, the old connection is closed.

A core hears `PeerMoved` in step 2. If the old connection ends, or says nothing for two seconds, before the peer's first
Goodbye has come over it, the peer may have lost it, or is new there and never had it: then the core hears `PeerDown`
and `PeerUp`, for messages may be lost, and so does the other end if it knew of the old one. If the answer to our second
Goodbye is missing, nobody knows whether the other end has moved, and the new connection ends, too. So there is no order
of losses in which one end believes that nothing is missing while the other has lost something.

One move of a peer at a time; whoever comes meanwhile is refused.
"""

from __future__ import annotations

from math import inf
from typing import Final

import trio

from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.wire.frames import encode_message

from ..link.connection import MOVED, goodbye
from .peer import PeerLink
from .table import LinkTable

SIMULTANEOUS_US: Final = 3_000_000
"""Connections that came up within this time of each other count as dialled at the same time."""
SILENCE_S: Final = 2.0
"""How long an old connection may say nothing before the new one is delivered all the same."""
MOVE_S_MAX: Final = 10.0
"""How long it may go on speaking without its Goodbye: two nodes with one key do, and never say it."""
CONFIRM_S_MAX: Final = 15.0
"""How long the answer to the second Goodbye may take: the peer's core may have us held, unread, for ten seconds."""

_LAST: Final = encode_message(goodbye(MOVED, "the traffic goes on over another connection"))
_CONFIRMED: Final = encode_message(goodbye(MOVED, "everything has come"))


class Replacing:
    """Judges connections that come while there is another one, and those that end.

    Args:
        table: the node's connections.
    """

    def __init__(self, table: LinkTable) -> None:
        self._table = table

    def check(self, link: PeerLink) -> None:
        """Look at a connection that is not up after each read.

        Raises:
            RemoteProtocolError: its peer has said Hello, there is another connection, and that is the one to keep.
        """
        connection = link.connection
        if link.up or connection.peer_hello is None:
            return
        old = self._table.peers.get(connection.peer_id or b"")
        if old is None:
            return
        if self._is_second(link, old):
            raise RemoteProtocolError("another connection between the two nodes is kept", penalty=0, code="duplicate")
        if old.before is not None or (old.after is not None and connection.initiator):
            raise RemoteProtocolError(
                "the traffic between the two nodes moves to another connection now", penalty=0, code="duplicate"
            )

    def up(self, link: PeerLink) -> None:
        """Take a connection whose peer has said Hello; its messages may be delivered once `PeerLink.turn` is set."""
        table, connection = self._table, link.connection
        old = table.peers.get(connection.peer_id or b"")
        if old is not None and not self._are_alike(old, link):
            self.drop(old, "duplicate", "a newer connection between the two nodes is kept")
            old = None
        if old is None:
            table.up(link)
            link.turn.set()
            return
        if old.after is not None:  # neither end has moved to it yet, and its dialler has dialled again
            self.drop(old.after, "duplicate", "a newer connection between the two nodes is kept")
        old.after, link.before = link, old
        if connection.initiator:
            table.take(link)
            old.queue.put_last(_LAST)
        else:
            table.ready(link)
        if old.parted:  # it has announced this connection already
            self.parted(old)
        else:
            old.until_s = trio.current_time() + MOVE_S_MAX
            self.be_patient(old)

    def be_patient(self, link: PeerLink) -> None:
        """Give an old connection its time for whatever its reader does now: for the peer's word, or for our core."""
        now_s = trio.current_time()
        silence_s = SILENCE_S if link.receiving and not link.parted else inf
        link.reading.deadline = min(link.until_s, now_s + silence_s)

    def parted(self, link: PeerLink) -> None:
        """Everything that the peer had to say over this connection has been delivered."""
        link.parted = True
        new, now_s = link.after, trio.current_time()
        if new is None:
            link.until_s = now_s + SILENCE_S  # it has moved to a connection that has not come here
        else:
            if not new.up:
                self._table.take(new)
                link.queue.put_last(_LAST)
            link.queue.close(_CONFIRMED)
            link.until_s = now_s + CONFIRM_S_MAX
            new.held_until_us = max(new.held_until_us, link.held_until_us)
            self._table.moved(new)
            new.turn.set()
        self.be_patient(link)

    def confirmed(self, link: PeerLink) -> None:
        """The peer has answered our Goodbye, and we have answered its: the old connection has done its work."""
        if link.after is not None:
            link.after.before = None
        link.after = None
        link.end("the traffic goes on over another connection", orderly=True)

    def drop(self, link: PeerLink, code: str, reason: str, *, orderly: bool = True) -> None:
        """End a connection, telling its peer why; `orderly`: behind what waits for it."""
        link.end(reason, orderly=orderly, last=encode_message(goodbye(code, reason)))
        self.ended(link)

    def ended(self, link: PeerLink) -> None:
        """A connection has ended; say so to the core, or what has become of the one that was to follow it."""
        old, new = link.before, link.after
        link.before = link.after = None
        if old is not None:
            old.after = None
            if link.up:
                old.end(link.ended, orderly=False)
            elif not old.parted:  # the peer goes on over the old one
                old.until_s = old.reading.deadline = inf
        if new is None:
            self._table.down(link)
            return
        new.before = None
        if link.parted:
            self.drop(new, "unconfirmed", f"the connection before it ended too early: {link.ended}")
        elif new.up:
            self._table.again(link, new)
            new.turn.set()
        else:
            self._table.down(link)
            if not self._table.closing and not new.ended:
                self._table.up(new)
                new.turn.set()

    def _is_second(self, link: PeerLink, old: PeerLink) -> bool:
        node, initiator = self._table.node, link.connection.initiator
        return (
            old.connection.initiator != initiator
            and node.clock.now_us() - old.up_at_us < SIMULTANEOUS_US
            and initiator != (node.identity.node_key.public < (link.connection.peer_id or b""))
        )

    def _are_alike(self, old: PeerLink, new: PeerLink) -> bool:
        one, two = old.connection.peer_hello, new.connection.peer_hello
        return one is not None and two is not None and (one.tier, one.features) == (two.tier, two.features)
