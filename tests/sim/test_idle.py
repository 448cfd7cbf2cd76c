"""A network without work: how rarely it makes a block, and how quickly it works again when there is something to do."""

from __future__ import annotations

from collections import Counter

import pytest

from supervm.protocol.chain.genesis import Parameters
from supervm.sim.exact import Deployment
from supervm.sim.exact.events import Delivered
from supervm.tier_l1_super.node import ValidatorNode
from supervm.tier_l2_miner.node import MinerNode
from supervm.tier_l4_mobile.messages import PaymentRow

IDLE_MS, VIEW_MS, BLOCK_MS = 10_000, 400, 500


def idle(seconds: int = 60, **options: object) -> Deployment:
    """A network that has had nothing to do for a while."""
    net = Deployment(parameters=Parameters(2, test_network=True), **options)  # type: ignore[arg-type]
    net.start()
    net.world.run(seconds * 1_000_000)
    return net


def validators(net: Deployment) -> list[ValidatorNode]:
    cores = [net.world.host(node.public).core for node in net.l1]
    return [core for core in cores if isinstance(core, ValidatorNode)]


def pay(net: Deployment, number: int = 0) -> int:
    """Ask for a payment; return how many microseconds pass until the phone has it proved."""
    began_us, proved = net.world.now_us, net.statuses()["R4"]
    row = PaymentRow(to=net.address(1, 0), amount=5, fee=2, source=net.address(0, 0), key=f"idle{number}")
    net.pay(0, [row])
    while net.statuses()["R4"] <= proved:
        assert net.world.now_us - began_us < 60_000_000
        net.world.run(10_000)
    return net.world.now_us - began_us


def test_an_idle_chain_makes_a_block_each_idle_interval() -> None:
    net = idle(5)
    heights = [core.height for core in validators(net)]
    net.world.run(100_000_000)
    made = [core.height - before for core, before in zip(validators(net), heights, strict=True)]
    assert set(made) <= {9, 10}
    assert {core.executor.tally.height for core in validators(net)} == {core.height for core in validators(net)}
    assert all(core.simplex.view <= core.height + 2 for core in validators(net))  # nobody is nullified for waiting


def test_a_payment_on_an_idle_chain_is_proved_at_once() -> None:
    net = idle()
    for number in range(3):
        assert pay(net, number) < 1_000_000
        net.world.run(33_000_000)


def test_a_payment_costs_an_idle_chain_two_blocks_at_most() -> None:
    net = idle()
    net.world.run(1_000_000)
    before = validators(net)[0].height
    pay(net)
    net.world.run(8_000_000)
    assert validators(net)[0].height <= before + 4  # with one beat in between


@pytest.mark.parametrize("ahead", range(4))
def test_a_crashed_leader_costs_new_work_a_time_out_and_not_the_beat(ahead: int) -> None:
    net = idle(61 + ahead, l3=1, l2=1)
    leader = validators(net)[0].seat.rules.leader(validators(net)[0].simplex.view)
    net.world.crash(net.l1[leader].public)
    net.world.run(100_000)
    assert pay(net) < 1_000 * (2 * VIEW_MS + BLOCK_MS) + 1_500_000


@pytest.mark.parametrize("leader_is_there", [True, False])
def test_a_certificate_that_reached_one_validator_is_passed_on(leader_is_there: bool) -> None:
    """The miner that made it is gone for good: no repeat of its own helps."""
    net = idle(l2=1, l3=1)
    miner = net.l2[0].public
    row = PaymentRow(to=net.address(1, 0), amount=5, fee=2, source=net.address(0, 0), key="lone")
    leader = validators(net)[0].seat.rules.leader(validators(net)[0].simplex.view)
    keeper = next(index for index in range(4) if index != leader)
    net.pay(0, [row])
    core = net.world.host(miner).core
    assert isinstance(core, MinerNode)
    held = core.batcher.held
    assert net.world.run(5_000_000, until=lambda: any(item.certificate is not None for item in held.values()))
    net.world.cut([miner], [node.public for index, node in enumerate(net.l1) if index != keeper], reset=True)
    net.world.run(100_000)
    assert [bool(core.pool.held) for core in validators(net)] == [index == keeper for index in range(4)]
    net.world.crash(miner)
    if not leader_is_there:
        net.world.crash(net.l1[leader].public)
    net.world.run(1_500_000 if leader_is_there else 6_000_000)
    sender = net.wallets[0][0].public
    there = validators(net)
    assert [core.ledger.state.accounts[sender].next_seq for core in there] == [1] * (3 + leader_is_there)


def test_an_epoch_closes_on_an_idle_chain() -> None:
    net = Deployment(parameters=Parameters(2, test_network=True, epoch_ms=25_000))
    net.start()
    net.world.run(200_000_000)
    epochs = {core.seat.rules.epoch for core in validators(net)}
    assert min(epochs) >= 5
    assert max(epochs) - min(epochs) <= 1


def test_an_idle_network_says_little() -> None:
    """What is sent in a minute: beats, statuses and heartbeats, no repeats of what all have."""
    net = idle()
    kinds: Counter[str] = Counter()
    net.world.observe(lambda event: kinds.update([type(event.message).__name__]), Delivered)
    net.world.run(60_000_000)
    per_beat = kinds["CertificateMessage"] / 6
    assert per_beat <= 4 * 3 * 5  # notarization and finalization by each to each, and what backs off
    assert kinds["VoteMessage"] / 6 <= 4 * 3 * 4


def test_a_restarted_network_makes_a_block_at_once() -> None:
    net = idle()
    for node in net.l1:
        net.world.crash(node.public)
    net.world.run(30_000_000)
    for node in net.l1:
        net.world.start(node.public)
    net.world.run(1_000)
    before = max(core.height for core in validators(net))
    net.world.run(4_000_000)
    assert min(core.height for core in validators(net)) > before
