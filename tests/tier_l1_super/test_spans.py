"""Any number of skipped views can be proposed over, in bounded space (consensus.md 2.4, `protocol.chain.spans`)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
import simplex_cluster as sim
from hypothesis import given, settings
from hypothesis import strategies as st
from simplex_cluster import F, N, S, X
from simplex_solo import RULES, Solo, make_block, only, sent_votes

from supervm.protocol.base.codec import INT_MAX, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.block import Block, check_block
from supervm.protocol.chain.body import BODY_BYTES_MAX
from supervm.protocol.chain.evidence import check_evidence, double_vote
from supervm.protocol.chain.header import SKIP_SIGNATURES_MAX, SKIPS_MAX, Justification
from supervm.protocol.chain.spans import SPAN_BASE, WIDTH_MAX, Span, span_at, span_of, spans_within
from supervm.protocol.chain.votes import Certificate, Vote
from supervm.tier_l1_super.consensus.simplex import effects as fx
from supervm.tier_l1_super.consensus.simplex import skips as skips_module
from supervm.tier_l1_super.consensus.simplex.promises import (
    FinalizePromise,
    HeldCertificate,
    SpanPromise,
    decode_promise,
)
from supervm.tier_l1_super.consensus.simplex.resend import SIGNATURES_MAX, certificates_to_repeat
from supervm.tier_l1_super.consensus.simplex.skips import SPAN_DELAY_VIEWS, SPANS_PER_SIGNER_MAX, Skips

PROPOSAL_BYTES_MAX = 4 << 20


def span_vote(index: int, span: Span) -> Vote:
    return sim.vote(index, S, span.last, span.digest)


def span_certificate(span: Span, signers: Iterable[int] = (1, 2, 3)) -> Certificate:
    return sim.certificate(S, span.last, span.digest, signers)


# --- which spans there are ------------------------------------------------------------------------------------------


@given(st.integers(1, INT_MAX), st.integers(0, 1 << 40))
@settings(max_examples=200)
def test_spans_within_are_the_widest_and_leave_three_views_at_either_end(first: int, further: int) -> None:
    last = min(INT_MAX, first + further)
    found = spans_within(first, last)
    assert all(span_of(span.last, span.digest) == span == span_at(span.first, span.width) for span in found)
    assert all(one.last + 1 == other.first for one, other in pairwise(found))
    if found:
        assert 0 <= found[0].first - first < SPAN_BASE
        assert 0 <= last - found[-1].last < SPAN_BASE
        for span in found:
            wider = span_at(span.last, span.width * SPAN_BASE)
            assert wider.first < first or wider.last > last
    else:
        assert last - first < 2 * SPAN_BASE - 1
    assert len(found) <= SKIPS_MAX - 2 * SPAN_BASE - SPAN_DELAY_VIEWS


@pytest.mark.parametrize(
    ("number", "width"),
    [
        (0, 4),
        (3, 4),
        (6, 4),
        (4, 0),
        (4, 1),
        (4, 2),
        (8, 8),
        (12, 12),
        (0, 16),
        (INT_MAX + 1, WIDTH_MAX * 4),
        (4, 1 << 255),
    ],
)
def test_there_is_no_span_of_another_width_or_place(number: int, width: int) -> None:
    digest = width.to_bytes(32, "big")
    assert span_of(number, digest) is None
    solo = Solo()
    if number:
        assert only(solo.step(fx.VoteReceived(1, sim.vote(1, S, min(number, 9), digest))), fx.Blame)
    certificate = sim.certificate(S, min(number, INT_MAX), digest, (1, 2, 3))
    blames = only(solo.step(fx.CertificateReceived(1, certificate)), fx.Blame)
    assert len(blames) == (1 if number else 0)  # what is at or below the last final view is not looked at


def worst_gap(skipped: int) -> tuple[int, int]:
    """Among the gaps of that many views, one that takes many certificates: (first, last)."""
    widest = SPAN_BASE
    while widest * SPAN_BASE <= skipped // 2:
        widest *= SPAN_BASE
    candidates = [widest * factor - skipped // 2 + shift for factor in (1, 2, 3, 5) for shift in range(-40, 40)]
    starts = [first for first in candidates if first > 0]
    first = max(starts, key=lambda at: len(spans_within(at, at + skipped - 1 - SPAN_DELAY_VIEWS)))
    return first, first + skipped - 1


@pytest.mark.parametrize(("validators", "signers"), [(64, 43), (255, 171), (255, 255)])
@pytest.mark.parametrize("skipped", [5_000, 100_000, 10**12])
def test_a_proposal_over_any_gap_fits_into_its_message(validators: int, signers: int, skipped: int) -> None:
    """Counted with certificates of the right size: 4 MiB held 1,402 nullifications of 64, 354 of 255 validators."""
    first, last = worst_gap(skipped)
    spans = spans_within(first, last - SPAN_DELAY_VIEWS)
    alone = [view for view in range(last - SPAN_DELAY_VIEWS - 2, last + 1) if view > spans[-1].last]
    alone += list(range(first, spans[0].first))
    signatures = tuple((index, bytes(64)) for index in range(validators - signers, validators))
    certificates = [Certificate(1, S, 0, span.last, span.digest, signatures) for span in spans]
    certificates += [Certificate(1, X, 0, view, ZERO_HASH, signatures) for view in alone]
    parent = Certificate(1, N, 0, first, bytes(32), signatures)
    size = len(encode(Justification(1, (parent,), tuple(certificates))))
    assert len(certificates) <= SKIPS_MAX
    assert len(certificates) * signers <= SKIP_SIGNATURES_MAX
    assert size + BODY_BYTES_MAX + 4_096 <= PROPOSAL_BYTES_MAX, f"{size} bytes for {len(certificates)} certificates"


# --- what a justification proves ------------------------------------------------------------------------------------


def gap(*items: Certificate, view: int) -> Block:
    return make_block(sim.GENESIS, view, just=Justification(1, (), items))


def alone(view: int) -> Certificate:
    return sim.certificate(X, view, ZERO_HASH, (1, 2, 3))


@pytest.mark.parametrize(
    ("items", "view", "reason"),
    [
        ((span_certificate(Span(4, 4)),), 5, ""),
        ((span_certificate(Span(4, 4)), alone(5), alone(6)), 7, ""),
        ((span_certificate(Span(16, 16)), span_certificate(Span(20, 4))), 21, ""),
        ((alone(1), alone(2), span_certificate(Span(4, 4))), 5, ""),
        ((span_certificate(Span(4, 4)),), 6, "end before view 5"),
        ((span_certificate(Span(8, 4)),), 9, "view 1 is missing"),
        ((span_certificate(Span(4, 4)), span_certificate(Span(12, 4))), 13, "view 5 is missing"),
        ((span_certificate(Span(4, 4)), span_certificate(Span(4, 4))), 5, "view 5 is missing"),
        ((span_certificate(Span(8, 4)), span_certificate(Span(4, 4))), 9, "view 1 is missing"),
        ((span_certificate(Span(4, 4), (1, 2)),), 5, "below the quorum"),
        ((sim.certificate(S, 4, (8).to_bytes(32, "big"), (1, 2, 3)),), 5, "no span"),
        ((sim.certificate(F, 1, ZERO_HASH, (1, 2, 3)),), 2, "FINALIZE certificate stands among"),
    ],
)
def test_a_justification_names_every_skipped_view_once_or_in_a_span(
    items: tuple[Certificate, ...], view: int, reason: str
) -> None:
    block = gap(*items, view=view)
    if not reason:
        check_block(block, sim.GENESIS, RULES)
        return
    with pytest.raises(RemoteProtocolError, match=reason) as caught:
        check_block(block, sim.GENESIS, RULES)
    assert caught.value.code == "bad-justification"


def test_a_span_and_a_finalize_of_one_of_its_views_are_evidence_and_nothing_else_is() -> None:
    vote = span_vote(2, Span(16, 16))
    for view in (1, 7, 16):
        pair = double_vote(sim.vote(2, F, view, b"b" * 32), vote)
        assert (check_evidence(pair, RULES).kind, check_evidence(pair, RULES).validator) == ("E2", 2)
    for other in (
        sim.vote(2, F, 17, b"b" * 32),
        sim.vote(3, F, 7, b"b" * 32),
        sim.vote(2, X, 7),
        sim.vote(2, N, 7, b"b" * 32),
        sim.vote(2, X, 16),
        span_vote(2, Span(16, 4)),
    ):
        with pytest.raises(RemoteProtocolError):
            check_evidence(double_vote(other, vote), RULES)
    with pytest.raises(RemoteProtocolError):
        check_evidence(double_vote(sim.vote(2, F, 1, b"b" * 32), sim.vote(2, S, 4, (8).to_bytes(32, "big"))), RULES)


# --- one validator --------------------------------------------------------------------------------------------------


def standing(views: int, *, promises: list[object] | None = None) -> Solo:
    """Validator 0 in view `views + 1`, with a nullification of each view before."""
    solo = Solo(promises=promises or [])  # type: ignore[arg-type]
    for view in range(1, views + 1):
        solo.certify(X, view)
    return solo


def own_spans(effects: list[fx.Effect]) -> list[Span]:
    return [Span(vote.number, int.from_bytes(vote.digest, "big")) for vote in sent_votes(effects) if vote.kind is S]


def test_spans_are_signed_sixteen_views_later_the_widest_first_and_on_disk_before() -> None:
    solo = standing(SPAN_DELAY_VIEWS + SPAN_BASE - 1)
    assert own_spans(solo.all) == []
    effects = solo.certify(X, SPAN_DELAY_VIEWS + SPAN_BASE)
    assert own_spans(effects) == [Span(4, 4)]
    (vote,) = [one for one in only(effects, fx.Broadcast) if sent_votes([one]) and sent_votes([one])[0].kind is S]
    persisted = {one.token: decode_promise(one.payload) for one in only(effects, fx.PersistPromise)}
    assert persisted[vote.after] == SpanPromise(1, 0, 4, 4)
    solo = Solo()
    assert own_spans(solo.certify(X, 16 + SPAN_DELAY_VIEWS)) == [Span(16, 16)], "whoever comes late signs the widest"


def test_a_certified_span_replaces_what_it_covers_and_stays_after_a_restart() -> None:
    solo = standing(60)
    span = Span(16, 16)
    assert span in solo.core._skips.own
    before = len(solo.core.prune(0))
    effects = [*solo.step(fx.VoteReceived(1, span_vote(1, span))), *solo.step(fx.VoteReceived(2, span_vote(2, span)))]
    (certificate,) = [held for one in only(effects, fx.Broadcast) for held in getattr(one.message, "certificates", ())]
    assert (certificate.kind, certificate.number) == (S, 16)
    assert not [view for view in solo.core._rounds if view <= 16]
    assert list(solo.core._skips.own) == [Span(32, 16), Span(36, 4), Span(40, 4), Span(44, 4)]
    kept = [decode_promise(payload) for payload in solo.core.prune(0)]
    assert len(kept) < before - 16
    assert [item.certificate for item in kept if isinstance(item, HeldCertificate)][-1:] == [certificate]
    assert not [item for item in kept if isinstance(item, SpanPromise) and item.view <= 16]
    back = Solo(promises=kept)  # type: ignore[arg-type]
    assert (back.core.view, back.core._skips.certificates) == (61, {span: certificate})
    assert not [view for view in back.core._rounds if view <= 16]
    (ask,) = only(standing_leader(back, 63), fx.AskBuild)
    assert (ask.view, ask.parent) == (64, sim.GENESIS)


def standing_leader(solo: Solo, views: int) -> list[fx.Effect]:
    """Bring a validator to the view after `views`, and give what it did last."""
    effects: list[fx.Effect] = []
    for view in range(solo.core.view, views + 1):
        effects = solo.certify(X, view)
    return effects


def test_nothing_is_signed_under_a_span_any_more() -> None:
    """R1 and R2: neither Finalize, though a notarization comes late, nor anything after a restart."""
    block = make_block(sim.GENESIS, 3)
    for certified in (False, True):
        solo = standing(SPAN_DELAY_VIEWS + 4)
        assert solo.core._skips.own
        if certified:
            solo.step(fx.CertificateReceived(1, span_certificate(Span(4, 4))))
            assert solo.core._skips.certificates
        for one in (solo, Solo(promises=[decode_promise(item) for item in solo.core.prune(0)])):
            late = one.certify(N, 3, block.hash)
            assert not [vote for vote in sent_votes(late) if vote.number == 3]
            assert not [
                item
                for item in map(decode_promise, one.core.prune(0))
                if isinstance(item, FinalizePromise) and item.view == 3
            ]


def test_who_has_finalized_a_view_signs_no_span_over_it() -> None:
    """The notarized view is where the next proposal may build, so what lies below needs no proof."""
    solo = standing(5)
    block = make_block(sim.GENESIS, 6)
    assert [vote.kind for vote in sent_votes(solo.certify(N, 6, block.hash))][:1] == [F]
    standing_leader(solo, 60)
    assert own_spans(solo.all)
    assert all(span.first > 6 for span in own_spans(solo.all))
    back = Solo(promises=[decode_promise(item) for item in solo.core.prune(0)])
    assert all(span.first > 6 for span in own_spans(standing_leader(back, 90)))
    evil = span_vote(2, Span(16, 16))
    standing_leader(back, 90)
    found = [*back.step(fx.VoteReceived(2, evil)), *back.votes(F, 2, digest=block.hash, view=6)]
    (evidence,) = only(found, fx.EvidenceFound)
    assert check_evidence(double_vote(evidence.first, evidence.second), RULES).validator == 2


def test_a_block_under_a_span_that_may_be_notarized_is_kept() -> None:
    solo = standing(2)
    block = make_block(sim.GENESIS, 3)
    solo.propose(block)
    solo.verified(block)
    assert N in solo.core._rounds[3].own
    lost = make_block(sim.GENESIS, 6)
    standing_leader(solo, 5)
    solo.propose(lost)  # seen, not voted for
    standing_leader(solo, 40)
    solo.step(fx.CertificateReceived(1, span_certificate(Span(16, 16))))
    assert [view for view in solo.core._rounds if view <= 16] == [3]
    assert (solo.core.block(block.hash), solo.core.block(lost.hash)) == (block, None)
    kept = [decode_promise(payload) for payload in solo.core.prune(0)]
    back = Solo(promises=kept)  # type: ignore[arg-type]
    assert back.core.block(block.hash) == block


def test_bad_votes_for_spans_are_blamed_and_what_is_kept_of_them_is_bounded() -> None:
    solo = standing(60)
    span = Span(16, 16)
    forged = Vote(1, S, 0, span.last, span.digest, 3, bytes(64))
    effects = [*solo.step(fx.VoteReceived(3, forged)), *solo.step(fx.VoteReceived(1, span_vote(1, span)))]
    blames = only(effects, fx.Blame)
    assert [one.index for one in blames] == [3]
    assert solo.step(fx.VoteReceived(2, span_vote(2, span)))
    assert span in solo.core._skips.certificates
    skips = Skips(RULES)
    for number in range(1, 1_000):
        one = Span(4 * number, 4)
        skips.count(one, span_vote(1, one), checked=False)
    assert len(skips.tallies) == SPANS_PER_SIGNER_MAX
    skips.forget(4 * 950)
    assert len(skips.tallies) == 49
    assert not only(solo.step(fx.VoteReceived(1, span_vote(1, Span(256, 256)))), fx.PersistPromise), "far ahead"
    assert Span(256, 256) not in solo.core._skips.tallies


def test_all_that_is_held_is_repeated_in_turns() -> None:
    """A leader that lacks an old certificate must get it some day, whatever the budget of one repeat."""
    rules = sim.make_rules(64)
    signers = range(43)
    spans = [span_certificate(span, signers) for span in spans_within(2, 10**6)]
    solo = Solo(rules=rules)
    for view in range(10**6 + 1, 10**6 + 120):
        solo.core._round(view).certificates[X] = sim.certificate(X, view, ZERO_HASH, signers)
    heard = set()
    for turn in range(20):
        repeated = certificates_to_repeat(None, solo.core._rounds, spans, turn)
        assert sum(len(item.signatures) for item in repeated) <= SIGNATURES_MAX
        assert repeated[-1].number == 10**6 + 119, "the newest is always there"
        assert [item.number for item in repeated] == sorted(item.number for item in repeated)
        heard.update((item.kind, item.number) for item in repeated)
    assert len(heard) == len(spans) + 119


# --- the whole ------------------------------------------------------------------------------------------------------


def never_leads(cluster: sim.Cluster, silent: bool) -> None:
    for node in cluster.nodes:
        node.silent_leader = silent


@pytest.mark.parametrize("crashes", [False, True])
def test_a_chain_that_stood_for_hundreds_of_views_goes_on(crashes: bool) -> None:
    """No leader proposes for long; then all do. What each holds meanwhile stays small, also over restarts."""
    cluster = sim.Cluster(
        4, seed=3, times=sim.Parameters(2, view_timeout_ms=20, view_timeout_ms_max=20, block_interval_ms=10)
    )
    cluster.run(300_000)
    before = max(len(node.chain) for node in cluster.nodes)
    assert before
    never_leads(cluster, True)
    held = []
    while min(node.simplex.view for node in cluster.nodes) < 400:
        cluster.run(2_000_000)
        for node in cluster.nodes:
            core = node.simplex
            held.append((len(core._rounds), len(core._records), len(node.disk), len(core._skips.tallies)))
        if crashes and len(held) % 5 == 0:
            for node in cluster.nodes:
                node.crash()
                node.start()
                node.silent_leader = True
    assert max(rounds for rounds, _, _, _ in held) < 60
    assert max(records for _, records, _, _ in held) < 120
    assert max(disk for _, _, disk, _ in held) < 120 + 2 * 256
    never_leads(cluster, False)
    cluster.run(3_000_000)
    assert min(len(node.chain) for node in cluster.nodes) > before + 10
    widest = max(len(block.just.nullifications) for node in cluster.nodes for block in node.chain)
    assert SPAN_DELAY_VIEWS < widest < 50
    assert cluster.monitor.certified_spans
    assert not cluster.monitor.evidence
    assert not cluster.monitor.blames


@pytest.mark.parametrize("seed", [1, 2])
def test_random_schedules_with_spans_after_every_view_are_safe_and_live_again(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loss, crashes and cuts where spans come at once: notarizations, finalizations and spans race."""
    monkeypatch.setattr("supervm.tier_l1_super.consensus.simplex.voting.SPAN_DELAY_VIEWS", 0)
    cluster = sim.Cluster(4, seed=seed)
    random = cluster.rng
    cluster.drop = lambda *_: random.random() < 0.25
    for _ in range(20):
        cluster.run(300_000)
        node = cluster.nodes[random.randrange(4)]
        if random.random() < 0.4:
            node.crash()
            node.start()
        never_leads(cluster, random.random() < 0.7)
    assert cluster.monitor.spans
    never_leads(cluster, False)
    cluster.drop = lambda *_: False
    before = max(len(node.chain) for node in cluster.nodes)
    cluster.run(3_000_000)
    assert min(len(node.chain) for node in cluster.nodes) > before + 5
    assert not cluster.monitor.evidence


def test_the_monitor_notices_a_finalize_under_a_span(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Skips.binds` is what keeps R2: without it a late notarization makes an honest validator sign both."""
    monkeypatch.setattr(skips_module.Skips, "binds", lambda self, view: False)
    solo = Solo()
    solo.certify(X, SPAN_DELAY_VIEWS + 4)  # it never voted in view 3 itself
    assert own_spans(solo.all) == [Span(4, 4)]
    late = solo.certify(N, 3, make_block(sim.GENESIS, 3).hash)
    pair = [vote for vote in sent_votes(late) if vote.kind is F]
    monitor = sim.Monitor(range(4))
    monitor.signature(0, S, 4, Span(4, 4).digest)
    with pytest.raises(sim.Violation, match="S5"):
        monitor.signature(0, F, pair[0].number, pair[0].digest)
