"""What the simulated world promises whatever faults overlap, against a model of the schedule that knows no engine.

Four hosts talk without end while faults of all kinds come and go over each other. Nothing passes a cut, in either
direction that it cuts: no message on its way, none that is held, no news of an end, no new connection. What is held
arrives later, once and in order. A host is off while any cause holds it and on when none does. A connection is given
up `dead_after` from the first cut on, neither earlier nor later. Of two causes that slow one disk the stronger holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from supervm.common.contract.core import (
    Dial,
    DialFailed,
    Effect,
    Input,
    PeerDown,
    PeerMoved,
    PeerUp,
    Persist,
    Received,
    Send,
    Started,
    Tick,
)
from supervm.common.contract.records import Append
from supervm.common.contract.tables import PrimaryKey, Table, TableRow
from supervm.protocol.wire.link import Heartbeat
from supervm.sim.disturb.faults import FaultPlayer
from supervm.sim.exact import (
    WORLD,
    Access,
    Choices,
    Delivered,
    Event,
    ExactWorld,
    Host,
    HostStarted,
    HostStopped,
    LinkDown,
    LinkUp,
    Persisted,
    Place,
    Stepped,
)
from supervm.sim.scenario import read_scenario


class Row(TableRow, frozen=True):
    key: PrimaryKey[int]
    value: bytes


TABLE = Table("rows", Row)
NAMES = ["l1-0", "l1-1", "l1-2", "l1-3"]
SECOND = 1_000_000
ZERO_US = 5 * SECOND
DURATION_S = 30
DEAD_S = 5
TRAP_DOWN_S = 2
WRITE_US = 400
SHORT_US = 190_000
"""Shorter than any retransmission time."""
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""Without shrinking, which takes minutes for little: a schedule reads well as it is."""
TEXT = f"""
[scenario]
name = "promises"
question = "does the world keep its word?"
duration_s = {DURATION_S}
[tiers.l1]
count = 4
"""


class Talker:
    """A core that stays connected to everybody, numbers what it says in each connection, and writes all the time."""

    lives = 0

    def __init__(self, dials: list[str]) -> None:
        self._dials = dials
        self._said: dict[bytes, list[int]] = {}
        self._token = 0
        self.deadline_us: int | None = None

    def step(self, now_us: int, event: Input) -> list[Effect]:
        match event:
            case Started():
                self.deadline_us = now_us + 130_000
                return [Dial(address, None) for address in self._dials]
            case PeerUp(peer):
                Talker.lives += 1
                self._said[peer] = [Talker.lives, 0]
            case PeerDown(peer):
                self._said.pop(peer, None)
            case DialFailed() | Received():
                pass
            case Tick():
                self.deadline_us = now_us + 130_000
                return list(self._talk())
        return []

    def _talk(self) -> Iterator[Effect]:
        self._token += 1
        yield Persist(self._token, (Append(b"x" * 20),))
        for peer, said in self._said.items():
            yield Send(peer, Heartbeat(said[1], 0, 0, said[0]), self._token)
            said[1] += 1
        for number, address in enumerate(self._dials):
            if self._token % 4 == number and bytes([1 + int(address[3:])]) * 32 not in self._said:
                yield Dial(address, None)


@dataclass
class Planned:
    """One fault as the model knows it; times in us of the world."""

    kind: str
    who: list[str]
    at_us: int
    end_us: int
    keys: dict[str, Any] = field(default_factory=dict)

    @property
    def toml(self) -> str:
        lines = ["[[fault]]", f'kind = "{self.kind}"', f"at_s = {(self.at_us - ZERO_US) / 1e6}", f"who = {self.who}"]
        if self.kind not in ("amnesia", "bit-flip", "lost-suffix", "crash-point"):
            lines.append(f"for_s = {(self.end_us - self.at_us) / 1e6}")
        elif self.kind != "crash-point":
            lines.append(f"down_s = {(self.end_us - self.at_us) / 1e6}")
        lines += [
            f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}" for key, value in self.keys.items()
        ]
        return "\n".join(lines) + "\n"

    def spans(self) -> list[tuple[int, int]]:
        """When it acts: all the time, or every other moment of a flapping path."""
        step_us = int(self.keys.get("flap_s", 0) * SECOND)
        if not step_us:
            return [(self.at_us, self.end_us)]
        return [(at, min(at + step_us, self.end_us)) for at in range(self.at_us, self.end_us, 2 * step_us)]

    def cuts(self, src: str, dst: str) -> bool:
        inside, outside = src in self.who, dst in self.who
        if self.kind != "partition" or inside == outside:
            return False
        return {"both": True, "out": inside, "in": outside}[self.keys.get("direction", "both")]


def _united(spans: list[tuple[int, int]], gap_us: int = 0) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1] + gap_us:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _within(at_us: int, spans: list[tuple[int, int]], margin_us: int = 0) -> bool:
    return any(start + margin_us < at_us < end for start, end in spans)


class Model:
    """What must be true, from the schedule alone; told what the world says happens."""

    def __init__(self, faults: list[Planned]) -> None:
        self.faults = faults
        self.cut = {
            (src, dst): _united([span for fault in faults if fault.cuts(src, dst) for span in fault.spans()])
            for src in NAMES
            for dst in NAMES
            if src != dst
        }
        off = ("crash", "stop", "amnesia", "bit-flip", "lost-suffix")
        self.off = {name: self._spans(name, *off) for name in NAMES}
        self.full = {name: self._spans(name, "disk-full") for name in NAMES}
        self.churned = {name for fault in faults if fault.kind == "churn" for name in fault.who}
        self.heard: dict[tuple[str, str], tuple[int, int]] = {}
        self.ends: dict[tuple[str, str], int] = {}
        """(sender, receiver) -> how often the receiver was told of an end since the last message."""
        self.opened: dict[tuple[str, str], int] = {}
        """(sender, receiver) -> when what had come over a new connection was let through last."""
        self.delivered = 0

    def _spans(self, name: str, *kinds: str) -> list[tuple[int, int]]:
        return _united(
            [span for fault in self.faults if fault.kind in kinds and name in fault.who for span in fault.spans()]
        )

    def silent(self, one: str, other: str) -> list[tuple[int, int]]:
        """When nothing is acknowledged between two hosts: a gap of less than a retransmission time is none."""
        return _united(self.cut[one, other] + self.cut[other, one], SHORT_US)

    def take(self, event: Event) -> None:
        match event:
            case Delivered(at_us, sender, receiver, message):
                src, dst = sender.name, receiver.name
                if self.opened.get((src, dst)) != at_us:  # else it had come before, and waited for the connection
                    assert not _within(at_us, self.cut[src, dst]), f"{src} > {dst} at {at_us}: a message passed a cut"
                assert isinstance(message, Heartbeat)
                self._number(src, dst, message.height, message.counter)
            case Stepped(at_us, host, _, PeerDown(peer)):
                path = NAMES[peer[0] - 1], host.name
                self.ends[path] = self.ends.get(path, 0) + 1
                self.opened[path] = at_us
            case Stepped(at_us, host, _, PeerMoved(peer)):
                self.opened[NAMES[peer[0] - 1], host.name] = at_us
            case LinkUp(at_us, one, other):
                assert not _within(at_us, self.cut[other.name, one.name]), "the last word of a dial passed a cut"
            case LinkDown(at_us, one, other, reason):
                if reason == "nothing was acknowledged":
                    spans = self.silent(one.name, other.name)
                    assert any(start + DEAD_S * SECOND <= at_us <= end + SECOND for start, end in spans), (at_us, spans)
                elif reason in ("connection reset", "the peer closed the connection") or reason.startswith("crash "):
                    assert not _within(at_us, self.cut[other.name, one.name]), "the news of an end passed a cut"
            case HostStopped(at_us, host, reason):
                if reason.startswith("crash "):
                    self.off[host.name] = _united([*self.off[host.name], (at_us, at_us + TRAP_DOWN_S * SECOND)])
            case HostStarted(at_us, host):
                assert not _within(at_us, self.off[host.name]), f"{host.name} came on at {at_us}, while it is held off"
                assert not _within(at_us, self.full[host.name]), f"{host.name} came on at {at_us} with its disk full"
            case Persisted(at_us, host):
                slowest_us = 30 * WRITE_US
                assert not _within(at_us, self.full[host.name], slowest_us), "something became durable on a full disk"

    def _number(self, src: str, dst: str, life: int, number: int) -> None:
        """What a host hears has no gap that its core was not told of, and nothing in it comes late or twice."""
        before, last = self.heard.get((src, dst), (0, -1))
        ends = self.ends.pop((src, dst), 0)
        assert life >= before, f"{src} > {dst}: a message of {life} after one of {before}"
        if life == before and ends:  # an old connection ended, without its last messages, while its traffic moved
            assert number > last, f"{src} > {dst}: {number} after {last}"
        elif life == before:
            assert number == last + 1, f"{src} > {dst}: {number} after {last}, and no end was told"
        elif ends <= (before > 0):
            assert number == 0, f"{src} > {dst}: {life} begins with {number}, and no end was told"
        self.heard[src, dst] = (life, number)
        self.delivered += 1

    def look(self, now_us: int, host: Host) -> None:
        """Compare a host with the model, at a time at which nothing changes."""
        name = host.name
        if _within(now_us, self.off[name]):
            assert host.core is None, f"{name} is on at {now_us}, while a cause holds it"
        elif name not in self.churned and not _within(now_us, self.full[name]):
            assert host.core is not None, f"{name} is off at {now_us}, and no cause holds it"
        factors = [
            fault.keys["factor"]
            for fault in self.faults
            if fault.kind == "disk-slow" and name in fault.who and _within(now_us, fault.spans())
        ]
        assert host.disk.factor == max([1, *factors])
        for lane in host.links.values():
            for start, end in self.silent(name, lane.dst.name):
                if start + DEAD_S * SECOND < now_us < end:
                    assert lane.link.up_at_us > start, f"{name}: a connection outlives {DEAD_S} s of silence"
            both = {name, lane.dst.name}
            extra = [
                fault.keys["extra_ms"]
                for fault in self.faults
                if fault.kind == "link" and both & set(fault.who) and _within(now_us, fault.spans())
            ]
            assert lane.extra_us == 1_000 * max([0, *extra])


class Stand:
    """As much of a `Deployment` as the player of faults needs."""

    def __init__(self, seed: int) -> None:
        self.world = ExactWorld(
            start_us=ZERO_US - 2 * SECOND,
            choices=Choices(seed),
            geography=WORLD,
            dead_after_us=DEAD_S * SECOND,
            fair_from_bytes=10 if seed % 2 else 16_384,
        )
        for index, name in enumerate(NAMES):
            dials = NAMES[:index]
            self.world.add(
                node_id=bytes([1 + index]) * 32,
                tier=1,
                address=name,
                tables=[TABLE],
                build=lambda _disk, dials=dials: Talker(dials),  # type: ignore[misc]
                place=Place(2 * index, Access(100_000, 100_000) if seed % 3 else Access()),
            )

    def id_of(self, name: str) -> bytes:
        return bytes([1 + int(name[3:])]) * 32

    def host(self, name: str) -> Host:
        return self.world.host(self.id_of(name))


@st.composite
def schedules(draw: st.DrawFn) -> list[Planned]:
    """Return faults that overlap: on few hosts, at whole half seconds, of every kind; all are over by 18 s."""
    found = []
    for _ in range(draw(st.integers(2, 8))):
        kind = draw(
            st.sampled_from(
                (
                    "partition",
                    "partition",
                    "partition",
                    "crash",
                    "stop",
                    "disk-slow",
                    "disk-full",
                    "amnesia",
                    "bit-flip",
                    "lost-suffix",
                    "crash-point",
                    "churn",
                    "link",
                    "clock",
                )
            )
        )
        who = sorted(draw(st.sets(st.sampled_from(NAMES), min_size=1, max_size=2)))
        at = draw(st.integers(2, 24))
        until = draw(st.integers(at + 1, 36))
        at_us, end_us = ZERO_US + at * SECOND // 2, ZERO_US + until * SECOND // 2
        keys: dict[str, Any] = {
            "partition": {
                "direction": draw(st.sampled_from(("both", "in", "out"))),
                "flap_s": draw(st.sampled_from((0, 0, 1.5, 0.1))),
            },
            "disk-slow": {"factor": draw(st.integers(2, 20))},
            "link": {"extra_ms": draw(st.integers(1, 90))},
            "clock": {"step_ms": draw(st.integers(-500, 500))},
            "churn": {"up_s": 2, "down_s": 1},
            "crash-point": {
                "boundary": draw(st.sampled_from(("after-durable", "before-send", "after-persist"))),
                "nth": draw(st.integers(1, 9)),
                "down_s": TRAP_DOWN_S,
            },
        }.get(kind, {})
        found.append(Planned(kind, who, at_us, end_us, keys))
    return found


def plan(kind: str, who: list[str], at_s: float, end_s: float, **keys: Any) -> Planned:
    """Return a fault; times in s of the run."""
    return Planned(kind, who, ZERO_US + int(at_s * SECOND), ZERO_US + int(end_s * SECOND), keys)


CUTS = [
    plan("partition", ["l1-3"], 1, 16),
    plan("partition", ["l1-0"], 2, 9, flap_s=0.1),
    plan("partition", ["l1-1"], 3, 8, direction="out"),
    plan("partition", ["l1-1"], 5, 11, direction="in"),
    plan("crash", ["l1-0", "l1-3"], 6, 7),
    plan("link", ["l1-2"], 4, 9, extra_ms=80),
    plan("link", ["l1-2"], 6, 12, extra_ms=20),
    plan("crash", ["l1-2"], 12.99, 13.5),
    plan("partition", ["l1-2"], 13, 15),
]
AGAIN = [  # cut again while what was held is on its way through a narrow line
    plan("partition", ["l1-0", "l1-1"], 5, 7),
    plan("partition", ["l1-0", "l1-1"], 7.5, 12),
    plan("partition", ["l1-0"], 1, 17),
]
SHORT_CUTS = [
    plan("link", ["l1-0"], 0, 18, extra_ms=400),
    *(plan("partition", [name], at, at + 0.1) for at, name in enumerate(NAMES * 4, 1)),
]
MOVING = [  # a connection ends while its traffic moves to a second one, and what it still carries is lost
    plan("amnesia", ["l1-3"], 5.5, 17.5),
    plan("stop", ["l1-1", "l1-3"], 1, 2),
    plan("partition", ["l1-1"], 4, 13.5, flap_s=1.5),
    plan("partition", ["l1-0", "l1-3"], 2, 12, flap_s=1.5),
    plan("bit-flip", ["l1-1", "l1-3"], 3, 3.5),
]
MACHINES = [
    plan("crash", ["l1-0"], 1, 4),
    plan("stop", ["l1-0"], 3, 9),
    plan("amnesia", ["l1-0"], 5, 6),
    plan("disk-full", ["l1-1"], 1, 5),
    plan("crash", ["l1-1"], 2, 4),
    plan("disk-full", ["l1-1"], 4, 9),
    plan("disk-slow", ["l1-2"], 1, 9, factor=20),
    plan("disk-slow", ["l1-2"], 2, 5, factor=3),
    plan("crash-point", ["l1-2"], 1, 9, boundary="before-send", nth=5, down_s=TRAP_DOWN_S),
    plan("crash-point", ["l1-2"], 1, 9, boundary="before-send", nth=40, down_s=TRAP_DOWN_S),
    plan("churn", ["l1-3"], 1, 15, up_s=2, down_s=1),
    plan("crash", ["l1-3"], 2, 12),
]


@settings(max_examples=15, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
@given(schedules(), st.integers(0, 5))
@example(AGAIN, 4)
@example(CUTS, 0)
@example(CUTS, 1)
@example(SHORT_CUTS, 0)
@example(SHORT_CUTS, 1)
@example(MACHINES, 2)
@example(MOVING, 4)
def test_the_world_keeps_its_promises(faults: list[Planned], seed: int) -> None:
    """Whatever overlaps; and at the end everybody is on and talks to everybody."""
    Talker.lives = 200  # frames are as long in every run, whatever ran before
    stand, model = Stand(seed), Model(faults)
    world = stand.world
    world.observe(model.take)
    for host in world.hosts.values():
        world.start(host.node_id)
    world.run(2 * SECOND)
    assert all(len(host.links) == 3 for host in world.hosts.values())
    scenario = read_scenario(TEXT + "".join(fault.toml for fault in faults), "promises.toml")
    FaultPlayer(scenario, stand, {}, {1: NAMES, 2: [], 3: [], 4: []}, ZERO_US)  # type: ignore[arg-type]
    world.run(100_007)  # then each look falls between what hosts do, at whole tens of microseconds
    while world.now_us < ZERO_US + DURATION_S * SECOND:
        for host in world.hosts.values():
            model.look(world.now_us, host)
        world.run(250_000)
    for host in world.hosts.values():
        assert host.core is not None
        assert len(host.links) == 3
        assert not host.disk.full
        assert host.local_us(world.now_us) == world.now_us
    before = model.delivered
    world.run(SECOND)
    assert model.delivered > before + 40


def test_a_one_way_cut_lets_the_other_way_through() -> None:
    """While nothing leaves l1-1, it hears everybody, until its connections are given up."""
    stand = Stand(0)
    world = stand.world
    heard: list[Event] = []
    world.observe(lambda event: heard.append(event) if isinstance(event, Delivered) else None)
    for host in world.hosts.values():
        world.start(host.node_id)
    world.run(2 * SECOND)
    world.cut([stand.id_of("l1-1")], [stand.id_of(name) for name in NAMES if name != "l1-1"], one_way=True)
    world.run(SECOND)
    heard.clear()
    world.run(3 * SECOND)
    assert [event for event in heard if isinstance(event, Delivered) and event.sender.name == "l1-1"] == []
    assert sum(isinstance(event, Delivered) and event.receiver.name == "l1-1" for event in heard) > 60
