"""What came in, as far as a light client can know it: by how much the proved balance of an own account has grown.

Theory of operation. A proof of an account says what it has and how many payments it has made, not who paid it. Between
two proofs of one account the difference of the balances, and what own payments between them took, is what came in: from
one payer or many, and fees that were earned. It is exact where every payment between the two is in this log and
was executed; where another device has paid, or one may have failed, it is at least the difference that is left.
What there was at the first proof came before this device looked, and is no income here. Only the native asset is told:
holdings are proved one by one, at heights of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, islice
from typing import Final

from supervm.common.contract.records import Reader, Record
from supervm.protocol.base.hashing import HASH_BYTES
from supervm.protocol.state.leaves import NATIVE

from ..tables import INCOME, IncomeRow
from .lane import Lane, Proved

KEPT_MAX: Final = 10_000
"""Rows that are kept on disk: the newest."""
RECENT_MAX: Final = 64
"""Of these, rows that are in memory as well: what was written last may not be on disk yet."""
NUMBER_MAX: Final = 1 << 62
"""No row has a higher number, unless its disk has changed it."""


class Incomes:
    """The rows of what came in; their numbers follow each other without a gap.

    Args:
        reader: what is durable.
        write: takes a row to write, together with the proof that it follows from.

    Attributes:
        last: the number of the newest row; 0: there is none.
    """

    def __init__(self, reader: Reader, write: Callable[[Record], None]) -> None:
        self._reader = reader
        self._write = write
        first = next((row.number for row in INCOME.rows(reader, limit=1)), 1)
        self._first = min(max(1, first), NUMBER_MAX)
        self.last = self._first - 1 + INCOME.count(reader)
        self._recent: dict[int, IncomeRow] = {}

    def note(self, lane: Lane, old: Proved | None, new: Proved) -> None:
        """Note what came in between two proofs of an account, while own payments between them are in the lane still.

        Args:
            lane: of the account.
            old: what was proved before; None: nothing was.
            new: what is proved now.
        """
        if old is None:
            return
        own = _taken_between(lane, old, new)
        amount = new.balance - old.balance + (own or 0)
        if amount <= 0 or self.last >= NUMBER_MAX:
            return
        row = IncomeRow(
            self.last + 1, lane.account, NATIVE, amount, int(own is not None), old.height, new.height, new.ts_ms
        )
        self.last = row.number
        self._recent[row.number] = row
        if len(self._recent) > RECENT_MAX:
            del self._recent[next(iter(self._recent))]
        self._write(INCOME.put(row))
        if self.last - self._first >= KEPT_MAX:
            self._write(INCOME.delete(self._first))
            self._first += 1

    def page(self, before: int | None, limit: int) -> list[IncomeRow]:
        """Return at most `limit` rows with numbers below `before` (None: all), newest first.

        Nothing is decided by them, so one that the disk gives back as nobody wrote it is left out.
        """
        end = self.last + 1 if before is None else min(before, self.last + 1)
        begin = max(self._first, end - limit)
        found = {row.number: row for row in INCOME.rows(self._reader, first=(begin,), limit=max(0, end - begin))}
        found.update(self._recent)
        return [found[number] for number in range(end - 1, begin - 1, -1) if number in found and _fits(found[number])]


def _fits(row: IncomeRow) -> bool:
    return len(row.account) == HASH_BYTES and len(row.asset) in (0, HASH_BYTES)


def _taken_between(lane: Lane, old: Proved, new: Proved) -> int | None:
    """Return what own payments took of the native asset between two proofs.

    None where some of them are not in this log, or one may have failed: then nobody here knows.
    """
    count = new.next_seq - old.next_seq
    if not count:
        return 0
    passed = list(islice(chain(lane.sent, lane.held), count))
    if new.may_have_failed or len(passed) < count or passed[-1].id != new.head or passed[0].seq != old.next_seq:
        return None
    return sum(debit for payment in passed for asset, debit in payment.debits if asset == NATIVE)
