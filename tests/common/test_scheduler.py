"""APScheduler on trio: jobs run in the node's loop or its threads, and end with the nursery."""

import itertools
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest
import trio
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED

from supervm.common.errors import CommonError
from supervm.common.services.scheduler import TrioScheduler


class Listener:
    """Collects events and wakes the test."""

    def __init__(self, scheduler, mask):
        self.events = []
        self._arrived = trio.Event()
        scheduler.add_listener(self._note, mask)

    def _note(self, event):
        self.events.append(event)
        self._arrived.set()
        self._arrived = trio.Event()

    async def wait(self, count):
        while len(self.events) < count:
            await self._arrived.wait()
        return self.events


@pytest.fixture
async def scheduler(nursery):
    made = TrioScheduler()
    with trio.fail_after(20):
        await nursery.start(made.run)
        yield made
    nursery.cancel_scope.cancel()


async def test_an_interval_job_runs_again_and_again_in_the_loop(scheduler):
    listener = Listener(scheduler, EVENT_JOB_EXECUTED)

    async def job(number):
        return number, trio.lowlevel.current_task().name

    scheduler.add_job(job, "interval", seconds=0.01, args=[7])
    events = await listener.wait(3)
    assert all(event.retval[0] == 7 for event in events)
    assert all(earlier.scheduled_run_time < later.scheduled_run_time for earlier, later in itertools.pairwise(events))


async def test_jobs_keep_their_intervals_when_the_clock_is_set(scheduler):
    """An hour back or a year ahead: what was due in ten minutes still is. NTP's small corrections change nothing."""
    job = scheduler.add_job(print, "interval", seconds=600)
    due, offset_s = job.next_run_time, scheduler._offset_s
    for moved_s in (-3_600.0, 0.0, 0.4, 366 * 86_400.0):
        scheduler.follow_clock(offset_s + moved_s)
        shift_s = moved_s if moved_s != 0.4 else 0.0
        assert abs((job.next_run_time - due).total_seconds() - shift_s) < 0.01


async def test_a_plain_function_runs_in_a_thread_one_at_a_time(scheduler):
    listener = Listener(scheduler, EVENT_JOB_EXECUTED)
    running = []

    def job():
        running.append(1)
        alone = len(running) == 1
        running.pop()
        return threading.current_thread() is threading.main_thread(), alone

    for _ in range(5):
        scheduler.add_job(job)
    assert [event.retval for event in await listener.wait(5)] == [(False, True)] * 5


async def test_a_job_added_from_another_thread_wakes_the_scheduler(scheduler):
    done = trio.Event()

    async def job():
        done.set()

    await trio.to_thread.run_sync(scheduler.add_job, job)
    await done.wait()


async def test_what_a_job_raises_is_an_event_and_the_next_run_comes(scheduler):
    listener = Listener(scheduler, EVENT_JOB_ERROR)

    def sync():
        raise ValueError("in a thread")

    async def coroutine():
        raise ValueError("in the loop")

    scheduler.add_job(sync, "interval", seconds=0.01, id="sync")
    scheduler.add_job(coroutine, "interval", seconds=0.01, id="coroutine")
    events = await listener.wait(6)
    seen = {(event.job_id, str(event.exception)) for event in events}
    assert seen == {("sync", "in a thread"), ("coroutine", "in the loop")}
    assert "raise ValueError" in events[0].traceback


async def test_a_run_that_is_late_beyond_its_grace_is_missed(scheduler):
    missed, executed = Listener(scheduler, EVENT_JOB_MISSED), Listener(scheduler, EVENT_JOB_EXECUTED)
    past = datetime.now(UTC) - timedelta(seconds=30)

    async def job():
        return "ran"

    scheduler.add_job(job, "date", run_date=past, misfire_grace_time=1, id="strict")
    scheduler.add_job(job, "date", run_date=past, misfire_grace_time=60, id="lenient")
    assert (await missed.wait(1))[0].job_id == "strict"
    assert (await executed.wait(1))[0].job_id == "lenient"


async def test_coalescing_runs_missed_intervals_once_and_without_it_each(scheduler):
    executed = Listener(scheduler, EVENT_JOB_EXECUTED)
    start = datetime.now(UTC) - timedelta(seconds=250)

    async def job():
        pass

    for name, coalesce in (("once", True), ("each", False)):
        scheduler.add_job(
            job,
            "interval",
            seconds=100,
            id=name,
            coalesce=coalesce,
            misfire_grace_time=None,
            start_date=start,
            next_run_time=start,
        )
    events = await executed.wait(4)
    assert sorted(event.job_id for event in events) == ["each", "each", "each", "once"]


async def test_a_job_that_still_runs_is_not_started_again(scheduler):
    full = Listener(scheduler, EVENT_JOB_MAX_INSTANCES)
    go = trio.Event()
    starts = []

    async def job():
        starts.append(1)
        await go.wait()

    scheduler.add_job(job, "interval", seconds=0.01)
    await full.wait(2)
    assert len(starts) == 1
    go.set()


async def test_cancellation_reaches_a_running_job_and_it_may_run_again_later():
    scheduler = TrioScheduler()
    started, ended = trio.Event(), []

    async def job():
        try:
            started.set()
            await trio.sleep_forever()
        finally:
            ended.append(1)

    with trio.fail_after(20):
        for runs in (1, 2):
            started = trio.Event()
            async with trio.open_nursery() as nursery:
                await nursery.start(scheduler.run)
                scheduler.add_job(job, id="j", replace_existing=True)
                await started.wait()
                nursery.cancel_scope.cancel()
            assert len(ended) == runs
            assert not scheduler.running


async def test_shutdown_from_a_thread_ends_run():
    scheduler = TrioScheduler()
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(scheduler.run)
            await trio.to_thread.run_sync(scheduler.shutdown)
    assert not scheduler.running


async def test_paused_jobs_wait_for_resume(nursery):
    scheduler = TrioScheduler()
    listener = Listener(scheduler, EVENT_JOB_EXECUTED)

    async def job():
        pass

    with trio.fail_after(20):
        await nursery.start(lambda task_status: scheduler.run(paused=True, task_status=task_status))
        scheduler.add_job(job, misfire_grace_time=None)
        await trio.testing.wait_all_tasks_blocked()
        assert listener.events == []
        scheduler.resume()
        await listener.wait(1)
    nursery.cancel_scope.cancel()


def test_start_points_to_run():
    with pytest.raises(CommonError, match="nursery"):
        TrioScheduler().start()


def test_housekeeping_alone_does_not_load_apscheduler():
    code = "import sys, supervm.common.services.housekeeping; sys.exit('apscheduler' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
