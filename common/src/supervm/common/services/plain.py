"""Periodic jobs with trio alone, for nodes that do without APScheduler: one task per job.

Time is the steady clock's, so a wall clock that is set moves nothing. A plain function runs in a worker thread, one at
a time; a coroutine function runs in the loop. As `scheduler` does it, with less: jobs are all known at the start.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import trio

from ..driver.clock import steady_s

LOOK_S: Final = 60.0
"""The clock is looked at as often at least: a machine that slept has jobs that are due."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do at intervals.

    Attributes:
        name: what it is called.
        wait_s: when it is due first, in seconds from now.
        interval_s: when it is due again after it was done.
        work: what to do: a function, or a coroutine function.
    """

    name: str
    wait_s: float
    interval_s: float
    work: Callable[[], Awaitable[None]] | Callable[[], None]


Done = Callable[[str, Exception | None], float]
"""Told the name and the failure, if any, each time that a job was done; returns in how many seconds it is due again."""


async def run_jobs(jobs: Iterable[Job], done: Done) -> None:
    """Do jobs whenever they are due, until cancelled.

    Args:
        jobs: the jobs.
        done: what it raises ends everything.
    """
    threads = trio.CapacityLimiter(1)
    failures: list[Exception] = []
    async with trio.open_nursery() as nursery:

        async def repeat(job: Job) -> None:
            wait_s = job.wait_s
            while True:
                await _sleep(wait_s)
                failure = await _failure_of(job.work, threads)
                try:
                    wait_s = done(job.name, failure)
                except Exception as error:
                    failures.append(error)
                    nursery.cancel_scope.cancel()
                await trio.lowlevel.checkpoint()

        for job in jobs:
            nursery.start_soon(repeat, job)
    if failures:
        raise failures[0]


async def _sleep(wait_s: float) -> None:
    due_s = steady_s() + wait_s
    while (left_s := due_s - steady_s()) > 0:
        await trio.sleep(min(left_s, LOOK_S))


async def _failure_of(work: Callable[[], Any], threads: trio.CapacityLimiter) -> Exception | None:
    try:
        if inspect.iscoroutinefunction(work):
            await work()
        else:
            await trio.to_thread.run_sync(work, limiter=threads)
    except Exception as error:  # whatever a job raises is told, not the end of the node
        return error
    return None
