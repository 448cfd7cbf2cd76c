"""An SQLite file through the standard library's driver: what every node uses unless a URL asks for something else.

A WAL journal with ``synchronous=FULL`` syncs at every commit; 20,000 pages between checkpoints instead of 1,000 double
the rate of random keys (limits.md 4). The driver keeps the compiled form of each statement, so a row costs a call into
SQLite and no text.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from supervm.common.errors import InputError

from .database import Columns, Parameters
from .statements import SQLITE

AUTOCHECKPOINT_PAGES: Final = 20_000
"""Pages in SQLite's journal at which a commit moves them into the database."""
CACHE_KIB: Final = 65_536
"""Most memory that one connection keeps pages in; it is taken as pages are read."""
STREAM_CACHE_KIB: Final = 2_048
"""The same of a connection that only walks over tables: it comes by no page twice."""
_STATEMENTS_KEPT: Final = 256
_STREAMS_KEPT: Final = 1
_STREAM_ROWS: Final = 1_000
_VACUUM_PAGES: Final = 2_000


class SqliteFile:
    """A `Database` in an SQLite file.

    Args:
        path: the file; made, for its owner alone, if it is missing.
        busy_timeout_s: how long a commit waits for another program that has the file locked.
    """

    def __init__(self, path: Path, *, busy_timeout_s: float) -> None:
        self.shown = str(path)
        self.dialect = SQLITE
        self.sqlite_path: Path | None = path
        self.failures: tuple[type[Exception], ...] = (sqlite3.Error,)
        self._path = path
        self._busy_timeout_s = busy_timeout_s
        self._streams: list[sqlite3.Connection] = []  # idle ones
        self._streams_lock = threading.Lock()
        self._closed = False
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None

    def connect(self) -> None:
        """Open the file.

        Raises:
            InputError: it cannot have a journal that makes commits durable.
        """
        make_private(self.shown)
        self._writer = self._connection(CACHE_KIB)
        check_journal(self._writer, self.shown)
        self._reader = self._connection(CACHE_KIB)

    @contextmanager
    def transaction(self) -> Iterator[_Transaction]:
        """See `Database`."""
        writer = self._open(self._writer)
        writer.execute("BEGIN IMMEDIATE")  # a writer takes the lock before it reads
        try:
            yield _Transaction(writer)
            writer.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # the first error is the one to tell
                if writer.in_transaction:
                    writer.execute("ROLLBACK")
            raise

    def read(self, statement: str, parameters: Parameters) -> list[tuple[Any, ...]]:
        """See `Database`."""
        return self._open(self._reader).execute(statement, parameters).fetchall()

    def stream(self, statement: str, parameters: Parameters) -> Generator[tuple[Any, ...], None, None]:
        """See `Database`."""
        with self._streams_lock:
            self._open(self._reader)
            connection = self._streams.pop() if self._streams else None
        connection = connection or self._connection(STREAM_CACHE_KIB)
        cursor = connection.execute(statement, parameters)
        try:
            while rows := cursor.fetchmany(_STREAM_ROWS):
                yield from rows
        finally:
            cursor.close()
            with self._streams_lock:
                kept = not self._closed and len(self._streams) < _STREAMS_KEPT
                if kept:
                    self._streams.append(connection)
            if not kept:
                connection.close()

    def fold(self) -> None:
        """See `Database`."""
        with contextlib.closing(self._connection(STREAM_CACHE_KIB)) as connection:
            fold(connection)

    def tidy(self) -> None:
        """See `Database`."""
        with contextlib.closing(self._connection(STREAM_CACHE_KIB)) as connection:
            tidy(connection)

    def forget_pages(self) -> None:
        """See `Database`."""
        for connection in (self._writer, self._reader):
            forget_pages(self._open(connection))

    def close(self) -> None:
        """See `Database`."""
        with self._streams_lock:
            self._closed = True
            idle, self._streams = self._streams, []
        for connection in (self._writer, self._reader, *idle):
            if connection is not None:
                connection.close()

    def _connection(self, cache_kib: int) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path,
            timeout=self._busy_timeout_s,
            isolation_level=None,  # the driver's own BEGIN would start a read transaction that cannot always write
            check_same_thread=False,
            cached_statements=_STATEMENTS_KEPT,
        )
        try:
            set_up(connection, cache_kib=cache_kib)
        except BaseException:
            connection.close()
            raise
        return connection

    @staticmethod
    def _open(connection: sqlite3.Connection | None) -> sqlite3.Connection:
        if connection is None:
            raise sqlite3.ProgrammingError("the database is not connected")
        return connection


class _Transaction:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, parameters).fetchall()

    def execute_many(self, statement: str, rows: list[Parameters]) -> None:
        self._connection.executemany(statement, rows)

    def columns(self, table: str) -> Columns:
        found = self.execute("SELECT name, pk FROM pragma_table_info(?)", (table,))
        return [name for name, _ in found], [name for _, name in sorted((pk, name) for name, pk in found if pk)]


def make_private(path: str) -> None:
    """Make a new database file for its owner alone; SQLite gives its journals the same mode."""
    with contextlib.suppress(OSError):  # opening it will say what is wrong
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def set_up(connection: sqlite3.Connection, *, cache_kib: int) -> None:
    """Make the commits of a new connection durable, and bound its memory."""
    for pragma in (
        "auto_vacuum=INCREMENTAL",  # counts only before the first table is made
        "journal_mode=WAL",
        "synchronous=FULL",
        "fullfsync=ON",
        "checkpoint_fullfsync=ON",
        f"wal_autocheckpoint={AUTOCHECKPOINT_PAGES}",
        f"cache_size=-{cache_kib}",
        "temp_store=MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()


def check_journal(connection: sqlite3.Connection, shown: str) -> None:
    """Check that the journal is the one that makes commits durable.

    Raises:
        InputError: it is not.
    """
    [(mode,)] = connection.execute("PRAGMA journal_mode").fetchall()
    if mode != "wal":
        raise InputError(
            f"the database {shown} has journal mode {mode} and cannot change to wal; network file systems do not "
            "support it: use a local disk"
        )


def fold(connection: sqlite3.Connection) -> None:
    """Move what the journal holds into the database, as far as nobody is in the way."""
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def tidy(connection: sqlite3.Connection) -> None:
    """Refresh statistics, give free pages back and empty the journal."""
    connection.execute("PRAGMA optimize").fetchall()
    # one page is freed per step of the statement, and it has no columns by which the driver would know that there is
    # something to fetch: the script call steps it to its end
    connection.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # a reader in the way leaves the rest


def forget_pages(connection: sqlite3.Connection) -> None:
    """Let go of the memory in which a connection keeps pages.

    What a node adds at the end of its tables is not read again for long, but it would be kept until `CACHE_KIB` is
    full: 22 MB a day on an idle validator. What is in use is read again from the system's own memory of the file.
    """
    connection.execute("PRAGMA shrink_memory").fetchall()
