"""Votes into certificates, certificates into commits, and this validator's own votes (consensus.md 2.5).

Theory of operation. An own vote is counted at once, before its record is durable. This is sound because records become
durable in the order they are written: what follows from the vote (another own vote, the commit of a block) is a later
record, or a message. What must not happen is that our signature leaves before its record is on disk, also not inside a
certificate that the vote completed. So every message that can contain it - votes, proposals, certificates that list us,
repeats - waits for the newest promise. With a single validator this is all there is between a vote and a commit.

Finalization moves `State.final`; commits follow in height order as soon as the path of blocks is complete (P6, P11).
Views at or below it are forgotten: no vote there could matter any more.

While nothing becomes final, `skips` does the same for views that a certified span covers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from supervm.protocol.base.codec import encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.finalized import committed_part
from supervm.protocol.chain.spans import SPAN_BASE, Span, span_of, spans_within
from supervm.protocol.chain.votes import Certificate, Vote, VoteKind, check_certificate, statement
from supervm.protocol.wire.consensus import CertificateMessage, ProposalMessage, VoteMessage

from .effects import (
    Blame,
    Broadcast,
    Committed,
    CompactLog,
    EvidenceFound,
    FetchBlock,
    FetchFinalized,
    ForkFound,
    PersistPromise,
    SendTo,
)
from .pacing import RETRY_US
from .promises import (
    ConsensusPromise,
    FinalizePromise,
    HeldCertificate,
    NotarizePromise,
    NullifyPromise,
    SpanPromise,
    encode_promise,
    view_of,
)
from .resend import certificates_to_repeat, proposal_pause_us, votes_to_repeat
from .rounds import FINALIZE, KINDS, NOTARIZE, NULLIFY, NULLIFY_SPAN, Round, Tally
from .skips import SPAN_DELAY_VIEWS
from .state import LastFinal, State
from .tree import Missing

FETCH_BLOCKS_MAX = 8
"""Heights up to which absent ancestors are asked one by one; beyond, a finalized chain is asked for."""
VOID_RECORDS_MAX = 256
"""Void records in the log beyond which it is rewritten although nothing becomes final."""


class Voting(State, ABC):
    """Counts votes, makes and keeps certificates, commits blocks and signs this validator's own votes."""

    @abstractmethod
    def _enter(self, view: int) -> None:
        """Go to `view` unless it is behind."""

    @abstractmethod
    def _progress(self) -> None:
        """Try what the current view waits for."""

    # --- votes and certificates ------------------------------------------------------------------------------------

    def _count(self, round_: Round, vote: Vote, *, checked: bool) -> None:
        """Count another validator's vote; a second, different one is evidence if both are genuine."""
        tally = round_.tallies[vote.kind]
        earlier = tally.votes.get(vote.signer)
        if earlier is not None and (checked or earlier.digest != vote.digest) and not tally.genuine(vote.signer):
            tally.drop(vote.signer)
            self._blame(vote.signer, f"its {vote.kind.name} of view {vote.number} is not signed by it", "bad-signature")
            earlier = None
        if earlier is None:
            tally.put(vote, checked=checked)
            self._check_rivals(round_, vote)
            self._settle(round_, vote.kind, vote.digest)
        elif earlier.digest != vote.digest and vote.kind is NOTARIZE and not round_.is_accused("E1", vote.signer):
            rival = Tally(self.rules)
            rival.put(vote, checked=checked)
            if not rival.genuine(vote.signer):
                self._blame(vote.signer, f"its NOTARIZE of view {vote.number} is not signed by it", "bad-signature")
            elif round_.accuse("E1", vote.signer):
                self._emit(EvidenceFound("E1", earlier, vote))
                if vote.signer == self.rules.leader(vote.number):
                    round_.poisoned = True

    def _check_rivals(self, round_: Round, vote: Vote) -> None:
        """Report E2: one validator signed both Nullify and Finalize of a view."""
        nulls, finals = round_.tallies[NULLIFY], round_.tallies[FINALIZE]
        signer = vote.signer
        if (
            vote.kind is not NOTARIZE
            and signer in nulls.votes
            and signer in finals.votes
            and nulls.genuine(signer)
            and finals.genuine(signer)
            and round_.accuse("E2", signer)
        ):
            self._emit(EvidenceFound("E2", nulls.votes[signer], finals.votes[signer]))
        if vote.kind is FINALIZE and self._skips.tallies and finals.genuine(signer):
            for span, tally in self._skips.tallies.items():
                if span.first <= vote.number <= span.last and signer in tally.votes and tally.genuine(signer):
                    self._accuse_span(round_, tally.votes[signer])

    def _accuse_span(self, round_: Round, vote: Vote) -> None:
        """Report E2: one validator signed Finalize of a view and Nullify of a span that holds it; both are genuine."""
        if round_.accuse("E2", vote.signer):
            self._emit(EvidenceFound("E2", round_.tallies[FINALIZE].votes[vote.signer], vote))

    def _settle(self, round_: Round, kind: VoteKind, digest: bytes) -> None:
        """Make the certificate if the bucket is full."""
        if kind in round_.certificates or round_.view <= self._final.view:
            return
        certificate, bad = round_.tallies[kind].certificate(digest)
        for signer in bad:
            self._blame(signer, f"its {kind.name} of view {round_.view} is not signed by it", "bad-signature")
        if certificate is not None:
            self._hold(round_, certificate)
            self._progress()

    def _admit(self, sender: int, certificate: Certificate) -> bool:
        """Check and hold a certificate from elsewhere unless one of its kind is held; return whether it was new."""
        if self._is_past(certificate):
            return False
        if (certificate.kind not in KINDS and certificate.kind is not NULLIFY_SPAN) or self._is_held(certificate):
            return False
        if not self._is_good(sender, certificate):
            return False
        if certificate.kind is NULLIFY_SPAN:
            self._hold_span(certificate)
        else:
            self._hold(self._round(certificate.number), certificate)
        return True

    def _is_past(self, certificate: Certificate) -> bool:
        """Return whether a certificate is of a view that is final, or of another epoch."""
        return certificate.number <= self._final.view or certificate.epoch != self.rules.epoch

    def _is_held(self, certificate: Certificate) -> bool:
        """Return whether a certificate says nothing new."""
        view = certificate.number
        if certificate.kind is NULLIFY_SPAN:
            span = span_of(view, certificate.digest)
            return span is not None and self._skips.is_covered(span)
        held = self._rounds.get(view)
        if held is not None and certificate.kind in held.certificates:
            return True
        return certificate.kind is NULLIFY and self._skips.covering(view) is not None

    def _is_good(self, sender: int, certificate: Certificate) -> bool:
        """Check a certificate, and blame its sender if it is bad."""
        try:
            check_certificate(certificate, self.rules.chain_id, self.rules.validators, self.rules.verify)
        except RemoteProtocolError as error:
            self._emit(Blame(sender, error.reason, error.penalty, error.code))
            return False
        return True

    def _hold(self, round_: Round, certificate: Certificate) -> None:
        """Store a valid certificate, pass it on once, and do what it asks for."""
        round_.certificates[certificate.kind] = certificate
        for signer, _ in certificate.signatures:
            self._heard(signer, certificate.number)
        if certificate.kind is not FINALIZE:  # a finalization is stored with the blocks that it commits
            self._record(HeldCertificate(1, certificate))
        if certificate.kind is NOTARIZE:
            self._notarized_view = max(self._notarized_view, certificate.number)
            self._beat_us = self._now_us + self._idle_interval_us
            self._cast_finalize(round_)
            # with the vote, which waits for its promise: nearly all have it already, and one message is one wake-up
            after = self._token if FINALIZE in round_.own else self._after(certificate)
            self._emit(Broadcast(CertificateMessage((certificate,)), after))
        else:
            self._emit(Broadcast(CertificateMessage((certificate,)), self._after(certificate)))
        if certificate.kind is FINALIZE:
            self._finalize(certificate)
            self._commit()
        self._enter(certificate.number + 1)  # also if this validator nullified the view (pitfall P12)

    def _finalize(self, certificate: Certificate) -> None:
        if certificate.number <= self._final.view:
            return
        self._final = LastFinal(certificate.number, certificate.digest, certificate)
        self._final_at_us = self._now_us
        self._retry_us, self._timers.retry_us = RETRY_US, self._now_us + RETRY_US
        if certificate.number > self._notarized_view:  # the block came without its notarization
            self._beat_us = self._now_us + self._idle_interval_us
        self._rounds = {view: round_ for view, round_ in self._rounds.items() if view > certificate.number}
        self._skips.forget(certificate.number)

    def _commit(self) -> None:
        """Hand out the blocks up to the last finalization if all of them are here; ask for what is missing."""
        final = self._final
        if self._sealed or final.certificate is None or final.hash == self._tree.committed_hash:
            return
        path = self._tree.path(final.view, final.hash)
        if path is None:
            self._emit(
                ForkFound(
                    f"the block finalized in view {final.view} does not extend committed block "
                    f"{self._tree.committed.height}",
                    final.certificate,
                )
            )
        elif isinstance(path, Missing):
            tip = self._tree.header(final.hash)
            if tip is not None and tip.height - self._tree.committed.height > FETCH_BLOCKS_MAX:
                self._want_chain()
            self._want(path.view, path.hash, path.certificate or final.certificate)
        elif path:
            self._hand_out(path, final.certificate)

    def _hand_out(self, path: tuple[Block, ...], finalization: Certificate) -> None:
        """Commit a path of blocks of which the last is finalized; what descends from a sealing block is only proof."""
        count = committed_part(path, self.rules)
        self._tree.commit(path[count - 1].header)
        self._wanted = {}
        self._emit(Committed(path[:count], finalization, self._after(finalization), path[count:]))
        if self.rules.is_sealed(path[count - 1].header):
            self._sealed = True
            self._timers.stop_view()
            self._building = None

    # --- spans of skipped views --------------------------------------------------------------------------------------

    def _spans_wanted(self) -> list[Span]:
        """Return the spans that prove what lies between the newest notarized view and those just skipped."""
        first = max(self._final.view, self._notarized_view) + 1
        last = self._view - 1 - SPAN_DELAY_VIEWS
        return spans_within(first, last) if last - first + 1 >= SPAN_BASE else []

    def _cast_spans(self) -> None:
        """Sign the spans that are wanted, unless this validator has finalized one of their views (R2)."""
        if self.index is None or self._key is None or self._sealed:
            return
        for span in self._spans_wanted():
            if span in self._skips.own or self._skips.is_covered(span) or span.first <= self._finalize_view:
                continue
            self._record(SpanPromise(1, self.rules.epoch, span.last, span.width))
            vote = self._own_vote(span.last, NULLIFY_SPAN, span.digest)
            self._skips.promise(span, vote)
            self._emit(Broadcast(VoteMessage((vote,)), self._token))
            self._skips.count(span, vote, checked=True)
            self._settle_span(span)

    def _count_span(self, span: Span, vote: Vote) -> None:
        """Count another validator's vote for a span."""
        tally = self._skips.count(span, vote, checked=False)
        if tally is None:
            return
        for view in [view for view in self._rounds if span.first <= view <= span.last]:
            finals = self._rounds[view].tallies[FINALIZE]
            if vote.signer in finals.votes and finals.genuine(vote.signer) and tally.genuine(vote.signer):
                self._accuse_span(self._rounds[view], vote)
        self._settle_span(span)

    def _settle_span(self, span: Span) -> None:
        """Make the certificate if there are votes enough."""
        tally = self._skips.tallies.get(span)
        if tally is None:
            return
        certificate, bad = tally.certificate(span.digest)
        for signer in bad:
            self._skips.uncount(span, signer)
            self._blame(signer, f"its vote for the span up to view {span.last} is not signed by it", "bad-signature")
        if certificate is not None:
            self._hold_span(certificate)
            self._progress()

    def _hold_span(self, certificate: Certificate) -> None:
        """Store a valid certificate of a span, pass it on once, and forget what it stands for."""
        span = span_of(certificate.number, certificate.digest)
        assert span is not None  # it was checked
        for signer, _ in certificate.signatures:
            self._heard(signer, certificate.number)
        after = self._after(certificate)
        self._forget_skipped(span)
        self._skips.certify(span, certificate)
        self._record(HeldCertificate(1, certificate))
        self._emit(Broadcast(CertificateMessage((certificate,)), after))
        if self._void_records > VOID_RECORDS_MAX:
            self._emit(CompactLog(self._tree.committed_view))
        self._enter(span.last + 1)

    def _forget_skipped(self, span: Span) -> None:
        """Forget rounds and records in a certified span, but those of blocks on which one may still build."""
        for view in [view for view in self._rounds if span.first <= view <= span.last]:
            round_ = self._rounds[view]
            if round_.is_void:
                if round_.proposal is not None:
                    self._tree.discard(round_.proposal_hash)
                del self._rounds[view]
        kept = [record for record in self._records if not _is_void(record, span)]
        self._void_records += len(self._records) - len(kept)
        self._records = kept

    # --- promises --------------------------------------------------------------------------------------------------

    def _cast_nullify(self, view: int) -> None:
        round_ = self._round(view)
        if view > self._final.view and self._promise(round_, NULLIFY, ZERO_HASH):
            self._emit(Broadcast(VoteMessage((round_.own[NULLIFY],)), self._token))
            self._count_own(round_, NULLIFY)

    def _cast_finalize(self, round_: Round) -> None:
        digest = round_.certificates[NOTARIZE].digest
        if round_.view > self._final.view and self._promise(round_, FINALIZE, digest):
            self._emit(Broadcast(VoteMessage((round_.own[FINALIZE],)), self._token))
            self._count_own(round_, FINALIZE)

    def _promise(self, round_: Round, kind: VoteKind, digest: bytes, block: Block | None = None) -> bool:
        """Record and sign a vote if the rules still allow it: the only way to a new signature."""
        if self.index is None or self._sealed or not round_.may(kind) or self._skips.binds(round_.view):
            return False
        epoch, view = self.rules.epoch, round_.view
        if kind is NOTARIZE:
            self._record(NotarizePromise(1, epoch, view, digest, () if block is None else (block,)))
        elif kind is NULLIFY:
            self._record(NullifyPromise(1, epoch, view))
        else:
            self._record(FinalizePromise(1, epoch, view, digest))
            self._finalize_view = max(self._finalize_view, view)
        round_.own[kind] = self._own_vote(view, kind, digest)
        return True

    def _record(self, record: ConsensusPromise) -> None:
        self._token += 1
        self._records.append(record)
        self._hurry_retry()
        self._emit(PersistPromise(self._token, encode_promise(record)))

    def _recall(self, view: int, kind: VoteKind, digest: bytes) -> None:
        """Take up a promise from before the restart, and count it again (commonware #4275)."""
        if self.index is None:
            return
        if kind is FINALIZE:
            self._finalize_view = max(self._finalize_view, view)
        round_ = self._round(view)
        vote = round_.own.setdefault(kind, self._own_vote(view, kind, digest))
        if self.index not in round_.tallies[kind].votes:
            round_.tallies[kind].put(vote, checked=True)

    def _recall_span(self, span: Span) -> None:
        """Take up the promise of a span from before the restart, and count it again."""
        if self.index is not None:
            vote = self._own_vote(span.last, NULLIFY_SPAN, span.digest)
            self._skips.promise(span, vote)
            self._skips.count(span, vote, checked=True)

    def _count_own(self, round_: Round, kind: VoteKind) -> None:
        vote = round_.own[kind]
        tally = round_.tallies[kind]
        if vote.signer not in tally.votes:
            tally.put(vote, checked=True)
        self._settle(round_, kind, vote.digest)

    def _own_vote(self, view: int, kind: VoteKind, digest: bytes) -> Vote:
        assert self.index is not None
        return Vote(1, kind, self.rules.epoch, view, digest, self.index, self._sign(kind, view, digest))

    def _sign(self, kind: VoteKind, view: int, digest: bytes) -> bytes:
        assert self._key is not None
        return self._key.sign(statement(self.rules.chain_id, kind, self.rules.epoch, view, digest))

    def _hurry_retry(self) -> None:
        """Repeat soon, not only when the idle chain would: there is something that others may miss."""
        self._retry_us = RETRY_US
        if self._timers.retry_us is not None:
            self._timers.retry_us = min(self._timers.retry_us, self._now_us + RETRY_US)

    # --- repeating and fetching --------------------------------------------------------------------------------------

    def _repeat(self) -> None:
        """Say again what peers may have missed, and ask again for what is missing here."""
        certificates = certificates_to_repeat(
            self._final.certificate,
            {} if self._sealed else self._rounds,
            () if self._sealed else self._skips.certificates.values(),
            self._repeats,
        )
        self._repeats += 1
        if certificates:
            self._emit(Broadcast(CertificateMessage(certificates), self._token))
        if self._sealed:
            return
        self._cast_spans()
        own = self._skips.own
        votes = tuple(own[span] for span in self._spans_wanted() if span in own) + votes_to_repeat(self._rounds)
        if votes:
            self._emit(Broadcast(VoteMessage(votes), self._token))
        newest = self._rounds.get(self._view)
        if (
            newest is not None
            and newest.proposal is not None
            and newest.proposal.header.proposer == self.index
            and self._now_us >= newest.propose_again_us
        ):
            self._send_proposal(newest, newest.proposal)
        self._wanted = {}
        if self._final.hash != self._tree.committed_hash:
            self._commit()
            if self._final.hash != self._tree.committed_hash:
                self._want_chain()
        for round_ in list(self._rounds.values()):
            certificate = round_.certificates.get(NOTARIZE)
            if certificate is not None and self._tree.get(certificate.digest) is None:
                self._want(round_.view, certificate.digest, certificate)

    def _send_proposal(self, round_: Round, block: Block) -> None:
        """Send an own proposal; the larger it is, the longer not again (pitfall P9)."""
        encoded = encode(block)
        round_.propose_again_us = self._now_us + proposal_pause_us(len(encoded))
        self._emit(Broadcast(ProposalMessage(encoded), self._token))

    def _help(self, index: int) -> None:
        """Send the last finalization to a validator that votes far below it, at most once a second."""
        certificate = self._final.certificate
        last_us = self._told_us.get(index)
        if certificate is not None and (last_us is None or self._now_us - last_us >= RETRY_US):
            self._told_us[index] = self._now_us
            self._emit(SendTo(index, CertificateMessage((certificate,)), self._token))

    def _want(self, view: int, block_hash: bytes, certificate: Certificate | None) -> None:
        """Ask the signers of `certificate` for a block, once until the next repeat."""
        if block_hash in self._wanted or certificate is None:
            return
        self._wanted[block_hash] = view
        signers = tuple(index for index, _ in certificate.signatures if index != self.index)
        if signers:
            self._emit(FetchBlock(view, block_hash, signers))

    def _want_chain(self) -> None:
        self._emit(FetchFinalized(self._tree.committed.height + 1))


def _is_void(record: ConsensusPromise, span: Span) -> bool:
    """Return whether a certified span stands for a record: `Skips.binds` forbids what the record would."""
    view = view_of(record)
    if not span.first <= view <= span.last:
        return False
    if isinstance(record, HeldCertificate):
        kind = record.certificate.kind
        held = span_of(view, record.certificate.digest) if kind is NULLIFY_SPAN else None
        return kind is NULLIFY or (held is not None and span.holds(held))
    if isinstance(record, SpanPromise):
        return span.holds(Span(record.view, record.width))
    return isinstance(record, NullifyPromise)
