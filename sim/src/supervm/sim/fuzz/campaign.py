"""Many seeds: one process each, on all cores (simulation.md 3).

A process per seed hides nothing that an earlier seed left behind, and a core that hangs or dies takes only its own seed
along. They are forked from one server that has imported everything, so a process costs milliseconds. One seed in twenty
is played twice, in two processes, and its digests are compared (D1).
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import msgspec

from ..invariants import Violation
from .case import Case, case_of, write_case
from .config import Config
from .minimise import Minimiser
from .mutations import mutated
from .reached import STATES
from .run import Outcome, run_seed

REPEAT_EVERY = 20
SEED_S_MAX = 120.0
"""Wall-clock time after which a seed counts as hung."""
JUDGE_FROM_RUNS = 2_000
"""Runs from which on a campaign that never reached one of the states fails."""
MINIMISE_S, MINIMISE_MUTATION_S = 60.0, 15.0
"""Time for making a failure small; one that was planted tells less."""


@dataclass
class Report:
    """What a campaign came to.

    Attributes:
        runs: seeds played, repetitions not counted.
        failures: one document per finding.
        reached: state -> in how many runs it was reached.
        unreached: states that no run has reached, if there were enough runs to say so.
        cpu_s: CPU time of each run.
        repeated: runs that were played twice.
    """

    runs: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)
    reached: dict[str, int] = field(default_factory=lambda: dict.fromkeys(STATES, 0))
    unreached: list[str] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    repeated: int = 0

    def document(self) -> dict[str, Any]:
        """Return it as ``--json`` prints it."""
        times = sorted(self.cpu_s)
        return {
            "runs": self.runs,
            "failures": self.failures,
            "reached": self.reached,
            "unreached": self.unreached,
            "repeated": self.repeated,
            "cpu_s": {
                "median": times[len(times) // 2] if times else 0.0,
                "max": times[-1] if times else 0.0,
                "total": sum(times),
            },
        }


@dataclass(slots=True)
class _Task:
    process: Any
    pipe: Connection
    seed: int
    began_s: float
    repeats: bool


class Campaign:
    """Plays seeds until they, or the time, are used up.

    Args:
        seeds: how many; None: no limit.
        seconds: how long; None: no limit.
        first: the first seed.
        mutation: a rule to break; the campaign then ends at the first finding.
        out: folder for failures; None: they are not written.
        workers: processes at a time; None: one per core.
        minimise: whether failures are made small.
        config: instead of what each seed draws.
        tell: a line for people, for each finding.
        progress: told (runs, failures) after each run.
    """

    def __init__(
        self,
        *,
        seeds: int | None,
        seconds: float | None = None,
        first: int = 0,
        mutation: str | None = None,
        out: Path | None = None,
        workers: int | None = None,
        minimise: bool = True,
        config: Config | None = None,
        tell: Callable[[str], None] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._seeds, self._first, self._mutation, self._out = seeds, first, mutation, out
        self._end_s = None if seconds is None else time.monotonic() + seconds
        self._workers = workers or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else workers or 1
        self._minimise, self._config = minimise, config
        self._tell = tell or (lambda line: None)
        self._progress = progress or (lambda runs, failures: None)
        self._digests: dict[int, str] = {}
        self._first_of: dict[str, None] = {}
        self.report = Report()

    def run(self) -> Report:
        """Play; return what it came to."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        jobs = self._jobs()
        tasks: list[_Task] = []
        try:
            more = True
            while more or tasks:
                while more and len(tasks) < self._workers and not self._is_over():
                    job = next(jobs, None)
                    if job is None:
                        more = False
                    else:
                        tasks.append(self._start(context, *job))
                if self._is_over():
                    more = False
                if tasks:
                    self._collect(tasks)
        finally:
            for task in tasks:
                task.process.kill()
                task.process.join()
                task.pipe.close()
        if self._mutation is None and self.report.runs >= JUDGE_FROM_RUNS:
            self.report.unreached = [name for name, runs in self.report.reached.items() if not runs]
        return self.report

    def _jobs(self) -> Iterator[tuple[int, bool]]:
        """Yield (seed, whether it is a repetition)."""
        for number in count() if self._seeds is None else range(self._seeds):
            seed = self._first + number
            yield seed, False
            if number % REPEAT_EVERY == 0 and self._mutation is None:
                yield seed, True

    def _is_over(self) -> bool:
        if self._mutation is not None and self.report.failures:
            return True
        return self._end_s is not None and time.monotonic() >= self._end_s

    def _start(self, context: Any, seed: int, repeats: bool) -> _Task:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_play, args=(theirs, seed, self._mutation, self._config), daemon=True)
        process.start()
        theirs.close()
        return _Task(process, ours, seed, time.monotonic(), repeats)

    def _collect(self, tasks: list[_Task]) -> None:
        """Wait for a process to answer, die or hang, and take what it says."""
        ready = wait([task.pipe for task in tasks], timeout=1.0)
        for task in list(tasks):
            hung = time.monotonic() - task.began_s > SEED_S_MAX
            if task.pipe not in ready and not hung:
                continue
            tasks.remove(task)
            try:
                data = task.pipe.recv_bytes() if task.pipe in ready else b""
            except EOFError:
                data = b""
            if not data:
                task.process.kill()
            task.process.join()
            task.pipe.close()
            if data:
                self._take(task, msgspec.msgpack.decode(data, type=Outcome))
            else:
                text = f"no answer within {SEED_S_MAX:.0f} s" if hung else f"its process died ({task.process.exitcode})"
                self._found(task.seed, Violation("CRASH", 0, text), "", None)

    def _take(self, task: _Task, outcome: Outcome) -> None:
        report = self.report
        digest = self._digests.pop(task.seed, None)
        if task.seed % REPEAT_EVERY == self._first % REPEAT_EVERY and self._mutation is None:
            if digest is None:
                self._digests[task.seed] = outcome.digest
            else:
                report.repeated += 1
                if digest != outcome.digest:
                    self._found(
                        task.seed,
                        Violation("D1", 0, f"two runs give {digest[:16]} and {outcome.digest[:16]}"),
                        outcome.digest,
                        None,
                    )
        if task.repeats:
            return
        report.runs += 1
        report.cpu_s.append(outcome.cpu_s)
        for name in outcome.reached:
            report.reached[name] = report.reached.get(name, 0) + 1
        if outcome.violations:
            self._failed(outcome)
        self._progress(report.runs, len(report.failures))

    def _failed(self, outcome: Outcome) -> None:
        case = case_of(outcome, self._mutation)
        first = outcome.violations[0]
        if self._minimise and first.name not in self._first_of:  # one of each rule is enough to look at first
            self._first_of[first.name] = None
            seconds = MINIMISE_S if self._mutation is None else MINIMISE_MUTATION_S
            case = Minimiser(case, seconds=seconds).shrink()
        self._found(outcome.seed, case.violation or first, case.digest, case)

    def _found(self, seed: int, violation: Violation, digest: str, case: Case | None) -> None:
        path = None
        if case is not None and self._out is not None:
            path = self._out / f"{violation.name.lower()}-{seed}.json"
            write_case(path, case)
        choices = "" if case is None else f" [{len(case.choices)} of {case.choices_before} choices]"
        where = "" if path is None else f" -> {path}"
        self._tell(f"seed {seed}: {violation.name}: {violation.detail}{choices}{where}")
        self.report.failures.append(
            {
                "seed": seed,
                "rule": violation.name,
                "at_us": violation.at_us,
                "detail": violation.detail,
                "mutation": self._mutation,
                "digest": digest,
                "choices": None if case is None else len(case.choices),
                "choices_before": None if case is None else case.choices_before,
                "file": None if path is None else str(path),
            }
        )


def _play(pipe: Connection, seed: int, mutation: str | None, config: Config | None) -> None:
    """Play one seed and send what it came to: the whole work of one process."""
    with mutated(mutation) as knobs:
        outcome = run_seed(seed, config=config, knobs=knobs)
    pipe.send_bytes(msgspec.msgpack.encode(outcome))
    pipe.close()
