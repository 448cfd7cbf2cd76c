"""Certificates that wait for long are passed on: to the leader, then to all, and never many at a time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from supervm.tier_l1_super.batches import intake
from supervm.tier_l1_super.batches.intake import PASS_ON_MAX, PASS_ON_TIMES, BatchIntake

D0_MS = 400
FIRST_US = PASS_ON_TIMES * D0_MS * 1_000
LEADER = b"leader"


class Scene:
    """Validator 0 holds certificates; validator 1 leads."""

    def __init__(self, monkeypatch: Any, count: int) -> None:
        monkeypatch.setattr(intake, "encode", lambda certificate: certificate.raw)
        self.sent: list[bytes] = []
        self.told: list[bytes] = []
        outbox: Any = SimpleNamespace(send=lambda peer, message: self.sent.append(message.certificate))
        ground: Any = SimpleNamespace(
            seat=SimpleNamespace(index=0, rules=SimpleNamespace(leader=lambda view: 1)),
            manners=None,
            outbox=outbox,
            chain=SimpleNamespace(parameters=SimpleNamespace(view_timeout_ms=D0_MS)),
            peer_of=lambda index: LEADER,
            broadcast=lambda message: self.told.append(message.certificate),
        )
        held = {
            number.to_bytes(2, "big"): SimpleNamespace(
                certificate=SimpleNamespace(header=number, raw=number.to_bytes(2, "big"))
            )
            for number in range(count)
        }
        self.pool: Any = SimpleNamespace(held=held)
        bodies: Any = SimpleNamespace(is_spent=lambda header: False)
        consensus: Any = SimpleNamespace(simplex=SimpleNamespace(view=5))
        nothing: Any = None
        self.part = BatchIntake(ground, nothing, self.pool, nothing, bodies, nothing, consensus, nothing)
        for digest in held:
            self.part._waiting[digest] = FIRST_US, FIRST_US
        self.part._pass_on_at_us = FIRST_US

    def run(self, end_us: int) -> None:
        now_us = 0
        while (at_us := self.part.deadline_us) is not None and at_us <= end_us:
            assert at_us > now_us  # a timer in the past would fire for ever
            now_us = at_us
            self.part.tick(now_us)


def test_one_is_shown_to_the_leader_and_then_to_all_at_doubling_intervals(monkeypatch: Any) -> None:
    scene = Scene(monkeypatch, 1)
    scene.run(FIRST_US - 1)
    assert (scene.sent, scene.told) == ([], [])
    scene.run(FIRST_US)
    assert (scene.sent, scene.told) == ([b"\0\0"], [])
    scene.run(FIRST_US * (1 + 2 + 4))
    assert (scene.sent, scene.told) == ([b"\0\0"], [b"\0\0"] * 2)


def test_of_many_only_some_are_shown_at_a_time(monkeypatch: Any) -> None:
    scene = Scene(monkeypatch, 500)
    scene.run(FIRST_US * (1 + 2))
    assert (len(scene.sent), len(scene.told)) == (PASS_ON_MAX, PASS_ON_MAX)


def test_what_is_executed_meanwhile_is_forgotten(monkeypatch: Any) -> None:
    scene = Scene(monkeypatch, 3)
    scene.pool.held.clear()
    scene.run(FIRST_US)
    assert (scene.sent, scene.told, scene.part.deadline_us) == ([], [], None)
