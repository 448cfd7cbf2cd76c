"""What a ledger keeps of old heights leaves it, a slice at a time.

Theory of operation. Below its *floor* a node keeps neither headers, nor receipts, nor the nodes that only their proofs
need. A floor follows the executed height at a distance (``keep_blocks``). Whenever it is `SLICE_MIN` or more ahead of
what is deleted already, one slice goes with the write of the present block: `SLICE_HEIGHTS` heights or
`SLICE_RECEIPTS` receipts, whichever are fewer, so neither a step nor a commit grows with what there is to delete. A
node that was off, or has kept everything until now, catches up over the next blocks.

``pruned_height`` on disk is where the next slice begins; it is part of the slice's own write, so after a crash the same
slice goes once more.
"""

from __future__ import annotations

from collections.abc import Iterator

from supervm.protocol.base.codec import decode
from supervm.protocol.money.execution import BlockReceipts

from ..contract.records import Reader, Record
from .history import History
from .ledger_tables import (
    BLOCK_RECEIPTS,
    HEADERS,
    LEDGER,
    RECEIPT_INDEX,
    LedgerRow,
    ReceiptsRow,
    short_id,
    stored_number,
)

SLICE_MIN = 32
"""Heights that wait at least before a slice goes: a delete per table costs as much for one height as for many."""
SLICE_HEIGHTS = 128
"""Heights in one slice at most; at one slice per block that is more than come."""
SLICE_RECEIPTS = 4_096
"""Receipts in one slice at most, or those of one block."""
RECEIPTS_BYTES_MAX = 1 << 30
"""Our own record of a block's receipts, which no peer bounds."""


class LedgerPruning:
    """The heights that one ledger keeps no more.

    Args:
        reader: durable rows, with the tables of a ledger.
        history: the ledger's.
    """

    def __init__(self, reader: Reader, history: History) -> None:
        self._reader, self._history = reader, history
        self.begin = stored_number(reader, "pruned_height")
        """Below this height nothing is left."""

    def is_due(self, floor: int) -> bool:
        """Return whether enough heights below `floor` wait for a slice."""
        return floor - self.begin >= SLICE_MIN

    def slice(self, floor: int) -> list[Record]:
        """Return what deletes the next heights below `floor`, and move `begin` on."""
        # below a snapshot that was adopted there may be a long way without any row
        lowest = [row.height for table in (HEADERS, BLOCK_RECEIPTS) for row in table.rows(self._reader, limit=1)]
        end = min(floor, max(self.begin, min(lowest, default=floor)) + SLICE_HEIGHTS)
        records: list[Record] = []
        for row in self._receipts(end):
            listed = decode(BlockReceipts, row.receipts, bytes_max=RECEIPTS_BYTES_MAX).receipts
            if records and len(records) + len(listed) > SLICE_RECEIPTS:
                end = row.height
                break
            records += [
                RECEIPT_INDEX.delete(short_id(item.transaction_id), row.height, item.position) for item in listed
            ]
        self.begin = end
        return [
            *records,
            BLOCK_RECEIPTS.delete_below(end),
            HEADERS.delete_below(end),
            *self._history.prune(end),
            LEDGER.put(LedgerRow("pruned_height", end)),
        ]

    def _receipts(self, end: int) -> Iterator[ReceiptsRow]:
        """Go through what there is below a height, a few rows at a time: they are large."""
        at = 0
        while rows := [row for row in BLOCK_RECEIPTS.rows(self._reader, first=(at,), limit=4) if row.height < end]:
            yield from rows
            at = rows[-1].height + 1
