"""Group commit: records that become durable per second, against writing the same bytes to a bare file + fdatasync."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..contract.tables import PrimaryKey, Table, TableRow
from ..storage.sql import SqlStore
from ..storage.wal import WriteAheadLog
from .measure import BenchOptions, Row, interleaved, rate_row

_RECORD = bytes(250)
_BARE_SYNC = getattr(os, "fdatasync", os.fsync)


class _BenchRow(TableRow, frozen=True):
    number: PrimaryKey[int]
    data: bytes


_TABLE = Table("bench", _BenchRow)


def run(options: BenchOptions) -> list[Row]:
    """Records per second through the write-ahead log and through the database, alone and in groups."""
    with tempfile.TemporaryDirectory(dir=options.directory) as folder:
        return [_log(options, Path(folder), group) for group in (1, 100)] + [
            _database(options, Path(folder), group) for group in (1, 100)
        ]


def _log(options: BenchOptions, folder: Path, group: int) -> Row:
    options.progress(f"write-ahead log, {group} at a time")
    log = WriteAheadLog(folder / f"wal{group}", bytes(16))
    payloads = [_RECORD] * group
    commits = _commits(options)

    def ours() -> int:
        for _ in range(commits):
            log.append(payloads)
        return commits * group

    try:
        return _against_file(options, folder, f"commit.log.group{group}", group, ours)
    finally:
        log.close()


def _database(options: BenchOptions, folder: Path, group: int) -> Row:
    options.progress(f"database, {group} at a time")
    store = SqlStore(folder / f"store{group}.db", [_TABLE], schema_version=1)
    commits = _commits(options)
    number = 0

    def ours() -> int:
        nonlocal number
        for _ in range(commits):
            store.commit([_TABLE.put(_BenchRow(number + place, _RECORD)) for place in range(group)])
            number += group
        return commits * group

    try:
        return _against_file(options, folder, f"commit.database.group{group}", group, ours)
    finally:
        store.close()


def _against_file(options: BenchOptions, folder: Path, name: str, group: int, ours: Callable[[], int]) -> Row:
    data = _RECORD * group
    commits = _commits(options)
    descriptor = os.open(folder / f"{name}.bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def bare() -> int:
        for _ in range(commits):
            os.write(descriptor, data)
            _BARE_SYNC(descriptor)
        return commits * group

    try:
        rates = interleaved({"ours": ours, "limit": bare}, options.rounds)
    finally:
        os.close(descriptor)
    return rate_row(name, "records/s", rates["ours"], rates["limit"])


def _commits(options: BenchOptions) -> int:
    return 20 if options.quick else 100
