"""The core of an edge: what arrives, and which part takes it (architecture.md 2, 3).

A client's transfer goes intake (quick-verify) -> relay (durable, R0, best miner), and its news come back from the
relay. A client's question goes to the proof service, which answers from the cache or asks a miner. Every part gathers
what it has to say during a step; `step` ends by forwarding and sending it, so one step makes few large messages.

Nothing here is trusted: clients see proofs that they verify themselves, and what miners say is checked or only passed
on as a claim. Only miners that genesis names are asked; everybody else is a client.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

from supervm.common.contract.core import (
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
from supervm.common.contract.records import Reader
from supervm.common.parts.chain_clock import ClockWatch, age_ms
from supervm.common.parts.costs import ACCOUNT
from supervm.common.parts.light_memory import LightMemory
from supervm.common.parts.manners import SCORE_MAX, Manners, Rank
from supervm.common.parts.peering import Peering
from supervm.protocol.base.address import encode_node_id
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint
from supervm.protocol.chain.edge import sign_edge_record
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.chain.votes import Verify
from supervm.protocol.light.client import Anchor, ValidatorChange
from supervm.protocol.wire.chain import CheckpointMessage
from supervm.protocol.wire.link import Goodbye, Heartbeat, Hello
from supervm.protocol.wire.messages import AnyMessage
from supervm.protocol.wire.payments import (
    CHANGES_MAX,
    LEVEL_EXPIRED,
    LEVEL_R3,
    LEVEL_REFUSED,
    AccountProofs,
    EdgeRegistration,
    ForkMessage,
    GetAccounts,
    GetReceipt,
    GetValidatorChanges,
    ReceiptAnswer,
    Status,
    Submit,
    Subscribe,
    Unsubscribe,
    ValidatorChanges,
)

from .budgets import RECEIPT, budgets
from .intake.intake import Intake
from .intake.news import News
from .intake.store import Store
from .messages import Info, Statistics
from .options import EdgeOptions
from .proofs.cache import ProofCache
from .proofs.headers import Headers
from .proofs.proofs import Proofs
from .relay.relay import Relay
from .relay.routes import Routes

CHANGES_US = 1_000_000
"""Shortest time between two questions for changes of validators."""
SAVE_US = 10_000_000
"""Shortest time between two writes of the checkpoints that are remembered."""
CLIENT_TIERS = (0, 4)
BAD_SIGNATURE_PENALTY = 20
"""Points for a transfer whose signature is not its sender's."""


class EdgeNode:
    """An L3 (`supervm.common.contract.core.Core`).

    Args:
        chain: the network.
        key: the node key; it signs the registration with the miners.
        payout: account that the edge's share of fees is paid to; None: the edge registers nothing and earns nothing.
        reader: durable state to start from, with the tables of `tables.EDGE_TABLES`.
        targets: (node id or None, ``host:port``) of the miners to stay connected to.
        rng: jitter of dials and draws between equal miners.
        verify: signature verification, for checkpoints.
        options: bounds.
        anchor: what the operator gives to trust from instead of genesis.
    """

    def __init__(
        self,
        *,
        chain: Chain,
        key: SigningKey,
        payout: bytes | None,
        reader: Reader,
        targets: Iterable[tuple[bytes | None, str]],
        rng: random.Random,
        verify: Verify,
        options: EdgeOptions | None = None,
        anchor: Anchor | None = None,
    ) -> None:
        options = options or EdgeOptions()
        self._options = options
        self._chain = chain
        self._key = key
        self._payout = payout
        self._registration: EdgeRegistration | None = None
        self._outbox = Outbox()
        self._peering = Peering(self._outbox, targets, rng)
        self._routes = Routes(chain.payout_of_miner, self._peering.loads, rng)
        self._news = News(self._outbox)
        self._memory = LightMemory(chain, reader, self._outbox, verify, anchor=anchor)
        self._light = light = self._memory.client
        self._saved_us = 0
        self._changes_asked_us: int | None = None
        self._clock = ClockWatch(self._outbox)
        self._headers = Headers(light)
        self._cache = ProofCache(options.cache_bytes_max)
        self._proofs = Proofs(
            self._outbox,
            self._routes,
            light,
            self._headers,
            self._cache,
            subscriptions_max=options.subscriptions_max,
        )
        self._store = Store(self._outbox, reader, chain_id=chain.chain_id, store_max=options.store_max)
        self._relay = Relay(self._outbox, self._news, self._routes, self._store)
        self._manners = Manners(self._outbox, budgets(options.rates), name=encode_node_id)
        self._intake = Intake(
            self._outbox,
            self._news,
            self._store,
            self._relay,
            self._proofs,
            self._manners,
            chain_id=chain.chain_id,
        )

    @property
    def deadline_us(self) -> int | None:
        """When the core wants a `Tick`."""
        return earliest(self._peering.deadline_us, self._relay.deadline_us, self._proofs.deadline_us)

    def step(self, now_us: int, event: Input) -> list[Effect]:
        """Take one input and return what has to be done."""
        match event:
            case Received(peer, message):
                self._received(now_us, peer, message)
            case WorkDone(token, result):
                self._checked(now_us, token, result)
            case Durable(token):
                self._relay.durable(token)
            case Started():
                self._start(now_us)
            case Tick():
                self._tick(now_us)
            case PeerUp():
                self._peer_up(now_us, event)
            case PeerDown():
                self._peer_down(now_us, event)
            case DialFailed():
                self._peering.dial_failed(now_us, event)
            case Command(token, request):
                self._command(now_us, token, request)
        self._relay.forward(now_us)
        self._proofs.flush()
        self._news.flush()
        self._remember(now_us)
        return self._outbox.drain()

    def _remember(self, now_us: int) -> None:
        """Write what the light client remembers now and then, and pass on a fork that was found."""
        if self._saved_us + SAVE_US <= now_us:
            self._saved_us = now_us
            records = self._memory.take_records()
            if records:
                self._outbox.persist(*records)
        self._memory.tell_doubt(now_us // 1000)
        found = self._memory.take_fork()
        if found is not None:
            for peer, info in self._peering.up.items():
                if peer in self._routes.up or info.tier in CLIENT_TIERS:
                    self._outbox.send(peer, found[1], after=found[0])

    # --- peers -------------------------------------------------------------------------------------------------------

    def _start(self, now_us: int) -> None:
        if self._payout is not None:
            # the time as counter: a restarted edge replaces its older record without keeping anything
            record = sign_edge_record(self._key, self._chain.chain_id, self._payout, now_us)
            self._registration = EdgeRegistration(encode(record))
        self._memory.start()
        self._saved_us = now_us
        self._tick(now_us)

    def _tick(self, now_us: int) -> None:
        newest = self._headers.newest_header
        self._clock.look(now_us, newest.height, newest.ts_ms)
        self._peering.height = newest.height
        self._peering.load_percent = min(100, 100 * len(self._store) // self._options.store_max)
        self._peering.tick(now_us)
        self._relay.tick(now_us)
        self._proofs.tick(now_us)

    def _peer_up(self, now_us: int, event: PeerUp) -> None:
        is_miner = self._routes.is_miner(event.peer, event.tier)
        if not self._manners.peer_up(now_us, event, Rank.NAMED if is_miner else Rank.STRANGER):
            return
        self._peering.peer_up(now_us, event)
        fork = self._memory.fork_message
        if fork is not None and (is_miner or event.tier in CLIENT_TIERS):
            self._outbox.send(event.peer, fork)
        if is_miner:
            self._routes.add(now_us, event.peer)
            if self._registration is not None:
                self._outbox.send(event.peer, self._registration)
            self._relay.miner_up(now_us)
            self._proofs.miner_up(now_us)

    def _peer_down(self, now_us: int, event: PeerDown) -> None:
        self._peering.peer_down(now_us, event)
        self._manners.peer_down(now_us, event)
        self._intake.forget(event.peer)
        self._proofs.client_down(event.peer)
        if event.peer in self._routes.up:
            self._routes.remove(event.peer)
            self._relay.leave(event.peer)
            self._proofs.miner_down(now_us, event.peer)

    def _received(self, now_us: int, peer: bytes, message: AnyMessage) -> None:
        info = self._peering.up.get(peer)
        self._peering.heard(now_us, peer)
        if info is None or not self._manners.admit(now_us, peer, message):
            return  # it was hung up, and this was already on its way; or clients ask too much together
        try:
            if peer in self._routes.up:
                self._from_miner(now_us, peer, message)
            else:
                self._from_client(now_us, peer, info.clock_offset_ms, message)
        except RemoteProtocolError as error:
            self._punish(now_us, peer, error.penalty, error.code, error.reason)

    def _from_miner(self, now_us: int, peer: bytes, message: AnyMessage) -> None:
        match message:
            case Status(items):
                self._relay.status(now_us, peer, items)
            case AccountProofs() | CheckpointMessage():
                self._proof_from_miner(now_us, peer, message)
            case ReceiptAnswer():
                self._proofs.receipt(message)
            case ValidatorChanges(changes):
                self._validators_changed(now_us, peer, changes)
            case ForkMessage():
                self._memory.fork(message, now_us // 1000)
            case _:
                self._from_anybody(peer, message)

    def _proof_from_miner(self, now_us: int, peer: bytes, message: AccountProofs | CheckpointMessage) -> None:
        try:
            if isinstance(message, AccountProofs):
                self._proofs.proofs(now_us, peer, message)
            else:
                self._proofs.checkpoint(now_us, peer, message.checkpoint)
        except RemoteProtocolError as error:
            if error.code == "unknown-set":
                self._ask_changes(now_us, peer)
            elif error.code == "future":  # the one fault that may be our own clock's: nobody is blamed for it
                header = decode(CertifiedCheckpoint, message.checkpoint, bytes_max=1 << 20).header
                self._clock.look(now_us, header.height, header.ts_ms)
                return
            elif error.code not in ("fork", "expired"):  # whoever brings these may be right
                self._routes.lied(peer)
                error.penalty = SCORE_MAX
            raise

    def _ask_changes(self, now_us: int, miner: bytes) -> None:
        """Ask who validates now: a checkpoint came that our validators have not signed."""
        if self._changes_asked_us is None or now_us - self._changes_asked_us >= CHANGES_US:
            self._changes_asked_us = now_us
            self._outbox.send(miner, GetValidatorChanges(self._light.changed_height))

    def _validators_changed(self, now_us: int, miner: bytes, changes: Sequence[bytes]) -> None:
        """Follow the validators, step by step."""
        followed = False
        for raw in changes:
            change = decode(ValidatorChange, raw, bytes_max=1 << 20)
            if self._memory.follow(change, now_us // 1000):
                followed = True
                self._proofs.validators_changed(ValidatorChanges((raw,)))
        if followed and len(changes) == CHANGES_MAX:
            self._outbox.send(miner, GetValidatorChanges(self._light.changed_height))

    def _from_client(self, now_us: int, peer: bytes, clock_offset_ms: int, message: AnyMessage) -> None:
        match message:
            case Submit(transfers):
                penalty = self._intake.submit(now_us, peer, transfers, clock_offset_ms)
                if penalty:
                    self._punish(now_us, peer, penalty, "bad-transfers", "transfers that no wallet makes")
            case Subscribe(accounts):
                granted = self._manners.take(now_us, peer, "accounts", len(accounts), each=ACCOUNT)
                self._proofs.subscribe(now_us, peer, accounts[:granted])
            case Unsubscribe(accounts):
                self._proofs.unsubscribe(peer, accounts)
            case GetAccounts(accounts):
                granted = self._manners.take(now_us, peer, "accounts", len(accounts), each=ACCOUNT)
                self._proofs.get(now_us, peer, accounts[:granted])
            case GetValidatorChanges(after_height):
                changes = self._memory.answer(after_height)
                self._outbox.send(peer, changes)
                self._manners.answered(now_us, peer, "history", sum(map(len, changes.changes)))
            case ForkMessage():
                self._memory.fork(message, now_us // 1000)
            case GetReceipt(transfer_id):
                if self._manners.take(now_us, peer, "receipts", 1, each=RECEIPT):
                    self._proofs.get_receipt(now_us, peer, transfer_id)
            case _:
                self._from_anybody(peer, message)

    def _from_anybody(self, peer: bytes, message: AnyMessage) -> None:
        match message:
            case Heartbeat():
                self._peering.heartbeat(peer, message)
            case Goodbye(code, reason):
                self._outbox.publish("goodbye", peer=encode_node_id(peer), code=code, reason=reason)
            case Hello():
                pass  # the driver has taken it; a second one says nothing new
            case _:
                raise RemoteProtocolError(
                    f"{type(message).__name__} is not for an edge, or not from this peer", code="unexpected"
                )

    def _punish(self, now_us: int, peer: bytes, penalty: int, code: str, reason: str) -> None:
        if penalty:
            self._manners.blame(now_us, peer, RemoteProtocolError(reason, penalty=penalty, code=code))

    def _checked(self, now_us: int, token: int, result: Any) -> None:
        done = self._intake.checked(now_us, token, result)
        if done is not None and done[1]:
            peer, bad = done
            reason = f"{bad} transfers with signatures that are not their senders'"
            self._punish(now_us, peer, BAD_SIGNATURE_PENALTY * bad, "bad-signature", reason)

    # --- the owner ---------------------------------------------------------------------------------------------------

    def _command(self, now_us: int, token: int, request: object) -> None:
        match request:
            case Info():
                self._outbox.reply(token, self.info(now_us))
            case Statistics():
                self._outbox.reply(token, self.statistics())
            case _:
                self._outbox.refuse(token, f"an edge does not know the request {type(request).__name__}")

    def info(self, now_us: int) -> dict[str, Any]:
        """Return how the node stands."""
        header = self._headers.newest_header
        old_ms = age_ms(header.ts_ms, now_us)
        problems = (self._clock.problem(now_us), *self._peering.problems(now_us))
        return {
            "tier": 3,
            "node_id": encode_node_id(self._key.public),
            "chain_id": self._chain.chain_id.hex(),
            "height": header.height,
            "age_s": None if old_ms is None else old_ms / 1000,
            "problems": [text for text in problems if text is not None],
            "peers": len(self._peering.up),
            "miners": [encode_node_id(peer) for peer in self._routes.up],
            "pending": len(self._store),
            "proofs_cached": len(self._cache),
            "trust": self._memory.info(now_us // 1000),
        }

    def statistics(self) -> dict[str, Any]:
        """Return the counters."""
        cache, store, relay = self._cache, self._store, self._relay
        return {
            "cache": {
                "hits": cache.hits,
                "misses": cache.misses,
                "evictions": cache.evictions,
                "entries": len(cache),
                "bytes": cache.bytes_used,
                "bytes_max": self._options.cache_bytes_max,
            },
            "transfers": {
                "pending": len(store),
                "waiting": relay.waiting(),
                "in_block": store.fates[LEVEL_R3],
                "refused": store.fates[LEVEL_REFUSED],
                "expired": store.fates[LEVEL_EXPIRED],
                "refused_here": dict(sorted(self._intake.refused.items())),
                "failovers": relay.failovers,
            },
            "clients": {
                "peers": len(self._peering.up) - len(self._routes.up),
                "watched_accounts": self._proofs.watched,
            },
            "miners": {
                encode_node_id(peer): {
                    "latency_ms": route.latency_us / 1000,
                    "load_percent": self._peering.loads.get(peer, 0),
                    "out": relay.out_at(peer),
                    "source": peer == self._proofs.source,
                }
                for peer, route in self._routes.up.items()
            },
        }
