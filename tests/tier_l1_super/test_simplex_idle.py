"""When patience with a leader begins on a chain that has nothing to do (consensus.md 2.5)."""

from __future__ import annotations

import pytest
import simplex_cluster as sim
from simplex_solo import ADVANCE_US, LEAD_US, F, N, Solo, X, make_block, only, sent_votes

from supervm.protocol.wire.consensus import CertificateMessage, VoteMessage
from supervm.tier_l1_super.consensus.simplex import effects as fx

IDLE_US = sim.TIMES.idle_interval_ms * 1_000


def idle_solo(work: list[str] | None = None) -> Solo:
    """Validator 0, which has seen view 1 become final and has nothing to do in view 2 while `work` is empty."""
    solo = Solo(is_busy=lambda: bool(work))
    block = make_block(sim.GENESIS, 1)
    solo.propose(block)
    solo.verified(block)
    solo.certify(N, 1, block.hash)
    solo.certify(F, 1, block.hash)
    assert solo.core.view == 2
    return solo


def nullified(effects: list[fx.Effect]) -> list[int]:
    return [vote.number for vote in sent_votes(effects) if vote.kind is X]


def test_a_block_is_due_at_once_after_a_start_and_then_at_each_beat() -> None:
    solo = Solo(is_busy=lambda: False)
    assert solo.core.beat_us == solo.now_us
    solo = idle_solo()
    assert solo.core.beat_us == solo.now_us + IDLE_US


def test_nobody_gives_an_idle_view_up_before_the_beat() -> None:
    solo = idle_solo()
    assert nullified(solo.wait(IDLE_US + LEAD_US - 1)) == []
    assert nullified(solo.wait(1)) == [2]


def test_work_that_turns_up_counts_from_then_on() -> None:
    work: list[str] = []
    solo = idle_solo(work)
    solo.wait(4_000_000)
    assert solo.core.is_waiting(solo.now_us)
    work.append("a batch")
    assert solo.step(fx.BlockWanted()) == []
    assert not solo.core.is_waiting(solo.now_us)
    assert nullified(solo.wait(LEAD_US - 1)) == []
    assert nullified(solo.wait(1)) == [2]


def test_it_counts_once() -> None:
    work: list[str] = []
    solo = idle_solo(work)
    work.append("a batch")
    solo.step(fx.BlockWanted())
    solo.wait(LEAD_US - 1)
    solo.step(fx.BlockWanted())
    assert nullified(solo.wait(1)) == [2]


def test_work_that_is_done_otherwise_gives_the_leader_its_time_back() -> None:
    solo = idle_solo()
    solo.step(fx.BlockWanted())
    assert nullified(solo.wait(IDLE_US + LEAD_US - 1)) == []
    assert nullified(solo.wait(1)) == [2]


def test_a_view_that_began_in_the_middle_of_work_waits_for_the_beat_if_that_is_done() -> None:
    busy = True
    solo = Solo(is_busy=lambda: busy)
    block = make_block(sim.GENESIS, 1)
    solo.propose(block)
    solo.verified(block)
    solo.certify(N, 1, block.hash)
    busy = False
    assert nullified(solo.wait(IDLE_US + LEAD_US - 1)) == []
    assert nullified(solo.wait(1)) == [2]


def test_while_there_is_work_a_view_is_given_up_as_ever() -> None:
    solo = Solo(is_busy=lambda: True)
    block = make_block(sim.GENESIS, 1)
    solo.propose(block)
    solo.verified(block)
    solo.certify(N, 1, block.hash)
    assert nullified(solo.wait(LEAD_US)) == [2]


def test_a_proposal_before_the_beat_ends_the_view_as_soon_as_ever() -> None:
    solo = idle_solo()
    solo.wait(1_000_000)
    block = make_block(make_block(sim.GENESIS, 1).header, 2)
    solo.propose(block)
    solo.verified(block, ok=True)
    assert nullified(solo.wait(ADVANCE_US - 1)) == []
    assert nullified(solo.wait(1)) == [2]


@pytest.mark.parametrize("ahead", [False, True], ids=["in its view", "before it"])
def test_a_proposal_that_nobody_can_vote_for_buys_its_leader_no_time(ahead: bool) -> None:
    """Its block extends nothing that is certified here: without it the view would have lasted until the beat."""
    solo = idle_solo() if not ahead else Solo(is_busy=lambda: False)
    parent = make_block(sim.GENESIS, 1)
    foreign = make_block(make_block(sim.GENESIS, 1, salt=1).header, 2)
    if ahead:
        solo.propose(parent)
        solo.verified(parent)
    solo.propose(foreign)
    if ahead:
        solo.certify(N, 1, parent.hash)
        solo.certify(F, 1, parent.hash)
    assert solo.core.view == 2
    assert nullified(solo.wait(ADVANCE_US - 1)) == []
    assert nullified(solo.wait(1)) == [2]


def test_the_view_after_a_leader_that_missed_the_beat_is_wanted_at_once() -> None:
    solo = idle_solo()
    solo.wait(IDLE_US + LEAD_US)
    solo.certify(X, 2)
    assert nullified(solo.wait(LEAD_US)) == [3]


def test_the_last_finalization_is_repeated_ever_more_rarely_until_there_is_news() -> None:
    solo = idle_solo()
    began_us, sent = solo.now_us, []
    while solo.now_us < began_us + IDLE_US - 1_000_000:
        effects = solo.wait(250_000)
        sent += [
            solo.now_us - began_us for one in only(effects, fx.Broadcast) if type(one.message) is CertificateMessage
        ]
    assert sent == [1_000_000, 3_000_000, 7_000_000]
    solo.wait(2_000_000)
    solo.certify(X, 2)  # it voted in this view: that is repeated soon
    effects = solo.wait(1_500_000)
    assert [one for one in only(effects, fx.Broadcast) if type(one.message) is CertificateMessage]


def test_a_vote_for_what_was_final_long_ago_is_answered() -> None:
    """On a busy chain the next finalization would tell its sender; on an idle one nothing would."""
    solo = idle_solo()
    late = fx.VoteReceived(3, sim.vote(3, F, 1, make_block(sim.GENESIS, 1).hash))
    assert only(solo.step(late), fx.SendTo) == []  # it comes a moment after the quorum
    solo.wait(500_000)
    (told,) = only(solo.step(late), fx.SendTo)
    assert (told.index, type(told.message)) == (3, CertificateMessage)
    assert only(solo.step(late), fx.SendTo) == []
    assert VoteMessage not in {type(one.message) for one in only(solo.all, fx.SendTo)}
