"""A node's log: what it writes, what it leaves out when one event comes too often, and that it says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from told import told

from supervm.common.contract.events import Level
from supervm.common.host.log import LINES, Log


class Clock:
    now_ms = 0


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def opened(path: Path, level: str = "info") -> Log:
    return Log(path, level, now_ms=lambda: Clock.now_ms)


@pytest.fixture(autouse=True)
def _clock() -> None:
    Clock.now_ms = 1_700_000_000_000


def test_an_event_that_comes_too_often_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    log = opened(path)
    for number in range(LINES.burst + 5):
        log(told("peer-up", "info", number=number))
    log(told("ready", "info"))  # other events have their own allowance
    assert [line.get("number") for line in lines(path)] == [*range(LINES.burst), None]
    Clock.now_ms += 1_000
    log(told("peer-up", "info", number=99))
    log(told("peer-up", "info", number=100))
    assert lines(path)[-1] == {
        "time": "2023-11-14T22:13:21.000+00:00",
        "level": "info",
        "event": "peer-up",
        "number": 99,
        "left_out": 5,
    }
    Clock.now_ms += 1_000
    log(told("peer-up", "info", number=101))
    assert lines(path)[-1]["left_out"] == 1
    Clock.now_ms += 1_000
    log(told("peer-up", "info", number=102))
    assert "left_out" not in lines(path)[-1]


def test_a_flood_costs_a_line_a_second(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    log = opened(path)
    event = told("peer-down", "warning")
    for _ in range(100_000):
        Clock.now_ms += 1
        log(event)
    assert len(lines(path)) == LINES.burst + 99


def test_a_clock_that_goes_back_silences_nothing_for_good(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    log = opened(path)
    for _ in range(LINES.burst + 1):
        log(told("peer-up", "info"))
    Clock.now_ms -= 86_400_000
    log(told("peer-up", "info"))
    Clock.now_ms += 1_000
    log(told("peer-up", "info"))
    assert len(lines(path)) == LINES.burst + 1


@pytest.mark.parametrize(("level", "of_node"), [("error", "info"), ("info", "debug"), ("debug", "debug")])
def test_errors_and_what_somebody_looks_for_are_never_left_out(tmp_path: Path, level: Level, of_node: str) -> None:
    path = tmp_path / "node.log"
    log = opened(path, of_node)
    for _ in range(3 * LINES.burst):
        log(told("something", level))
    assert len(lines(path)) == 3 * LINES.burst


def test_what_is_below_the_level_is_not_counted_either(tmp_path: Path) -> None:
    path = tmp_path / "node.log"
    log = opened(path, "warning")
    for _ in range(3 * LINES.burst):
        log(told("peer-up", "info"))
    log(told("peer-up", "warning"))
    assert [line.get("left_out") for line in lines(path)] == [None]
