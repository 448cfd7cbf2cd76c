"""`bench network` in small: a real network, a few payments, and every row with a figure in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervm.common.bench.network import Plan, run_plan
from supervm.common.up.layout import Counts

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

SMALL = Plan(
    counts=Counts(1, 1, 1, 1),
    accounts=40,
    clients=2,
    rounds=1,
    first_rate=30.0,
    rate_max=60.0,
    p99_s=10.0,
    look_s=0.3,
    hold_s=0.5,
    precision=40.0,  # any
    costs=((10, 0.5), (40, 0.5)),
    shares=((50, 0.4),),
    settle_s=0.0,
    idle_s=0.5,
)
NAMES = [
    "network.rate",
    *(f"network.latency_p{per_cent}.at50pct" for per_cent in (50, 99)),
    *(f"network.latency_p{per_cent}.at{rate}" for rate in (10, 40) for per_cent in (50, 99)),
    *(f"network.cpu.at{rate}{whose}" for rate in (10, 40) for whose in ("", ".l1", ".l2", ".l3", ".l4", ".load")),
    *(f"network.blocks.{at}" for at in ("at10", "at40", "idle")),
    *(
        f"network.idle_l{tier}.{what}"
        for tier in range(1, 5)
        for what in ("cpu", "wakeups", "written", "sent", "rss", "pss")
    ),
    *(f"network.disk_l{tier}" for tier in range(1, 5)),
]


def test_payments_in_an_open_loop_are_proved_and_every_row_is_there(tmp_path: Path) -> None:
    said: list[str] = []
    rows = {row.name: row for row in run_plan(SMALL, 1, tmp_path, said.append)}
    assert {*rows} - {"network.cpu_block"} == {*NAMES}  # a block's cost is too small to be told in half a second
    rate = rows["network.rate"]
    assert rate.limit is not None
    assert rate.value >= 1
    assert rate.n == 1
    for name, row in rows.items():
        assert row.value >= 0, name
        assert row.unit, name
    for name in ("network.latency_p50.at10", "network.idle_l1.pss", "network.disk_l1", "network.disk_l3"):
        assert rows[name].value > 0, name
    assert rows["network.latency_p50.at40"].value <= rows["network.latency_p99.at40"].value
    assert list(tmp_path.iterdir()) == []
    assert said[0].startswith("raw signature checks")
