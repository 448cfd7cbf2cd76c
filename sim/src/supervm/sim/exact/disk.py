"""A disk of one host: how long writes take, and everything that can become of them.

Theory of operation. Writes are grouped as the node's committer groups them: what is asked for while a write is under
way goes into the next one, and a group becomes durable as a whole. A crash catches the group under way before the
medium had it, between its tables and its write-ahead part (a real store writes the tables first), or after the medium
had it but before the core was told. What is only waiting is lost. Damage done to a disk shows at the next start: a
log that is gone, or damaged anywhere but in its last group, makes `log_lost` true, and the node must not vote; damage
in the last group is a torn tail that nothing can tell from a write that never ended
(`supervm.common.storage.log_format`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import Struct
from msgspec.structs import astuple

from supervm.common.contract.records import Append, Delete, DeleteBelow, Key, Prune, Put, Record
from supervm.common.contract.tables import AnyTable
from supervm.common.storage.memory import MemoryStore

from ..errors import SimulationError
from .choices import Stream
from .cuts import BY_HAND, Cause

LOST, TORN, KEPT = 0, 1, 2
"""What a crash makes of the group under way: nothing of it, its tables without its log, or all of it."""

RECORD_OVERHEAD_BYTES: Final = 32
"""Bytes counted for a record beside its values."""


@dataclass(frozen=True, slots=True)
class DiskProfile:
    """How long a write takes.

    Attributes:
        write_us: time from the start of a group to its being durable, for an empty one.
        bytes_per_s: throughput beyond that; 0: no limit.
        jitter_us: up to this much more, drawn evenly for each group.
    """

    write_us: int = 300
    bytes_per_s: int = 0
    jitter_us: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was durable at one moment: a backup."""

    rows: dict[str, dict[Key, Struct]]
    log: tuple[bytes, ...]
    ends: tuple[int, ...]


class VirtualDisk(MemoryStore):
    """A `MemoryStore` with time, limits and damage.

    Args:
        tables: declarations of the tables.
        profile: how fast it is.

    Attributes:
        log_lost: what the node finds at its next start: its write-ahead log is gone or damaged. It stays so until the
            node begins a new one (`Prune.begin`).
        full_for: causes for which the next write fails.
        slow_for: cause -> how many times slower than its profile it is for that; the slowest holds.
        tables_old: whether older tables were put back beside the present log (`restore_tables`) since it began.
        under_way: tokens of the group that is being written.
        waiting: writes that were asked for since, as (token, records).
    """

    def __init__(self, tables: Iterable[AnyTable], profile: DiskProfile | None = None) -> None:
        known = tuple(tables)
        super().__init__(known)
        self._names = tuple(table.name for table in known)
        self.profile = profile or DiskProfile()
        self.log_lost = False
        self.full_for: dict[Cause, None] = {}
        self.slow_for: dict[Cause, int] = {}
        self.tables_old = False
        self.under_way: tuple[tuple[int, tuple[Record, ...]], ...] = ()
        self.waiting: list[tuple[int, tuple[Record, ...]]] = []
        self._ends: list[int] = []  # length of the log after each of its groups

    # --- writing ------------------------------------------------------------------------------------------------------

    def begin(self, jitter: Stream | None) -> int:
        """Start to write everything that waits; return how long it takes in us.

        Raises:
            SimulationError: a write is under way.
        """
        if self.under_way:
            raise SimulationError("a disk writes one group at a time")
        self.under_way, self.waiting = tuple(self.waiting), []
        self.stage([record for _, records in self.under_way for record in records])
        profile = self.profile
        taken_us = profile.write_us
        if profile.bytes_per_s:
            size = sum(record_bytes(record) for _, records in self.under_way for record in records)
            taken_us += size * 1_000_000 // profile.bytes_per_s
        if profile.jitter_us and jitter is not None:
            taken_us += jitter.below(profile.jitter_us + 1)
        return taken_us * self.factor

    def end(self) -> tuple[tuple[int, tuple[Record, ...]], ...]:
        """The group under way is durable; return its writes."""
        done, self.under_way = self.under_way, ()
        self.flush()
        return done

    def _apply_log(self, records: Sequence[Record]) -> None:
        before = len(self._log)
        super()._apply_log(records)
        prunes = [record for record in records if type(record) is Prune]
        if prunes:
            if any(record.begin for record in prunes):
                self.log_lost = self.tables_old = False
            self._ends = [len(self._log)] if self._log else []
        elif len(self._log) > before:
            self._ends.append(len(self._log))

    def lose_power(self, outcome: int) -> tuple[tuple[int, tuple[Record, ...]], ...]:
        """Lose what is not durable and start again; return the writes that the medium has after all.

        Args:
            outcome: `LOST`, `TORN` or `KEPT`, what becomes of the group under way.
        """
        kept = self.under_way if outcome == KEPT else ()
        if kept:
            self.flush()
        self.crash(between=outcome == TORN)
        self.under_way = ()
        self.waiting = []
        return kept

    # --- faults -------------------------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether the next write fails."""
        return bool(self.full_for)

    @property
    def factor(self) -> int:
        """How many times slower than its profile it is now: as slow as the strongest cause makes it."""
        return max(self.slow_for.values(), default=1)

    def slow(self, factor: int, cause: Cause = BY_HAND) -> None:
        """Take `factor` times as long from the next write on; 1: that cause is over.

        Raises:
            SimulationError: it is below 1.
        """
        if factor < 1:
            raise SimulationError(f"a disk can be 1 or more times slower, not {factor} times")
        if factor == 1:
            self.slow_for.pop(cause, None)
        else:
            self.slow_for[cause] = factor

    def fill(self, cause: Cause = BY_HAND) -> None:
        """Become full: the next write fails, and with it the process."""
        self.full_for[cause] = None

    def free(self, cause: Cause = BY_HAND) -> None:
        """End a cause; there is room again when the last one ends."""
        self.full_for.pop(cause, None)

    def mend(self) -> None:
        """End every cause: have room, and the usual speed."""
        self.full_for.clear()
        self.slow_for.clear()

    def snapshot(self) -> Snapshot:
        """Take a backup of everything durable, the log included."""
        rows = {name: dict(self._tables[name].rows) for name in self._names}
        return Snapshot(rows, tuple(self._log), tuple(self._ends))

    def restore(self, backup: Snapshot) -> None:
        """Put an older state in place of the present one, of a host that is off: nothing shows it."""
        self._restore_rows(backup)
        self._log = list(backup.log)
        self._recovered = list(backup.log)
        self._ends = list(backup.ends)

    def restore_tables(self, backup: Snapshot) -> None:
        """Put older tables beside the present log, of a host that is off: a database that was restored from a backup.

        What this promised since is in the log, as far as the log was not pruned by what the tables held.
        """
        self._restore_rows(backup)
        self.tables_old = True

    def lose_all(self) -> None:
        """Lose tables and log, of a host that is off; what its folder says of there having been a log is kept."""
        self._restore_rows(Snapshot({name: {} for name in self._names}, (), ()))
        self.lose_log()

    def _restore_rows(self, backup: Snapshot) -> None:
        for name in self._names:
            fresh = type(self._tables[name])()
            for key, row in backup.rows[name].items():
                fresh.put(key, row)
            self._tables[name] = fresh

    def lose_log(self) -> None:
        """Lose the write-ahead log, of a host that is off: amnesia, which its next start sees."""
        self._log, self._recovered, self._ends = [], [], []
        self.log_lost = True

    def lose_suffix(self, groups: int) -> None:
        """Lose the newest groups of the log although they were durable once: a disk that lied. Nothing shows it."""
        kept = self._ends[: max(0, len(self._ends) - groups)]
        self._log = self._log[: kept[-1] if kept else 0]
        self._ends = kept
        self._recovered = list(self._log)

    def flip_bit(self, group: int) -> None:
        """Damage one group of the log: the last one looks like a torn tail, any other one is seen at the next start.

        Args:
            group: its number from the oldest, modulo how many there are; without groups nothing happens.
        """
        if not self._ends:
            return
        if group % len(self._ends) == len(self._ends) - 1:
            self.lose_suffix(1)
        else:
            self.lose_log()


def record_bytes(record: Record) -> int:
    """Return about how many bytes a record takes on disk."""
    match record:
        case Put(_, row):
            return RECORD_OVERHEAD_BYTES + sum(map(_column_bytes, astuple(row)))
        case Append(payload):
            return RECORD_OVERHEAD_BYTES + len(payload)
        case Prune(keep):
            return RECORD_OVERHEAD_BYTES + sum(map(len, keep))
        case Delete() | DeleteBelow():
            return RECORD_OVERHEAD_BYTES


def _column_bytes(value: object) -> int:
    return len(value) if isinstance(value, bytes | str) else 8
