"""When periodic work is due: an interval after its last success, over restarts and clocks that are set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from supervm.common.services.agenda import AGENDA_FILE, Agenda

DAY = 86_400.0


class Machine:
    """A node's folder with two clocks; `start` is a process of the node."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / AGENDA_FILE
        self.wall_s, self.steady_s = 1.7e9, 5.0

    def start(self) -> Agenda:
        return Agenda(self.path, wall_s=lambda: self.wall_s, steady_s=lambda: self.steady_s)

    def pass_s(self, seconds: float) -> None:
        self.wall_s += seconds
        self.steady_s += seconds


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_what_restarts_more_often_than_the_interval_still_does_its_work(machine: Machine) -> None:
    """Case 10: a nightly reboot with a backup each day."""
    waits = []
    for _ in range(4):
        agenda = machine.start()
        waits.append(agenda.wait_s("backup", DAY))
        machine.pass_s(0.4 * DAY)
        agenda.save()
        machine.steady_s = 0.0  # the machine was started again
    assert waits == pytest.approx([DAY, 0.6 * DAY, 0.2 * DAY, 0.0], abs=0.01)
    agenda.succeeded("backup")
    assert agenda.wait_s("backup", DAY) == DAY


def test_time_that_the_node_was_off_counts(machine: Machine) -> None:
    agenda = machine.start()
    agenda.succeeded("backup")
    agenda.save()
    machine.wall_s += 2 * DAY
    machine.steady_s = 0.0
    assert machine.start().wait_s("backup", DAY) == 0.0


@pytest.mark.parametrize("back_s", [3_600.0, 400 * DAY])
def test_a_clock_that_is_set_back_stops_nothing(machine: Machine, back_s: float) -> None:
    """The node's own running counts on, in this process and in the next ones."""
    agenda = machine.start()
    agenda.succeeded("backup")
    machine.wall_s -= back_s
    machine.pass_s(0.5 * DAY)
    assert agenda.wait_s("backup", DAY) == pytest.approx(0.5 * DAY)
    agenda.save()
    machine.wall_s -= back_s
    again = machine.start()
    machine.pass_s(0.4 * DAY)
    assert again.wait_s("backup", DAY) == pytest.approx(0.1 * DAY)
    machine.pass_s(0.1 * DAY)
    assert again.wait_s("backup", DAY) == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[]",
        "{}",
        '{"backup": 1}',
        '{"backup": {"at_s": NaN, "ran_s": 0}}',
        "[" * 50_000,
        '{"backup": {"at_s": 1e999, "ran_s": 0}}',
        '{"backup": {"at_s": 0, "ran_s": -1e30}}',
    ],
    ids=range(9),
)
def test_a_damaged_file_begins_anew(machine: Machine, text: str) -> None:
    machine.path.write_text(text)
    agenda = machine.start()
    assert agenda.wait_s("backup", DAY) == DAY
    agenda.save()
    assert json.loads(machine.path.read_text()) == {"backup": {"at_s": machine.wall_s, "ran_s": 0.0}}
