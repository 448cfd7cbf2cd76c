"""Declared tables: one struct says what a row is, and rows are written and read as that struct.

Theory of operation. A row is a subclass of `TableRow`; its fields, in order, are the table's columns. A field's type is
the column's kind: `int`, `bytes` or `str`, with ``| None`` where there may be nothing. Fields of the key come first and
are marked by `PrimaryKey`. `Table` reads that once, when the module is imported, and from then on makes records of rows
(`Table.put`, `Table.delete`) and gives rows back (`Table.get`, `Table.rows`): whoever has a table needs neither its
name nor the order of its columns.

    class Block(TableRow, frozen=True):
        height: PrimaryKey[int]
        block: bytes
        finalization: bytes | None

    BLOCKS: Final = Table("blocks", Block)
"""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from supervm.protocol.base.errors import LocalProtocolError

from .records import Column, Delete, DeleteBelow, Key, Kind, Put, Reader, TableSpec

_KEY: Final = "primary key"
_KINDS: Final[dict[object, Kind]] = {int: "int", bytes: "bytes", str: "text"}

T = TypeVar("T", int, bytes, str)
PrimaryKey = Annotated[T, _KEY]
"""Type of a field that is a column of the key: ``PrimaryKey[int]``, ``PrimaryKey[bytes]`` or ``PrimaryKey[str]``."""


class TableRow(msgspec.Struct, frozen=True, gc=False):
    """Base of every struct of rows. Its fields hold integers, bytes, text and None, so no row is part of a cycle."""


RowT = TypeVar("RowT", bound=TableRow)


class Table(Generic[RowT]):
    """Declaration of a table.

    Args:
        name: lower-case letters, digits and ``_``, unique in a store.
        row: the struct of its rows.

    Attributes:
        row: the struct of its rows.
        spec: name and columns, as stores know them.

    Raises:
        LocalProtocolError: a field has another type than a column can have, a field of the key comes after one that is
            not, or name and columns are no `TableSpec`.
    """

    __slots__ = ("_width", "row", "spec")

    def __init__(self, name: str, row: type[RowT]) -> None:
        self.row = row
        self.spec = _spec(name, row)
        self._width = len(self.spec.key)

    @property
    def name(self) -> str:
        """Name of the table in the database."""
        return self.spec.name

    # --- records ------------------------------------------------------------------------------------------------------

    def put(self, row: RowT) -> Put:
        """Return the record that inserts a row, or replaces the one with its key."""
        columns = msgspec.structs.astuple(row)
        return Put(self.spec.name, columns[: self._width], columns[self._width :])

    def delete(self, *key: int | bytes | str) -> Delete:
        """Return the record that deletes the row with this key; no row is no error."""
        return Delete(self.spec.name, key)

    def delete_below(self, bound: int) -> DeleteBelow:
        """Return the record that deletes every row whose first key column, an integer, is below the bound."""
        return DeleteBelow(self.spec.name, bound)

    def of(self, record: object) -> RowT | None:
        """Return the row that a record puts into this table; None: it does something else."""
        if type(record) is not Put or record.table != self.spec.name:
            return None
        return self.row(*record.key, *record.value)

    # --- reading ------------------------------------------------------------------------------------------------------

    def get(self, reader: Reader, *key: int | bytes | str) -> RowT | None:
        """Return the durable row with this key, or None.

        Raises:
            LocalProtocolError: the key does not fit this table.
        """
        value = reader.get(self.spec.name, key)
        return None if value is None else self.row(*key, *value)

    def rows(self, reader: Reader, *, first: Key | None = None, limit: int | None = None) -> Iterator[RowT]:
        """Return durable rows in ascending key order (`Reader.scan`).

        Args:
            reader: where from.
            first: start at the first key that is not below this one; leading columns are enough.
            limit: at most this many rows (None: all).

        Raises:
            LocalProtocolError: `first` does not fit this table.
        """
        row = self.row
        return (row(*key, *value) for key, value in reader.scan(self.spec.name, first=first, limit=limit))

    def count(self, reader: Reader) -> int:
        """Return how many durable rows there are; a database walks the table for it."""
        return reader.count(self.spec.name)


AnyTable = Table[Any]
"""A table, whatever its rows are."""


def _spec(name: str, row: type[TableRow]) -> TableSpec:
    hints = get_type_hints(row, include_extras=True)
    key: list[Column] = []
    value: list[Column] = []
    for field in row.__struct_fields__:
        column, is_key = _column(name, field, hints[field])
        if is_key and value:
            raise LocalProtocolError(f"table {name!r}: the key column {field!r} comes after columns that are not of it")
        (key if is_key else value).append(column)
    return TableSpec(name, tuple(key), tuple(value))


def _column(table: str, field: str, hint: Any) -> tuple[Column, bool]:
    """Return a field's column, and whether it is of the key."""
    is_key = get_origin(hint) is Annotated and _KEY in hint.__metadata__
    kinds = [hint.__origin__ if is_key else hint]
    if get_origin(kinds[0]) in (Union, UnionType):
        kinds = list(get_args(kinds[0]))
    nullable = NoneType in kinds
    kinds = [kind for kind in kinds if kind is not NoneType]
    if len(kinds) != 1 or kinds[0] not in _KINDS:
        raise LocalProtocolError(
            f"table {table!r}: the field {field!r} has the type {hint}; a column is an int, bytes or str, or one of "
            "them or None"
        )
    return Column(field, _KINDS[kinds[0]], nullable), is_key
