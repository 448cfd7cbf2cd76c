"""A validator whose database is restored from an old backup, beside today's log or with no log at all (2.8)."""

from __future__ import annotations

from typing import Any

import pytest

from supervm.protocol.chain.genesis import Parameters
from supervm.sim.exact import Deployment
from supervm.sim.fuzz.config import draw_config
from supervm.sim.fuzz.run import run_seed
from supervm.sim.invariants import Monitor
from supervm.sim.run import run_scenario, set_up
from supervm.sim.scenario.schema import read_scenario
from supervm.tier_l1_super.consensus import host as consensus
from supervm.tier_l1_super.events import DatabaseOlderThanLog

TIMES = Parameters(
    2, test_network=True, view_timeout_ms=100, view_timeout_ms_max=500, block_interval_ms=250, idle_interval_ms=250
)


def restored(monkeypatch: pytest.MonkeyPatch, *, blocks: int, parameters: Parameters = TIMES) -> tuple[Any, Monitor]:
    """A network whose validator 0 gets its database of some blocks ago back, and starts alone with today's log."""
    monkeypatch.setattr(consensus, "COMPACT_EVERY", 2)
    net = Deployment(keep_events=True, parameters=parameters, l2=1, l3=1, l4=1)
    monitor = Monitor(net)
    net.start()
    host = net.host("l1-0")
    backup = host.disk.snapshot()
    height = host.core.serving.tip
    while host.core.serving.tip < height + blocks:
        net.world.run(50_000)
    net.world.crash(host.node_id)
    host.disk.restore_tables(backup)
    return net, monitor


def test_a_database_below_the_floor_makes_an_observer_that_catches_up(monkeypatch: pytest.MonkeyPatch) -> None:
    net, monitor = restored(monkeypatch, blocks=5)
    host = net.host("l1-0")
    net.world.start(host.node_id)
    net.world.run(50_000)
    assert (host.core.seat.amnesia, host.core.index) == (True, None)
    (event,) = [said.event for _, said in host.events if isinstance(said.event, DatabaseOlderThanLog)]
    assert "height" in event.reason
    net.world.run(1_500_000)
    monitor.sample()
    assert host.core.seat.amnesia, "in an endless epoch it observes as long as it runs"
    assert host.core.serving.tip > 5
    # the log is today's, so with tables that have caught up nothing is missing: the next start votes
    net.world.crash(host.node_id)
    net.world.start(host.node_id)
    net.world.run(2_000_000)
    assert (host.core.seat.amnesia, host.core.index) == (False, 0)
    assert not monitor.violations


def test_it_votes_again_in_the_next_provable_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = Parameters(
        1,
        test_network=True,
        view_timeout_ms=100,
        view_timeout_ms_max=500,
        block_interval_ms=250,
        idle_interval_ms=250,
        epoch_ms=2_000,
    )
    net, monitor = restored(monkeypatch, blocks=4, parameters=parameters)
    host = net.host("l1-0")
    net.world.start(host.node_id)
    net.world.run(50_000)
    assert host.core.index is None
    net.world.run(6_000_000)
    assert (host.core.seat.amnesia, host.core.index) == (False, 0)
    assert not monitor.violations


def test_an_older_database_above_the_floor_goes_on_voting(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it lacks is in the log."""
    monkeypatch.setattr(consensus, "COMPACT_EVERY", 1_000)
    net, monitor = restored(monkeypatch, blocks=0)
    monkeypatch.setattr(consensus, "COMPACT_EVERY", 1_000)
    host = net.host("l1-0")
    net.world.start(host.node_id)
    net.world.run(3_000_000)
    assert (host.core.seat.amnesia, host.core.index) == (False, 0)
    assert not monitor.violations


def test_database_and_log_lost_together_make_an_observer(monkeypatch: pytest.MonkeyPatch) -> None:
    net, monitor = restored(monkeypatch, blocks=4)
    host = net.host("l1-0")
    host.disk.lose_all()
    net.world.start(host.node_id)
    net.world.run(4_000_000)
    assert (host.core.seat.amnesia, host.core.index) == (True, None)
    assert host.core.serving.tip > 4
    assert not monitor.violations


SCENARIO = """
[scenario]
name = "restored-databases"
question = "May a database be put back beside today's log, or both be lost?"
claim = "the validator observes"
duration_s = 10

[[fault]]
kind = "database-only"
at_s = 4
who = ["l1-0"]
age_s = 3

[[fault]]
kind = "database-and-log"
at_s = 8
who = ["l1-0"]
"""


def test_scenarios_reach_both() -> None:
    result = run_scenario(read_scenario(SCENARIO, "a test"), 1)
    assert result["metrics"]["summary"]["observers"] == 1


def test_the_restorer_breaks_nothing() -> None:
    """Restored again and again from old backups, a validator never signs a contradiction (S5)."""
    knobs = {"on": ("database-only", "cut", "power"), "compact_every": 8, "rate_ppm": 60_000, "epoch_ms": 1_500}
    outcome = run_seed(3, config=draw_config(3, knobs))
    assert outcome.violations == ()
    assert outcome.reached["database-restored"] > 0


def test_the_actor_restores_in_scenarios_and_stays_honest() -> None:
    text = (
        SCENARIO.split("[[fault]]")[0].replace("duration_s = 10", "duration_s = 22")
        + """
[[adversary]]
kind = "database-restorer"
who = ["l1-2"]
"""
    )
    stage = set_up(read_scenario(text, "a test"), 1)
    assert "l1-2" in stage.honest
    monitor = Monitor(stage.deployment)
    stage.begin()
    host = stage.deployment.host("l1-2")
    lives = host.life
    stage.deployment.world.run(22_000_000)
    assert host.life >= lives + 4
    assert host.disk.tables_old
    assert not monitor.violations
