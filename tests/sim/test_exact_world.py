"""The exact world as a whole: faults of hosts and paths, and one trace per seed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from supervm.protocol.chain.votes import VoteKind
from supervm.protocol.wire.consensus import VoteMessage
from supervm.sim.errors import SimulationError
from supervm.sim.exact import (
    BOUNDARIES,
    Access,
    Choices,
    Cpu,
    Delivered,
    Deployment,
    Event,
    HostStarted,
    HostStopped,
    LinkDown,
    LinkUp,
    Persisted,
    Rules,
    Sent,
    Stepped,
    lan,
)


def load(net: Deployment, count: int = 10, *, phones: int = 2, prefix: str = "r") -> None:
    """Ask phones for payments; of a phone that crashes before it answers ask again, under the same keys."""
    rng = random.Random(3)
    for phone in range(phones):
        rows = net.random_rows(phone, count, rng, prefix=prefix)
        try:
            net.pay(phone, rows)
        except SimulationError:
            net.pay(phone, rows)


def whole(net: Deployment, payments: int, within_s: int = 60) -> None:
    """Demand that everything is proved and that the validators agree."""
    assert net.settle(within_s) == {"R4": payments}
    net.world.run(5_000_000)
    infos = net.validator_info()
    roots = {info["height"]: info["state_root"] for info in infos}
    assert all(roots[info["height"]] == info["state_root"] for info in infos)
    assert max(roots) - min(roots) <= 1


# --- one trace per seed ---


def trace(seed: int = 4, *, real_crypto: bool = False) -> bytes:
    """Play a short run with loss, jitter, a crash, a partition and a slow disk; return its digest."""
    net = Deployment(seed=seed, regions="spread", real_crypto=real_crypto, cpu=Cpu(20))
    world = net.world
    world.network.set_rules(Rules(loss_ppm=20_000))
    net.start()
    load(net, 4)
    world.run(400_000)
    world.crash(net.l1[1].public)
    net.host("l1-2").disk.slow(20)
    world.cut([net.l1[3].public], [key.public for key in net.l1[:3]])
    world.run(2_000_000)
    world.heal()
    world.start(net.l1[1].public)
    world.run(4_000_000)
    return world.digest


def test_same_seed_same_trace_also_with_real_crypto() -> None:
    """Twice in one process, and with every signature computed: the same bytes at the same microseconds."""
    digest = trace()
    assert trace() == digest
    assert trace(real_crypto=True) == digest
    assert trace(seed=5) != digest


def test_same_trace_in_other_processes_and_under_other_hash_seeds() -> None:
    """Nothing depends on the process or on the order of sets."""
    code = f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r}); import test_exact_world as t; "
    digests = [
        subprocess.run(
            [sys.executable, "-c", code + "print(t.trace().hex())"],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        ).stdout.strip()
        for hash_seed in ("1", "2")
    ]
    assert digests == [trace().hex()] * 2


def test_a_replay_of_all_choices_is_the_run_and_of_none_is_harmless() -> None:
    """What a run recorded gives the same run again; without the record nothing is lost."""

    def play(choices: Choices) -> tuple[bytes, int]:
        net = Deployment(choices=choices)
        net.world.network.set_rules(Rules(loss_ppm=50_000))
        net.start()
        load(net, 3)
        net.world.run(2_000_000)
        return net.world.digest, len(choices.recorded)

    first = Choices(9)
    digest, count = play(first)
    assert count > 0
    assert play(Choices(9, replay=first.recorded)) == (digest, count)
    assert play(Choices(9, replay=()))[1] == 0
    fewer = [msgspec.structs.replace(choice, value=1) for choice in first.recorded[::2]]
    assert play(Choices(9, replay=fewer))[1] <= len(fewer)


# --- hosts ---


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("name", ["l1-1", "l2-0", "l3-0", "l4-0"])
def test_crash_at_every_boundary(name: str, boundary: str) -> None:
    """Each tier crashes at each boundary of a write or a send and comes back: every payment is proved, once."""
    net = Deployment(keep_events=False)
    stops: list[str] = []
    net.world.observe(lambda event: stops.append(event.reason) if isinstance(event, HostStopped) else None)
    net.start()
    writes = name[1] in "13"  # what a miner or a phone writes between two payments may be nothing
    for nth in (1, 3):
        net.world.crash_at(
            net.id_of(name), boundary, nth if writes or "send" in boundary else 1, restart_after_us=300_000
        )
        load(net, 3, prefix=f"x{nth}")
        net.world.run(2_000_000)
        if net.host(name).core is None:
            net.world.run(1_000_000)
    assert stops.count(f"crash {boundary}") >= 1
    whole(net, 12)


def test_nothing_leaves_before_its_write_is_durable() -> None:
    """P0: every vote's promise is durable at the moment the vote leaves, whatever the disk does."""
    net = Deployment(keep_events=False)
    durable: Counter[bytes] = Counter()
    sent: Counter[bytes] = Counter()

    def watch(event: Event) -> None:
        if isinstance(event, Persisted) and event.host.tier == 1:
            durable[event.host.node_id] += len(event.records)
        elif isinstance(event, Sent) and isinstance(event.message, VoteMessage):
            votes = [vote for vote in event.message.votes if vote.kind is not VoteKind.CHECKPOINT]
            sent[event.sender.node_id] += bool(votes)
            assert not votes or durable[event.sender.node_id] > 0

    net.world.observe(watch)
    net.host("l1-0").disk.slow(500)
    net.start()
    load(net)
    whole(net, 20)
    assert len(sent) == 4


def test_an_observer_hears_the_kinds_that_it_asked_for() -> None:
    """All that happens, or some kinds of it; steps after which nothing is to be done only if they are wanted."""
    net = Deployment(keep_events=False)
    heard: list[list[Any]] = [[], [], []]
    net.world.observe(heard[0].append)
    net.world.observe(heard[1].append, Persisted, Stepped)
    net.world.observe(heard[2].append, Stepped, idle_steps=False)
    net.start()
    net.world.run(2_000_000)
    assert {type(event) for event in heard[0]} >= {Delivered, HostStarted, LinkUp, Persisted, Sent, Stepped}
    assert heard[1] == [event for event in heard[0] if type(event) in (Persisted, Stepped)]
    assert heard[2] == [event for event in heard[1] if type(event) is Stepped and event.effects]
    assert len(heard[2]) < len(heard[1])


def test_a_full_disk_stops_the_host_and_only_the_host() -> None:
    """A failed write ends the process; with room again it starts and catches up."""
    net = Deployment(keep_events=False)
    net.start()
    net.host("l1-0").disk.fill()
    load(net)
    whole(net, 20)
    host = net.host("l1-0")
    assert host.core is None
    assert host.halted is not None
    assert host.halted.startswith("storage-failed")
    host.disk.free()
    net.world.start(host.node_id)
    net.world.run(8_000_000)
    whole(net, 20)


def test_amnesia_makes_an_observer() -> None:
    """A validator whose log is gone never votes again, and follows."""
    net = Deployment(keep_events=False)
    net.start()
    node_id = net.l1[2].public
    net.world.crash(node_id)
    net.host("l1-2").disk.lose_log()
    net.world.start(node_id)
    votes: list[Sent] = []
    net.world.observe(
        lambda event: (
            votes.append(event)
            if isinstance(event, Sent) and isinstance(event.message, VoteMessage) and event.sender.node_id == node_id
            else None
        )
    )
    load(net)
    whole(net, 20)
    assert votes == []


@pytest.mark.parametrize("delta_us", [20_000_000, -20_000_000, 3_000_000])
def test_one_clock_may_be_set_while_it_runs(delta_us: int) -> None:
    """One validator's clock jumps: the others go on, and money is paid."""
    net = Deployment(keep_events=False)
    net.start()
    net.world.step_clock(net.l1[0].public, delta_us)
    load(net)
    whole(net, 20)


def test_a_busy_cpu_delays_and_loses_nothing() -> None:
    """With a millisecond per input everything still works, later."""
    fast, slow = Deployment(keep_events=False), Deployment(cpu=Cpu(step_us=1_000), keep_events=False)
    for net in (fast, slow):
        net.start()
        load(net, 5)
        whole(net, 10)
    assert slow.world.now_us >= fast.world.now_us


def test_an_orderly_stop_loses_nothing() -> None:
    """What was asked to be written is on disk after a stop, and peers notice at once."""
    net = Deployment(keep_events=False)
    net.start()
    load(net)
    for node in net.l1:
        net.world.stop(node.public)
    net.world.run(1_000_000)
    for node in net.l1:
        net.world.start(node.public)
    whole(net, 20)


# --- paths ---


def test_a_partition_without_a_quorum_stops_and_heals() -> None:
    """Two against two: no block is finalized; after healing everything is proved."""
    net = Deployment(keep_events=False)
    net.start()
    left, right = [key.public for key in net.l1[:2]], [key.public for key in net.l1[2:]]
    net.world.cut(left, right)
    net.world.run(2_000_000)
    before = net.validator_info()[0]["finalized_height"]
    net.world.run(20_000_000)
    assert net.validator_info()[0]["finalized_height"] == before
    assert not any(other in net.world.hosts[left[0]].links for other in right)
    net.world.heal()
    load(net)
    whole(net, 20)


def test_a_short_partition_breaks_no_connection() -> None:
    """What was sent into a cut path is held, and arrives after it is mended, in order."""
    net = Deployment(keep_events=False)
    net.start()
    ups: list[Event] = []
    net.world.observe(lambda event: ups.append(event) if isinstance(event, LinkUp) else None)
    net.world.cut([net.l1[0].public], [key.public for key in net.l1[1:]])
    load(net)
    net.world.run(5_000_000)
    net.world.heal()
    whole(net, 20)
    assert ups == []


@pytest.mark.parametrize("flaps", [1, 5])
def test_asymmetric_and_flapping_cuts(flaps: int) -> None:
    """One direction between two validators fails, again and again."""
    net = Deployment(keep_events=False)
    net.start()
    one, other = net.l1[0].public, net.l1[1].public
    load(net)
    for _ in range(flaps):
        net.world.cut([one], [other], one_way=True)
        net.world.run(700_000)
        net.world.mend()
        net.world.run(300_000)
    whole(net, 20)


@pytest.mark.parametrize(
    "rules",
    [
        Rules(loss_ppm=300_000),
        Rules(extra_us=80_000),
        Rules(loss_ppm=100_000, duplicate_ppm=200_000, reorder_ppm=300_000, datagram=True),
    ],
)
def test_bad_paths(rules: Rules) -> None:
    """30 % loss on streams; long delays; datagram paths that lose, double and overtake: everything is proved."""
    net = Deployment(keep_events=False)
    net.start()
    net.world.network.set_rules(rules)
    load(net, 5)
    net.world.run(15_000_000)
    net.world.network.set_rules(Rules())
    whole(net, 10, 90)


def test_a_stream_keeps_order_under_loss_and_jitter() -> None:
    """On one direction of a connection messages arrive in the order they were sent."""
    net = Deployment(regions="spread", keep_events=False)
    sent: dict[tuple[int, int], list[bytes]] = {}

    def watch(event: Event) -> None:
        if isinstance(event, Sent):
            sent.setdefault((event.sender.index, event.receiver.index), []).append(event.frame)
        elif isinstance(event, Delivered):
            assert sent[event.sender.index, event.receiver.index].pop(0) == event.frame

    net.world.observe(watch)
    net.world.network.set_rules(Rules(loss_ppm=100_000))
    net.start()
    load(net, 5)
    net.world.run(3_000_000)


def test_bandwidth_delays_what_is_long() -> None:
    """With 1 Mbit/s uplinks at the miners a batch of 300 payments takes longer than without a limit."""

    def proved_at(access: dict[int, Access]) -> int:
        net = Deployment(l2=1, access=access, keep_events=False, accounts=8)
        net.start()
        load(net, 150)
        for _ in range(600):
            if net.statuses() == {"R4": 300}:
                return net.world.now_us
            net.world.run(50_000)
        raise AssertionError(net.statuses())

    slow = {2: Access(1_000_000, 1_000_000)}
    assert proved_at(slow) > proved_at({}) + 300_000


def test_a_flow_that_is_lost_takes_the_other_direction_along() -> None:
    """Both directions of a connection finish a message at once, and the loss of one breaks the connection."""
    narrow = {tier: Access(1_000_000, 1_000_000) for tier in (1, 2, 3, 4)}
    net = Deployment(access=narrow, fair_from_bytes=1, keep_events=False)
    net.start()
    downs: list[Event] = []
    net.world.observe(lambda event: downs.append(event) if isinstance(event, LinkDown) else None)
    net.world.network.set_rules(Rules(loss_ppm=1_000_000))
    net.world.run(20_000_000)
    assert downs
    delivered = net.world.delivered
    net.world.network.set_rules(Rules())
    net.world.run(10_000_000)
    assert net.world.delivered > delivered


def test_flows_of_a_host_that_went_off_end_by_themselves() -> None:
    """What a host was sending when it went off finishes before its peers notice that it is gone."""
    narrow = {tier: Access(100_000, 100_000) for tier in (1, 2, 3, 4)}
    net = Deployment(access=narrow, fair_from_bytes=1, keep_events=False, geography=lan(400_000))
    net.start(6_000_000)
    for index in range(3):
        net.world.crash(net.l1[index].public)
        net.world.run(3_000_000)
    assert not any(net.host("l1-3").links.get(net.l1[index].public) for index in range(3))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda net: net.world.crash_at(net.l1[0].public, "whenever"),
        lambda net: net.world.host(b"nobody"),
        lambda net: net.world.start(net.l1[0].public),
        lambda net: net.host("l5-0"),
    ],
)
def test_mistakes_of_the_caller_are_errors(wrong: Callable[[Deployment], object]) -> None:
    """Unknown boundaries, hosts and names, and a second start, say what is wrong."""
    net = Deployment()
    net.start(0)
    with pytest.raises(SimulationError):
        wrong(net)
