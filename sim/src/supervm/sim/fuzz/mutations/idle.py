"""An idle chain: when a block is wanted, and who is told although nothing new would tell it (consensus.md 2.5, 2.6)."""

from __future__ import annotations

from typing import Any

from supervm.tier_l1_super.batches import intake
from supervm.tier_l1_super.consensus import building, work
from supervm.tier_l1_super.consensus.simplex import core as simplex_core
from supervm.tier_l1_super.consensus.simplex import pacing

from .switch import Patcher, mutation, nothing

_IDLE = "tests/sim/test_idle.py::"
_SIMPLEX = "tests/tier_l1_super/test_simplex_idle.py::"


@mutation(
    "idle-beat",
    "a chain with nothing to do makes a block each idle interval, not each block interval (2.6)",
    test=_IDLE + "test_an_idle_chain_makes_a_block_each_idle_interval",
)
def _beat(patcher: Patcher) -> None:
    patcher.set(work.Work, "is_busy", lambda self, now_us, final_view, committed: True)
    patcher.set(building.Building, "is_busy", lambda self, now_us: True)


@mutation(
    "idle-wanted",
    "a leader that has crashed on an idle chain costs new work a time-out, not the beat (2.6)",
    test=_IDLE + "test_a_crashed_leader_costs_new_work_a_time_out_and_not_the_beat",
)
def _wanted(patcher: Patcher) -> None:
    patcher.set(simplex_core.Simplex, "_on_wanted", nothing)


@mutation(
    "idle-passed-on",
    "a certificate that one validator alone holds is passed on (2.6)",
    test=_IDLE + "test_a_certificate_that_reached_one_validator_is_passed_on",
)
def _passed_on(patcher: Patcher) -> None:
    patcher.set(intake.BatchIntake, "tick", nothing)
    patcher.set(intake.BatchIntake, "deadline_us", None)


@mutation(
    "idle-told",
    "a vote for what was final half a second ago is answered (2.6)",
    test=_SIMPLEX + "test_a_vote_for_what_was_final_long_ago_is_answered",
)
def _told(patcher: Patcher) -> None:
    def late(original: Any, self: Any, sender: int, vote: Any) -> None:
        self._final_at_us = self._now_us
        original(self, sender, vote)

    patcher.wrap(simplex_core.Simplex, "_on_late_vote", late)


@mutation(
    "idle-proposed",
    "a proposal that nobody can vote for buys its leader no time (2.6)",
    test=_SIMPLEX + "test_a_proposal_that_nobody_can_vote_for_buys_its_leader_no_time",
)
def _proposed(patcher: Patcher) -> None:
    patcher.set(pacing.Timers, "proposed", nothing)


@mutation(
    "idle-restart",
    "whoever starts makes a block at once: it knows of no younger one (2.6)",
    test=_IDLE + "test_a_restarted_network_makes_a_block_at_once",
)
def _restart(patcher: Patcher) -> None:
    def start(original: Any, self: Any) -> None:
        original(self)
        self._beat_us = self._now_us + self._idle_interval_us

    patcher.wrap(simplex_core.Simplex, "_start", start)


@mutation(
    "idle-spacing",
    "between small blocks with batches there is a pause (2.6)",
    test="tests/tier_l1_super/test_building.py::test_a_small_block_with_batches_waits_behind_another_one",
)
def _spacing(patcher: Patcher) -> None:
    patcher.set(building, "SPACING_PERCENT", 0)
