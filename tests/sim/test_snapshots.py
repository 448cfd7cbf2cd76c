"""Nodes that were away too long come back by a snapshot and take part again (consensus.md 2.8)."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from supervm.common.contract.core import PeerDown, PeerUp
from supervm.common.parts.ledger_tables import LEAVES
from supervm.common.parts.snapshot import offering, taking
from supervm.protocol.base.codec import encode
from supervm.protocol.chain.genesis import Parameters
from supervm.protocol.chain.validators import ValidatorList, ValidatorSet
from supervm.sim.exact import BOUNDARIES, Deployment, Rules
from supervm.sim.invariants import Monitor
from supervm.tier_l1_super.chain import serving
from supervm.tier_l1_super.messages import Approve
from supervm.tier_l1_super.node import ValidatorNode
from supervm.tier_l2_miner.node import MinerNode

PARAMETERS = Parameters(2, test_network=True, view_timeout_ms=200, idle_interval_ms=500, epoch_ms=4_000)
"""Epochs of some ten blocks."""


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offering, "CHUNK_BYTES_MAX", 36 << 10)
    monkeypatch.setattr(taking, "SNAPSHOT_LAG", 16)
    monkeypatch.setattr(serving, "CHUNK_BLOCKS_MAX", 2)  # so that blocks do not come faster than the snapshot
    monkeypatch.setattr(serving, "PUMP_CHUNKS", 1)
    monkeypatch.setattr(serving, "PUMP_US", 200_000)


def validator(net: Deployment, index: int) -> ValidatorNode:
    core = net.world.hosts[net.l1[index].public].core
    assert isinstance(core, ValidatorNode)
    return core


def miner(net: Deployment, index: int) -> MinerNode:
    core = net.world.hosts[net.l2[index].public].core
    assert isinstance(core, MinerNode)
    return core


def roots(core: ValidatorNode) -> list[tuple[int, int]]:
    """Height and number of every epoch that a validator has seen begin."""
    records = [core.ledger.epoch_record(number) for number in range(core.ledger.epoch.number + 1)]
    return [(record.root.height, record.number) for record in records if record is not None]


def work(net: Deployment, rounds: int, prefix: str) -> int:
    """Pay for `rounds` times 0.7 s; return how many payments that were."""
    for number in range(rounds):
        net.pay(0, net.random_rows(0, 5, random.Random(number), prefix=f"{prefix}{number}"))
        net.world.run(700_000)
    return 5 * rounds


def test_a_validator_that_was_away_too_long_comes_back_by_snapshot_and_votes_on() -> None:
    net = Deployment(keep_events=False, l2=1, l3=1, parameters=PARAMETERS)
    net.start()
    paid = work(net, 2, "a")
    net.world.crash(net.l1[0].public)
    paid += work(net, 40, "b")
    assert net.settle(60) == {"R4": paid}
    before = validator(net, 1).ledger.height
    net.world.start(net.l1[0].public)
    net.world.run(10_000_000)
    back = validator(net, 0)
    assert back.ledger.base_height in {height for height, _ in roots(validator(net, 1))}
    assert back.ledger.base_height > 16
    assert back.ledger.height >= before
    # without one of the others nothing is certified unless the one that came back votes
    net.world.crash(net.l1[3].public)
    paid += work(net, 6, "c")
    assert net.settle(60) == {"R4": paid}
    net.world.run(2_000_000)
    assert back.executor.tally.height > before + 6
    assert back.ledger.header.state_root == validator(net, 1).ledger.header.state_root
    # it serves blocks from there on, and offers snapshots itself
    assert back.serving.chunk(back.ledger.base_height + 1) is not None
    assert back.serving.chunk(back.ledger.base_height) is None
    assert back.offers.heights


def test_a_miner_that_was_away_too_long_takes_a_snapshot_and_serves_again() -> None:
    net = Deployment(keep_events=False, l2=2, l3=1, parameters=PARAMETERS)
    net.start()
    paid = work(net, 2, "a")
    net.world.crash(net.l2[1].public)
    paid += work(net, 30, "b")
    assert net.settle(60) == {"R4": paid}
    net.world.start(net.l2[1].public)
    net.world.run(10_000_000)
    replica = miner(net, 1).replica
    assert replica.ledger.base_height > 16
    assert replica.is_current
    # from here on it carries the payments alone
    net.world.crash(net.l2[0].public)
    paid += work(net, 4, "c")
    assert net.settle(60) == {"R4": paid}
    assert replica.ledger.header.state_root == validator(net, 1).ledger.header.state_root


def test_restarts_while_a_snapshot_is_taken_and_after_end_at_the_same_state() -> None:
    """A validator and a miner are killed again and again: each time they go on from what is on disk."""
    net = Deployment(keep_events=False, l2=2, l3=1, l4=4, accounts=40, parameters=PARAMETERS)
    net.start()
    away = [net.l1[0].public, net.l2[1].public]
    for node_id in away:
        net.world.crash(node_id)
    paid = work(net, 30, "b")
    assert net.settle(60) == {"R4": paid}
    for number in range(40):
        for node_id in away:
            net.world.start(node_id)
        net.world.run(15_000 + 9_000 * number)
        for node_id in away:
            net.world.crash(node_id)
    for node_id in away:
        net.world.start(node_id)
    net.world.run(10_000_000)
    root = validator(net, 1).ledger.header.state_root
    assert validator(net, 0).ledger.base_height > 0
    assert miner(net, 1).replica.ledger.base_height > 0
    assert validator(net, 0).ledger.header.state_root == root
    assert miner(net, 1).replica.ledger.header.state_root == root
    # a second time: the base moves on
    base = validator(net, 0).ledger.base_height
    net.world.crash(away[0])
    paid += work(net, 30, "d")
    assert net.settle(60) == {"R4": paid}
    net.world.start(away[0])
    net.world.run(10_000_000)
    assert validator(net, 0).ledger.base_height > base
    assert validator(net, 0).ledger.header.state_root == validator(net, 1).ledger.header.state_root
    since = {row.since for row in LEAVES.rows(net.world.hosts[away[0]].disk)}
    assert since == {validator(net, 0).ledger.base_height}


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_no_promise_is_broken_by_a_snapshot_wherever_the_power_fails(boundary: str) -> None:
    """In the exact world, with loss, watched by every invariant: a validator is stopped at each kind of boundary."""
    net = Deployment(seed=3, keep_events=False, listen_us=200_000, parameters=PARAMETERS)
    net.world.network.set_rules(Rules(loss_ppm=10_000))
    monitor = Monitor(net)
    net.start()
    rng = random.Random(5)
    away = [net.l1[0].public, net.l2[1].public]
    paid = 0

    def load(rounds: int, prefix: str) -> None:
        nonlocal paid
        for number in range(rounds):
            rows = net.random_rows(0, 4, rng, prefix=f"{prefix}{number}")
            net.pay(0, rows)
            paid += len(rows)
            net.world.run(700_000)
            monitor.sample()

    load(3, "a")
    for node_id in away:
        net.world.crash(node_id)
    load(30, "b")
    for nth in range(1, 16, 2):
        for node_id in away:
            net.world.start(node_id)
            net.world.crash_at(node_id, boundary, nth, restart_after_us=50_000)
        net.world.run(400_000)
        for node_id in away:
            if net.world.hosts[node_id].core is not None:
                net.world.crash(node_id)
    for node_id in away:
        net.world.start(node_id)
    load(3, "c")
    net.world.run(5_000_000)
    assert net.settle(60) == {"R4": paid}
    net.world.run(5_000_000)  # a question that is lost is asked again after as long
    for node_id in away:
        core = net.world.hosts[node_id].core
        assert isinstance(core, ValidatorNode | MinerNode)
        ledger = core.ledger if isinstance(core, ValidatorNode) else core.replica.ledger
        assert ledger.base_height > 0
        assert net.validator_info()[1]["height"] - ledger.height <= 2
    assert monitor.finish() == []


def test_validators_that_missed_set_changes_follow_them_and_vote_or_listen_as_the_newest_set_says() -> None:
    """Two validators are away over epochs and two changes of the set; one is in the last set, the other was dropped.

    A miner that was away, too, knows then whom to ask for votes.
    """
    net = Deployment(l1=8, members=7, l3=1, seed=7, keep_events=False, parameters=PARAMETERS)
    monitor = Monitor(net)
    net.start()
    rng = random.Random(11)
    away = [net.l1[0].public, net.l1[1].public, net.l2[1].public]
    paid = 0

    def load(rounds: int, prefix: str) -> None:
        nonlocal paid
        for number in range(rounds):
            rows = net.random_rows(0, 3, rng, prefix=f"{prefix}{number}")
            net.pay(0, rows)
            paid += len(rows)
            net.world.run(700_000)
            monitor.sample()

    def change_to(indices: Sequence[int], prefix: str) -> None:
        wished = ValidatorSet(net.member(index) for index in indices)
        for index in range(2, 8):
            net.world.call(net.l1[index].public, Approve(encode(ValidatorList(1, wished.members))))
        for number in range(12):
            load(2, f"{prefix}{number}-")
            if validator(net, 2).seat.rules.validators.hash == wished.hash:
                return
        pytest.fail("the set has not changed")

    load(2, "a")
    for node_id in away:
        net.world.crash(node_id)
    change_to((0, 1, 2, 3, 4, 5, 7), "b")
    change_to((0, 2, 3, 4, 5, 6, 7), "c")
    load(10, "d")
    assert net.settle(60) == {"R4": paid}
    for node_id in away:
        net.world.start(node_id)
    net.world.run(15_000_000)
    voter, dropped, replica = validator(net, 0), validator(net, 1), miner(net, 1).replica
    for ledger in (voter.ledger, dropped.ledger, replica.ledger):
        assert ledger.base_height > 16
        assert abs(ledger.height - validator(net, 2).ledger.height) <= 2
        assert ledger.epoch == validator(net, 2).ledger.epoch
    assert (voter.seat.index, dropped.seat.index) == (0, None)
    came_back_in = voter.ledger.epoch.number
    changes = validator(net, 2).changes.answer(0)
    assert len(changes.changes) == 2
    assert voter.changes.answer(0) == dropped.changes.answer(0) == replica.changes.answer(0) == changes
    # the quorum is five of seven: without two of the others the one that came back is needed
    for index in (2, 3):
        net.world.crash(net.l1[index].public)
    net.world.crash(net.l2[0].public)
    before = voter.executor.tally.height
    load(12, "e")
    assert net.settle(60) == {"R4": paid}
    net.world.run(5_000_000)
    monitor.sample()
    assert voter.executor.tally.height > before + 12
    assert voter.ledger.epoch.number > came_back_in
    assert voter.ledger.epoch_record(voter.seat.rules.epoch) == dropped.ledger.epoch_record(voter.seat.rules.epoch)
    assert monitor.finish() == []


def test_a_validator_without_its_log_that_takes_a_snapshot_votes_only_from_an_epoch_on_that_began_later() -> None:
    """The snapshot says nothing about what the lost log held: only the others' standings do (amnesia)."""
    net = Deployment(l3=1, seed=9, keep_events=False, parameters=PARAMETERS)
    monitor = Monitor(net)
    net.start()
    rng = random.Random(3)

    def load(rounds: int, prefix: str) -> None:
        for number in range(rounds):
            net.pay(0, net.random_rows(0, 3, rng, prefix=f"{prefix}{number}"))
            net.world.run(700_000)
            monitor.sample()

    load(3, "a")
    lost = net.host("l1-0")
    net.world.crash(lost.node_id)
    lost.disk.lose_log()
    load(40, "b")
    net.world.start(lost.node_id)
    for _ in range(100):
        net.world.run(100_000)
        back = validator(net, 0)
        if back.ledger.base_height:
            break
    came_back_in = back.seat.rules.epoch
    assert (back.ledger.base_height > 16, back.seat.amnesia, back.seat.index) == (True, True, None)
    assert lost.disk.log_lost
    load(20, "c")
    assert net.settle(60).keys() == {"R4"}
    assert back.seat.rules.epoch > came_back_in
    assert (back.seat.amnesia, back.seat.index, lost.disk.log_lost) == (False, 0, False)
    assert back.seat.votes_from is not None
    assert back.seat.votes_from > came_back_in
    assert monitor.finish() == []


def test_links_that_break_while_a_finished_snapshot_is_written_do_not_take_it_away() -> None:
    """Every peer goes away and comes back during the write of the swap; the node adopts the snapshot all the same."""
    net = Deployment(keep_events=False, l2=1, l3=1, parameters=PARAMETERS)
    net.start()
    work(net, 2, "a")
    net.world.crash(net.l1[0].public)
    work(net, 30, "b")
    net.world.start(net.l1[0].public)
    assert net.world.run(20_000_000, until=lambda: validator(net, 0)._swap.is_under_way)
    core, others = validator(net, 0), [item.public for item in net.l1[1:]]
    for peer in others:
        core.step(net.world.now_us, PeerUp(peer, 1, (), 0, None))
    for peer in others * 4:
        core.step(net.world.now_us, PeerDown(peer, "reset"))
        core.step(net.world.now_us, PeerUp(peer, 1, (), 0, None))
    assert core.snapshot.finished is not None
    net.world.run(5_000_000)
    assert not core._swap.is_under_way
    assert core.ledger.height > 16
    assert core.ledger.base_height > 0
