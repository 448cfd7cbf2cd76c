"""Two phones with one wallet in the exact simulator, and one that is restored from its words while the network runs."""

from __future__ import annotations

from supervm.sim.exact import GRANT, Deployment
from supervm.tier_l4_mobile.events import WalletUsedElsewhere
from supervm.tier_l4_mobile.messages import Balance, Info, Pay, PaymentRow, QueueList


def row(net: Deployment, key: str, *, amount: int = 5) -> PaymentRow:
    return PaymentRow(to=net.address(2, 0), amount=amount, fee=1, source=net.address(0, 0), key=key)


def problems(net: Deployment, phone: int) -> list[str]:
    told = net.world.call(net.l4[phone].public, Info())["problems"]
    return [text for text in told if "another device" in text]


def told(net: Deployment, phone: int) -> list[WalletUsedElsewhere]:
    published = net.world.hosts[net.l4[phone].public].events
    return [said.event for _, said in published if isinstance(said.event, WalletUsedElsewhere)]


def test_each_phone_hears_of_the_others_payments_and_of_none_of_its_own() -> None:
    net = Deployment(l4=3, same_wallet=((0, 1),))
    net.start()
    net.pay(0, [row(net, "first")])
    assert net.settle(20) == {"R4": 1}
    net.world.run(3_000_000)
    assert (told(net, 0), problems(net, 0)) == ([], [])
    [event] = told(net, 1)
    assert (event.account, event.payments) == (net.address(0, 0), 1)
    assert len(problems(net, 1)) == 1
    net.pay(1, [row(net, "second")])
    assert net.settle(20) == {"R4": 2}
    net.world.run(3_000_000)
    assert [event.payments for event in told(net, 0)] == [2]
    assert len(told(net, 1)) == 1
    assert told(net, 2) == []


def test_a_restored_phone_signs_behind_what_the_lost_one_had_paid() -> None:
    """The words are typed into a new phone while all edges are away: it takes an order and signs nothing."""
    net = Deployment(l4=3, same_wallet=((0, 1),))
    new = net.l4[1].public
    for node in (*net.l1, *net.l2, *net.l3, net.l4[0], net.l4[2]):
        net.world.start(node.public)
    net.world.run(3_000_000)
    net.pay(0, [row(net, f"before-{number}") for number in range(3)])
    assert net.settle(20) == {"R4": 3}
    for node in (net.l4[0], *net.l3):
        net.world.crash(node.public)
    net.world.start(new)
    paid = net.world.call(new, Pay(row(net, "after", amount=7)))
    net.world.run(10_000_000)
    [waiting] = net.world.call(new, QueueList())["payments"]
    assert (waiting["seq"], waiting["status"], waiting["released"]) == (None, "queued", False)
    for node in net.l3:
        net.world.start(node.public)
    assert net.settle(60) == {"R4": 1}
    [done] = net.world.call(new, QueueList())["payments"]
    assert (done["number"], done["seq"]) == (paid["number"], 3)
    value = net.world.call(new, Balance(address=net.address(0, 0)))
    assert value["balance"] == GRANT - 3 * 6 - 8
    assert told(net, 1) == []
