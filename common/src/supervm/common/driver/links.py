"""Connections of one node: dialling, admitting, and sending over them.

Theory of operation. Each connection has one task that reads (`reading`) and, once it is up, one that writes (`peer`).
A peer that does not read what it asked for loses its connection when its queue is full, or when all queues together
hold too much and its is the fullest. Which of two connections to one peer is kept says `replacing`; what carries their
bytes is a pipe of some transport (`transports`).
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

import trio

from supervm.protocol.base.address import encode_node_id
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.frames import encode_message

from ..contract.core import DialFailed
from ..link import LinkSession
from ..link.connection import Connection, goodbye
from .events import ConnectionRefused, MessageNotSent
from .peer import OutQueue, PeerLink
from .reading import Reader
from .replacing import Replacing
from .table import FULL_BYTES, LinkTable, Node
from .transports.contract import Pipe, Traits, traits_of
from .transports.registry import Transports

STATIC_PROOF_MS = 366 * 86_400_000
"""How long our node key's word for the link key is given, per connection. The link key lives no longer than the
process; the time is long so that a device whose clock is months behind still gets to a Hello that tells it so."""


class Links:
    """All connections of one node.

    Args:
        node: whose they are.
        transports: what they are carried by.
        room: waits until more may be read.
        entropy: source of ephemeral keys.
    """

    def __init__(
        self,
        node: Node,
        transports: Transports,
        room: Callable[[], Awaitable[None]],
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._node = node
        self._transports = transports
        self._entropy = entropy
        self._table = LinkTable(node)
        self._replacing = Replacing(self._table)
        self._reader = Reader(self._table, self._replacing, room)
        self._empty = trio.Event()
        self._wrote = trio.Event()
        self._last_encoded: tuple[Message, bytes] | None = None

    # --- for the driver ----------------------------------------------------------------------------------------------

    def is_up(self, peer: bytes) -> bool:
        """Return whether a peer is up."""
        return peer in self._table.peers

    def send(self, peer: bytes, message: Message) -> None:
        """Send a message to a peer; to one that is not up, it is dropped."""
        link = self._table.peers.get(peer)
        if link is not None:
            self._put(link, message)

    def hang_up(self, peer: bytes, code: str, reason: str) -> None:
        """Close the connection to a peer, telling it why."""
        link = self._table.peers.get(peer)
        if link is not None:
            self._replacing.drop(link, code, reason)

    def hold(self, peer: bytes, until_us: int) -> None:
        """Give the core nothing more from a peer until then."""
        link = self._table.peers.get(peer)
        while link is not None:
            link.held_until_us = until_us
            link = link.before

    async def close(self, reason: str) -> None:
        """Say goodbye to everyone and wait until it is written, a second at most."""
        self._table.closing = True
        last = encode_message(goodbye("shutdown", reason))
        for link in list(self._table.links):
            link.end(reason, orderly=link.up, last=last if link.up else None)
        if self._table.links:
            self._empty = trio.Event()
            with trio.move_on_after(self._node.limits.goodbye_s):
                await self._empty.wait()

    async def watch(self) -> None:
        """End, for ever, connections that their medium has given up (network.md 3).

        A node that sends nothing does not wake up for it.
        """
        while True:
            await self._wrote.wait()
            self._wrote = trio.Event()
            are_waiting = True
            while are_waiting:
                await trio.sleep(self._node.limits.unacknowledged_s / 4)
                are_waiting = self._end_lost(trio.current_time())

    def _end_lost(self, now_s: float) -> bool:
        """End the connections that are lost; return whether it has to be looked at again."""
        are_waiting = False
        for link in list(self._table.links):
            lost = link.pipe.lost(now_s)
            if lost:
                link.end(lost, orderly=False)
            are_waiting = are_waiting or link.pipe.awaits_word
        return are_waiting

    def _note_write(self) -> None:
        self._wrote.set()

    def metrics(self) -> dict[str, int]:
        """Return counters and gauges."""
        return self._table.metrics()

    # --- connections come --------------------------------------------------------------------------------------------

    async def serve(self, pipe: Pipe, traits: Traits) -> None:
        """Take a pipe that somebody has dialled until it ends, or close it at once."""
        table, key = self._table, pipe.admission_key
        refusal = "the node is stopping" if table.closing else table.admission.refusal(key)
        if refusal is not None:
            table.counts["refused"] += 1
            self._node.sink(ConnectionRefused(pipe.remote, refusal))
            await pipe.aclose()
            return
        link = self._link(pipe, traits, None, None, initiator=False)
        evicted = table.admission.enter(link, key)
        if evicted is not None:
            evicted.end("pushed out by newer connections", orderly=False)
        await self._run(link)

    async def dial(self, address: str, peer: bytes | None) -> None:
        """Connect, and take the connection until it ends; the core learns of either outcome."""
        feed, dial_s = self._node.feed, self._node.limits.dial_s
        try:
            transport, rest = self._transports.of(address)
            traits = traits_of(transport, rest)
            with trio.fail_after(dial_s):
                pipe = await transport.dial(rest)
        except trio.TooSlowError:
            feed([DialFailed(address, f"no answer within {dial_s:g} s")])
            return
        except (OSError, ValueError) as error:
            feed([DialFailed(address, str(error))])
            return
        initiator = not pipe.simultaneous
        if pipe.simultaneous:
            if peer is None:
                await pipe.aclose()
                feed([DialFailed(address, "both ends dialled, and without the peer's node id none of them can begin")])
                return
            initiator = self._node.identity.node_key.public < peer
        link = self._link(pipe, traits, address, peer, initiator=initiator)
        await self._run(link)
        if not link.up:
            found = link.connection.peer_id
            there = found if found is not None and self.is_up(found) else None
            feed([DialFailed(address, link.ended, there, link.code)])

    def _link(
        self, pipe: Pipe, traits: Traits, address: str | None, expected_peer: bytes | None, *, initiator: bool
    ) -> PeerLink:
        node = self._node
        now_us = node.clock.now_us()
        session = LinkSession(
            initiator=initiator,
            static_private=node.identity.static_private,
            ephemeral_private=self._entropy(32),
            node_key=node.identity.node_key,
            chain_id=node.identity.chain_id,
            expected_peer=expected_peer,
            not_after_ms=now_us // 1000 + STATIC_PROOF_MS,
            now_ms=now_us // 1000,
            record_bytes_max=traits.record_bytes_max,
            prologue_extra=pipe.prologue_extra,
        )
        link = PeerLink(
            Connection(session, node.local, dialled=address is not None, opened_us=now_us),
            pipe,
            traits,
            OutQueue(node.limits.queue_bytes_max),
            address,
            trio.CancelScope(deadline=trio.current_time() + traits.unauthenticated_s(node.limits)),
            trio.CancelScope(),
            self._note_write,
        )
        self._table.links[link] = None
        return link

    async def _run(self, link: PeerLink) -> None:
        try:
            await self._reader.run(link)
        finally:
            if not self._table.links:
                self._empty.set()

    # --- sending -----------------------------------------------------------------------------------------------------

    def _put(self, link: PeerLink, message: Message) -> None:
        last = self._last_encoded
        if last is not None and last[0] is message:  # one message to many peers is encoded once
            frame = last[1]
        else:
            frame = encode_message(message)
            self._last_encoded = (message, frame)
        connection, table = link.connection, self._table
        if not connection.may_send(message) or len(frame) > connection.frame_bytes_max:
            table.counts["not_sent"] += 1
            peer = connection.peer_id
            self._node.sink(
                MessageNotSent(
                    type(message).__name__,
                    None if peer is None else encode_node_id(peer),
                    connection.peer_tier,
                    len(frame),
                    level="debug" if connection.clock_wrong else "error",
                )
            )
            return
        if link.queue.put(frame, droppable=type(message) in self._node.local.wire.droppable) == "full":
            self._too_slow(link, f"{link.queue.bytes} bytes wait for the peer to read")
            return
        table.counts["sent"] += 1
        if (
            link.queue.bytes > FULL_BYTES
            and sum(other.queue.bytes for other in table.links) > self._node.limits.queued_bytes_all_max
        ):
            fullest = max(table.peers.values(), key=lambda other: other.queue.bytes)
            self._too_slow(fullest, f"{fullest.queue.bytes} bytes wait for the peer to read, and too many for all")

    def _too_slow(self, link: PeerLink, reason: str) -> None:
        """Drop a connection whose peer does not read what it asked for."""
        self._table.counts["too_slow"] += 1
        self._replacing.drop(link, "slow", reason, orderly=False)
