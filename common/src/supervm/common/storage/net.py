"""The net effect of a list of records, so that a store writes each row once.

Read backwards, the first record that speaks about a key is the one that holds, and a `Put` below a bound that comes
later in the list never happened. That makes the net effect one pass without comparing every bound with every row.
A group of commits pays for a row once, however often its steps wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from supervm.common.contract.records import INT_MIN, Append, Delete, DeleteBelow, Key, Prune, Put, Record
from supervm.common.contract.tables import AnyTable


@dataclass(slots=True)
class TableChange:
    """Net change of one table; carried out in the order of the fields."""

    below: int | None = None
    """Delete rows whose first key column is below this."""
    deletes: list[Key] = field(default_factory=list)
    """Delete these rows, in key order."""
    puts: list[msgspec.Struct] = field(default_factory=list)
    """Insert or replace these rows, in key order: SQLite writes sorted groups faster (limits.md 4)."""


@dataclass(slots=True)
class NetChange:
    """Net change of a store."""

    tables: dict[str, TableChange]
    """By table name, in ascending order."""
    rewrite: bool
    """Whether the write-ahead log is replaced by `payloads`, or `payloads` are appended to it."""
    payloads: list[bytes]


@dataclass(slots=True)
class _Seen:
    rows: dict[Key, msgspec.Struct | None] = field(default_factory=dict)
    below: int | None = None


def net_change(records: Sequence[Record], tables: Mapping[str, AnyTable]) -> NetChange:
    """Return what checked records amount to; `tables` are those declared, under their names."""
    seen: dict[str, _Seen] = {}
    log: list[tuple[bytes, ...]] = []
    rewrite = False
    for record in reversed(records):
        match record:
            case Put(name, row):
                _note(seen.setdefault(name, _Seen()), tables[name].key_of(row), row)
            case Delete(name, key):
                _note(seen.setdefault(name, _Seen()), key, None)
            case DeleteBelow(name, bound):
                table = seen.setdefault(name, _Seen())
                table.below = bound if table.below is None else max(table.below, bound)
            case Append(payload):
                if not rewrite:
                    log.append((payload,))
            case Prune(keep):
                if not rewrite:
                    log.append(keep)
                    rewrite = True
    payloads = [payload for group in reversed(log) for payload in group]
    return NetChange({name: _change(seen[name]) for name in sorted(seen)}, rewrite, payloads)


def _note(table: _Seen, key: Key, row: msgspec.Struct | None) -> None:
    first = key[0]
    if table.below is not None and isinstance(first, int) and first < table.below:
        return
    table.rows.setdefault(key, row)


def _change(table: _Seen) -> TableChange:
    change = TableChange(table.below if table.below != INT_MIN else None)
    for key in sorted(table.rows):
        row = table.rows[key]
        if row is None:
            change.deletes.append(key)
        else:
            change.puts.append(row)
    return change
