"""Changes of validators in the exact world: who is off while it happens finds back, whoever is left."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from supervm.protocol.base.codec import encode
from supervm.protocol.chain.genesis import Parameters
from supervm.protocol.chain.validators import ValidatorList
from supervm.sim.exact import BOUNDARIES, Deployment
from supervm.tier_l1_super.messages import Approve, Info
from supervm.tier_l2_miner.messages import Info as MinerInfo

SHORT = Parameters(
    2, test_network=True, view_timeout_ms=200, block_interval_ms=100, idle_interval_ms=100, epoch_ms=2_000
)


def network(l1: int, members: int, **more: Any) -> Deployment:
    net = Deployment(l1=l1, members=members, l2=2, l3=1, l4=1, parameters=SHORT, keep_events=False, **more)
    net.start()
    return net


def approve(net: Deployment, nodes: Sequence[int]) -> None:
    """Ask every node that is on to approve these validators."""
    raw = encode(ValidatorList(1, tuple(net.member(node) for node in nodes)))
    for node in net.l1:
        if net.world.host(node.public).core is not None:
            net.world.command(node.public, Approve(raw))  # who falls before it is written answers nothing
    net.world.run(100_000)


def crash(net: Deployment, *nodes: int) -> None:
    for node in nodes:
        net.world.crash(net.l1[node].public)


def info(net: Deployment, node: int) -> dict[str, Any]:
    value: dict[str, Any] = net.world.call(net.l1[node].public, Info())
    return value


def all_paid(net: Deployment, nodes: Sequence[int]) -> None:
    """Demand that payments still go through and that these nodes have one state."""
    rows = net.random_rows(0, 5, random.Random(1), prefix=f"at{net.world.now_us}")
    before = net.statuses()["R4"]
    net.pay(0, rows)
    assert net.settle(30) == {"R4": before + 5}
    net.world.run(3_000_000)
    infos = [info(net, node) for node in nodes]
    heights = [item["height"] for item in infos]
    assert max(heights) - min(heights) <= 2
    assert len({item["state_root"] for item in infos}) == 1


def test_strangers_take_over_and_the_old_ones_are_switched_off() -> None:
    net = network(8, 4)
    approve(net, range(4, 8))
    net.world.run(6_000_000)
    assert [info(net, node)["validator"] for node in range(8)] == [None] * 4 + [0, 1, 2, 3]
    crash(net, *range(4))
    all_paid(net, range(4, 8))


def test_one_validator_hands_over_to_another_and_takes_over_again() -> None:
    net = network(2, 1)
    for node in (1, 0):
        approve(net, [node])
        net.world.run(6_000_000)
        assert info(net, node)["validator"] == 0
        assert info(net, 1 - node)["validator"] is None
        all_paid(net, range(2))


@pytest.mark.parametrize("following", [(0, 1, 2, 4), (4, 5, 6, 7)], ids=["one leaves", "all leave"])
def test_a_leaving_validator_that_was_off_finds_the_present(following: Sequence[int]) -> None:
    """It never executed the sealing block, and of its own set perhaps nobody is left to tell it."""
    net = network(8, 4)
    approve(net, following)
    crash(net, 3)
    net.world.run(8_000_000)
    crash(net, *(node for node in (0, 1, 2) if node not in following))
    net.world.start(net.l1[3].public)
    net.world.run(12_000_000)
    assert info(net, 3)["validator"] is None
    all_paid(net, (3, *following))


def test_a_miner_that_was_off_finds_the_present_among_strangers() -> None:
    net = network(8, 4)
    approve(net, range(4, 8))
    miner = net.l2[0].public
    net.world.crash(miner)
    net.world.run(8_000_000)
    crash(net, *range(4))
    net.world.start(miner)
    net.world.run(10_000_000)
    heights = [net.world.call(node.public, MinerInfo())["certified_height"] for node in net.l2]
    assert max(heights) - min(heights) <= 2
    all_paid(net, range(4, 8))


def test_a_validator_without_its_log_votes_again_from_the_next_provable_epoch_on() -> None:
    """And from then on it has a log: a crash no longer makes an observer of it, another loss does."""
    net = network(4, 4)
    node_id = net.l1[2].public
    for _ in range(2):
        crash(net, 2)
        net.host("l1-2").disk.lose_log()
        net.world.start(node_id)
        net.world.run(500_000)
        assert info(net, 2)["validator"] is None
        net.world.run(8_000_000)
        assert info(net, 2)["validator"] == 2
        crash(net, 2)
        net.world.start(node_id)
        net.world.run(1_000_000)
        assert info(net, 2)["validator"] == 2
    all_paid(net, range(4))


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_crashes_at_every_boundary_through_many_changes(boundary: str) -> None:
    """Every node falls again and again while validators come and go: in the end all of them are at one state."""
    net = network(5, 4, seed=2)
    rng = random.Random(boundary)
    for turn in range(5):
        approve(net, (0, 1, 2, 4) if turn % 2 == 0 else (0, 1, 2, 3))
        for node in range(5):
            if rng.random() < 0.6:
                net.world.crash_at(net.id_of(f"l1-{node}"), boundary, rng.randrange(1, 80), restart_after_us=200_000)
        net.world.run(3_000_000)
    net.world.run(5_000_000)
    assert info(net, 0)["epoch"] >= 5
    all_paid(net, range(5))
