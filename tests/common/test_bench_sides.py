"""Stacks side by side: what their two processes say to each other, and the rows that come of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervm.common.bench.measure import BenchOptions
from supervm.common.bench.side_by_side import PEER_PYTHON, Side, rows_of, run, talk_of
from supervm.common.errors import CommonError


def test_our_link_and_plain_tcp_are_measured_by_two_processes_each(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(PEER_PYTHON, raising=False)
    said: list[str] = []
    rows = run(BenchOptions(rounds=1, quick=True, directory=tmp_path, progress=said.append))
    assert [row.name for row in rows] == [
        f"sides.{side}.{figure}" for side in ("tcp", "supervm") for figure in ("connect", "echoes", "messages", "bulk")
    ]
    assert all(row.value > 0 for row in rows)
    assert PEER_PYTHON in said[0]


def test_ratios_are_shares_of_what_plain_tcp_does() -> None:
    limit = {"connect_s": 0.001, "echoes_per_s": 100.0, "messages_per_s": 10.0, "bytes_per_s": 4e6}
    ours = {"connect_s": 0.004, "echoes_per_s": 50.0, "messages_per_s": 20.0, "bytes_per_s": 1e6}
    rows = {row.name: row for row in rows_of({"tcp": [limit], "x": [ours]})}
    assert [rows[f"sides.x.{name}"].ratio for name in ("connect", "echoes", "messages", "bulk")] == [0.25, 0.5, 2, 0.25]
    assert (rows["sides.x.connect"].value, rows["sides.x.bulk"].limit) == (4.0, 4.0)


@pytest.mark.parametrize("command", [("false",), ("sh", "-c", "echo there; test $0 = serve || exit 3")])
def test_a_stack_that_does_not_work_is_named(command: tuple[str, ...]) -> None:
    with pytest.raises(CommonError, match=r"the benchmark's odd (does not start|fails)"):
        talk_of(Side("odd", command), quick=True)
