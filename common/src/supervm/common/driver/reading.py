"""The task of one connection that reads: from its first byte to its end.

Theory of operation. Read 4 KiB at a time until the connection is up, then 64 to 256 KiB with many frames each. After
each read wait until disk and verifier have room, and so the medium's window closes: pressure goes back to where it came
from. The core may have a peer held: then its reader waits, too. After a few messages of one peer the others have their
turn. Whatever a peer or the network does ends its connection, and nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from math import inf

import trio

from supervm.protocol.base.address import encode_node_id
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.wire.frames import encode_message
from supervm.protocol.wire.link import Goodbye
from supervm.protocol.wire.messages import AnyMessage

from ..contract.core import Received
from ..link.connection import MOVED, goodbye
from .events import ConnectionClosed, PeerRefused
from .peer import LOST, PeerLink
from .replacing import Replacing
from .table import FULL_BYTES, LinkTable

_OUTLIVED = "a newer connection between the two nodes is kept"
_DUPLICATE = encode_message(goodbye("duplicate", _OUTLIVED))


class Reader:
    """Reads connections.

    Args:
        table: the node's connections.
        replacing: says which of two connections is kept.
        room: waits until more may be read.
    """

    def __init__(self, table: LinkTable, replacing: Replacing, room: Callable[[], Awaitable[None]]) -> None:
        self._table = table
        self._replacing = replacing
        self._room = room
        self._clock = table.node.clock
        self._limits = table.node.limits
        self._feed = table.node.feed

    async def run(self, link: PeerLink) -> None:
        """Read a connection to its end, then let its writer finish."""
        table = self._table
        try:
            with link.scope:
                async with trio.open_nursery() as nursery:
                    with link.reading:
                        await self._read(link, nursery)
                    if link.reading.cancelled_caught and not link.ended:
                        link.end(_OUTLIVED, orderly=True, last=_DUPLICATE)
                    link.queue.close()
                    self._replacing.ended(link)
                    if link.orderly:
                        link.scope.deadline = trio.current_time() + link.traits.goodbye_s(self._limits)
                    else:
                        nursery.cancel_scope.cancel()
            if link.scope.cancelled_caught and not link.ended:
                link.ended = f"not up within {link.traits.unauthenticated_s(self._limits):g} s"
        finally:
            with trio.CancelScope(shield=True):
                await link.pipe.aclose()
            table.forget(link)
            table.admission.leave(link)
            self._replacing.ended(link)
        if not table.closing:
            table.node.sink(ConnectionClosed(link.remote, link.ended))

    async def _read(self, link: PeerLink, nursery: trio.Nursery) -> None:
        connection = link.connection
        await self._flush(link)
        while not link.ended:
            data = await self._receive(link)
            messages = await self._take(link, data) if data else None
            if messages is None:
                return
            if not link.up:
                await self._come_up(link, nursery)
            if messages:
                await self._deliver(link, messages)
            if connection.moved and not link.parted:
                self._replacing.parted(link)
            if connection.parting is not None:
                self._part(link, connection.parting)
                return
            self._check_partial(link)
            await self._room()

    async def _take(self, link: PeerLink, data: bytes) -> list[AnyMessage] | None:
        """Return the messages that bytes complete; None: the peer has been refused."""
        connection, key = link.connection, link.pipe.admission_key
        if connection.state == "handshake" and not connection.dialled and key is not None:
            await self._until(self._table.admission.handshake_us(key, self._clock.now_us()))
        try:
            messages = connection.receive(data, self._clock.now_us())
            self._replacing.check(link)
        except RemoteProtocolError as error:
            await self._refuse(link, error)
            return None
        return messages

    async def _come_up(self, link: PeerLink, nursery: trio.Nursery) -> None:
        """Go on with the handshake, or start to write; wait until it is this connection's turn to be heard."""
        connection, limits = link.connection, self._limits
        if connection.peer_hello is None or connection.parting is not None:
            await self._flush(link)
            return
        self._replacing.up(link)
        nursery.start_soon(link.write, self._clock, link.traits.send_bytes(limits))
        link.read_bytes = limits.read_bytes_core if self._table.is_core(link) else limits.read_bytes
        if not link.turn.is_set():
            await link.turn.wait()

    async def _receive(self, link: PeerLink) -> bytes:
        """Return what has come next; empty when the connection has ended."""
        link.receiving = True
        if link.until_s != inf:
            self._replacing.be_patient(link)
        try:
            data = await link.pipe.receive_some(link.read_bytes)
        except LOST as error:
            link.end(f"the connection is lost: {error}", orderly=False)
            return b""
        link.receiving = False
        if link.until_s != inf:
            self._replacing.be_patient(link)
        if not data:
            link.end("the peer closed the connection", orderly=False)
        return bytes(data)

    def _part(self, link: PeerLink, parting: Goodbye) -> None:
        """The peer has said its last word here."""
        if parting.code == MOVED and link.parted and link.after is not None:
            self._replacing.confirmed(link)
        else:
            link.code = parting.code
            link.end(f"the peer said {parting.code}: {parting.reason}", orderly=False)

    async def _deliver(self, link: PeerLink, messages: Sequence[AnyMessage]) -> None:
        """Give the core messages one by one, as fast as it lets this peer go on and the others have their turns."""
        peer, left, counts = link.connection.peer_id, self._limits.deliver_max, self._table.counts
        for message in messages:
            if link.held_until_us:
                await self._until(link.held_until_us)
                link.held_until_us = 0
                left = self._limits.deliver_max
            elif not left:
                await trio.lowlevel.checkpoint()
                left = self._limits.deliver_max
            if not link.up or link.ended or peer is None:
                return
            left -= 1
            counts["received"] += 1
            self._feed([Received(peer, message)])

    async def _until(self, at_us: int) -> None:
        """Wait until a time of the clock."""
        while (wait_us := at_us - self._clock.now_us()) > 0:
            await trio.sleep(wait_us / 1_000_000)

    def _check_partial(self, link: PeerLink) -> None:
        """Close the connection with the longest unfinished frame if all of them together are too long."""
        links = self._table.links
        if (
            link.connection.buffered_bytes > FULL_BYTES
            and sum(other.connection.buffered_bytes for other in links) > self._limits.partial_bytes_all_max
        ):
            longest = max(links, key=lambda other: other.connection.buffered_bytes)
            self._table.counts["too_slow"] += 1
            longest.end("its frame does not come to an end, and too many such bytes are held", orderly=False)

    async def _flush(self, link: PeerLink) -> None:
        """Write the connection's own words while no writer runs."""
        try:
            await link.flush(self._clock)
        except LOST as error:
            link.end(f"the connection is lost: {error}", orderly=False)

    async def _refuse(self, link: PeerLink, error: RemoteProtocolError) -> None:
        """End a connection whose peer broke a rule, and tell it if it can still be told."""
        self._table.counts["refused"] += 1
        connection = link.connection
        peer = connection.peer_id
        name = encode_node_id(peer) if peer is not None else None
        self._table.node.sink(PeerRefused(link.remote, name, error.code, error.reason))
        reason = f"{error.code}: {error.reason}"
        if link.up:
            link.fault = error
            link.end(reason, orderly=connection.alive, last=encode_message(goodbye(error.code, error.reason)))
            return
        link.code = error.code
        connection.refuse(error.code, error.reason)
        with trio.move_on_after(link.traits.goodbye_s(self._limits)):
            await self._flush(link)
        link.end(reason, orderly=False)
