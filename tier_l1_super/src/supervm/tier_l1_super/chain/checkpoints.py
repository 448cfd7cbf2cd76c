"""Certifying executed blocks: checkpoint votes in, certified checkpoints out (consensus.md 2.7).

Every validator signs the header that its own execution gives. Each has one unverified vote per height here, the first
that came over its own link; they are counted per header hash and verified together once a hash has quorum weight. One
that is bad is thrown out and named in `bad_signers`: a peer is hung up on for the first. A second vote for another
header is a rival. Both are verified then, once: either one is bad, or they are evidence, after which rivals of that
signer are not looked at any more in this epoch. So no signer can have this node verify more than a window's votes.

A hash with witness weight (at least one honest voter) that differs from our own means that this node computed something
else than the network: it must stop, not guess.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint, CheckpointHeader
from supervm.protocol.chain.header import ChainRules
from supervm.protocol.chain.votes import Certificate, Vote, VoteKind, check_certificate

from ..consensus.seat import Seat
from ..errors import SuperNodeError

HEIGHTS_AHEAD_MAX = 64
"""Votes for heights further above the certified one are not kept."""
REPEAT_HEIGHTS_MAX = 16
"""Own uncertified heights whose votes are repeated (consensus.md 2.5, retry)."""


class Divergence(SuperNodeError):
    """Validators of witness weight signed another header than ours at the same height."""

    def __init__(self, height: int, ours: bytes, theirs: bytes) -> None:
        super().__init__(
            f"height {height}: this node's checkpoint is {ours.hex()}, validators of witness weight signed "
            f"{theirs.hex()}"
        )
        self.height = height


class CheckpointTally:
    """Checkpoint votes as one node sees them.

    Args:
        seat: the epoch; its sealing block's checkpoint is the last that its validators certify.
        certified: the newest certified checkpoint on disk, or None at genesis.
    """

    def __init__(self, seat: Seat, certified: CertifiedCheckpoint | None) -> None:
        self._seat = seat
        self.certified = certified
        """The newest certified checkpoint, None before the first."""
        self._own: dict[int, tuple[CheckpointHeader, Vote | None]] = {}
        self._votes: dict[int, dict[int, Vote]] = {}
        self._verified: dict[int, dict[bytes, dict[int, bytes]]] = {}
        self.bad_signers: list[int] = []
        """Validators whose votes had an invalid signature; whoever blames them empties it."""
        self.evidence: list[tuple[Vote, Vote]] = []
        """Genuine votes of one validator for two headers of one height (E3); whoever reports them empties it."""
        self._accused: dict[int, None] = {}  # signers of whom there is evidence: one pair an epoch is enough

    @property
    def _rules(self) -> ChainRules:
        return self._seat.rules

    @property
    def height(self) -> int:
        """Height of the newest certified checkpoint."""
        return 0 if self.certified is None else self.certified.header.height

    def take_bad_signers(self) -> list[int]:
        """Return whose vote was bad since the last time."""
        taken, self.bad_signers = self.bad_signers, []
        return taken

    def take_evidence(self) -> list[tuple[Vote, Vote]]:
        """Return the contradictions that were found since the last time."""
        taken, self.evidence = self.evidence, []
        return taken

    def enter_epoch(self) -> None:
        """Begin anew: an index names another validator now, and no vote of the epoch before is still to be counted."""
        for table in (self._own, self._votes, self._verified, self._accused):
            table.clear()
        self.bad_signers.clear()
        self.evidence.clear()

    def own(self, header: CheckpointHeader, vote: Vote | None) -> CertifiedCheckpoint | None:
        """Note the header of a block just executed, and this node's vote; return a checkpoint it completes.

        Raises:
            Divergence: the network has signed another header.
        """
        if header.height <= self.height:
            return None
        self._own[header.height] = (header, vote)
        if vote is not None:
            self._verified.setdefault(header.height, {}).setdefault(vote.digest, {})[vote.signer] = vote.signature
        return self._count(header.height)

    def add(self, votes: Iterable[Vote]) -> list[CertifiedCheckpoint]:
        """Count votes, each of which must have come from its signer; return checkpoints that they complete, ascending.

        Raises:
            Divergence: the network has signed another header than ours.
        """
        done = []
        for vote in votes:
            height = vote.number
            if vote.epoch != self._rules.epoch or not self.height < height <= self.height + HEIGHTS_AHEAD_MAX:
                continue
            if vote.kind is not VoteKind.CHECKPOINT or vote.signer >= len(self._rules.validators.members):
                continue
            if vote.signer in self.bad_signers:
                continue  # it has to go; nothing more of it is looked at
            earlier, is_verified = self._earlier(vote)
            if earlier is not None:
                self._compare(earlier, vote, is_verified=is_verified)
                continue
            self._votes.setdefault(height, {})[vote.signer] = vote
            certified = self._count(height)
            if certified is not None:
                done.append(certified)
        return done

    def _earlier(self, vote: Vote) -> tuple[Vote | None, bool]:
        """Return the vote of the same signer for the same height that is held already, and whether it is verified."""
        for digest, signers in self._verified.get(vote.number, {}).items():
            if vote.signer in signers:
                return replace(vote, digest=digest, signature=signers[vote.signer]), True
        return self._votes.get(vote.number, {}).get(vote.signer), False

    def _compare(self, earlier: Vote, vote: Vote, *, is_verified: bool) -> None:
        """Note evidence E3 if both votes are genuine and name different headers (consensus.md 2.10)."""
        signer = vote.signer
        if earlier.digest == vote.digest or signer in self._accused:
            return
        if not is_verified:
            if not self._is_genuine(earlier):
                self._votes[earlier.number].pop(signer, None)
                self.bad_signers.append(signer)
                return
            del self._votes[earlier.number][signer]
            self._verified.setdefault(earlier.number, {}).setdefault(earlier.digest, {})[signer] = earlier.signature
        if self._is_genuine(vote):
            self._accused[signer] = None
            self.evidence.append((earlier, vote))
        else:
            self.bad_signers.append(signer)

    def _is_genuine(self, vote: Vote) -> bool:
        rules = self._rules
        return rules.verify(rules.validators.keys[vote.signer], vote.statement(rules.chain_id), vote.signature)

    def _count(self, height: int) -> CertifiedCheckpoint | None:
        rules, validators = self._rules, self._rules.validators
        own = self._own.get(height)
        if own is None:
            return None
        waiting = self._votes.get(height, {})
        verified = self._verified.setdefault(height, {})
        for digest in sorted({**{vote.digest: None for vote in waiting.values()}, **verified}):
            good = verified.setdefault(digest, {})
            fresh = [signer for signer in sorted(waiting) if waiting[signer].digest == digest]
            wanted = validators.quorum if own[0].hash == digest else validators.witness
            if validators.weight_of({**good, **dict.fromkeys(fresh, b"")}) < wanted:
                continue
            for signer in fresh:
                vote = waiting.pop(signer)
                if rules.verify(validators.keys[signer], vote.statement(rules.chain_id), vote.signature):
                    good[signer] = vote.signature
                else:
                    self.bad_signers.append(signer)
            if own[0].hash != digest:
                if validators.weight_of(good) >= validators.witness:
                    raise Divergence(height, own[0].hash, digest)
                continue
            if validators.weight_of(good) >= validators.quorum:
                return self._certify(CertifiedCheckpoint(1, own[0], tuple(sorted(good.items()))))
        return None

    def _certify(self, checkpoint: CertifiedCheckpoint) -> CertifiedCheckpoint:
        self.certified = checkpoint
        for table in (self._own, self._votes, self._verified):
            for height in [height for height in table if height <= checkpoint.header.height]:
                del table[height]
        return checkpoint

    def adopt(self, checkpoint: CertifiedCheckpoint) -> bool:
        """Take a checkpoint that a peer sent and that has been checked; return whether it is the newest now.

        Only one for a height this node has executed is taken, so that every served header can be proved from here.

        Raises:
            Divergence: it certifies another header than ours.
        """
        height = checkpoint.header.height
        own = self._own.get(height)
        if height <= self.height or own is None:
            return False
        if own[0] != checkpoint.header:
            raise Divergence(height, own[0].hash, checkpoint.header.hash)
        self._certify(checkpoint)
        return True

    def adopt_certificate(self, certificate: Certificate) -> CertifiedCheckpoint | None:
        """Take the certificate of a header that was computed here, as the first block of the next epoch carries it.

        Returns:
            The checkpoint, or None if that height is certified already or not executed yet.

        Raises:
            RemoteProtocolError: this epoch's validators have not signed it.
            Divergence: it certifies another header than ours.
        """
        own = self._own.get(certificate.number)
        if certificate.number <= self.height or own is None:
            return None
        if certificate.epoch != self._rules.epoch:
            raise RemoteProtocolError("the checkpoint certificate is of another epoch", code="bad-certificate")
        check_certificate(
            certificate, self._rules.chain_id, self._rules.validators, self._rules.verify, kind=VoteKind.CHECKPOINT
        )
        if own[0].hash != certificate.digest:
            raise Divergence(certificate.number, own[0].hash, certificate.digest)
        return self._certify(CertifiedCheckpoint(1, own[0], certificate.signatures))

    def uncertified_votes(self) -> tuple[Vote, ...]:
        """Own votes for heights not certified yet, lowest first, at most 16."""
        votes = [vote for _, (_, vote) in sorted(self._own.items()) if vote is not None]
        return tuple(votes[:REPEAT_HEIGHTS_MAX])
