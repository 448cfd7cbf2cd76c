"""`bench drain` in small: a phone's queue of 200 goes through one edge at 200 a second and more (targets.md, L4)."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from supervm.common.bench.drain import drained_queues

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

PER_S_MIN = 200


def test_a_queue_of_two_hundred_drains_within_a_second(tmp_path: Path) -> None:
    said: list[str] = []
    (found,) = trio.run(drained_queues, tmp_path, 200, 1, said.append)
    assert found.accepted >= PER_S_MIN
    assert 0 < found.proved <= found.accepted
    assert said == ["one node per tier", "queue 1 of 1: 200 payments"]
