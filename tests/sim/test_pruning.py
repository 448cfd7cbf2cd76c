"""Validators that keep few blocks: disk stays bounded, and whoever was away for longer comes back all the same."""

from __future__ import annotations

import random

import pytest

from supervm.common.parts import pruning
from supervm.common.parts.ledger_tables import BLOCK_RECEIPTS, HEADERS, HISTORY
from supervm.common.parts.snapshot import taking
from supervm.protocol.chain.genesis import Parameters
from supervm.protocol.wire.chain import BlocksMessage
from supervm.sim.exact import Deployment, Sent
from supervm.tier_l1_super import node as l1_node
from supervm.tier_l1_super.chain import pruning as l1_pruning
from supervm.tier_l1_super.node import ValidatorNode
from supervm.tier_l1_super.tables import BATCHES, BLOCKS, CHECKPOINTS
from supervm.tier_l2_miner.node import MinerNode

KEPT, LAG = 24, 16
PARAMETERS = Parameters(2, test_network=True, view_timeout_ms=200, idle_interval_ms=500, epoch_ms=4_000)
"""Epochs of some ten blocks."""


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking, "SNAPSHOT_LAG", LAG)
    monkeypatch.setattr(l1_pruning, "SNAPSHOT_LAG", LAG)
    monkeypatch.setattr(pruning, "SLICE_MIN", 4)
    monkeypatch.setattr(l1_node, "blocks_kept", lambda values, *, has_key: KEPT)


def validator(net: Deployment, index: int) -> ValidatorNode:
    core = net.world.hosts[net.l1[index].public].core
    assert isinstance(core, ValidatorNode)
    return core


def work(net: Deployment, rounds: int, prefix: str) -> int:
    """Pay for `rounds` times 0.7 s; return how many payments that were."""
    for number in range(rounds):
        net.pay(0, net.random_rows(0, 5, random.Random(number), prefix=f"{prefix}{number}"))
        net.world.run(700_000)
    return 5 * rounds


def counts(net: Deployment, index: int) -> list[int]:
    disk = net.world.hosts[net.l1[index].public].disk
    return [table.count(disk) for table in (BLOCKS, CHECKPOINTS, HEADERS, BLOCK_RECEIPTS, BATCHES, HISTORY)]


def test_disk_stays_bounded_and_who_is_below_the_floor_is_told_and_takes_a_snapshot() -> None:
    net = Deployment(keep_events=False, l2=2, l3=1, parameters=PARAMETERS)
    refused: list[str] = []

    def see(event: object) -> None:
        if isinstance(event, Sent) and event.message == BlocksMessage(b""):
            refused.append(event.receiver.name)

    net.world.observe(see)
    net.start()
    paid = work(net, 2, "a")
    net.world.crash(net.l1[0].public)
    net.world.crash(net.l2[1].public)
    paid += work(net, 40, "b")
    middle = counts(net, 1)
    paid += work(net, 40, "c")
    assert net.settle(60) == {"R4": paid}
    one = validator(net, 1)
    floor = one.serving._head.floor
    assert one.ledger.height > 4 * KEPT
    assert floor > 2 * KEPT
    longest = max(KEPT, LAG) + 30  # and an epoch, some ten blocks
    assert all(now <= 2 * longest + 10 for now in counts(net, 1))
    assert all(now <= before + longest for before, now in zip(middle, counts(net, 1), strict=True))
    assert one.serving.chunk(floor) is not None
    net.world.start(net.l1[0].public)
    net.world.start(net.l2[1].public)
    adopted = validator(net, 0)
    while not adopted.ledger.base_height or adopted.ledger.pruning.begin < adopted.ledger.base_height:
        net.world.run(10_000)  # until what it had before the snapshot has gone
    assert adopted.seat.rules.root_height == adopted.ledger.base_height
    net.world.crash(net.l1[0].public)
    net.world.start(net.l1[0].public)
    assert validator(net, 0).executor.root is not None  # the checkpoint that the epoch rests on is still there
    net.world.run(20_000_000)
    core = net.world.hosts[net.l2[1].public].core
    assert isinstance(core, MinerNode)
    back, replica = validator(net, 0), core.replica
    assert back.ledger.base_height >= floor - 1
    assert back.serving._head.floor > back.ledger.base_height
    assert replica.ledger.base_height >= floor - 1
    assert refused  # nobody had to guess
    # they carry on without the others
    net.world.crash(net.l2[0].public)
    net.world.crash(net.l1[3].public)
    paid += work(net, 6, "d")
    assert net.settle(60) == {"R4": paid}
    assert replica.ledger.height > back.ledger.base_height
    # a restart finds what the epoch rests on, at the root of a snapshot, too
    for index in (0, 2):
        net.world.crash(net.l1[index].public)
        net.world.start(net.l1[index].public)
        again = validator(net, index)
        assert again.executor.root is not None
        assert again.executor.root.header.height == again.seat.rules.root_height
    # and the floor where it was
    net.world.crash(net.l1[1].public)
    net.world.start(net.l1[1].public)
    assert validator(net, 1).serving._head.floor >= floor


def test_an_archive_keeps_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(l1_node, "blocks_kept", lambda values, *, has_key: None)
    net = Deployment(keep_events=False, l2=1, l3=1, parameters=PARAMETERS)
    net.start()
    paid = work(net, 40, "a")
    assert net.settle(60) == {"R4": paid}
    one = validator(net, 1)
    assert one.ledger.height > 2 * KEPT
    assert one.serving._head.floor == 1
    assert one.serving.chunk(1) is not None
    assert counts(net, 1)[2] == one.ledger.height
