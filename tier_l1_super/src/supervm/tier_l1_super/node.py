"""The L1 node core: consensus, batch votes, execution and serving under one contract.

`ValidatorNode` composes the parts and moves values between them; every rule is in its part. One input goes to the part
it concerns, the parts answer into the shared outbox, and consensus effects are carried out at once until none is left,
so that one step - and one write - covers everything an input causes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

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
from supervm.common.ledger import Applied, Ledger, SupplyMismatch
from supervm.common.parts.manners import Manners, Rank
from supervm.common.peering import Peering
from supervm.common.records import Append, Reader
from supervm.common.snapshot.offering import SnapshotOffers
from supervm.common.snapshot.taking import SnapshotTaker
from supervm.common.validator_changes import ChangeStore
from supervm.protocol.batch import Batch, BatchCertificate, certified_bits, check_batch_certificate
from supervm.protocol.block import ChainRules, glance
from supervm.protocol.checkpoint import CertifiedCheckpoint
from supervm.protocol.codec import decode, encode
from supervm.protocol.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.genesis import Chain, check_roles
from supervm.protocol.hashing import ZERO_HASH, hasher
from supervm.protocol.keys import SigningKey
from supervm.protocol.validators import ValidatorList, ValidatorSet
from supervm.protocol.votes import Vote, VoteKind
from supervm.protocol.wire.messages import (
    BatchCertificateMessage,
    BatchMessage,
    BlocksMessage,
    CertificateMessage,
    CheckpointMessage,
    ConsensusStatus,
    Follow,
    GetAccounts,
    GetBatches,
    GetBlock,
    GetBlocks,
    GetReceipt,
    GetSnapshot,
    GetValidatorChanges,
    Heartbeat,
    Message,
    ProposalMessage,
    SnapshotChunk,
    ValidatorChanges,
    VoteMessage,
)

from .accuse import Accuser
from .bodies import Bodies
from .budgets import BUDGETS
from .checkpoints import Divergence
from .consensus import LAG_BLOCKS_MAX, Consensus
from .early import EarlyMessages
from .epoch_end import KINDS as EPOCH_KINDS
from .epoch_end import EpochEnd
from .executor import BATCH_MESSAGE_BYTES_MAX, Executor
from .guard import DoubleRun, DoubleRunGuard
from .messages import Approve, GetEpoch, Info
from .pool import Pool
from .recall import NOTHING_HELD, Floors, Recalled, held_by, recall
from .seat import Seat
from .serving import Serving
from .simplex import Simplex
from .simplex import effects as sx
from .simplex.promises import (
    BatchPromise,
    CheckpointPromise,
    ClosePromise,
    ConsensusPromise,
    encode_promise,
    epoch_of,
    view_of,
)
from .slots import Slots
from .swap import Swap
from .voting import BatchVoter
from .whereabouts import Whereabouts

SEEN_CERTIFICATES_MAX = 4_096

_hash_seen = hasher(b"svm.seen")


class ValidatorNode:
    """One L1 node.

    Args:
        chain: the network.
        node_id: this node's id.
        key: the validator key, or None to only follow.
        reader: durable state, including the write-ahead log.
        targets: peers to dial, (node id or None, ``host:port``).
        rng: source of jitter.
        observer: True if the write-ahead log is lost or damaged: the node must not sign anything (2.8, amnesia).
        listen_us: how long to listen, before the first vote, whether the key votes elsewhere.

    Raises:
        LocalProtocolError: the key is not one of the chain's validators, or the stored state is not this chain's.
    """

    def __init__(
        self,
        *,
        chain: Chain,
        node_id: bytes,
        key: SigningKey | None,
        reader: Reader,
        targets: Sequence[tuple[bytes | None, str]],
        rng: random.Random,
        observer: bool = False,
        listen_us: int = 0,
    ) -> None:
        self.chain = chain
        self.node_id = node_id
        self._reader = reader
        self._outbox = Outbox()
        self.peering = Peering(self._outbox, targets, rng)
        self.manners = Manners(self._outbox, BUDGETS)
        self._chosen: dict[bytes, None] = {}  # peers that this node has dialled: its owner has configured them
        self.ledger = Ledger(chain, reader)
        rules = self._consensus_rules()
        epoch = rules.epoch
        recalled = Recalled((), "", None) if observer else recall(reader, self.ledger, epoch)
        promises = recalled.promises
        if recalled.doubt:  # it was restored, and what this node promised since nobody knows
            self._outbox.publish("database-older-than-log", level="error", reason=recalled.doubt)
        self.seat = Seat(node_id, key, rules, amnesia=observer or bool(recalled.doubt))
        floors = Floors(
            self.ledger, lambda: self.serving.tip, lambda: self.executor.tally.height, recalled.floor
        )
        held = held_by(reader, self.ledger)
        if key is not None and not self.seat.amnesia and recalled.floor is None and held != NOTHING_HELD:
            # written before there were floors: what it lacks rests at most on what the tables hold now
            self._outbox.persist(Append(encode_promise(held)))
        self._slots = Slots(self.ledger.accounts, chain.parameters)
        self._slots.executed_ts_ms = self.ledger.block_header.ts_ms
        self.pool = Pool(self.ledger.accounts, self.seat)
        self.accuser = Accuser(self.seat, self._outbox)
        self.voter = BatchVoter(
            chain,
            self.seat,
            self._slots,
            self.pool,
            self._outbox,
            reader,
            [promise for promise in promises if isinstance(promise, BatchPromise)],
            self.accuser,
            floors.news,
            self.manners,
        )
        self.bodies = Bodies(reader, self._outbox)
        self.executor = Executor(
            chain,
            self.seat,
            self.ledger,
            self.pool,
            self._slots,
            self._outbox,
            reader,
            [promise for promise in promises if isinstance(promise, CheckpointPromise)],
            self._peer_of,
            self.accuser,
            self.bodies,
        )
        self.executor.listen(executed=self._executed, certified=self._certified)
        self.serving = Serving(self._outbox, reader, self.ledger, self.pool, self.manners)
        self.epoch_end = EpochEnd(
            self.seat,
            self.ledger,
            self._outbox,
            reader,
            self._broadcast,
            promised=any(isinstance(promise, ClosePromise) and promise.epoch == epoch for promise in promises),
        )
        self.voter.closed = self.epoch_end.closing
        self.consensus = Consensus(
            chain,
            self.seat,
            reader,
            self.ledger,
            self.pool,
            self.voter,
            self.executor,
            self.serving,
            self.epoch_end,
            self._outbox,
            self.accuser,
            peer_of=self._peer_of,
            blame=self._blame,
            shuns=self._shuns,
            fetch_chain=lambda: self._whereabouts.ask_anyone(),
            promises=promises,
            floors=floors,
        )
        if self.executor.tally.certified is not None:
            self.serving.certified(self.executor.tally.certified)
            self.peering.height = self.executor.tally.height
        self._changes = ChangeStore(reader, self._outbox)
        self.offers = SnapshotOffers(
            self._outbox, lambda at_us, peer, size: self.manners.answered(at_us, peer, "history", size)
        )
        self.snapshot = SnapshotTaker(
            chain, self._outbox, reader, self._changes, lambda: sorted(self.peering.of_tier(1)), self.serving.tip
        )
        self._whereabouts = Whereabouts(
            self.seat,
            self.ledger,
            self.peering,
            self.executor,
            self.serving,
            self.snapshot,
            self._outbox,
            lambda: self.consensus.simplex,
        )
        self._swap = Swap(
            self.seat,
            self.ledger,
            self._slots,
            self.executor,
            self.serving,
            self.snapshot,
            self.offers,
            self.peering,
            self._outbox,
        )
        views = [
            view_of(promise)
            for promise in promises
            if isinstance(promise, ConsensusPromise) and epoch_of(promise) == epoch
        ]
        self._guard = (
            DoubleRunGuard(self.seat.rules, self.seat.index, max([*views, self.consensus.simplex.final.view]))
            if self.seat.index is not None and listen_us
            else None
        )
        self._whereabouts.listening = self._guard is not None
        self._listen_us = listen_us
        self._vote_from_us: int | None = None  # None: not started, or voting already
        self._epoch_due: CertifiedCheckpoint | None = None  # certified sealing checkpoint: the next epoch begins
        self._early = EarlyMessages()
        self._has_shunned = False
        self._clock = ClockWatch(self._outbox, drift_ms=chain.parameters.clock_drift_ms)
        self._seen: dict[bytes, None] = {}
        self._now_us = 0
        self._seat_said: str | None = None
        self._ranked_for = self._next_sets()

    def _consensus_rules(self) -> ChainRules:
        """Return the rules of the epoch that consensus stands in: an epoch begins when its root is certified."""
        ledger = self.ledger
        row = self._reader.get("ledger", ("certified_height",))
        certified = row[0] if row is not None and isinstance(row[0], int) else 0
        if certified >= ledger.rules.root_height:
            return ledger.rules
        record = ledger.epoch_record(ledger.epoch.number - 1)
        if record is None:
            raise LocalProtocolError(f"the database holds nothing of epoch {ledger.epoch.number - 1}")
        return self.chain.rules_of(record)

    # --- the contract -------------------------------------------------------------------------------------------------

    @property
    def deadline_us(self) -> int | None:
        """When the node wants a `Tick`."""
        if self._swap.is_under_way:
            return self.peering.deadline_us
        if self._guard is not None:  # listening: the parts have their turn when it is over
            return earliest(self.peering.deadline_us, self._vote_from_us)
        return earliest(
            self.peering.deadline_us,
            self.manners.deadline_us,
            self.consensus.deadline_us,
            self.executor.deadline_us,
            self.serving.deadline_us,
            self.epoch_end.deadline_us,
            self.offers.deadline_us,
            self.snapshot.deadline_us,
            self._whereabouts.deadline_us,
            self._vote_from_us,
        )

    @property
    def index(self) -> int | None:
        """This node's index in the present epoch's set, None without a seat."""
        return self.seat.index

    @property
    def simplex(self) -> Simplex:
        """The consensus instance of the present epoch."""
        return self.consensus.simplex

    def step(self, now_us: int, event: Input) -> list[Effect]:
        """Take one input; see `supervm.common.core`."""
        self._now_us = now_us
        try:
            self._handle(event)
            while self._epoch_due is not None:
                self._next_epoch(self._epoch_due)
            if self._has_shunned:
                self._has_shunned = False
                if self._guard is None and not self._swap.is_under_way:
                    self.consensus.step(now_us, sx.Tick())  # whoever is gone now may be the leader that is waited for
        except (Divergence, SupplyMismatch, DoubleRun) as error:
            self._outbox.publish("divergence", level="error", reason=str(error))
            self._outbox.halt(str(error))
        return self._outbox.drain()

    def _handle(self, event: Input) -> None:
        now_us = self._now_us
        if self._swap.is_under_way and isinstance(event, Received | WorkDone | Durable | Tick):
            adopted = self._swap.wait(now_us, event)
            if adopted is not None:
                self._certified(adopted)
            return
        match event:
            case Received(peer, message):
                self.peering.heard(now_us, peer)
                if self.manners.admit(now_us, peer, message):
                    self._take(peer, message)
            case WorkDone(token, result):
                if self.voter.verified(now_us, token, result):
                    self.executor.run(self._now_us)
                    self.consensus.build(now_us)  # a certificate may have come before its body
            case Durable():
                pass
            case Tick():
                self._tick()
            case PeerUp():
                if event.address is not None:
                    self._chosen[event.peer] = None
                if self.manners.peer_up(now_us, event, self._rank(event.peer)):
                    self.peering.peer_up(now_us, event)
                    self._whereabouts.up(now_us, event.peer)
            case PeerDown():
                self.manners.peer_down(now_us, event)
                self._chosen.pop(event.peer, None)
                self.peering.peer_down(now_us, event)
                self.serving.gone(event.peer)
                self._early.forget(event.peer)
                self.offers.gone(event.peer)
                self.snapshot.gone(now_us, event.peer)
                self._whereabouts.gone(now_us, event.peer)
            case DialFailed():
                self.peering.dial_failed(now_us, event)
            case Command(token, Info()):
                self._outbox.reply(token, self.info())
            case Command(token, Approve(raw)):
                self._approve(token, raw)
            case Command(token, GetEpoch(number)):
                record = self.ledger.epoch_record(self.seat.rules.epoch if number is None else number)
                if record is None:
                    present = self.ledger.epoch.number
                    self._outbox.refuse(
                        token,
                        f"epoch {number} has not begun, or this node began with a snapshot above it; the present one "
                        f"is {present}",
                    )
                else:
                    answer: dict[str, object] = {"number": record.number, "record": encode(record).hex()}
                    if record.number == self.seat.rules.epoch:
                        answer |= self._wishes()
                    self._outbox.reply(token, answer)
            case Command(token, request):
                self._outbox.refuse(token, f"unknown request {type(request).__name__}")
            case Started():
                self._say_seat()
                if self._guard is None:
                    self._begin()
                else:
                    self._vote_from_us = now_us + self._listen_us
                self._tick()

    def _begin(self) -> None:
        """Take part: from here on this node votes."""
        self._guard = None
        self._whereabouts.listening = False
        self._vote_from_us = None
        self.executor.start(self._now_us)
        self.consensus.start(self._now_us)
        self.epoch_end.start(self._now_us)
        self.voter.closed = self.epoch_end.closing
        self._swap.begin()

    def _tick(self) -> None:
        now_us = self._now_us
        self.peering.tick(now_us)
        self._clock.look(now_us, self.ledger.height, self.ledger.header.ts_ms)
        if self._guard is not None:
            if self._vote_from_us is not None and self._vote_from_us <= now_us:
                self._begin()
            return
        for peer, message in self.manners.due(now_us):
            self._take(peer, message)
        self.executor.tick(now_us)
        self.serving.tick(now_us)
        self.epoch_end.tick(now_us)
        self.consensus.tick(now_us)
        self.snapshot.reached(self.serving.tip)
        self.snapshot.tick(now_us)
        self.offers.tick(now_us)
        self._whereabouts.tick(now_us)

    # --- messages -----------------------------------------------------------------------------------------------------

    def _take(self, peer: bytes, message: Message) -> None:
        try:
            self._receive(peer, message)
        except RemoteProtocolError as error:
            self._blame(peer, error)

    def _receive(self, peer: bytes, message: Message) -> None:
        sender = self.seat.rules.validators.index_of_node.get(peer)
        now_us = self._now_us
        if self._guard is not None:
            if isinstance(message, CertificateMessage):
                self._guard.look(message.certificates)
            elif isinstance(message, Heartbeat):
                self.peering.heartbeat(peer, message)
            return  # whatever else there is to say will be said again
        match message:
            case VoteMessage(votes):
                self._votes(peer, sender, votes)
            case ProposalMessage(raw):
                if sender is None and not self.epoch_end.closing:
                    return  # a stranger's, and no epoch begins: not worth reading
                epoch = glance(raw)[0].epoch
                if epoch > self.seat.rules.epoch:
                    self._keep_early(peer, epoch, message)
                elif sender is not None:
                    self.consensus.proposal(now_us, sender, raw)
            case CertificateMessage(certificates):
                known = 0
                for certificate in certificates:
                    if certificate.epoch > self.seat.rules.epoch:
                        self._keep_early(peer, certificate.epoch, message)
                        return
                    if sender is None or not self.manners.is_up(peer):
                        return  # one bad certificate is enough
                    known += self.consensus.simplex.knows(certificate) * (1 + len(certificate.signatures))
                    self.consensus.step(now_us, sx.CertificateReceived(sender, certificate))
                if known:
                    # everybody passes on each certificate, and repeats many in a standstill: only reading them cost us
                    total = sum(1 + len(certificate.signatures) for certificate in certificates)
                    self.manners.refund(peer, message, part=7 * known, of=8 * total)
            case BatchMessage(raw):
                is_answer = sender is not None and self.executor.is_answer(peer, raw)
                if self.executor.body(raw, now_us):
                    self.manners.refund(peer, message)
                    self.consensus.build(now_us)
                elif is_answer:
                    self.manners.refund(peer, message)  # somebody was quicker
                elif sender is None and not self._is_early(peer, message):
                    # from a validator it would answer a request that another has answered before
                    self.voter.batch(peer, message)
            case BatchCertificateMessage(raw):
                self._certificate(peer, message)
            case Heartbeat():
                self.peering.heartbeat(peer, message)
                self.snapshot.behind(now_us, message.height, peer)
            case CheckpointMessage(raw):
                self.executor.checkpoint(raw)
            case ConsensusStatus():
                if self._whereabouts.heard(now_us, peer, message):
                    self._outbox.publish("amnesia-over", epoch=self.seat.rules.epoch + 1)
                    self.epoch_end.executed(self.ledger.block_header, now_us)
            case GetBlocks(from_height):
                self.serving.blocks(now_us, peer, from_height)
            case BlocksMessage(raw):
                if self.consensus.chain(now_us, raw):
                    self.manners.refund(peer, message)
                    self._whereabouts.brought_blocks(now_us, peer)
            case GetBlock(view, digest):
                held = self.consensus.simplex.block(digest) or self.serving.recent(view, digest)
                if held is not None:
                    # it may be our own proposal, whose record is not durable yet
                    block_bytes = encode(held)
                    self._outbox.send(peer, ProposalMessage(block_bytes), after=self.consensus.promise_written)
                    self.manners.answered(now_us, peer, "history", len(block_bytes))
            case GetBatches():
                self.serving.batches(now_us, peer, message)
            case Follow(height):
                self.serving.follow(peer, height, self._now_us)
            case GetAccounts():
                self.serving.accounts(now_us, peer, message)
            case GetReceipt(transfer_id):
                self.serving.receipt(now_us, peer, transfer_id)
            case GetValidatorChanges(after_height):
                changes = self._changes.answer(after_height)
                self._outbox.send(peer, changes, after=self.serving.after)
                self.manners.answered(now_us, peer, "history", sum(map(len, changes.changes)))
            case GetSnapshot():
                self.offers.ask(now_us, peer, message)
            case ValidatorChanges():
                self.snapshot.followed(now_us, peer, message)
            case SnapshotChunk():
                self.snapshot.reached(self.serving.tip)
                if self.snapshot.chunk(now_us, peer, message):
                    self.manners.refund(peer, message)
                self._swap.begin()
            case _:
                raise RemoteProtocolError(f"an L1 takes no {type(message).__name__} from this peer", code="direction")

    def _is_early(self, peer: bytes, message: BatchMessage) -> bool:
        """Keep a batch for the next epoch: its miner has learned a moment earlier that this one is over."""
        if not self.epoch_end.closing:
            return False
        epoch = decode(Batch, message.batch, bytes_max=BATCH_MESSAGE_BYTES_MAX).header.epoch
        self._keep_early(peer, epoch, message)
        return epoch > self.seat.rules.epoch

    def _votes(self, peer: bytes, sender: int | None, votes: tuple[Vote, ...]) -> None:
        checkpoint_votes = []
        for vote in votes:
            if not self.manners.is_up(peer):
                return  # one bad vote is enough
            if vote.kind in EPOCH_KINDS:
                if self.epoch_end.vote(peer, vote):
                    self.consensus.build(self._now_us)
            elif vote.epoch > self.seat.rules.epoch:
                self._keep_early(peer, vote.epoch, VoteMessage((vote,)))
            elif vote.kind is VoteKind.BATCH:
                raise RemoteProtocolError(
                    "a batch vote travels in a message of its own, to the batch's miner", penalty=50, code="bad-vote"
                )
            elif vote.epoch < self.seat.rules.epoch:
                self._whereabouts.remind(self._now_us, peer)
            elif vote.kind is VoteKind.CHECKPOINT:
                checkpoint_votes.append(vote)
            elif sender is not None:
                self.consensus.step(self._now_us, sx.VoteReceived(sender, vote))
        if checkpoint_votes:
            self.executor.votes(peer, checkpoint_votes)
            self._blame_bad_votes()

    def _keep_early(self, peer: bytes, epoch: int, message: Message) -> None:
        """Keep a message of the next epoch if its sender has, or may soon have, a say in it."""
        proposed = self.ledger.proposed or self.ledger.epoch.validators
        has_say = (
            peer in self.chain.payout_of_miner
            if isinstance(message, BatchMessage)
            else peer in self.seat.rules.validators.index_of_node
            or any(member.node_id == peer for member in proposed.members)
        )
        if has_say:
            self._early.keep(peer, epoch, message, self.seat.rules.epoch)

    def _certificate(self, peer: bytes, message: BatchCertificateMessage) -> None:
        """Take a batch certificate from whoever has it: what it brings decides what is spent on it."""
        raw = message.certificate
        name = _hash_seen(raw)
        if name in self._seen:
            return
        rules = self.seat.rules
        certificate = decode(BatchCertificate, raw, bytes_max=1 << 20)
        if certificate.header.epoch != rules.epoch or self.bodies.is_spent(certificate.header):
            return  # one of us is behind: it counts in its own epoch only, and until it is executed
        check_batch_certificate(certificate, rules.chain_id, rules.validators, rules.verify)
        self._seen[name] = None
        if len(self._seen) > SEEN_CERTIFICATES_MAX:
            del self._seen[next(iter(self._seen))]
        if certified_bits(certificate, rules.validators) and self.pool.add_certificate(certificate, self._now_us):
            self.manners.refund(peer, message)
            self.executor.want((certificate,), self._now_us)
            self.consensus.build(self._now_us)

    def _rank(self, peer: bytes) -> Rank:
        """Return what a peer is to us: a validator of the epoch, one that the chain or our owner names, or anybody."""
        if peer in self.seat.rules.validators.index_of_node:
            return Rank.MEMBER
        named = (
            peer in self.chain.payout_of_miner
            or peer in self._chosen
            or peer in self.chain.rules.validators.index_of_node
            or any(member.node_id == peer for member in self.ledger.epoch.validators.members)
            # who is to join has to catch up first, whatever strangers do
            or any(peer in next_set.index_of_node for next_set in self._next_sets())
        )
        return Rank.NAMED if named else Rank.STRANGER

    def _next_sets(self) -> tuple[ValidatorSet, ...]:
        """Return the sets that the chain proposes, and that our operator wants, for the next epoch."""
        return tuple(found for found in (self.ledger.proposed, self.epoch_end.wish) if found is not None)

    def _rerank(self) -> None:
        self._ranked_for = self._next_sets()
        self.manners.rerank(self._now_us, self._rank)

    def _blame(self, peer: bytes, error: RemoteProtocolError) -> None:
        self._has_shunned |= self.manners.blame(self._now_us, peer, error)

    def _shuns(self, index: int) -> bool:
        return self.manners.is_banned(self._now_us, self.seat.rules.validators.node_ids[index])

    def _blame_bad_votes(self) -> None:
        for signer in self.executor.tally.bad_signers:
            error = RemoteProtocolError("its checkpoint vote is not signed by it", penalty=50, code="bad-signature")
            self._blame(self.seat.rules.validators.node_ids[signer], error)
        self.executor.tally.bad_signers.clear()

    def _peer_of(self, index: int) -> bytes | None:
        return self._whereabouts.peer_of(index)

    def _broadcast(self, message: Message, after: int) -> None:
        self.consensus.broadcast(message, after)

    # --- the end of an epoch ------------------------------------------------------------------------------------------

    def _approve(self, token: int, raw: bytes) -> None:
        """Take the operator's wish for the validators of the next epoch; no bytes withdraw it."""
        try:
            wish = None
            if raw:
                wish = ValidatorSet(decode(ValidatorList, raw).members)
                check_roles(wish.members, self.chain.genesis.miners)
        except (RemoteProtocolError, LocalProtocolError) as error:
            self._outbox.refuse(token, f"these are no validators: {error}")
            return
        self.epoch_end.want(wish, self._now_us)
        self._rerank()
        self._outbox.reply(token, self.info(), after=self._outbox.persist())

    def _next_epoch(self, root: CertifiedCheckpoint) -> None:
        """Leave the epoch that `root` seals. What was promised, voted or certified in it counts no more."""
        self._epoch_due = None
        former = self.seat.rules.validators
        self.seat.enter(self.ledger.rules)
        self._slots.clear()
        self.pool.clear()
        self.voter.enter_epoch()
        self.accuser.enter_epoch()
        self.executor.enter_epoch(root)
        members = self.seat.rules.validators.index_of_node
        for node_id in members:
            self.serving.gone(node_id)
        self._outbox.publish(
            "epoch",
            number=self.seat.rules.epoch,
            validators=len(members),
            changed=former.hash != self.seat.rules.validators.hash,
            validator=self.seat.index,
        )
        self._say_seat()
        self.epoch_end.enter_epoch(self._now_us)
        self._rerank()
        self.consensus.enter_epoch(self._now_us)
        # whoever is still at the end of the epoch before can follow at once
        message = CheckpointMessage(encode(root))
        for node_id in dict.fromkeys((*former.node_ids, *members)):
            if node_id != self.node_id and node_id in self.peering.up:
                self._outbox.send(node_id, message, after=self.serving.after)
        self._whereabouts.enter_epoch(self._now_us)
        for peer, early in self._early.take(self.seat.rules.epoch):
            if peer in self.peering.up:
                self._take(peer, early)

    def _say_seat(self) -> None:
        reason = self.seat.why_none
        if reason is not None and reason != self._seat_said:
            self._outbox.publish("no-seat", level="warning", epoch=self.seat.rules.epoch, reason=reason)
        self._seat_said = reason

    # --- news of the parts --------------------------------------------------------------------------------------------

    def _executed(self, applied: Applied) -> None:
        if applied.header.next_validators_hash != ZERO_HASH:
            view = self.ledger.view(applied.header.height)
            assert view is not None  # it is the newest height
            self.offers.sealed(self.ledger.epoch, view, self.ledger.peaks())
        soon = self.executor.unexecuted(LAG_BLOCKS_MAX)
        keep = dict.fromkeys(ref.digest for block in soon for ref in block.body.refs)
        dead = self.pool.forget_dead(applied.header.ts_ms, keep, self._slots.anchored)
        self.voter.forget(dead)
        self.epoch_end.executed(self.ledger.block_header, self._now_us)
        if self._next_sets() != self._ranked_for:
            self._rerank()
        self.voter.closed = self.epoch_end.closing
        self._blame_bad_votes()  # found while our own vote was counted; in the next epoch their indices mean others
        self._whereabouts.executed()
        self._outbox.publish(
            "executed",
            height=applied.header.height,
            receipts=len(applied.result.receipts),
            state_root=applied.header.state_root.hex(),
        )

    def _certified(self, checkpoint: CertifiedCheckpoint) -> None:
        self.peering.height = checkpoint.header.height
        self.serving.after = self.offers.after = self._outbox.persist()
        self.serving.certified(checkpoint)
        self.offers.certified(checkpoint)
        header = checkpoint.header
        if header.next_validators_hash != ZERO_HASH and header.epoch >= self.seat.rules.epoch:
            self._epoch_due = checkpoint
            self._changes.sealed(checkpoint, self.ledger.epoch.validators)

    def about_seat(self) -> dict[str, object]:
        """Return what the line ``ready`` says of the seat: the index in the epoch's set, or why there is none."""
        return {"validator": self.seat.index, "no_seat": self.seat.why_none}

    def _problems(self) -> list[str]:
        """Return what the owner should know and do something about."""
        self._clock.look(self._now_us, self.ledger.height, self.ledger.header.ts_ms)
        found = (
            None if self.seat.why_none is None else f"this node has no seat and only follows: {self.seat.why_none}",
            self._clock.problem(self._now_us),
            *self.peering.problems(self._now_us),
        )
        return [text for text in found if text is not None]

    def _wishes(self) -> dict[str, object]:
        """Return what is known of the validators of the next epoch."""
        wish, proposed = self.epoch_end.wish, self.ledger.proposed
        return {
            "wish": None if wish is None else wish.hash.hex(),
            "approvals": self.epoch_end.approvals(),
            "quorum": self.seat.rules.validators.quorum,
            "proposed": None if proposed is None else proposed.hash.hex(),
        }

    def info(self) -> dict[str, object]:
        """Where the node stands, for `supervm up` and for people."""
        certified = self.executor.tally.certified
        header = self.ledger.header
        return {
            "tier": 1,
            "node_id": self.node_id.hex(),
            **self.about_seat(),
            "problems": self._problems(),
            "epoch": self.seat.rules.epoch,
            "validators": len(self.seat.rules.validators),
            "validators_hash": self.seat.rules.validators.hash.hex(),
            **self._wishes(),
            "view": self.consensus.simplex.view,
            "finalized_height": self.serving.tip,
            "executed_height": header.height,
            "certified_height": 0 if certified is None else certified.header.height,
            "state_root": header.state_root.hex(),
            "supply": header.supply,
            "certified_state_root": self.chain.anchor.state_root.hex()
            if certified is None
            else certified.header.state_root.hex(),
            "signers": 0 if certified is None else len(certified.signatures),
            "fees": list(self.ledger.fees_by_tier),
            "peers": len(self.peering.up),
            "promised_transfers": len(self._slots),
            "certificates_held": len(self.pool.held),
        }
