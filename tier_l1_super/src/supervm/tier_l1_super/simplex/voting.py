"""Votes into certificates, certificates into commits, and this validator's own votes (consensus.md 2.5).

Theory of operation. An own vote is counted at once, before its record is durable. This is sound because records become
durable in the order they are written: what follows from the vote (another own vote, the commit of a block) is a later
record, or a message. What must not happen is that our signature leaves before its record is on disk, also not inside a
certificate that the vote completed. So every message that can contain it - votes, proposals, certificates that list us,
repeats - waits for the newest promise. With a single validator this is all there is between a vote and a commit.

Finalization moves `State.final`; commits follow in height order as soon as the path of blocks is complete (P6, P11).
Views at or below it are forgotten: no vote there could matter any more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from supervm.protocol.block import Block, committed_part
from supervm.protocol.codec import encode
from supervm.protocol.errors import RemoteProtocolError
from supervm.protocol.hashing import ZERO_HASH
from supervm.protocol.votes import Certificate, Vote, VoteKind, check_certificate, statement
from supervm.protocol.wire.messages import CertificateMessage, ProposalMessage, VoteMessage

from .effects import (
    Blame,
    Broadcast,
    Committed,
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
    encode_promise,
)
from .resend import certificates_to_repeat, proposal_pause_us, votes_to_repeat
from .rounds import FINALIZE, KINDS, NOTARIZE, NULLIFY, Round, Tally
from .state import LastFinal, State
from .tree import Missing

FETCH_BLOCKS_MAX = 8
"""Heights up to which absent ancestors are asked one by one; beyond, a finalized chain is asked for."""


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

    def _check_rivals(self, round_: Round, vote: Vote) -> None:
        """Report E2: one validator signed both Nullify and Finalize of a view."""
        nulls, finals = round_.tallies[NULLIFY], round_.tallies[FINALIZE]
        signer = vote.signer
        if (vote.kind is not NOTARIZE and signer in nulls.votes and signer in finals.votes
                and nulls.genuine(signer) and finals.genuine(signer) and round_.accuse("E2", signer)):
            self._emit(EvidenceFound("E2", nulls.votes[signer], finals.votes[signer]))

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
        if certificate.number <= self._final.view or certificate.epoch != self.rules.epoch:
            return False
        held = self._rounds.get(certificate.number)
        if certificate.kind not in KINDS or (held is not None and certificate.kind in held.certificates):
            return False
        try:
            check_certificate(certificate, self.rules.chain_id, self.rules.validators, self.rules.verify)
        except RemoteProtocolError as error:
            self._emit(Blame(sender, error.reason, error.penalty, error.code))
            return False
        self._hold(self._round(certificate.number), certificate)
        return True

    def _hold(self, round_: Round, certificate: Certificate) -> None:
        """Store a valid certificate, pass it on once, and do what it asks for."""
        round_.certificates[certificate.kind] = certificate
        for signer, _ in certificate.signatures:
            self._heard(signer, certificate.number)
        if certificate.kind is not FINALIZE:  # a finalization is stored with the blocks that it commits
            self._record(HeldCertificate(1, certificate))
        self._emit(Broadcast(CertificateMessage((certificate,)), self._after(certificate)))
        if certificate.kind is NOTARIZE:
            self._cast_finalize(round_)
        elif certificate.kind is FINALIZE:
            self._finalize(certificate)
            self._commit()
        self._enter(certificate.number + 1)  # also if this validator nullified the view (pitfall P12)

    def _finalize(self, certificate: Certificate) -> None:
        if certificate.number <= self._final.view:
            return
        self._final = LastFinal(certificate.number, certificate.digest, certificate)
        self._timers.retry_us = self._now_us + RETRY_US
        self._rounds = {view: round_ for view, round_ in self._rounds.items() if view > certificate.number}

    def _commit(self) -> None:
        """Hand out the blocks up to the last finalization if all of them are here; ask for what is missing."""
        final = self._final
        if self._sealed or final.certificate is None or final.hash == self._tree.committed_hash:
            return
        path = self._tree.path(final.view, final.hash)
        if path is None:
            self._emit(ForkFound(
                f"the block finalized in view {final.view} does not extend committed block "
                f"{self._tree.committed.height}", final.certificate,
            ))
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
        if self.index is None or self._sealed or not round_.may(kind):
            return False
        epoch, view = self.rules.epoch, round_.view
        if kind is NOTARIZE:
            self._record(NotarizePromise(1, epoch, view, digest, () if block is None else (block,)))
        elif kind is NULLIFY:
            self._record(NullifyPromise(1, epoch, view))
        else:
            self._record(FinalizePromise(1, epoch, view, digest))
        round_.own[kind] = self._own_vote(view, kind, digest)
        return True

    def _record(self, record: ConsensusPromise) -> None:
        self._token += 1
        self._records.append(record)
        self._emit(PersistPromise(self._token, encode_promise(record)))

    def _recall(self, view: int, kind: VoteKind, digest: bytes) -> None:
        """Take up a promise from before the restart, and count it again (commonware #4275)."""
        if self.index is None:
            return
        round_ = self._round(view)
        vote = round_.own.setdefault(kind, self._own_vote(view, kind, digest))
        if self.index not in round_.tallies[kind].votes:
            round_.tallies[kind].put(vote, checked=True)

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

    # --- repeating and fetching --------------------------------------------------------------------------------------

    def _repeat(self) -> None:
        """Say again what peers may have missed, and ask again for what is missing here."""
        certificates = certificates_to_repeat(self._final.certificate, {} if self._sealed else self._rounds)
        if certificates:
            self._emit(Broadcast(CertificateMessage(certificates), self._token))
        if self._sealed:
            return
        votes = votes_to_repeat(self._rounds)
        if votes:
            self._emit(Broadcast(VoteMessage(votes), self._token))
        newest = self._rounds.get(self._view)
        if (newest is not None and newest.proposal is not None and newest.proposal.header.proposer == self.index
                and self._now_us >= newest.propose_again_us):
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
