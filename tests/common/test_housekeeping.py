"""Housekeeping: backups that check, metrics in one piece, bounded logs, and jobs that go on after a failure."""

import errno
import json
import logging
import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime

import pytest
import trio
from apscheduler.events import EVENT_JOB_EXECUTED

from supervm.common.contract.records import Append
from supervm.common.contract.tables import PrimaryKey, Table, TableRow
from supervm.common.errors import CommonError, InputError
from supervm.common.services.agenda import AGENDA_FILE, Agenda
from supervm.common.services.backups import back_up
from supervm.common.services.housekeeping import (
    HousekeepingConfig,
    jobs_of,
    rotate_log,
    run_housekeeping,
    write_metrics,
)
from supervm.common.services.scheduler import TrioScheduler, add_jobs
from supervm.common.services.unchanged import QUIET_S, Written
from supervm.common.storage.errors import LogDamaged, StorageFailed
from supervm.common.storage.sql import SqlStore
from supervm.common.storage.wal import read_log


class Row(TableRow, frozen=True):
    n: PrimaryKey[int]
    body: bytes


TABLE = Table("t", Row)
ME = bytes(range(16))


def open_store(directory):
    return SqlStore(directory / "node.sqlite", [TABLE], log_path=directory / "node.wal", incarnation=ME)


@pytest.fixture
def store(tmp_path):
    made = open_store(tmp_path)
    yield made
    made.close()


def fill(store, start, count):
    for n in range(start, start + count):
        store.commit([TABLE.put(Row(n, b"%d" % n)), Append(b"%d" % n)])


def test_a_backup_is_one_whole_file_and_the_oldest_goes(tmp_path, store):
    for round_ in range(4):
        fill(store, round_ * 5, 5)
        made = back_up(store.sqlite_path, store.log_path, tmp_path, keep=2)
    assert sorted(os.listdir(tmp_path / "backups")) == ["000003.log", "000003.sqlite", "000004.log", "000004.sqlite"]
    assert made == tmp_path / "backups" / "000004.sqlite"
    with closing(sqlite3.connect(made)) as copy:
        assert copy.execute("SELECT count(*), max(n) FROM t").fetchone() == (20, 19)
    assert read_log(made.with_suffix(".log")).payloads == [b"%d" % n for n in range(20)]
    restored = SqlStore(made, [TABLE])
    assert TABLE.get(restored, 19) == Row(19, b"19")
    restored.close()


def test_a_backup_of_a_database_that_is_being_written_is_of_one_moment(tmp_path, store):
    stop = threading.Event()

    def write():
        n = 0
        while not stop.is_set():
            store.commit([TABLE.put(Row(n, b"a")), TABLE.put(Row(n + 1, b"b"))])
            n += 2

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            with closing(sqlite3.connect(back_up(store.sqlite_path, None, tmp_path, keep=1))) as copy:
                assert copy.execute("SELECT count(*) % 2 FROM t").fetchone() == (0,)
    finally:
        stop.set()
        writer.join()


def test_a_restored_log_makes_an_observer_not_a_second_promise(tmp_path, store):
    fill(store, 0, 3)
    made = back_up(store.sqlite_path, store.log_path, tmp_path, keep=1)
    fill(store, 3, 3)
    store.close()
    made.with_suffix(".log").replace(tmp_path / "node.wal")
    with pytest.raises(LogDamaged, match="it is a copy"):
        open_store(tmp_path)


def test_a_damaged_database_gives_no_backup_and_the_older_ones_stay(tmp_path, store):
    store.commit([TABLE.put(Row(n, bytes(500))) for n in range(200)])
    back_up(store.sqlite_path, None, tmp_path, keep=1)
    store.maintain()
    store.close()
    raw = bytearray((tmp_path / "node.sqlite").read_bytes())
    raw[-9000:-8000] = b"\xee" * 1000
    (tmp_path / "node.sqlite").write_bytes(raw)
    with pytest.raises(CommonError, match=r"backup of .*node\.sqlite does not check"):
        back_up(tmp_path / "node.sqlite", None, tmp_path, keep=1)
    with pytest.raises(CommonError, match="could not back up"):
        back_up(tmp_path / "missing.sqlite", None, tmp_path, keep=1)
    left = [name for name in os.listdir(tmp_path / "backups") if not name.endswith(".new")]
    assert left == ["000001.sqlite"]


def test_metrics_are_replaced_in_one_piece_and_hold_no_nan(tmp_path):
    for n in range(2):
        write_metrics(tmp_path, {"b": n, "a": {"x": [1]}})
    assert (tmp_path / "metrics.json").read_text() == '{\n "a": {\n  "x": [\n   1\n  ]\n },\n "b": 1\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_metrics(tmp_path, {"a": float("nan")})
    assert json.loads((tmp_path / "metrics.json").read_text())["b"] == 1
    assert os.listdir(tmp_path) == ["metrics.json"]


def test_a_log_is_rotated_at_its_length_and_only_so_many_are_kept(tmp_path):
    path = tmp_path / "node.log"
    reopened = []
    assert not rotate_log(path, bytes_max=4, keep=2)
    for text in ("one!", "two!", "three", "x"):
        path.write_text(text)
        rotate_log(path, bytes_max=4, keep=2, reopen=lambda: reopened.append(1))
    assert {name: (tmp_path / name).read_text() for name in sorted(os.listdir(tmp_path))} == {
        "node.log": "x",
        "node.log.1": "three",
        "node.log.2": "two!",
    }
    assert len(reopened) == 3


@pytest.mark.parametrize(
    "wrong", [{"backup_interval_s": -1}, {"metrics_interval_s": float("nan")}, {"keep": 0}, {"logs_kept": 0}]
)
def test_configuration_is_checked(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        HousekeepingConfig(**wrong)


def test_only_wanted_jobs_are_added(tmp_path, store):
    def names(config, **given):
        scheduler = TrioScheduler()
        jobs = jobs_of(config, tmp_path, **given)
        add_jobs(scheduler, jobs)
        found = sorted(job.id for job in scheduler.get_jobs())
        assert found == sorted(job.name for job in jobs)
        return found

    everything = {"store": store, "metrics": dict}
    assert names(HousekeepingConfig(), **everything) == ["backup", "log", "maintenance", "metrics"]
    assert names(HousekeepingConfig()) == ["log"]
    assert names(HousekeepingConfig(backup_interval_s=0, log_interval_s=0), **everything) == ["maintenance", "metrics"]


@pytest.fixture(params=[False, True], ids=["scheduled", "plain"])
def plain(request):
    return request.param


async def test_all_jobs_run_beside_a_node(tmp_path, store, nursery, plain, monkeypatch):
    fill(store, 0, 5)
    (tmp_path / "node.log").write_text("x" * 100)
    config = HousekeepingConfig(0.02, 0.02, 2, 0.02, 0.02, 50)
    done, ran, token = trio.Event(), [], trio.lowlevel.current_trio_token()

    class Noting(Agenda):
        def succeeded(self, name):
            super().succeeded(name)
            token.run_sync_soon(self.note, name)

        @staticmethod
        def note(name):
            ran.append(name)
            if all(ran.count(job) >= 2 for job in ("maintenance", "backup", "metrics", "log")):
                done.set()

    monkeypatch.setattr("supervm.common.services.housekeeping.Agenda", Noting)
    with trio.fail_after(20):
        await nursery.start(
            lambda task_status: run_housekeeping(
                config, tmp_path, store=store, metrics=lambda: {"height": 5}, plain=plain, task_status=task_status
            )
        )
        await done.wait()
    nursery.cancel_scope.cancel()
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"height": 5}
    assert (tmp_path / "node.log.1").read_text() == "x" * 100
    assert list((tmp_path / "backups").glob("*.sqlite"))


def test_without_apscheduler_the_plain_way_is_taken_and_it_is_not_imported(tmp_path):
    code = f"""
import sys
sys.modules["apscheduler"] = None
import importlib.util, pathlib, trio
from supervm.common.services import housekeeping
housekeeping.find_spec = lambda name: None
async def main():
    done = trio.Event()
    def metrics():
        done.set()
        return {{}}
    async with trio.open_nursery() as nursery:
        config = housekeeping.HousekeepingConfig(metrics_interval_s=0.01)
        nursery.start_soon(
            lambda: housekeeping.run_housekeeping(config, pathlib.Path({str(tmp_path)!r}), metrics=metrics)
        )
        await done.wait()
        nursery.cancel_scope.cancel()
trio.run(main)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


async def test_a_database_that_nobody_writes_is_left_alone(tmp_path, store):
    jobs = {job.name: job.work for job in jobs_of(HousekeepingConfig(), tmp_path, store=store)}
    fill(store, 0, 5)
    for _ in range(3):
        jobs["maintenance"]()
        jobs["backup"]()
    backups = tmp_path / "backups"
    assert sorted(path.stem for path in backups.glob("*.sqlite")) == ["000001"]
    looks = [path.stat().st_mtime_ns for path in tmp_path.glob("node.*")]
    jobs["maintenance"]()
    assert [path.stat().st_mtime_ns for path in tmp_path.glob("node.*")] == looks
    fill(store, 5, 1)
    jobs["backup"]()
    assert sorted(path.stem for path in backups.glob("*.sqlite")) == ["000001", "000002"]


async def test_a_backup_that_failed_is_made_again_although_nothing_was_written(tmp_path, store):
    (job,) = (job.work for job in jobs_of(HousekeepingConfig(), tmp_path, store=store) if job.name == "backup")
    fill(store, 0, 5)
    (tmp_path / "backups").write_text("in the way")
    with pytest.raises(CommonError, match="could not back up"):
        job()
    (tmp_path / "backups").unlink()
    job()
    assert [path.stem for path in (tmp_path / "backups").glob("*.sqlite")] == ["000001"]


def test_counters_of_a_node_that_writes_nothing_are_written_every_ten_minutes():
    now_s = 5.0
    written = Written(lambda: now_s)
    assert written.is_new({"commits": 4, "sent": 1})
    now_s += QUIET_S - 1
    assert not written.is_new({"commits": 4, "sent": 99})
    assert written.is_new({"commits": 5, "sent": 99})
    now_s += QUIET_S
    assert written.is_new({"commits": 5, "sent": 200})
    assert [written.is_new({"sent": 1}), written.is_new({"sent": 1})] == [True, True]


async def test_what_was_due_while_the_node_was_off_is_done_at_its_start_and_noted(tmp_path, store, nursery):
    """A backup each day on a node that was started a day after its last one."""
    old = {"backup": {"at_s": 1.6e9, "ran_s": 0.0}, "maintenance": {"at_s": 9e9, "ran_s": 0.0}}
    (tmp_path / AGENDA_FILE).write_text(json.dumps(old))
    done, ran = trio.Event(), []

    def note(event):
        ran.append(event.job_id)
        done.set()

    with trio.fail_after(20):
        scheduler = await nursery.start(
            lambda task_status: run_housekeeping(
                HousekeepingConfig(backup_interval_s=86_400), tmp_path, store=store, task_status=task_status
            )
        )
        scheduler.add_listener(note, EVENT_JOB_EXECUTED)
        waits = {job.id: (job.next_run_time - datetime.now(UTC)).total_seconds() for job in scheduler.get_jobs()}
        await done.wait()
    assert ran == ["backup"]
    assert waits["backup"] <= 1 < 590 < waits["maintenance"] <= 600  # that date is ahead of the clock: from now on
    nursery.cancel_scope.cancel()
    noted = json.loads((tmp_path / AGENDA_FILE).read_text())
    assert abs(noted["backup"]["at_s"] - time.time()) < 20


async def test_a_failing_job_is_logged_and_tried_again(tmp_path, nursery, caplog, plain):
    tries, again = [], trio.Event()

    def metrics():
        tries.append(1)
        if len(tries) == 3:
            again.set()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with trio.fail_after(20), caplog.at_level(logging.ERROR, "supervm.housekeeping"):
        await nursery.start(
            lambda task_status: run_housekeeping(
                HousekeepingConfig(metrics_interval_s=0.01),
                tmp_path,
                metrics=metrics,
                plain=plain,
                task_status=task_status,
            )
        )
        await again.wait()
    nursery.cancel_scope.cancel()
    assert "job metrics failed, next try in 0.01 s: [Errno 28] No space left" in caplog.text


async def test_a_failed_store_ends_housekeeping_with_its_error(tmp_path, store, plain):
    store.close()
    with trio.fail_after(20), pytest.raises(StorageFailed):
        await run_housekeeping(HousekeepingConfig(maintenance_interval_s=0.01), tmp_path, store=store, plain=plain)
