"""Scenarios at reduced size hold what they expect; results, digests, reports and exit statuses are as promised."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from supervm.common.cli.program import main
from supervm.sim.draws import exponential
from supervm.sim.exact import Choices, LateTwins
from supervm.sim.invariants import Monitor
from supervm.sim.report.page import render
from supervm.sim.report.statistics import over_seeds, quantile
from supervm.sim.run import merge, run_scenario, set_up
from supervm.sim.scenario import load_named, read_scenario

TINY = """\
[scenario]
name = "tiny"
question = "Does it run?"
duration_s = 8
[tiers.l4]
count = 2
[workload]
payments_per_s = 3
balances_per_s = 1
[[fault]]
kind = "crash"
at_s = 2
for_s = 1
who = ["l1-3"]
[expect]
payments_r4_percent_min = 100
forks_max = 0
"""

SMALLER = {
    "global-baseline": [
        "tiers.l1.count=7",
        "tiers.l2.count=3",
        "tiers.l3.count=4",
        "tiers.l4.count=8",
        "workload.payments_per_s=4",
        "workload.stop_s=8",
        "scenario.duration_s=16",
        "expect.height_min_min=5",
    ],
    "partition-heal": [
        "tiers.l1.count=7",
        "tiers.l3.count=3",
        "tiers.l4.count=3",
        "scenario.duration_s=75",
        "workload.payments_per_s=1",
    ],
    "churn-diurnal": [
        "tiers.l3.count=3",
        "tiers.l2.count=2",
        "tiers.l4.count=6",
        "scenario.duration_s=60",
        "workload.payments_per_s=1",
        "workload.stop_s=30",
        "fault.1.for_s=35",
        "fault.2.for_s=30",
        "expect.starts_min=20",
    ],
    "validator-change": [
        "tiers.l2.count=2",
        "tiers.l3.count=2",
        "tiers.l4.count=4",
        "scenario.duration_s=36",
        "scenario.epoch_s=8",
        "workload.stop_s=30",
        "workload.payments_per_s=2",
        "change.1.at_s=8",
        "change.2.at_s=16",
    ],
    "many-assets": [
        "tiers.l2.count=2",
        "tiers.l3.count=3",
        "tiers.l4.count=4",
        "scenario.duration_s=30",
        "workload.stop_s=18",
        "workload.assets=3",
        "expect.payments_min=60",
    ],
    "addressing": [
        "tiers.l2.count=3",
        "tiers.l3.count=10",
        "tiers.l4.count=24",
        "scenario.duration_s=60",
        "workload.stop_s=55",
        "workload.lookups_per_s=8",
        "expect.lookups_min=150",
        "expect.lookup_ms_p99_max=1000",
    ],
    "wal-crash": ["workload.payments_per_s=1", "tiers.l3.count=1", "tiers.l4.count=2", "expect.crashes_min=25"],
}


@pytest.mark.parametrize("name", SMALLER)
def test_reduced_scenario_holds(name: str) -> None:
    result = run_scenario(load_named(name, SMALLER[name]), 1)
    assert result["ok"], [row for row in result["expect"] if not row["ok"]]


@pytest.mark.parametrize("kind", ["equivocator", "batch-withholder", "forging-edge", "double-spender", "twins"])
def test_reduced_byzantine_holds(kind: str) -> None:
    """One adversary of each tier, and twins; the whole list is the scenario's own sweep."""
    changes = [
        f"adversary.1.kind={kind}",
        "scenario.duration_s=14",
        "workload.stop_s=4",
        "tiers.l1.count=4",
        "tiers.l2.count=2",
        "tiers.l3.count=3",
        "tiers.l4.count=3",
        "workload.payments_per_s=4",
        "expect.epochs_min=1",
    ]
    result = run_scenario(load_named("byzantine", changes), 1)
    assert result["ok"], [row for row in result["expect"] if not row["ok"]]


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    return run_scenario(read_scenario(TINY, "tiny.toml"), 5)


def test_same_seed_same_digest_and_metrics_another_seed_another(result: dict[str, Any]) -> None:
    scenario = read_scenario(TINY, "tiny.toml")
    again = run_scenario(scenario, 5, real_crypto=True)
    assert (again["digest"], again["events"]) == (result["digest"], result["events"])
    assert again["metrics"] == result["metrics"]
    assert run_scenario(scenario, 6)["digest"] != result["digest"]


def test_result_has_the_promised_shape(result: dict[str, Any]) -> None:
    assert list(result) == [
        "scenario",
        "engine",
        "seed",
        "digest",
        "ok",
        "expect",
        "metrics",
        "wall_s",
        "simulated_s",
        "events",
    ]
    assert result["expect"] == [
        {"name": "payments_r4_percent_min", "target": 100, "value": 100, "ok": True},
        {"name": "forks_max", "target": 0, "value": 0, "ok": True},
    ]
    assert json.loads(json.dumps(result)) == result
    summary = result["metrics"]["summary"]
    assert (summary["crashes"], summary["supply_errors"], summary["fee_errors"]) == (1, 0, 0)
    fees = result["metrics"]["fees"]
    assert fees["l1"] + fees["l2"] + fees["l3"] + fees["l4"] == fees["total"] > 0
    assert summary["r3_units_p50"] <= summary["r4_units_p50"]
    assert sum(result["metrics"]["statuses"].values()) == result["metrics"]["workload"]["asked"]


class _Page(HTMLParser):
    """Checks that tags close and collects what a browser would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_report_is_one_well_formed_file_that_loads_nothing(result: dict[str, Any]) -> None:
    scenario = read_scenario(TINY.replace("Does it run?", "<script>alert(1)</script>?"), "tiny.toml")
    text = render(scenario, result)
    page = _Page()
    page.feed(text)
    page.close()
    assert page.open == []
    assert page.loads == []
    assert "<script" not in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    drawings = [part.split("</svg>")[0] + "</svg>" for part in text.split("<svg")[1:]]
    assert len(drawings) >= 5
    for drawing in drawings:
        ElementTree.fromstring("<svg" + drawing)


def test_merged_runs_show_the_worst_value_and_the_spread(result: dict[str, Any]) -> None:
    bad = json.loads(json.dumps({**result, "variant": "", "ok": False, "seed": 6}))
    bad["expect"][0] |= {"value": 90.0, "ok": False}
    bad["metrics"]["summary"]["payments_r4_percent"] = 90.0
    merged = merge([{**result, "variant": ""}, bad])
    assert not merged["ok"]
    assert merged["expect"][0]["value"] == 90.0
    assert merged["metrics"]["spread"]["payments_r4_percent"]["min"] == 90.0
    assert [run["seed"] for run in merged["runs"]] == [5, 6]
    page = _Page()
    page.feed(render(read_scenario(TINY, "tiny.toml"), merged))
    assert page.open == []


# --- the command ------------------------------------------------------------------------------------------------------


def test_command_writes_result_and_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "tiny.toml"
    file.write_text(TINY)
    assert main(["sim", "run", str(file), "--seed", "5", "--json", "--out", str(tmp_path / "out")]) == 0
    printed = json.loads(capsys.readouterr().out)
    stored = json.loads((tmp_path / "out" / "result.json").read_text())
    assert printed == stored
    assert (tmp_path / "out" / "report.html").read_text().startswith("<!doctype html>")


def test_failed_expectation_exits_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "tiny.toml"
    file.write_text(TINY)
    assert main(["sim", "run", str(file), "--set", "expect.height_min_min=1000000"]) == 1
    assert "NO  height_min_min" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "no-such"], "there is no scenario 'no-such'"),
        (["run", "wal-crash", "--engine", "scale"], "the scale engine is not part of this release"),
        (["run", "wal-crash", "--set", "tiers.l1.cuont=1"], "no such key"),
        (["run", "wal-crash", "--seeds", "0"], "--seeds"),
        (["show", "no-such"], "there is no scenario"),
    ],
)
def test_wrong_input_exits_with_2_and_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sim", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_list_and_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "list", "--json"]) == 0
    names = [row["name"] for row in json.loads(capsys.readouterr().out)]
    assert names == sorted(names)
    assert main(["sim", "show", "wal-crash"]) == 0
    assert read_scenario(capsys.readouterr().out, "shown").name == "wal-crash"


# --- parts ------------------------------------------------------------------------------------------------------------


def test_quantiles_are_nearest_rank() -> None:
    assert [quantile(list(range(1, 101)), percent) for percent in (50, 90, 99)] == [50, 90, 99]
    assert [quantile([7], 50), quantile([], 50)] == [7, None]


def test_interval_over_seeds() -> None:
    row = over_seeds([1.0, 2.0, 3.0, None])
    assert row is not None
    assert (row["mean"], row["min"], row["max"], row["n"]) == (2.0, 1.0, 3.0, 3)
    assert row["ci95"] == pytest.approx(4.303 / 3**0.5, rel=1e-3)
    assert over_seeds([None]) is None


def test_exponential_times_have_the_mean_and_the_tail() -> None:
    stream = Choices(3).stream("test")
    drawn = sorted(exponential(stream, 1_000_000) for _ in range(20_000))
    assert sum(drawn) / len(drawn) == pytest.approx(1_000_000, rel=0.03)
    assert drawn[len(drawn) // 2] == pytest.approx(693_147, rel=0.04)
    assert drawn[0] >= 1


@pytest.mark.parametrize(("options", "votes"), [("", False), ("late_s = 7\nlisten_s = 0", True)])
def test_a_late_twin_finds_its_key_in_use_or_votes_beside_it(options: str, votes: bool) -> None:
    """A copy that listens stops itself before it votes; one that does not is one faulty validator: no fork."""
    text = (
        TINY.split("[[fault]]")[0].replace("duration_s = 8", "duration_s = 16")
        + f"""
[[adversary]]
kind = "late-twin"
who = ["l1-2"]
{options}
"""
    )
    stage = set_up(read_scenario(text, "a test"), 1)
    assert "l1-2" not in stage.honest
    monitor = Monitor(stage.deployment)
    stage.begin()
    core = stage.deployment.host("l1-2").core
    assert isinstance(core, LateTwins)
    assert not core.alive[1]
    stage.deployment.world.run(16_000_000)
    assert core.starts == 1
    assert bool(core.late_votes) == votes
    assert core.alive[1] == votes
    assert monitor.violations == []
    assert stage.deployment.statuses().keys() == {"R4"}
