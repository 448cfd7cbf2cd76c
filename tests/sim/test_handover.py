"""A phone that never meets an edge again pays through another phone: the shipped cores under virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from supervm.sim.errors import SimulationError
from supervm.sim.exact import GRANT, Deployment
from supervm.sim.invariants import Monitor
from supervm.tier_l4_mobile.messages import (
    Cancel,
    HandoverExport,
    HandoverList,
    HandoverTake,
    Info,
    Pay,
    PaymentRow,
    ShowPayment,
)


def row(net: Deployment, amount: int, key: str, **more: Any) -> PaymentRow:
    return PaymentRow(to=net.address(1, 0), amount=amount, fee=10, source=net.address(0, 0), key=key, **more)


def cut_off(net: Deployment, phone: int) -> bytes:
    """Take a phone's network away for good."""
    name = net.l4[phone].public
    net.world.cut([name], [key.public for tier in (net.l1, net.l2, net.l3) for key in tier])
    net.world.run(30_000_000)
    assert net.world.call(name, Info())["edge"] is None
    return name


def give(net: Deployment, giver: bytes, taker: bytes, *ids: str) -> Any:
    """Carry a container from one phone to another, as a file or pictures would."""
    container = net.world.call(giver, HandoverExport(ids))["container_hex"]
    return net.world.call(taker, HandoverTake(container))


def until_proved(net: Deployment, phone: bytes, count: int) -> None:
    for _ in range(40):
        net.world.run(1_000_000)
        if [item["status"] for item in net.world.call(phone, HandoverList())["taken"]].count("proved") == count:
            return
    raise AssertionError(net.world.call(phone, HandoverList())["taken"])


def test_a_payment_reaches_proof_through_another_phone_and_its_proof_comes_back() -> None:
    net = Deployment(l4=3)
    monitor = Monitor(net)
    net.start()
    alice, bob, carol = cut_off(net, 0), net.l4[1].public, net.l4[2].public
    ids = [net.world.call(alice, Pay(row(net, 100 + n, f"k{n}")))["id"] for n in range(3)]
    answer = give(net, alice, bob, ids[2])
    assert [item["covered"] for item in answer["promises"]] == [True] * 3
    give(net, alice, carol, ids[1])  # two phones bring the same payments
    net.world.run(200_000)
    net.world.crash(bob)
    net.world.start(bob)
    until_proved(net, bob, 3)
    until_proved(net, carol, 2)
    assert net.world.call(alice, ShowPayment(ids[0]))["status"] == "queued"  # it has heard nothing
    answer = give(net, bob, alice, *ids)
    assert [item["status"] for item in answer["payments"]] == ["R4"] * 3
    for name in ids:
        shown = net.world.call(alice, ShowPayment(name))
        assert (shown["status"], shown["result"], shown["proof_verified"]) == ("R4", "executed", True)
    account = net.world.call(alice, Info())["accounts"][0]
    assert account["balance"] == GRANT - sum(100 + n + 10 for n in range(3))
    net.world.run(3_000_000)
    infos = net.validator_info()
    assert {sum(info["fees"]["svm"].values()) for info in infos} == {30}  # each was executed once
    assert {info["supply"] for info in infos} == {net.chain.supply}
    assert monitor.finish() == []


def test_what_was_handed_over_cannot_be_cancelled_and_another_payment_waits_behind_it() -> None:
    net = Deployment()
    net.start()
    alice, bob = cut_off(net, 0), net.l4[1].public
    first = net.world.call(alice, Pay(row(net, 5, "a")))["id"]
    give(net, alice, bob, first)
    with pytest.raises(SimulationError, match="was released"):
        net.world.call(alice, Cancel(first))
    until_proved(net, bob, 1)
    second = net.world.call(alice, Pay(row(net, 6, "b")))["id"]
    give(net, alice, bob, second)  # the first goes along: its proof has not come back yet
    until_proved(net, bob, 2)
    give(net, bob, alice, second, first)
    assert net.statuses() == {"R4": 2}
