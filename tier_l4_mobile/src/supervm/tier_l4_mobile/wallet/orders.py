"""What the owner asks of payments: to make one or many, to cancel one, to show them (`messages`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from supervm.common.contract.core import Outbox
from supervm.common.parts.part import Part
from supervm.common.parts.policy.policy import OPEN, Policy
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.money.kinds import ISSUE, TRANSFER
from supervm.protocol.state.leaves import NATIVE, read_asset

from ..errors import PaymentError
from ..messages import Cancel, Issue, IssueRow, Pay, PayMany, PaymentRow, PaymentsSince, QueueList, ShowPayment
from ..options import PAYMENT_OPTIONS
from ..sync.courier import Courier
from ..sync.trust import Trust
from .accounts import Accounts
from .books import Books
from .payments import CLOSED, R4, Payment, check_logged, printable
from .queue import LOCKED, PaymentQueue
from .validity import Validity

Order = Pay | PayMany | Issue | Cancel | ShowPayment | QueueList | PaymentsSince
"""The requests that are about payments."""


class Orders(Part):
    """The owner's orders of payments, and what is shown of them.

    Args:
        outbox: where refusals go.
        queue: allocates, signs and knows the payments.
        accounts: whom the owner means.
        courier: watches what is new.
        trust: whether what was proved may be believed.
        books: makes answers wait for the rows that they tell of.
        validity: how long payments are valid.
        used: told the time whenever the owner pays or cancels.
    """

    answers = (Pay, PayMany, Issue, QueueList, Cancel, ShowPayment, PaymentsSince)
    options = PAYMENT_OPTIONS

    def __init__(
        self,
        outbox: Outbox,
        queue: PaymentQueue,
        accounts: Accounts,
        courier: Courier,
        trust: Trust,
        books: Books,
        validity: Validity,
        used: Callable[[int], None],
    ) -> None:
        self._outbox = outbox
        self._queue = queue
        self._accounts = accounts
        self._courier = courier
        self._trust = trust
        self._books = books
        self._validity = validity
        self._used = used
        self._policy = OPEN
        self._doubt = ""  # why nothing is believed at the moment of the request

    def governed(self, policy: Policy) -> None:
        """Take only what the owner allows."""
        self._policy = policy

    def command(self, now_us: int, token: int, request: Order) -> None:
        """Do what is asked for; the answer leaves once it is durable."""
        self._doubt = self._trust.doubt(now_us)
        if isinstance(request, Pay | PayMany | Issue | Cancel):
            self._used(now_us)
        try:
            value = self._answer(now_us, request)
        except (PaymentError, LocalProtocolError) as error:
            self._outbox.refuse(token, str(error))
        else:
            self._books.answer(token, value)

    def _answer(self, now_us: int, request: Order) -> dict[str, Any]:
        match request:
            case Pay(row, offline):
                return self._show(self._pay(now_us, row, kept=offline))
            case Issue(row, offline):
                return self._show(self._pay(now_us, row, kept=offline))
            case PayMany(rows):
                if self._queue.is_locked and any(not row.key or self._queue.by_key(row.key) is None for row in rows):
                    raise PaymentError(LOCKED)  # a row that was logged as refused would never be tried again
                return {"payments": [self._pay_or_log(now_us, row) for row in rows]}
            case PaymentsSince(cursor, limit):
                if cursor is None:
                    return {"payments": [], "cursor": self._queue.changes.newest}
                changed, after = self._queue.changed_since(cursor, limit)
                return {"payments": [self._show(payment) for payment in changed], "cursor": after}
            case QueueList():
                return self._list(request)
            case ShowPayment(identity):
                return self._show(self._find(identity))
            case Cancel(identity):
                payment = self._find(identity)
                self._queue.cancel(payment)
                return self._show(payment)

    def _pay(self, now_us: int, row: PaymentRow | IssueRow, *, kept: bool = False) -> Payment:
        known = self._queue.by_key(row.key) if row.key else None
        if known is not None:
            return known
        decided = self._policy.write(now_us, is_reachable=self._courier.is_online)
        if not decided.goes_on:
            raise PaymentError(decided.refusal)
        valid_until_ms = self._validity.until_ms(now_us // 1000, row.validity_ms)
        try:
            payload = bytes.fromhex(row.payload_hex)
        except ValueError:
            raise PaymentError(f"the payload {row.payload_hex!r:.40} is not hex") from None
        to = payer = self._accounts.payer(row.source)
        if isinstance(row, IssueRow):
            kind, amount, asset = ISSUE, row.supply, NATIVE
        else:
            kind, amount, asset = TRANSFER, row.amount, read_asset(row.asset)
            to = self._accounts.receiver(row.to)
        payment = self._queue.add(
            now_us,
            payer,
            to,
            amount=amount,
            fee=row.fee,
            valid_until_ms=valid_until_ms,
            payload=payload,
            key=row.key,
            kept=kept,
            kind=kind,
            asset=asset,
            fee_asset=read_asset(row.fee_asset),
        )
        self._courier.watch(payment)
        return payment

    def _pay_or_log(self, now_us: int, row: PaymentRow) -> dict[str, Any]:
        try:
            return self._show(self._pay(now_us, row))
        except (PaymentError, LocalProtocolError) as error:
            reason = printable(str(error))
        try:
            check_logged(row.amount, row.fee, row.key)
            source, receiver = self._accounts.payer(row.source), self._accounts.receiver(row.to)
            return self._show(
                self._queue.add_refused(
                    now_us,
                    source,
                    receiver,
                    amount=row.amount,
                    fee=row.fee,
                    reason=reason,
                    key=row.key,
                    asset=read_asset(row.asset),
                    fee_asset=read_asset(row.fee_asset),
                )
            )
        except (PaymentError, LocalProtocolError):  # not even who pays whom is known: there is no row to log
            return {"id": None, "status": "refused", "reason": reason, "key": row.key or None}

    def _list(self, request: QueueList) -> dict[str, Any]:
        account = self._accounts.payer(request.source) if request.source else None
        found, total = self._queue.newest(request.statuses, account, request.limit)
        return {"payments": [self._show(payment) for payment in found], "total": total}

    def _find(self, identity: str) -> Payment:
        payment = self._queue.find(identity)
        if payment is None:
            raise PaymentError(f"there is no payment {printable(identity)} in this queue")
        return payment

    def _show(self, payment: Payment) -> dict[str, Any]:
        shown = payment.show(test_network=self._accounts.test_network)
        if self._trust.client.fork is not None and payment.status == R4:
            # it was proved under one of two histories, and nobody knows which is the network's
            shown["proof_verified"] = False
            shown["reason"] = self._doubt
        elif self._doubt and payment.place != CLOSED and shown["reason"] is None:
            shown["reason"] = self._doubt
        return shown
