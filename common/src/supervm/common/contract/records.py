"""What a core asks to be made durable, and what it may read back: data only, no I/O.

Theory of operation. Durable state is two things. *Tables* hold rows under a key of integers, bytes and text, in
ascending key order (text by code point, so that every database and the simulator agree). The *write-ahead log* holds
opaque payloads in the order they were appended; it is what a node has promised (consensus.md 2.2) and is read once, at
start. A core describes changes as records; a store (`supervm.common.storage`) makes a list of them durable. Records of
one list apply in order: the last write to a key wins, a `Put` after a `DeleteBelow` stays, an `Append` after a `Prune`
is kept.

What names a table here takes and gives rows of any kind; `tables.Table` makes and reads them with their types.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import msgspec

INT_MIN: Final = -(2**63)
"""Smallest integer a column holds."""
INT_MAX: Final = 2**63 - 1
"""Largest integer a column holds."""
LOG_PAYLOAD_BYTES_MAX: Final = 64 << 20
"""Largest payload of one `Append`, in bytes."""

Key = tuple[int | bytes | str, ...]


class Put(msgspec.Struct, frozen=True, gc=False):
    """Insert a row, or replace the one with its key; `row` is of the table's struct (`tables.TableRow`)."""

    table: str
    row: msgspec.Struct


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


class Reader(Protocol):
    """What a core may read: only what has become durable."""

    def get(self, table: str, key: Key) -> Any:
        """Return the row with this key, of the table's struct, or None."""

    def scan(self, table: str, *, first: Key | None = None, limit: int | None = None) -> Iterator[Any]:
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
