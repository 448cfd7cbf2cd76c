"""Looking through what was paid and what came in, page by page, newest first.

A page looks at `LOOKED_MAX` payments at most, however few of them fit, so that no search holds up a node: whoever looks
for something rare asks again with the cursor that the page ends with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from supervm.common.contract.core import Outbox
from supervm.common.parts.part import Part
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.state.leaves import write_asset

from ..errors import PaymentError
from ..messages import IncomeList, SearchPayments
from ..wallet.accounts import Accounts
from ..wallet.payments import Payment
from ..wallet.queue import PaymentQueue

LOOKED_MAX: Final = 256
"""Payments that one page looks at."""


class History(Part):
    """Search of the log of payments, and the list of what came in.

    Args:
        outbox: where answers go.
        queue: the log.
        accounts: whom the owner means.
    """

    answers = (SearchPayments, IncomeList)

    def __init__(self, outbox: Outbox, queue: PaymentQueue, accounts: Accounts) -> None:
        self._outbox = outbox
        self._queue = queue
        self._accounts = accounts

    def command(self, now_us: int, token: int, request: SearchPayments | IncomeList) -> None:
        """Answer with a page."""
        if isinstance(request, IncomeList):
            self._outbox.reply(token, self._income(request))
        else:
            self._search(token, request)

    def info(self, now_us: int) -> Mapping[str, Any]:
        """Return the number of the newest row of what came in."""
        return {"income": self._queue.incomes.last}

    def _income(self, request: IncomeList) -> dict[str, Any]:
        rows = self._queue.incomes.page(request.before, request.limit)
        return {
            "income": [
                {
                    "number": row.number,
                    "to": self._accounts.address(row.account),
                    "asset": write_asset(row.asset),
                    "amount": row.amount,
                    "is_exact": bool(row.is_exact),
                    "since_height": row.since_height,
                    "height": row.height,
                    "ts_ms": row.ts_ms,
                }
                for row in rows
            ],
            "before": rows[-1].number if len(rows) == request.limit and rows[-1].number > 1 else None,
        }

    def _search(self, token: int, request: SearchPayments) -> None:
        try:
            payer = self._accounts.payer(request.source) if request.source else None
            receivers = frozenset(map(self._accounts.receiver, request.receivers))
        except (PaymentError, LocalProtocolError) as error:
            self._outbox.refuse(token, str(error))
            return
        text = request.text.strip().casefold()

        def fits(payment: Payment) -> bool:
            return (
                (payer is None or payment.account == payer)
                and (not request.statuses or payment.status in request.statuses)
                and (not receivers or payment.to in receivers)
                and (not text or self._has(payment, text))
            )

        self._outbox.reply(token, self._page(request, fits))

    def _page(self, request: SearchPayments, fits: Callable[[Payment], bool]) -> dict[str, Any]:
        end = self._queue.next_number if request.before is None else min(request.before, self._queue.next_number)
        before = max(1, end - LOOKED_MAX)
        looked = [payment for payment in self._queue.every(before, end - before) if payment.number < end]
        found = [payment for payment in reversed(looked) if fits(payment)]
        if len(found) > request.limit:
            found = found[: request.limit]
            before = found[-1].number
        return {
            "payments": [payment.show(test_network=self._accounts.test_network) for payment in found],
            "before": before if before > 1 else None,
        }

    def _has(self, payment: Payment, text: str) -> bool:
        """Return whether a text occurs in what a payment's owner sees of it."""
        seen = (
            payment.label,
            payment.key.casefold(),
            str(payment.amount),
            payment.asset_text or "",
            payment.reason.casefold(),
        )
        return any(text in item for item in seen) or text in self._accounts.address(payment.to)
