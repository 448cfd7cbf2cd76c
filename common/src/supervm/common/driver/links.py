"""Connections of one node: dialling, admitting, reading, and which of two to the same peer is kept.

Theory of operation. Each connection has one task that reads - 4 KiB at a time until it is up, then 64 to 256 KiB with
many frames each - and, once it is up, one that writes. After each read the reader waits until disk and verifier have
room, and so the peer's TCP window closes: pressure goes back to where it came from. The core may have a peer held: then
its reader waits, too. After a few messages of one peer the others have their turn. A peer that does not read what it
asked for loses its connection when its queue is full, or when all queues together hold too much and its is the fullest.

Of two connections between the same two nodes made at about the same time, both ends keep the one that the lower node
id dialled (decisions.md, Links). A later one replaces an earlier one: its dialler would not dial if it still had the
other.

Whatever a peer or the network does ends its connection, and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence

import trio

from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.frames import encode_message
from supervm.protocol.wire.messages import AnyMessage

from ..contract.core import DialFailed, Input, PeerDown, PeerUp, Received
from ..link import LinkSession
from ..link.connection import Connection, LocalNode, goodbye
from .acknowledged import Acknowledged, read_unacknowledged
from .clock import Clock
from .limits import Limits
from .listener import Admission, split_address
from .parts import EventSink, Identity
from .peer import OutQueue, PeerLink

STATIC_PROOF_MS = 366 * 86_400_000
"""How long our node key's word for the link key is given, per connection. The link key lives no longer than the
process; the time is long so that a device whose clock is months behind still gets to a Hello that tells it so."""
SIMULTANEOUS_US = 3_000_000
"""Connections that came up within this time of each other count as dialled at the same time."""

STRANGER_READ_BYTES = 4096
"""Most that is read at once from a connection that is not up."""

FULL_BYTES = 64 << 10
"""A queue or an unfinished frame below that is never the reason why all of them are too much."""

_LOST = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)


class Links:
    """All connections of one node.

    Args:
        identity: keys and network.
        local: what Hello says.
        clock: wall-clock microseconds.
        limits: bounds.
        feed: takes inputs for the core.
        room: waits until more may be read.
        gone: told of a peer that is no longer up, before the core is.
        sink: told every event.
        entropy: source of ephemeral keys.
    """

    def __init__(
        self, *, identity: Identity, local: LocalNode, clock: Clock, limits: Limits,
        feed: Callable[[Sequence[Input]], None], room: Callable[[], Awaitable[None]], gone: Callable[[bytes], None],
        sink: EventSink, entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._identity = identity
        self._local = local
        self._clock = clock
        self._limits = limits
        self._feed = feed
        self._room = room
        self._gone = gone
        self._sink = sink
        self._entropy = entropy
        self._admission: Admission[PeerLink] = Admission(limits)
        self._links: dict[PeerLink, None] = {}  # in the order they were made
        self._empty = trio.Event()
        self._peers: dict[bytes, PeerLink] = {}
        self._last_encoded: tuple[Message, bytes] | None = None
        self._counts = {"received": 0, "sent": 0, "refused": 0, "too_slow": 0, "not_sent": 0}
        self._closing = False

    # --- for the driver ----------------------------------------------------------------------------------------------

    def is_up(self, peer: bytes) -> bool:
        """Return whether a peer is up."""
        return peer in self._peers

    def send(self, peer: bytes, message: Message) -> None:
        """Send a message to a peer; to one that is not up, it is dropped."""
        link = self._peers.get(peer)
        if link is not None:
            self._put(link, message)

    def hang_up(self, peer: bytes, code: str, reason: str) -> None:
        """Close the connection to a peer, telling it why."""
        link = self._peers.get(peer)
        if link is not None:
            self._drop(link, code, reason)

    def hold(self, peer: bytes, until_us: int) -> None:
        """Give the core nothing more from a peer until then."""
        link = self._peers.get(peer)
        if link is not None:
            link.held_until_us = until_us

    async def close(self, reason: str) -> None:
        """Say goodbye to everyone and wait until it is written, a second at most."""
        self._closing = True
        last = encode_message(goodbye("shutdown", reason))
        for link in list(self._links):
            link.end(reason, orderly=link.up, last=last if link.up else None)
        if self._links:
            self._empty = trio.Event()
            with trio.move_on_after(self._limits.goodbye_s):
                await self._empty.wait()

    async def watch(self) -> None:
        """End, for ever, connections whose data the peer's machine no longer acknowledges (network.md 3)."""
        while True:
            await trio.sleep(self._limits.unacknowledged_s / 4)
            now_s = trio.current_time()
            for link in list(self._links):
                try:
                    lost = link.acknowledged.is_lost(now_s, *read_unacknowledged(link.stream))
                except OSError:
                    continue  # it is closed, and its reader knows
                if lost:
                    link.end(f"data unacknowledged for {self._limits.unacknowledged_s:g} s", orderly=False)

    def metrics(self) -> dict[str, int]:
        """Return counters and gauges."""
        return {
            **self._counts,
            "peers": len(self._peers),
            "connections": len(self._links),
            "unauthenticated": self._admission.unauthenticated,
            "queued_bytes": sum(link.queue.bytes for link in self._links),
            "dropped": sum(link.queue.dropped for link in self._links),
            "left_out": sum(link.connection.left_out for link in self._links),
        }

    async def serve(self, stream: trio.SocketStream) -> None:
        """Take an accepted connection until it ends, or close it at once."""
        try:
            remote = str(stream.socket.getpeername()[0])
        except OSError:  # gone already
            stream.socket.close()
            return
        refusal = "the node is stopping" if self._closing else self._admission.refusal(remote)
        if refusal is not None:
            self._counts["refused"] += 1
            self._sink("connection-refused", {"remote": remote, "reason": refusal}, "debug")
            stream.socket.close()
            return
        link = self._link(stream, None, None, remote)
        evicted = self._admission.enter(link, remote)
        if evicted is not None:
            evicted.end("pushed out by newer connections", orderly=False)
        await self._run(link)

    async def dial(self, address: str, peer: bytes | None) -> None:
        """Connect, and take the connection until it ends; the core learns of either outcome."""
        try:
            host, port = split_address(address)
            with trio.fail_after(self._limits.dial_s):
                stream = await trio.open_tcp_stream(host, port)
        except trio.TooSlowError:
            self._feed([DialFailed(address, f"no answer within {self._limits.dial_s:g} s")])
            return
        except (OSError, ValueError) as error:
            self._feed([DialFailed(address, str(error))])
            return
        link = self._link(stream, address, peer, host)
        await self._run(link)
        if not link.up:
            found = link.connection.peer_id
            there = found if found is not None and self.is_up(found) else None
            self._feed([DialFailed(address, link.ended, there, link.code)])

    # --- inside ------------------------------------------------------------------------------------------------------

    def _put(self, link: PeerLink, message: Message) -> None:
        last = self._last_encoded
        if last is not None and last[0] is message:  # one message to many peers is encoded once
            frame = last[1]
        else:
            frame = encode_message(message)
            self._last_encoded = (message, frame)
        connection = link.connection
        if not connection.may_send(message) or len(frame) > connection.frame_bytes_max:
            self._counts["not_sent"] += 1
            self._sink("message-not-sent", {
                "kind": type(message).__name__, "peer": (connection.peer_id or b"").hex(),
                "tier": connection.peer_tier, "bytes": len(frame)}, "debug" if connection.clock_wrong else "error")
            return
        if link.queue.put(frame, droppable=type(message) in self._local.wire.droppable) == "full":
            self._too_slow(link, f"{link.queue.bytes} bytes wait for the peer to read")
            return
        self._counts["sent"] += 1
        if link.queue.bytes > FULL_BYTES and sum(
            other.queue.bytes for other in self._links
        ) > self._limits.queued_bytes_all_max:
            fullest = max(self._peers.values(), key=lambda other: other.queue.bytes)
            self._too_slow(fullest, f"{fullest.queue.bytes} bytes wait for the peer to read, and too many for all")

    def _too_slow(self, link: PeerLink, reason: str) -> None:
        self._counts["too_slow"] += 1
        self._drop(link, "slow", reason, orderly=False)

    def _drop(self, link: PeerLink, code: str, reason: str, *, orderly: bool = True) -> None:
        link.end(reason, orderly=orderly, last=encode_message(goodbye(code, reason)))
        self._down(link)

    def _down(self, link: PeerLink) -> None:
        """The core has no more use of a connection that was up."""
        peer = link.connection.peer_id
        if peer is not None and self._peers.get(peer) is link:
            del self._peers[peer]
            self._gone(peer)
            self._sink("peer-down", {"peer": peer.hex(), "reason": link.ended}, "info")
            fault = link.fault
            self._feed([PeerDown(peer, link.ended, fault.code if fault else link.code, fault.penalty if fault else 0)])

    def _is_second(self, link: PeerLink, peer: bytes) -> bool:
        """Return whether there is another connection to the peer that is the one to keep."""
        old, dialled = self._peers.get(peer), link.connection.dialled
        return (
            old is not None
            and old.connection.dialled != dialled
            and self._clock.now_us() - old.up_at_us < SIMULTANEOUS_US
            and dialled != (self._identity.node_key.public < peer)
        )

    def _up(self, link: PeerLink) -> None:
        connection = link.connection
        peer, hello = connection.peer_id, connection.peer_hello
        if peer is None or hello is None:
            raise LocalProtocolError("a connection without a peer cannot be up")
        old = self._peers.get(peer)
        if old is not None:
            self._drop(old, "duplicate", "a newer connection between the two nodes is kept")
        limits = self._limits
        link.queue.set_bytes_max(limits.queue_bytes_max_core if self._is_core(link) else limits.queue_bytes_max)
        link.up, link.up_at_us = True, self._clock.now_us()
        link.scope.deadline = float("inf")
        self._admission.up(link)
        self._peers[peer] = link
        self._sink("peer-up", {
            "peer": peer.hex(), "tier": hello.tier, "agent": hello.agent, "remote": link.remote,
            "dialled": connection.dialled, "clock_offset_ms": connection.clock_offset_ms,
        }, "warning" if connection.clock_wrong else "info")
        self._feed([PeerUp(peer, hello.tier, hello.features, connection.clock_offset_ms, link.address, link.remote)])

    def _is_core(self, link: PeerLink) -> bool:
        return {self._local.tier, link.connection.peer_tier} <= {1, 2}

    def _link(
        self, stream: trio.SocketStream, address: str | None, expected_peer: bytes | None, remote: str
    ) -> PeerLink:
        now_us = self._clock.now_us()
        dialled = address is not None
        session = LinkSession(
            initiator=dialled, static_private=self._identity.static_private,
            ephemeral_private=self._entropy(32), node_key=self._identity.node_key,
            chain_id=self._identity.chain_id, expected_peer=expected_peer,
            not_after_ms=now_us // 1000 + STATIC_PROOF_MS, now_ms=now_us // 1000,
        )
        link = PeerLink(
            Connection(session, self._local, dialled=dialled, opened_us=now_us), stream,
            OutQueue(self._limits.queue_bytes_max), address, remote,
            trio.CancelScope(deadline=trio.current_time() + self._limits.unauthenticated_s), trio.CancelScope(),
            Acknowledged(self._limits.unacknowledged_s),
        )
        self._links[link] = None
        return link

    async def _run(self, link: PeerLink) -> None:
        """Read a connection to its end, then let its writer finish."""
        try:
            with link.scope:
                async with trio.open_nursery() as nursery:
                    with link.reading:
                        await self._read(link, nursery)
                    link.queue.close()
                    self._down(link)
                    if link.orderly:
                        link.scope.deadline = trio.current_time() + self._limits.goodbye_s
                    else:
                        nursery.cancel_scope.cancel()
            if link.scope.cancelled_caught and not link.ended:
                link.ended = f"not up within {self._limits.unauthenticated_s:g} s"
        finally:
            link.stream.socket.close()
            self._links.pop(link, None)
            self._admission.leave(link)
            self._down(link)
            if not self._links:
                self._empty.set()
        if not self._closing:
            self._sink("connection-closed", {"remote": link.remote, "reason": link.ended}, "debug")

    async def _read(self, link: PeerLink, nursery: trio.Nursery) -> None:
        connection, limits = link.connection, self._limits
        read_bytes = STRANGER_READ_BYTES
        await self._flush(link)
        while not link.ended:
            try:
                data = await link.stream.receive_some(read_bytes)
            except _LOST as error:
                link.end(f"the connection is lost: {error}", orderly=False)
                return
            if not data:
                link.end("the peer closed the connection", orderly=False)
                return
            if connection.state == "handshake" and not connection.dialled:
                await self._until(self._admission.handshake_us(link.remote, self._clock.now_us()))
            try:
                messages = connection.receive(data, self._clock.now_us())
                self._refuse_second(link)
            except RemoteProtocolError as error:
                await self._refuse(link, error)
                return
            parting = connection.parting
            if not link.up and connection.peer_hello is not None and parting is None:
                self._up(link)
                nursery.start_soon(link.write, self._clock, limits.send_bytes)
                read_bytes = limits.read_bytes_core if self._is_core(link) else limits.read_bytes
            elif not link.up:
                await self._flush(link)
            if messages:
                await self._deliver(link, messages)
            if parting is not None:
                link.code = parting.code
                link.end(f"the peer said {parting.code}: {parting.reason}", orderly=False)
                return
            self._check_partial(link)
            await self._room()

    async def _deliver(self, link: PeerLink, messages: Sequence[AnyMessage]) -> None:
        """Give the core messages one by one, as fast as it lets this peer go on and the others have their turns."""
        peer, left = link.connection.peer_id, self._limits.deliver_max
        for message in messages:
            if link.held_until_us:
                await self._until(link.held_until_us)
                link.held_until_us = 0
                left = self._limits.deliver_max
            elif not left:
                await trio.lowlevel.checkpoint()
                left = self._limits.deliver_max
            if not link.up or peer is None or self._peers.get(peer) is not link:
                return
            left -= 1
            self._counts["received"] += 1
            self._feed([Received(peer, message)])

    async def _until(self, at_us: int) -> None:
        """Wait until a time of the clock."""
        while (wait_us := at_us - self._clock.now_us()) > 0:
            await trio.sleep(wait_us / 1_000_000)

    def _check_partial(self, link: PeerLink) -> None:
        """Close the connection with the longest unfinished frame if all of them together are too long."""
        if link.connection.buffered_bytes > FULL_BYTES and sum(
            other.connection.buffered_bytes for other in self._links
        ) > self._limits.partial_bytes_all_max:
            longest = max(self._links, key=lambda other: other.connection.buffered_bytes)
            self._counts["too_slow"] += 1
            longest.end("its frame does not come to an end, and too many such bytes are held", orderly=False)

    def _refuse_second(self, link: PeerLink) -> None:
        connection = link.connection
        if not link.up and connection.peer_hello is not None and connection.peer_id is not None and self._is_second(
            link, connection.peer_id
        ):
            raise RemoteProtocolError(
                "another connection between the two nodes is kept", penalty=0, code="duplicate")

    async def _flush(self, link: PeerLink) -> None:
        """Write the connection's own words while no writer runs."""
        try:
            await link.flush(self._clock)
        except _LOST as error:
            link.end(f"the connection is lost: {error}", orderly=False)

    async def _refuse(self, link: PeerLink, error: RemoteProtocolError) -> None:
        """End a connection whose peer broke a rule, and tell it if it can still be told."""
        self._counts["refused"] += 1
        connection = link.connection
        peer = connection.peer_id
        self._sink("peer-refused", {
            "remote": link.remote, "peer": peer.hex() if peer is not None else None,
            "code": error.code, "reason": error.reason}, "info" if peer is not None else "debug")
        reason = f"{error.code}: {error.reason}"
        if link.up:
            link.fault = error
            link.end(reason, orderly=connection.alive, last=encode_message(goodbye(error.code, error.reason)))
            return
        link.code = error.code
        connection.refuse(error.code, error.reason)
        with trio.move_on_after(self._limits.goodbye_s):
            await self._flush(link)
        link.end(reason, orderly=False)
