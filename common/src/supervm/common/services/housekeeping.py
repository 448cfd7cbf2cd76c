"""What a node does for itself at intervals: database upkeep, backups, metrics to a file, rotation of its log.

Nothing here belongs to the protocol: a node whose housekeeping fails is as correct as before, so a failing job is
logged and tried again after its interval, ten minutes at most. One exception speaks louder: `StorageFailed` is handed
to whoever runs the node, because the process must end.

What restarts more often than an interval still does its work: an interval begins with the last success (`agenda`).

About backups: one is a copy of the database as of one moment, and a copy of the write-ahead log *for inspection*. A
validator that is restored from a backup has forgotten promises it made since; therefore the copied log carries the
incarnation of no node and, put in place, makes the node an observer (`wal.copy_log`).
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import trio

from ..driver.clock import steady_s
from ..errors import CommonError, InputError
from ..storage.errors import StorageFailed
from ..storage.files import replace_file, sync_data, sync_directory
from ..storage.wal import copy_log
from .agenda import AGENDA_FILE, Agenda
from .plain import Job, run_jobs
from .unchanged import Kept, Written

if TYPE_CHECKING:
    from ..storage.sql import SqlStore

BACKUP_DIRECTORY: Final = "backups"
"""Where backups are, in a node's directory: ``NNNNNN.sqlite`` and ``NNNNNN.log``."""
METRICS_FILE: Final = "metrics.json"
"""Newest snapshot of the metrics, in a node's directory."""
NODE_LOG: Final = "node.log"
"""The node's log; older ones are ``node.log.1`` (the newest of them) and up."""

_RETRY_S: Final = 600.0
"""Longest pause after a job that failed."""
_START_S: Final = 1.0
"""What is due when a node starts waits as long, so that it does not hold up the start."""

_LOGGER: Final = logging.getLogger("supervm.housekeeping")


@dataclass(frozen=True, slots=True)
class HousekeepingConfig:
    """Intervals in seconds; 0 turns a job off.

    Attributes:
        maintenance_interval_s: between upkeeps of the database.
        backup_interval_s: between backups.
        keep: how many backups are kept, at least 1.
        metrics_interval_s: between snapshots of the metrics.
        log_interval_s: between looks at the length of the log.
        log_bytes_max: length from which the log is rotated.
        logs_kept: how many rotated logs are kept, at least 1.
    """

    maintenance_interval_s: float = 600
    backup_interval_s: float = 3600
    keep: int = 3
    metrics_interval_s: float = 10
    log_interval_s: float = 60
    log_bytes_max: int = 16 << 20
    logs_kept: int = 4

    def __post_init__(self) -> None:
        for name in ("maintenance_interval_s", "backup_interval_s", "metrics_interval_s", "log_interval_s"):
            if not 0 <= getattr(self, name) <= 366 * 86400:
                raise InputError(f"{name} is {getattr(self, name)}; 0 (off) to a year are allowed")
        for name in ("keep", "logs_kept", "log_bytes_max"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; at least 1 is needed")


def back_up(database: Path, log: Path | None, directory: Path, *, keep: int) -> Path:
    """Copy an SQLite database, also one that is being written, and its write-ahead log.

    Args:
        database: the SQLite file.
        log: the write-ahead log, or None.
        directory: the node's directory; the backups are in `BACKUP_DIRECTORY` there.
        keep: how many backups remain, this one among them.

    Returns:
        The new copy of the database, durable, checked and in one file.

    Raises:
        CommonError: the copy could not be made or does not check; older backups are untouched.
    """
    backups = directory / BACKUP_DIRECTORY
    try:
        backups.mkdir(mode=0o700, exist_ok=True)
        numbers = _backup_numbers(backups)
        target = backups / f"{(numbers[-1] if numbers else 0) + 1:06d}.sqlite"
        new = target.with_suffix(".new")
        new.unlink(missing_ok=True)
        _copy_database(database, new)
        if log is not None:
            copy_log(log, target.with_suffix(".log"))
        fd = os.open(new, os.O_RDWR | os.O_CLOEXEC)
        try:
            sync_data(fd)
        finally:
            os.close(fd)
        new.replace(target)
        sync_directory(backups)
        for number in _backup_numbers(backups)[:-keep]:
            for suffix in (".sqlite", ".log"):
                (backups / f"{number:06d}{suffix}").unlink(missing_ok=True)
    except (OSError, sqlite3.Error) as error:
        raise CommonError(f"could not back up {database} to {backups}: {error}") from error
    return target


def _backup_numbers(backups: Path) -> list[int]:
    return sorted(int(path.stem) for path in backups.glob("*.sqlite") if path.stem.isdecimal())


def _copy_database(source: Path, target: Path) -> None:
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.close(fd)
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as old,
        closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)  # in one step: it reads one state of the journal and never starts over
        # the copy names a journal it does not have; without one it is a single file
        new.execute("PRAGMA journal_mode=DELETE").fetchall()
        problems = [row[0] for row in new.execute("PRAGMA quick_check")]
    if problems != ["ok"]:
        target.unlink()
        raise CommonError(f"the backup of {source} does not check: {problems[0]}; check the disk and the database")


def write_metrics(directory: Path, metrics: Mapping[str, Any]) -> None:
    """Write a snapshot of the metrics to `METRICS_FILE`; a reader finds an old or a new one, never a part.

    Raises:
        OSError: it cannot be written.
    """
    data = json.dumps(metrics, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"
    replace_file(directory / METRICS_FILE, data, durable=False)


def rotate_log(path: Path, *, bytes_max: int, keep: int, reopen: Callable[[], object] | None = None) -> bool:
    """Rename a log that has reached `bytes_max` bytes to ``NAME.1``, older ones one further.

    A writer that holds the file open goes on writing to ``NAME.1``: use a handler that notices
    (`logging.handlers.WatchedFileHandler`), or give `reopen`.

    Args:
        path: the log.
        bytes_max: length from which it is rotated.
        keep: how many old ones remain.
        reopen: called after the renaming.

    Returns:
        Whether it was rotated.

    Raises:
        OSError: it cannot be renamed.
    """
    try:
        if path.stat().st_size < bytes_max:
            return False
    except FileNotFoundError:
        return False

    def old(number: int) -> Path:
        return path.with_name(f"{path.name}.{number}")

    for number in range(keep - 1, 0, -1):
        if old(number).exists():
            old(number).replace(old(number + 1))
    path.replace(old(1))
    if reopen is not None:
        reopen()
    return True


def jobs_of(
    config: HousekeepingConfig,
    directory: Path,
    *,
    store: SqlStore | None = None,
    metrics: Callable[[], Mapping[str, Any]] | None = None,
    reopen_log: Callable[[], object] | None = None,
    agenda: Agenda | None = None,
) -> list[Job]:
    """Return the jobs of a node: ``maintenance``, ``backup``, ``metrics`` and ``log``, as far as they are wanted.

    Args:
        config: which and how often.
        directory: the node's directory.
        store: what to keep up and back up; a database other than SQLite is left to its own tools.
        metrics: gives the snapshot; called in the event loop, so it may read the node's state.
        reopen_log: see `rotate_log`.
        agenda: when each was done last; without one, jobs begin one interval after now.
    """
    written = Written()

    async def snapshot() -> None:
        if metrics is None:
            return
        if written.is_new(counters := metrics()):
            await trio.to_thread.run_sync(write_metrics, directory, counters)
        if agenda is not None:
            agenda.succeeded("metrics")  # written with the next of the others: it is no loss

    kept = None if store is None else Kept(store)

    def maintain() -> None:
        if store is not None and kept is not None and not kept.is_same("maintenance"):
            store.maintain()
            kept.done("maintenance", kept.look())  # it writes itself

    def backup() -> None:
        if store is None or store.sqlite_path is None or kept is None or kept.is_same("backup"):
            return
        seen = kept.look()  # what is written from here on may not be in it
        back_up(store.sqlite_path, store.log_path, directory, keep=config.keep)
        kept.done("backup", seen)

    async def log() -> None:
        path = directory / NODE_LOG
        rotate = partial(rotate_log, path, bytes_max=config.log_bytes_max, keep=config.logs_kept, reopen=reopen_log)
        await trio.to_thread.run_sync(rotate)
        if agenda is not None:
            agenda.succeeded("log")  # as with the metrics

    def noted(name: str, job: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            job()
            if agenda is not None:
                agenda.succeeded(name)
                agenda.save()

        return run

    is_sqlite = store is not None and store.sqlite_path is not None
    jobs = []
    for name, wanted, interval_s, work in (
        ("maintenance", is_sqlite, config.maintenance_interval_s, noted("maintenance", maintain)),
        ("backup", is_sqlite, config.backup_interval_s, noted("backup", backup)),
        ("metrics", metrics is not None, config.metrics_interval_s, snapshot),
        ("log", True, config.log_interval_s, log),
    ):
        if wanted and interval_s > 0:
            wait_s = interval_s if agenda is None else agenda.wait_s(name, interval_s)
            jobs.append(Job(name, max(wait_s, min(interval_s, _START_S)), interval_s, work))
    return jobs


async def run_housekeeping(
    config: HousekeepingConfig,
    directory: Path,
    *,
    store: SqlStore | None = None,
    metrics: Callable[[], Mapping[str, Any]] | None = None,
    reopen_log: Callable[[], object] | None = None,
    plain: bool = False,
    task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a node's housekeeping until cancelled; parameters as `jobs_of`.

    When each job succeeded last is kept in `AGENDA_FILE` in the node's directory. APScheduler knows when jobs are due;
    where it is not installed, or with `plain`, a task for each job does. `task_status` is given the scheduler, or None.

    Raises:
        StorageFailed: upkeep found the database failed; the process must end.
    """
    agenda = Agenda(directory / AGENDA_FILE, wall_s=time.time, steady_s=steady_s)
    jobs = jobs_of(config, directory, store=store, metrics=metrics, reopen_log=reopen_log, agenda=agenda)
    intervals_s = {job.name: job.interval_s for job in jobs}

    def done(name: str, failure: Exception | None) -> float:
        if isinstance(failure, StorageFailed):
            raise failure
        wait_s = intervals_s[name]
        if failure is not None:
            wait_s = min(wait_s, _RETRY_S)
            _LOGGER.error("job %s failed, next try in %g s: %s", name, wait_s, failure)
        return wait_s

    with suppress(OSError):
        agenda.save()  # the first start counts, if nothing was ever done
    try:
        if plain or find_spec("apscheduler") is None:
            task_status.started(None)
            await run_jobs(jobs, done)
        else:
            # only nodes that keep house load APScheduler, and in a thread: it takes 50 ms
            await trio.to_thread.run_sync(import_module, f"{__package__}.scheduler")
            from .scheduler import run_scheduled

            await run_scheduled(jobs, done, task_status)
    finally:
        with suppress(OSError):
            agenda.save()
