"""A store in memory with the crashes of a real one: for simulations and tests.

Theory of operation. Durability on a real machine takes time, and a crash falls before, after or between. Here records
are first *staged* (the disk has been asked) and become durable when they are *flushed* (the disk has answered); a
*crash* forgets what is staged. A real store writes tables first and the write-ahead log second, so a crash can also
leave the tables' part of one commit without its log part; `crash` can do that too. Nothing depends on time, chance or
the hash seed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from supervm.common.contract.checking import by_name, check_records, declared
from supervm.common.contract.records import Append, Delete, DeleteBelow, Key, Prune, Put, Record
from supervm.common.contract.tables import AnyTable


class _Table:
    """Rows under their keys, and the keys in order: sorted again only after rows came out of order."""

    __slots__ = ("_keys", "_sorted", "rows")

    def __init__(self) -> None:
        self.rows: dict[Key, msgspec.Struct] = {}
        self._keys: list[Key] = []
        self._sorted = True

    def keys(self) -> list[Key]:
        if not self._sorted:
            self._keys.sort()
            self._sorted = True
        return self._keys

    def put(self, key: Key, row: msgspec.Struct) -> None:
        if key not in self.rows:
            if self._keys and key < self._keys[-1]:
                self._sorted = False
            self._keys.append(key)
        self.rows[key] = row

    def delete(self, key: Key) -> None:
        if self.rows.pop(key, None) is not None:
            keys = self.keys()
            del keys[bisect_left(keys, key)]

    def delete_below(self, bound: int) -> None:
        keys = self.keys()
        end = bisect_left(keys, (bound,))
        for key in keys[:end]:
            del self.rows[key]
        del keys[:end]


class MemoryStore:
    """Same interface as `SqlStore`, on dicts.

    Args:
        tables: declarations of the tables.
        with_log: whether it takes write-ahead records.
    """

    def __init__(self, tables: Iterable[AnyTable], *, with_log: bool = True) -> None:
        self._declared = by_name(tables)
        self._with_log = with_log
        self._tables = {name: _Table() for name in self._declared}
        self._log: list[bytes] = []
        self._recovered: list[bytes] = []
        self._staged: deque[tuple[Record, ...]] = deque()

    def get(self, table: str, key: Key) -> Any:
        """Return a durable row, or None."""
        declared(self._declared, table).check_key(key)
        return self._tables[table].rows.get(key)

    def scan(self, table: str, *, first: Key | None = None, limit: int | None = None) -> Iterator[Any]:
        """Return durable rows in ascending key order, from the first key that is not below `first`."""
        spec = declared(self._declared, table)
        rows, keys = self._tables[table].rows, self._tables[table].keys()
        start = 0
        if first is not None:
            spec.check_key(first, prefix=True)
            start = bisect_left(keys, first)
        end = len(keys) if limit is None else min(len(keys), start + max(0, limit))
        return iter([rows[key] for key in keys[start:end]])

    def count(self, table: str) -> int:
        """Return how many durable rows there are."""
        declared(self._declared, table)
        return len(self._tables[table].rows)

    def log(self) -> list[bytes]:
        """Return the write-ahead payloads that were durable at the last start (`crash` or `reopen`)."""
        return list(self._recovered)

    @property
    def staged(self) -> int:
        """How many groups of records wait to become durable."""
        return len(self._staged)

    def stage(self, records: Sequence[Record]) -> None:
        """Take records that are not durable yet.

        Raises:
            LocalProtocolError: a record does not fit the tables; nothing is staged.
        """
        check_records(records, self._declared, with_log=self._with_log)
        self._staged.append(tuple(records))

    def flush(self, groups: int | None = None) -> None:
        """Make the oldest staged groups durable, all of them if `groups` is None."""
        for _ in range(len(self._staged) if groups is None else min(groups, len(self._staged))):
            records = self._staged.popleft()
            self._apply_tables(records)
            self._apply_log(records)

    def commit(self, records: Sequence[Record]) -> None:
        """Make records durable at once, after everything that is staged.

        Raises:
            LocalProtocolError: a record does not fit the tables; nothing changes.
        """
        self.stage(records)
        self.flush()

    def crash(self, *, between: bool = False) -> None:
        """Lose what is staged and start again, as after a loss of power.

        Args:
            between: the oldest staged group was caught between its tables and its write-ahead records: the tables'
                part is kept, the log part is lost.
        """
        if between and self._staged:
            self._apply_tables(self._staged[0])
        self._staged.clear()
        self._recovered = list(self._log)

    def reopen(self) -> None:
        """Start again after an orderly end: everything staged became durable."""
        self.flush()
        self._recovered = list(self._log)

    def close(self) -> None:
        """Make everything staged durable."""
        self.flush()

    def _apply_tables(self, records: Sequence[Record]) -> None:
        for record in records:
            if type(record) is Put:  # nearly all of them
                name, row = record.table, record.row
                self._tables[name].put(self._declared[name].key_of(row), row)
                continue
            match record:
                case Delete(name, key):
                    self._tables[name].delete(key)
                case DeleteBelow(name, bound):
                    self._tables[name].delete_below(bound)
                case _:
                    pass

    def _apply_log(self, records: Sequence[Record]) -> None:
        for record in records:
            kind = type(record)
            if kind is Append:
                self._log.append(record.payload)  # type: ignore[union-attr]
            elif kind is Prune:
                self._log = list(record.keep)  # type: ignore[union-attr]
