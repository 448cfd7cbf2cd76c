"""Who is to blame for a fork: named from the signatures alone, and never an honest node (consensus.md 6, A1)."""

from __future__ import annotations

from typing import Any

from invariant_scene import FINALIZE, NOTARIZE, NULLIFY, Scene

from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.header import Justification
from supervm.protocol.chain.votes import Certificate
from supervm.sim.invariants import accuse


def verdict(scene: Scene, one: Certificate, two: Certificate) -> Any:
    return accuse(one, two, scene.monitor.facts.blocks, scene.monitor.finality.signers, scene.monitor.facts.genuine)


def test_forensics_name_double_notarizers() -> None:
    """A1: two blocks of one view: validators 1 and 2 notarized both (E1)."""
    scene = Scene()
    a, b = scene.block(1), scene.block(1, ts=9)
    for block, signers in ((a, (0, 1, 2)), (b, (1, 2, 3))):
        for signer in signers:
            scene.monitor.finality.vote(NOTARIZE, 0, 1, block.hash, signer)
    found = verdict(scene, scene.certificate(FINALIZE, 1, a.hash), scene.certificate(FINALIZE, 1, b.hash, (1, 2, 3)))
    assert (found.kind, found.view, found.culprits) == ("E1", 1, (1, 2))


def test_forensics_name_who_nullified_what_they_finalized() -> None:
    """A1: the other chain skips the finalized view with a nullification (E2)."""
    scene = Scene()
    a = scene.block(1)
    nullification = scene.certificate(NULLIFY, 1, ZERO_HASH, (1, 2, 3))
    b = scene.block(2, just=Justification(1, (), (nullification,)), ts=9)
    c = scene.block(3, parent=b)
    found = verdict(scene, scene.certificate(FINALIZE, 3, c.hash, (1, 2, 3)), scene.certificate(FINALIZE, 1, a.hash))
    assert (found.kind, found.view, found.culprits) == ("E2", 1, (1, 2))


def test_forensics_name_who_notarized_without_proof() -> None:
    """A1: the other chain skips the finalized view without a nullification (E6)."""
    scene = Scene()
    a, b = scene.block(1), scene.block(2, just=Justification(1, (), ()), ts=9)
    for signer in (1, 2, 3):
        scene.monitor.finality.vote(NOTARIZE, 0, 2, b.hash, signer)
    found = verdict(scene, scene.certificate(FINALIZE, 1, a.hash), scene.certificate(FINALIZE, 2, b.hash, (1, 2, 3)))
    assert (found.kind, found.culprits) == ("E6", (1, 2, 3))


def test_forensics_find_nothing_in_one_chain() -> None:
    """A1: two finalizations of one chain accuse nobody."""
    scene = Scene()
    a = scene.block(1)
    b = scene.block(2, parent=a)
    assert verdict(scene, scene.certificate(FINALIZE, 1, a.hash), scene.certificate(FINALIZE, 2, b.hash)) is None


def test_the_monitor_finds_a_fork_and_its_culprits() -> None:
    """A1: with two of four faulty a fork is possible; the monitor finds it in the signatures and names those two."""
    scene = Scene(actors={"l1-1": "equivocator", "l1-2": "equivocator"})
    a, b = scene.block(1), scene.block(1, ts=9)
    for block, signers in ((a, (0, 1, 2)), (b, (1, 2, 3))):
        for kind in (NOTARIZE, FINALIZE):
            for signer in signers:
                scene.monitor.finality.vote(kind, 0, 1, block.hash, signer)
    scene.monitor.finality.certified[FINALIZE, 0, 1] = b.hash
    assert "S1" in scene.broken
    two = scene.certificate(FINALIZE, 1, a.hash), scene.certificate(FINALIZE, 1, b.hash, (1, 2, 3))
    found = scene.monitor.accuse(*two)
    assert found is not None
    assert found.culprits == (1, 2)
    assert "A1" not in scene.broken


def test_naming_an_honest_node_is_a_violation() -> None:
    """A1: the same fork where nobody is known to be faulty."""
    scene = Scene()
    a, b = scene.block(1), scene.block(1, ts=9)
    for block, signers in ((a, (0, 1, 2)), (b, (1, 2, 3))):
        for signer in signers:
            scene.monitor.finality.vote(NOTARIZE, 0, 1, block.hash, signer)
    scene.monitor.accuse(scene.certificate(FINALIZE, 1, a.hash), scene.certificate(FINALIZE, 1, b.hash, (1, 2, 3)))
    assert "A1" in scene.broken
