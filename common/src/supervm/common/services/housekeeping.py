"""What a node does for itself at intervals: database upkeep, backups, metrics to a file, rotation of its log.

Nothing here belongs to the protocol: a node whose housekeeping fails is as correct as before, so a failing job is
logged and tried again after its interval, ten minutes at most. One exception speaks louder: `StorageFailed` is handed
to whoever runs the node, because the process must end.

What restarts more often than an interval still does its work: an interval begins with the last success (`agenda`).
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import trio

from ..driver.clock import steady_s
from ..errors import InputError
from ..storage.errors import StorageFailed
from ..storage.files import replace_file
from .agenda import AGENDA_FILE, Agenda
from .backups import BACKUP_DIRECTORY, back_up
from .plain import Job, run_jobs
from .unchanged import Kept, Written

if TYPE_CHECKING:
    from ..storage.sql import SqlStore

METRICS_FILE: Final = "metrics.json"
"""Newest snapshot of the metrics, in a node's directory."""
NODE_LOG: Final = "node.log"
"""The node's log; older ones are ``node.log.1`` (the newest of them) and up."""

_RETRY_S: Final = 600.0
"""Longest pause after a job that failed."""
_DAY_S: Final = 86_400.0
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
        retention_days: rotated logs and backups but the newest are removed when they are older; 0: never for that.
    """

    maintenance_interval_s: float = 600
    backup_interval_s: float = 3600
    keep: int = 3
    metrics_interval_s: float = 10
    log_interval_s: float = 60
    log_bytes_max: int = 16 << 20
    logs_kept: int = 4
    retention_days: int = 0

    def __post_init__(self) -> None:
        for name in ("maintenance_interval_s", "backup_interval_s", "metrics_interval_s", "log_interval_s"):
            if not 0 <= getattr(self, name) <= 366 * 86400:
                raise InputError(f"{name} is {getattr(self, name)}; 0 (off) to a year are allowed")
        for name in ("keep", "logs_kept", "log_bytes_max"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; at least 1 is needed")


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


def remove_older(directory: Path, before_s: float) -> None:
    """Remove rotated logs, and backups but the newest, that were written last before a time.

    Raises:
        OSError: one cannot be removed.
    """
    logs = list(directory.glob(f"{NODE_LOG}.*"))
    backups = sorted((directory / BACKUP_DIRECTORY).glob("*.sqlite"))[:-1]  # the newest is of what is there now
    for path in (*logs, *backups, *(backup.with_suffix(".log") for backup in backups)):
        if path.exists() and path.stat().st_mtime < before_s:
            path.unlink()


class _Work:
    """The jobs of one node; parameters as `jobs_of`."""

    def __init__(
        self,
        config: HousekeepingConfig,
        directory: Path,
        store: SqlStore | None,
        metrics: Callable[[], Mapping[str, Any]] | None,
        reopen_log: Callable[[], object] | None,
        agenda: Agenda | None,
    ) -> None:
        self._config, self._directory, self._store = config, directory, store
        self._metrics, self._reopen_log, self._agenda = metrics, reopen_log, agenda
        self._kept = None if store is None else Kept(store)
        self._written = Written()

    async def snapshot(self) -> None:
        """Write the counters, if there is something new to tell."""
        if self._metrics is None:
            return
        if self._written.is_new(counters := self._metrics()):
            await trio.to_thread.run_sync(write_metrics, self._directory, counters)
        self._note("metrics")  # written with the next of the others: it is no loss

    async def rotate(self) -> None:
        """Rotate the log, if it is long enough."""
        await trio.to_thread.run_sync(self._rotate)
        self._note("log")  # as with the counters

    def retain(self) -> None:
        """Put today's log aside, and remove what is older than the policy allows."""
        rotate_log(self._directory / NODE_LOG, bytes_max=1, keep=self._config.logs_kept, reopen=self._reopen_log)
        remove_older(self._directory, time.time() - self._config.retention_days * _DAY_S)
        self._note("retention", save=True)

    def maintain(self) -> None:
        """Keep the database up, if it is another than last time."""
        store, kept = self._store, self._kept
        if store is None or kept is None or kept.is_same("maintenance"):
            self._note("maintenance")
            return
        store.maintain()
        kept.done("maintenance", kept.look())  # it writes itself
        self._note("maintenance", save=True)

    def back_up(self) -> None:
        """Make a backup, if the database is another than last time."""
        store, kept = self._store, self._kept
        if store is None or store.sqlite_path is None or kept is None or kept.is_same("backup"):
            self._note("backup")
            return
        seen = kept.look()  # what is written from here on may not be in it
        back_up(store.sqlite_path, store.log_path, self._directory, keep=self._config.keep)
        kept.done("backup", seen)
        self._note("backup", save=True)

    def _rotate(self) -> None:
        path, config = self._directory / NODE_LOG, self._config
        rotate_log(path, bytes_max=config.log_bytes_max, keep=config.logs_kept, reopen=self._reopen_log)

    def _note(self, name: str, *, save: bool = False) -> None:
        if self._agenda is not None:
            self._agenda.succeeded(name)
            if save:
                self._agenda.save()


def jobs_of(
    config: HousekeepingConfig,
    directory: Path,
    *,
    store: SqlStore | None = None,
    metrics: Callable[[], Mapping[str, Any]] | None = None,
    reopen_log: Callable[[], object] | None = None,
    agenda: Agenda | None = None,
) -> list[Job]:
    """Return the jobs of a node, as far as they are wanted: its database, backups, counters, log, and what is too old.

    Args:
        config: which and how often.
        directory: the node's directory.
        store: what to keep up and back up; a database other than SQLite is left to its own tools.
        metrics: gives the snapshot; called in the event loop, so it may read the node's state.
        reopen_log: see `rotate_log`.
        agenda: when each was done last; without one, jobs begin one interval after now.
    """
    work = _Work(config, directory, store, metrics, reopen_log, agenda)
    is_sqlite = store is not None and store.sqlite_path is not None
    jobs = []
    for name, wanted, interval_s, job in (
        ("maintenance", is_sqlite, config.maintenance_interval_s, work.maintain),
        ("backup", is_sqlite, config.backup_interval_s, work.back_up),
        ("metrics", metrics is not None, config.metrics_interval_s, work.snapshot),
        ("log", True, config.log_interval_s, work.rotate),
        ("retention", config.retention_days > 0, _DAY_S, work.retain),
    ):
        if wanted and interval_s > 0:
            wait_s = interval_s if agenda is None else agenda.wait_s(name, interval_s)
            jobs.append(Job(name, max(wait_s, min(interval_s, _START_S)), interval_s, job))
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
