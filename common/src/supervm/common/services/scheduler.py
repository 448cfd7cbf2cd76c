"""APScheduler 3.11 on trio: housekeeping jobs in a node's event loop.

Theory of operation. APScheduler 3 knows when jobs are due; a scheduler class brings the waiting and an executor class
brings the running, and none of those it ships is for trio. (Version 4 would be, but its SQL store refuses trio.) Here a
scheduler is one task: it asks APScheduler for what is due and how long to wait, and waits that long or until it is
woken because a job was added. Each due job is a child task; a plain function runs in a worker thread, one at a time, a
coroutine function runs in the loop. Everything ends with the nursery the scheduler was started in.

APScheduler's own coroutine runner catches every exception, and so would keep `trio.Cancelled`, which must travel on;
hence jobs are run here.

APScheduler writes down when a job is due as a time of day. A machine's clock that is set would make every job late by
as much as it was set back, or due at once, so the scheduler compares it with a steady clock, once a minute at least,
and moves all jobs by as much as the clock was moved: intervals stay what they are. Housekeeping is all that may be a
job; nothing of the protocol is. Import this module only where a scheduler is made: nothing else needs APScheduler.
"""

from __future__ import annotations

import contextlib
import inspect
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from traceback import format_tb
from typing import Any, Final

import trio
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED, EVENT_JOB_MISSED, JobExecutionEvent
from apscheduler.executors.base import BaseExecutor
from apscheduler.schedulers.base import STATE_STOPPED, BaseScheduler

from ..driver.clock import steady_s
from ..errors import CommonError
from .plain import Done, Job

LOOK_S: Final = 60.0
"""The clock is looked at as often at least."""
CLOCK_STEP_S: Final = 1.0
"""A change of the clock by less is left alone: clocks that are kept by NTP are moved a little all the time."""


class TrioExecutor(BaseExecutor):  # type: ignore[misc]
    """Runs jobs as tasks of a `TrioScheduler`.

    Args:
        threads: how many plain functions run at once, each in a worker thread.
    """

    def __init__(self, *, threads: int = 1) -> None:
        super().__init__()
        self._threads = trio.CapacityLimiter(threads)

    def _do_submit_job(self, job: Any, run_times: list[datetime]) -> None:
        self._scheduler.start_task(self._run, job, list(run_times))

    async def _run(self, job: Any, run_times: list[datetime]) -> None:
        try:
            events = [await self._run_once(job, due) for due in run_times]
        except BaseException:
            # cancelled, or the program ends: the instance must not count as running if the scheduler starts again
            with self._lock:
                self._instances.pop(job.id, None)
            raise
        self._run_job_success(job.id, events)

    async def _run_once(self, job: Any, due: datetime) -> JobExecutionEvent:
        about = (job.id, job._jobstore_alias, due)
        grace_s = job.misfire_grace_time
        if grace_s is not None and datetime.now(UTC) - due > timedelta(seconds=grace_s):
            return JobExecutionEvent(EVENT_JOB_MISSED, *about)
        try:
            if inspect.iscoroutinefunction(job.func):
                result = await job.func(*job.args, **job.kwargs)
            else:
                result = await trio.to_thread.run_sync(self._call, job, limiter=self._threads)
        except Exception as error:  # whatever a job raises is an event, not the end of the node
            trace = "".join(format_tb(error.__traceback__))
            return JobExecutionEvent(EVENT_JOB_ERROR, *about, exception=error, traceback=trace)
        return JobExecutionEvent(EVENT_JOB_EXECUTED, *about, retval=result)

    @staticmethod
    def _call(job: Any) -> Any:
        return job.func(*job.args, **job.kwargs)


class TrioScheduler(BaseScheduler):  # type: ignore[misc]
    """A scheduler that lives in a trio nursery: ``await nursery.start(scheduler.run)``.

    `add_job`, `pause`, `resume` and `shutdown` may be called from any thread. It ends when its nursery is cancelled or
    by `shutdown`, and may run again afterwards. Times are UTC.

    Args:
        threads: how many plain functions run at once.
    """

    def __init__(self, *, threads: int = 1) -> None:
        self._threads = threads
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery | None = None
        self._wake = trio.Event()
        self._offset_s: float | None = None  # wall clock minus steady clock, as the jobs' times have it
        super().__init__(timezone=UTC)

    def start(self, paused: bool = False) -> None:
        """Refuse: a trio scheduler is started by `run`.

        Raises:
            CommonError: always.
        """
        raise CommonError("a TrioScheduler is started with: await nursery.start(scheduler.run)")

    def start_task(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        """Start a child task; for executors, from the event loop."""
        assert self._nursery is not None, "jobs are only due while the scheduler runs"
        self._nursery.start_soon(task, *args)

    def wakeup(self) -> None:
        """Look for due jobs at once; from any thread."""
        self._in_loop(self._set_wake)

    def shutdown(self, wait: bool = True) -> None:
        """Stop: running coroutine jobs are cancelled, running threads are waited for by `run`; from any thread.

        Args:
            wait: has no effect; whoever awaits the nursery waits.
        """
        super().shutdown(wait=False)
        self._in_loop(self._cancel)

    async def run(
        self, *, paused: bool = False, task_status: trio.TaskStatus[TrioScheduler] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run until cancelled or shut down.

        Args:
            paused: start without running jobs until `resume`.
            task_status: told when jobs can be added.
        """
        self._token = trio.lowlevel.current_trio_token()
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                super().start(paused)
                task_status.started(self)
                while True:
                    self.follow_clock(time.time() - steady_s())
                    self._wake = trio.Event()  # before looking, so that a job added meanwhile is not slept over
                    wait_s = self._process_jobs()
                    with trio.move_on_after(LOOK_S if wait_s is None else min(wait_s, LOOK_S)):
                        await self._wake.wait()
        finally:
            self._nursery = None
            if self.state != STATE_STOPPED:
                super().shutdown(wait=False)

    def follow_clock(self, offset_s: float) -> None:
        """Move every job by as much as the wall clock was set since the last look.

        Args:
            offset_s: the wall clock minus the steady clock now, in seconds.
        """
        moved_s = 0.0 if self._offset_s is None else offset_s - self._offset_s
        if self._offset_s is None or abs(moved_s) >= CLOCK_STEP_S:
            self._offset_s = offset_s
        if abs(moved_s) >= CLOCK_STEP_S:
            for job in self.get_jobs():
                if job.next_run_time is not None:
                    job.modify(next_run_time=job.next_run_time + timedelta(seconds=moved_s))

    def _create_default_executor(self) -> TrioExecutor:
        return TrioExecutor(threads=self._threads)

    def _in_loop(self, function: Callable[[], object]) -> None:
        if self._token is not None:
            with contextlib.suppress(trio.RunFinishedError):
                self._token.run_sync_soon(function)

    def _set_wake(self) -> None:
        self._wake.set()

    def _cancel(self) -> None:
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()


def add_jobs(scheduler: TrioScheduler, jobs: Iterable[Job]) -> None:
    """Add jobs to a scheduler."""
    now = datetime.now(UTC)
    for job in jobs:
        # coalesce and no grace: after a pause of the machine every job runs once, none is missed
        scheduler.add_job(
            job.work,
            "interval",
            seconds=job.interval_s,
            id=job.name,
            coalesce=True,
            misfire_grace_time=None,
            max_instances=1,
            next_run_time=now + timedelta(seconds=job.wait_s),
        )


async def run_scheduled(jobs: Iterable[Job], done: Done, task_status: trio.TaskStatus[object]) -> None:
    """Do jobs whenever they are due, until cancelled: `plain.run_jobs` with APScheduler.

    Args:
        jobs: the jobs.
        done: as there; what it raises ends everything.
        task_status: given the scheduler once it runs.
    """
    scheduler = TrioScheduler()
    failures: list[Exception] = []

    def note(event: Any) -> None:
        try:
            wait_s = done(event.job_id, event.exception)
        except Exception as failure:  # APScheduler would log what a listener raises, and go on
            failures.append(failure)
            scheduler.shutdown()
            return
        # from the end of the work on, however long it took
        scheduler.modify_job(event.job_id, next_run_time=datetime.now(UTC) + timedelta(seconds=wait_s))

    scheduler.add_listener(note, EVENT_JOB_ERROR | EVENT_JOB_EXECUTED)
    add_jobs(scheduler, jobs)
    await scheduler.run(task_status=task_status)
    if failures:
        raise failures[0]
