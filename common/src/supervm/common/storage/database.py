"""What a store asks of a database: statements as text, rows as tuples, one transaction at a time.

Two modules do it: `sqlite_file`, an SQLite file through the standard library, and `by_url`, any database that
SQLAlchemy reaches by a URL. `open_database` takes the one that fits; a node that configures no URL never imports
SQLAlchemy.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from supervm.common.errors import CommonError, InputError

from .errors import DatabaseDamaged
from .statements import Dialect

Parameters = Sequence[int | bytes | str | None]
"""What fills the places of a statement, in order."""
Columns = tuple[list[str], list[str]]
"""Names of a table's columns, and of those of its key, in order."""


class Transaction(Protocol):
    """What is written together: all of it, or after an error none."""

    def execute(self, statement: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        """Carry a statement out once and return its rows."""
        ...

    def execute_many(self, statement: str, rows: list[Parameters]) -> None:
        """Carry a statement out once per row of parameters, one or more."""
        ...

    def columns(self, table: str) -> Columns:
        """Return the columns that an existing table has."""
        ...


class Database(Protocol):
    """An open database whose commits are durable once they return.

    One thread at a time writes, another reads. Every method may raise one of `failures`.

    Attributes:
        shown: its path, or its URL without the password.
        dialect: how statements are to be written.
        sqlite_path: the SQLite file, or None if it is another database.
        failures: what its methods raise when the database fails.
    """

    shown: str
    dialect: Dialect
    sqlite_path: Path | None
    failures: tuple[type[Exception], ...]

    def connect(self) -> None:
        """Connect, and check that commits are durable and that no other node has it open.

        Raises:
            InputError: they are not, or one has, or a driver is missing.
        """
        ...

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Return a transaction that is durable when its block ends without an error; rolled back with one."""
        ...

    def read(self, statement: str, parameters: Parameters) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        ...

    def stream(self, statement: str, parameters: Parameters) -> Generator[tuple[Any, ...], None, None]:
        """Return rows of a query as of the first `next`; others may read and write meanwhile."""
        ...

    def fold(self) -> None:
        """Move what the journal holds into the database, as far as nobody is in the way."""
        ...

    def tidy(self) -> None:
        """Refresh statistics, give free pages back and empty the journal; the caller keeps commits out."""
        ...

    def forget_pages(self) -> None:
        """Let go of the memory that pages were kept in; the caller keeps commits and reads out."""
        ...

    def close(self) -> None:
        """Close every connection; what was committed stays."""
        ...


def open_database(database: str | Path, *, busy_timeout_s: float) -> Database:
    """Return the database of a path or a URL, not connected yet.

    Args:
        database: path of an SQLite file, or a URL (``postgresql+psycopg://...``).
        busy_timeout_s: how long a commit waits for another program that has the SQLite file locked.

    Raises:
        InputError: it is a URL of no kind that is supported, or what it needs is not installed.
    """
    if isinstance(database, Path) or "://" not in database:
        from .sqlite_file import SqliteFile

        return SqliteFile(Path(database), busy_timeout_s=busy_timeout_s)
    try:
        from .by_url import DatabaseByUrl
    except ModuleNotFoundError as error:
        raise InputError(
            f"a database URL needs {error.name}, which is not installed here: install supervm-common[sql], or take the "
            "URL out of the configuration to keep the node's database in a file of its folder"
        ) from error
    return DatabaseByUrl(database, busy_timeout_s=busy_timeout_s)


def open_failed(shown: str, error: Exception) -> CommonError:
    """Return the error for a database that cannot be opened: `InputError`, or `DatabaseDamaged`."""
    if is_damage(error):
        return damaged(shown, error)
    return InputError(f"cannot open the database {shown}: {reason_of(error)}")


def damaged(shown: str, error: Exception) -> DatabaseDamaged:
    """Return the error for a database that is damaged."""
    return DatabaseDamaged(f"the database {shown} is damaged: {reason_of(error)}")


def is_damage(error: Exception) -> bool:
    """Return whether SQLite says that the file itself is wrong, not the disk under it or whoever uses it."""
    # SQLAlchemy keeps the driver's error in `orig`; codes are extended, the primary one is the low byte
    code = getattr(getattr(error, "orig", error), "sqlite_errorcode", None)
    return isinstance(code, int) and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def reason_of(error: Exception) -> str:
    """Return the first line of what a database said."""
    text = str(getattr(error, "orig", None) or error).strip()
    return text.splitlines()[0] if text else type(error).__name__
