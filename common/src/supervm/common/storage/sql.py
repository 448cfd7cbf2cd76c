"""The store of a real node: tables in SQLite or PostgreSQL, promises in the write-ahead log.

Theory of operation. A database carries statements out (`database`): an SQLite file by the standard library's driver, or
what a URL names by SQLAlchemy. The store decides what is written and in which order, whichever it is. One thread at a
time commits (the driver's storage worker), another reads (the event loop); they use separate connections, and SQLite's
WAL journal lets them not wait for each other. A reader sees a commit as a whole or not at all.

`commit` first makes the tables durable in one transaction and then the log in one append: bodies before promises. Each
of the two is all or none. Between them a crash can leave the tables' part alone, which is harmless because the log's
part is what messages depend on and none of them was sent; the other order could leave a promise about a body that does
not exist. Records of one kind only cost one sync.

The first failure ends it: the store refuses every later commit, and the process must end (`StorageFailed`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from msgspec.structs import astuple

from supervm.common.contract.checking import by_name, check_records, declared
from supervm.common.contract.records import Key, Record
from supervm.common.contract.tables import AnyTable
from supervm.common.errors import InputError
from supervm.protocol.base.errors import LocalProtocolError

from .database import Parameters, damaged, is_damage, open_database, open_failed, reason_of
from .errors import StorageFailed
from .files import sync_directory
from .log_format import check_group
from .net import TableChange, net_change
from .statements import CREATE_META, META_TABLE, TableStatements, build_statements
from .wal import WriteAheadLog

SCHEMA_VERSION: Final = 4
"""Version of the tables' layout if the caller names none."""
_SCAN_ROWS: Final = 1_000


class SqlStore:
    """Durable tables and write-ahead log of one node.

    `commit` and `maintain` may be called from any thread, one at a time; so may the reading methods, among themselves.

    Args:
        database: path of an SQLite file, or a URL (``postgresql+psycopg://...``), which needs SQLAlchemy: one database
            per node.
        tables: declarations of the tables; missing ones are made.
        log_path: the write-ahead log, or None for a store that takes no `Append` and no `Prune`.
        incarnation: 16 bytes kept with the node's keys; needed with `log_path`.
        begin_log: begins a new log in place of one that is lost, for `Prune(..., begin=True)`.
        schema_version: version of the tables' layout.
        busy_timeout_s: how long a commit waits for another program that has the SQLite file locked.

    Attributes:
        log_created: there was no write-ahead log, and one was made. With a key older than this start, the node must be
            an observer (consensus.md 2.2).

    Raises:
        InputError: the database cannot be opened, is of another schema version or has other columns, or is in use.
        DatabaseDamaged: the file is no database, or a damaged one.
        LogDamaged: see `WriteAheadLog`; open again without a log to read the tables as an observer.
    """

    def __init__(
        self,
        database: str | Path,
        tables: Iterable[AnyTable],
        *,
        log_path: Path | None = None,
        incarnation: bytes = b"",
        begin_log: Callable[[], WriteAheadLog] | None = None,
        schema_version: int = SCHEMA_VERSION,
        busy_timeout_s: float = 30.0,
    ) -> None:
        self._declared = by_name(tables)
        if META_TABLE in self._declared:
            raise LocalProtocolError(f"the table name {META_TABLE!r} belongs to the store")
        self._database = open_database(database, busy_timeout_s=busy_timeout_s)
        self._tables: dict[str, TableStatements] = {
            name: build_statements(spec, self._database.dialect) for name, spec in self._declared.items()
        }
        self._commit_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._failed = False
        self._wal: WriteAheadLog | None = None
        self._begin_log = begin_log
        try:
            self._open(schema_version)
            if log_path is not None:
                self._wal = WriteAheadLog(log_path, incarnation)
        except BaseException:
            self._database.close()
            raise
        self.log_path = log_path
        self.log_created = self._wal is not None and self._wal.created

    @property
    def sqlite_path(self) -> Path | None:
        """The SQLite file, or None if the database is another one."""
        return self._database.sqlite_path

    @property
    def shown(self) -> str:
        """The path of the SQLite file, or the database's URL without its password."""
        return self._database.shown

    def _open(self, schema_version: int) -> None:
        try:
            self._database.connect()
            with self._database.transaction() as transaction:
                transaction.execute(CREATE_META)
                # it is read before any of the tables may be touched
                found = transaction.execute(f"SELECT value FROM {META_TABLE} WHERE name = 'schema'")  # noqa: S608
                if not found:
                    place = self._database.dialect.place
                    transaction.execute(
                        f"INSERT INTO {META_TABLE} (name, value) VALUES ('schema', {place})",  # noqa: S608
                        (schema_version,),
                    )
                elif found[0][0] != schema_version:
                    raise InputError(_other_schema(self.shown, found[0][0], schema_version))
                for statements in self._tables.values():
                    transaction.execute(statements.create)
                    self._check_columns(statements.spec, *transaction.columns(statements.spec.name))
        except self._database.failures as error:
            raise open_failed(self.shown, error) from error
        path = self.sqlite_path
        if path is not None:
            sync_directory(path.parent)

    def _check_columns(self, spec: AnyTable, found: list[str], key: list[str]) -> None:
        if found != [column.name for column in spec.columns] or key != [column.name for column in spec.key]:
            raise InputError(
                f"the table {spec.name} of {self.shown} has the columns {', '.join(found)} with key {', '.join(key)}; "
                f"this program expects {', '.join(column.name for column in spec.columns)} with key "
                f"{', '.join(column.name for column in spec.key)}"
            )

    # --- reading -----------------------------------------------------------------------------------------------------

    def get(self, table: str, key: Key) -> Any:
        """Return a row, of its table's struct, or None.

        Raises:
            StorageFailed: the database cannot be read.
        """
        statements = self._statements(table)
        statements.spec.check_key(key)
        rows = self._read(statements, statements.get, key)
        if not rows:
            return None
        return statements.spec.load((*key, *rows[0]) if statements.spec.value else key)

    def scan(self, table: str, *, first: Key | None = None, limit: int | None = None) -> Iterator[Any]:
        """Return rows in ascending key order, from the first key that is not below `first`, as of the first `next`.

        A scan that is neither finished nor closed holds back SQLite's checkpoint: close a scan that is left early, or
        give a `limit` (up to 1,000 rows are read at once).

        Raises:
            StorageFailed: the database cannot be read.
        """
        statements = self._statements(table)
        if first is not None:
            statements.spec.check_key(first, prefix=True)
        parameters = list(first or ())
        query = statements.rows(first=len(parameters), limit=limit is not None)
        if limit is not None:
            parameters.append(max(0, limit))
        if limit is not None and limit <= _SCAN_ROWS:
            return map(statements.spec.load, self._read(statements, query, parameters))
        return self._stream(statements, query, parameters)

    def _read(self, statements: TableStatements, query: str, parameters: Parameters) -> list[tuple[Any, ...]]:
        try:
            with self._read_lock:
                return self._database.read(query, parameters)
        except self._database.failures as error:
            raise self._read_failed(statements, error) from error

    def _stream(self, statements: TableStatements, query: str, parameters: Parameters) -> Iterator[Any]:
        try:
            with closing(self._database.stream(query, parameters)) as rows:
                yield from map(statements.spec.load, rows)
        except self._database.failures as error:
            raise self._read_failed(statements, error) from error

    def count(self, table: str) -> int:
        """Return how many rows there are; SQLite and PostgreSQL walk the table for it.

        Raises:
            StorageFailed: the database cannot be read.
        """
        statements = self._statements(table)
        [(count,)] = self._read(statements, statements.count, ())
        return int(count)

    def log(self) -> list[bytes]:
        """Return the write-ahead payloads found when the store was opened, oldest first."""
        return [] if self._wal is None else list(self._wal.recovered)

    # --- writing -----------------------------------------------------------------------------------------------------

    def commit(self, records: Sequence[Record]) -> None:
        """Apply records in order; on return they are durable: tables first, then the write-ahead log.

        Raises:
            LocalProtocolError: a record does not fit the tables; nothing was written.
            StorageFailed: not everything may be durable; the process must end.
        """
        check_records(records, self._declared, with_log=self._wal is not None)
        change = net_change(records, self._declared)
        if self._wal is None and change.rewrite and self._begin_log is None:
            raise LocalProtocolError("this store was opened without a write-ahead log and cannot begin one")
        if change.payloads:
            check_group(change.payloads)
        with self._commit_lock:
            self._check_usable()
            try:
                if change.tables:
                    self._write_tables(change.tables)
                if self._wal is None and change.rewrite and self._begin_log is not None:
                    self._wal = self._begin_log()
                    self.log_path = self._wal.path
                if self._wal is not None and change.rewrite:
                    self._wal.rewrite(change.payloads)
                elif self._wal is not None and change.payloads:
                    self._wal.append(change.payloads)
            except BaseException as error:
                self._failed = True
                if isinstance(error, self._database.failures):
                    if is_damage(error):
                        raise damaged(self.shown, error) from error
                    raise StorageFailed(
                        f"could not commit to the database {self.shown}: {reason_of(error)}; the process must "
                        "end. Make room or mend the disk, then start the node again"
                    ) from error
                raise

    def _write_tables(self, changes: dict[str, TableChange]) -> None:
        with self._database.transaction() as transaction:
            for name, change in changes.items():
                statements = self._tables[name]
                if change.below is not None:
                    transaction.execute(statements.delete_below, (change.below,))
                if change.deletes:
                    transaction.execute_many(statements.delete, list(change.deletes))
                if change.puts:
                    transaction.execute_many(statements.upsert, [astuple(row) for row in change.puts])

    def maintain(self) -> None:
        """Fold SQLite's journal into the database, refresh its statistics, give free pages and kept memory back.

        The folding begins beside running commits; only its short end and the last steps hold them up. Other databases
        do this by themselves.

        Raises:
            StorageFailed: the database failed; the process must end.
        """
        if self.sqlite_path is None:
            return
        try:
            self._database.fold()
            with self._commit_lock:
                self._check_usable()
                self._database.tidy()
                with self._read_lock:
                    self._database.forget_pages()
        except self._database.failures as error:
            self._failed = True
            if is_damage(error):
                raise damaged(self.shown, error) from error
            raise StorageFailed(f"maintenance of {self.shown} failed: {reason_of(error)}") from error

    def close(self) -> None:
        """Close everything; what was committed is durable already."""
        with self._commit_lock, self._read_lock:
            self._failed = True
            self._database.close()
            if self._wal is not None:
                self._wal.close()

    # --- helpers -----------------------------------------------------------------------------------------------------

    def _statements(self, table: str) -> TableStatements:
        declared(self._declared, table)
        return self._tables[table]

    def _check_usable(self) -> None:
        if self._failed:
            raise StorageFailed(f"the store {self.shown} failed before or is closed; start the node again")

    def _read_failed(self, statements: TableStatements, error: Exception) -> StorageFailed:
        if is_damage(error):
            return damaged(self.shown, error)
        return StorageFailed(f"cannot read the table {statements.spec.name} of {self.shown}: {reason_of(error)}")


def _other_schema(where: str, found: int, expected: int) -> str:
    if found > expected:
        return (
            f"the database {where} has schema version {found}; this program knows versions up to {expected}: "
            "use a newer version of the program"
        )
    return f"the database {where} has schema version {found} and this program needs {expected}: migrate it first"
