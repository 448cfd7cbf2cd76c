"""One Simplex core under a microscope: each rule and pitfall of consensus.md 2.5, 2.8 and 2.9 as a story."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from supervm.protocol.block import (
    Block,
    BlockHeader,
    CheckpointRef,
    FinalizedBlocks,
    Justification,
    check_block,
)
from supervm.protocol.codec import decode, encode
from supervm.protocol.errors import LocalProtocolError
from supervm.protocol.genesis import Parameters
from supervm.protocol.hashing import ZERO_HASH, hash_block_body, hash_justification
from supervm.protocol.keys import SigningKey, verify
from supervm.protocol.votes import Certificate, Vote, VoteKind, check_certificate, statement
from supervm.protocol.wire.messages import CertificateMessage, ProposalMessage, VoteMessage
from supervm.tier_l1_super.simplex import Simplex
from supervm.tier_l1_super.simplex import effects as fx
from supervm.tier_l1_super.simplex.pacing import timeout_us
from supervm.tier_l1_super.simplex.promises import (
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
from supervm.tier_l1_super.simplex.resend import SIGNATURES_MAX, VOTES_MAX


def load(name: str) -> Any:
    """Load a helper that stands next to the tests (they are not a package)."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


sim = load("simplex_cluster")
N, X, F = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE
RULES = sim.make_rules(4)
LEAD_US = (2 * 100 + 50) * 1000
ADVANCE_US = (3 * 100 + 50) * 1000
E = TypeVar("E")


def justify(parent: BlockHeader, view: int) -> Justification:
    """A true justification, with certificates of validators 1 to 3."""
    proof = () if parent.height == 0 else (sim.certificate(N, parent.view, parent.hash, (1, 2, 3)),)
    skips = tuple(sim.certificate(X, skipped, ZERO_HASH, (1, 2, 3)) for skipped in range(parent.view + 1, view))
    return Justification(1, proof, skips)


def make_block(
    parent: BlockHeader, view: int, *, just: Justification | None = None, ts_ms: int | None = None, salt: int = 0
) -> Block:
    """A block of `view` signed by its leader."""
    just = just if just is not None else justify(parent, view)
    header = BlockHeader(
        1, sim.CHAIN_ID, 0, view, parent.height + 1, parent.hash, parent.view, RULES.leader(view),
        (parent.ts_ms + 1 if ts_ms is None else ts_ms) + salt, hash_justification(encode(just)),
        hash_block_body(encode(sim.EMPTY)), parent.last_checkpoint,
    )
    signature = sim.KEYS[RULES.leader(view)].sign(statement(sim.CHAIN_ID, N, 0, view, header.hash))
    return Block(1, header, just, sim.EMPTY, signature)


class Solo:
    """Validator 0 of four (view v is led by v mod 4), played to by the test."""

    def __init__(self, *, promises: list[Promise] | None = None, index: int | None = 0, now_us: int = sim.START_US,
                 finalized: tuple[BlockHeader, Certificate | None] = (sim.GENESIS, None)) -> None:
        self.core = Simplex(
            rules=RULES, index=index, key=None if index is None else sim.KEYS[index], parameters=sim.TIMES,
            finalized=finalized, promises=promises or [],
        )
        self.now_us = now_us
        self.all: list[fx.Effect] = []
        self.step(fx.Started())

    def step(self, event: fx.Event) -> list[fx.Effect]:
        effects = self.core.step(self.now_us, event)
        self.all.extend(effects)
        return effects

    def votes(self, kind: VoteKind, *numbers: int, digest: bytes = ZERO_HASH, view: int = 1) -> list[fx.Effect]:
        return [one for index in numbers
                for one in self.step(fx.VoteReceived(index, sim.vote(index, kind, view, digest)))]

    def certify(self, kind: VoteKind, view: int, digest: bytes = ZERO_HASH) -> list[fx.Effect]:
        return self.step(fx.CertificateReceived(1, sim.certificate(kind, view, digest, (1, 2, 3))))

    def propose(self, block: Block, sender: int | None = None) -> list[fx.Effect]:
        return self.step(fx.ProposalReceived(block.header.proposer if sender is None else sender, block))

    def verified(self, block: Block, ok: bool = True) -> list[fx.Effect]:
        return self.step(fx.BlockVerified(block.hash, ok))

    def wait(self, duration_us: int) -> list[fx.Effect]:
        """Let time pass, ticking at every deadline."""
        end, out = self.now_us + duration_us, list[fx.Effect]()
        while self.core.deadline_us is not None and self.core.deadline_us <= end:
            self.now_us = self.core.deadline_us
            out.extend(self.step(fx.Tick()))
        self.now_us = end
        return out

    def promises(self) -> list[Promise]:
        return [decode_promise(one.payload) for one in self.all if isinstance(one, fx.PersistPromise)]

    def kinds(self) -> list[str]:
        """Own votes promised, as "N1", "X2", ..."""
        names = {NotarizePromise: "N", NullifyPromise: "X", FinalizePromise: "F"}
        return [f"{names[type(one)]}{one.view}" for one in self.promises()  # type: ignore[union-attr]
                if type(one) in names]


def only(effects: list[fx.Effect], kind: type[E]) -> list[E]:
    return [one for one in effects if isinstance(one, kind)]


def sent_votes(effects: list[fx.Effect]) -> list[Vote]:
    return [vote for one in only(effects, fx.Broadcast) if isinstance(one.message, VoteMessage)
            for vote in one.message.votes]


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


def test_p10_time_outs_grow_since_the_last_finalization_only() -> None:
    times = Parameters(1, view_timeout_ms=400, view_timeout_ms_max=60_000)
    assert [timeout_us(times, since) // 1000 for since in (1, 3, 4, 5, 6)] == [400, 400, 600, 900, 1350]
    assert timeout_us(times, 10**9) == 60_000_000
    solo = Solo()
    for view in range(1, 7):
        solo.certify(N if view % 2 else X, view, bytes([view]) * 32 if view % 2 else ZERO_HASH)
    assert solo.core.view == 7  # notarizations do not bring it down: d(7) = 100 * 1.5**4
    solo.wait(2 * 506_250 + 50_000 - 1)
    assert "X7" not in solo.kinds()
    solo.wait(1)
    assert "X7" in solo.kinds()


def test_p4_the_timers_run_again_after_a_restart() -> None:
    solo = Solo(promises=[NullifyPromise(1, 0, 1)])
    assert solo.core.deadline_us is not None
    assert [vote.kind for vote in sent_votes(solo.all)] == [X], "own votes are sent again at once"
    assert X in [vote.kind for vote in sent_votes(solo.wait(1_000_000))], "and with every repeat"


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


def test_a_block_from_the_future_waits_for_the_clock_and_is_not_refused() -> None:
    solo = Solo()
    block = make_block(sim.GENESIS, 1, ts_ms=solo.now_us // 1000 + sim.TIMES.clock_drift_ms + 100)
    assert not only(solo.propose(block), fx.AskVerify)
    assert not only(solo.wait(99_000), fx.AskVerify)
    assert only(solo.wait(1_000), fx.AskVerify)
    assert solo.kinds() == []


# --- pitfalls -------------------------------------------------------------------------------------------------------


def test_p1_p12_who_nullified_advances_on_the_notarization_and_never_finalizes() -> None:
    solo = Solo()
    block = make_block(sim.GENESIS, 1)
    solo.wait(LEAD_US)
    solo.propose(block)
    solo.certify(N, 1, block.hash)
    assert solo.core.view == 2
    solo.wait(5_000_000)  # repeats
    again = Solo(promises=solo.promises())
    again.certify(N, 1, block.hash)
    again.wait(5_000_000)
    for one in (solo, again):
        assert "F1" not in one.kinds()
        assert all(vote.kind is not F for vote in sent_votes(one.all))
    assert again.core.view >= 2


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


def test_p2_a_gap_without_nullifications_is_never_voted_for() -> None:
    solo = Solo()
    bare = make_block(sim.GENESIS, 3, just=Justification(1, (), ()))
    solo.certify(X, 2)
    assert solo.core.view == 3
    assert not only(solo.propose(bare), fx.AskVerify)
    assert only(solo.certify(X, 1), fx.AskVerify), "pending until the nullification comes from elsewhere"
    other = Solo()
    other.certify(X, 2)
    assert only(other.propose(make_block(sim.GENESIS, 3)), fx.AskVerify), "the justification alone suffices"


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


def test_p5_several_reasons_to_nullify_make_one_record() -> None:
    solo = Solo()
    block = make_block(sim.GENESIS, 1)
    solo.propose(block)
    solo.verified(block, ok=False)
    solo.votes(X, 1, view=1)
    solo.wait(ADVANCE_US * 3)
    assert solo.kinds() == ["X1"]


def test_p7_an_absent_parent_leaves_the_vote_pending_and_is_fetched() -> None:
    solo = Solo()
    parent = make_block(sim.GENESIS, 1)
    child = make_block(parent.header, 2)
    effects = solo.propose(child)  # its justification brings us to view 2
    assert solo.core.view == 2
    assert not only(effects, fx.AskVerify)
    assert only(effects, fx.FetchBlock) == [fx.FetchBlock(1, parent.hash, (1, 2, 3))]
    assert only(solo.propose(parent, sender=3), fx.AskVerify) == [fx.AskVerify(child, parent.header)]


def test_p9_repeats_stay_within_their_budget() -> None:
    solo = Solo()
    for view in range(1, 2000):
        solo.certify(X, view)
    assert solo.core.view == 2000
    effects = solo.wait(1_000_000)
    for one in only(effects, fx.Broadcast):
        if isinstance(one.message, CertificateMessage):
            assert len(one.message.certificates) <= 255
            assert sum(len(held.signatures) for held in one.message.certificates) <= SIGNATURES_MAX
            assert one.message.certificates[-1].number >= 1999, "the newest goes first into the budget"
        elif isinstance(one.message, VoteMessage):
            assert len(one.message.votes) <= VOTES_MAX


def test_p11_blocks_that_arrive_newest_first_are_committed_oldest_first() -> None:
    solo = Solo()
    chain, parent = [], sim.GENESIS
    for view in range(1, 6):
        chain.append(make_block(parent, view))
        parent = chain[-1].header
    effects = solo.certify(F, 5, chain[-1].hash)
    assert only(effects, fx.FetchBlock) == [fx.FetchBlock(5, chain[-1].hash, (1, 2, 3))]
    for block in reversed(chain[1:]):
        effects = solo.propose(block, sender=2)
        assert [one.hash for one in only(effects, fx.FetchBlock)] == [block.header.parent_hash]
        assert not only(effects, fx.Committed)
    (committed,) = only(solo.propose(chain[0], sender=2), fx.Committed)
    assert [block.header.height for block in committed.blocks] == [1, 2, 3, 4, 5]
    assert committed.finalization.number == 5


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


def test_after_a_restart_the_view_is_that_of_the_certificates_and_own_votes_count() -> None:
    solo = Solo()
    solo.certify(X, 1)
    solo.certify(X, 2)
    solo.wait(10_000_000)
    view = solo.core.view
    again = Solo(promises=list(reversed(solo.promises())))
    assert again.core.view == view == 3
    again.votes(X, 1, 2, view=3)
    assert again.core.view == 4, "our own vote from before the crash is the third"


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


@pytest.mark.parametrize("promise", [
    NotarizePromise(1, 0, 3, b"h" * 32, ()),
    NotarizePromise(1, 0, 1, make_block(sim.GENESIS, 1).hash, (make_block(sim.GENESIS, 1),)),
    NullifyPromise(1, 0, 3),
    FinalizePromise(1, 2, 3, b"h" * 32),
    CheckpointPromise(1, 9, b"h" * 32),
    BatchPromise(1, 0, b"h" * 32, 9, b"\xff\x01"),
    HeldCertificate(1, sim.certificate(X, 1, ZERO_HASH, (1, 2, 3))),
])
def test_records_come_back_as_they_were_written(promise: Promise) -> None:
    assert decode_promise(encode_promise(promise)) == promise


@pytest.mark.parametrize("payload", [b"", b"\x83bzz\x01", encode_promise(NullifyPromise(1, 0, 3))[:-1]])
def test_an_unknown_or_damaged_record_stops_the_start(payload: bytes) -> None:
    with pytest.raises(LocalProtocolError, match="write-ahead log"):
        decode_promise(payload)


def test_arguments_that_contradict_each_other_are_refused() -> None:
    block = make_block(sim.GENESIS, 1)
    for fields in (
        {"index": 0, "key": None}, {"index": 4, "key": sim.KEYS[0]}, {"finalized": (block.header, None)},
    ):
        arguments: dict[str, Any] = {
            "rules": RULES, "index": 0, "key": sim.KEYS[0], "parameters": sim.TIMES, "finalized": (sim.GENESIS, None),
        }
        with pytest.raises(LocalProtocolError):
            Simplex(**(arguments | fields))
    core = Simplex(rules=RULES, index=0, key=sim.KEYS[0], parameters=sim.TIMES, finalized=(sim.GENESIS, None))
    with pytest.raises(LocalProtocolError, match="before Started"):
        core.step(0, fx.Tick())
    core.step(0, fx.Started())
    with pytest.raises(LocalProtocolError, match="CHECKPOINT"):
        core.step(0, fx.VoteReceived(1, sim.vote(1, VoteKind.CHECKPOINT, 1)))
