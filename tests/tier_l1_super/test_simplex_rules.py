"""One Simplex core under a microscope: each rule of consensus.md 2.5 and 2.8 as a story."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import simplex_cluster as sim
from simplex_solo import ADVANCE_US, LEAD_US, RULES, F, N, Solo, X, justify, make_block, only, sent_votes

from supervm.protocol.base.codec import decode
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.base.keys import SigningKey, verify
from supervm.protocol.chain.block import Block, check_block
from supervm.protocol.chain.finalized import FinalizedBlocks
from supervm.protocol.chain.header import CheckpointRef, Justification
from supervm.protocol.chain.votes import VoteKind, check_certificate
from supervm.protocol.wire.consensus import CertificateMessage, ProposalMessage
from supervm.tier_l1_super.consensus.simplex import Simplex
from supervm.tier_l1_super.consensus.simplex import effects as fx
from supervm.tier_l1_super.consensus.simplex.promises import (
    BatchPromise,
    CheckpointPromise,
    FinalizePromise,
    HeldCertificate,
    NotarizePromise,
    NullifyPromise,
    Promise,
    decode_promise,
    encode_promise,
)

# --- the good case ------------------------------------------------------------------------------------------------


def test_a_follower_verifies_notarizes_finalizes_and_commits() -> None:
    solo = Solo()
    block = make_block(sim.GENESIS, 1)
    assert only(solo.propose(block), fx.AskVerify) == [fx.AskVerify(block, sim.GENESIS)]
    effects = solo.verified(block)
    persist, broadcast = only(effects, fx.PersistPromise)[0], only(effects, fx.Broadcast)[0]
    assert decode_promise(persist.payload) == NotarizePromise(1, 0, 1, block.hash, (block,))
    assert broadcast.after == persist.token
    effects = solo.votes(N, 2, digest=block.hash)  # with the leader's proposal and our own: three of four
    assert [vote.kind for vote in sent_votes(effects)] == [F]
    assert solo.core.view == 2
    committed = only(solo.votes(F, 1, 2, digest=block.hash), fx.Committed)
    assert [one.hash for one in committed[0].blocks] == [block.hash]
    check_certificate(committed[0].finalization, sim.CHAIN_ID, RULES.validators, RULES.verify, kind=F)
    assert solo.kinds() == ["N1", "F1"]


def test_a_leader_proposes_a_block_that_passes_the_validity_rule() -> None:
    solo = Solo()
    first = make_block(sim.GENESIS, 1, ts_ms=10**10)  # ahead of our clock: our time must still be later
    solo.certify(X, 1)
    solo.certify(X, 2)
    asked = only(solo.certify(X, 3), fx.AskBuild)
    assert asked == [fx.AskBuild(4, sim.GENESIS.hash, sim.GENESIS)]
    other = Solo()
    other.propose(first)
    other.certify(N, 1, first.hash)
    other.certify(X, 2)
    (ask,) = only(other.certify(X, 3), fx.AskBuild)
    effects = other.step(fx.Built(ask.view, sim.EMPTY, 5, CheckpointRef(1, 0, ZERO_HASH)))
    proposal = next(one for one in only(effects, fx.Broadcast) if isinstance(one.message, ProposalMessage))
    assert proposal.after == only(effects, fx.PersistPromise)[0].token
    assert isinstance(proposal.message, ProposalMessage)
    block = decode(Block, proposal.message.block)
    assert block.header.ts_ms == first.header.ts_ms + 1
    check_block(block, first.header, RULES)


def test_a_leader_without_content_nullifies_its_own_view() -> None:
    solo = Solo()
    for view in (1, 2, 3):
        solo.certify(X, view)
    solo.step(fx.Built(4, None, 5, CheckpointRef(1, 0, ZERO_HASH)))
    assert solo.kinds() == ["X4"]
    assert not solo.step(fx.Built(4, sim.EMPTY, 5, CheckpointRef(1, 0, ZERO_HASH))), "a second answer proposes nothing"


def test_an_own_signature_inside_a_certificate_waits_for_its_promise() -> None:
    solo = Solo()
    block = make_block(sim.GENESIS, 1)
    solo.propose(block)
    solo.votes(N, 2, digest=block.hash)
    effects = solo.verified(block)  # our vote completes the notarization in the same step
    token = only(effects, fx.PersistPromise)[0].token
    (sent,) = [one for one in only(effects, fx.Broadcast) if isinstance(one.message, CertificateMessage)]
    assert sent.after >= token
    others = Solo()
    (sent,) = only(others.certify(X, 1), fx.Broadcast)
    assert sent.after == 0, "a certificate without our signature waits for nothing"


# --- timers ---------------------------------------------------------------------------------------------------------


def test_no_proposal_by_the_lead_timer_and_no_certificate_by_the_advance_timer_nullify() -> None:
    solo = Solo()
    solo.wait(LEAD_US - 1)
    assert solo.kinds() == []
    solo.wait(1)
    assert solo.kinds() == ["X1"]
    late = Solo()
    late.propose(make_block(sim.GENESIS, 1))
    late.wait(ADVANCE_US - 1)
    assert late.kinds() == []
    late.wait(1)
    assert late.kinds() == ["X1"]


def test_a_leader_that_gives_up_is_not_waited_for() -> None:
    solo = Solo()
    solo.votes(X, 2, view=1)
    assert solo.kinds() == [], "only the leader's own Nullify counts"
    solo.votes(X, 1, view=1)
    assert solo.kinds() == ["X1"]
    early = Solo()
    early.votes(X, 2, view=2)
    early.certify(X, 1)
    assert early.kinds() == ["X2"], "also if it came before the view was entered"


# --- the safety rules -----------------------------------------------------------------------------------------------


def test_r2_who_finalized_never_nullifies() -> None:
    solo = Solo()
    block = make_block(sim.GENESIS, 1)
    solo.certify(N, 1, block.hash)
    assert solo.kinds() == ["F1"], "finalize without an own notarize is allowed"
    solo.votes(X, 1, view=1)
    again = Solo(promises=[one for one in solo.promises() if isinstance(one, FinalizePromise)])
    assert again.core.view == 1
    again.wait(5_000_000)
    assert again.kinds() == []


def test_r3_a_parent_without_certificate_is_never_voted_for() -> None:
    solo = Solo()
    parent = make_block(sim.GENESIS, 1)
    solo.propose(parent)
    solo.certify(X, 1)
    child = make_block(parent.header, 2, just=Justification(1, (), ()))
    assert not only(solo.propose(child), fx.AskVerify)
    assert only(solo.certify(N, 1, parent.hash), fx.AskVerify)


def test_r3_a_parent_below_the_last_finalization_is_never_voted_for() -> None:
    solo = Solo()
    first = make_block(sim.GENESIS, 1)
    solo.propose(first)
    solo.certify(F, 1, first.hash)
    rival = make_block(sim.GENESIS, 2)
    assert not only(solo.propose(rival), fx.AskVerify)


def test_r1_one_notarize_per_view_also_after_a_restart() -> None:
    solo = Solo()
    block, rival = make_block(sim.GENESIS, 1), make_block(sim.GENESIS, 1, salt=1)
    solo.propose(block)
    solo.verified(block)
    again = Solo(promises=solo.promises())
    assert not only(again.propose(rival), fx.AskVerify)
    again.verified(rival)
    assert again.kinds() == []
    assert {vote.digest for vote in sent_votes(again.all) if vote.kind is N} == {block.hash}
    assert again.core.block(block.hash) == block, "the block voted for survives at the voter"


def test_a_finalized_chain_fills_the_gap_and_promises_nothing() -> None:
    solo = Solo()
    chain, parent = [], sim.GENESIS
    for view in range(1, 13):
        chain.append(make_block(parent, view))
        parent = chain[-1].header
    solo.certify(F, 12, parent.hash)
    effects = solo.propose(chain[-1], sender=1)
    assert only(effects, fx.FetchFinalized) == [fx.FetchFinalized(1)]
    before = solo.kinds()
    part = FinalizedBlocks(1, tuple(chain[:10]), sim.certificate(F, 10, chain[9].hash, (1, 2, 3)))
    effects = solo.step(fx.FinalizedChain(part))
    assert [len(one.blocks) for one in only(effects, fx.Committed)] == [10]
    whole = FinalizedBlocks(1, tuple(chain), sim.certificate(F, 12, parent.hash, (1, 2, 3)))
    (committed,) = only(solo.step(fx.FinalizedChain(whole)), fx.Committed)
    assert [block.header.height for block in committed.blocks] == [11, 12]
    assert not solo.step(fx.FinalizedChain(whole)), "what is committed already changes nothing"
    assert solo.kinds() == before
    assert solo.core.view == 13


def test_a_finalized_block_beside_the_committed_chain_stops_the_node() -> None:
    solo = Solo()
    first = make_block(sim.GENESIS, 1)
    solo.propose(first)
    solo.certify(F, 1, first.hash)
    rival = make_block(sim.GENESIS, 3)
    solo.certify(F, 3, rival.hash)
    assert only(solo.propose(rival, sender=1), fx.ForkFound)


# --- peers that lie -------------------------------------------------------------------------------------------------


def test_e1_a_leader_that_signs_two_blocks_is_reported_and_its_view_poisoned() -> None:
    solo = Solo()
    block, rival = make_block(sim.GENESIS, 1), make_block(sim.GENESIS, 1, salt=1)
    solo.propose(block)
    (evidence,) = only(solo.propose(rival, sender=2), fx.EvidenceFound)
    assert (evidence.kind, {evidence.first.digest, evidence.second.digest}) == ("E1", {block.hash, rival.hash})
    for vote in (evidence.first, evidence.second):
        assert RULES.verify(RULES.validators.keys[1], vote.statement(sim.CHAIN_ID), vote.signature)
    solo.verified(block)
    assert solo.kinds() == []
    assert not only(solo.propose(rival), fx.EvidenceFound), "once is enough"


def test_e1_and_e2_of_a_voter_are_reported_only_with_two_good_signatures() -> None:
    solo = Solo()
    solo.votes(N, 2, digest=b"a" * 32)
    forged = msgspec.structs.replace(sim.vote(2, N, 1, b"b" * 32), signature=bytes(64))
    effects = solo.step(fx.VoteReceived(2, forged))
    assert not only(effects, fx.EvidenceFound)
    assert [one.index for one in only(effects, fx.Blame)] == [2]
    assert [one.kind for one in only(solo.votes(N, 2, digest=b"b" * 32), fx.EvidenceFound)] == ["E1"]
    solo.votes(X, 3)
    assert [one.kind for one in only(solo.votes(F, 3, digest=b"a" * 32), fx.EvidenceFound)] == ["E2"]


def test_a_bad_signature_inside_a_quorum_is_thrown_out_and_its_sender_blamed() -> None:
    solo = Solo()
    solo.step(fx.VoteReceived(1, msgspec.structs.replace(sim.vote(1, X, 1), signature=bytes(64))))
    assert solo.kinds() == ["X1"], "the leader's wish is believed over its own link"
    effects = solo.votes(X, 2)
    assert [one.index for one in only(effects, fx.Blame)] == [1]
    assert solo.core.view == 1
    solo.votes(X, 3)
    assert solo.core.view == 2


def replaced(block: Block, **fields: Any) -> Block:
    return msgspec.structs.replace(block, **fields)


def test_malformed_input_is_blamed_and_changes_nothing() -> None:
    good = make_block(sim.GENESIS, 1)
    wrong_leader = replaced(good, header=msgspec.structs.replace(good.header, proposer=3))
    cases: list[fx.Event] = [
        fx.VoteReceived(2, sim.vote(3, X, 1)),
        fx.VoteReceived(200, msgspec.structs.replace(sim.vote(3, X, 1), signer=200)),
        fx.VoteReceived(2, sim.vote(2, X, 1, b"x" * 32)),
        fx.ProposalReceived(2, wrong_leader),
        fx.ProposalReceived(2, replaced(good, just=justify(sim.GENESIS, 2))),
        fx.ProposalReceived(2, replaced(good, signature=bytes(64))),
        fx.CertificateReceived(2, sim.certificate(X, 1, ZERO_HASH, (1, 2))),
        fx.CertificateReceived(2, sim.certificate(X, 1, b"x" * 32, (1, 2, 3))),
        fx.CertificateReceived(2, sim.certificate(VoteKind.CHECKPOINT, 1, b"x" * 32, (1, 2, 3))),
    ]
    for event in cases:
        solo = Solo()
        effects = solo.step(event)
        assert [type(one) for one in effects] == [fx.Blame], event
        assert solo.core.view == 1
        assert not solo.core.block(good.hash)


def test_votes_outside_the_window_and_of_other_epochs_are_ignored() -> None:
    solo = Solo()
    far = 1 + 9
    for index in (1, 2, 3):
        assert not solo.step(fx.VoteReceived(index, sim.vote(index, X, far)))
        assert not solo.step(fx.VoteReceived(index, msgspec.structs.replace(sim.vote(index, X, 1), epoch=1)))
    assert solo.core.view == 1
    assert only(solo.certify(X, far), fx.Broadcast), "a certificate of any view counts"
    assert solo.core.view == far + 1


def test_a_validator_far_behind_is_told_the_last_finalization_once_a_second() -> None:
    solo = Solo()
    block = make_block(sim.GENESIS, 9)
    solo.propose(block)
    solo.certify(F, 9, block.hash)
    told = only(solo.votes(X, 2, view=1), fx.SendTo)
    assert [(one.index, type(one.message)) for one in told] == [(2, CertificateMessage)]
    assert not solo.votes(X, 2, view=2)
    solo.now_us += 1_000_000
    assert only(solo.votes(X, 2, view=3), fx.SendTo)


# --- recovery and records -------------------------------------------------------------------------------------------


def test_records_above_the_finalized_view_are_kept_and_the_others_pruned() -> None:
    solo = Solo()
    for view in (1, 2, 3):
        solo.certify(X, view)
    kept = [decode_promise(payload) for payload in solo.core.prune(2)]
    assert [one.certificate.number for one in kept if isinstance(one, HeldCertificate)] == [3]


def test_an_observer_follows_and_never_votes() -> None:
    solo = Solo(index=None)
    block = make_block(sim.GENESIS, 1)
    assert not only(solo.propose(block), fx.AskVerify)
    solo.votes(N, 1, 2, 3, digest=block.hash)
    (committed,) = only(solo.certify(F, 1, block.hash), fx.Committed)
    assert committed.blocks == (block,)
    solo.wait(10_000_000)
    assert solo.kinds() == []
    assert not sent_votes(solo.all)


def test_a_view_that_more_than_f_have_given_up_is_given_up_at_once() -> None:
    """One of four may lie; of two that nullify one is honest, and what it saw is reason enough, also after a vote."""
    solo = Solo()
    solo.votes(X, 2)
    assert solo.kinds() == []
    solo.votes(X, 3)
    assert solo.kinds() == ["X1"]
    voted = Solo()
    block = make_block(sim.GENESIS, 1)
    voted.propose(block)
    voted.verified(block)
    voted.votes(X, 2, 3)
    assert voted.kinds() == ["N1", "X1"]
    final = Solo()
    final.propose(block)
    final.verified(block)
    final.certify(N, 1, block.hash)
    final.votes(X, 2, 3)
    assert final.kinds() == ["N1", "F1"], "never after Finalize (R2)"
    early = Solo()
    early.votes(X, 1, 3, view=2)  # of a view that is not entered yet
    assert early.kinds() == []
    early.certify(X, 1)
    assert early.kinds() == ["X2"]


def test_nobody_waits_for_a_leader_that_was_hung_up_on() -> None:
    """On entering its view, and when it goes while it is waited for; a proposal that has come is looked at."""
    shunned: list[int] = []
    solo = Solo(shuns=shunned.__contains__)
    solo.step(fx.Tick())
    assert solo.kinds() == []
    shunned.append(1)
    solo.step(fx.Tick())
    assert solo.kinds() == ["X1"]
    shunned[:] = [2]
    solo.certify(X, 1)
    assert solo.kinds() == ["X1", "X2"]
    shunned[:] = [3]
    late = Solo(shuns=shunned.__contains__)
    block = make_block(sim.GENESIS, 1)
    late.propose(block)
    shunned.append(1)
    late.step(fx.Tick())
    late.verified(block)
    assert late.kinds() == ["N1"]


def test_real_keys_work_as_well() -> None:
    key = SigningKey(bytes(range(32)))
    member = msgspec.structs.replace(RULES.validators.members[0], key=key.public)
    rules = type(RULES)(sim.CHAIN_ID, 0, type(RULES.validators)([member]), (0,), verify)
    core = Simplex(rules=rules, index=0, key=key, parameters=sim.TIMES, finalized=(sim.GENESIS, None))
    (ask,) = only(core.step(5, fx.Started()), fx.AskBuild)
    effects = core.step(6, fx.Built(ask.view, sim.EMPTY, 7, CheckpointRef(1, 0, ZERO_HASH)))
    (committed,) = only(effects, fx.Committed)
    assert committed.after >= only(effects, fx.PersistPromise)[-1].token, "nobody hears of it before the promise"
    check_certificate(committed.finalization, sim.CHAIN_ID, rules.validators, verify, kind=F)


@pytest.mark.parametrize(
    "promise",
    [
        NotarizePromise(1, 0, 3, b"h" * 32, ()),
        NotarizePromise(1, 0, 1, make_block(sim.GENESIS, 1).hash, (make_block(sim.GENESIS, 1),)),
        NullifyPromise(1, 0, 3),
        FinalizePromise(1, 2, 3, b"h" * 32),
        CheckpointPromise(1, 9, b"h" * 32),
        BatchPromise(1, 0, b"h" * 32, 9, b"\xff\x01"),
        HeldCertificate(1, sim.certificate(X, 1, ZERO_HASH, (1, 2, 3))),
    ],
)
def test_records_come_back_as_they_were_written(promise: Promise) -> None:
    assert decode_promise(encode_promise(promise)) == promise


@pytest.mark.parametrize("payload", [b"", b"\x83bzz\x01", encode_promise(NullifyPromise(1, 0, 3))[:-1]])
def test_an_unknown_or_damaged_record_stops_the_start(payload: bytes) -> None:
    with pytest.raises(LocalProtocolError, match="write-ahead log"):
        decode_promise(payload)


def test_arguments_that_contradict_each_other_are_refused() -> None:
    block = make_block(sim.GENESIS, 1)
    for fields in (
        {"index": 0, "key": None},
        {"index": 4, "key": sim.KEYS[0]},
        {"finalized": (block.header, None)},
    ):
        arguments: dict[str, Any] = {
            "rules": RULES,
            "index": 0,
            "key": sim.KEYS[0],
            "parameters": sim.TIMES,
            "finalized": (sim.GENESIS, None),
        }
        with pytest.raises(LocalProtocolError):
            Simplex(**(arguments | fields))
    core = Simplex(rules=RULES, index=0, key=sim.KEYS[0], parameters=sim.TIMES, finalized=(sim.GENESIS, None))
    with pytest.raises(LocalProtocolError, match="before Started"):
        core.step(0, fx.Tick())
    core.step(0, fx.Started())
    with pytest.raises(LocalProtocolError, match="CHECKPOINT"):
        core.step(0, fx.VoteReceived(1, sim.vote(1, VoteKind.CHECKPOINT, 1)))
