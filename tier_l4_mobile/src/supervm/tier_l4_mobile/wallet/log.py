"""The log of payments: every row, found by its names, with what must be written and what changed since when.

In memory are the payments that are open; the others are read from disk when somebody asks for them (`finished`).
It decides nothing; `queue.PaymentQueue` does, on top of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Any

from supervm.common.contract.records import Reader, Record
from supervm.common.parts.part import Part
from supervm.common.text.options import whole_number
from supervm.protocol.base.codec import INT_MAX

from ..tables import PAYMENT_TABLES, PAYMENTS, payment_row, read_payment
from .changes import Changes
from .finished import PAGE_ROWS, Finished
from .payments import CLOSED, FAILED, FATES, R4, Payment, printable
from .stored import check_numbers

NUMBER_BITS = 32
"""Of a cursor among the numbers; above them, and below every version, there is room for 400,000 times of forgetting."""


class PaymentLog(Part):
    """All payments of a phone.

    Args:
        reader: what is durable.

    Raises:
        LocalProtocolError: what is durable is not what was written.
    """

    tables = PAYMENT_TABLES

    def __init__(self, reader: Reader) -> None:
        self.payments: dict[int, Payment] = {}
        """Number -> payment, in order: those that are open, and finished ones until that is durable."""
        self.changes = Changes()
        """Numbers of the payments in the order they last changed: of open ones and of what finished lately."""
        self._finished = Finished(reader)
        self._by_id: dict[bytes, Payment] = {}
        self._by_key: dict[str, Payment] = {}
        self._former: dict[int, list[bytes]] = {}  # number -> ids that it had before, in memory as long as it is
        self._dirty: dict[int, Payment] = {}
        self._records: list[Record] = []
        self._ended: list[Payment] = []  # finished, with rows in the write that is next
        self._leaving: deque[tuple[int, list[Payment]]] = deque()  # by the write that has their rows
        self._listed_first = bool(self._finished.last_number)  # a reader of changes has to read earlier ones first
        for row in PAYMENTS.rows(reader):
            payment = read_payment(row)
            self._index(payment)
            self.changes.note(payment.number)
        check_numbers(self._finished.last_number, len(self.payments) + self._finished.counts().total())

    def started(self, now_us: int) -> None:
        """Begin to count changes anew."""
        self.changes.start(now_us)

    def info(self, now_us: int) -> Mapping[str, Any]:
        """Return how many payments there are of each status."""
        counts = self._finished.counts()
        counts.update(payment.status for payment in self.payments.values() if payment.place != CLOSED)
        return {"payments": dict(sorted(counts.items()))}

    @property
    def next_number(self) -> int:
        """The number of the next payment."""
        return self._finished.last_number + 1

    def get(self, number: int | None) -> Payment | None:
        """Return the payment of a number; None has none."""
        return None if number is None else self.payments.get(number) or self._finished.get(number)

    def find(self, text: str) -> Payment | None:
        """Return the payment of an id, present or former, as `Payment.label` writes it."""
        if text.startswith("row-"):
            return self.get(whole_number(text[4:]))
        try:
            name = bytes.fromhex(text)
        except ValueError:
            return None
        return self.get_by_id(name)

    def get_by_id(self, transaction_id: bytes) -> Payment | None:
        """Return the payment whose transaction has, or once had, this id."""
        return self._by_id.get(transaction_id) or self.get(self._finished.number_of_id(transaction_id))

    def by_key(self, key: str) -> Payment | None:
        """Return the payment that was asked for under `key`."""
        if key in self._by_key or printable(key) != key:  # no database takes it, so no row has it
            return self._by_key.get(key)
        return self.get(self._finished.number_of_key(key))

    def every(self, first: int = 1, limit: int = INT_MAX) -> Iterator[Payment]:
        """Go through payments by number from `first` on, at most `limit`; of finished ones few are in memory."""
        here = deque(sorted(number for number in self.payments if number >= first))
        for payment in self._finished.page(first, limit):
            while here and here[0] < payment.number and limit > 0:
                limit -= 1
                yield self.payments[here.popleft()]
            if here and here[0] == payment.number:
                here.popleft()  # its row is durable, and we have not been told
            if limit <= 0:
                return
            limit -= 1
            yield payment
        for number in islice(here, limit):
            yield self.payments[number]

    def newest(self, statuses: Collection[str], account: bytes | None, limit: int) -> tuple[list[Payment], int]:
        """Return up to `limit` payments of these statuses (none: all) and account, newest last, and how many there are.

        Rows are read from the newest on, until there are enough.
        """

        def fits(payment: Payment) -> bool:
            return (not statuses or payment.status in statuses) and (account is None or payment.account == account)

        counts = self._finished.counts(account)
        total = sum(count for status, count in counts.items() if not statuses or status in statuses)
        total += sum(payment.place != CLOSED and fits(payment) for payment in self.payments.values())
        found: list[Payment] = []  # newest first
        end = self.next_number
        while end > 1 and len(found) < min(limit, total):
            begin = max(1, end - PAGE_ROWS)
            page = [payment for payment in self.every(begin, end - begin) if payment.number < end and fits(payment)]
            found.extend(reversed(page))
            end = begin
        found = found[:limit]
        found.reverse()
        return found, total

    def changed_since(self, cursor: int, limit: int) -> tuple[list[Payment], int]:
        """Return up to `limit` payments that changed after `cursor`, oldest change first, and the next cursor.

        Where payments finished before this run, or changes are forgotten, a cursor of before the first change that is
        known, as 0 is, begins with all payments by number; after them come the changes. A cursor among the numbers says
        how often changes had been forgotten: if that happened again, what was read before may have changed, and the
        reading begins anew.
        """
        changes, last = self.changes, self._finished.last_number
        if (self._listed_first or changes.forgotten) and cursor < changes.began:
            times, number = divmod(cursor, 1 << NUMBER_BITS)
            found = list(self.every(number + 1 if times == changes.forgotten and number < last else 1, limit))
            if not found or found[-1].number >= last:
                return found, changes.began
            return found, (changes.forgotten << NUMBER_BITS) + found[-1].number
        numbers, after = self.changes.since(cursor, limit)
        return [payment for number in numbers if (payment := self.get(number)) is not None], after

    def _touch(self, payment: Payment, *, write: bool = True) -> None:
        self.changes.note(payment.number)
        if write:
            self._dirty[payment.number] = payment

    def take_records(self) -> list[Record]:
        """Return what must be written for this step, and start anew."""
        records = self._records
        for payment in self._dirty.values():
            if payment.place == CLOSED:
                records.extend(self._finished.records(payment))
                self._ended.append(payment)
            else:
                records.append(PAYMENTS.put(payment_row(payment)))
        records.extend(self._finished.take_tallies())
        self._records = []
        self._dirty = {}
        return records

    def wrote(self, token: int) -> None:
        """Note which write has what `take_records` gave: once it is durable, finished payments leave memory."""
        if self._ended:
            self._leaving.append((token, self._ended))
            self._ended = []

    def durable(self, now_us: int, token: int) -> None:
        """Forget the finished payments that are on disk by now."""
        while self._leaving and self._leaving[0][0] <= token:
            for payment in self._leaving.popleft()[1]:
                self._forget(payment)
            self.changes.forget(now_us, len(self.payments))

    def _forget(self, payment: Payment) -> None:
        del self.payments[payment.number]
        for name in (payment.id, *self._former.pop(payment.number, ())):
            if self._by_id.get(name) is payment:
                del self._by_id[name]
        if self._by_key.get(payment.key) is payment:
            del self._by_key[payment.key]

    def _index(self, payment: Payment) -> None:
        self.payments[payment.number] = payment
        self._finished.numbered(payment.number)
        if payment.id:
            # A cancelled payment and an equal one that took its slot have one transaction id; the living one counts.
            other = self._by_id.get(payment.id)
            if other is None or other.place == CLOSED:
                self._by_id[payment.id] = payment
        if payment.key:
            self._by_key[payment.key] = payment

    def _finish(self, payment: Payment, result: str, now_us: int) -> None:
        payment.place = CLOSED
        payment.result = result
        payment.reason = "the chain refused it at execution: too little money" if result == FAILED else ""
        payment.reached(R4, now_us)
        self._finished.ended(payment)
        self._touch(payment)

    def _close(self, payment: Payment, status: str, reason: str) -> None:
        payment.place = CLOSED
        if payment.status not in FATES:  # a stated refusal stays what was said
            payment.reached(status, 0)
            payment.reason = reason
        self._finished.ended(payment)
        self._touch(payment)
