"""Backups of a node's database: one is a copy of it as of one moment, and of its write-ahead log *for inspection*.

A validator that is restored from a backup has forgotten promises it made since; therefore the copied log carries the
incarnation of no node and, put in place, makes the node an observer (`wal.copy_log`).
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from ..errors import CommonError
from ..storage.files import sync_data, sync_directory
from ..storage.wal import copy_log

BACKUP_DIRECTORY: Final = "backups"
"""Where backups are, in a node's directory: ``NNNNNN.sqlite`` and ``NNNNNN.log``."""


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
