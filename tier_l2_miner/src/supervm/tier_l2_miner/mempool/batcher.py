"""Batches, their votes and their certificates (consensus.md 3.1, 3.2, 3.9.5).

Theory of operation. A batch is cut when there is a full one, or when the first waiting transaction has waited 20 ms and
the last batch is 400 ms old, or 200 ms if a hundred wait: what a batch costs - votes, a certificate, a place in a
block - is the same for one payment and a thousand, so a lone payment goes at once and a stream of them in batches. It
is signed with the node key and sent to every validator. It is OPEN until it is closed: when every transaction has
quorum, or every validator has voted, or 50 ms after the votes reach quorum weight. Votes are verified together at that
moment, not before, because a vote that does not change the outcome is not worth a signature check. Closing splits the
batch: what has quorum is CERTIFIED and its certificate goes to all validators; the rest goes back to the mempool with a
back-off. A certified batch is held, and its certificate repeated every second, until none of its transactions can
execute any more.

At most `batches_open_max` batches are held at a time; beyond it only transactions that have waited for two seconds are
still batched (a predecessor without quorum may be what everything else waits for), up to four times as many.

Nothing is stored: a miner promises nothing by making a batch, and its own signature on two batches with one transaction
harms nobody, because votes are per transaction and execution takes each slot once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from supervm.common.contract.core import Outbox, PeerDown, PeerUp
from supervm.common.parts.manners import Manners
from supervm.common.parts.part import Part
from supervm.common.parts.peering import Peering
from supervm.common.parts.shell import unexpected
from supervm.protocol.base.codec import encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.chain.batch import BATCH_BYTES_MAX, Batch, BatchHeader, batch_header, miner_statement
from supervm.protocol.chain.batch_certificate import (
    BatchVote,
    CertifiedBatch,
    bitmap_bits,
    certified_bits,
    make_batch_certificate,
)
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.money.transaction import SignedTransaction
from supervm.protocol.wire.chain import BatchCertificateMessage, BatchMessage, BatchVoteMessage, GetBatches

from .. import events as said
from ..options import BATCH_OPTIONS, MinerOptions
from ..replica.replica import Replica
from ..replica.source import VALIDATOR_TIER
from .mempool import Mempool
from .offers import AGED_US, DONE, Entry

CLOSE_US = 50_000
"""Time for votes beyond the quorum, which may certify more transactions (decisions.md, Transactions)."""
REPEAT_US_MIN, REPEAT_US_MAX = 1_000_000, 8_000_000
"""A certificate is repeated every second; a body, which is a thousand times larger, at doubling intervals."""
REPEAT_BYTES_MAX = 2 * BATCH_BYTES_MAX
"""Bodies repeated to one validator at a time, so that repeating never fills the queue to one that is only slow."""
MANY_TRANSACTIONS = 100
"""Waiting transactions that are worth a batch after half the interval."""
OPEN_FACTOR_MAX = 4
"""How many times `batches_open_max` may be held when transactions have grown old."""
_ENVELOPE_BYTES = 64 << 10


@dataclass(slots=True, eq=False)
class HeldBatch:
    """A batch of ours that is not executed yet."""

    digest: bytes
    header: BatchHeader
    transactions: tuple[SignedTransaction, ...]
    message: BatchMessage
    entries: list[Entry]
    repeat_at_us: int
    repeat_us: int = REPEAT_US_MIN
    close_at_us: int | None = None
    votes: dict[int, BatchVote] = field(default_factory=dict)
    certificate: BatchCertificateMessage | None = None


class Batcher(Part):
    """The batches of one miner: made from the mempool, and seen through to execution.

    Args:
        chain: the network.
        replica: says who votes, and what was executed.
        key: the miner's node key.
        mempool: where transactions come from and go back to.
        options: bounds.
        outbox: where effects go.
        peering: who is there.
        manners: told of validators that broke the rules, and what is answered.
    """

    takes = frozenset({BatchVoteMessage, GetBatches})
    sends = frozenset({BatchCertificateMessage, BatchMessage})
    options = BATCH_OPTIONS
    events = (said.Batch, said.Certificate)

    def __init__(
        self,
        chain: Chain,
        replica: Replica,
        key: SigningKey,
        mempool: Mempool,
        options: MinerOptions,
        outbox: Outbox,
        peering: Peering,
        manners: Manners,
    ) -> None:
        self._chain = chain
        self._replica = replica
        self._rules = replica.voting_rules
        self._key = key
        self._mempool = mempool
        self._options = options
        self._outbox = outbox
        self._peering, self._manners = peering, manners
        self._validators_up: list[tuple[int, bytes]] = []
        self._cut_us = -options.batch_interval_us  # when the last batch was cut
        self.held: dict[bytes, HeldBatch] = {}
        """Batches that may still be voted on or executed, by digest, oldest first."""

    @property
    def deadline_us(self) -> int | None:
        """When a batch is to be cut, closed or repeated."""
        times = [held.repeat_at_us for held in self.held.values()]
        times += [held.close_at_us for held in self.held.values() if held.close_at_us is not None]
        waiting = self._mempool.offers.waiting_since_us
        if waiting is not None and self._validators_up:
            if len(self.held) < self._options.batches_open_max:
                times.append(self._due_us(waiting))
            elif len(self.held) < OPEN_FACTOR_MAX * self._options.batches_open_max:
                oldest_us = self._mempool.offers.oldest_us
                if oldest_us is not None:
                    times.append(oldest_us + AGED_US)
        return min(times, default=None)

    def info(self, now_us: int) -> Mapping[str, Any]:
        """Return how many batches are not executed."""
        return {"batches_open": len(self.held)}

    # --- whose votes ----------------------------------------------------------------------------------------------

    def peer_up(self, now_us: int, event: PeerUp) -> None:
        """Give a validator that comes everything that is open."""
        index = self._rules.validators.index_of_node.get(event.peer)
        if index is not None:
            self._look_around()
            self._hand_over(event.peer, index)

    def peer_down(self, now_us: int, event: PeerDown) -> None:
        """Note that a validator is gone."""
        if event.peer in self._rules.validators.index_of_node:
            self._look_around()

    def _look_around(self) -> None:
        """Note which validators are connected."""
        index_of = self._rules.validators.index_of_node
        self._validators_up = [(index_of[peer], peer) for peer in self._peering.up if peer in index_of]

    def _hand_over(self, peer: bytes, index: int) -> None:
        room = REPEAT_BYTES_MAX
        for held in self.held.values():
            if held.certificate is not None:
                self._outbox.send(peer, held.certificate)
            elif index not in held.votes and (room := room - len(held.message.batch)) >= 0:
                self._outbox.send(peer, held.message)

    def _enter_epoch(self, now_us: int) -> None:
        """Go on in the next epoch: what is not executed is batched again, for validators vote on it anew."""
        self._rules = self._replica.voting_rules
        held, self.held = self.held, {}
        self._cut_us = now_us - self._options.batch_interval_us
        self._look_around()
        self._mempool.void(now_us, [entry for batch in held.values() for entry in batch.entries])

    def body(self, digest: bytes) -> CertifiedBatch | None:
        """Return a batch of ours for execution, with no bit certified yet."""
        held = self.held.get(digest)
        return None if held is None else CertifiedBatch(held.header, held.transactions, 0)

    # --- cutting ------------------------------------------------------------------------------------------------

    def _cut(self, now_us: int) -> None:
        """Make the batches that are due."""
        mempool, options = self._mempool, self._options
        while mempool.offers.waiting_since_us is not None and self._validators_up:
            is_full = mempool.queued >= options.batch_transactions_max
            if not is_full and now_us < self._due_us(mempool.offers.waiting_since_us):
                return
            if len(self.held) >= options.batches_open_max:
                oldest_us = mempool.offers.oldest_us
                too_many = len(self.held) >= OPEN_FACTOR_MAX * options.batches_open_max
                if too_many or oldest_us is None or oldest_us + AGED_US > now_us:
                    return
            entries = mempool.take(now_us, options.batch_transactions_max, BATCH_BYTES_MAX - _ENVELOPE_BYTES)
            if not entries:
                return
            self._make(now_us, entries)

    def _due_us(self, waiting_since_us: int) -> int:
        """Return when a batch that is not full is cut if its first transaction waits since then."""
        interval_us = self._options.batch_interval_us
        if self._mempool.queued >= MANY_TRANSACTIONS:
            interval_us //= 2
        return max(waiting_since_us + self._options.batch_wait_us, self._cut_us + interval_us)

    def _make(self, now_us: int, entries: list[Entry]) -> None:
        self._cut_us = now_us
        transactions = tuple(entry.transaction for entry in entries)
        raw = tuple(transaction.raw for transaction in transactions)
        header = batch_header(self._chain.chain_id, self._rules.epoch, self._key.public, raw)
        digest = header.digest
        message = BatchMessage(encode(Batch(2, header, self._key.sign(miner_statement(digest)), raw)))
        self.held[digest] = HeldBatch(digest, header, transactions, message, list(entries), now_us + REPEAT_US_MIN)
        for _, node_id in self._validators_up:
            self._outbox.send(node_id, message)
        self._outbox.publish(said.Batch(digest.hex(), len(raw), header.bytes))

    # --- votes --------------------------------------------------------------------------------------------------

    def receive(self, now_us: int, peer: bytes, message: BatchVoteMessage | GetBatches) -> None:
        """Count a validator's vote, or give it batches that it lacks.

        Raises:
            RemoteProtocolError: not this validator's vote, one that cannot be for this batch, or no validator.
        """
        signer = self._rules.validators.index_of_node.get(peer)
        match message:
            case _ if signer is None:
                if self._peering.up[peer].tier != VALIDATOR_TIER:  # else it validated until a moment ago
                    raise unexpected(2, message)
            case BatchVoteMessage(vote):
                self._count(now_us, signer, vote)
            case GetBatches(digests):
                for digest in dict.fromkeys(digests):
                    held = self.held.get(digest)
                    if held is not None:
                        self._outbox.send(peer, held.message)
                        self._manners.answered(now_us, peer, "history", held.header.bytes)

    def _count(self, now_us: int, signer: int, vote: BatchVote) -> None:
        """Count a vote that came over the link of validator `signer`; it is verified when the batch is closed."""
        held = self.held.get(vote.digest)
        if held is None or held.certificate is not None:
            return  # closed or executed: nothing is left to decide
        if vote.signer != signer or vote.epoch != self._rules.epoch or vote.count != held.header.count:
            raise RemoteProtocolError("the vote names another signer, epoch or count", penalty=50, code="bad-vote")
        bits = bitmap_bits(vote.bitmap, vote.count)
        earlier = held.votes.get(signer)
        if earlier is not None and (bits | int.from_bytes(earlier.bitmap, "little")) != bits:
            return  # a later vote may only add bits
        held.votes[signer] = vote
        validators = self._rules.validators
        if validators.weight_of(held.votes) < validators.quorum:
            return
        if len(held.votes) == len(validators) or self._tally(held) == (1 << held.header.count) - 1:
            self._close(now_us, held)
        elif held.close_at_us is None:
            held.close_at_us = now_us + CLOSE_US

    def _tally(self, held: HeldBatch) -> int:
        votes = {signer: (vote.bitmap, vote.signature) for signer, vote in held.votes.items()}
        return certified_bits(make_batch_certificate(held.header, votes), self._rules.validators)

    def _close(self, now_us: int, held: HeldBatch) -> None:
        rules, validators = self._rules, self._rules.validators
        held.close_at_us = None
        for signer, vote in list(held.votes.items()):
            if not rules.verify(validators.keys[signer], vote.statement(rules.chain_id), vote.signature):
                del held.votes[signer]
                node_id = validators.node_ids[signer]
                error = RemoteProtocolError("the signature of a batch vote is invalid", penalty=50, code="bad-vote")
                self._manners.blame(now_us, node_id, error)
        if validators.weight_of(held.votes) < validators.quorum:
            return
        votes = {signer: (vote.bitmap, vote.signature) for signer, vote in held.votes.items()}
        certificate = make_batch_certificate(held.header, votes)
        bits = certified_bits(certificate, validators)
        chosen = [entry for index, entry in enumerate(held.entries) if bits >> index & 1]
        self._mempool.requeue(now_us, [entry for index, entry in enumerate(held.entries) if not bits >> index & 1])
        self._outbox.publish(said.Certificate(held.digest.hex(), len(chosen), held.header.count))
        if not chosen:
            del self.held[held.digest]
            return
        self._mempool.certified(chosen)
        held.entries = chosen
        held.certificate = BatchCertificateMessage(encode(certificate))
        held.repeat_at_us = now_us + REPEAT_US_MIN
        for _, node_id in self._validators_up:
            self._outbox.send(node_id, held.certificate)
        self._replica.expect_block(now_us)

    # --- time and execution -------------------------------------------------------------------------------------

    def settle(self, now_us: int) -> None:
        """Follow what was executed and the epoch; then close, repeat and cut what is due."""
        if self._replica.advance is not None:
            self._let_go()
            if any(held.certificate is not None for held in self.held.values()):
                self._replica.expect_block(now_us)
        if self._replica.voting_rules.epoch != self._rules.epoch:
            self._enter_epoch(now_us)
        self._repeat(now_us)
        self._cut(now_us)

    def _repeat(self, now_us: int) -> None:
        """Close what has waited long enough after its quorum, repeat what may have been lost."""
        room = REPEAT_BYTES_MAX
        for held in list(self.held.values()):
            if held.close_at_us is not None and held.close_at_us <= now_us:
                self._close(now_us, held)
            if held.repeat_at_us > now_us:
                continue
            if held.certificate is not None:
                held.repeat_at_us = now_us + REPEAT_US_MIN
                for _, node_id in self._validators_up:
                    self._outbox.send(node_id, held.certificate)
            elif (room := room - len(held.message.batch)) < 0:
                held.repeat_at_us = now_us + REPEAT_US_MIN // 4
            else:
                held.repeat_us = min(2 * held.repeat_us, REPEAT_US_MAX)
                held.repeat_at_us = now_us + held.repeat_us
                for index, node_id in self._validators_up:
                    if index not in held.votes:
                        self._outbox.send(node_id, held.message)

    def _let_go(self) -> None:
        """Let go of batches none of whose transactions is waiting any more."""
        for held in list(self.held.values()):
            entries = held.entries
            while entries and entries[-1].state == DONE:
                if held.certificate is None and any(entry.state != DONE for entry in entries):
                    break  # votes name transactions by position, so an open batch keeps them all
                entries.pop()
            if not entries:
                del self.held[held.digest]
