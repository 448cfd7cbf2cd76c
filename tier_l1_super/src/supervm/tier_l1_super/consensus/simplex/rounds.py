"""The votes, certificates and own promises of one view (consensus.md 2.5).

Theory of operation. Signatures are checked as late as possible: a vote that arrives over its signer's authenticated
link is counted unseen, and only when a bucket reaches quorum weight are its signatures checked, all at once. Bad ones
are thrown out and their sender blamed; the bucket then waits for more. In the good case this checks about q of n
signatures and costs a liar its connection.

A validator has one vote of each kind per view here, the first. A second, different one is looked at only as evidence:
the quorum of correct validators never needs both votes of a faulty one.
"""

from __future__ import annotations

from dataclasses import dataclass

from supervm.protocol.chain.block import Block
from supervm.protocol.chain.header import ChainRules
from supervm.protocol.chain.votes import Certificate, Vote, VoteKind, make_certificate

NOTARIZE, NULLIFY, FINALIZE = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE
NULLIFY_SPAN = VoteKind.NULLIFY_SPAN
KINDS = (NOTARIZE, NULLIFY, FINALIZE)
"""The kinds of votes that consensus counts view by view; `skips` counts those for spans."""


class Tally:
    """Votes of one kind in one view."""

    __slots__ = ("_checked", "_rules", "_weights", "votes")

    def __init__(self, rules: ChainRules) -> None:
        self._rules = rules
        self.votes: dict[int, Vote] = {}
        self._checked: dict[int, None] = {}
        self._weights: dict[bytes, int] = {}

    def put(self, vote: Vote, *, checked: bool) -> None:
        """Count a vote of a signer that has none here; `checked` says that its signature is known to be good."""
        self.votes[vote.signer] = vote
        weight = self._rules.validators.weights[vote.signer]
        self._weights[vote.digest] = self._weights.get(vote.digest, 0) + weight
        if checked:
            self._checked[vote.signer] = None

    def drop(self, signer: int) -> None:
        """Forget a vote, so that the signer may send another."""
        vote = self.votes.pop(signer)
        self._checked.pop(signer, None)
        left = self._weights[vote.digest] - self._rules.validators.weights[signer]
        if left:
            self._weights[vote.digest] = left
        else:
            del self._weights[vote.digest]

    def genuine(self, signer: int) -> bool:
        """Return whether the signature of the vote held from `signer` is good, checking it at most once."""
        if signer in self._checked:
            return True
        vote = self.votes[signer]
        rules = self._rules
        if not rules.verify(rules.validators.keys[signer], vote.statement(rules.chain_id), vote.signature):
            return False
        self._checked[signer] = None
        return True

    def certificate(self, digest: bytes) -> tuple[Certificate | None, list[int]]:
        """Return the certificate for `digest` if its votes suffice, and the signers whose votes were bad."""
        quorum = self._rules.validators.quorum
        if self._weights.get(digest, 0) < quorum:
            return None, []
        bad = [
            signer for signer, vote in sorted(self.votes.items()) if vote.digest == digest and not self.genuine(signer)
        ]
        for signer in bad:
            self.drop(signer)
        if self._weights.get(digest, 0) < quorum:
            return None, bad
        votes = {signer: vote for signer, vote in self.votes.items() if vote.digest == digest}
        one = next(iter(votes.values()))
        signatures = {signer: vote.signature for signer, vote in votes.items()}
        return make_certificate(one.kind, one.epoch, one.number, digest, signatures), bad


@dataclass(slots=True)
class Round:
    """All there is about one view.

    Attributes:
        view: its number.
        tallies: votes by kind, own votes included.
        certificates: what is certified, by kind; the first certificate of a kind stays.
        own: this validator's own votes by kind: its promises.
        proposal: the first block that the leader signed, and its hash.
        poisoned: the leader signed a second one; this validator notarizes neither from then on.
        asked: hash of the block that is being verified.
        refused: the verdict was no.
        accused: evidence already reported, by kind of evidence and signer.
        propose_again_us: this validator's own proposal is not sent again before.
    """

    view: int
    tallies: dict[VoteKind, Tally]
    certificates: dict[VoteKind, Certificate]
    own: dict[VoteKind, Vote]
    proposal: Block | None = None
    proposal_hash: bytes = b""
    poisoned: bool = False
    asked: bytes | None = None
    refused: bool = False
    accused: dict[tuple[str, int], None] | None = None
    propose_again_us: int = 0

    def accuse(self, kind: str, signer: int) -> bool:
        """Return True the first time that this evidence is found."""
        if self.accused is None:
            self.accused = {}
        if (kind, signer) in self.accused:
            return False
        self.accused[kind, signer] = None
        return True

    @property
    def is_void(self) -> bool:
        """Whether nothing here is needed once a certified span covers the view: no block can be certified by it."""
        return NOTARIZE not in self.certificates and NOTARIZE not in self.own and FINALIZE not in self.own

    def is_accused(self, kind: str, signer: int) -> bool:
        """Return whether this evidence has been found already, so that nothing more need be verified for it."""
        return self.accused is not None and (kind, signer) in self.accused

    def may(self, kind: VoteKind) -> bool:
        """Return whether this validator may still cast this vote here: rules R1 and R2, and P5 (no vote twice).

        Notarizing after an own Nullify would be safe but useless, so it is forbidden as well.
        """
        if kind is VoteKind.NULLIFY:
            return VoteKind.FINALIZE not in self.own and kind not in self.own
        return VoteKind.NULLIFY not in self.own and kind not in self.own


def new_round(view: int, rules: ChainRules) -> Round:
    """Return an empty round."""
    return Round(view, {kind: Tally(rules) for kind in KINDS}, {}, {})
