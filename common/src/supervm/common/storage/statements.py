"""SQLAlchemy Core tables and statements for declared tables, for SQLite and PostgreSQL.

What differs between the two is decided here, so that both give the same rows in the same order:

* Text compares by code point: SQLite does, PostgreSQL needs the collation "C".
* One integer as key becomes SQLite's ``INTEGER PRIMARY KEY``, the row's own number: 540,000 rows/s against 470,000 and
  95,000 against 45,000 with 1.5 kB of value, measured against ``WITHOUT ROWID``.
* Other keys get ``WITHOUT ROWID`` only where a row is small for certain (no bytes or text in the value). With a 32-byte
  key and 60 bytes of value both write alike, with 250 bytes ``WITHOUT ROWID`` is 0.75 and with 1.5 kB 0.37 of a table
  with a separate index, because whole rows then sit in the inner pages of the tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from supervm.common.contract.records import Key
from supervm.common.contract.tables import AnyTable, Column

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

META_TABLE: Final = "svm_meta"
"""Table of the store itself: names and integers."""

_TYPES: Final[dict[str, dict[str, sa.types.TypeEngine[Any]]]] = {
    "sqlite": {"int": sa.Integer(), "bytes": sa.LargeBinary(), "text": sa.Text()},
    "postgresql": {"int": sa.BigInteger(), "bytes": sa.LargeBinary(), "text": sa.Text(collation="C")},
}


@dataclass(frozen=True, slots=True)
class TableStatements:
    """Ready statements of one table.

    Attributes:
        spec: its declaration.
        table: its SQLAlchemy table.
        upsert: insert or replace; parameters are columns by name.
        delete: delete one row; parameters from `key_row`.
        delete_below: delete below ``bound``.
        get: value columns (or 1 if there are none) of one row; parameters from `key_row`.
        rows: every row in key order.
        count: the number of rows.
    """

    spec: AnyTable
    table: sa.Table
    upsert: sa.Executable
    delete: sa.Executable
    delete_below: sa.Executable
    get: sa.Executable
    rows: sa.Select[Any]
    count: sa.Select[Any]

    def key_row(self, key: Key) -> dict[str, Any]:
        """Return the parameters of `delete` and `get`."""
        return {f"key_{column.name}": item for column, item in zip(self.spec.key, key, strict=True)}

    def rows_from(self, first: Key) -> sa.Select[Any]:
        """Return `rows` from the first key that is not below `first`, which may be leading columns only."""
        columns: Sequence[sa.Column[Any]] = [self.table.c[column.name] for column in self.spec.key[: len(first)]]
        if len(first) == 1:
            return self.rows.where(columns[0] >= first[0])
        bounds = [sa.bindparam(None, item, type_=column.type) for column, item in zip(columns, first, strict=True)]
        return self.rows.where(sa.tuple_(*columns) >= sa.tuple_(*bounds))


def build_table(spec: AnyTable, metadata: sa.MetaData, dialect: str) -> sa.Table:
    """Add the SQLAlchemy table of a declaration to `metadata`, for ``"sqlite"`` or ``"postgresql"``."""
    types = _TYPES[dialect]
    small = len(spec.key) > 1 or spec.key[0].kind != "int"
    if any(column.kind != "int" for column in spec.value):
        small = False

    def column(declared: Column, *, key: bool) -> sa.Column[Any]:
        return sa.Column(
            declared.name,
            types[declared.kind],
            primary_key=key,
            nullable=declared.nullable,
            autoincrement=False,
        )

    return sa.Table(
        spec.name,
        metadata,
        *(column(declared, key=True) for declared in spec.key),
        *(column(declared, key=False) for declared in spec.value),
        sqlite_with_rowid=not small,
    )


def build_statements(spec: AnyTable, table: sa.Table, dialect: str) -> TableStatements:
    """Return the statements of a table for ``"sqlite"`` or ``"postgresql"``."""
    keys = [table.c[column.name] for column in spec.key]
    values = [table.c[column.name] for column in spec.value]
    this_row = sa.and_(*(key == sa.bindparam(f"key_{key.name}", type_=key.type) for key in keys))
    return TableStatements(
        spec=spec,
        table=table,
        upsert=_upsert(table, [key.name for key in keys], [value.name for value in values], dialect),
        delete=sa.delete(table).where(this_row),
        delete_below=sa.delete(table).where(keys[0] < sa.bindparam("bound", type_=keys[0].type)),
        get=(sa.select(*values) if values else sa.select(sa.literal_column("1"))).select_from(table).where(this_row),
        rows=sa.select(*keys, *values).order_by(*keys),
        count=sa.select(sa.func.count()).select_from(table),
    )


def _upsert(table: sa.Table, keys: list[str], values: list[str], dialect: str) -> sa.Executable:
    # a dialect takes a quarter of SQLAlchemy's time to import, so only the one in use is
    insert: postgresql.Insert | sqlite.Insert
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        insert = postgresql.insert(table)
    else:
        from sqlalchemy.dialects import sqlite

        insert = sqlite.insert(table)
    if not values:
        return insert.on_conflict_do_nothing(index_elements=keys)
    return insert.on_conflict_do_update(index_elements=keys, set_={name: insert.excluded[name] for name in values})
