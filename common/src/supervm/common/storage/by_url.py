"""A database by URL, through SQLAlchemy: PostgreSQL, or an SQLite file that somebody wants to reach that way.

SQLAlchemy finds the driver, keeps connections and says what failed; the statements are ours (`statements`) and go to
the driver as they are, so both ways to SQLite carry out the same text.

PostgreSQL: a session takes ``synchronous_commit`` if the server has it off, a server that runs without fsync is
refused, and an advisory lock keeps a second node off the same database.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from supervm.common.errors import InputError

from .database import Columns, Parameters
from .sqlite_file import CACHE_KIB, check_journal, fold, forget_pages, make_private, set_up, tidy
from .statements import POSTGRESQL, SQLITE

_OWNER_LOCK: Final = int.from_bytes(b"supervm\0", "big")
_STREAM_ROWS: Final = 1_000


def database_url(database: str) -> URL:
    """Return a database's URL; PostgreSQL's names psycopg if it names no driver.

    Raises:
        InputError: it is a URL of no kind that is supported.
    """
    try:
        url = make_url(database)
    except (ArgumentError, ValueError) as error:  # ValueError: the port is no number
        raise InputError(
            "the database URL cannot be read; an example is postgresql+psycopg://user@host/name"
        ) from error
    backend = url.get_backend_name()
    if backend == "sqlite" and url.database in (None, "", ":memory:"):
        raise InputError(f"the database {url} would not outlive the process; give a file")
    if backend not in ("sqlite", "postgresql"):
        raise InputError(f"the database {shown(url)} is {backend}; sqlite and postgresql are supported")
    # SQLAlchemy before 2.1 would take psycopg2
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def shown(url: URL) -> str:
    """Return the URL without its password, or the path of an SQLite file."""
    return url.database or "" if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)


class DatabaseByUrl:
    """A `Database` that SQLAlchemy reaches.

    Args:
        database: the URL.
        busy_timeout_s: how long a commit waits for another program that has an SQLite file locked.

    Raises:
        InputError: the URL is of no kind that is supported, or its driver is not installed.
    """

    def __init__(self, database: str, *, busy_timeout_s: float) -> None:
        url = database_url(database)
        self.shown = shown(url)
        self._is_sqlite = url.get_backend_name() == "sqlite"
        self.dialect = SQLITE if self._is_sqlite else POSTGRESQL
        self.sqlite_path = Path(url.database or "") if self._is_sqlite else None
        self.failures: tuple[type[Exception], ...] = (SQLAlchemyError, sqlite3.Error)
        self._connections: list[sa.Connection] = []
        try:
            if url.drivername not in ("sqlite", "sqlite+pysqlite", "postgresql+psycopg"):
                raise NoSuchModuleError(url.drivername)
            if self._is_sqlite:
                options = {"timeout": busy_timeout_s, "check_same_thread": False}
                self._engine = sa.create_engine(url, connect_args=options)
            else:
                self._engine = sa.create_engine(url)
        except (ModuleNotFoundError, NoSuchModuleError) as error:
            raise InputError(
                f"the database {self.shown} needs a driver that is not supported or not installed ({error}); install "
                "psycopg (supervm-common[postgresql]) and use postgresql+psycopg://"
            ) from error
        if self._is_sqlite:
            sa.event.listen(self._engine, "connect", _set_up_sqlite)
            sa.event.listen(self._engine, "begin", _begin_sqlite)
        else:
            sa.event.listen(self._engine, "connect", _set_up_postgresql)

    def connect(self) -> None:
        """Connect; see `Database`.

        Raises:
            InputError: commits would not be durable, or another node has the database open.
        """
        if self.sqlite_path is not None and not self.shown.startswith("file:"):
            make_private(self.shown)
        self._writer = self._connection().execution_options(svm_writer=True)
        if self._is_sqlite:
            check_journal(_raw(self._writer), self.shown)
        else:
            self._own_postgresql()
        self._reader = self._connection()
        if not self._is_sqlite:  # where SQLite's driver begins nothing by itself, see `_set_up_sqlite`
            self._reader.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def transaction(self) -> Iterator[_Transaction]:
        """See `Database`."""
        with self._writer.begin():
            yield _Transaction(self._writer)

    def read(self, statement: str, parameters: Parameters) -> list[tuple[Any, ...]]:
        """See `Database`."""
        return list(map(tuple, self._reader.exec_driver_sql(statement, tuple(parameters))))

    def stream(self, statement: str, parameters: Parameters) -> Generator[tuple[Any, ...], None, None]:
        """See `Database`."""
        # its own connection: one statement sees one state of the database, and others may read meanwhile
        with (
            self._engine.connect().execution_options(yield_per=_STREAM_ROWS) as connection,
            connection.exec_driver_sql(statement, tuple(parameters)) as result,
        ):
            yield from map(tuple, result)

    def fold(self) -> None:
        """See `Database`."""
        if self._is_sqlite:
            with self._engine.connect() as connection:
                fold(_raw(connection))

    def tidy(self) -> None:
        """See `Database`."""
        if self._is_sqlite:
            with self._engine.connect() as connection:
                tidy(_raw(connection))

    def forget_pages(self) -> None:
        """See `Database`."""
        if self._is_sqlite:
            for connection in self._connections:
                forget_pages(_raw(connection))

    def close(self) -> None:
        """See `Database`."""
        for connection in self._connections:
            # a failed server may refuse the rollback that closing asks for
            with contextlib.suppress(SQLAlchemyError):
                connection.close()
        self._engine.dispose()

    def _connection(self) -> sa.Connection:
        connection = self._engine.connect()
        self._connections.append(connection)
        return connection

    def _own_postgresql(self) -> None:
        if self._writer.exec_driver_sql("SHOW fsync").scalar() != "on":
            raise InputError(f"the server of {self.shown} runs with fsync off: a crash could lose what a node promised")
        if not self._writer.exec_driver_sql("SELECT pg_try_advisory_lock(%s)", (_OWNER_LOCK,)).scalar():
            raise InputError(f"the database {self.shown} is in use by another node; give each node its own database")
        self._writer.commit()


class _Transaction:
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        result = self._connection.exec_driver_sql(statement, tuple(parameters))
        return list(map(tuple, result)) if result.returns_rows else []

    def execute_many(self, statement: str, rows: list[Parameters]) -> None:
        self._connection.exec_driver_sql(statement, [tuple(row) for row in rows])

    def columns(self, table: str) -> Columns:
        inspector = sa.inspect(self._connection)
        names = [column["name"] for column in inspector.get_columns(table)]
        return names, list(inspector.get_pk_constraint(table)["constrained_columns"])


def _raw(connection: sa.Connection) -> sqlite3.Connection:
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver's own BEGIN would start a read transaction that cannot always write
    set_up(connection, cache_kib=CACHE_KIB)


def _begin_sqlite(connection: sa.Connection) -> None:
    # A reader must not take the write lock, a writer must take it before it reads
    if connection.get_execution_options().get("svm_writer"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _set_up_postgresql(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("SHOW synchronous_commit")
    if cursor.fetchone()[0] == "off":
        cursor.execute("SET synchronous_commit TO on")
    cursor.close()
    connection.commit()
