"""A ledger's history of checkpoints on disk: its peaks in memory, every other node a row that a proof reads.

Theory of operation. Each executed block appends the hash of the header before it to the range (`protocol.state.mmr`),
which makes one leaf and, on average, one inner node. They are rows of the table "history" by their positions, in the
write of the block itself; so what is durable is always the history up to the durable ``applied_height``, and a start
reads one row per peak: it costs the same in the first hour and after a year. A proof reads O(log n) rows.

Rows may be asked for before they are durable. Those are in memory until the durable height has passed them.

Below a floor the rows may go: with the peaks that there were at the floor's height, everything from there on is still
proved. Floors only rise; one step of pruning deletes what lies between two of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from supervm.protocol.state.mmr import (
    HistoryMMR,
    MMRProof,
    mmr_peak_positions,
    mmr_peaks,
    mmr_position,
    prove_mmr,
)

from ..contract.records import Reader, Record
from .ledger_tables import HISTORY, HistoryRow, stored_number

UNWRITTEN_NODES = 128
"""Nodes in memory from which on a ledger looks which of them are durable by now: some 64 blocks."""


def peak_records(size: int, peaks: Sequence[bytes]) -> list[Record]:
    """Return what makes a history of `size` leaves begin with its peaks alone, in the place of a shorter one."""
    rows = zip(mmr_peak_positions(size), peaks, strict=True)
    return [
        HISTORY.delete_below(mmr_position(0, size)),
        *(HISTORY.put(HistoryRow(position, node)) for position, node in rows),
    ]


class History:
    """The history under the headers of one ledger.

    Args:
        reader: durable rows, with the tables of a ledger.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._mmr = HistoryMMR()
        self._unwritten: dict[int, bytes] = {}  # ascending
        self._look_at = UNWRITTEN_NODES

    def load(self, size: int) -> bool:
        """Begin with the durable history of `size` leaves; return whether it is there."""
        self._unwritten.clear()
        self._look_at = UNWRITTEN_NODES
        peaks = mmr_peaks(size, self._node_at)
        self._mmr = HistoryMMR() if peaks is None else HistoryMMR.from_peaks(size, peaks)
        return self._mmr.size == size

    @property
    def size(self) -> int:
        """How many headers it has: the height of the first one that is not in it."""
        return self._mmr.size

    @property
    def root(self) -> bytes:
        """The root, as the next header commits to it."""
        return self._mmr.root

    def peaks(self) -> list[bytes]:
        """Return its peaks (`HistoryMMR.peaks`)."""
        return self._mmr.peaks()

    def append(self, header_hash: bytes) -> list[Record]:
        """Add the hash of the next header; return what must be written together with the block after it."""
        made = self._mmr.append(header_hash)
        self._unwritten.update(made)
        if len(self._unwritten) >= self._look_at:
            self._forget_written()
        return [HISTORY.put(HistoryRow(position, node)) for position, node in made]

    def _forget_written(self) -> None:
        """Forget what the durable height shows to be on disk; if writes are far behind, not each time."""
        durable = mmr_position(0, min(stored_number(self._reader, "applied_height"), self.size))
        self._unwritten = {position: node for position, node in self._unwritten.items() if position >= durable}
        self._look_at = max(UNWRITTEN_NODES, 2 * len(self._unwritten))

    def prove(self, height: int, size: int) -> MMRProof | None:
        """Return the proof of the header of `height` under the root of `size` headers; None below the floor."""
        return prove_mmr(height, size, self._node_at)

    def prune(self, floor: int) -> list[Record]:
        """Return what deletes all that only proofs of headers below `floor` need.

        A floor that is lower than an earlier one deletes nothing: its peaks are gone, or are peaks of the higher, too.
        """
        peaks = mmr_peaks(floor, self._node_at)
        return [] if peaks is None else peak_records(floor, peaks)

    def _node_at(self, position: int) -> bytes | None:
        node = self._unwritten.get(position)
        if node is not None:
            return node
        row = HISTORY.get(self._reader, position)
        return None if row is None else row.node
