"""A proposal's header is looked at before the megabytes behind it are read (consensus.md 2.3: cheap first)."""

from __future__ import annotations

import cbor2
import pytest
import simplex_cluster as sim
from chain_tools import make_test_chain
from hypothesis import given
from hypothesis import strategies as st
from simplex_cluster import N, X
from simplex_solo import Solo, make_block, only

from supervm.protocol.base.codec import INT_MAX, decode, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.block import HEADER_BYTES_MAX, glance
from supervm.protocol.chain.header import BlockHeader, CheckpointRef, Justification
from supervm.protocol.chain.progress import EpochProgress
from supervm.tier_l1_super.consensus.simplex import effects as fx
from supervm.tier_l1_super.consensus.simplex import voting

BLOCK = make_block(sim.GENESIS, 3)
RAW = encode(BLOCK)


def test_a_glance_sees_header_and_signature() -> None:
    assert glance(RAW) == (BLOCK.header, BLOCK.signature)
    chain = make_test_chain(4)
    for block in chain.blocks(3):
        assert glance(encode(block)) == (block.header, block.signature)


def test_the_largest_header_fits() -> None:
    mask = b"\xff" * 32
    header = BlockHeader(
        1,
        mask,
        INT_MAX,
        INT_MAX,
        INT_MAX,
        mask,
        INT_MAX,
        255,
        INT_MAX,
        mask,
        mask,
        CheckpointRef(1, INT_MAX, mask),
        EpochProgress(1, mask, mask, mask, mask),
    )
    assert len(encode(header)) <= HEADER_BYTES_MAX


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        RAW[:-1],
        RAW[:100],
        RAW + b"\0",
        b"\x85" + RAW[1:],
        cbor2.dumps(["fullblock", 2]),
        RAW[:12] + b"\xff" * 2_000,
        RAW[:12] + b"\x9b" + b"\xff" * 8 + RAW[12:],
        RAW[:12] + b"\x5b" + b"\xff" * 8 + RAW[12:],
        RAW[:12] + b"\x81" * 600 + RAW[12:],
        RAW[:12] + b"\x9f" + RAW[12:],
        RAW[:12] + b"\xa1\0\0" + RAW[12:],
    ],
)
def test_what_is_no_block_is_refused(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        glance(raw)


@given(st.binary(max_size=80), st.integers(0, len(RAW)))
def test_no_bytes_harm(noise: bytes, at: int) -> None:
    """Whatever stands there, the answer is a header that encodes as it stands, or a refusal."""
    raw = RAW[:at] + noise + RAW[at:]
    try:
        header, _ = glance(raw)
    except RemoteProtocolError:
        return
    assert encode(header) in raw


def test_only_what_could_be_voted_on_is_worth_reading() -> None:
    solo = Solo()
    for view in range(1, 5):
        solo.certify(X, view)
    assert solo.core.view == 5
    wanted = {view: solo.core.wants(make_block(sim.GENESIS, view).header) for view in (1, 4, 5, 6, 13, 14, 400)}
    assert wanted == {1: True, 4: True, 5: True, 6: True, 13: True, 14: False, 400: False}
    block, rival = make_block(sim.GENESIS, 5), make_block(sim.GENESIS, 5, salt=1)
    solo.propose(block)
    assert not solo.core.wants(block.header), "not twice"
    assert not solo.core.wants(rival.header), "nor a second one"
    assert (solo.core.is_rival(rival.header), solo.core.is_rival(block.header)) == (True, False)
    solo.certify(N, 5, rival.hash)
    assert solo.core.wants(rival.header), "but what a quorum has notarized"


def test_the_second_proposal_of_a_leader_is_evidence_unread_and_poisons_the_view() -> None:
    solo = Solo()
    block, rival = make_block(sim.GENESIS, 1), make_block(sim.GENESIS, 1, salt=1)
    (ask,) = only(solo.propose(block), fx.AskVerify)
    header, signature = glance(encode(rival))
    vote = sim.vote(1, N, 1, header.hash)
    assert vote.signature == signature
    (evidence,) = only(solo.step(fx.VoteReceived(1, vote)), fx.EvidenceFound)
    assert evidence.kind == "E1"
    assert not only(solo.step(fx.VoteReceived(1, vote)), fx.EvidenceFound)
    assert not only(solo.verified(ask.block), fx.PersistPromise), "no vote for a leader that signed two"


def test_one_bad_certificate_of_a_justification_ends_the_look_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    checked = []
    check = voting.check_certificate

    def counting(certificate: object, *args: object) -> None:
        checked.append(certificate)
        check(certificate, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(voting, "check_certificate", counting)
    good = [sim.certificate(X, view, ZERO_HASH, (1, 2, 3)) for view in range(1, 7)]
    bad = sim.certificate(X, 3, ZERO_HASH, (1, 2))
    block = make_block(sim.GENESIS, 7, just=Justification(1, (), (*good[:2], bad, *good[3:])))
    solo = Solo()
    blames = only(solo.propose(block), fx.Blame)
    assert [one.index for one in blames] == [3]
    assert len(checked) == 3
    assert decode(Justification, encode(block.just)) == block.just
