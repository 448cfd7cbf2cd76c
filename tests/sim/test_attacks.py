"""Hostile peers of every kind: what each may cost an honest node, and payments go on meanwhile (N2, R4)."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

import pytest

from supervm.protocol.chain.genesis import Parameters
from supervm.sim.exact import Deployment
from supervm.sim.invariants import Monitor

SECONDS = 6
PAYMENTS_PER_S = 3


@dataclass(frozen=True)
class Attack:
    """An attack, and its measured price with room: per honest node and second, after the first burst."""

    actors: dict[str, str]
    units_per_s: int
    sent_bytes_per_s: int
    written_bytes_per_s: int
    members: int | None = None
    epoch_ms: int = 3_600_000


ATTACKS = {
    "request-flooder": Attack({"l1-3": "request-flooder"}, 250_000, 6 << 20, 64 << 10),
    "a stranger as request-flooder": Attack({"l1-4": "request-flooder"}, 60_000, 2 << 20, 1 << 10, members=4),
    "vote-repeater": Attack({"l1-3": "vote-repeater"}, 40_000, 64 << 10, 64 << 10),
    "certificate-replayer": Attack({"l2-0": "certificate-replayer"}, 40_000, 64 << 10, 64 << 10),
    "disk-filling-miner": Attack({"l2-0": "disk-filling-miner"}, 150_000, 64 << 10, 64 << 10),
    "early-filler": Attack({"l1-3": "early-filler"}, 40_000, 64 << 10, 64 << 10, epoch_ms=4_000),
}


def run(attack: Attack | None, *, l1: int = 4, members: int | None = None, epoch_ms: int) -> tuple[Deployment, Monitor]:
    """Play six seconds with payments all the time, and twelve in which they come to their end."""
    net = Deployment(
        l1=l1, members=members, l2=2, l3=2, l4=2, actors={} if attack is None else attack.actors, keep_events=True,
        parameters=Parameters(1, test_network=True, view_timeout_ms=100, epoch_ms=epoch_ms))
    monitor = Monitor(net)
    net.start()
    rng = random.Random(7)
    for second in range(SECONDS * PAYMENTS_PER_S):
        for phone in (0, 1):
            net.pay(phone, net.random_rows(phone, 1, rng, prefix=f"a{second}"))
        net.world.run(1_000_000 // PAYMENTS_PER_S)
    net.world.run(12_000_000)
    return net, monitor


def r4_ms(net: Deployment) -> list[float]:
    """Latencies of the payments, sorted; every one has to be proved."""
    rows = net.payments()
    assert {row["status"] for row in rows} == {"R4"}
    return sorted(row["latency_ms"]["r4"] for row in rows)


def p99(values: list[float]) -> float:
    return values[(99 * len(values) - 1) // 100]


@cache
def calm_p99_ms(l1: int, members: int | None, epoch_ms: int) -> float:
    """The 99th percentile of the undisturbed run."""
    return p99(r4_ms(run(None, l1=l1, members=members, epoch_ms=epoch_ms)[0]))


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_costs_no_more_than_this_and_payments_go_on(name: str) -> None:
    attack = ATTACKS[name]
    l1 = 5 if attack.members else 4
    net, monitor = run(attack, l1=l1, members=attack.members, epoch_ms=attack.epoch_ms)
    assert p99(r4_ms(net)) <= 3 * calm_p99_ms(l1, attack.members, attack.epoch_ms)
    assert [violation for violation in monitor.violations if violation.name == "N2"] == []
    found = {key: spent for key, spent in monitor.costs.spent.items() if key[1] in attack.actors and key[0][:2] == "l1"}
    assert found, "it got nowhere near an honest node"
    total_s = (net.world.now_us - min(spent.first_us for spent in found.values())) // 1_000_000
    worst = max(found.values(), key=lambda spent: spent.units)
    ratio = p99(r4_ms(net)) / calm_p99_ms(l1, attack.members, attack.epoch_ms)
    print(f"{name}: {worst.units // total_s} units/s, {worst.checks // total_s} signatures/s, "
          f"{worst.sent_bytes // total_s} B/s sent, {worst.written_bytes // total_s} B/s written, R4 p99 x {ratio:.2f}")
    for key, spent in found.items():
        assert spent.units <= attack.units_per_s * total_s + 2_000_000, key
        assert spent.sent_bytes <= attack.sent_bytes_per_s * total_s + (16 << 20), key
        assert spent.written_bytes <= attack.written_bytes_per_s * total_s + (1 << 20), key
