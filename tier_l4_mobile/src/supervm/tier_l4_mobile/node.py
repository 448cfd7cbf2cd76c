"""The L4 node: wallet accounts, the durable queue, the light client and one edge at a time.

Theory of operation. The parts share one outbox and never call the driver. A step hands its input to the part it
concerns and then closes the books: choose an edge, release what may go, write every changed row in one record list,
and only then send - submissions and answers wait for that write. `PaymentQueue` alone decides about slots,
`Sync` alone believes proofs, `Courier` alone submits; so a restart, which rebuilds the queue from its rows, cannot
release a second transaction for a slot. While nothing can be believed (`LightMemory`: a fork, or trust that has grown
too old), payments are queued and nothing new is released.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

from supervm.common.chain_clock import ClockWatch
from supervm.common.core import (
    Command,
    DialFailed,
    Durable,
    Effect,
    Input,
    Outbox,
    PeerDown,
    PeerUp,
    Received,
    Started,
    Tick,
    WorkDone,
    earliest,
)
from supervm.common.light_memory import LightMemory
from supervm.common.parts.manners import Manners, Rank
from supervm.common.peering import Peering
from supervm.common.records import Reader
from supervm.protocol.checkpoint import CertifiedCheckpoint
from supervm.protocol.codec import decode
from supervm.protocol.errors import RemoteProtocolError
from supervm.protocol.genesis import Chain
from supervm.protocol.keys import SigningKey
from supervm.protocol.light import Anchor
from supervm.protocol.votes import Verify
from supervm.protocol.wire.messages import (
    LEVEL_EXPIRED,
    LEVEL_REFUSED,
    AccountProofs,
    AnyMessage,
    ForkMessage,
    Goodbye,
    Heartbeat,
    ReceiptAnswer,
    Status,
    ValidatorChanges,
)

from .budgets import BUDGETS
from .courier import Courier
from .owner import VALIDITY_MS, Commands
from .queue import PaymentQueue
from .sync import Sync
from .uplink import Uplink

EDGE_TIER = 3
SAVE_US = 600_000_000
"""Checkpoints that are remembered are written with the next payment's row, or after this time."""


class MobileNode:
    """One L4.

    Args:
        chain: the network.
        keys: account id -> key of every account of this node, the default account first.
        names: names that the owner gives some of them.
        peers: (node id or None, ``host:port``) of edges.
        reader: what is durable.
        verify: signature verification.
        rng: jitter of the dialling.
        validity_ms: default validity of a payment in ms.
        anchor: what the owner gives to start from instead of genesis.
    """

    def __init__(
        self, chain: Chain, keys: Mapping[bytes, SigningKey], *, peers: Iterable[tuple[bytes | None, str]],
        reader: Reader, verify: Verify, rng: random.Random, names: Mapping[str, bytes] | None = None,
        validity_ms: int = VALIDITY_MS, anchor: Anchor | None = None,
    ) -> None:
        self._outbox = Outbox()
        self.peering = Peering(self._outbox, peers, rng)
        self.manners = Manners(self._outbox, BUDGETS, grave=1)  # there are other edges
        self.queue = PaymentQueue(
            chain.chain_id, keys, reader, window=chain.parameters.window,
            validity_ms_max=chain.parameters.validity_ms_max,
        )
        self._memory = LightMemory(chain, reader, self._outbox, verify, anchor=anchor)
        self.client = self._memory.client
        self._clock = ClockWatch(self._outbox)
        self.uplink = Uplink()
        test = chain.parameters.test_network
        self._courier = Courier(self._outbox, self.queue)
        self._sync = Sync(self._outbox, self.queue, self._memory, test_network=test)
        self._commands = Commands(
            self._outbox, self.queue, self._courier, self._sync, self._memory, self.uplink, self.peering, self._clock,
            names=names or {},
            test_network=test, validity_ms=validity_ms, validity_ms_max=chain.parameters.validity_ms_max,
        )
        self._unwritten = 0  # token of the newest write that is not durable yet
        self._saved_us = 0

    @property
    def deadline_us(self) -> int | None:
        """When the node wants a `Tick`."""
        return earliest(self.peering.deadline_us, self._courier.deadline_us, self._sync.deadline_us)

    def step(self, now_us: int, event: Input) -> list[Effect]:
        """Take one input and return what has to be done."""
        match event:
            case Received(peer, message):
                self.peering.heard(now_us, peer)
                if self.manners.admit(now_us, peer, message):
                    self._take(now_us, peer, message)
            case Tick():
                self._tick(now_us)
            case Durable(token):
                if token == self._unwritten:
                    self._unwritten = 0
            case Command(token, request):
                self._commands.handle(now_us, token, request)
            case PeerUp():
                rank = Rank.STRANGER if event.address is None else Rank.NAMED
                if self.manners.peer_up(now_us, event, rank):
                    self.peering.peer_up(now_us, event)
                    fork = self._memory.fork_message
                    if fork is not None and event.tier == EDGE_TIER:
                        self._outbox.send(event.peer, fork)
            case PeerDown():
                self.manners.peer_down(now_us, event)
                self.peering.peer_down(now_us, event)
            case DialFailed():
                self.peering.dial_failed(now_us, event)
            case Started():
                self._start(now_us)
            case WorkDone():
                pass  # this node asks for none
        self._close_books(now_us)
        return self._outbox.drain()

    def _start(self, now_us: int) -> None:
        self.queue.changes.start(now_us)
        self._memory.start()
        self._saved_us = now_us
        self._look_at_clock(now_us)
        self._courier.start()
        self.peering.tick(now_us)

    def _tick(self, now_us: int) -> None:
        self.peering.tick(now_us)
        self._look_at_clock(now_us)
        online = self.uplink.active is not None
        silent = self._courier.tick(now_us, online=online, news_us=self.uplink.news_us)
        overdue = self._sync.tick(now_us, online=online)
        followed, fault = self._sync.followers.tick(now_us)
        if followed:
            self._sync.validators_changed()
        if fault is not None:
            self._blame(now_us, *fault)
        if (silent or overdue) and self.uplink.rotate(self._edges(), now_us):
            self._outbox.publish("edge changed", level="info", reason="the one before gave no news")
            self._edge_changed(now_us)

    def _take(self, now_us: int, peer: bytes, message: AnyMessage) -> None:
        try:
            self._received(now_us, peer, message)
        except RemoteProtocolError as error:
            if error.code == "unknown-set":
                self._sync.followers.ask(peer, now_us)
            elif error.code == "future" and isinstance(message, AccountProofs):
                self._from_the_future(now_us, message.checkpoint)
            else:
                self._blame(now_us, peer, error)

    def _received(self, now_us: int, peer: bytes, message: AnyMessage) -> None:
        match message:
            case Status(items):
                self.uplink.news(peer, now_us)
                for item in items:
                    payment = self.queue.claim(item.transfer_id, item.level, item.reason, now_us)
                    if payment is not None and item.level == LEVEL_REFUSED:
                        self._courier.refused(payment, now_us)
                    elif item.level == LEVEL_EXPIRED:
                        self._look_again(item.transfer_id)
                if peer == self.uplink.active and any(
                    item.level in (LEVEL_REFUSED, LEVEL_EXPIRED) and self.queue.may_run(item.transfer_id, now_us)
                    for item in items
                ) and self.uplink.leave(self._edges(), now_us):
                    self._outbox.publish("edge changed", level="info", reason="the one before refused a payment")
                    self._edge_changed(now_us)
            case AccountProofs():
                own, news = self._sync.proofs(message, now_us)
                if own:
                    self.uplink.news(peer, now_us)
                    # a phone may have thousands of accounts that each block touches
                    self.manners.refund(peer, message, part=news, of=len(message.proofs))
                self.peering.height = self.client.header.height
            case ReceiptAnswer():
                if self._sync.receipt(message, now_us):
                    self.uplink.news(peer, now_us)
            case ValidatorChanges(changes):
                others = [edge for edge in self._edges() if edge != peer]
                if self._sync.followers.received(peer, changes, others, now_us):
                    self._sync.validators_changed()
            case ForkMessage():
                self._memory.fork(message, now_us // 1000)
            case Heartbeat():
                self.peering.heartbeat(peer, message)
            case Goodbye(code, reason):
                self._outbox.publish("peer says goodbye", peer=peer.hex(), code=code, reason=reason)
            case _:
                raise RemoteProtocolError(
                    f"a {type(message).__name__} was sent to an L4, which has no use for it", code="unexpected"
                )

    def _look_again(self, transfer_id: bytes) -> None:
        payment = self.queue.find(transfer_id.hex())
        if payment is not None:
            self._sync.want((payment.account,))

    def _blame(self, now_us: int, peer: bytes, error: RemoteProtocolError) -> None:
        if error.code in ("fork", "expired"):
            return  # nobody's fault, and told once by `tell_doubt`
        # A checkpoint from the future may as well mean that our own clock is late: such a link stays (network.md 3).
        if error.code == "future":
            error.penalty = 0
        if self.manners.blame(now_us, peer, error):
            self.uplink.punish(peer, error.penalty)

    def _from_the_future(self, now_us: int, checkpoint: bytes) -> None:
        """Say that an edge shows what is dated ahead of our clock; which of the two is wrong, nobody here knows."""
        header = decode(CertifiedCheckpoint, checkpoint, bytes_max=1 << 20).header
        self._clock.look(now_us, header.height, header.ts_ms)

    def _look_at_clock(self, now_us: int) -> None:
        header = self.client.header
        self._clock.look(now_us, header.height, header.ts_ms)

    def _edges(self) -> list[bytes]:
        return [edge for edge in self.peering.of_tier(EDGE_TIER) if self.manners.is_up(edge)]

    def _edge_changed(self, now_us: int) -> None:
        edge = self.uplink.active
        if edge is not None:
            self._courier.edge_changed(now_us)
            self._sync.edge_changed(edge, now_us)

    def _close_books(self, now_us: int) -> None:
        if self.uplink.choose(self._edges(), now_us):
            self._edge_changed(now_us)
        edge = self.uplink.active
        self._memory.tell_doubt(now_us // 1000)
        fork = self._memory.take_fork()
        if fork is not None:
            for peer in self._edges():
                self._outbox.send(peer, fork[1], after=fork[0])
        if edge is not None and self.client.is_trusting(now_us // 1000):
            self._courier.pump(now_us)
        records = self.queue.take_records()
        if records or now_us >= self._saved_us + SAVE_US:
            self._saved_us = now_us
            records += self._memory.take_records()
        if records:
            self._unwritten = self._outbox.persist(*records)
        if edge is not None:
            self._courier.flush(edge, now_us, after=self._unwritten)
            self._sync.want(self._courier.questions)
            self._sync.flush(edge)
        self._courier.questions.clear()
        for replies in (self._commands.replies, self._sync.replies):
            for token, value in replies:
                self._outbox.reply(token, value, after=self._unwritten)
            replies.clear()
