"""Batch votes: from a miner's batch to this validator's signed bitmap (consensus.md 3.2, 3.9).

A batch is checked against its header and its miner, its transactions' signatures go to the verification workers, and
only then are bits given, in order, by `Slots`. The vote is a promise: it leaves after its write-ahead record (W5), and
the body is on disk with it, so that q votes also prove that the body can be had.

A batch that gets no bit here promises nothing: its vote says so and nothing is stored, so that a miner cannot fill
this validator's disk with transactions that cannot run. What a batch costs is refunded to its miner as far as it got
bits. A body that no executed block of its epoch refers to leaves with the epoch (`Executor`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from supervm.common.contract.records import Append
from supervm.protocol.base.codec import decode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.chain.batch import Batch, check_batch
from supervm.protocol.chain.batch_certificate import BatchVote, batch_vote_statement, bitmap_bits, bitmap_bytes
from supervm.protocol.chain.evidence import bad_batch
from supervm.protocol.money.transaction import SignedTransaction, parse_transaction, signature_items
from supervm.protocol.wire.chain import BatchMessage, BatchVoteMessage

from ..consensus.simplex.promises import BatchPromise, encode_promise
from ..events import Conflict
from ..ground import Ground
from ..tables import BATCHES
from .bodies import body_records
from .pool import Body, Pool, parse_body
from .slots import Slots

VERIFYING_MAX = 32
"""Batches per miner whose signatures may be in verification at once; more are dropped and come again (3.9.5)."""
BODY_BYTES_PER_MINER_MAX = 128 << 20
"""Bytes of one miner's batches in memory, beyond which its further batches are not voted on until some are executed."""
GOOD_MAX = 4_096
"""Batches without a bit here whose signatures are remembered to be good: their miner sends them again."""


@dataclass(frozen=True, slots=True)
class _Verifying:
    peer: bytes
    message: BatchMessage
    digest: bytes
    body: Body


class BatchVoter:
    """Votes of one validator on batches; a node without a place in the epoch keeps bodies but never votes.

    Args:
        ground: what every part stands on.
        slots: promises made so far.
        pool: where checked bodies go.
        promises: batch promises from the write-ahead log, in the order they were made; those of other epochs are void.
        floor_news: says beside which tables a promise means something (`recall.Floors.news`).
    """

    def __init__(
        self,
        ground: Ground,
        slots: Slots,
        pool: Pool,
        promises: list[BatchPromise],
        floor_news: Callable[[], tuple[Append, ...]],
    ) -> None:
        self._chain, self._seat, self._reader = ground.chain, ground.seat, ground.reader
        self._manners, self._accuser, self._outbox = ground.manners, ground.accuser, ground.outbox
        self._good: dict[bytes, None] = {}
        self._floor_news = floor_news
        self._head = ground.head
        self._slots = slots
        self._pool = pool
        self._verifying: dict[int, _Verifying] = {}
        self._in_verification: dict[bytes, int] = {}
        self._bits: dict[bytes, tuple[int, int]] = {}  # digest -> (bits promised, count)
        self._written: dict[bytes, int] = {}  # digest -> token of the write that a repeated vote must wait for, too
        self._restore([promise for promise in promises if promise.epoch == self._seat.rules.epoch])

    def _restore(self, promises: list[BatchPromise]) -> None:
        """Take promises back as slots; only batches that anchor a live one stay in memory."""
        for promise in promises:
            bits = bitmap_bits(promise.bitmap, promise.count)
            self._bits[promise.digest] = (bits | self._bits.get(promise.digest, (0, 0))[0], promise.count)
        bodies = {digest: body for digest in self._bits if (body := self._stored(digest)) is not None}
        self._slots.restore(
            (transaction, digest)
            for digest, body in bodies.items()
            for position, transaction in enumerate(body.transactions)
            if self._bits[digest][0] >> position & 1
        )
        for digest in list(self._bits):
            if digest in self._slots.anchored:
                self._pool.put(digest, bodies[digest])
            else:
                del self._bits[digest]

    def _stored(self, digest: bytes) -> Body | None:
        """Return a batch from disk: what is there was checked, and its signatures, too, by us or a quorum."""
        row = BATCHES.get(self._reader, digest)
        return None if row is None else parse_body(decode(Batch, row.batch, bytes_max=8 << 20), self._chain.chain_id)

    @property
    def closed(self) -> bool:
        """Whether the epoch is closed here: no batch gets a vote any more (consensus.md 3.7)."""
        return self._head.is_closing

    def batch(self, peer: bytes, message: BatchMessage) -> None:
        """Take a batch from its miner.

        Raises:
            RemoteProtocolError: the batch is malformed, not the miner's own, or of an unregistered miner.
        """
        batch = decode(Batch, message.batch, bytes_max=(4 << 20) + (1 << 16))
        if batch.header.miner != peer or peer not in self._chain.payout_of_miner:
            raise RemoteProtocolError("a batch must come from its own, registered miner", penalty=50, code="bad-batch")
        if batch.header.epoch != self._seat.rules.epoch or self.closed:
            return  # one of us is behind, or the epoch is at its end: the miner makes it anew in the next
        if self._seat.index is None:
            return  # no vote is wanted from here; a body that a block refers to is fetched
        digest = batch.header.digest
        known = self._pool.bodies.get(digest) or self._stored(digest)
        if known is not None:
            self._pool.put(digest, known)
            self._vote(peer, message, digest, known, stored=True)
            return
        if self._pool.bytes_of(peer) > BODY_BYTES_PER_MINER_MAX:
            return
        if self._in_verification.get(peer, 0) >= VERIFYING_MAX:
            return
        if any(item.digest == digest for item in self._verifying.values()):
            return
        check_batch(batch, self._chain.chain_id, self._chain.rules.verify)
        body = self._parsed(batch)
        if digest in self._good:
            self._vote(peer, message, digest, body, stored=False)
            return
        self._in_verification[peer] = self._in_verification.get(peer, 0) + 1
        token = self._outbox.verify(peer, signature_items(body.transactions))
        self._verifying[token] = _Verifying(peer, message, digest, body)

    def _parsed(self, batch: Batch) -> Body:
        """Parse a batch whose header its miner has signed; for an entry that is no transaction it is accused (E7).

        Raises:
            RemoteProtocolError: there is such an entry, or one transaction twice.
        """
        transactions: dict[bytes, SignedTransaction] = {}
        for position, raw in enumerate(batch.transactions):
            try:
                transaction = parse_transaction(raw, self._chain.chain_id)
            except RemoteProtocolError as error:
                self._accuser.accuse(bad_batch(batch, position))
                raise RemoteProtocolError(
                    f"entry {position} of the batch is no transaction of this chain: {error}",
                    penalty=50,
                    code="bad-batch",
                ) from error
            if transaction.id in transactions:
                raise RemoteProtocolError(
                    f"entry {position} of the batch stands in it before", penalty=50, code="bad-batch"
                )
            transactions[transaction.id] = transaction
        return Body(batch, tuple(transactions.values()))

    def verified(self, now_us: int, token: int, results: list[bool]) -> bool:
        """Take the workers' answer; return whether the token was one of ours."""
        item = self._verifying.pop(token, None)
        if item is None:
            return False
        self._in_verification[item.peer] -= 1
        if not all(results):
            # the miner vouched for these signatures: the whole batch is refused, and it stays provable (E7)
            self._accuser.accuse(bad_batch(item.body.batch, results.index(False)))
            error = RemoteProtocolError("a sender's signature in its batch is invalid", penalty=100, code="bad-batch")
            self._manners.blame(now_us, item.peer, error)
            return True
        self._vote(item.peer, item.message, item.digest, item.body, stored=False)
        return True

    def _vote(self, peer: bytes, message: BatchMessage, digest: bytes, body: Body, *, stored: bool) -> None:
        index, key = self._seat.index, self._seat.key
        epoch = body.batch.header.epoch
        if self.closed or epoch != self._seat.rules.epoch or index is None or key is None:
            return
        count = len(body.transactions)
        before = self._bits.get(digest, (0, count))[0]
        bits = before
        for position, transaction in enumerate(body.transactions):
            if not bits >> position & 1:
                reason = self._slots.vote(transaction, digest)
                if reason is None:
                    bits |= 1 << position
                elif reason == "conflict":
                    refused = transaction.body
                    self._outbox.publish(Conflict(refused.sender.hex(), refused.seq, transaction.id.hex()))
        bitmap = bitmap_bytes(bits, count)
        if bits != before:
            self._manners.refund(peer, message, part=(bits & ~before).bit_count(), of=count)
            self._bits[digest] = (bits, count)
            if not stored:
                self._pool.put(digest, body)
                self._outbox.persist(*body_records(body.batch))
            promise = BatchPromise(1, epoch, digest, count, bitmap)
            self._written[digest] = self._outbox.persist(*self._floor_news(), Append(encode_promise(promise)))
        elif not stored:  # it promises nothing, so nothing need be kept
            self._good[digest] = None
            if len(self._good) > GOOD_MAX:
                del self._good[next(iter(self._good))]
        statement = batch_vote_statement(self._chain.chain_id, epoch, digest, count, bitmap)
        vote = BatchVote(1, epoch, digest, count, bitmap, index, key.sign(statement))
        self._outbox.send(peer, BatchVoteMessage(vote), after=self._written.get(digest, 0))

    def enter_epoch(self) -> None:
        """Begin anew: votes of the epoch before are void, and so are batches that are still being verified."""
        self._verifying.clear()
        self._in_verification.clear()
        self._bits.clear()
        self._written.clear()
        self._good.clear()

    def live_promises(self) -> list[BatchPromise]:
        """Return the promises that anchor a live slot: what a compacted write-ahead log must keep."""
        epoch = self._seat.rules.epoch
        return [
            BatchPromise(1, epoch, digest, count, bitmap_bytes(bits, count))
            for digest, (bits, count) in self._bits.items()
            if digest in self._slots.anchored
        ]

    def forget(self, digests: list[bytes]) -> None:
        """Drop what is known of batches that hold no promise any more."""
        for digest in digests:
            self._bits.pop(digest, None)
            self._written.pop(digest, None)
