"""From finalized blocks to certified checkpoints (consensus.md 2.7).

Finalized blocks wait here, in height order, until the bodies of all their batches are here; missing ones are asked for
from the validators that signed the batch. Then the ledger applies the block, its records go to disk, and the checkpoint
vote - a promise (W4) - leaves after them. A quorum of equal votes is the certificate.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from supervm.common.contract.records import Append
from supervm.common.parts.asking import Asking, next_of
from supervm.common.parts.ledger import Applied
from supervm.common.parts.ledger_tables import LEDGER, LedgerRow, stored_number
from supervm.common.parts.part import Part
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.chain.batch import Batch, check_batch
from supervm.protocol.chain.batch_certificate import BatchCertificate
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint, check_certified_checkpoint
from supervm.protocol.chain.evidence import double_vote
from supervm.protocol.chain.votes import Certificate, Vote, VoteKind, statement
from supervm.protocol.state.account import EMPTY_ACCOUNT
from supervm.protocol.wire.chain import CheckpointMessage, GetBatches
from supervm.protocol.wire.consensus import VoteMessage

from ..batches.bodies import Bodies, body_records
from ..batches.pool import Pool, parse_body
from ..batches.slots import Slots
from ..consensus.simplex.promises import CheckpointPromise, encode_promise
from ..events import Solvency
from ..ground import Ground
from ..tables import BATCHES, BLOCKS, CHECKPOINTS, CheckpointRow
from .checkpoints import CheckpointTally, Divergence

FETCH_RETRY_US = 1_000_000
"""A body that was asked for and has not come by then is asked of another of its signers."""
FETCH_BYTES_MAX = 8 << 20
"""Bodies on their way at a time, in bytes: less than a peer's outgoing queue holds."""
FETCH_DIGESTS_MAX = 64
ANSWERS_MAX = 2 * FETCH_DIGESTS_MAX
"""Bodies per peer that it was asked for and has not sent; of older ones nothing is known any more."""
RUN_BLOCKS_MAX = 64
"""Blocks executed in one step: catching up must not keep peers and votes waiting."""
REPEAT_US = 1_000_000
"""Own uncertified checkpoint votes are repeated this often (consensus.md 2.5)."""
BATCH_MESSAGE_BYTES_MAX = (4 << 20) + (1 << 16)


class Executor(Part):
    """Execution and certification at one validator.

    Args:
        ground: what every part stands on.
        pool: batch bodies and certificates.
        slots: this validator's promises, which follow what is executed.
        bodies: told which bodies are referred to.
        promised: checkpoint promises from the write-ahead log.
    """

    takes = frozenset({CheckpointMessage})
    sends = frozenset({CheckpointMessage, GetBatches, VoteMessage})
    tables = (CHECKPOINTS,)
    events = (Solvency,)

    def __init__(
        self, ground: Ground, pool: Pool, slots: Slots, bodies: Bodies, promised: Iterable[CheckpointPromise]
    ) -> None:
        self._ground = ground
        self._chain, self._seat = ground.chain, ground.seat
        self._ledger, self._outbox, self._reader = ground.ledger, ground.outbox, ground.reader
        self._pool, self._slots, self._bodies = pool, slots, bodies
        self._promised = {promise.height: promise.digest for promise in promised}
        self._queue: deque[Block] = deque()
        self._wanted: OrderedDict[bytes, BatchCertificate] = OrderedDict()
        self._asking: Asking[bytes] = Asking(FETCH_RETRY_US)  # those of them that are on their way
        self._owed: dict[bytes, dict[bytes, None]] = {}  # peer -> bodies that it was asked for and has not sent
        self._fetch_round = 0
        self._run_at_us: int | None = None
        self._repeat_at_us: int | None = None
        self._certified_at_us = 0
        self._vote_written = 0  # token of the last W4 write: repeated votes wait for it, too
        self.root = self._stored_root()
        """The certified checkpoint that the epoch rests on, None in the first."""
        self.tally = CheckpointTally(self._seat, self._stored_checkpoint())
        self._on_certified: list[Callable[[int, CertifiedCheckpoint], None]] = []
        self._on_executed: list[Callable[[int, Applied], None]] = []

    def _stored_checkpoint(self) -> CertifiedCheckpoint | None:
        return self._checkpoint_at(stored_number(self._reader, "certified_height"))

    def _stored_root(self) -> CertifiedCheckpoint | None:
        rules = self._seat.rules
        return None if rules.previous is None else self._checkpoint_at(rules.root_height)

    def _checkpoint_at(self, height: int) -> CertifiedCheckpoint | None:
        stored = CHECKPOINTS.get(self._reader, height)
        return None if stored is None else decode(CertifiedCheckpoint, stored.checkpoint)

    def listen(
        self, *, executed: Callable[[int, Applied], None], certified: Callable[[int, CertifiedCheckpoint], None]
    ) -> None:
        """Be told of every executed block and every newly certified checkpoint, each with the time."""
        self._on_executed.append(executed)
        self._on_certified.append(certified)

    @property
    def deadline_us(self) -> int | None:
        """When `tick` has something to do."""
        first_us = self._asking.deadline_us
        for at_us in (self._repeat_at_us, self._run_at_us):
            if at_us is not None and (first_us is None or at_us < first_us):
                first_us = at_us
        return first_us

    @property
    def queued(self) -> int:
        """How many finalized blocks are not executed yet."""
        return len(self._queue)

    def unexecuted(self, count_max: int) -> tuple[Block, ...]:
        """Finalized blocks that are not executed yet, oldest first, at most `count_max`."""
        return tuple(islice(self._queue, count_max))

    def start(self, now_us: int) -> None:
        """Queue finalized blocks that the ledger had not applied when the node stopped, and vote again."""
        for row in BLOCKS.rows(self._reader, first=(self._ledger.height + 1,)):
            self._queue.append(decode(Block, row.block, bytes_max=8 << 20))
        if self._ledger.height > self.tally.height:
            self._vote(now_us)
        self.run(now_us)

    def committed(self, blocks: Iterable[Block], now_us: int) -> None:
        """Take finalized blocks, ascending."""
        self._queue.extend(blocks)
        self.run(now_us)

    def want(self, refs: Iterable[BatchCertificate], now_us: int) -> None:
        """Ask early for bodies that a proposed block references and this node does not have."""
        for ref in refs:
            if not self._have(ref):
                self._wanted.setdefault(ref.digest, ref)
        self._fetch(now_us)

    def _have(self, ref: BatchCertificate) -> bool:
        digest = ref.digest
        if digest in self._pool.bodies:
            return True
        row = BATCHES.get(self._reader, digest)
        if row is None:
            return False
        batch = decode(Batch, row.batch, bytes_max=BATCH_MESSAGE_BYTES_MAX)
        self._pool.put(digest, parse_body(batch, self._chain.chain_id))
        return True

    def body(self, raw: bytes, now_us: int) -> bool:
        """Take a batch body; return whether it was one that is wanted.

        Raises:
            RemoteProtocolError: it does not match its own header.
        """
        if not self._wanted:
            return False
        batch = decode(Batch, raw, bytes_max=BATCH_MESSAGE_BYTES_MAX)
        digest = batch.header.digest
        if digest not in self._wanted:
            return False
        check_batch(batch, self._chain.chain_id, self._seat.rules.verify)
        self._pool.put(digest, parse_body(batch, self._chain.chain_id))
        self._outbox.persist(*body_records(batch, raw))
        self._forget_wanted(digest)
        self.run(now_us)
        self._fetch(now_us)
        return True

    def is_answer(self, peer: bytes, raw: bytes) -> bool:
        """Return whether a peer was asked for this body and has not sent it before, be it wanted still or not.

        Another signer, or the batch's miner, may have been quicker: whoever answers late is not to pay for that.

        Raises:
            RemoteProtocolError: it is no batch.
        """
        owed = self._owed.get(peer)
        if not owed:
            return False
        digest = decode(Batch, raw, bytes_max=BATCH_MESSAGE_BYTES_MAX).header.digest
        if digest not in owed:
            return False
        del owed[digest]
        return True

    def run(self, now_us: int) -> None:
        """Execute the blocks at the head of the queue whose bodies are here, at most `RUN_BLOCKS_MAX` of them."""
        self._run_at_us = None
        for _ in range(min(RUN_BLOCKS_MAX, len(self._queue))):
            block = self._queue[0]
            missing = [ref for ref in block.body.refs if not self._have(ref)]
            if missing:
                for ref in reversed(missing):  # what all later blocks wait for is asked for first
                    self._wanted[ref.digest] = ref
                    self._wanted.move_to_end(ref.digest, last=False)
                self._fetch(now_us)
                return
            self._queue.popleft()
            self._execute(block, now_us)
        if self._queue:
            self._run_at_us = now_us

    def _execute(self, block: Block, now_us: int) -> None:
        batches = [batch for ref in block.body.refs if (batch := self._pool.certified(ref)) is not None]
        accounts = self._ledger.state.accounts
        before = {}
        for batch in batches:
            for transaction in batch.transactions:
                sender = transaction.body.sender
                # whoever has other assets alone sends without an account leaf
                account = accounts.get(sender, EMPTY_ACCOUNT)
                before[sender] = (account.next_seq, account.head)
        applied = self._ledger.apply(block, batches)
        self._outbox.persist(*applied.records)
        self._bodies.executed(ref.header for ref in block.body.refs)
        for failed in applied.result.failed:
            self._outbox.publish(Solvency(failed.hex(), applied.header.height))
        self._slots.executed(applied.result.change.accounts, before, block.header.ts_ms)
        self._vote(now_us)
        for listener in self._on_executed:
            listener(now_us, applied)

    def _vote(self, now_us: int) -> None:
        header = self._ledger.header
        digest = header.hash
        vote = None
        index, key, rules = self._seat.index, self._seat.key, self._seat.rules
        if index is not None and key is not None:
            promised = self._promised.get(header.height)
            if promised is not None and promised != digest:
                raise Divergence(header.height, digest, promised)
            if promised is None:
                self._promised[header.height] = digest
                self._vote_written = self._outbox.persist(
                    Append(encode_promise(CheckpointPromise(1, header.height, digest)))
                )
            signed = statement(rules.chain_id, VoteKind.CHECKPOINT, rules.epoch, header.height, digest)
            vote = Vote(1, VoteKind.CHECKPOINT, rules.epoch, header.height, digest, index, key.sign(signed))
            self._ground.broadcast(VoteMessage((vote,)), self._vote_written)
        if self._repeat_at_us is None:
            self._repeat_at_us = now_us + REPEAT_US
        certified = self.tally.own(header, vote)
        if certified is not None:
            self._certified(now_us, certified)

    def blame_bad_signers(self, now_us: int) -> None:
        """Blame whoever was found to have sent a checkpoint vote with a bad signature."""
        for signer in self.tally.take_bad_signers():
            error = RemoteProtocolError("its checkpoint vote is not signed by it", penalty=50, code="bad-signature")
            self._ground.manners.blame(now_us, self._seat.rules.validators.node_ids[signer], error)

    def votes(self, now_us: int, peer: bytes, votes: Iterable[Vote]) -> None:
        """Count checkpoint votes of a validator; one that lags is sent the newest certified checkpoint.

        Raises:
            RemoteProtocolError: a vote is not the peer's own: nobody passes on the votes of others.
        """
        listed = list(votes)
        rules = self._seat.rules
        listed = [vote for vote in listed if vote.epoch == rules.epoch]
        index = rules.validators.index_of_node.get(peer)
        if any(vote.signer != index for vote in listed):
            raise RemoteProtocolError("a checkpoint vote must come from its signer", penalty=50, code="bad-vote")
        newest, is_repeat = self.tally.certified, now_us - self._certified_at_us >= REPEAT_US // 2
        for checkpoint in self.tally.add(listed):
            self._certified(now_us, checkpoint)
        for first, second in self.tally.take_evidence():
            self._ground.accuser.accuse(double_vote(first, second))
        if newest is not None and listed and all(vote.number <= newest.header.height for vote in listed):
            repeated = max(vote.number for vote in listed)
            if is_repeat or repeated < newest.header.height - 1:  # on an idle chain nothing newer would tell it
                self._outbox.send(peer, CheckpointMessage(encode(newest)), after=self._vote_written)
        self.blame_bad_signers(now_us)

    def receive(self, now_us: int, peer: bytes, message: CheckpointMessage) -> None:
        """Take a certified checkpoint from a peer.

        Raises:
            RemoteProtocolError: it is not certified by this chain's validators.
        """
        checkpoint = decode(CertifiedCheckpoint, message.checkpoint, bytes_max=1 << 20)
        rules = self._seat.rules
        if checkpoint.header.height <= self.tally.height or checkpoint.header.epoch != rules.epoch:
            return
        check_certified_checkpoint(checkpoint, rules.chain_id, rules.validators, rules.verify)
        if self.tally.adopt(checkpoint):
            self._certified(now_us, checkpoint)

    def root_certificate(self, now_us: int, certificate: Certificate) -> None:
        """Take the certificate of the sealing block's checkpoint from the first block of the next epoch.

        Raises:
            RemoteProtocolError: it is not certified by this epoch's validators.
        """
        checkpoint = self.tally.adopt_certificate(certificate)
        if checkpoint is not None:
            self._certified(now_us, checkpoint)

    def enter_epoch(self, root: CertifiedCheckpoint) -> None:
        """Go on in the epoch that this checkpoint begins."""
        self.root = root
        self._promised.clear()
        self.tally.enter_epoch()
        self._bodies.enter_epoch(self._seat.rules.epoch)
        # every block of the epoch is executed: bodies that only its dead proposals named are of no use any more, and
        # their signers' indices mean others now
        self._wanted.clear()
        self._owed.clear()
        self._asking.clear()

    def jump(self, checkpoint: CertifiedCheckpoint) -> None:
        """Go on above this certified checkpoint, whose state the ledger holds now: nothing below is executed here."""
        self._queue.clear()
        self._wanted.clear()
        self._owed.clear()
        self._asking.clear()
        self._run_at_us = self._repeat_at_us = None
        self.tally = CheckpointTally(self._seat, checkpoint)

    def _certified(self, now_us: int, checkpoint: CertifiedCheckpoint) -> None:
        height, self._certified_at_us = checkpoint.header.height, now_us
        self._outbox.persist(
            CHECKPOINTS.put(CheckpointRow(height, encode(checkpoint))),
            LEDGER.put(LedgerRow("certified_height", height)),
        )
        for promised in [promised for promised in self._promised if promised <= height]:
            del self._promised[promised]
        for listener in self._on_certified:
            listener(now_us, checkpoint)

    def tick(self, now_us: int) -> None:
        """Ask again for what is missing, and repeat votes that are not certified yet."""
        if self._run_at_us is not None and self._run_at_us <= now_us:
            self.run(now_us)
        if self._asking.due(now_us):
            self._fetch(now_us)
        if self._repeat_at_us is not None and self._repeat_at_us <= now_us:
            votes = self.tally.uncertified_votes()
            if votes:
                self._ground.broadcast(VoteMessage(votes), self._vote_written)
            self._repeat_at_us = now_us + REPEAT_US if votes else None

    def _fetch(self, now_us: int) -> None:
        """Ask for wanted bodies, first come first, as far as the bytes on their way allow."""
        ready = [digest for digest in self._wanted if digest in self._pool.bodies]  # the miner was quicker
        for digest in ready:
            self._forget_wanted(digest)
            self._run_at_us = now_us
        silent = {digest: question.peer for digest, question in self._asking.due(now_us)}
        for digest in silent:
            self._asking.close(digest)
        left = FETCH_BYTES_MAX - sum(self._wanted[digest].header.bytes for digest in self._asking)
        asked: dict[bytes, list[bytes]] = {}
        for digest, ref in self._wanted.items():
            if digest in self._asking:
                continue
            if len(self._asking) >= FETCH_DIGESTS_MAX or (len(self._asking) and left < ref.header.bytes):
                break
            left -= ref.header.bytes
            peer = next_of(self._keepers(ref), silent.get(digest), self._fetch_round)
            self._asking.ask(now_us, digest, peer)
            if peer is not None:
                asked.setdefault(peer, []).append(digest)
        if asked:
            self._fetch_round += 1
        for peer, digests in asked.items():
            owed = self._owed.setdefault(peer, {})
            owed.update(dict.fromkeys(digests))
            while len(owed) > ANSWERS_MAX:
                del owed[next(iter(owed))]
            self._outbox.send(peer, GetBatches(tuple(digests)))

    def _keepers(self, ref: BatchCertificate) -> list[bytes]:
        """Return the other signers that are connected; whoever gave no bit has not kept the body."""
        signers = [index for group in ref.votes if any(group.bitmap) for index, _ in group.signatures]
        others = [index for index in signers if index != self._seat.index]
        return [peer for index in others if (peer := self._ground.peer_of(index)) is not None]

    def _forget_wanted(self, digest: bytes) -> None:
        del self._wanted[digest]
        self._asking.close(digest)

    def live_promises(self) -> list[CheckpointPromise]:
        """Return the checkpoint promises that a compacted write-ahead log must keep."""
        return [CheckpointPromise(1, height, digest) for height, digest in sorted(self._promised.items())]

    def info(self, now_us: int) -> dict[str, Any]:
        """Return what is certified here, and what execution has come to."""
        certified, header = self.tally.certified, self._ledger.header
        certified_header = self._chain.anchor if certified is None else certified.header
        return {
            "certified_height": certified_header.height,
            "state_root": header.state_root.hex(),
            "certified_state_root": certified_header.state_root.hex(),
            "signers": 0 if certified is None else len(certified.signatures),
            "supply": header.supply,
            "fees": self._ledger.fees_shown(),
        }
