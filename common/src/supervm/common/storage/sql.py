"""The store of a real node: tables in SQLite or PostgreSQL, promises in the write-ahead log.

Theory of operation. One thread at a time commits (the driver's storage worker), another reads (the event loop); they
use separate connections, and SQLite's WAL journal lets them not wait for each other. A reader sees a commit as a whole
or not at all.

`commit` first makes the tables durable in one transaction and then the log in one append: bodies before promises. Each
of the two is all or none. Between them a crash can leave the tables' part alone, which is harmless because the log's
part is what messages depend on and none of them was sent; the other order could leave a promise about a body that does
not exist. Records of one kind only cost one sync.

The first failure ends it: the store refuses every later commit, and the process must end (`StorageFailed`).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from msgspec.structs import asdict
from sqlalchemy.exc import SQLAlchemyError

from supervm.common.contract.checking import by_name, check_records, declared
from supervm.common.contract.records import Key, Record
from supervm.common.contract.tables import AnyTable
from supervm.common.errors import InputError
from supervm.protocol.base.errors import LocalProtocolError

from .connect import check_durable, database_url, is_damage, open_engine, open_failed, reason_of, shown
from .errors import DatabaseDamaged, StorageFailed
from .files import sync_directory
from .log_format import check_group
from .net import TableChange, net_change
from .statements import META_TABLE, TableStatements, build_statements, build_table
from .wal import WriteAheadLog

SCHEMA_VERSION: Final = 3
"""Version of the tables' layout if the caller names none."""
_SCAN_ROWS: Final = 1_000
_VACUUM_PAGES: Final = 2_000


class SqlStore:
    """Durable tables and write-ahead log of one node.

    `commit` and `maintain` may be called from any thread, one at a time; so may the reading methods, among themselves.

    Args:
        database: path of an SQLite file, or a URL (``postgresql+psycopg://...``): one database per node.
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
        self.url = database_url(database)
        self._is_sqlite = self.url.get_backend_name() == "sqlite"
        self._commit_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._failed = False
        self._wal: WriteAheadLog | None = None
        self._begin_log = begin_log
        self._connections: list[sa.Connection] = []
        self._engine = open_engine(self.url, busy_timeout_s=busy_timeout_s)
        try:
            self._open(schema_version)
            if log_path is not None:
                self._wal = WriteAheadLog(log_path, incarnation)
        except BaseException:
            for connection in self._connections:
                connection.close()
            self._engine.dispose()
            raise
        self.log_path = log_path
        self.log_created = self._wal is not None and self._wal.created

    @property
    def sqlite_path(self) -> Path | None:
        """The SQLite file, or None if the database is another one."""
        return Path(self.url.database or "") if self._is_sqlite else None

    def _open(self, schema_version: int) -> None:
        metadata = sa.MetaData()
        meta = sa.Table(  # apart from the others: it is read before any of them may be touched
            META_TABLE,
            sa.MetaData(),
            sa.Column("name", sa.Text, primary_key=True),
            sa.Column("value", sa.Integer, nullable=False),
        )
        dialect = self.url.get_backend_name()
        self._tables: dict[str, TableStatements] = {
            name: build_statements(spec, build_table(spec, metadata, dialect), dialect)
            for name, spec in self._declared.items()
        }
        try:
            self._writer = self._connect().execution_options(svm_writer=True)
            check_durable(self._writer, self.url)
            with self._writer.begin():
                meta.create(self._writer, checkfirst=True)
                found = self._writer.execute(sa.select(meta.c.value).where(meta.c.name == "schema")).scalar()
                if found is None:
                    self._writer.execute(sa.insert(meta).values(name="schema", value=schema_version))
                elif found != schema_version:
                    raise InputError(_other_schema(shown(self.url), found, schema_version))
                metadata.create_all(self._writer)
                self._check_columns()
            self._reader = self._connect()
            if not self._is_sqlite:  # where SQLite's driver begins nothing by itself, see `connect`
                self._reader.execution_options(isolation_level="AUTOCOMMIT")
        except SQLAlchemyError as error:
            raise open_failed(self.url, error) from error
        path = self.sqlite_path
        if path is not None:
            sync_directory(path.parent)

    def _connect(self) -> sa.Connection:
        connection = self._engine.connect()
        self._connections.append(connection)
        return connection

    def _check_columns(self) -> None:
        inspector = sa.inspect(self._writer)
        for name, spec in self._declared.items():
            found = [column["name"] for column in inspector.get_columns(name)]
            key = inspector.get_pk_constraint(name)["constrained_columns"]
            if found != [column.name for column in spec.columns] or key != [column.name for column in spec.key]:
                raise InputError(
                    f"the table {name} of {shown(self.url)} has the columns {', '.join(found)} with key "
                    f"{', '.join(key)}; this program expects {', '.join(column.name for column in spec.columns)} with "
                    f"key {', '.join(column.name for column in spec.key)}"
                )

    # --- reading -----------------------------------------------------------------------------------------------------

    def get(self, table: str, key: Key) -> Any:
        """Return a row, of its table's struct, or None.

        Raises:
            StorageFailed: the database cannot be read.
        """
        statements = self._statements(table)
        statements.spec.check_key(key)
        try:
            with self._read_lock:
                row = self._reader.execute(statements.get, statements.key_row(key)).first()
        except SQLAlchemyError as error:
            raise self._read_failed(table, error) from error
        if row is None:
            return None
        return statements.spec.load((*key, *row) if statements.spec.value else key)

    def scan(self, table: str, *, first: Key | None = None, limit: int | None = None) -> Iterator[Any]:
        """Return rows in ascending key order, from the first key that is not below `first`, as of the first `next`.

        A scan that is neither finished nor closed holds back SQLite's checkpoint: close a scan that is left early, or
        give a `limit` (up to 1,000 rows are read at once).

        Raises:
            StorageFailed: the database cannot be read.
        """
        statements = self._statements(table)
        query = statements.rows
        if first is not None:
            statements.spec.check_key(first, prefix=True)
            query = statements.rows_from(first)
        if limit is not None:
            query = query.limit(max(0, limit))
        if limit is not None and limit <= _SCAN_ROWS:
            try:
                with self._read_lock:
                    rows = self._reader.execute(query).all()
            except SQLAlchemyError as error:
                raise self._read_failed(table, error) from error
            return map(statements.spec.load, rows)
        return self._stream(statements.spec, query)

    def _stream(self, table: AnyTable, query: sa.Select[Any]) -> Iterator[Any]:
        try:
            # its own connection: one statement sees one state of the database, and others may read meanwhile
            with (
                self._engine.connect().execution_options(yield_per=_SCAN_ROWS) as connection,
                connection.execute(query) as result,
            ):
                yield from map(table.load, result)
        except SQLAlchemyError as error:
            raise self._read_failed(table.name, error) from error

    def count(self, table: str) -> int:
        """Return how many rows there are; SQLite and PostgreSQL walk the table for it.

        Raises:
            StorageFailed: the database cannot be read.
        """
        try:
            with self._read_lock:
                return int(self._reader.execute(self._statements(table).count).scalar_one())
        except SQLAlchemyError as error:
            raise self._read_failed(table, error) from error

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
                if isinstance(error, SQLAlchemyError):
                    if is_damage(error):
                        raise self._damaged(error) from error
                    raise StorageFailed(
                        f"could not commit to the database {shown(self.url)}: {reason_of(error)}; the process must "
                        "end. Make room or mend the disk, then start the node again"
                    ) from error
                raise

    def _write_tables(self, changes: dict[str, TableChange]) -> None:
        with self._writer.begin():
            for name, change in changes.items():
                statements = self._tables[name]
                if change.below is not None:
                    self._writer.execute(statements.delete_below, {"bound": change.below})
                if change.deletes:
                    self._writer.execute(statements.delete, [statements.key_row(key) for key in change.deletes])
                if change.puts:
                    self._writer.execute(statements.upsert, [asdict(row) for row in change.puts])

    def maintain(self) -> None:
        """Fold SQLite's journal into the database, refresh its statistics and give free pages back.

        The folding begins beside running commits; only its short end and the last steps hold them up. Other databases
        do this by themselves.

        Raises:
            StorageFailed: the database failed; the process must end.
        """
        if not self._is_sqlite:
            return
        try:
            with self._engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)").all()
                with self._commit_lock:
                    self._check_usable()
                    connection.exec_driver_sql("PRAGMA optimize")
                    # one page is freed per step of the statement, and it has no columns by which SQLAlchemy would know
                    # that there is something to fetch: the driver's script call steps it to its end
                    raw = connection.connection.driver_connection
                    assert isinstance(raw, sqlite3.Connection)
                    raw.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
                    # a reader in the way leaves the rest to the next time
                    connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all()
        except (SQLAlchemyError, sqlite3.Error) as error:
            self._failed = True
            if is_damage(error):
                raise self._damaged(error) from error
            raise StorageFailed(f"maintenance of {shown(self.url)} failed: {reason_of(error)}") from error

    def close(self) -> None:
        """Close everything; what was committed is durable already."""
        with self._commit_lock, self._read_lock:
            self._failed = True
            for connection in self._connections:
                connection.close()
            self._engine.dispose()
            if self._wal is not None:
                self._wal.close()

    # --- helpers -----------------------------------------------------------------------------------------------------

    def _statements(self, table: str) -> TableStatements:
        declared(self._declared, table)
        return self._tables[table]

    def _check_usable(self) -> None:
        if self._failed:
            raise StorageFailed(f"the store {shown(self.url)} failed before or is closed; start the node again")

    def _read_failed(self, table: str, error: SQLAlchemyError) -> StorageFailed:
        if is_damage(error):
            return self._damaged(error)
        return StorageFailed(f"cannot read the table {table} of {shown(self.url)}: {reason_of(error)}")

    def _damaged(self, error: Exception) -> DatabaseDamaged:
        return DatabaseDamaged(f"the database {shown(self.url)} is damaged: {reason_of(error)}")


def _other_schema(where: str, found: int, expected: int) -> str:
    if found > expected:
        return (
            f"the database {where} has schema version {found}; this program knows versions up to {expected}: "
            "use a newer version of the program"
        )
    return f"the database {where} has schema version {found} and this program needs {expected}: migrate it first"
