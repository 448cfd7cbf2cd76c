"""The log of payments: every row, found by its names, with what must be written and what changed since when.

It decides nothing; `queue.PaymentQueue` does, on top of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from supervm.common.contract.records import Reader, Record
from supervm.common.parts.part import Part
from supervm.common.text.options import whole_number

from ..tables import FORMER_IDS, PAYMENT_TABLES, PAYMENTS, payment_record, read_payment
from .changes import Changes
from .payments import CLOSED, FAILED, FATES, R4, Payment


class PaymentLog(Part):
    """All payments of a phone.

    Args:
        reader: what is durable.
    """

    tables = PAYMENT_TABLES

    def __init__(self, reader: Reader) -> None:
        self.payments: dict[int, Payment] = {}
        """Number -> payment, in order."""
        self.changes = Changes()
        """Numbers of the payments in the order they last changed."""
        self._by_id: dict[bytes, Payment] = {}
        self._by_key: dict[str, Payment] = {}
        self._dirty: dict[int, Payment] = {}
        self._records: list[Record] = []
        for row in PAYMENTS.rows(reader):
            payment = read_payment(row)
            self._index(payment)
            self.changes.note(payment.number)
        for former in FORMER_IDS.rows(reader):
            self._by_id[former.tx_id] = self.payments[former.number]

    def started(self, now_us: int) -> None:
        """Begin to count changes anew."""
        self.changes.start(now_us)

    def info(self, now_us: int) -> Mapping[str, Any]:
        """Return how many payments there are of each status."""
        counts = Counter(payment.status for payment in self.payments.values())
        return {"payments": dict(sorted(counts.items()))}

    def find(self, text: str) -> Payment | None:
        """Return the payment of an id, present or former, as `Payment.label` writes it."""
        if text.startswith("row-"):
            digits = text[4:]
            return self.payments.get(whole_number(digits) or 0)
        try:
            return self._by_id.get(bytes.fromhex(text))
        except ValueError:
            return None

    def by_key(self, key: str) -> Payment | None:
        """Return the payment that was asked for under `key`."""
        return self._by_key.get(key)

    def changed_since(self, cursor: int, limit: int) -> tuple[list[Payment], int]:
        """Return up to `limit` payments that changed after `cursor`, oldest change first, and the next cursor."""
        numbers, after = self.changes.since(cursor, limit)
        return [self.payments[number] for number in numbers], after

    def _touch(self, payment: Payment, *, write: bool = True) -> None:
        self.changes.note(payment.number)
        if write:
            self._dirty[payment.number] = payment

    def take_records(self) -> list[Record]:
        """Return what must be written for this step, and start anew."""
        records = self._records
        records.extend(payment_record(payment) for payment in self._dirty.values())
        self._records = []
        self._dirty = {}
        return records

    def _index(self, payment: Payment) -> None:
        self.payments[payment.number] = payment
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
        self._touch(payment)

    def _close(self, payment: Payment, status: str, reason: str) -> None:
        payment.place = CLOSED
        if payment.status not in FATES:  # a stated refusal stays what was said
            payment.reached(status, 0)
            payment.reason = reason
        self._touch(payment)
