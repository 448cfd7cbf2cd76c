"""The fuzzer itself: short lanes of what `supervm sim fuzz` does for longer (simulation.md 3)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import pytest

from supervm.common.errors import InputError
from supervm.sim.exact import ACTORS
from supervm.sim.fuzz import gate
from supervm.sim.fuzz.campaign import Campaign
from supervm.sim.fuzz.case import case_of, read_case, write_case
from supervm.sim.fuzz.cast import cast, faulty_weight_max
from supervm.sim.fuzz.classes import CLASSES, DRAWN
from supervm.sim.fuzz.config import Config, draw_config
from supervm.sim.fuzz.minimise import Minimiser
from supervm.sim.fuzz.mutations import MUTATIONS, Mutation, mutated, table
from supervm.sim.fuzz.reached import STATES
from supervm.sim.fuzz.replay import replay, same
from supervm.sim.fuzz.run import run_seed
from supervm.sim.invariants import RULES

OFTEN = (
    "view-nullified",
    "gap-proposed",
    "payment-executed",
    "payment-expired",
    "restart-with-own-votes",
    "l2-failover",
    "crash-at-every-boundary",
    "all-validators-down",
    "caught-up-by-chain",
    "noise-heard",
    "torn-write",
)
"""States that fifty seeds reach."""


def program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "supervm.common.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        timeout=120,
    )


def test_fifty_seeds_break_nothing() -> None:
    """Fifty seeds, a process each; some are played twice; nothing is broken and the usual states are reached."""
    report = Campaign(seeds=50, first=0).run()
    assert [(item["seed"], item["rule"], item["detail"]) for item in report.failures] == []
    assert report.runs == 50
    assert report.repeated == 3
    assert [name for name in OFTEN if not report.reached[name]] == []
    assert report.reached.keys() <= STATES.keys()


@pytest.mark.timeout(1200)  # all planted faults in one; a busy machine takes its time
def test_every_broken_rule_is_noticed() -> None:
    """The mutation gate: each planted fault is noticed within 200 seeds, wherever the search begins."""
    results = gate.play()
    assert [item.name for item in results if item.seed is None] == []
    assert [item.rule for item in results if item.rule not in RULES] == []


BROKEN = """
import contextlib, io, sys
import pytest
from supervm.sim.fuzz.mutations import MUTATIONS, mutated
for name in sys.argv[1:]:
    with mutated(name), contextlib.redirect_stdout(io.StringIO()):
        status = pytest.main(["-q", "-x", "-p", "no:cacheprovider", MUTATIONS[name].test_id])
    print(name, int(status))
"""
"""Plays tests with rules broken, and says how each ended: 0 passed, 1 failed, anything else not played."""


def test_every_broken_rule_that_no_run_can_show_fails_its_test() -> None:
    """The switches that the table gives to a test make it fail: a fork needs more faulty weight than a run may have."""
    names = [item.name for item in MUTATIONS.values() if item.test]
    answer = subprocess.run(
        [sys.executable, "-c", BROKEN, *names],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )
    assert answer.stdout.splitlines() == [f"{name} 1" for name in names], answer.stderr


def test_the_gate_says_what_it_did_not_notice() -> None:
    """A fault that its seeds do not show is reported with the runs that it took."""
    noticed = gate.notice("double-run", 1, hint=None)
    assert (noticed.seed, noticed.rule, noticed.runs) == (0, "2.2", 1)
    with patch.dict(MUTATIONS, {"none": Mutation("none", "nothing", lambda patcher: None, {"chaos_ms": 600})}):
        assert (gate.notice("none", 1).seed, gate.notice("none", 1).rule) == (None, "")


def test_the_table_of_planted_faults_is_that_of_the_code() -> None:
    """No row is empty; docs/simulator.md has every switch and every fault of the models, and none beside them."""
    text = (Path(__file__).parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8").splitlines()
    first = text.index(table.HEAD[0])
    last = next(place for place in range(first, len(text)) if not text[place].startswith("|"))
    assert table.check() == []
    assert text[first:last] == table.lines()
    assert table.open_line() in text


@pytest.mark.parametrize(
    "number",
    [
        "2.1",
        "2.2",
        "2.3",
        "2.4",
        "2.5",
        "2.6",
        "2.7",
        "2.8",
        "2.9",
        "2.10",
        "2.11.1",
        "2.11.2",
        "2.11.4",
        "2.11.5",
        "3.1",
        "3.2",
        "3.3",
        "3.5",
        "3.6",
        "3.7",
        "3.9.1",
        "3.9.2",
        "3.9.3",
        "3.9.4",
        "3.9.5",
        "3.9.6",
        "4",
        "5",
        "T3",
        "T16",
        "T19",
        "P1",
        "P2",
        "P6",
        "P10",
        "P11",
        "N1",
        "N3",
        "C3",
        "economics.md 1",
        "decisions.md",
        "2.11.3",
        "3.8",
        "T13",
        "P4",
        "P12",
        "N2",
        "N5",
        "K",
    ],
)
def test_every_numbered_rule_has_a_planted_fault(number: str) -> None:
    """Each rule of the design that this release has: something in the table says in its place that it breaks it."""
    places = [rule[rule.rindex("(") + 1 : -1] for rule, *_ in table.rows() if rule.endswith(")")]
    assert any(re.search(rf"(?<![\w.]){re.escape(number)}(?![\w]|\.\d)", place) for place in places)


def test_there_are_enough_mutations_and_they_leave_no_trace() -> None:
    """At least sixty switches, and after each one the shipped code is what it was."""
    assert len(MUTATIONS) >= 60
    before = run_seed(1).digest
    for name in MUTATIONS:
        with mutated(name) as knobs:
            assert knobs is not None
    assert run_seed(1).digest == before


def planted() -> Any:
    """A failure that was planted: the first seed that notices R2."""
    with mutated("R2") as knobs:
        for seed in range(40):
            outcome = run_seed(seed, knobs=knobs)
            if outcome.violations:
                return case_of(outcome, "R2")
    raise AssertionError("R2 was not noticed")


def test_a_failure_is_minimised_and_replays(tmp_path: Path) -> None:
    """The minimiser leaves a small part of the choices, of the same rule; the file replays to the same digest."""
    case = planted()
    small = Minimiser(case, seconds=20, runs_max=20).shrink()
    assert small.violation is not None
    assert small.violation.name == case.violation.name
    assert len(small.choices) <= max(4, len(case.choices) // 2)
    path = tmp_path / "case.json"
    write_case(path, small)
    assert read_case(path) == small
    assert same(small, replay(small))
    answer = program("sim", "replay", str(path), "--json")
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["digest"] == small.digest


def test_a_case_that_is_no_longer_true_is_told_apart(tmp_path: Path) -> None:
    """Exit status 1 if the replay is another one than the file says, 2 if the file is none."""
    outcome = run_seed(3)
    path = tmp_path / "case.json"
    write_case(path, msgspec.structs.replace(case_of(outcome, None), digest="00" * 32))
    assert program("sim", "replay", str(path)).returncode == 1
    path.write_text("{}", encoding="utf-8")
    assert program("sim", "replay", str(path)).returncode == 2
    with pytest.raises(InputError, match="not a case"):
        read_case(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_case(tmp_path / "nothing.json")


def test_a_replay_without_choices_is_free_of_faults() -> None:
    """Deleting every choice leaves a run in which nothing happens: the harmless default of every decision."""
    outcome = run_seed(6, config=draw_config(6), replay=())
    assert outcome.ok
    assert outcome.choices == ()


def test_deleting_one_choice_moves_no_other() -> None:
    """What is left of a record keeps its names, values and places."""
    full = run_seed(2)
    kept = [choice for choice in full.choices if choice.kind != full.choices[0].kind]
    again = run_seed(2, config=full.config, replay=kept)
    names = {(choice.kind, choice.subject, choice.ordinal): choice.value for choice in kept}
    assert all(names[choice.kind, choice.subject, choice.ordinal] == choice.value for choice in again.choices)


def test_the_digest_does_not_depend_on_the_hash_seed() -> None:
    """D1: two processes with different PYTHONHASHSEED play the same runs."""
    text = "from supervm.sim.fuzz.run import run_seed\nprint([run_seed(seed).digest for seed in (11, 12, 13)])"
    answers = [
        subprocess.run(
            [sys.executable, "-c", text],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
            env={**os.environ, "PYTHONHASHSEED": value},
        ).stdout
        for value in ("1", "4711")
    ]
    assert answers[0] == answers[1]
    assert answers[0] == f"{[run_seed(seed).digest for seed in (11, 12, 13)]}\n"


def test_configurations_differ_and_respect_the_fault_bound() -> None:
    """The swarm turns classes on and off, and never has more faulty weight than the protocol bears."""
    from supervm.sim.exact import Choices

    configs = [draw_config(seed) for seed in range(200)]
    assert not any("rot" in config.classes for config in configs), "only where it is asked for: it stops a good node"
    assert [*CLASSES] == [*DRAWN, "rot"]
    for name in DRAWN:
        on = sum(name in config.classes for config in configs)
        assert 40 < on < 140, name
    for seed, config in enumerate(configs):
        chosen = cast(config, Choices(seed))
        lost = sum(
            config.weights[int(name[3:])] if config.weights else 1
            for name in (*chosen.actors, *chosen.twins, *chosen.late_twins)
            if name.startswith("l1-")
        )
        assert lost <= faulty_weight_max(config)
        assert 3 * faulty_weight_max(config) < (sum(config.weights) or config.l1)
        assert all(name in ACTORS for name in config.actors)
    assert draw_config(5, {"on": ("loss",), "l1": 7}).l1 == 7
    assert "loss" in draw_config(5, {"on": ("loss",)}).classes


def test_every_adversary_can_appear() -> None:
    """Each named actor is drawn for some seed."""
    seen = {name for seed in range(300) for name in draw_config(seed).actors}
    assert seen == ACTORS.keys()


def test_a_run_without_faults_meets_the_latency_bound() -> None:
    """L8: no class of faults on: nothing is nullified, and R3 comes in time."""
    outcome = run_seed(4, config=Config(pay_ppm=400_000))
    assert outcome.violations == ()
    assert outcome.reached["payment-executed"] > 5


@pytest.mark.parametrize(("kind", "seed"), [("noise", 0), ("noise", 1), ("twins", 0), ("reckless-validator", 10)])
def test_hostile_words_harm_nobody(kind: str, seed: int) -> None:
    """Nonsense, replays and odd questions in everybody's name, or every lie of one validator, while logs compact.

    With twins the noise once ended the run: what keeps the two apart could not read a proposal that is none.
    """
    classes = {"noise": ("noise",), "twins": ("noise", "twins")}.get(kind, ("byzantine",))
    outcome = run_seed(
        seed,
        config=Config(
            classes=classes, actors=("reckless-validator",), rate_ppm=150_000, pay_ppm=300_000, compact_every=8
        ),
    )
    assert outcome.violations == ()
    # one reckless validator is banned for longer each time; those in whose name noise speaks are many
    assert outcome.reached["liar-hung-up"] > (2 if "byzantine" in classes else 5)
    assert outcome.reached["payment-executed"] > 5
    assert ("noise-heard" in outcome.reached) == ("noise" in classes)
    assert ("contradiction-seen" in outcome.reached) == ("byzantine" in classes)


def test_noise_alone_notices_a_missing_check() -> None:
    """Where a check is left out, noise by itself gets through within a few seeds."""
    config = Config(classes=("noise",), rate_ppm=150_000, pay_ppm=300_000)
    with mutated("gap-check"):
        assert any(run_seed(seed, config=config).violations for seed in range(12))


def test_a_leader_far_away_is_not_taken_for_silent() -> None:
    """L8, found by fuzzing: over eight regions the farthest validator's votes come after every finalization.

    They were dropped before anybody noted that it is alive, so that its views were skipped as those of a dead leader.
    """
    outcome = run_seed(
        24,
        config=Config(
            l3=1, spread=True, view_timeout_ms=400, chaos_ms=5_000, write_us=3_000, pay_ppm=100_000, accounts=1
        ),
    )
    assert outcome.violations == ()


def test_a_failing_core_is_a_finding() -> None:
    """CRASH: an exception out of a core ends the run, not the campaign, and its text is kept."""
    from supervm.tier_l2_miner.node import MinerNode

    with patch.object(MinerNode, "step", lambda self, now_us, event: 1 // 0):
        outcome = run_seed(1)
    assert [violation.name for violation in outcome.violations] == ["CRASH"]
    assert "ZeroDivisionError" in outcome.trace


def test_the_commands_keep_to_their_surface(tmp_path: Path) -> None:
    """`supervm sim fuzz`: JSON on standard output, exit statuses, failures in files."""
    good = program("sim", "fuzz", "--seeds", "4", "--json", "--out", str(tmp_path / "none"))
    assert good.returncode == 0, good.stderr
    document = json.loads(good.stdout)
    assert (document["runs"], document["failures"]) == (4, [])
    assert document["reached"].keys() >= STATES.keys()
    assert not (tmp_path / "none").exists()
    found = program("sim", "fuzz", "--seeds", "60", "--mutate", "P0", "--out", str(tmp_path / "some"), "--json")
    assert found.returncode == 0, found.stderr
    failure = json.loads(found.stdout)["failures"][0]
    assert Path(failure["file"]).exists()
    assert failure["choices"] <= failure["choices_before"]
    assert f"seed {failure['seed']}: {failure['rule']}" in found.stderr
    wrong = program("sim", "fuzz", "--mutate", "nonsense")
    assert wrong.returncode == 2
    assert "allowed are" in wrong.stderr
    assert "Traceback" not in wrong.stderr
