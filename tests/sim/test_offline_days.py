"""A phone that is offline for 72 hours with 200 payments queued: each ends in one fate, and the books are exact.

The shipped cores under virtual time (targets.md, L4). The payments are of all kinds: most may wait for days, some
expire before an edge is met, some are kept and cancelled, some are refused at once, and the phone is switched off
hard now and then. In the test command the rest of the network is switched off, too, while the phone cannot see it; the
long run lets it work all the time, for a second phone that pays every few hours.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import Any

from supervm.protocol.chain.genesis import Parameters
from supervm.sim.exact import GRANT, Deployment
from supervm.sim.exact.topology import FATES
from supervm.sim.invariants import Monitor
from supervm.tier_l4_mobile.messages import Cancel, Info, Pay, PaymentRow, QueueList

LONG = os.environ.get("SUPERVM_HYPOTHESIS") == "explore"
HOUR_US = 3_600_000_000
HOURS, PAYMENTS = 72, 200
FEE = 7
IDLE_MS = 600_000
"""The beat of an idle chain: a day at the default of ten seconds takes minutes to simulate, and shows nothing more."""


class Offline:
    """The phone, its payments, and what has to become of them."""

    def __init__(self, net: Deployment, rng: random.Random) -> None:
        self.net, self.rng = net, rng
        self.phone = net.l4[0].public
        self.rest = [key.public for tier in (net.l1, net.l2, net.l3) for key in tier]
        self.expected: dict[str, str] = {}
        """Key -> the fate that it has to have."""
        self.executed = Counter[str]()
        """Name of an account -> what it has spent at the end."""
        self.received = 0

    def pay(self, number: int, left_ms: int) -> None:
        """Queue a payment of a kind that chance chooses; the phone is online again in `left_ms`."""
        key, source = f"n{number}", self.net.address(0, self.rng.randrange(3))
        kind = self.rng.choices(("plain", "short", "kept", "too much"), (80, 10, 6, 4))[0]
        amount = 2 * GRANT if kind == "too much" else 1_000 + number
        short_ms = self.rng.randrange(left_ms // 10, left_ms - 600_000) if kind == "short" and left_ms > 10**6 else None
        row = PaymentRow(
            to=self.net.address(1, 0), amount=amount, fee=FEE, source=source, key=key, validity_ms=short_ms
        )
        if kind == "too much":
            self.net.pay(0, [row])  # a single one would be an error to its asker; here it is logged as refused
            self.expected[key] = "refused"
            return
        shown = self.net.world.call(self.phone, Pay(row, kind == "kept"))
        assert shown["status"] == "queued"
        if kind == "kept":
            assert self.net.world.call(self.phone, Cancel(shown["id"]))["status"] == "cancelled"
            self.expected[key] = "cancelled"
        elif short_ms is not None:
            self.expected[key] = "expired"
        else:
            self.expected[key] = "R4"
            self.executed[source] += amount + FEE
            self.received += amount

    def rows(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.net.world.call(self.phone, QueueList(limit=1_000))["payments"]
        return found


def others_sleep(net: Deployment, names: list[bytes], *, wake: bool) -> None:
    for name in names:
        (net.world.start if wake else net.world.crash)(name)


def test_two_hundred_payments_of_three_days_without_an_edge_end_in_one_fate_each() -> None:
    count = {"l1": 4, "l2": 2, "l3": 2} if LONG else {"l1": 4, "l2": 1, "l3": 1}
    parameters = Parameters(2, test_network=True, view_timeout_ms=200, idle_interval_ms=IDLE_MS)
    net = Deployment(l4=2, parameters=parameters, seed=72, **count)  # type: ignore[arg-type]
    monitor = Monitor(net)
    net.start()
    net.world.run(10_000_000)
    scene = Offline(net, random.Random(72))
    net.world.cut([scene.phone], scene.rest)
    began_us = net.world.now_us
    sleepers = [*scene.rest, net.l4[1].public]
    if not LONG:
        net.world.run(HOUR_US // 2)
        others_sleep(net, sleepers, wake=False)
    for number in range(PAYMENTS):
        at_us = began_us + HOUR_US + (HOURS - 2) * HOUR_US * number // PAYMENTS
        net.world.run(at_us - net.world.now_us)
        scene.pay(number, (began_us + HOURS * HOUR_US - at_us) // 1_000)
        if scene.rng.randrange(20) == 0:
            net.world.crash(scene.phone)
            net.world.start(scene.phone)
        if LONG and number % 10 == 0:
            net.pay(
                1, [PaymentRow(to=net.address(1, 1), amount=1, fee=FEE, source=net.address(1, 2), key=f"o{number}")]
            )
    assert net.world.call(scene.phone, Info())["edge"] is None
    if not LONG:
        others_sleep(net, sleepers, wake=True)
    net.world.run(began_us + HOURS * HOUR_US - net.world.now_us)
    before = Counter(row["status"] for row in scene.rows())
    assert before["R4"] == 0
    assert before["queued"] >= PAYMENTS * 7 // 10

    net.world.mend()
    for _ in range(120):
        net.world.run(1_000_000)
        if all(row["status"] in FATES for row in scene.rows()):
            break
    rows = scene.rows()
    assert len(rows) == PAYMENTS
    assert {row["key"]: row["status"] for row in rows} == scene.expected
    assert {row["result"] for row in rows if row["status"] == "R4"} == {"executed"}
    assert set(scene.expected.values()) == set(FATES)
    net.world.run(10_000_000)
    balances = {item["address"]: item["balance"] for item in net.world.call(scene.phone, Info())["accounts"]}
    assert balances == {address: GRANT - scene.executed[address] for address in balances}
    shop = net.world.call(net.l4[1].public, Info())["accounts"][0]
    assert shop["balance"] == GRANT + scene.received
    assert monitor.finish() == []
