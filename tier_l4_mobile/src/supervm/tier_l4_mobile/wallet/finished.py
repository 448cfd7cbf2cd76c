"""Payments that have their fate: on disk only, found by number, name or id, and counted without reading them.

Theory of operation. A finished payment never changes again, so nothing but a question of its owner needs it. With the
write that ends it, its row goes from the table "payments" to "finished", and its transaction id, its asker's name for
it and a count by account and status become rows, too: a start reads the open payments and the counts, whatever was paid
before. Until that write is durable the payment stays in memory (`log`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from supervm.common.contract.records import Reader, Record

from ..tables import (
    FINISHED,
    FORMER_IDS,
    PAYMENT_KEYS,
    PAYMENTS,
    TALLIES,
    FormerIdRow,
    PaymentKeyRow,
    TallyRow,
    payment_row,
    read_payment,
)
from .payments import Payment
from .stored import NUMBERS_MAX, mended

PAGE_ROWS = 256
"""Rows read at once."""
_NUMBERS = (b"", "number")  # the tally that holds the last number that was given


class Finished:
    """The finished payments of a phone.

    Args:
        reader: what is durable.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._counts = Counter({(row.account, row.status): row.count for row in TALLIES.rows(reader)})
        self._changed: dict[tuple[bytes, str], None] = {}

    # --- counts -------------------------------------------------------------------------------------------------------

    @property
    def last_number(self) -> int:
        """The highest number that a payment ever got, 0 before the first."""
        return self._counts[_NUMBERS]

    def numbered(self, number: int) -> None:
        """Note the number of a payment."""
        if number > self.last_number:
            self._counts[_NUMBERS] = number
            self._changed[_NUMBERS] = None

    def ended(self, payment: Payment) -> None:
        """Count a payment that has just got its fate."""
        tally = (payment.account, payment.status)
        self._counts[tally] += 1
        self._changed[tally] = None

    def counts(self, account: bytes | None = None) -> Counter[str]:
        """Return how many there are of each status, of all accounts or of one."""
        found: Counter[str] = Counter()
        for tally, count in self._counts.items():
            if tally != _NUMBERS and (account is None or account == tally[0]):
                found[tally[1]] += count
        return found

    # --- writing ------------------------------------------------------------------------------------------------------

    def records(self, payment: Payment) -> list[Record]:
        """Return what moves a payment here."""
        records: list[Record] = [FINISHED.put(payment_row(payment)), PAYMENTS.delete(payment.number)]
        if payment.id:
            records.append(FORMER_IDS.put(FormerIdRow(payment.id, payment.number)))
        if payment.key:
            records.append(PAYMENT_KEYS.put(PaymentKeyRow(payment.key, payment.number)))
        return records

    def take_tallies(self) -> list[Record]:
        """Return what writes the counts that have changed since the last time."""
        changed, self._changed = self._changed, {}
        return [TALLIES.put(TallyRow(account, status, self._counts[account, status])) for account, status in changed]

    # --- reading ------------------------------------------------------------------------------------------------------

    def get(self, number: int) -> Payment | None:
        """Return a finished payment."""
        row = FINISHED.get(self._reader, number)
        return None if row is None else mended(read_payment(row))

    def number_of_key(self, key: str) -> int | None:
        """Return the number of the finished payment that was asked for under `key`."""
        row = PAYMENT_KEYS.get(self._reader, key)
        return None if row is None else row.number

    def number_of_id(self, transaction_id: bytes) -> int | None:
        """Return the number of the payment that has or had this transaction id, if that is on disk."""
        row = FORMER_IDS.get(self._reader, transaction_id)
        return None if row is None else row.number

    def page(self, first: int, limit: int) -> Iterator[Payment]:
        """Go through at most `limit` finished payments from a number on, ascending; few are in memory at a time."""
        while limit > 0:
            rows = list(FINISHED.rows(self._reader, first=(first,), limit=min(limit, PAGE_ROWS)))
            if not rows:
                return
            yield from (mended(read_payment(row)) for row in rows)
            if rows[-1].number >= NUMBERS_MAX:
                return  # nobody gave such a number
            first, limit = rows[-1].number + 1, limit - len(rows)
