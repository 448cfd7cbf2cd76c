"""What a validator has made durable and what it has signed, over all its lives (S5, S6, R3, N4).

Every byte that leaves a host is looked at: votes, proposals, certificates, finalized chains, checkpoints and batch
votes. A signature of an honest validator must stand on a record that its disk has by then (S6), and must contradict
none that was ever seen, also not one from before a crash (S5). A Notarize must be for a block that carries the complete
and genuine proof of its place (R3, evidence E6). What an honest node passes on or writes down has been checked (N4).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from supervm.common.contract.records import Append, Prune
from supervm.common.parts.ledger_tables import stored_number
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.hashing import ZERO_HASH, hash_justification
from supervm.protocol.chain.batch_certificate import BatchVote, bitmap_bits
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint
from supervm.protocol.chain.finalized import decode_finalized
from supervm.protocol.chain.spans import Span, span_of
from supervm.protocol.chain.votes import Certificate, Vote, VoteKind
from supervm.protocol.money.transaction import SignedTransaction
from supervm.protocol.state.account import EMPTY_ACCOUNT
from supervm.protocol.wire.chain import BatchMessage, BatchVoteMessage, BlocksMessage, CheckpointMessage
from supervm.protocol.wire.consensus import CertificateMessage, ProposalMessage, VoteMessage
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.payments import LeafProofs
from supervm.tier_l1_super.consensus.simplex.promises import (
    BatchPromise,
    CheckpointPromise,
    ClosePromise,
    FinalizePromise,
    HeldCertificate,
    NotarizePromise,
    NullifyPromise,
    SpanPromise,
    decode_promise,
)
from supervm.tier_l1_super.node import ValidatorNode
from supervm.tier_l1_super.tables import BATCHES, BLOCKS

from ..exact import Host, Persisted, Sent, Stepped
from .blocks import DRIFT_MS_MAX, flaw_of
from .facts import BYTES_MAX, Facts
from .finality import Finality
from .slots import SlotWatch

NOTARIZE, NULLIFY, FINALIZE = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE
NULLIFY_SPAN = VoteKind.NULLIFY_SPAN
Statement = tuple[VoteKind, int, int, bytes]
"""(kind, epoch, number, digest); the epoch of a checkpoint vote counts as 0, its record names none."""


@dataclass
class Witness:
    """One validator: what it has on disk, and what it has said."""

    promised: dict[Statement, None] = field(default_factory=dict)
    bits: dict[bytes, int] = field(default_factory=dict)
    said: dict[tuple[VoteKind, int, int], bytes] = field(default_factory=dict)
    slots: dict[tuple[int, bytes, int, bytes], tuple[SignedTransaction, int]] = field(default_factory=dict)
    """(epoch, sender, sequence number, predecessor) -> what it supports there, promised last, and when: executed ms."""
    promised_ms: dict[tuple[bytes, int], int] = field(default_factory=dict)
    """(batch, position) of a bit on disk -> executed time when it was promised."""
    spans: dict[tuple[int, Span], None] = field(default_factory=dict)


class PromiseWatch:
    """Watches signatures.

    Args:
        facts: shared knowledge.
        finality: told of every genuine vote.
        slots: told of every genuine batch vote.
    """

    def __init__(self, facts: Facts, finality: Finality, slots: SlotWatch) -> None:
        self._facts, self._finality, self._slots = facts, finality, slots
        self._witnesses: dict[bytes, Witness] = {}
        self._checkpoints: dict[bytes, CertifiedCheckpoint] = {}
        self._placed: dict[bytes, bool] = {}
        self._flaws: dict[bytes, str] = {}
        self._clocks_us: dict[str, int] = {}
        """Host -> the latest time that its clock has ever shown."""
        self._executed_ms: dict[str, int] = {}
        """Validator -> the time of the block that it has executed last."""
        self._lost_in: dict[str, int] = {}
        self._last: tuple[Host | None, Message | None] = (None, None)

    def sent(self, event: Sent) -> None:
        """Look at a message that leaves."""
        message = event.message
        sender = event.sender
        if self._last[0] is sender and self._last[1] is message:
            return  # one broadcast
        self._last = (sender, message)
        kind = type(message)
        facts = self._facts
        honest = facts.is_honest(sender)
        if kind is VoteMessage:
            for vote in message.votes:  # type: ignore[attr-defined]
                self._vote(sender, vote, honest)
        elif kind is CertificateMessage:
            for certificate in message.certificates:  # type: ignore[attr-defined]
                self._certificate(sender, certificate, honest)
        elif kind is ProposalMessage:
            block = facts.block(message.block)  # type: ignore[attr-defined]
            if block is not None:
                self._proposal(sender, block, honest)
        elif kind is BatchVoteMessage:
            self._batch_vote(sender, message.vote, honest)  # type: ignore[attr-defined]
        elif kind is BatchMessage:
            facts.batch(message.batch)  # type: ignore[attr-defined]
        elif kind is CheckpointMessage or kind is LeafProofs:
            self._checkpoint(sender, message.checkpoint, honest)  # type: ignore[attr-defined]
        elif kind is BlocksMessage and message.blocks:  # type: ignore[attr-defined]
            self._chain(sender, message.blocks, honest)  # type: ignore[attr-defined]

    def persisted(self, event: Persisted) -> None:
        """Look at records that are durable from now on."""
        host = event.host
        witness = self._witness(host)
        for record in event.records:
            if type(record) is Append:
                self._promise(host, witness, record.payload)
            elif type(record) is Prune:
                for payload in record.keep:
                    self._promise(host, witness, payload)
                if self._facts.is_honest(host):
                    self._compacted(host, witness, record)

    def _compacted(self, host: Host, witness: Witness, record: Prune) -> None:
        """A log was written anew: what this host has said and may still contradict must be in it."""
        core = host.core
        if not isinstance(core, ValidatorNode):
            return
        kept = Witness()
        for payload in record.keep:
            self._promise(host, kept, payload)
        taken = core.snapshot.finished  # written with this log: the node is about to stand at the root of its epoch
        epoch = core.seat.rules.epoch if taken is None else taken.epoch.number
        for kind, said_epoch, number in witness.said:
            digest = witness.said[kind, said_epoch, number]
            subject = (kind, 0 if kind is VoteKind.CHECKPOINT else said_epoch, number, digest)
            if said_epoch == epoch and subject not in kept.promised and not _outlived(host, kind, said_epoch, number):
                self._facts.book.note("S6", f"{host.name}: a compacted log lacks its {kind.name} of {number}")
        alive = {
            transaction.id
            for digest, positions in kept.bits.items()
            if digest in self._facts.batches
            for position, transaction in enumerate(self._facts.batches[digest].transactions)
            if positions >> position & 1
        }
        for (said_epoch, sender, seq, prev), (transaction, _) in witness.slots.items():
            account = core.ledger.state.accounts.get(sender, EMPTY_ACCOUNT)
            if (
                said_epoch == epoch
                and (seq, prev) == (account.next_seq, account.head)
                and transaction.id not in alive
                and transaction.body.valid_until_ms >= core.ledger.block_header.ts_ms
            ):
                self._facts.book.note("S6", f"{host.name}: a compacted log lacks its promise of slot {seq}")

    def stepped(self, event: Stepped) -> None:
        """Note what time it is for a host."""
        self._clocks_us[event.host.name] = max(event.local_us, self._clocks_us.get(event.host.name, 0))
        core = event.host.core
        if isinstance(core, ValidatorNode):
            self._executed_ms[event.host.name] = core.ledger.block_header.ts_ms

    def started(self, host: Host) -> None:
        """Look at a host that begins: without its log it must never vote in an epoch that it may have voted in."""
        if host.disk.log_lost:
            self._lost_in[host.name] = max((epoch for _, epoch, _ in self._witness(host).said), default=0)

    def _witness(self, host: Host) -> Witness:
        witness = self._witnesses.get(host.node_id)
        if witness is None:
            witness = self._witnesses[host.node_id] = Witness()
        return witness

    # --- records ------------------------------------------------------------------------------------------------------

    def _promise(self, host: Host, witness: Witness, payload: bytes) -> None:
        promise = decode_promise(payload)
        promised = witness.promised
        if isinstance(promise, NotarizePromise):
            promised[NOTARIZE, promise.epoch, promise.view, promise.digest] = None
            for block in promise.block:
                self._facts.blocks.setdefault(promise.digest, block)
        elif isinstance(promise, NullifyPromise):
            promised[NULLIFY, promise.epoch, promise.view, ZERO_HASH] = None
        elif isinstance(promise, SpanPromise):
            span = Span(promise.view, promise.width)
            promised[NULLIFY_SPAN, promise.epoch, span.last, span.digest] = None
        elif isinstance(promise, FinalizePromise):
            promised[FINALIZE, promise.epoch, promise.view, promise.digest] = None
        elif isinstance(promise, CheckpointPromise):
            promised[VoteKind.CHECKPOINT, 0, promise.height, promise.digest] = None
        elif isinstance(promise, ClosePromise):
            promised[VoteKind.EPOCH_CLOSE, promise.epoch, 0, ZERO_HASH] = None
        elif isinstance(promise, BatchPromise):
            bits = bitmap_bits(promise.bitmap, promise.count)
            fresh = bits & ~witness.bits.get(promise.digest, 0)
            for position in range(promise.count):
                if fresh >> position & 1:
                    witness.promised_ms[promise.digest, position] = self._executed_ms.get(host.name, 0)
            witness.bits[promise.digest] = witness.bits.get(promise.digest, 0) | bits
        elif isinstance(promise, HeldCertificate) and self._facts.is_honest(host):
            self._must_be_genuine(host, promise.certificate, "wrote down")

    def _must_be_genuine(self, host: Host, certificate: Certificate, what: str) -> bool:
        good = self._facts.genuine(certificate)
        if not good:
            self._facts.book.note(
                "N4",
                f"{host.name} {what} a {certificate.kind.name} certificate of {certificate.number} that no "
                "quorum signed",
            )
        return good

    # --- signatures ---------------------------------------------------------------------------------------------------

    def _vote(self, sender: Host, vote: Vote, honest: bool) -> None:
        if vote.kind is VoteKind.NEXT_READY or vote.kind is VoteKind.SET_CHANGE:
            return  # wishes and news, no promises
        if self._facts.index_of(sender, vote.epoch) != vote.signer:
            if honest:
                self._facts.book.note("N4", f"{sender.name} passes on a vote of validator {vote.signer}")
            if not self._genuine(vote):
                return
        elif not honest and not self._genuine(vote):
            return
        self._say(vote.kind, vote.epoch, vote.number, vote.digest, vote.signer)

    def _genuine(self, vote: Vote) -> bool:
        message = self._facts.statement(vote.kind, vote.epoch, vote.number, vote.digest)
        return self._facts.signed(vote.signer, vote.epoch, message, vote.signature)

    def _certificate(self, sender: Host, certificate: Certificate, honest: bool) -> None:
        facts = self._facts
        if honest:
            if not self._must_be_genuine(sender, certificate, "passed on"):
                return
            signers = [index for index, _ in certificate.signatures]
        else:
            message = facts.statement(certificate.kind, certificate.epoch, certificate.number, certificate.digest)
            signers = [
                index
                for index, signature in certificate.signatures
                if facts.signed(index, certificate.epoch, message, signature)
            ]
        for signer in signers:
            self._say(certificate.kind, certificate.epoch, certificate.number, certificate.digest, signer)

    def _proposal(self, sender: Host, block: Block, honest: bool) -> None:
        header = block.header
        own = self._facts.index_of(sender, header.epoch) == header.proposer
        message = self._facts.statement(NOTARIZE, header.epoch, header.view, block.hash)
        if (honest and own) or self._facts.signed(header.proposer, header.epoch, message, block.signature):
            self._say(NOTARIZE, header.epoch, header.view, block.hash, header.proposer)

    def _chain(self, sender: Host, raw: bytes, honest: bool) -> None:
        try:
            chain = decode_finalized(raw, bytes_max=BYTES_MAX)
        except RemoteProtocolError:
            return
        for block in chain.blocks:
            self._facts.blocks.setdefault(block.hash, block)
        self._certificate(sender, chain.finalization, honest)

    def _checkpoint(self, sender: Host, raw: bytes, honest: bool) -> None:
        checkpoint = self._checkpoints.get(raw)
        if checkpoint is None:
            try:
                checkpoint = decode(CertifiedCheckpoint, raw, bytes_max=BYTES_MAX)
            except RemoteProtocolError:
                return
            self._checkpoints[raw] = checkpoint
        self._certificate(sender, checkpoint.certificate(), honest)

    def _say(self, kind: VoteKind, epoch: int, number: int, digest: bytes, signer: int) -> None:
        """A genuine signature of `signer` is in the world."""
        facts = self._facts
        host = facts.signer(signer, epoch)
        if host is None:
            return
        witness = self._witness(host)
        if kind is NULLIFY_SPAN:
            self._say_span(host, witness, epoch, span_of(number, digest), signer)
            return
        known = witness.said.get((kind, epoch, number))
        if known == digest:
            return
        if facts.is_honest(host):
            self._judge(witness, kind, epoch, number, digest, host)
        witness.said[kind, epoch, number] = digest
        self._finality.vote(kind, epoch, number, digest, signer)

    def _say_span(self, host: Host, witness: Witness, epoch: int, span: Span | None, signer: int) -> None:
        """A genuine signature of a span is in the world."""
        if span is None or (epoch, span) in witness.spans:
            return
        witness.spans[epoch, span] = None
        if self._facts.is_honest(host):
            note, what = self._facts.book.note, f"{host.name}: the span of {span.width} views up to {span.last}"
            outlived = _outlived(host, NULLIFY_SPAN, epoch, span.last)
            if (NULLIFY_SPAN, epoch, span.last, span.digest) not in witness.promised and not outlived:
                note("S6", f"{what} leaves before its record is durable")
            if epoch <= self._lost_in.get(host.name, -1) and not outlived:
                note("S6", f"{what} leaves although its log was lost: it cannot know what it promised before")
            for kind, earlier, view in witness.said:
                if kind is FINALIZE and earlier == epoch and span.first <= view <= span.last:
                    note("S5", f"{what} and a Finalize of view {view} are both signed")
        self._finality.span(epoch, span, signer)

    def _judge(self, witness: Witness, kind: VoteKind, epoch: int, number: int, digest: bytes, host: Host) -> None:
        facts, note = self._facts, self._facts.book.note
        what = f"{host.name}: {kind.name} of {number}"
        record = (kind, 0 if kind is VoteKind.CHECKPOINT else epoch, number, digest)
        outlived = _outlived(host, kind, epoch, number)
        if record not in witness.promised and not outlived:
            note("S6", f"{what} leaves before its record is durable")
        if epoch <= self._lost_in.get(host.name, -1) and not outlived:
            note("S6", f"{what} leaves although its log was lost: it cannot know what it promised before")
        earlier = witness.said.get((kind, epoch, number))
        if earlier is not None:
            note("S5", f"{what}: it signed {earlier.hex()[:16]} and {digest.hex()[:16]}")
        if kind is NULLIFY or kind is FINALIZE:
            other = FINALIZE if kind is NULLIFY else NULLIFY
            if (other, epoch, number) in witness.said:
                note("S5", f"{host.name} signed both NULLIFY and FINALIZE of view {number}")
        if kind is FINALIZE:
            for in_epoch, span in witness.spans:
                if in_epoch == epoch and span.first <= number <= span.last:
                    note("S5", f"{host.name} signed both FINALIZE of view {number} and a span up to {span.last}")
        if kind is NOTARIZE:
            block = facts.blocks.get(digest)
            if block is not None and not self.well_placed(digest, block):
                note("R3", f"{what}: the block does not prove that it may stand there")
            elif block is not None:
                self._valid(what, digest, block, host)
        if kind is VoteKind.EPOCH_CLOSE:
            rules = facts.epochs.rules_of(epoch)
            if rules is not None and facts.executed_ts_ms - rules.root_ms < rules.epoch_ms:
                note("2.11", f"{what}: {facts.executed_ts_ms - rules.root_ms} ms into epoch {epoch} it is not over")

    def _valid(self, what: str, digest: bytes, block: Block, host: Host) -> None:
        if digest not in self._flaws:
            self._flaws[digest] = flaw_of(block, self._facts)
        header = block.header
        is_own = self._facts.index_of(host, header.epoch) == header.proposer  # then it goes by its parent's time
        clock_us = None if is_own else self._clocks_us.get(host.name)
        ahead_ms = 0 if clock_us is None else header.ts_ms - clock_us // 1000
        reason = self._flaws[digest] or ("its time is ahead of the clock" if ahead_ms > DRIFT_MS_MAX else "")
        if reason:
            self._facts.book.note("2.4", f"{what}: {reason}")

    def well_placed(self, digest: bytes, block: Block) -> bool:
        """Return whether a block carries the complete and genuine proof of its place (R3)."""
        known = self._placed.get(digest)
        if known is None:
            known = self._placed[digest] = self._place(block)
        return known

    def _place(self, block: Block) -> bool:
        header, just, facts = block.header, block.just, self._facts
        if hash_justification(encode(just)) != header.just_hash or not header.parent_view < header.view:
            return False
        parent_block = facts.blocks.get(header.parent_hash)
        is_root = (
            header.parent_hash == facts.chain.genesis_header.hash
            if header.epoch == 0
            else parent_block is not None and parent_block.header.epoch == header.epoch - 1
        )
        if is_root:
            if header.parent_view != 0 or just.parent:
                return False
            if header.epoch and not (
                len(block.body.checkpoints) == 1
                and facts.genuine(block.body.checkpoints[0])
                and block.body.checkpoints[0].number == header.height - 1
            ):
                return False
        else:
            if len(just.parent) != 1:
                return False
            parent = just.parent[0]
            if parent.kind not in (NOTARIZE, FINALIZE, VoteKind.CHECKPOINT) or not facts.genuine(parent):
                return False
            if parent.kind is not VoteKind.CHECKPOINT and (parent.number, parent.digest) != (
                header.parent_view,
                header.parent_hash,
            ):
                return False
        skipped: dict[int, None] = {}
        for item in just.nullifications:
            if item.epoch != header.epoch or not facts.genuine(item):
                continue
            if item.kind is NULLIFY:
                skipped[item.number] = None
            elif item.kind is NULLIFY_SPAN and (span := span_of(item.number, item.digest)) is not None:
                views = range(max(span.first, header.parent_view + 1), min(span.last + 1, header.view))
                skipped.update(dict.fromkeys(views))
        return all(view in skipped for view in range(header.parent_view + 1, header.view))

    # --- batch votes --------------------------------------------------------------------------------------------------

    def _batch_vote(self, sender: Host, vote: BatchVote, honest: bool) -> None:
        facts = self._facts
        try:
            bits = bitmap_bits(vote.bitmap, vote.count)
        except RemoteProtocolError:
            return
        own = honest and facts.index_of(sender, vote.epoch) == vote.signer
        if not own and not facts.signed(vote.signer, vote.epoch, vote.statement(facts.chain_id), vote.signature):
            return
        host = facts.signer(vote.signer, vote.epoch)
        if host is None:
            return
        if facts.is_honest(host):
            self._own_bits(host, vote, bits)
        self._slots.vote(vote.digest, vote.epoch, bits, vote.signer)

    def _own_bits(self, host: Host, vote: BatchVote, bits: int) -> None:
        facts = self._facts
        witness = self._witness(host)
        if (VoteKind.EPOCH_CLOSE, vote.epoch, 0) in witness.said:
            facts.book.note("S5", f"{host.name} votes on a batch of epoch {vote.epoch}, which it has closed")
        if bits & ~witness.bits.get(vote.digest, 0):
            facts.book.note("S6", f"{host.name}: a batch vote leaves before its record is durable")
        if bits and BATCHES.get(host.disk, vote.digest) is None:
            facts.book.note("S6", f"{host.name}: a batch vote leaves, and the batch is not on its disk")
        batch = facts.batches.get(vote.digest)
        core = host.core
        if batch is None or not isinstance(core, ValidatorNode):
            return
        for position, transaction in enumerate(batch.transactions):
            if not bits >> position & 1:
                continue
            body = transaction.body
            if not facts.world.verify(body.sender, transaction.id, body.signature):
                facts.book.note("N4", f"{host.name} supports a transaction that its sender has not signed")
            slot = (vote.epoch, body.sender, body.seq, body.prev)
            # in the order of the promises: a vote may be recorded, be lost in a crash, and leave when another has left
            at_ms = witness.promised_ms.get((vote.digest, position), core.ledger.block_header.ts_ms)
            other = witness.slots.setdefault(slot, (transaction, at_ms))
            if other[0].id != transaction.id:
                (first, _), last = sorted((other, (transaction, at_ms)), key=lambda promise: promise[1])
                if first.body.valid_until_ms >= last[1]:
                    facts.book.note(
                        "S5",
                        f"{host.name} supports two transactions for one slot (sequence number {body.seq}), and the "
                        "first has not expired",
                    )
                witness.slots[slot] = last


def _outlived(host: Host, kind: VoteKind, epoch: int, number: int) -> bool:
    """Return whether a record is not needed any more: its subject is final on disk (consensus.md 2.2).

    A torn write leaves a block with its finalization and loses the votes that were in the same write: then nothing
    can be voted on in that view any more.
    """
    name = "certified_height" if kind is VoteKind.CHECKPOINT else "finalized_height"
    height = stored_number(host.disk, name)
    if kind is VoteKind.CHECKPOINT or not height:
        return number <= height
    stored = BLOCKS.get(host.disk, height)
    if stored is None:
        return False
    header = decode(Block, stored.block, bytes_max=BYTES_MAX).header
    if kind is VoteKind.EPOCH_CLOSE:
        return epoch < header.epoch
    return (epoch, number) <= (header.epoch, header.view)
