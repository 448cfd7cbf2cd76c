"""All switches of the mutation gate at once: each must be noticed, wherever the search begins (simulation.md 3).

One process per switch plays its seeds one after the other until one breaks a rule. It begins with the seed at which
the switch was noticed last, so that a gate that changes nothing costs about one run each; the order of the search is
all that the hint decides.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from .mutations import FOUND, MUTATIONS, mutated
from .mutations.table import SEEDS_MAX
from .run import run_seed


@dataclass(frozen=True, slots=True)
class Noticed:
    """What became of one switch.

    Attributes:
        name: of the switch.
        seed: that noticed it; None: none did.
        rule: that was seen to be broken, a key of `supervm.sim.invariants.RULES`; empty if none was.
        detail: of the violation.
        runs: seeds played.
        cpu_s: what they took.
    """

    name: str
    seed: int | None
    rule: str
    detail: str
    runs: int
    cpu_s: float


def notice(name: str, seeds_max: int = SEEDS_MAX, *, hint: int | None = None) -> Noticed:
    """Play seeds with a rule broken until one notices.

    Args:
        name: of the switch.
        seeds_max: seeds 0 to this one, exclusive, are tried.
        hint: the seed to begin with.
    """
    order = [] if hint is None else [hint]
    order += [seed for seed in range(seeds_max) if seed != hint]
    cpu_s = 0.0
    with mutated(name) as knobs:
        for runs, seed in enumerate(order, 1):
            outcome = run_seed(seed, knobs=knobs)
            cpu_s += outcome.cpu_s
            if outcome.violations:
                first = outcome.violations[0]
                return Noticed(name, seed, first.name, first.detail, runs, cpu_s)
    return Noticed(name, None, "", "", len(order), cpu_s)


def _notice(job: tuple[str, int, bool]) -> Noticed:
    name, seeds_max, hinted = job
    return notice(name, seeds_max, hint=FOUND[name][0] if hinted and name in FOUND else None)


def play(
    names: Iterable[str] | None = None,
    *,
    seeds_max: int = SEEDS_MAX,
    hinted: bool = True,
    workers: int | None = None,
    tell: Callable[[Noticed], None] = lambda noticed: None,
) -> list[Noticed]:
    """Play every switch, on all cores; return what became of each, in the order of `names`.

    Args:
        names: of the switches; None: those that are known to be noticed, the costly ones apart.
        seeds_max: see `notice`.
        hinted: whether to begin where each was noticed last.
        workers: processes at a time; None: one per core.
        tell: told of each as its turn comes.
    """
    if names is None:
        names = [name for name in FOUND if not MUTATIONS[name].is_costly]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(workers or cores, context, max_tasks_per_child=1) as pool:
        results = []
        for noticed in pool.map(_notice, [(name, seeds_max, hinted) for name in names]):
            tell(noticed)
            results.append(noticed)
    return results
