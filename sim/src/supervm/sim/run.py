"""Running a scenario: one seed in this process, or many seeds and variants, each in a process of its own.

Theory of operation. A run is a function of (scenario, seed): the deployment, the faults, the workload and every delay
draw from named streams of one root seed, and time is virtual. The digest covers every delivery until the end of the
scenario, before the nodes are asked for their books, so it says whether two runs were the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from hashlib import blake2b
from multiprocessing import get_context
from time import perf_counter
from typing import Any

from supervm.common.errors import InputError
from supervm.protocol.chain.genesis import Parameters

from .disturb.changes import ChangePlayer
from .disturb.faults import Episode, FaultPlayer
from .disturb.restorer import RESTORER, Restorer
from .exact import (
    ACTORS,
    RTT_MS_P50,
    WORLD,
    Access,
    Choices,
    Cpu,
    Deployment,
    DiskProfile,
    FindingDeployment,
    Geography,
    Late,
    Masks,
    Stream,
    lan,
)
from .report.lookups import Lookups
from .report.metrics import Collector, quorum_delay_us, sample
from .report.observing import Recorder
from .report.statistics import over_seeds
from .scenario.expect import judge
from .scenario.model import Adversary, Change, Fault, Scenario
from .scenario.naming import choosing_nobody, node_names, region_of_each, select
from .scenario.schema import read_scenario
from .workload import Work

TWIN_VIEWS = 200
"""Views for which twins are kept apart; later ones see and reach everybody."""

Report = Callable[["Moment"], None]


@dataclass(frozen=True, slots=True)
class Moment:
    """How far a run is: simulated and real time, and work done.

    Attributes:
        run: number of the run, from 0, among those of one command.
        done_us: simulated time that has passed, without the settling.
        total_us: simulated time of the whole run.
        events: queue items handled.
        wall_s: real seconds since the run began.
    """

    run: int
    done_us: int
    total_us: int
    events: int
    wall_s: float


def run_scenario(
    scenario: Scenario, seed: int, progress: Report | None = None, *, number: int = 0, real_crypto: bool = False
) -> dict[str, Any]:
    """Run a scenario with one seed in this process; return the document of surface.md.

    Args:
        scenario: checked.
        seed: root of every draw.
        progress: told about once per simulated second.
        number: the run's number, for `progress`.
        real_crypto: check every signature anew instead of once per process; the trace is the same.
    """
    began_s = perf_counter()
    stage = set_up(scenario, seed, real_crypto=real_crypto)
    deployment, honest, recorder = stage.deployment, stage.honest, stage.recorder
    world = deployment.world
    episodes, work = stage.begin()
    zero_us = world.now_us
    samples = [sample(deployment, honest, zero_us)]
    while (left_us := zero_us + scenario.duration_us - world.now_us) > 0:
        world.run(min(scenario.sample_us, left_us))
        samples.append(sample(deployment, honest, zero_us))
        if progress is not None:
            done_us = world.now_us - zero_us
            progress(Moment(number, done_us, scenario.duration_us, world.events, perf_counter() - began_s))
    digest, events = world.digest.hex(), world.events
    unit_us = quorum_delay_us(deployment, stage.geography)
    collector = Collector(deployment, recorder, honest, samples, episodes, unit_us, zero_us, scenario.duration_us)
    metrics = collector.collect()
    metrics["summary"]["adversary_acts"] += stage.restorer.acted
    if work.lookups is not None:
        metrics["summary"].update(work.lookups.summary())
        metrics["lookups"] = work.lookups.rows()
    metrics["workload"] = {"asked": work.asked, "phone_off": work.skipped}
    expect = judge(scenario.expect, metrics["summary"])
    return {
        "scenario": scenario.name,
        "engine": scenario.engine,
        "seed": seed,
        "digest": digest,
        "ok": all(row["ok"] for row in expect),
        "expect": expect,
        "metrics": metrics,
        "wall_s": round(perf_counter() - began_s, 3),
        "simulated_s": scenario.duration_us / 1e6,
        "events": events,
    }


@dataclass(frozen=True, slots=True)
class Stage:
    """A scenario and seed with everything in its place and nothing switched on.

    Attributes:
        scenario: what is played.
        names: tier -> names of its nodes.
        choices: the streams of the seed.
        region_of: name -> region; empty in a LAN.
        honest: names of the nodes that are neither actors nor twins.
        geography: delays.
        deployment: the network.
        recorder: watches it from the start.
        restorer: restores the databases of some validators again and again; they are honest.
    """

    scenario: Scenario
    names: dict[int, list[str]]
    choices: Choices
    region_of: dict[str, str]
    honest: dict[str, None]
    geography: Geography
    deployment: Deployment
    recorder: Recorder
    restorer: Restorer

    def begin(self) -> tuple[list[Episode], Work]:
        """Switch everything on, let the links come up, and plan faults, changes and work from now on."""
        scenario, deployment = self.scenario, self.deployment
        deployment.start(scenario.settle_us)
        zero_us = deployment.world.now_us
        faults = FaultPlayer(scenario, deployment, self.region_of, self.names, zero_us)
        changes = ChangePlayer(scenario, deployment, self.region_of, self.names, self.honest, zero_us)
        self.restorer.begin(zero_us + scenario.duration_us)
        stream = self.choices.stream("scenario/senders")
        senders = [
            name
            for name in select(scenario.workload.senders, self.names, self.region_of, stream)
            if name in self.honest
        ]
        lookups = Lookups(deployment) if scenario.workload.lookups_per_1000s else None
        wanted = select(scenario.workload.lookups_of, self.names, self.region_of, stream) if lookups else []
        work = Work(scenario.workload, deployment, self.recorder, senders, zero_us, wanted, lookups)
        return [*faults.episodes, *changes.episodes], work


def set_up(scenario: Scenario, seed: int, *, real_crypto: bool = False) -> Stage:
    """Build the network of a scenario; the same scenario and seed always give the same one.

    Raises:
        InputError: with the regions that this seed draws a fault, a change or an adversary would strike nobody.
    """
    check_selections(scenario, seed)
    names = node_names([plan.count for plan in scenario.tiers])
    choices = Choices(seed)
    region_of = _regions(scenario, names, choices)
    cast = _adversaries(scenario, names, region_of, choices)
    geography = _geography(scenario)
    deployment = _deploy(scenario, seed, choices, region_of, geography, cast, real_crypto=real_crypto)
    honest = {name: None for tier in names for name in names[tier] if name not in deployment.tampered}
    return Stage(
        scenario,
        names,
        choices,
        region_of,
        honest,
        geography,
        deployment,
        Recorder(deployment, honest),
        Restorer(deployment, tuple(cast.restored)),
    )


def check_selections(scenario: Scenario, seed: int) -> None:
    """Refuse faults, changes and adversaries that would strike nobody with the regions that this seed draws.

    Raises:
        InputError: which one, with its line.
    """
    names = node_names([plan.count for plan in scenario.tiers])
    region_of = _regions(scenario, names, Choices(seed))
    entries: list[tuple[str, int, Fault | Change | Adversary, int | None]] = [
        *(("fault", number, fault, None) for number, fault in enumerate(scenario.faults, 1)),
        *(("change", number, change, 1) for number, change in enumerate(scenario.changes, 1)),
        *(("adversary", number, one, tier_of(one.kind)) for number, one in enumerate(scenario.adversaries, 1)),
    ]
    for table, number, entry, tier in entries:
        problem = choosing_nobody(entry.who, names, region_of, tier)
        if problem is not None:
            where = f"{scenario.source}, line {entry.line}, key {table}.{number}.who"
            raise InputError(f"{where}: {problem} with the regions of this seed")


def tier_of(kind: str) -> int:
    """Return the tier that an adversary plays."""
    return ACTORS[kind].tier if kind in ACTORS else 1


# --- building ---------------------------------------------------------------------------------------------------------


def _regions(scenario: Scenario, names: dict[int, list[str]], choices: Choices) -> dict[str, str]:
    regions = scenario.topology.regions
    if not regions or scenario.topology.placement != "random":
        return region_of_each(names, regions)
    stream = choices.stream("scenario/placement")
    return {name: stream.pick(regions) for tier in sorted(names) for name in names[tier]}


@dataclass(slots=True)
class _Cast:
    """Who is no honest node: name -> actor, masks of twins, times of late twins; and whose disk is not."""

    actors: dict[str, str] = field(default_factory=dict)
    twins: dict[str, Masks] = field(default_factory=dict)
    late: dict[str, Late] = field(default_factory=dict)
    restored: dict[str, None] = field(default_factory=dict)


def _adversaries(scenario: Scenario, names: dict[int, list[str]], region_of: dict[str, str], choices: Choices) -> _Cast:
    cast = _Cast()
    for number, adversary in enumerate(scenario.adversaries, 1):
        draws = choices.stream(f"scenario/adversary/{number}")
        for name in select(adversary.who, names, region_of, draws, tier_of(adversary.kind)):
            if any(name in part for part in (cast.actors, cast.twins, cast.late, cast.restored)):
                continue  # the first entry that names a node has it
            if adversary.kind == RESTORER:
                cast.restored[name] = None
            elif adversary.kind == "twins":
                cast.twins[name] = _masks(len(names[1]), draws)
            elif adversary.kind == "late-twin":
                cast.late[name] = Late(adversary.number("late_s"), adversary.number("listen_s"))
            else:
                cast.actors[name] = adversary.kind
    return cast


def _masks(validators: int, draws: Stream) -> Masks:
    """Which of the two twins each validator sees, by view: one, the other or both, drawn evenly."""
    return Masks([[draws.between(1, 3) for _ in range(validators)] for _ in range(TWIN_VIEWS)])


def _geography(scenario: Scenario) -> Geography:
    if not scenario.topology.regions:
        return lan()
    if scenario.topology.jitter:
        return WORLD
    medians = [[value * 1000 for value in row] for row in RTT_MS_P50]
    return Geography(medians, medians)


def _deploy(
    scenario: Scenario,
    seed: int,
    choices: Choices,
    region_of: dict[str, str],
    geography: Geography,
    cast: _Cast,
    *,
    real_crypto: bool,
) -> Deployment:
    hardware = scenario.hardware
    access = {
        tier: Access(plan.up_bps, plan.down_bps, plan.last_mile_us, plan.loss_ppm)
        for tier, plan in enumerate(scenario.tiers, 1)
    }
    is_busy = hardware.step_us or hardware.verify_us
    cpu = Cpu(hardware.step_us, hardware.verify_us) if is_busy else None
    l1, l2, l3, l4 = (plan.count for plan in scenario.tiers)
    kind = FindingDeployment if scenario.topology.find_peers else Deployment
    deployment = kind(
        l1=l1,
        members=scenario.tier(1).members or None,
        l2=l2,
        l3=l3,
        l4=l4,
        accounts=scenario.workload.accounts,
        assets=scenario.workload.assets,
        seed=seed,
        parameters=Parameters(
            2,
            test_network=True,
            view_timeout_ms=scenario.view_timeout_ms,
            block_interval_ms=scenario.block_interval_ms,
            idle_interval_ms=scenario.idle_interval_ms,
            epoch_ms=scenario.epoch_us // 1_000,
        ),
        regions=region_of or None,
        geography=geography,
        access=access,
        uplinks={tier: scenario.tier(tier).links for tier in (2, 3, 4)},
        real_crypto=real_crypto,
        choices=choices,
        actors=cast.actors,
        twins=cast.twins,
        late_twins=cast.late,
        cpu=cpu,
        keep_events=False,
        disk=DiskProfile(write_us=hardware.write_us, jitter_us=hardware.write_jitter_us),
    )
    deployment.world.network.dead_after_us = hardware.dead_after_us
    return deployment


# --- many runs --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Job:
    """One run of a command: a scenario's text with changes, and a seed."""

    number: int
    text: str
    source: str
    changes: tuple[str, ...]
    seed: int
    real_crypto: bool
    label: str


def jobs_of(scenario: Scenario, text: str, changes: Iterable[str], seeds: Iterable[int], *, real: bool) -> list[Job]:
    """Return one job per variant and seed, variants in the order of the sweep."""
    base = tuple(changes)
    variants: list[tuple[tuple[str, ...], str]] = [(base, "")]
    if scenario.sweep is not None:
        key = scenario.sweep.key
        variants = [((*base, f"{key}={value}"), f"{key}={value}") for value in scenario.sweep.values]
    found: list[Job] = []
    for seed in seeds:
        for changed, label in variants:
            found.append(Job(len(found), text, scenario.source, changed, seed, real, label))
    return found


def run_job(job: Job, progress: Report | None = None) -> dict[str, Any]:
    """Run one job in this process."""
    scenario = read_scenario(job.text, job.source, job.changes)
    result = run_scenario(scenario, job.seed, progress, number=job.number, real_crypto=job.real_crypto)
    return {**result, "variant": job.label}


def run_jobs(
    jobs: list[Job], progress: Report | None = None, *, workers: int | None = None
) -> Iterator[dict[str, Any]]:
    """Run jobs, each in a fresh process; one alone runs here. Results come in the order of the jobs.

    Args:
        jobs: what is run.
        progress: told of each run that ends, and of one that runs here while it does.
        workers: processes at a time; None: one for each core.
    """
    if len(jobs) == 1:
        yield run_job(jobs[0], progress)
        return
    workers = min(len(jobs), workers or os.cpu_count() or 1)
    done: dict[int, dict[str, Any]] = {}
    following = 0
    # a fresh process per job hides nothing left over from the job before (simulation.md 3.7)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        futures = {pool.submit(run_job, job): job for job in jobs}
        for future in as_completed(futures):
            result = future.result()
            done[futures[future].number] = result
            if progress is not None:
                total_us = int(result["simulated_s"] * 1e6)
                progress(Moment(futures[future].number, total_us, total_us, result["events"], result["wall_s"]))
            while following in done:
                yield done.pop(following)
                following += 1


def merge(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one document for all runs: the worst value of each expectation, means and intervals of each metric.

    A single result is returned as it is. The digest of several is the hash of theirs in order.
    """
    if len(results) == 1:
        return results[0]
    first = results[0]
    expect = []
    for place, row in enumerate(first["expect"]):
        rows = [result["expect"][place] for result in results]
        failed = [item for item in rows if not item["ok"]]
        known = [item["value"] for item in rows if item["value"] is not None]
        worst = min(known, default=None) if row["name"].endswith("_min") else max(known, default=None)
        expect.append({**row, "value": failed[0]["value"] if failed else worst, "ok": not failed})
    names = list(first["metrics"]["summary"])
    spread = {name: over_seeds([result["metrics"]["summary"].get(name) for result in results]) for name in names}
    summary = {name: None if row is None else row["mean"] for name, row in spread.items()}
    joined = blake2b("".join(result["digest"] for result in results).encode(), digest_size=32).hexdigest()
    return {
        "scenario": first["scenario"],
        "engine": first["engine"],
        "seed": first["seed"],
        "digest": joined,
        "ok": all(result["ok"] for result in results),
        "expect": expect,
        "metrics": {**first["metrics"], "summary": summary, "spread": spread},
        "wall_s": round(sum(result["wall_s"] for result in results), 3),
        "simulated_s": first["simulated_s"],
        "events": sum(result["events"] for result in results),
        "runs": [
            {
                "seed": result["seed"],
                "variant": result["variant"],
                "digest": result["digest"],
                "ok": result["ok"],
                "expect": result["expect"],
                "summary": result["metrics"]["summary"],
                "events": result["events"],
                "wall_s": result["wall_s"],
            }
            for result in results
        ],
    }
