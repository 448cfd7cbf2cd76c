"""Networks of shipped cores to measure: how many messages a second the engine delivers to them on one core."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter, thread_time

from ..errors import SimulationError
from ..exact import Deployment
from ..run import Job, Moment, run_jobs, set_up
from ..scenario.schema import library_text, load_named
from .spent import Spent

SCENARIO = "global-baseline"
"""The scenario that every network with payments is a smaller or larger form of."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Size:
    """How large a network is and how long it runs.

    Attributes:
        counts: nodes of L1, L2, L3 and L4.
        simulated_s: simulated time that is measured, after the links are up.
        payments_per_s: of all phones together; half as many balances are asked for.
    """

    counts: tuple[int, int, int, int]
    simulated_s: int
    payments_per_s: int = 40

    @property
    def nodes(self) -> int:
        """How many nodes it has."""
        return sum(self.counts)

    @property
    def changes(self) -> tuple[str, ...]:
        """What it changes in the scenario."""
        return (
            *(f"tiers.l{tier}.count={count}" for tier, count in enumerate(self.counts, 1)),
            f"scenario.duration_s={self.simulated_s}",
            f"workload.stop_s={self.simulated_s}",
            f"workload.payments_per_s={self.payments_per_s}",
            f"workload.balances_per_s={max(1, self.payments_per_s // 2)}",
        )


@dataclass(frozen=True, slots=True)
class Measured:
    """One run.

    Attributes:
        messages: delivered while it was measured.
        cpu_s: CPU time of that, of the one thread that a run is: who else uses the machine is not to be measured.
        start_s: real time before: building the nodes, switching them on, links coming up.
        spent: where the time went, by samples.
    """

    messages: int
    cpu_s: float
    start_s: float
    spent: Spent

    @property
    def rate(self) -> float:
        """Messages per second of one core."""
        return self.messages / self.cpu_s


def measure_payments(size: Size, tell: Tell) -> Measured:
    """Run a network of all four tiers with payments, watched by the recorder as in ``supervm sim run``."""
    began_s = perf_counter()
    stage = set_up(load_named(SCENARIO, size.changes), 1)
    stage.begin()
    return _measure(stage.deployment, size.simulated_s, perf_counter() - began_s, tell)


def measure_consensus(validators: int, simulated_s: int, tell: Tell) -> Measured:
    """Run validators alone, in the scenario's regions, without payments and without anybody who watches."""
    began_s = perf_counter()
    deployment = Deployment(l1=validators, l2=0, l3=0, l4=0, regions="spread", keep_events=False)
    deployment.start()
    return _measure(deployment, simulated_s, perf_counter() - began_s, tell)


def _measure(deployment: Deployment, simulated_s: int, start_s: float, tell: Tell) -> Measured:
    world, spent = deployment.world, Spent()
    before = world.delivered
    cpu_s, began_s = thread_time(), perf_counter()
    told_s = began_s
    with spent.watch():
        for second in range(simulated_s):
            world.run(1_000_000)
            if perf_counter() - told_s > 2:
                told_s = perf_counter()
                tell(f"{second + 1} of {simulated_s} simulated seconds after {told_s - began_s:.0f} s")
    messages, cpu_s = world.delivered - before, thread_time() - cpu_s
    if not messages:
        raise SimulationError("nothing was delivered in a network that was to be measured")
    return Measured(messages, cpu_s, start_s, spent)


@dataclass(frozen=True, slots=True)
class Parallel:
    """The same two seeds one after the other and both at once.

    Attributes:
        one_s: real time of the first way.
        two_s: of the second.
        digests: of the seeds, which were the same both ways.
    """

    one_s: float
    two_s: float
    digests: tuple[str, ...]


def measure_parallel(size: Size, tell: Tell) -> Parallel:
    """Run two seeds, each in a fresh process: one after the other, then both at once.

    Raises:
        SimulationError: a seed's digest depends on what ran beside it.
    """
    jobs = [Job(number, library_text(SCENARIO), SCENARIO, size.changes, 1 + number, False, "") for number in range(2)]

    def run(workers: int) -> tuple[float, tuple[str, ...]]:
        began_s = perf_counter()

        def ended(moment: Moment) -> None:
            tell(f"seed {jobs[moment.run].seed} ended after {perf_counter() - began_s:.0f} s")

        digests = tuple(result["digest"] for result in run_jobs(jobs, ended, workers=workers))
        return perf_counter() - began_s, digests

    tell("two seeds, one after the other")
    one_s, one = run(1)
    tell("the same two seeds at once")
    two_s, two = run(2)
    if one != two:
        raise SimulationError(f"the digests of seeds 1 and 2 are {one} one after the other, but {two} at once")
    return Parallel(one_s, two_s, one)
