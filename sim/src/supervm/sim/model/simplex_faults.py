"""Cases of the Simplex model, and one broken rule for each that must be noticed."""

from __future__ import annotations

from typing import Any

from supervm.protocol.chain import block as block_module
from supervm.protocol.chain import validators as validators_module
from supervm.protocol.chain.header import BlockHeader
from supervm.protocol.chain.validators import ValidatorSet
from supervm.protocol.chain.votes import Certificate, VoteKind
from supervm.protocol.wire.consensus import VoteMessage
from supervm.tier_l1_super.consensus.simplex import voting as voting_module
from supervm.tier_l1_super.consensus.simplex.effects import Broadcast
from supervm.tier_l1_super.consensus.simplex.promises import HeldCertificate
from supervm.tier_l1_super.consensus.simplex.rounds import Round
from supervm.tier_l1_super.consensus.simplex.state import State
from supervm.tier_l1_super.consensus.simplex.voting import Voting

from .faults import Fault
from .simplex_host import Host
from .simplex_model import SimplexCase

_ALIKE, _ONE_LEADS, _ALL_DIFFER = (0, 0, 0), (0, 1, 1), (0, 1, 2)

CASES = {
    # one view
    "equivocation": SimplexCase((3,), _ALIKE),
    "slow-verdicts": SimplexCase((3,), _ALIKE, late_verdicts=True),
    "honest-leader": SimplexCase((0,), _ONE_LEADS, delivery="both"),
    "crash": SimplexCase((3,), _ONE_LEADS, crashes=(1, 0, 0)),
    "leader-crash": SimplexCase((0,), _ONE_LEADS, crashes=(1, 0, 0), delivery="votes"),
    "power-cut": SimplexCase((0,), _ALL_DIFFER, crashes=(1, 1, 1), power_cut=True, byzantine=False, progress=True),
    "progress": SimplexCase((3,), _ALL_DIFFER, progress=True),
    # two views
    "two-leaders": SimplexCase((0, 1), _ALL_DIFFER, patient_view=2),
    "two-views": SimplexCase((3, 3), _ALIKE, rivals=False, patient_view=2),
}
"""What continuous integration explores."""

DEEP_CASES = {
    "votes": SimplexCase((3,), _ALIKE, delivery="votes"),
    "first-leader-honest": SimplexCase((0, 3), _ONE_LEADS, patient_view=2),
    "second-leader-honest": SimplexCase((3, 0), _ONE_LEADS, patient_view=2),
    "two-views-rivals": SimplexCase((3, 3), _ALIKE, patient_view=2),
    "two-views-impatient": SimplexCase((3, 3), _ALIKE, rivals=False),
    "two-views-crash": SimplexCase((3, 3), _ONE_LEADS, rivals=False, patient_view=2, crashes=(1, 0, 0)),
    "crash-votes": SimplexCase((3,), _ONE_LEADS, crashes=(1, 0, 0), delivery="votes"),
    "crash-twice": SimplexCase((3,), _ONE_LEADS, crashes=(2, 0, 0)),
    "each-crashes": SimplexCase((3,), _ALIKE, crashes=(1, 1, 1)),
}
"""What the longer lane explores as well, up to its bound."""


def _may_without_r1(self: Round, kind: VoteKind) -> bool:
    if kind is VoteKind.NOTARIZE:
        return VoteKind.NULLIFY not in self.own
    return Round_may(self, kind)


def _may_finalize_after_nullify(self: Round, kind: VoteKind) -> bool:
    return kind not in self.own if kind is VoteKind.FINALIZE else Round_may(self, kind)


def _may_nullify_after_finalize(self: Round, kind: VoteKind) -> bool:
    return kind not in self.own if kind is VoteKind.NULLIFY else Round_may(self, kind)


Round_may = Round.may


def small_quorum(self: ValidatorSet, members: Any) -> None:
    """Make a validator set whose quorum is one too small."""
    _ValidatorSet_init(self, members)
    self.quorum -= 1


_ValidatorSet_init = ValidatorSet.__init__


def _no_certificate_check(certificate: Certificate, *_: Any, **__: Any) -> None:
    del certificate


def _no_justification_check(*_: Any, **__: Any) -> None:
    pass


def _no_gap(self: State, header: BlockHeader) -> bool:
    parent_view = header.parent_view
    if parent_view <= self._final.view:
        return header.parent_hash == self._final.hash
    parent = self._rounds.get(parent_view)
    return parent is not None and self._is_certified(parent, header.parent_hash)


def _forget_own(self: Voting, view: int, kind: VoteKind, digest: bytes) -> None:
    if self.index is not None:
        round_ = self._round(view)
        round_.own.setdefault(kind, self._own_vote(view, kind, digest))


def _forget_kind(*forgotten: VoteKind) -> Any:
    def recall(self: Voting, view: int, kind: VoteKind, digest: bytes) -> None:
        if kind not in forgotten:
            _recall(self, view, kind, digest)

    return recall


_recall = Voting._recall


def _record_no_certificate(self: Voting, record: Any) -> None:
    if not isinstance(record, HeldCertificate):
        _record(self, record)


_record = Voting._record


def _no_wait(self: Host, after: int) -> int:
    del self, after
    return 0


def _certificates_do_not_wait(self: State, certificate: Certificate) -> int:
    del self, certificate
    return 0


def _no_advance_after_nullify(self: Voting, round_: Round, certificate: Certificate) -> None:
    round_.certificates[certificate.kind] = certificate
    if VoteKind.NULLIFY not in round_.own or certificate.kind is VoteKind.NULLIFY:
        _hold(self, round_, certificate)


_hold = Voting._hold


def _finalize_own_block(self: Voting, round_: Round) -> None:
    """Finalize what one has notarized oneself, without waiting for the quorum."""
    mine = round_.own.get(VoteKind.NOTARIZE)
    if mine is not None and self._promise(round_, VoteKind.FINALIZE, mine.digest):
        self._emit(Broadcast(VoteMessage((round_.own[VoteKind.FINALIZE],)), self._token))
        self._count_own(round_, VoteKind.FINALIZE)


def _count_own_and_finalize(self: Voting, round_: Round, kind: VoteKind) -> None:
    _count_own(self, round_, kind)
    if kind is VoteKind.NOTARIZE:
        _finalize_own_block(self, round_)


_count_own = Voting._count_own

FAULTS = (
    Fault("R1", "one Notarize per view, also after a restart (2.5)", ((Round, "may", _may_without_r1),), "crash", "S4"),
    Fault(
        "R2-finalize",
        "no Finalize after Nullify (2.5)",
        ((Round, "may", _may_finalize_after_nullify),),
        "equivocation",
        "S3",
    ),
    Fault(
        "R2-nullify",
        "no Nullify after Finalize (2.5), where a restart finds the promise without the certificate",
        ((Round, "may", _may_nullify_after_finalize), (Voting, "_record", _record_no_certificate)),
        "crash",
        "S3",
    ),
    Fault(
        "R3-gap",
        "a nullification of every skipped view, in the vote and in the block's validity (2.4, 2.5)",
        ((State, "_well_placed", _no_gap), (block_module, "check_justification", _no_justification_check)),
        "two-views",
        "S1",
    ),
    Fault("P0", "no signature leaves before its record is durable (2.2)", ((Host, "_place", _no_wait),), "crash", "S"),
    Fault(
        "P0-certificate",
        "nor inside a certificate that the own vote completes (2.2)",
        ((State, "_after", _certificates_do_not_wait),),
        "leader-crash",
        "S",
    ),
    Fault(
        "quorum",
        "a quorum is more than two thirds of the weight (2)",
        ((validators_module.ValidatorSet, "__init__", small_quorum),),
        "equivocation",
        "S",
    ),
    Fault(
        "certificate-check",
        "a certificate from elsewhere is checked (2.5)",
        ((voting_module, "check_certificate", _no_certificate_check),),
        "equivocation",
        "",
    ),
    Fault(
        "recall-notarize",
        "a restart remembers Notarize (2.8)",
        ((Voting, "_recall", _forget_kind(VoteKind.NOTARIZE)),),
        "crash",
        "S4",
    ),
    Fault(
        "recall-nullify",
        "a restart remembers Nullify (2.8)",
        ((Voting, "_recall", _forget_kind(VoteKind.NULLIFY)),),
        "crash",
        "S3",
    ),
    Fault(
        "recall-finalize",
        "a restart remembers Finalize, where it finds the promise without the certificate (2.8)",
        ((Voting, "_recall", _forget_kind(VoteKind.FINALIZE)), (Voting, "_record", _record_no_certificate)),
        "crash",
        "S3",
    ),
    Fault(
        "recount",
        "a restart counts its own votes again (2.8, pitfall of commonware 4275)",
        ((Voting, "_recall", _forget_own),),
        "power-cut",
        "standstill",
    ),
    Fault(
        "P12",
        "a notarization ends the view also for who has nullified it (2.9)",
        ((Voting, "_hold", _no_advance_after_nullify),),
        "progress",
        "standstill",
    ),
    Fault(
        "early-finalize",
        "Finalize only with the notarization (2.5)",
        ((Voting, "_count_own", _count_own_and_finalize),),
        "progress",
        "standstill",
    ),
)
"""Each must be found by its case."""

REDUNDANT = (
    Fault(
        "R2-nullify-only",
        "no Nullify after Finalize; whoever finalizes has left the view, also after a restart",
        ((Round, "may", _may_nullify_after_finalize),),
        "crash",
        "",
    ),
    Fault(
        "R3-vote-only",
        "the vote's own look at the gap; the block's validity has it, too (2.4)",
        ((State, "_well_placed", _no_gap),),
        "two-views",
        "",
    ),
    Fault(
        "R3-validity-only",
        "the block's proof of the gap; the vote's rule has it, too (2.5)",
        ((block_module, "check_justification", _no_justification_check),),
        "two-views",
        "",
    ),
)
"""Rules that stand twice: breaking one of the two must change nothing."""
