"""The replica: follows the finalized chain, executes it, and holds itself against every certified checkpoint.

Theory of operation (decisions.md, Who does what). One connected validator is asked to send every finalized block and
checkpoint above our tip. Blocks are checked as a chain - hash links up to a quorum's finalization - and wait in a queue
until the bodies of their batches are here: our own batches we have, others are fetched by digest, which is also what
proves them. `pump` then executes the queue in order. Each header that execution gives is compared with what the network
certified at that height, be it in a checkpoint message or inside a later block; a difference means that this node
computes something else than the network, and it stops (`Diverged`).

Epochs are followed the same way: the set that validates after a sealing block is in the chain itself, so blocks of the
next epoch are checked as soon as its root is in the queue. What the miner *does* - whom it asks for votes - moves on
when the root's checkpoint is certified, which is when validators do (`voting_rules`).

A validator that brings no new block for three seconds is replaced by the next one; it can be slow or silent, never
wrong, since nothing is taken from it that a quorum has not signed.

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

from msgspec import structs

from supervm.common.contract.core import Outbox
from supervm.common.contract.records import Reader
from supervm.common.parts.ledger import Applied, Ledger, short_id
from supervm.common.parts.snapshot.taking import SnapshotTaker
from supervm.common.parts.validator_changes import ChangeStore
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.batch_certificate import CertifiedBatch, certified_bits
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint, CheckpointHeader, check_certified_checkpoint
from supervm.protocol.chain.epoch import next_epoch
from supervm.protocol.chain.finalized import check_finalized_chain, committed_part, decode_finalized
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.chain.header import BlockHeader
from supervm.protocol.chain.validators import ValidatorList, ValidatorSet
from supervm.protocol.wire.chain import Follow, GetBatches

from ..errors import Diverged
from .bodies import Bodies

SILENCE_US_MAX = 3_000_000
"""Without a new block for this long another validator is followed."""
REFOLLOW_US_MIN = 500_000
"""Shortest time between two `Follow` because of a gap."""
QUEUE_BLOCKS_MAX, QUEUE_BYTES_MAX = 2_048, 32 << 20
"""Blocks that wait for execution; more are dropped and followed again later."""
FETCH_BLOCKS_AHEAD = 16
"""Waiting blocks whose bodies are fetched together."""
PUMP_BLOCKS_MAX, PUMP_TRANSFERS_MAX = 32, 4_000
"""Work of one step, so that catching up does not keep peers waiting."""
CHECKPOINTS_AHEAD_MAX = 64
CHECKPOINT_BYTES_MAX = 1 << 20


class Replica:
    """State of the chain at one miner.

    Args:
        chain: the network.
        reader: durable state to start from.
        outbox: where effects go.
        rng: chooses the first validator to follow.
        own_body: returns a batch of this miner by digest, or None.
        l1_up: returns the L1 nodes that are connected, validators or not, the same order for the same nodes.
        receipts_kept: heights whose receipts are kept.

    Raises:
        SupplyMismatch: the stored state is not one this chain can have.
    """

    def __init__(
        self,
        chain: Chain,
        reader: Reader,
        outbox: Outbox,
        rng: random.Random,
        own_body: Callable[[bytes], CertifiedBatch | None],
        l1_up: Callable[[], Sequence[bytes]],
        *,
        receipts_kept: int,
    ) -> None:
        self._chain = chain
        self._reader = reader
        self._outbox = outbox
        self._rng = rng
        self.ledger = Ledger(chain, reader, receipts_kept=receipts_kept)
        self.certified: CertifiedCheckpoint | None = None
        """The newest certified checkpoint at or below the applied height."""
        self.certified_bytes = b""
        """Its agreed bytes."""
        self._tip: BlockHeader = self.ledger.block_header
        self._rules = self.ledger.rules
        self._proposed = self.ledger.proposed
        self._rules_of = {self._rules.epoch: self._rules}  # epochs from the executed one to the tip's
        self.voting_rules = self._rules
        """The epoch that validators vote in, as far as is known here."""
        self.changes = ChangeStore(reader, outbox)
        """Changes of validators, for light clients."""
        self._queue: deque[tuple[Block, int]] = deque()  # with about its share of the message it came in
        self._queue_bytes = 0
        self._headers: dict[int, CheckpointHeader] = {self.ledger.height: self.ledger.header}
        self._ahead: dict[int, CertifiedCheckpoint] = {}
        self._claimed_height = 0  # of checkpoints that cannot be checked here yet
        self._own_body = own_body
        self._bodies = Bodies(chain, own_body)
        self._validators_up: list[bytes] = []
        self.snapshot = SnapshotTaker(chain, outbox, reader, self.changes, l1_up, self._tip.height)
        self._followed_snapshot = False  # the source was told to begin above the snapshot that is being taken
        self._swap: int | None = None  # write that adopts a snapshot
        self._source: bytes | None = None
        self._source_until_us = 0
        self._refollow_at_us = 0
        self._may_pump = False

    @property
    def certified_height(self) -> int:
        """Height of the newest certified checkpoint, 0 before the first."""
        return 0 if self.certified is None else self.certified.header.height

    @property
    def source(self) -> bytes | None:
        """The L1 that is followed."""
        return self._source

    @property
    def is_current(self) -> bool:
        """Whether state is near the network's: some of it certified since the start, and little left to execute."""
        return self.certified is not None and len(self._queue) <= PUMP_BLOCKS_MAX

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
        if self._source is not None:  # without a validator there is nobody to ask
            times.append(self._bodies.deadline_us)
            if not self.snapshot.is_taking:
                times.append(self._source_until_us)
        return min((time for time in times if time is not None), default=None)

    def knows_receipt(self, transfer_id: bytes) -> bool:
        """Return whether a transfer's receipt is on disk, as far as the index tells (63 bits of its id)."""
        short = short_id(transfer_id)
        return any(key[0] == short for key, _ in self._reader.scan("receipt_index", first=(short,), limit=1))

    # --- whom to follow -----------------------------------------------------------------------------------------

    def validators_up(self, now_us: int, node_ids: Sequence[bytes]) -> None:
        """Note which validators are connected, in the order they came; other L1s if none is."""
        self._validators_up = list(node_ids)
        if self._source not in self._validators_up:
            self._source = None
            if self._validators_up:
                self._follow(now_us, self._rng.choice(self._validators_up))

    def validator_down(self, peer: bytes) -> None:
        """Forget that `peer` is followed: on a new connection it has to be asked again."""
        if peer == self._source:
            self._source = None

    def _follow(self, now_us: int, peer: bytes) -> None:
        self._source = peer
        self._source_until_us = now_us + SILENCE_US_MAX
        self._refollow_at_us = now_us + REFOLLOW_US_MIN
        # while a snapshot is taken, the blocks below it would be thrown away
        self._outbox.send(peer, Follow(max(self._tip.height, self.snapshot.height)))

    def tick(self, now_us: int) -> None:
        """Replace a silent validator, ask again for bodies, take a snapshot if that is shorter."""
        self._take_snapshot(now_us)
        if self._swap is not None:
            return
        if self._source is not None and self._source_until_us <= now_us and not self.snapshot.is_taking:
            place = self._validators_up.index(self._source)
            self._follow(now_us, self._validators_up[(place + 1) % len(self._validators_up)])
        fetch_us = self._bodies.deadline_us
        if fetch_us is not None and fetch_us <= now_us:
            self._fetch(now_us)

    # --- what comes in ------------------------------------------------------------------------------------------

    def blocks(self, now_us: int, peer: bytes, raw: bytes) -> None:
        """Take finalized blocks from the validator that is followed.

        Raises:
            RemoteProtocolError: malformed, not linked to our tip, or not finalized.
        """
        if peer != self._source or self.snapshot.is_taking:
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
            if self._refollow_at_us <= now_us and not is_full:
                self._follow(now_us, peer)
            return
        check_finalized_chain(structs.replace(chain, blocks=new), self._tip, self._rules)
        share_bytes = len(raw) // len(chain.blocks)
        new = new[: committed_part(new, self._rules)]
        self._queue.extend((block, share_bytes) for block in new)
        self._queue_bytes += share_bytes * len(new)
        self._tip = new[-1].header
        self._follow_epoch(new)
        self.snapshot.reached(self._tip.height)
        self._source_until_us = now_us + SILENCE_US_MAX
        self._may_pump = True

    def _follow_epoch(self, blocks: Sequence[Block]) -> None:
        for block in blocks:
            if block.body.set_changes:
                self._proposed = ValidatorSet(block.body.set_changes[0].validators.members)
        if self._rules.is_sealed(self._tip):
            self._rules = self._chain.rules_of(next_epoch(self._tip, self._rules, self._proposed))
            self._rules_of[self._rules.epoch] = self._rules
            self._proposed = None

    def checkpoint(self, raw: bytes) -> None:
        """Take a certified checkpoint from any validator.

        Raises:
            RemoteProtocolError: malformed or not certified.
            Diverged: it is certified, and differs from what this replica computed.
        """
        if raw == self.certified_bytes:
            return
        checkpoint = decode(CertifiedCheckpoint, raw, bytes_max=CHECKPOINT_BYTES_MAX)
        height = checkpoint.header.height
        if height <= self.certified_height or height in self._ahead:
            return
        if height > self.ledger.height and len(self._ahead) >= CHECKPOINTS_AHEAD_MAX:
            return
        rules = self._rules_of.get(checkpoint.header.epoch)
        if rules is None:
            # of an epoch whose validators are not known here yet: there will be newer ones, or we are far behind
            self._claimed_height = max(self._claimed_height, height)
            return
        check_certified_checkpoint(checkpoint, rules.chain_id, rules.validators, rules.verify)
        if height > self.ledger.height:
            self._ahead[height] = checkpoint
        else:
            self._compare(checkpoint, raw)

    def body(self, raw: bytes) -> None:
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
        snapshot.behind(now_us, max(self._claimed_height, next(reversed(self._ahead), 0)))
        snapshot.tick(now_us)
        finished = snapshot.finished
        if finished is not None:
            self._swap = self._outbox.persist(*snapshot.records())
        elif snapshot.is_taking and not self._followed_snapshot and self._source is not None:
            self._follow(now_us, self._source)
        self._followed_snapshot = snapshot.is_taking

    def durable(self, now_us: int, token: int) -> bool:
        """Note a write; return whether a snapshot is the state from now on.

        Raises:
            SupplyMismatch: the snapshot's accounts do not sum to its supply.
        """
        start = self.snapshot.finished
        if self._swap is None or token < self._swap or start is None:
            return False
        self._swap = None
        self.ledger.reload()
        self._tip = self.ledger.block_header
        self._rules, self._proposed = self.ledger.rules, self.ledger.proposed
        self._rules_of = {self._rules.epoch: self._rules}
        self._queue.clear()
        self._queue_bytes = 0
        self._headers = {self.ledger.height: self.ledger.header}
        self._bodies = Bodies(self._chain, self._own_body)
        self._ahead.clear()
        self._claimed_height = 0
        self._adopt(start.checkpoint, encode(start.checkpoint))
        self.snapshot.adopted(self.ledger.height)
        self._outbox.publish("snapshot-adopted", height=self.ledger.height)
        if self._source is not None:
            self._follow(now_us, self._source)
        return True

    # --- execution ----------------------------------------------------------------------------------------------

    def pump(self, now_us: int) -> list[Applied]:
        """Execute what can be executed, a bounded amount per call; `deadline_us` is 0 while there is more.

        Raises:
            SupplyMismatch: executing a block created or lost money.
            Diverged: the network certified another header than a block gave here.
        """
        if not self._may_pump or self._swap is not None:
            return []
        self._may_pump = False
        done: list[Applied] = []
        transfers = 0
        while self._queue:
            if len(done) >= PUMP_BLOCKS_MAX or transfers >= PUMP_TRANSFERS_MAX:
                self._may_pump = True
                break
            batches = self._batches(self._queue[0][0])
            if batches is None:
                self._fetch(now_us)
                break
            block, share_bytes = self._queue.popleft()
            self._queue_bytes -= share_bytes
            applied = self.ledger.apply(block, batches)
            done.append(applied)
            transfers += sum(len(batch.transfers) for batch in batches)
            self._after(block, applied)
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

    def _after(self, block: Block, applied: Applied) -> None:
        height = applied.header.height
        self._headers[height] = applied.header
        for certificate in block.body.checkpoints:
            # the quorum that finalized the block has checked this certificate (consensus.md 2.4)
            ours = self._headers.get(certificate.number)
            if ours is None or certificate.number <= self.certified_height:
                continue
            if ours.hash != certificate.digest:
                raise Diverged(certificate.number, ours.hash, certificate.digest)
            proved = CertifiedCheckpoint(1, ours, certificate.signatures)
            self._adopt(proved, encode(proved))
        checkpoint = self._ahead.pop(height, None)
        if checkpoint is not None:
            self._compare(checkpoint, encode(checkpoint))

    def _compare(self, checkpoint: CertifiedCheckpoint, raw: bytes) -> None:
        height = checkpoint.header.height
        ours = self._headers.get(height)
        if ours is None or height <= self.certified_height:
            return
        if ours != checkpoint.header:
            raise Diverged(height, ours.hash, checkpoint.header.hash)
        self._adopt(checkpoint, raw)

    def _adopt(self, checkpoint: CertifiedCheckpoint, raw: bytes) -> None:
        self.certified, self.certified_bytes = checkpoint, raw
        header = checkpoint.header
        if header.next_validators_hash != ZERO_HASH:
            # its block is executed, so the epoch after it is known
            self.voting_rules = self._rules_of[header.epoch + 1]
            self.changes.sealed(checkpoint, ValidatorList(1, self.voting_rules.validators.members))
            for epoch in [epoch for epoch in self._rules_of if epoch <= header.epoch]:
                del self._rules_of[epoch]
        for table in (self._headers, self._ahead):
            for height in [height for height in table if height < checkpoint.header.height]:
                del table[height]

    # --- bodies -------------------------------------------------------------------------------------------------

    def _fetch(self, now_us: int) -> None:
        """Ask for bodies that the next blocks need."""
        blocks = islice(self._queue, FETCH_BLOCKS_AHEAD)
        self._bodies.want(ref.digest for block, _ in blocks for ref in block.body.refs)
        ups = self._validators_up
        first = ups.index(self._source) if self._source in ups else 0
        for peer, digests in self._bodies.asks(now_us, ups, first).items():
            self._outbox.send(peer, GetBatches(tuple(digests)))
