"""Which own payments were handed over: what their owner is told of them."""

from __future__ import annotations

from typing import Final

from supervm.common.contract.records import Reader, Record

from ..tables import HANDED, HandedRow

HANDED_MAX: Final = 1_000
"""Own payments of which it is remembered that they were handed over, the newest ones."""

TIMES_MAX: Final = 1_000_000
"""How often is counted."""


class Handed:
    """Own payments that were handed over.

    Args:
        reader: what is durable.
    """

    def __init__(self, reader: Reader) -> None:
        self.rows: dict[int, HandedRow] = {row.number: row for row in HANDED.rows(reader)}
        """Number of an own payment -> when it was handed over first, and how often."""
        self._records: list[Record] = []

    def remember(self, number: int, now_us: int) -> None:
        """Note that a payment was handed over once more."""
        known = self.rows.get(number)
        row = (
            HandedRow(number, now_us, 1)
            if known is None
            else HandedRow(number, known.first_us, min(known.times, TIMES_MAX) + 1)
        )
        self.rows[number] = row
        self._records.append(HANDED.put(row))
        if len(self.rows) > HANDED_MAX:
            oldest = min(self.rows)
            del self.rows[oldest]
            self._records.append(HANDED.delete(oldest))

    def take_records(self) -> list[Record]:
        """Return what must be written, and start anew."""
        records, self._records = self._records, []
        return records
