"""The L2 node core: mempool, batches, replica and proofs under one contract (architecture.md 2).

`MinerNode` composes the parts and moves values between them; every rule is in its part. An input goes to the part it
concerns; then, whatever it was, the step goes on with what has become possible: execute blocks whose bodies are here,
tell mempool, batches and clients about them, cut batches, push proofs. News of transfers are gathered and leave once
per peer at the end of the step.

Who is a validator is read from the chain, by the node id that the link has proved, never from what a peer says it is.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
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
from supervm.common.parts.ledger import SupplyMismatch
from supervm.common.parts.manners import Manners, Rank
from supervm.common.parts.peering import Peering
from supervm.protocol.base.address import encode_node_id
from supervm.protocol.base.codec import encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.chain.batch_certificate import CertifiedBatch
from supervm.protocol.chain.edge import read_edge_record
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.chain.validators import ValidatorList
from supervm.protocol.light.client import Anchor
from supervm.protocol.wire.chain import (
    BatchMessage,
    BatchVoteMessage,
    BlocksMessage,
    CheckpointMessage,
    GetBatches,
    SnapshotChunk,
)
from supervm.protocol.wire.consensus import ConsensusStatus
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.link import Goodbye, Heartbeat
from supervm.protocol.wire.payments import (
    EdgeRegistration,
    ForkMessage,
    GetAccounts,
    GetReceipt,
    GetValidatorChanges,
    Submit,
    Subscribe,
    Unsubscribe,
    ValidatorChanges,
)

from .budgets import budgets
from .config import MinerOptions
from .errors import Diverged, MinerError
from .mempool.batcher import Batcher
from .mempool.intake import ExecutedIds, Intake, StatusLines
from .mempool.mempool import Mempool
from .messages import Info, NewestAnchor
from .replica.forks import Forks
from .replica.replica import Replica
from .replica.serving import Serving

VALIDATOR_TIER, EDGE_TIER = 1, 3
BAD_SIGNATURE_PENALTY = 20
"""For a chunk of transfers with any bad signature: an honest L3 or phone checks before it submits."""


class MinerNode:
    """One L2 node.

    Args:
        chain: the network.
        key: the node key, which also signs batches.
        reader: durable state, with the tables of `tables.TABLES`.
        targets: peers to stay connected to, (node id or None, ``host:port``).
        rng: source of jitter and of the first validator to follow.
        options: bounds.

    Raises:
        MinerError: the node is not a miner of this genesis.
        SupplyMismatch: the stored state is not one this chain can have.
    """

    def __init__(
        self,
        *,
        chain: Chain,
        key: SigningKey,
        reader: Reader,
        targets: Sequence[tuple[bytes | None, str]],
        rng: random.Random,
        options: MinerOptions | None = None,
    ) -> None:
        if key.public not in chain.payout_of_miner:
            raise MinerError(
                f"node {encode_node_id(key.public)} is not among the miners of this genesis; validators would refuse "
                "its batches"
            )
        options = options or MinerOptions()
        self.chain = chain
        self.node_id = key.public
        self._outbox = Outbox()
        self.peering = Peering(self._outbox, targets, rng)
        self.manners = Manners(self._outbox, budgets(options))
        self._lines = StatusLines(self._outbox)
        self._executed = ExecutedIds()
        self.replica = Replica(
            chain,
            reader,
            self._outbox,
            rng,
            self._own_body,
            lambda: sorted(self.peering.of_tier(VALIDATOR_TIER)),
            receipts_kept=options.receipts_kept,
        )
        self.mempool = Mempool(
            self.replica.ledger.accounts, chain.parameters, options, self._lines.tell, self._was_executed
        )
        self.mempool.executed_ts_ms = self.replica.ledger.header.ts_ms
        self.batcher = Batcher(chain, self.replica.voting_rules, key, self.mempool, options, self._outbox, self.manners)
        self.intake = Intake(chain, self.mempool, options, self._outbox, self._lines, self.manners)
        self.serving = Serving(self.replica, options, self._outbox, self.manners)
        self._forks = Forks(chain, reader, self._outbox, self.replica.changes)
        self._rules = self.replica.voting_rules
        self._clock = ClockWatch(self._outbox, drift_ms=chain.parameters.clock_drift_ms)
        self._halted = False

    def _own_body(self, digest: bytes) -> CertifiedBatch | None:
        return self.batcher.body(digest)

    def _was_executed(self, transfer_id: bytes) -> bool:
        return transfer_id in self._executed or self.replica.knows_receipt(transfer_id)

    # --- the contract -------------------------------------------------------------------------------------------

    @property
    def deadline_us(self) -> int | None:
        """When the node wants a `Tick`."""
        if self._halted:
            return None
        return earliest(
            self.peering.deadline_us,
            self.manners.deadline_us,
            self.replica.deadline_us,
            self.mempool.deadline_us,
            self.batcher.deadline_us,
            self.serving.deadline_us,
        )

    def step(self, now_us: int, event: Input) -> list[Effect]:
        """Take one input; see `supervm.common.contract.core`."""
        if self._halted:
            return []
        try:
            try:
                self._handle(now_us, event)
            except RemoteProtocolError as error:
                if isinstance(event, Received):
                    self._blame(now_us, event.peer, error)
                else:
                    raise
            self._go_on(now_us)
        except (Diverged, SupplyMismatch) as error:
            self._halted = True
            self._outbox.publish("divergence", level="critical", reason=str(error))
            self._outbox.halt(str(error))
        return self._outbox.drain()

    def _handle(self, now_us: int, event: Input) -> None:
        match event:
            case Received(peer, message):
                self.peering.heard(now_us, peer)
                if self.manners.admit(now_us, peer, message):
                    self._receive(now_us, peer, message)
            case WorkDone(token, result):
                culprit = self.intake.verified(now_us, token, result)
                if culprit is not None and culprit in self.peering.up:
                    self._blame(
                        now_us,
                        culprit,
                        RemoteProtocolError(
                            "a submitted transfer's signature is invalid",
                            penalty=BAD_SIGNATURE_PENALTY,
                            code="bad-signature",
                        ),
                    )
            case PeerUp():
                self._peer_up(now_us, event)
            case PeerDown():
                self._peer_down(now_us, event)
            case DialFailed():
                self.peering.dial_failed(now_us, event)
            case Command(token, Info()):
                self._outbox.reply(token, self.info(now_us))
            case Command(token, NewestAnchor()):
                self._anchor(token)
            case Command(token, request):
                self._outbox.refuse(
                    token, f"an L2 takes no {type(request).__name__} request; info and newest_anchor are allowed"
                )
            case Durable(token):
                if self.replica.durable(now_us, token):
                    self.mempool.executed(now_us, self.replica.ledger.accounts, self.replica.ledger.header.ts_ms)
                    self.batcher.settle()
            case Started() | Tick():
                self._look_at_clock(now_us)

    def _go_on(self, now_us: int) -> None:
        replica, mempool, batcher = self.replica, self.mempool, self.batcher
        for peer, question in self.manners.due(now_us):
            try:
                self._receive(now_us, peer, question)
            except RemoteProtocolError as error:
                self._blame(now_us, peer, error)
        replica.tick(now_us)
        blocks = replica.pump(now_us)
        for applied in blocks:
            result = applied.result
            self._executed.add(receipt.transfer_id for receipt in result.receipts)
            self.serving.touched(applied.header.height, result.changes)
            if result.failed:
                self._outbox.publish(
                    "solvency", level="critical", height=applied.header.height, transfers=len(result.failed)
                )
            if result.receipts:
                self._outbox.publish(
                    "executed", level="debug", height=applied.header.height, transfers=len(result.receipts)
                )
        if blocks:
            changed: dict[bytes, None] = {}
            for applied in blocks:
                changed.update(dict.fromkeys(applied.result.changes))
            mempool.executed(now_us, changed, blocks[-1].header.ts_ms)
            batcher.settle()
        if replica.voting_rules.epoch != self._rules.epoch:
            former, self._rules = self._rules, replica.voting_rules
            self.manners.rerank(now_us, lambda peer: self._rank(peer, self.peering.up[peer].tier))
            ups = self._validators_up()
            replica.validators_up(now_us, self._sources(ups))
            batcher.enter_epoch(now_us, self._rules, ups)
            news = replica.changes.answer(former.root_height)  # after a snapshot, of several epochs
            if news.changes:
                self.serving.validators_changed(news)
            self._outbox.publish("epoch", number=self._rules.epoch, validators=len(self._rules.validators))
        if replica.certified_height != self.peering.height:
            self.peering.height = replica.certified_height
            self.serving.certified(replica.certified_height)
        mempool.tick(now_us)
        batcher.tick(now_us)
        batcher.cut(now_us)
        self.serving.tick(now_us)
        self.peering.load_percent = mempool.load_percent
        self.peering.tick(now_us)
        self._lines.flush(self.peering.up.__contains__)

    # --- peers --------------------------------------------------------------------------------------------------

    def _validators_up(self) -> list[bytes]:
        index_of = self.replica.voting_rules.validators.index_of_node
        return [node_id for node_id in self.peering.up if node_id in index_of]

    def _sources(self, validators: list[bytes]) -> list[bytes]:
        """Return whom the replica may follow: without any validator that it knows, every L1 that is there.

        All whom it knew may have handed over while it was off, and what an L1 sends of the chain proves itself.
        """
        return validators or self.peering.of_tier(VALIDATOR_TIER)

    def _is_l1(self, peer: bytes) -> bool:
        return self.peering.up[peer].tier == VALIDATOR_TIER

    def _peer_up(self, now_us: int, event: PeerUp) -> None:
        peer = event.peer
        is_edge = event.tier == EDGE_TIER
        if not self.manners.peer_up(now_us, event, self._rank(peer, event.tier)):
            return
        self.peering.peer_up(now_us, event)
        self.replica.snapshot.gone(now_us, peer)  # what was asked on an earlier connection is lost
        self.serving.client_down(peer)  # a connection that replaces another starts without subscriptions
        self.serving.client_up(now_us, peer, is_edge=is_edge)
        if is_edge:
            self._forks.tell(peer)
        is_validator = peer in self.replica.voting_rules.validators.index_of_node
        if is_validator or event.tier == VALIDATOR_TIER:
            ups = self._validators_up()
            self.replica.validator_down(peer)
            self.replica.validators_up(now_us, self._sources(ups))
            self.batcher.validators_up(ups, new=peer if is_validator else None)

    def _peer_down(self, now_us: int, event: PeerDown) -> None:
        peer = event.peer
        self.manners.peer_down(now_us, event)
        self.peering.peer_down(now_us, event)
        self.replica.snapshot.gone(now_us, peer)
        self.serving.client_down(peer)
        self.intake.peer_down(peer)
        if peer in self.replica.voting_rules.validators.index_of_node or peer == self.replica.source:
            ups = self._validators_up()
            self.replica.validators_up(now_us, self._sources(ups))
            self.batcher.validators_up(ups)

    def _blame(self, now_us: int, peer: bytes, error: RemoteProtocolError) -> None:
        self.manners.blame(now_us, peer, error)

    def _rank(self, peer: bytes, tier: int) -> Rank:
        if peer in self.replica.voting_rules.validators.index_of_node:
            return Rank.MEMBER
        return Rank.NAMED if tier == EDGE_TIER else Rank.STRANGER

    # --- messages -----------------------------------------------------------------------------------------------

    def _receive(self, now_us: int, peer: bytes, message: Message) -> None:
        signer = self.replica.voting_rules.validators.index_of_node.get(peer)
        may_tell = signer is not None or peer == self.replica.source
        match message:
            case Submit(transfers):
                self.intake.submit(now_us, peer, transfers, is_ready=self.replica.is_current)
            case BatchVoteMessage(vote) if signer is not None:
                self.batcher.vote(now_us, signer, vote)
            case BlocksMessage(raw) if may_tell:
                self.replica.blocks(now_us, peer, raw)
            case CheckpointMessage(raw) if may_tell:
                self.replica.checkpoint(raw)
            case BatchMessage(raw) if may_tell:
                self.replica.body(raw)
            case SnapshotChunk():
                if self.replica.snapshot.chunk(now_us, peer, message):
                    self.manners.refund(peer, message)
            case ValidatorChanges():
                self.replica.snapshot.followed(now_us, peer, message)
            case GetBatches(digests) if signer is not None:
                for digest in dict.fromkeys(digests):
                    held = self.batcher.held.get(digest)
                    if held is not None:
                        self._outbox.send(peer, held.message)
                        self.manners.answered(now_us, peer, "history", held.header.bytes)
            case BlocksMessage() | CheckpointMessage() | BatchMessage() | BatchVoteMessage() | GetBatches() if (
                self._is_l1(peer)
            ):
                pass  # of one that was followed, or that validated, until a moment ago
            case Subscribe(accounts):
                self.serving.subscribe(now_us, peer, accounts)
            case Unsubscribe(accounts):
                self.serving.unsubscribe(peer, accounts)
            case GetAccounts(accounts):
                self.serving.accounts(now_us, peer, accounts)
            case GetValidatorChanges(after_height):
                changes = self.replica.changes.answer(after_height)
                self._outbox.send(peer, changes)
                self.manners.answered(now_us, peer, "history", sum(map(len, changes.changes)))
            case ForkMessage():
                self._forks.take(now_us, message, [edge for edge in self.peering.of_tier(EDGE_TIER) if edge != peer])
            case GetReceipt(transfer_id):
                self.serving.receipt(now_us, peer, transfer_id)
            case EdgeRegistration(raw):
                if not self.intake.may_register(now_us, peer):
                    return
                record = read_edge_record(raw, self.chain.chain_id, peer, self.chain.verify)
                self.intake.register_edge(peer, record.payout, record.counter)
            case Heartbeat():
                self.peering.heartbeat(peer, message)
                if self.peering.up[peer].tier == VALIDATOR_TIER:
                    self.replica.snapshot.behind(now_us, message.height, peer)
            case Goodbye(code, reason):
                self._outbox.publish("goodbye", peer=peer.hex(), code=code, reason=reason)
            case ConsensusStatus() if signer is not None:
                pass  # for the other validators
            case _:
                raise RemoteProtocolError(
                    f"an L2 takes no {type(message).__name__} from this peer", penalty=50, code="direction"
                )

    def _anchor(self, token: int) -> None:
        """Give the newest certified header with those who signed it: this node has executed all of the chain to it."""
        certified, rules = self.replica.certified, self.replica.voting_rules
        sets = (rules.validators, *(() if rules.previous is None else (rules.previous,)))
        for validators in sets if certified is not None else ():
            assert certified is not None
            if validators.hash == certified.header.validators_hash:
                header = certified.header
                anchor = Anchor(1, header, ValidatorList(1, validators.members))
                self._outbox.reply(token, {
                    "anchor_hex": encode(anchor).hex(), "chain_id": header.chain_id.hex(), "height": header.height,
                    "ts_ms": header.ts_ms,
                })
                return
        self._outbox.refuse(token, "nothing was certified since this node started; ask again when blocks come")

    def _look_at_clock(self, now_us: int) -> None:
        header = self.replica.ledger.header
        self._clock.look(now_us, header.height, header.ts_ms)

    def _problems(self, now_us: int) -> list[str]:
        self._look_at_clock(now_us)
        found = (self._clock.problem(now_us), *self.peering.problems(now_us))
        return [text for text in found if text is not None]

    def info(self, now_us: int) -> dict[str, Any]:
        """Return where the node stands, for its owner."""
        ledger, certified = self.replica.ledger, self.replica.certified
        tiers = [info.tier for info in self.peering.up.values()]
        return {
            "tier": 2,
            "node_id": encode_node_id(self.node_id),
            "height": ledger.height,
            "certified_height": self.replica.certified_height,
            "state_root": (certified.header if certified is not None else ledger.header).state_root.hex(),
            "checkpoint_age_ms": None if certified is None else age_ms(certified.header.ts_ms, now_us),
            "problems": self._problems(now_us),
            "blocks_waiting": self.replica.queued_blocks,
            "mempool": len(self.mempool),
            "mempool_bytes": self.mempool.bytes_held,
            "queued": self.mempool.queued,
            "unverified": self.intake.unverified,
            "batches_open": len(self.batcher.held),
            "peers": {f"l{tier}": tiers.count(tier) for tier in range(1, 5)},
            "fees": dict(zip(("l1", "l2", "l3", "l4"), ledger.fees_by_tier, strict=True)),
            "supply": self.chain.supply,
        }
