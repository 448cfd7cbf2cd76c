"""Declared tables: one struct says what a row is, and rows are written and read as that struct.

Theory of operation. A row is a subclass of `TableRow`; its fields, in order, are the table's columns. A field's type is
the column's kind: `int`, `bytes` or `str`, with ``| None`` where there may be nothing. Fields of the key come first and
are marked by `PrimaryKey`. `Table` reads that once, when the module is imported, and from then on makes records of rows
(`Table.put`, `Table.delete`) and gives rows back (`Table.get`, `Table.rows`): whoever has a table needs neither its
name nor the order of its columns.

    class BlockRow(TableRow, frozen=True):
        height: PrimaryKey[int]
        block: bytes
        finalization: bytes | None

    BLOCKS: Final = Table("blocks", BlockRow)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from operator import attrgetter
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from supervm.protocol.base.errors import LocalProtocolError

from .records import INT_MAX, INT_MIN, Delete, DeleteBelow, Key, Put, Reader

Kind = Literal["int", "bytes", "text"]

_KEY: Final = "primary key"
_KINDS: Final[Mapping[object, Kind]] = {int: "int", bytes: "bytes", str: "text"}
_TYPES: Final[Mapping[Kind, type]] = {"int": int, "bytes": bytes, "text": str}
_NAME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")

T = TypeVar("T", int, bytes, str)
PrimaryKey = Annotated[T, _KEY]
"""Type of a field that is a column of the key: ``PrimaryKey[int]``, ``PrimaryKey[bytes]`` or ``PrimaryKey[str]``."""


class TableRow(msgspec.Struct, frozen=True, gc=False):
    """Base of every struct of rows. Its fields hold integers, bytes, text and None, so no row is part of a cycle."""


RowT = TypeVar("RowT", bound=TableRow)


@dataclass(frozen=True, slots=True)
class Column:
    """One column; a key column is never nullable."""

    name: str
    kind: Kind
    nullable: bool = False


class Table(Generic[RowT]):
    """Declaration of a table.

    Args:
        name: lower-case letters, digits and ``_``, unique in a store.
        row: the struct of its rows; the names of its fields are made like that of the table.

    Attributes:
        name: its name in the database.
        row: the struct of its rows.
        key: the columns that rows are ordered by, one or more.
        value: the other columns, possibly none.
        columns: all of them, in the order of the fields.

    Raises:
        LocalProtocolError: a name is not allowed, a field has another type than a column can have, there is no key, a
            field of the key comes after one that is not, or it may be None.
    """

    __slots__ = ("_bounded", "_get_key", "_types", "_width", "columns", "key", "name", "row", "value")

    def __init__(self, name: str, row: type[RowT]) -> None:
        self.name = name
        self.row = row
        self.key, self.value = _columns(name, row)
        self.columns = self.key + self.value
        self._width = len(self.key)
        self._get_key = attrgetter(*(column.name for column in self.key))
        choices = [(_TYPES[column.kind], NoneType)[: 1 + column.nullable] for column in self.columns]
        self._types = frozenset(product(*choices))  # what a row may consist of
        # columns whose values can be wrong although their type is not; bytes never are
        self._bounded = tuple(index for index, column in enumerate(self.columns) if column.kind != "bytes")

    # --- records ------------------------------------------------------------------------------------------------------

    def put(self, row: RowT) -> Put:
        """Return the record that inserts a row, or replaces the one with its key."""
        return Put(self.name, row)

    def delete(self, *key: int | bytes | str) -> Delete:
        """Return the record that deletes the row with this key; no row is no error."""
        return Delete(self.name, key)

    def delete_below(self, bound: int) -> DeleteBelow:
        """Return the record that deletes every row whose first key column, an integer, is below the bound."""
        return DeleteBelow(self.name, bound)

    # --- reading ------------------------------------------------------------------------------------------------------

    def get(self, reader: Reader, *key: int | bytes | str) -> RowT | None:
        """Return the durable row with this key, or None.

        Raises:
            LocalProtocolError: the key does not fit this table.
        """
        row: RowT | None = reader.get(self.name, key)
        return row

    def rows(self, reader: Reader, *, first: Key | None = None, limit: int | None = None) -> Iterator[RowT]:
        """Return durable rows in ascending key order (`Reader.scan`).

        Args:
            reader: where from.
            first: start at the first key that is not below this one; leading columns are enough.
            limit: at most this many rows (None: all).

        Raises:
            LocalProtocolError: `first` does not fit this table.
        """
        return reader.scan(self.name, first=first, limit=limit)

    def count(self, reader: Reader) -> int:
        """Return how many durable rows there are; a database walks the table for it."""
        return reader.count(self.name)

    # --- what stores need ---------------------------------------------------------------------------------------------

    def key_of(self, row: msgspec.Struct) -> Key:
        """Return the key of one of this table's rows."""
        key: Key = self._get_key(row)
        return key if self._width > 1 else (key,)  # type: ignore[return-value]  # of one column it is the bare value

    def load(self, columns: Sequence[Any]) -> RowT:
        """Return the row of what a database has in its columns.

        Raises:
            LocalProtocolError: it has a value of another type than was declared.
        """
        if tuple(map(type, columns)) not in self._types:
            for column, item in zip(self.columns, columns, strict=True):
                self._check(column, item)
        return self.row(*columns)

    def check_key(self, key: Sequence[object], *, prefix: bool = False) -> None:
        """Check a key, or with `prefix` its leading columns.

        Raises:
            LocalProtocolError: it does not fit this table.
        """
        if len(key) != len(self.key) and not (prefix and 0 < len(key) < len(self.key)):
            raise LocalProtocolError(
                f"table {self.name!r}: the key {key!r:.80} has {len(key)} columns; {len(self.key)} are declared"
            )
        for column, item in zip(self.key, key, strict=False):
            if type(item) is not bytes or column.kind != "bytes":  # the most frequent case needs no further look
                self._check(column, item)

    def check_row(self, row: msgspec.Struct) -> None:
        """Check a row.

        Raises:
            LocalProtocolError: it does not fit this table.
        """
        if type(row) is not self.row:
            raise LocalProtocolError(f"table {self.name!r} holds {self.row.__name__}, not {type(row).__name__}")
        values = msgspec.structs.astuple(row)
        if tuple(map(type, values)) in self._types:  # nearly every row, so one look instead of one per column
            for index in self._bounded:
                item = values[index]
                if type(item) is not int or not INT_MIN <= item <= INT_MAX:
                    self._check(self.columns[index], item)
            return
        for column, item in zip(self.columns, values, strict=True):
            self._check(column, item)

    def _check(self, column: Column, item: object) -> None:
        if item is None and column.nullable:
            return
        # type() and not isinstance: a bool is an int to Python and not to a database
        if type(item) is not _TYPES[column.kind]:
            raise LocalProtocolError(
                f"table {self.name!r}: column {column.name!r} holds {column.kind}, not {type(item).__name__}"
            )
        if isinstance(item, int):
            if not INT_MIN <= item <= INT_MAX:
                raise LocalProtocolError(
                    f"table {self.name!r}: column {column.name!r}: {item} is outside of 64 signed bits"
                )
        elif isinstance(item, str) and ("\0" in item or (not item.isascii() and _has_surrogate(item))):
            raise LocalProtocolError(
                f"table {self.name!r}: column {column.name!r}: text has no NUL and no lone surrogate; got {item!r:.80}"
            )


AnyTable = Table[Any]
"""A table, whatever its rows are."""


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _columns(name: str, row: type[TableRow]) -> tuple[tuple[Column, ...], tuple[Column, ...]]:
    """Return the columns of the key and the others."""
    hints = get_type_hints(row, include_extras=True)
    key: list[Column] = []
    value: list[Column] = []
    for field in row.__struct_fields__:
        column, is_key = _column(name, field, hints[field])
        if is_key and (value or column.nullable):
            raise LocalProtocolError(
                f"table {name!r}: the key column {field!r} may be None, or comes after columns that are not of the key"
            )
        (key if is_key else value).append(column)
    if not key:
        raise LocalProtocolError(f"table {name!r}: a key needs columns")
    for word in (name, *row.__struct_fields__):
        if not word or not _NAME_CHARACTERS.issuperset(word) or word[0].isdigit():
            raise LocalProtocolError(
                f"table {name!r}: the name {word!r} is not allowed; use lower-case letters, digits and _"
            )
    return tuple(key), tuple(value)


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
