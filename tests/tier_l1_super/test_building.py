"""When a leader proposes: at once, soon after a small block, after the block interval, or at the beat."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import simplex_cluster as sim

from supervm.protocol.chain.body import BlockBody
from supervm.protocol.chain.header import BlockHeader
from supervm.tier_l1_super.consensus.building import FULL_TRANSACTIONS, SPACING_PERCENT, Building
from supervm.tier_l1_super.consensus.simplex import effects as sx
from supervm.tier_l1_super.consensus.work import Work

NOW_US = 1_000_000_000
INTERVAL_US = sim.TIMES.block_interval_ms * 1_000
BEAT_US = NOW_US + 7_000_000


class Scene:
    """A leader that was asked for a block on genesis at `NOW_US`; what it finds is set by the test."""

    def __init__(self) -> None:
        self.parent: BlockHeader = sim.GENESIS
        self.counts: list[int] = []
        self.executable = False
        self.certified_height = 0
        rules = sim.make_rules(4)
        head = SimpleNamespace(is_closing=False)
        seat = SimpleNamespace(rules=rules)
        accuser = SimpleNamespace(content=lambda parent: ())
        ground: Any = SimpleNamespace(
            chain=SimpleNamespace(parameters=sim.TIMES), seat=seat, ledger=None, accuser=accuser, head=head
        )
        pool: Any = SimpleNamespace(
            select=lambda ancestors, ts_ms, taken_bytes: tuple(
                SimpleNamespace(header=SimpleNamespace(count=count)) for count in self.counts
            ),
            has_executable=lambda ts_ms: self.executable,
        )
        executor: Any = SimpleNamespace(
            queued=0,
            root=None,
            unexecuted=lambda count: (),
            tally=SimpleNamespace(certified=None, height=0),
        )
        self.closes: tuple[Any, ...] = ()
        epoch_end: Any = SimpleNamespace(
            content=lambda parent: (self.closes, (), ()), is_urgent=lambda parent, body: False
        )
        self.work = Work(ground, pool, executor, epoch_end)
        simplex: Any = SimpleNamespace(
            final=SimpleNamespace(view=0), committed=self.parent, beat_us=BEAT_US, block=lambda digest: None
        )
        self.building = Building(ground, pool, executor, epoch_end, self.work, lambda: simplex)
        self.building.ask(NOW_US, sx.AskBuild(1, self.parent.hash, self.parent))

    def due_us(self) -> int:
        """When it proposes, if nothing changes; it does not do so before, and says when to look again."""
        now_us = NOW_US
        while self.building.content(now_us) is None:
            assert self.building.deadline_us is not None
            assert self.building.deadline_us > now_us  # a timer in the past would fire for ever
            now_us = self.building.deadline_us
        assert self.building.deadline_us is None
        return now_us - NOW_US


def with_batches() -> BlockBody:
    return SimpleNamespace(refs=(1,), closes=(), set_changes=(), ready=(), evidence=())  # type: ignore[return-value]


def test_with_nothing_to_do_it_waits_for_the_beat() -> None:
    assert Scene().due_us() == BEAT_US - NOW_US


@pytest.mark.parametrize("what", ["a batch that waits", "content on its way", "closes"])
def test_while_something_is_under_way_it_waits_for_the_block_interval(what: str) -> None:
    scene = Scene()
    scene.executable = what == "a batch that waits"
    if what == "content on its way":
        scene.work.proposed(1, with_batches())
    elif what == "closes":
        scene.closes = ((0, bytes(64)),)
    assert scene.due_us() == INTERVAL_US


def test_batches_go_at_once() -> None:
    scene = Scene()
    scene.work.proposed(5, with_batches())  # of another view than the parent's
    scene.counts = [1]
    assert scene.due_us() == 0


def test_a_small_block_with_batches_waits_behind_another_one() -> None:
    scene = Scene()
    scene.counts = [1, FULL_TRANSACTIONS - 2]
    scene.work.batches_view = scene.parent.view  # the parent has batches
    assert scene.due_us() == INTERVAL_US * SPACING_PERCENT // 100 > 0


def test_a_large_one_does_not() -> None:
    scene = Scene()
    scene.counts = [1, FULL_TRANSACTIONS - 1]
    scene.work.batches_view = scene.parent.view
    assert scene.due_us() == 0


def test_what_turns_up_meanwhile_is_seen_when_it_is_looked_at_again() -> None:
    scene = Scene()
    assert scene.building.content(NOW_US) is None
    scene.counts = [1]
    assert scene.building.content(NOW_US + 1) is not None
