"""Opening the database: SQLite in a file, or PostgreSQL by URL, each so that a commit that returned is durable.

SQLite: a WAL journal with ``synchronous=FULL`` syncs at every commit; 20,000 pages between checkpoints instead of 1,000
double the rate of random keys (limits.md 4). PostgreSQL: a session takes ``synchronous_commit`` if the server has it
off, a server that runs without fsync is refused, and an advisory lock keeps a second node off the same database.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from supervm.common.errors import CommonError, InputError

from .errors import DatabaseDamaged

AUTOCHECKPOINT_PAGES: Final = 20_000
"""Pages in SQLite's journal at which a commit moves them into the database."""
READ_CACHE_KIB: Final = 65_536
"""Page cache of one SQLite connection."""
_OWNER_LOCK: Final = int.from_bytes(b"supervm\0", "big")


def database_url(database: str | Path) -> URL:
    """Return the URL of a database given as a path or a URL.

    Raises:
        InputError: it is a URL of no kind that is supported.
    """
    if isinstance(database, Path) or "://" not in database:
        return URL.create("sqlite", database=str(database))
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
    return url


def shown(url: URL) -> str:
    """Return the URL without its password, or the path of an SQLite file."""
    return url.database or "" if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)


def open_engine(url: URL, *, busy_timeout_s: float) -> Engine:
    """Return an engine whose connections are durable and in autocommit mode until `begin` is called on them.

    Raises:
        InputError: its driver is not installed.
    """
    is_sqlite = url.get_backend_name() == "sqlite"
    try:
        if is_sqlite:
            _make_private(url.database)
            engine = sa.create_engine(url, connect_args={"timeout": busy_timeout_s, "check_same_thread": False})
            sa.event.listen(engine, "connect", _set_up_sqlite)
            sa.event.listen(engine, "begin", _begin_sqlite)
        else:
            engine = sa.create_engine(url)
            sa.event.listen(engine, "connect", _set_up_postgresql)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise InputError(
            f"the database {shown(url)} needs a driver that is not installed ({error}); install psycopg and use "
            "postgresql+psycopg://"
        ) from error
    return engine


def _make_private(database: str | None) -> None:
    """Make a new database file for its owner alone; SQLite gives its journals the same mode."""
    if database and not database.startswith("file:"):
        with contextlib.suppress(OSError):  # opening it will say what is wrong
            os.close(os.open(database, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def check_durable(connection: sa.Connection, url: URL) -> None:
    """Check that commits of this database are durable and that no other node has it open.

    Raises:
        InputError: they are not, or one has.
    """
    if url.get_backend_name() == "sqlite":
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
        if mode != "wal":
            raise InputError(
                f"the database {shown(url)} has journal mode {mode} and cannot change to wal; network file systems "
                "do not support it: use a local disk"
            )
        connection.commit()
        return
    if connection.exec_driver_sql("SHOW fsync").scalar() != "on":
        raise InputError(f"the server of {shown(url)} runs with fsync off: a crash could lose what a node promised")
    if not connection.execute(sa.select(sa.func.pg_try_advisory_lock(_OWNER_LOCK))).scalar():
        raise InputError(f"the database {shown(url)} is in use by another node; give each node its own database")
    connection.commit()


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver's own BEGIN would start a read transaction that cannot always write
    cursor = connection.cursor()
    for pragma in (
        "auto_vacuum=INCREMENTAL",  # counts only before the first table is made
        "journal_mode=WAL",
        "synchronous=FULL",
        "fullfsync=ON",
        "checkpoint_fullfsync=ON",
        f"wal_autocheckpoint={AUTOCHECKPOINT_PAGES}",
        f"cache_size=-{READ_CACHE_KIB}",
        "temp_store=MEMORY",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


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


def open_failed(url: URL, error: SQLAlchemyError) -> CommonError:
    """Return the error for a database that cannot be opened: `InputError`, or `DatabaseDamaged`."""
    if is_damage(error):
        return DatabaseDamaged(f"the database {shown(url)} is damaged: {reason_of(error)}")
    return InputError(f"cannot open the database {shown(url)}: {reason_of(error)}")


def is_damage(error: Exception) -> bool:
    """Return whether SQLite says that the file itself is wrong, not the disk under it or whoever uses it."""
    original = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(original, "sqlite_errorcode", None)  # extended: the primary code is its low byte
    return isinstance(code, int) and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def reason_of(error: Exception) -> str:
    """Return the first line of what a database said."""
    text = str(error.orig if isinstance(error, DBAPIError) else error).strip()
    return text.splitlines()[0] if text else type(error).__name__
