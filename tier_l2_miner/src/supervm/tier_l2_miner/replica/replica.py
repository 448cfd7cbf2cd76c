"""The replica: follows the finalized chain, executes it, and holds itself against every certified checkpoint.

Theory of operation (decisions.md, Who does what). One connected validator is asked to send every finalized block and
checkpoint above our tip. Blocks are checked as a chain - hash links up to a quorum's finalization - and wait in a queue
until the bodies of their batches are here: our own batches we have, others are fetched by digest, which is also what
proves them. The queue is then executed in order, at the end of every step (`settle`), and each header that execution
gives is held against what the network certified (`certified`).

Epochs are followed the same way: the set that validates after a sealing block is in the chain itself, so blocks of the
next epoch are checked as soon as its root is in the queue. What the miner *does* - whom it asks for votes - moves on
when the root's checkpoint is certified, which is when validators do (`voting_rules`).

Who is followed can be slow or silent, never wrong, since nothing is taken from it that a quorum has not signed
(`source`).

State is written after it is applied and nothing waits for that write: an L2 votes on nothing, so after a crash it
starts at the last height on disk and follows from there.

A replica that is far behind a certified checkpoint takes a snapshot instead of all blocks (consensus.md 2.8). Until the
write that puts it in the place of the state is durable, nothing is executed.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from msgspec import structs

from supervm.common.contract.core import Outbox, PeerDown, PeerUp
from supervm.common.contract.records import Reader
from supervm.common.parts.events import Snapshot, SnapshotAdopted
from supervm.common.parts.ledger import Applied, Ledger
from supervm.common.parts.ledger_tables import LEDGER_TABLES, RECEIPT_INDEX, short_id
from supervm.common.parts.manners import Manners
from supervm.common.parts.part import Part
from supervm.common.parts.peering import Peering
from supervm.common.parts.shell import unexpected
from supervm.common.parts.snapshot.taking import SnapshotTaker
from supervm.common.parts.validator_changes import ChangeStore
from supervm.protocol.base.codec import encode
from supervm.protocol.chain.batch_certificate import CertifiedBatch, certified_bits
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.epoch import next_epoch
from supervm.protocol.chain.finalized import check_finalized_chain, committed_part, decode_finalized
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.chain.header import BlockHeader, ChainRules
from supervm.protocol.chain.validators import ValidatorSet
from supervm.protocol.state.account import EMPTY_ACCOUNT, Account
from supervm.protocol.wire.chain import (
    BatchMessage,
    BlocksMessage,
    CheckpointMessage,
    Follow,
    GetBatches,
    GetSnapshot,
    SnapshotChunk,
)
from supervm.protocol.wire.link import Heartbeat
from supervm.protocol.wire.payments import GetValidatorChanges, ValidatorChanges

from ..options import REPLICA_OPTIONS
from .advance import Advance
from .bodies import Bodies
from .certified import Certified
from .source import VALIDATOR_TIER, Source

QUEUE_BLOCKS_MAX, QUEUE_BYTES_MAX = 2_048, 32 << 20
"""Blocks that wait for execution; more are dropped and followed again later."""
FETCH_BLOCKS_AHEAD = 16
"""Waiting blocks whose bodies are fetched together."""
PUMP_BLOCKS_MAX, PUMP_TRANSACTIONS_MAX = 32, 4_000
"""Work of one step, so that catching up does not keep peers waiting."""


class Replica(Part):
    """State of the chain at one miner.

    Args:
        chain: the network.
        reader: durable state to start from.
        outbox: where effects go.
        rng: chooses the first validator to follow.
        peering: who is there.
        manners: gets back what a useful piece of a snapshot has cost its sender.
        own_body: returns a batch of this miner by digest, or None.
        keep_blocks: heights whose headers and receipts are kept.

    Raises:
        SupplyMismatch: the stored state is not one this chain can have.
    """

    takes = frozenset({BatchMessage, BlocksMessage, CheckpointMessage, Heartbeat, SnapshotChunk, ValidatorChanges})
    sends = frozenset({Follow, GetBatches, GetSnapshot, GetValidatorChanges})
    tables = LEDGER_TABLES
    options = REPLICA_OPTIONS
    events = (Snapshot, SnapshotAdopted)

    def __init__(
        self,
        chain: Chain,
        reader: Reader,
        outbox: Outbox,
        rng: random.Random,
        peering: Peering,
        manners: Manners,
        own_body: Callable[[bytes], CertifiedBatch | None],
        *,
        keep_blocks: int,
    ) -> None:
        self._chain = chain
        self._reader = reader
        self._outbox = outbox
        self._peering, self._manners = peering, manners
        self.ledger = Ledger(chain, reader, keep_blocks=keep_blocks)
        self._tip: BlockHeader = self.ledger.block_header
        self._rules = self.ledger.rules
        self._proposed = self.ledger.proposed
        self.changes = ChangeStore(reader, outbox)
        """Changes of validators, for light clients."""
        self.certified = Certified(self.ledger.header, self._rules, self.changes)
        """What the network has certified."""
        self._queue: deque[tuple[Block, int]] = deque()  # with about its share of the message it came in
        self._queue_bytes = 0
        self._own_body = own_body
        self._bodies = Bodies(chain, own_body)
        self.snapshot = SnapshotTaker(
            chain, outbox, reader, self.changes, lambda: sorted(peering.of_tier(VALIDATOR_TIER)), self._tip.height
        )
        self._followed_snapshot = False  # the source was told to begin above the snapshot that is being taken
        self._swap: int | None = None  # write that adopts a snapshot
        self._source = Source(peering, rng, outbox, chain.parameters.idle_interval_ms * 1000)
        self._chosen_epoch = self._rules.epoch  # whose validators the source is one of
        self._may_pump = False
        self._is_swapped = False  # in this step
        self.advance: Advance | None = None
        """What this step has made of the state; None if it is as it was."""

    @property
    def certified_height(self) -> int:
        """Height of the newest certified checkpoint, 0 before the first."""
        return self.certified.height

    @property
    def voting_rules(self) -> ChainRules:
        """The epoch that validators vote in, as far as is known here."""
        return self.certified.voting_rules

    @property
    def source(self) -> bytes | None:
        """The L1 that is followed."""
        return self._source.peer

    def account(self, key: bytes) -> Account:
        """Return an executed account; an empty one if it is not there."""
        return self.ledger.state.accounts.get(key, EMPTY_ACCOUNT)

    def balance(self, account: bytes, asset: bytes) -> int:
        """Return how much of an asset an account has, as executed."""
        return self.ledger.state.balance(account, asset)

    @property
    def ts_ms(self) -> int:
        """Time of the last executed block."""
        return self.ledger.header.ts_ms

    @property
    def is_current(self) -> bool:
        """Whether state is near the network's: some of it certified since the start, and little left to execute."""
        return self.certified.newest is not None and len(self._queue) <= PUMP_BLOCKS_MAX

    @property
    def queued_blocks(self) -> int:
        """Finalized blocks that are not executed yet."""
        return len(self._queue)

    @property
    def deadline_us(self) -> int | None:
        """When `tick` has something to do; 0 while blocks are ready to be executed."""
        if self._swap is not None:
            return None
        if self._may_pump:
            return 0
        times = [self.snapshot.deadline_us]
        if self.source is not None:  # without a validator there is nobody to ask
            times.append(self._bodies.deadline_us)
            if not self.snapshot.is_taking:
                times.append(self._source.deadline_us)
        return min((time for time in times if time is not None), default=None)

    def knows_receipt(self, transaction_id: bytes) -> bool:
        """Return whether a transaction's receipt is on disk, as far as the index tells (63 bits of its id)."""
        short = short_id(transaction_id)
        return any(row.short_id == short for row in RECEIPT_INDEX.rows(self._reader, first=(short,), limit=1))

    # --- whom to follow -----------------------------------------------------------------------------------------

    def peer_up(self, now_us: int, event: PeerUp) -> None:
        """Note an L1 that comes; on a new connection it has to be asked again."""
        self.snapshot.gone(now_us, event.peer)  # what was asked on an earlier connection is lost
        if event.tier == VALIDATOR_TIER or self._validates(event.peer):
            if event.peer == self.source:
                self._source.leave()
            self._choose(now_us)

    def peer_down(self, now_us: int, event: PeerDown) -> None:
        """Follow another L1 if that was the one."""
        self.snapshot.gone(now_us, event.peer)
        if event.peer == self.source or self._validates(event.peer):
            self._choose(now_us)

    def _validates(self, peer: bytes) -> bool:
        return peer in self.voting_rules.validators.index_of_node

    def _choose(self, now_us: int) -> None:
        self._source.choose(now_us, self.voting_rules.validators.index_of_node, self._from_height)

    @property
    def _from_height(self) -> int:
        """What is followed is above it: while a snapshot is taken, the blocks below it would be thrown away."""
        return max(self._tip.height, self.snapshot.height)

    # --- what comes in ------------------------------------------------------------------------------------------

    def receive(self, now_us: int, peer: bytes, message: Any) -> None:
        """Take what L1 nodes tell of the chain: of blocks, checkpoints and bodies only from validators and the source.

        Raises:
            RemoteProtocolError: what came is wrong; see below.
            Diverged: a certified checkpoint differs from what this replica computed.
        """
        match message:
            case Heartbeat():
                if self._peering.up[peer].tier == VALIDATOR_TIER:
                    self.snapshot.behind(now_us, message.height, peer)
            case SnapshotChunk():
                if self.snapshot.chunk(now_us, peer, message):
                    self._manners.refund(peer, message)
            case ValidatorChanges():
                self.snapshot.followed(now_us, peer, message)
            case _ if peer != self.source and not self._validates(peer):
                if self._peering.up[peer].tier != VALIDATOR_TIER:  # else it was followed, or validated, a moment ago
                    raise unexpected(2, message)
            case BlocksMessage(b""):
                if peer == self.source:
                    self._source.has_not(now_us)
            case BlocksMessage(raw):
                self._take_blocks(now_us, peer, raw)
            case CheckpointMessage(raw):
                self.certified.take(raw)
            case BatchMessage(raw):
                self._take_body(raw)

    def _take_blocks(self, now_us: int, peer: bytes, raw: bytes) -> None:
        """Take finalized blocks from the validator that is followed.

        Raises:
            RemoteProtocolError: malformed, not linked to our tip, or not finalized.
        """
        if peer != self.source or self.snapshot.is_taking:
            return  # a validator followed earlier: the present one sends the same
        chain = decode_finalized(raw)
        height = self._tip.height
        # what is left of an epoch that is over descends from its sealing block, proves it, and is no part of the chain
        new = tuple(
            block for block in chain.blocks if block.header.height > height and block.header.epoch >= self._rules.epoch
        )
        if not new:
            return
        is_full = len(self._queue) >= QUEUE_BLOCKS_MAX or self._queue_bytes >= QUEUE_BYTES_MAX
        if new[0].header.height > height + 1 or is_full:
            if not is_full:
                self._source.again(now_us, self._from_height)
            return
        check_finalized_chain(structs.replace(chain, blocks=new), self._tip, self._rules)
        share_bytes = len(raw) // len(chain.blocks)
        new = new[: committed_part(new, self._rules)]
        self._queue.extend((block, share_bytes) for block in new)
        self._queue_bytes += share_bytes * len(new)
        self._tip = new[-1].header
        self._follow_epoch(new)
        self.snapshot.reached(self._tip.height)
        self._source.heard(now_us)
        self._may_pump = True

    def expect_block(self, now_us: int) -> None:
        """Note that a batch waits for a block: whoever is followed must bring one soon, on an idle chain as well."""
        self._source.expect(now_us)

    def _follow_epoch(self, blocks: Sequence[Block]) -> None:
        for block in blocks:
            if block.body.set_changes:
                self._proposed = ValidatorSet(block.body.set_changes[0].validators.members)
        if self._rules.is_sealed(self._tip):
            self._rules = self._chain.rules_of(next_epoch(self._tip, self._rules, self._proposed))
            self.certified.knows(self._rules)
            self._proposed = None

    def _take_body(self, raw: bytes) -> None:
        """Take a batch body that was asked for; any other is ignored.

        Raises:
            RemoteProtocolError: malformed, or not the batch its digest names.
        """
        if self._bodies.receive(raw):
            self._may_pump = True

    # --- far behind: a snapshot ---------------------------------------------------------------------------------

    def _take_snapshot(self, now_us: int) -> None:
        """Seek or go on with a snapshot, and write one that is finished in the place of the state."""
        snapshot = self.snapshot
        if self._swap is not None:
            return
        snapshot.behind(now_us, self.certified.said_height)
        snapshot.tick(now_us)
        finished = snapshot.finished
        if finished is not None:
            self._swap = self._outbox.persist(*snapshot.records())
        elif snapshot.is_taking and not self._followed_snapshot and self.source is not None:
            self._source.follow(now_us, self.source, self._from_height)
        self._followed_snapshot = snapshot.is_taking

    def durable(self, now_us: int, token: int) -> None:
        """Note a write; if it was that of a snapshot, this is the state from now on.

        Raises:
            SupplyMismatch: the snapshot's accounts do not sum to its supply.
        """
        start = self.snapshot.finished
        if self._swap is None or token < self._swap or start is None:
            return
        self._swap = None
        self._is_swapped = True
        self.ledger.reload()
        self._tip = self.ledger.block_header
        self._rules, self._proposed = self.ledger.rules, self.ledger.proposed
        self._queue.clear()
        self._queue_bytes = 0
        self._bodies = Bodies(self._chain, self._own_body)
        self.certified.restart(self.ledger.header, self._rules)
        self.certified.adopt(start.checkpoint, encode(start.checkpoint))
        self.snapshot.adopted(self.ledger.height)
        self._outbox.publish(SnapshotAdopted(self.ledger.height))
        if self.source is not None:
            self._source.follow(now_us, self.source, self._from_height)

    # --- the end of a step --------------------------------------------------------------------------------------

    def settle(self, now_us: int) -> None:
        """Execute what can be executed, a bounded amount per step; `deadline_us` is 0 while there is more.

        Raises:
            SupplyMismatch: executing a block created or lost money.
            Diverged: the network certified another header than a block gave here.
        """
        self._go_on(now_us)
        blocks = self._pump(now_us)
        changed: dict[bytes, None] = {}
        for applied in blocks:
            change = applied.result.change
            changed.update(dict.fromkeys(change.accounts))
            changed.update(dict.fromkeys(account for account, _ in change.holdings))
        if self._is_swapped:
            self.advance = Advance(blocks, None)
        else:
            self.advance = Advance(blocks, changed) if blocks else None
        self._is_swapped = False
        if self.voting_rules.epoch != self._chosen_epoch:
            self._chosen_epoch = self.voting_rules.epoch
            self._choose(now_us)

    def _go_on(self, now_us: int) -> None:
        """Replace a silent validator, ask again for bodies, take a snapshot if that is shorter."""
        self._take_snapshot(now_us)
        if self._swap is not None:
            return
        if not self.snapshot.is_taking:
            self._source.next(now_us, self._from_height)
        fetch_us = self._bodies.deadline_us
        if fetch_us is not None and fetch_us <= now_us:
            self._fetch(now_us)

    def _pump(self, now_us: int) -> list[Applied]:
        if not self._may_pump or self._swap is not None:
            return []
        self._may_pump = False
        done: list[Applied] = []
        transactions = 0
        while self._queue:
            if len(done) >= PUMP_BLOCKS_MAX or transactions >= PUMP_TRANSACTIONS_MAX:
                self._may_pump = True
                break
            batches = self._batches(self._queue[0][0])
            if batches is None:
                self._fetch(now_us)
                break
            block, share_bytes = self._queue.popleft()
            self._queue_bytes -= share_bytes
            applied = self.ledger.apply(block, batches)
            self._bodies.used((ref.digest for ref in block.body.refs), block.header.height)
            done.append(applied)
            transactions += sum(len(batch.transactions) for batch in batches)
            self.certified.executed(block, applied.header)
        if done:
            self._bodies.forget()
            self._outbox.persist(*[record for applied in done for record in applied.records])
        return done

    def _batches(self, block: Block) -> list[CertifiedBatch] | None:
        batches = []
        for ref in block.body.refs:
            body = self._bodies.get(ref.digest)
            if body is None:
                return None
            batches.append(replace(body, certified=certified_bits(ref, self.ledger.rules.validators)))
        return batches

    # --- bodies -------------------------------------------------------------------------------------------------

    def _fetch(self, now_us: int) -> None:
        """Ask for bodies that the next blocks need."""
        blocks = islice(self._queue, FETCH_BLOCKS_AHEAD)
        self._bodies.want(ref.digest for block, _ in blocks for ref in block.body.refs)
        ups = self._source.others
        first = ups.index(self.source) if self.source in ups else 0
        for peer, digests in self._bodies.asks(now_us, ups, first).items():
            self._outbox.send(peer, GetBatches(tuple(digests)))
