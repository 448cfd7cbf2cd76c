"""What a core asks to be made durable, and what it may read back: data only, no I/O.

Theory of operation. Durable state is two things. *Tables* hold rows under a key of integers, bytes and text, in
ascending key order (text by code point, so that every database and the simulator agree). The *write-ahead log* holds
opaque payloads in the order they were appended; it is what a node has promised (consensus.md 2.2) and is read once, at
start. A core describes changes as records; a store (`supervm.common.storage`) makes a list of them durable. Records of
one list apply in order: the last write to a key wins, a `Put` after a `DeleteBelow` stays, an `Append` after a `Prune`
is kept.

Everything is checked here against the tables' declarations before any byte is written, because databases differ in
what they let pass (SQLite stores text in an integer column, PostgreSQL does not). A record that does not fit is a bug
of the core that made it: `LocalProtocolError`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import msgspec

from supervm.protocol.base.errors import LocalProtocolError

INT_MIN: Final = -(2**63)
"""Smallest integer a column holds."""
INT_MAX: Final = 2**63 - 1
"""Largest integer a column holds."""
LOG_PAYLOAD_BYTES_MAX: Final = 64 << 20
"""Largest payload of one `Append`, in bytes."""

Key = tuple[int | bytes | str, ...]
Value = tuple[int | bytes | str | None, ...]
Kind = Literal["int", "bytes", "text"]

_TYPES: Final[Mapping[str, type]] = {"int": int, "bytes": bytes, "text": str}
_NAME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")


class Put(msgspec.Struct, frozen=True):
    """Insert the row `key`, or replace its value columns."""

    table: str
    key: Key
    value: Value


class Delete(msgspec.Struct, frozen=True):
    """Delete the row `key`; no row is no error."""

    table: str
    key: Key


class DeleteBelow(msgspec.Struct, frozen=True):
    """Delete every row whose first key column, an integer, is below the bound: pruning by height or view."""

    table: str
    key_prefix_int: int


class Append(msgspec.Struct, frozen=True):
    """Append one payload (0 to `LOG_PAYLOAD_BYTES_MAX` bytes) to the write-ahead log."""

    payload: bytes


class Prune(msgspec.Struct, frozen=True):
    """Replace the whole write-ahead log by exactly these payloads, atomically.

    With `begin`, a store that was opened without its log, because that is lost or damaged, begins a new one. Whoever
    asks for it must know that nothing the lost log held binds it any more (consensus.md 2.8, amnesia).
    """

    keep: tuple[bytes, ...]
    begin: bool = False


Record = Put | Delete | DeleteBelow | Append | Prune


@dataclass(frozen=True, slots=True)
class Column:
    """One column: `name` of lower-case letters, digits and ``_``; a key column is never nullable."""

    name: str
    kind: Kind
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class TableSpec:
    """Declaration of a table.

    Args:
        name: lower-case letters, digits and ``_``, unique in a store.
        key: one or more columns; rows are ordered by them.
        value: the other columns, possibly none.

    Raises:
        LocalProtocolError: a name is not allowed or used twice, there is no key, or a key column is nullable.
    """

    name: str
    key: tuple[Column, ...]
    value: tuple[Column, ...]

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        for name in [self.name, *names]:
            if not name or not _NAME_CHARACTERS.issuperset(name) or name[0].isdigit():
                raise LocalProtocolError(
                    f"table {self.name!r}: the name {name!r} is not allowed; use lower-case letters, digits and _"
                )
        if len(frozenset(names)) != len(names):
            raise LocalProtocolError(f"table {self.name!r}: a column name is used twice in {names}")
        if not self.key or any(column.nullable for column in self.key):
            raise LocalProtocolError(f"table {self.name!r}: a key needs columns, and none that is nullable")

    @property
    def columns(self) -> tuple[Column, ...]:
        """Key columns, then value columns."""
        return self.key + self.value

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

    def check_value(self, value: Sequence[object]) -> None:
        """Check the value columns of a row.

        Raises:
            LocalProtocolError: they do not fit this table.
        """
        if len(value) != len(self.value):
            raise LocalProtocolError(
                f"table {self.name!r}: the value has {len(value)} columns; {len(self.value)} are declared"
            )
        for column, item in zip(self.value, value, strict=True):
            if type(item) is not bytes or column.kind != "bytes":
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


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


class Declares(Protocol):
    """What says what a table is (`tables.Table`)."""

    @property
    def name(self) -> str:
        """Name of the table in the database."""

    @property
    def spec(self) -> TableSpec:
        """Name and columns."""


Declaration = TableSpec | Declares
"""What says what a table is."""


def by_name(tables: Iterable[Declaration]) -> dict[str, TableSpec]:
    """Return the declarations under their names.

    Raises:
        LocalProtocolError: a name is declared twice.
    """
    named: dict[str, TableSpec] = {}
    for declaration in tables:
        table = declaration if isinstance(declaration, TableSpec) else declaration.spec
        if table.name in named:
            raise LocalProtocolError(f"table {table.name!r} is declared twice")
        named[table.name] = table
    return named


def declared(tables: Mapping[str, TableSpec], name: str) -> TableSpec:
    """Return the declaration of a table.

    Raises:
        LocalProtocolError: there is none.
    """
    spec = tables.get(name)
    if spec is None:
        raise LocalProtocolError(f"there is no table {name!r}; declared are {', '.join(sorted(tables)) or 'none'}")
    return spec


def check_records(records: Iterable[Record], tables: Mapping[str, TableSpec], *, with_log: bool) -> None:
    """Check records against the declarations.

    Args:
        records: what is about to be committed.
        tables: declarations under their names.
        with_log: whether the store has a write-ahead log.

    Raises:
        LocalProtocolError: one does not fit; nothing of the list may be written then.
    """
    for record in records:
        match record:
            case Put(name, key, value):
                spec = declared(tables, name)
                spec.check_key(key)
                spec.check_value(value)
            case Delete(name, key):
                declared(tables, name).check_key(key)
            case DeleteBelow(name, bound):
                spec = declared(tables, name)
                if spec.key[0].kind != "int":
                    raise LocalProtocolError(
                        f"table {name!r}: rows are deleted below an integer; its key begins with {spec.key[0].kind}"
                    )
                spec.check_key((bound,), prefix=True)
            case Append(payload):
                _check_payload(payload, with_log)
            case Prune(keep, begin):
                with_log = with_log or begin
                for payload in keep or (b"",):
                    _check_payload(payload, with_log)


def _check_payload(payload: bytes, with_log: bool) -> None:
    if not with_log:
        raise LocalProtocolError("this store was opened without a write-ahead log: it takes no Append and no Prune")
    if type(payload) is not bytes or len(payload) > LOG_PAYLOAD_BYTES_MAX:
        raise LocalProtocolError(
            f"a write-ahead payload is bytes, at most {LOG_PAYLOAD_BYTES_MAX}; got "
            f"{len(payload) if isinstance(payload, bytes) else type(payload).__name__}"
        )


class Reader(Protocol):
    """What a core may read: only what has become durable."""

    def get(self, table: str, key: Key) -> Value | None:
        """Return the value columns of the row `key`, or None."""

    def scan(self, table: str, *, first: Key | None = None, limit: int | None = None) -> Iterator[tuple[Key, Value]]:
        """Return rows in ascending key order as of one moment: the call, or at the latest the first `next`.

        Args:
            table: the table.
            first: start at the first key that is not below this one; leading columns are enough.
            limit: at most this many rows (None: all).
        """

    def count(self, table: str) -> int:
        """Return how many rows there are."""

    def log(self) -> list[bytes]:
        """Return the write-ahead payloads that were found when the store was opened, oldest first."""


class Store(Reader, Protocol):
    """A reader that also makes records durable."""

    def commit(self, records: Sequence[Record]) -> None:
        """Apply the records in order; on return they are durable."""
