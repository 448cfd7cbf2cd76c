"""Rules of the double-run guard: it stops at a genuine own vote it never gave, and at nothing else."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from chain_tools import make_test_chain

from supervm.protocol.chain.votes import VoteKind
from supervm.tier_l1_super.consensus.guard import DoubleRun, DoubleRunGuard


def test_a_genuine_own_vote_above_the_promised_view_stops_the_node() -> None:
    """Another process with the same key has voted in view 8, we promised nothing above 7."""
    chain = make_test_chain()
    guard = DoubleRunGuard(chain.rules, 0, 7)
    with pytest.raises(DoubleRun, match="view 8"):
        guard.look([chain.certificate(VoteKind.FINALIZE, 8, b"x" * 32, signers=(0, 1, 2))])


@pytest.mark.parametrize("case", ["promised view", "others only", "forged", "earlier epoch"])
def test_other_certificates_do_not(case: str) -> None:
    """A vote we may have given, votes of others, and signatures that are not ours mean nothing."""
    chain = make_test_chain()
    signers = (1, 2, 3) if case == "others only" else (0, 1, 2)
    view = 7 if case == "promised view" else 8
    rules = replace(chain.rules, epoch=1) if case == "earlier epoch" else chain.rules
    certificate = chain.certificate(VoteKind.NULLIFY, view, signers=signers)
    if case == "forged":
        certificate = msgspec.structs.replace(certificate, signatures=((0, bytes(64)), *certificate.signatures[1:]))
    DoubleRunGuard(rules, 0, 7).look([certificate])


def test_a_genuine_own_vote_of_a_later_epoch_stops_the_node_wherever_it_stands_there() -> None:
    """The other process went on into an epoch whose set may list us elsewhere; this one knows only where it stood."""
    chain = make_test_chain()
    certificate = chain.certificate(VoteKind.NOTARIZE, 1, b"x" * 32, signers=(0, 1, 2), epoch=3)
    moved = msgspec.structs.replace(
        certificate, signatures=tuple((index + 1, signature) for index, signature in certificate.signatures)
    )
    with pytest.raises(DoubleRun, match="epoch 3"):
        DoubleRunGuard(chain.rules, 0, 7).look([moved])


@pytest.mark.parametrize("kind", [VoteKind.CHECKPOINT, VoteKind.EPOCH_CLOSE, VoteKind.SET_CHANGE])
@pytest.mark.parametrize("epoch", [0, 1])
def test_certificates_whose_number_is_no_view_say_nothing(kind: VoteKind, epoch: int) -> None:
    """A certified checkpoint is public and holds our genuine signature; its number is a height."""
    chain = make_test_chain()
    certificate = chain.certificate(kind, 99, b"x" * 32, signers=(0, 1, 2), epoch=epoch)
    DoubleRunGuard(chain.rules, 0, 7).look([certificate])
