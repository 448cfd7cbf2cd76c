"""Statements for declared tables as text, for SQLite and PostgreSQL: written here once, whoever carries them out.

What differs between the two is decided here, so that both give the same rows in the same order:

* Text compares by code point: SQLite does, PostgreSQL needs the collation "C".
* One integer as key becomes SQLite's ``INTEGER PRIMARY KEY``, the row's own number: 540,000 rows/s against 470,000 and
  95,000 against 45,000 with 1.5 kB of value, measured against ``WITHOUT ROWID``.
* Other keys get ``WITHOUT ROWID`` only where a row is small for certain (no bytes or text in the value). With a 32-byte
  key and 60 bytes of value both write alike, with 250 bytes ``WITHOUT ROWID`` is 0.75 and with 1.5 kB 0.37 of a table
  with a separate index, because whole rows then sit in the inner pages of the tree.

Names are quoted always: a column may have the name of a word of SQL.
"""

# ruff: noqa: S608 - names are held to letters, digits and _ where tables are declared; values are always parameters

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from supervm.common.contract.tables import AnyTable, Column, Kind

META_TABLE: Final = "svm_meta"
"""Table of the store itself: names and integers."""
CREATE_META: Final = (
    f"CREATE TABLE IF NOT EXISTS {META_TABLE} (\n"
    "\tname TEXT NOT NULL, \n\tvalue INTEGER NOT NULL, \n\tPRIMARY KEY (name)\n)"
)
"""Makes the store's own table."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a database wants its statements.

    Attributes:
        place: what stands for a parameter.
        types: the type of each kind of column.
        without_rowid: whether a table can be kept inside its key.
    """

    place: str
    types: Mapping[Kind, str]
    without_rowid: bool


SQLITE: Final = Dialect("?", {"int": "INTEGER", "bytes": "BLOB", "text": "TEXT"}, without_rowid=True)
"""SQLite, by its driver of the standard library."""
POSTGRESQL: Final = Dialect("%s", {"int": "BIGINT", "bytes": "BYTEA", "text": 'TEXT COLLATE "C"'}, without_rowid=False)
"""PostgreSQL, by psycopg."""


@dataclass(frozen=True, slots=True)
class TableStatements:
    """Ready statements of one table.

    Attributes:
        spec: its declaration.
        dialect: what they are written in.
        create: makes the table if it is missing.
        upsert: insert or replace; parameters are all columns in order.
        delete: delete one row; parameters are its key.
        delete_below: delete below its one parameter.
        get: value columns (or 1 if there are none) of one row; parameters are its key.
        count: the number of rows.
    """

    spec: AnyTable
    dialect: Dialect
    create: str
    upsert: str
    delete: str
    delete_below: str
    get: str
    count: str

    def rows(self, *, first: int = 0, limit: bool = False) -> str:
        """Return the query of every row in key order.

        Args:
            first: from the first key that is not below that of so many leading columns, the first parameters.
            limit: whether there are at most as many rows as the last parameter says.
        """
        keys = [_quoted(column.name) for column in self.spec.key]
        text = f"SELECT {_names(self.spec.columns)} FROM {_quoted(self.spec.name)}"
        if first == 1:
            text += f" WHERE {keys[0]} >= {self.dialect.place}"
        elif first:
            text += f" WHERE ({', '.join(keys[:first])}) >= ({', '.join([self.dialect.place] * first)})"
        text += f" ORDER BY {', '.join(keys)}"
        return text + f" LIMIT {self.dialect.place}" if limit else text


def build_statements(spec: AnyTable, dialect: Dialect) -> TableStatements:
    """Return the statements of a table."""
    table, place = _quoted(spec.name), dialect.place
    this_row = " AND ".join(f"{_quoted(column.name)} = {place}" for column in spec.key)
    return TableStatements(
        spec=spec,
        dialect=dialect,
        create=_create(spec, dialect),
        upsert=f"INSERT INTO {table} ({_names(spec.columns)}) VALUES ({', '.join([place] * len(spec.columns))}) "
        f"ON CONFLICT ({_names(spec.key)}) DO {_update(spec)}",
        delete=f"DELETE FROM {table} WHERE {this_row}",
        delete_below=f"DELETE FROM {table} WHERE {_quoted(spec.key[0].name)} < {place}",
        get=f"SELECT {_names(spec.value) or '1'} FROM {table} WHERE {this_row}",
        count=f"SELECT count(*) FROM {table}",
    )


def _create(spec: AnyTable, dialect: Dialect) -> str:
    lines = [
        f"\t{_quoted(column.name)} {dialect.types[column.kind]}{'' if column.nullable else ' NOT NULL'}, "
        for column in spec.columns
    ]
    small = len(spec.key) > 1 or spec.key[0].kind != "int"
    if any(column.kind != "int" for column in spec.value):
        small = False
    end = ")\n WITHOUT ROWID\n\n" if small and dialect.without_rowid else ")"
    head = f"CREATE TABLE IF NOT EXISTS {_quoted(spec.name)} ("
    return "\n".join([head, *lines, f"\tPRIMARY KEY ({_names(spec.key)})", end])


def _update(spec: AnyTable) -> str:
    if not spec.value:
        return "NOTHING"
    changes = [f"{name} = excluded.{name}" for name in (_quoted(column.name) for column in spec.value)]
    return f"UPDATE SET {', '.join(changes)}"


def _names(columns: Iterable[Column]) -> str:
    return ", ".join(_quoted(column.name) for column in columns)


def _quoted(name: str) -> str:
    return f'"{name}"'
