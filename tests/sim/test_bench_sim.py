"""``supervm bench sim`` in small: the shape of its rows and that figures are there, not how large they are."""

from __future__ import annotations

import json
from pathlib import Path
from time import process_time

import pytest
from click.testing import CliRunner

from supervm.common.bench.measure import BenchOptions
from supervm.common.cli.bench import bench
from supervm.sim.bench import benchmark, phold
from supervm.sim.bench.networks import Size, measure_parallel
from supervm.sim.bench.spent import PURPOSES, Spent, purpose_of

SMALL = benchmark.Plan(
    events=2_000,
    pending=(50, 100),
    validators=4,
    consensus_s=1,
    networks=(Size((4, 1, 2, 4), 1, payments_per_s=20),),
    parallel=Size((4, 1, 1, 2), 1),
)
NETWORKS = ("sim.consensus4", "sim.nodes11")
ROWS = [
    "sim.engine.pending50",
    "sim.engine.pending100",
    "sim.consensus4",
    "sim.consensus4.start",
    *(f"sim.consensus4.us.{purpose}" for purpose in PURPOSES),
    "sim.nodes11",
    "sim.nodes11.start",
    *(f"sim.nodes11.us.{purpose}" for purpose in PURPOSES),
    "sim.parallel.seeds2",
]


def test_the_document_has_every_row_and_figures_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "FULL", SMALL)
    result = CliRunner().invoke(bench, ["sim", "--json", "--rounds", "1"])
    assert result.exit_code == 0, result.output
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    assert list(rows) == ROWS
    for name in ("sim.engine.pending50", "sim.engine.pending100", *NETWORKS, "sim.parallel.seeds2"):
        row = rows[name]
        assert set(row) == {"name", "value", "unit", "limit", "ratio", "n"}
        assert row["value"] > 0, name
        assert row["limit"] > 0, name
        assert row["ratio"] > 0, name
        assert row["n"] >= 1, name


def test_without_simpy_the_bare_engine_stands_alone_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(benchmark, "simpy_rate", lambda: None)
    said: list[str] = []
    plan = benchmark.Plan(1_000, (50,), 4, 1, (), Size((4, 1, 1, 2), 1))
    rows = benchmark.measure(plan, BenchOptions(1, True, tmp_path, said.append))
    assert (rows[0].limit, rows[0].ratio) == (None, None)
    assert any("SimPy is not installed" in text for text in said)


def test_two_seeds_have_the_same_digests_one_after_the_other_and_at_once() -> None:
    both = measure_parallel(Size((4, 1, 1, 2), 1), lambda text: None)
    assert len(set(both.digests)) == 2
    assert both.one_s > 0
    assert both.two_s > 0


def test_both_engines_handle_the_same_load() -> None:
    rate = phold.simpy_rate()
    assert rate is not None
    assert rate(10, 100) > 0
    assert phold.engine_rate(10, 100) > 0


@pytest.mark.parametrize(
    ("module", "purpose"),
    [
        ("supervm.sim.exact.queue", "engine"),
        ("supervm.tier_l1_super.consensus.simplex.core", "core_l1"),
        ("supervm.protocol.wire.frames", "codec"),
        ("nacl.bindings.crypto_sign", "crypto"),
        ("supervm.sim.invariants.monitor", "observers"),
        ("supervm.common.parts.peering", ""),
        ("supervm.sim", ""),
        ("json", ""),
    ],
)
def test_code_has_the_purpose_of_its_module(module: str, purpose: str) -> None:
    assert purpose_of(module) == purpose


def test_the_parts_of_a_message_add_up_to_its_time() -> None:
    spent = Spent()
    assert spent.per_message_us(1.0, 10) == dict.fromkeys(PURPOSES, 0.0)
    spent.samples.update(engine=3, codec=1)
    parts = spent.per_message_us(0.5, 1_000)
    assert list(parts) == list(PURPOSES)
    assert (parts["engine"], parts["codec"], parts["other"]) == (375.0, 125.0, 0.0)


def test_samples_are_taken_while_it_watches_and_not_afterwards() -> None:
    spent = Spent()
    with spent.watch():
        end_s = process_time() + 5
        while not spent.samples["engine"] and process_time() < end_s:
            phold.engine_rate(10, 1_000)
    assert spent.samples["engine"] > 0
    before = spent.samples.total()
    phold.engine_rate(100, 50_000)
    assert spent.samples.total() == before
