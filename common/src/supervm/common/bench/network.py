"""``supervm bench network``: the payments per second that a network of eight processes bears, and what they cost.

What is measured. `supervm up`'s usual network (4 L1, 1 L2, 1 L3, 2 L4; real processes, sockets and disks) has 10,000
accounts more than its phones: a load of four connections to the L3, 2,500 accounts each, that speaks to the edge as a
phone does (`open_loop.client`). Payments go between accounts drawn at random, in an open loop: each leaves when a
schedule says so, whatever became of those before, and its latency counts from then until the load has itself verified a
proof that it was executed (R4). A rate holds if every payment of 30 s is proved and 99 of 100 within a second; the rate
is the largest that holds, found by steps on the running network (`open_loop.search`), and the median of three searches.

What is not. The load signs before each step, not in it, and has no journal: ten thousand phones would do both on
machines of their own (`bench burst` has what a phone spends). It is one process on the same machine, so its CPU is
taken from the nodes; it is named in rows of its own. Its accounts share four connections, so the edge has four links to
seal for and not 10,000. The two phones of the network only listen.

The limit is the signature checks: every payment is checked by the edge, the miner and each validator, and the raw
libsodium rate of all cores, taken before and after, says how many payments that alone would allow.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import trio

from supervm.protocol.chain.allocations import Allocation
from supervm.protocol.state.leaves import NATIVE

from ..errors import CommonError
from ..up.layout import Counts
from . import peer
from .measure import BenchOptions, Row, short
from .open_loop.accounts import Owners
from .open_loop.costs import Seen, block_cost_s, by_tier, per_day, total
from .open_loop.load import Load, StepResult
from .open_loop.running import RunningNetwork, Sample, running_network
from .open_loop.schedule import Schedule
from .open_loop.search import RateSearch
from .procfs import Memory, check_proc, usage_of
from .verify import raw_rate_of_cores

CHECKS_PER_PAYMENT = 6
"""One at the edge that takes it, one at its miner, one at each of four validators."""
NEXT_GROWTH = 1.2
"""Factor of the first steps of further searches, which begin where the one before ended."""
FUNDS_GRAIN = 10**12
_MIB, _MB = 1 << 20, 10**6


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes of one run; the defaults are those of the documented figures.

    Attributes:
        counts: nodes of each tier.
        accounts: of the load.
        clients: connections of the load.
        rounds: searches for the rate.
        first_rate: payments per second that the first search begins with.
        growth: factor of that search's first steps.
        rate_max: payments per second that are not exceeded.
        p99_s: what 99 of 100 payments have to keep at a rate that holds.
        look_s: a short step of a search.
        hold_s: for how long a rate has to hold.
        precision: factor between two rates that are not told apart.
        costs: (payments per second, seconds) of the steps that show what a payment costs, slowest first.
        shares: per cent of the rate that latency is measured at, and for how long.
        settle_s: between the start and the idle run.
        idle_s: of the idle run.
    """

    counts: Counts = field(default_factory=Counts)
    accounts: int = 10_000
    clients: int = 4
    rounds: int = 3
    first_rate: float = 200.0
    growth: float = 1.5
    rate_max: float = 100_000.0
    p99_s: float = 1.0
    look_s: float = 6.0
    hold_s: float = 30.0
    precision: float = 1.06
    costs: tuple[tuple[float, float], ...] = ((10, 30), (100, 20), (1_000, 15))
    shares: tuple[tuple[int, float], ...] = ((10, 20), (50, 20), (80, 20))
    settle_s: float = 5.0
    idle_s: float = 30.0


FULL = Plan()
QUICK = Plan(
    accounts=1_000,
    rounds=1,
    look_s=3.0,
    hold_s=6.0,
    precision=1.2,
    costs=((10, 6), (100, 5), (1_000, 4)),
    shares=((10, 5), (50, 5), (80, 5)),
    settle_s=2.0,
    idle_s=10.0,
)


def run(options: BenchOptions) -> list[Row]:
    """Measure one network; at most as many searches as there are rounds."""
    plan = QUICK if options.quick else FULL
    rows = run_plan(plan, min(plan.rounds, options.rounds), options.directory, options.progress)
    options.progress(f"{peer.PROGRAM}, if it is installed")
    return [*rows, *peer.rows(quick=options.quick)]


def run_plan(plan: Plan, rounds: int, directory: Path, progress: Callable[[str], None]) -> list[Row]:
    """Measure as a plan says, in a new folder below `directory`.

    Raises:
        InputError: there is no ``/proc``, or a tier is not installed.
        CommonError: the network does not do what is asked, or no rate holds.
    """
    check_proc()
    cores = os.cpu_count() or 1
    progress(f"raw signature checks on {cores} cores")
    raw = raw_rate_of_cores(cores)
    with tempfile.TemporaryDirectory(prefix="supervm-bench-", dir=directory) as folder:
        seen = trio.run(_Measurement(plan, rounds, Path(folder), progress).run)
    progress("raw signature checks again")
    raw = max(raw, raw_rate_of_cores(cores))
    return rows_of(plan, seen, raw / CHECKS_PER_PAYMENT)


@dataclass(slots=True)
class Found:
    """What a run has shown.

    Attributes:
        tiers: node -> tier.
        idle: without payments.
        idle_between: the samples at its ends.
        memory: node -> memory, idle.
        costs: rate -> what was seen, and the step's latencies.
        rates: of the searches.
        looks: steps of all searches.
        shares: per cent of the rate -> latencies.
        loaded: payments of the searches, and the samples at their ends.
    """

    tiers: dict[str, int] = field(default_factory=dict)
    idle: Seen | None = None
    idle_between: tuple[Sample, Sample] | None = None
    memory: dict[str, Memory] = field(default_factory=dict)
    costs: dict[float, tuple[Seen, StepResult]] = field(default_factory=dict)
    rates: list[float] = field(default_factory=list)
    looks: int = 0
    shares: dict[int, StepResult] = field(default_factory=dict)
    loaded: tuple[int, Sample, Sample] | None = None


class _Measurement:
    def __init__(self, plan: Plan, rounds: int, folder: Path, progress: Callable[[str], None]) -> None:
        self._plan, self._rounds, self._folder, self._progress = plan, rounds, folder, progress
        self._found = Found()

    async def run(self) -> Found:
        plan = self._plan
        owners = Owners(plan.accounts, plan.clients, seed=1)
        funds = (Allocation(owner.account, FUNDS_GRAIN, NATIVE) for owner in owners.all)
        self._progress(f"starting {plan.counts.total} nodes and {plan.accounts} accounts")
        try:
            async with running_network(self._folder, plan.counts, funds) as net:
                self._found.tiers = {name: net.tier(name) for name in net.nodes}
                await self._idle(net)
                load = Load(net.load_chain(), net.edge(), owners, plan.clients)
                async with trio.open_nursery() as nursery:
                    await load.start(nursery)
                    await self._loaded(net, load)
                    await load.stop()
        except BaseExceptionGroup as group:
            raise _first(group) from None
        return self._found

    async def _idle(self, net: RunningNetwork) -> None:
        self._progress(f"idle for {self._plan.idle_s:g} s")
        await trio.sleep(self._plan.settle_s)
        before = await net.sample()
        await trio.sleep(self._plan.idle_s)
        after = await net.sample()
        self._found.memory = net.memory()
        self._found.idle_between = before, after
        self._found.idle = self._seen(0, before, after, 0.0)

    async def _loaded(self, net: RunningNetwork, load: Load) -> None:
        plan, found = self._plan, self._found
        for rate, seconds in plan.costs:
            found.costs[rate] = await self._cost(net, load, Schedule(rate, seconds))
        before, sent = await net.sample(), 0
        first, growth = plan.first_rate, plan.growth
        for number in range(self._rounds):
            rate, payments = await self._search(load, first, growth, f"round {number + 1} of {self._rounds}")
            sent += payments
            found.rates.append(rate)
            first, growth = rate, NEXT_GROWTH
        found.loaded = sent, before, await net.sample()
        rate = statistics.median(found.rates)
        for share, seconds in plan.shares:
            self._progress(f"latency at {share} % of {rate:.0f} payments/s")
            found.shares[share] = self._checked(await load.step(Schedule(rate * share / 100, seconds)), load)

    async def _cost(self, net: RunningNetwork, load: Load, schedule: Schedule) -> tuple[Seen, StepResult]:
        self._progress(f"CPU at {schedule.rate:g} payments/s")
        before, me, used = await net.sample(), os.getpid(), 0.0

        def started() -> None:
            nonlocal used
            used = usage_of(me, alone=True).cpu_s

        result = self._checked(await load.step(schedule, started=started), load)
        used = usage_of(me, alone=True).cpu_s - used
        return self._seen(result.sent, before, await net.sample(), used), result

    async def _search(self, load: Load, first: float, growth: float, text: str) -> tuple[float, int]:
        """Return the largest rate that holds, and how many payments that took."""
        plan, sent = self._plan, 0
        search = RateSearch(first, growth=growth, precision=plan.precision, ceiling=plan.rate_max)
        while (look := search.look) is not None:
            seconds = plan.hold_s if look.is_long else plan.look_s
            self._progress(f"{text}: {look.rate:.0f} payments/s for {seconds:g} s")
            result = self._checked(await load.step(Schedule(look.rate, seconds), p99_s=plan.p99_s), load)
            sent += result.sent
            search.told(result.holds(plan.p99_s))
        self._found.looks += search.tried
        if search.found is None:
            raise CommonError(f"no rate holds for {plan.hold_s:g} s with 99 of 100 payments within {plan.p99_s:g} s")
        return search.found, sent

    def _seen(self, payments: int, before: Sample, after: Sample, load_cpu_s: float) -> Seen:
        spent = {name: (after.used[name] - before.used[name]).cpu_s for name in after.used}
        elapsed_s = after.at_s - before.at_s
        blocks = after.height - before.height
        return Seen(payments, elapsed_s, by_tier(spent, self._found.tiers), load_cpu_s, blocks)

    @staticmethod
    def _checked(result: StepResult, load: Load) -> StepResult:
        if result.unproved:
            raise CommonError(
                f"{result.unproved} of {result.sent} payments at {result.schedule.rate:g}/s were never proved; "
                f"refusals: {load.refusals or 'none'}"
            )
        return result


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def rows_of(plan: Plan, found: Found, limit: float) -> list[Row]:
    """Return the rows of a run; `limit` is the payments per second that signature checks alone allow."""
    rate = statistics.median(found.rates)
    rows = [Row("network.rate", short(rate), "payments/s", short(limit), short(rate / limit), len(found.rates))]
    for share, result in found.shares.items():
        rows += _latencies(f"at{share}pct", result)
    for at, (seen, result) in found.costs.items():
        rows += _latencies(f"at{at:g}", result)
        name, n = f"network.cpu.at{at:g}", seen.payments
        rows.append(_plain(name, seen.us_per_payment(seen.nodes_cpu_s), "us/payment", n))
        rows += [
            _plain(f"{name}.l{tier}", seen.us_per_payment(cpu_s), "us/payment", n)
            for tier, cpu_s in sorted(seen.cpu_s.items())
        ]
        rows.append(_plain(f"{name}.load", seen.us_per_payment(seen.load_cpu_s), "us/payment", n))
        rows.append(_plain(f"network.blocks.at{at:g}", seen.blocks / seen.elapsed_s, "blocks/s", seen.blocks))
    if found.idle is not None and len(found.costs) > 1:
        slow, fast = (found.costs[at][0] for at in (min(found.costs), max(found.costs)))
        cost_s = block_cost_s(found.idle, slow, fast)
        if cost_s is not None:
            rows.append(_plain("network.cpu_block", cost_s * 1e3, "ms/block", slow.blocks))
    return [*rows, *_idle_rows(found), *_disk_rows(found)]


def _latencies(at: str, result: StepResult) -> list[Row]:
    return [
        _plain(f"network.latency_p{per_cent}.{at}", result.latency_s(per_cent) * 1e3, "ms", len(result.latencies_s))
        for per_cent in (50, 99)
    ]


def _idle_rows(found: Found) -> list[Row]:
    """Return what an idle process of each tier does, the mean of the tier."""
    if found.idle is None or found.idle_between is None:
        return []
    before, after = found.idle_between
    elapsed_s = after.at_s - before.at_s
    rows = [_plain("network.blocks.idle", found.idle.blocks / elapsed_s, "blocks/s", found.idle.blocks)]
    for tier, names in _members(found.tiers).items():
        used = [after.used[name] - before.used[name] for name in names]
        sent = sum(after.sent_bytes[name] - before.sent_bytes[name] for name in names)
        memory = total((found.memory[name] for name in names), Memory())
        figures = (
            ("cpu", 100 * sum(item.cpu_s for item in used) / elapsed_s, "% of a core"),
            ("wakeups", sum(item.wakeups for item in used) / elapsed_s, "1/s"),
            ("written", per_day(sum(item.written_bytes for item in used), elapsed_s) / _MB, "MB/day"),
            ("sent", per_day(sent, elapsed_s) / _MB, "MB/day"),
            ("rss", memory.rss / _MIB, "MiB"),
            ("pss", memory.pss / _MIB, "MiB"),
        )
        rows += [
            _plain(f"network.idle_l{tier}.{what}", value / len(names), unit, len(names))
            for what, value, unit in figures
        ]
    return rows


def _disk_rows(found: Found) -> list[Row]:
    """Return what a payment adds to the folder of one process of each tier, over all searches."""
    if found.loaded is None:
        return []
    sent, before, after = found.loaded
    return [
        _plain(
            f"network.disk_l{tier}",
            sum(after.disk_bytes[name] - before.disk_bytes[name] for name in names) / len(names) / sent,
            "bytes/payment",
            sent,
        )
        for tier, names in _members(found.tiers).items()
    ]


def _members(tiers: Mapping[str, int]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for name, tier in tiers.items():
        found.setdefault(tier, []).append(name)
    return dict(sorted(found.items()))


def _plain(name: str, value: float, unit: str, n: int) -> Row:
    return Row(name, short(value), unit, None, None, n)
