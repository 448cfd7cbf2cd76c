"""Rules about progress and bounds: each is broken once and must be seen (consensus.md 6, network.md 7)."""

from __future__ import annotations

import random
from typing import Any

import pytest

from supervm.sim.exact import Deployment
from supervm.sim.invariants import Monitor
from supervm.sim.invariants import liveness as liveness_module


def stuck(names: tuple[str, ...], seconds: int) -> Monitor:
    """Run only some hosts, and demand progress of them."""
    deployment = Deployment(seed=2)
    monitor = Monitor(deployment)
    for name in names:
        deployment.world.start(deployment.id_of(name))
    deployment.world.run(1_000_000)
    monitor.calm(names)
    host = deployment.host("l4-0")
    if host.core is not None:
        deployment.pay(0, deployment.random_rows(0, 2, random.Random(1)))
    for _ in range(seconds):
        deployment.world.run(1_000_000)
        monitor.sample()
    monitor.finish()
    return monitor


def test_standing_still_in_a_calm_time_is_seen() -> None:
    """L1, L2, L3, N5: two of four validators can do nothing, and are told so."""
    monitor = stuck(("l1-0", "l1-1", "l2-0", "l3-0", "l4-0"), 600)
    names = {violation.name for violation in monitor.violations}
    assert {"L1", "L2", "L3", "N5"} <= names


def test_a_node_that_stays_behind_is_seen() -> None:
    """L7: a validator that is cut off without anybody knowing."""
    deployment = Deployment(seed=3)
    monitor = Monitor(deployment)
    deployment.start()
    one = deployment.id_of("l1-3")
    for name in ("l1-0", "l1-1", "l1-2"):
        deployment.world.cut([one], [deployment.id_of(name)], cause=name, reset=True)
    monitor.calm(deployment.names(1))
    deployment.world.run(10_000_000)
    assert not monitor.liveness.caught_up()
    monitor.finish()
    assert "L7" in {violation.name for violation in monitor.violations}


def test_a_nullified_view_in_a_failure_free_run_is_seen() -> None:
    """L8: a run that is said to be free of failures and is not; and one whose batches are late."""
    deployment = Deployment(seed=4)
    monitor = Monitor(deployment)
    deployment.start()
    deployment.world.crash(deployment.id_of("l1-2"))
    deployment.world.run(5_000_000)
    monitor.liveness.failure_free(1_000)
    monitor.liveness.r3_us.append(10_000_000)
    monitor.liveness.failure_free(1_000)
    assert [violation.name for violation in monitor.violations] == ["L8", "L8", "L8"]


@pytest.mark.parametrize(("rule", "name"), [("N2", "ITEMS_MAX"), ("L9", "EGRESS_BYTES_PER_S_MAX")])
def test_a_bound_that_is_passed_is_seen(monkeypatch: pytest.MonkeyPatch, rule: str, name: str) -> None:
    """N2, L9: with a bound of one a sound node passes it; with the shipped one it does not (the good run)."""
    monkeypatch.setattr(liveness_module, name, 1)
    deployment = Deployment(seed=4)
    monitor = Monitor(deployment)
    deployment.start(0)
    for _ in range(liveness_module.EGRESS_WINDOW_S):
        deployment.world.run(1_000_000)
        monitor.sample()
    monitor.finish()
    assert rule in {violation.name for violation in monitor.violations}


def test_an_epoch_that_does_not_end_and_a_certificate_that_waits_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """L6, L4: an epoch longer than allowed, and a certificate that could execute and does not."""
    deployment = Deployment(seed=6)
    monitor = Monitor(deployment)
    deployment.start()
    monitor.calm(deployment.names(1))
    monitor.liveness.epoch_ms_max = 1_000
    monitor.liveness._grace_us = 0
    deployment.world.run(3_000_000)
    monitor.sample()
    assert [violation.name for violation in monitor.violations] == ["L6"]
    deployment.pay(0, deployment.random_rows(0, 3, random.Random(3)))
    held: dict[bytes, Any] = {}
    core: Any = deployment.host("l1-0").core
    for _ in range(200):
        deployment.world.run(2_000)
        held.update(core.pool.held)
    monkeypatch.setattr(liveness_module, "HELD_US_MAX", 0)
    core.pool.held.update(held)
    monitor.reference.height = 0  # as if nothing had been executed
    monitor.finish()
    assert "L4" in {violation.name for violation in monitor.violations}
