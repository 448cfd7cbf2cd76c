"""Days of a four-tier network in the exact engine, and what they leave behind: memory, rows, and work at a start.

Someone pays a few times a minute, from a phone and to an account that chance chooses. Every quarter of a virtual hour
the cores are measured object by object (`core_sizes`). Every few hours one node of each tier, in turn, is switched off
as by a crash and on again two minutes later; what its disk holds then is kept, so that at the end the starts of the
first and of the last day can be measured one after the other, in turn, on the same machine. The first node of each tier
is never switched off: what it holds, it holds from the beginning.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from core_sizes import size_bytes, sizes

from supervm.common.contract.core import Core, Started
from supervm.common.contract.records import Key
from supervm.protocol.chain.genesis import Parameters
from supervm.sim.exact import Deployment
from supervm.sim.exact.disk import Snapshot, VirtualDisk
from supervm.sim.exact.host import Host
from supervm.tier_l1_super.node import StartUp, ValidatorNode
from supervm.tier_l2_miner.node import MinerNode
from supervm.tier_l2_miner.options import MinerOptions
from supervm.tier_l4_mobile.messages import PaymentRow

HOUR_US = 3_600_000_000
LOOK_HOURS, OFF_HOURS, AGAIN_HOURS, NEVER = 1 / 4, 1 / 30, 1 / 360, float("inf")
LOG_RECORDS_MAX = 8
"""A validator is only switched off with so few promises in its log: it has up to 800, and reads them all at a start."""
COUNTS = {1: 4, 2: 2, 3: 2, 4: 4}
Span = tuple[float, float]
"""From one hour to another."""
STARTS_MEASURED = 40


class FewBlocks(Deployment):
    """A network whose L1 and L2 nodes keep fewer blocks than by default."""

    keep_blocks = 1_000

    def _validator(self, index: int, disk: VirtualDisk, listen_us: int | None = None) -> Core:
        return ValidatorNode(
            chain=self.chain,
            node_id=self.l1[index].public,
            key=self.validators[index],
            reader=disk,
            targets=self.targets(1, index),
            rng=self._rng(1, index),
            start=StartUp(disk.log_lost),
            values={"keep_blocks": self.keep_blocks},
        )

    def _miner(self, index: int, disk: VirtualDisk) -> Core:
        return MinerNode(
            chain=self.chain,
            key=self.l2[index],
            reader=disk,
            targets=self.targets(2, index),
            rng=self._rng(2, index),
            options=MinerOptions(keep_blocks=self.keep_blocks),
        )


class _Counted:
    """A disk that counts the rows that are read from it."""

    def __init__(self, disk: VirtualDisk) -> None:
        self._disk, self.rows = disk, 0
        self.log_lost = disk.log_lost

    def get(self, table: str, key: Key) -> Any:
        self.rows += 1
        return self._disk.get(table, key)

    def scan(self, table: str, *, first: Key | None = None, limit: int | None = None) -> Iterator[Any]:
        for row in self._disk.scan(table, first=first, limit=limit):
            self.rows += 1
            yield row

    def count(self, table: str) -> int:
        found = self._disk.count(table)
        self.rows += found
        return found

    def log(self) -> list[bytes]:
        return self._disk.log()  # no rows, and where it is compared it is short


@dataclass(frozen=True)
class Stop:
    """A node that was switched off: when, and what its disk held."""

    hour: float
    tier: int
    name: str
    disk: Snapshot
    now_us: int


@dataclass
class Days:
    """What a run has seen; sizes in bytes, times in virtual hours."""

    hours: float
    paid: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    height: int = 0
    memory: dict[int, list[tuple[float, int]]] = field(default_factory=dict)
    """Tier -> (hour, size of its first core)."""
    rows: list[tuple[float, dict[str, int]]] = field(default_factory=list)
    """(hour, rows of each table of the first node of each tier)."""
    stops: list[Stop] = field(default_factory=list)
    behind: dict[int, list[float]] = field(default_factory=dict)
    """Tier 1 or 2 -> virtual seconds from each start until the node is where the others were at it."""
    places: dict[int, tuple[Counter[str], Counter[str]]] = field(default_factory=dict)
    """Tier -> sizes by place of its first node, early and at the end."""

    def mean_bytes(self, tier: int, begin: float, end: float) -> float:
        """Return the mean size of a tier's first core between two hours."""
        return statistics.fmean(size for hour, size in self.memory[tier] if begin <= hour <= end)


def live(
    hours: float,
    *,
    counts: Mapping[int, int] = COUNTS,
    per_minute: float = 5,
    restart_hours: float = 6,
    warm_hours: float = 2,
    tell: Callable[[str], None] = lambda line: None,
) -> tuple[Days, Deployment]:
    """Run a network for some virtual hours, then let its payments come to their end.

    Args:
        hours: how long.
        counts: tier -> nodes; of a tier that has one node, none is switched off.
        per_minute: payments.
        restart_hours: between crashes; at each, one node of each tier.
        warm_hours: when the sizes by place are taken for the first time.
        tell: told how far it is, each hour.
    """
    net = FewBlocks(
        **{f"l{tier}": count for tier, count in counts.items()},
        parameters=Parameters(2, test_network=True),
        keep_events=False,
    )
    net.start()
    run = _Run(net, counts, Days(hours), random.Random(1))
    at = {"pay": 0.0, "look": LOOK_HOURS, "stop": restart_hours, "start": NEVER, "say": 1.0}
    while True:
        what, hour = min(at.items(), key=lambda item: item[1])
        if hour > hours and at["start"] == NEVER:
            break
        run.until(hour)
        match what:
            case "pay":
                run.pay()
                at["pay"] += run.rng.expovariate(per_minute * 60)
            case "look":
                run.look(hour, is_warm=hour >= warm_hours)
                at["look"] += LOOK_HOURS
            case "stop" if run.is_comparable():
                run.stop(hour)
                at["start"] = hour + OFF_HOURS
                at["stop"] = max(restart_hours * (run.turn + 1), hour + 2 * OFF_HOURS)
            case "stop":
                at["stop"] += AGAIN_HOURS
            case "start":
                run.start()
                at["start"] = NEVER
            case _:
                tell(run.line(hour))
                at["say"] += 1
    run.end()
    return run.days, net


class _Run:
    """What happens to a network, one thing at a time."""

    def __init__(self, net: Deployment, counts: Mapping[int, int], days: Days, rng: random.Random) -> None:
        self.net, self.counts, self.days, self.rng = net, counts, days, rng
        self.turn = 0
        self._gone: list[Host] = []
        self._began_us, self._began_s = net.world.now_us, time.process_time()

    def until(self, hour: float) -> None:
        """Run until a virtual hour, if it is not past."""
        due_us = self._began_us + int(hour * HOUR_US)
        if due_us > self.net.world.now_us:
            self.net.world.run(due_us - self.net.world.now_us)

    def pay(self) -> None:
        """Have one account pay another; a phone that is off is passed over, as its owner would wait."""
        net, rng = self.net, self.rng
        phone, to = rng.randrange(len(net.l4)), rng.randrange(len(net.l4))
        accounts = len(net.wallets[0])
        row = PaymentRow(
            to=net.address(to, rng.randrange(accounts)),
            amount=rng.randrange(1, 1_000),
            fee=rng.randrange(1, 50),
            source=net.address(phone, rng.randrange(accounts)),
            key=f"pay{self.days.paid}",
        )
        if net.host(f"l4-{phone}").core is not None:
            net.pay(phone, [row])
            self.days.paid += 1

    def look(self, hour: float, *, is_warm: bool) -> None:
        """Measure the first node of each tier."""
        rows: dict[str, int] = {}
        for tier in self.counts:
            host = self.net.host(f"l{tier}-0")
            self.days.memory.setdefault(tier, []).append((hour, size_bytes(host.core)))
            rows |= {f"l{tier}.{table}": host.disk.count(table) for table in host.disk._names}
        rows["l1.log"] = len(self.net.host("l1-0").disk._log)
        self.days.rows.append((hour, rows))
        if is_warm and not self.days.places:
            self.days.places = {tier: (self._sizes(tier), Counter()) for tier in self.counts}

    def _sizes(self, tier: int) -> Counter[str]:
        return sizes(self.net.host(f"l{tier}-0").core)

    def _next(self) -> list[Host]:
        return [
            self.net.host(f"l{tier}-{1 + self.turn % (count - 1)}") for tier, count in self.counts.items() if count > 1
        ]

    def is_comparable(self) -> bool:
        """Return whether the validator that is next has just compacted its log, all of which a start reads."""
        return len(self._next()[0].disk._log) <= LOG_RECORDS_MAX

    def stop(self, hour: float) -> None:
        """Switch one node of each tier off."""
        self._gone, self.turn = self._next(), self.turn + 1
        for host in self._gone:
            self.net.world.crash(host.node_id)
            stop = Stop(hour, host.tier, host.name, host.disk.snapshot(), self.net.world.now_us)
            self.days.stops.append(stop)

    def start(self) -> None:
        """Switch them on again, and wait until they are where the others are."""
        goal = self._height()
        for host in self._gone:
            self.net.world.start(host.node_id)
        began_us = self.net.world.now_us
        for host in self._gone:
            if host.tier <= 2:
                assert self.net.world.run(HOUR_US, until=lambda host=host: _height_of(host) >= goal), host.name
                self.days.behind.setdefault(host.tier, []).append((self.net.world.now_us - began_us) / 1e6)

    def line(self, hour: float) -> str:
        """Say how far it is."""
        held = ", ".join(f"L{tier} {found[-1][1] / 1024:.0f} KiB" for tier, found in self.days.memory.items())
        spent = f"{time.process_time() - self._began_s:.0f} s of CPU, {self.net.world.events} events"
        return f"hour {hour:g}: {self.days.paid} payments, height {self._height()}, {held}; {spent}"

    def end(self) -> None:
        """Let every payment come to its end."""
        self.days.statuses = self.net.settle(120)
        self.days.height = self._height()
        for tier, (before, _) in self.days.places.items():
            self.days.places[tier] = before, self._sizes(tier)

    def _height(self) -> int:
        return max(_height_of(host) for host in self.net.honest(1))


def _height_of(host: Host) -> int:
    match host.core:
        case ValidatorNode() as core:
            return core.height
        case MinerNode() as core:
            return core.replica.ledger.height
    return 0


# --- starts -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Starts:
    """Work of a tier's starts, early and late in a run.

    Attributes:
        rows: rows read, by the starts of each day in order.
        cpu_us: CPU time, the least of each.
    """

    rows: tuple[list[int], list[int]]
    cpu_us: tuple[list[float], list[float]]

    def ratio(self, of: str) -> float:
        """Return late / early of the mean of ``rows`` or ``cpu_us``."""
        early, late = getattr(self, of)
        return statistics.fmean(late) / statistics.fmean(early)


def measure_starts(net: Deployment, stops: Sequence[Stop], early: Span, late: Span) -> dict[int, Starts]:
    """Start from the disks that were kept in two spans of hours, in turn, and return what it took, by tier."""
    result: dict[int, Starts] = {}
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        for tier in sorted({stop.tier for stop in stops}):
            found: tuple[list[_Start], list[_Start]] = ([], [])
            for part, (begin, end) in zip(found, (early, late), strict=True):
                part += [_Start(net, stop) for stop in stops if stop.tier == tier and begin < stop.hour <= end]
            in_turn = [start for pair in zip_longest(*found) for start in pair if start is not None]
            for turn in range(STARTS_MEASURED):
                for start in in_turn if turn % 2 else reversed(in_turn):
                    start.again()
            rows, cpu_us = ([[getattr(start, name) for start in part] for part in found] for name in ("rows", "cpu_us"))
            result[tier] = Starts((rows[0], rows[1]), (cpu_us[0], cpu_us[1]))
    finally:
        gc.enable()
        gc.unfreeze()
    return result


class _Start:
    """The start of one node from one disk; it writes nothing, so it can be done again and again."""

    def __init__(self, net: Deployment, stop: Stop) -> None:
        host = net.host(stop.name)
        self._build, self._now_us = host.build, stop.now_us
        self._disk = VirtualDisk([host.disk._declared[name] for name in host.disk._names])
        self._disk.restore(stop.disk)
        counted: Any = _Counted(self._disk)
        self._build(counted).handle(self._now_us, Started())
        self.rows: int = counted.rows
        self.cpu_us = float("inf")

    def again(self) -> None:
        """Start once more, and keep the shortest CPU time."""
        began_ns = time.process_time_ns()
        self._build(self._disk).handle(self._now_us, Started())
        self.cpu_us = min(self.cpu_us, (time.process_time_ns() - began_ns) / 1_000)
