"""What the owner asks of hand-overs: to make a container, to take one, to list and to forget (`messages`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from supervm.common.contract.core import Outbox
from supervm.common.parts.part import Part
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.money.transfer import Transfer

from ..errors import HandoverError, MobileError
from ..messages import CONTAINER_BYTES_MAX, HandoverDrop, HandoverExport, HandoverList, HandoverTake
from ..wallet.accounts import Accounts
from ..wallet.books import Books
from ..wallet.payments import Payment
from ..wallet.queue import PaymentQueue
from .handed import Handed
from .promises import Promise, Promises, show_promise

if TYPE_CHECKING:
    from .giver import Giver
    from .taker import Taker

Request = HandoverExport | HandoverTake | HandoverList | HandoverDrop
"""The requests that are about hand-overs."""


class Desk(Part):
    """The owner's requests.

    Args:
        outbox: where refusals go.
        queue: own payments.
        accounts: which addresses are shown.
        promises: payments of others.
        handed: which own payments were handed over.
        giver, taker: make what gives and what takes containers, when one of them is needed first.
        books: makes answers wait for the rows that they tell of.
    """

    answers = (HandoverExport, HandoverTake, HandoverList, HandoverDrop)

    def __init__(
        self,
        outbox: Outbox,
        queue: PaymentQueue,
        accounts: Accounts,
        promises: Promises,
        handed: Handed,
        giver: Callable[[], Giver],
        taker: Callable[[], Taker],
        books: Books,
    ) -> None:
        self._outbox = outbox
        self._queue = queue
        self._accounts = accounts
        self._promises = promises
        self._handed = handed
        self._giver = giver
        self._taker = taker
        self._books = books

    def command(self, now_us: int, token: int, request: Request) -> None:
        """Do what is asked for; the answer leaves once it is durable."""
        try:
            value = self._answer(now_us, request)
        except (MobileError, LocalProtocolError) as error:
            self._outbox.refuse(token, str(error))
        else:
            self._books.answer(token, value)

    def _answer(self, now_us: int, request: Request) -> dict[str, Any]:
        match request:
            case HandoverExport(ids):
                from .frames import frame_count  # here: few phones ever hand anything over

                given = self._giver().give(now_us, ids)
                return {
                    "container_hex": given.container.hex(),
                    "bytes": len(given.container),
                    "frames": frame_count(len(given.container)),
                    "payments": [self._payment(payment) for payment in given.payments],
                    "promises": [self._promise(promise) for promise in given.promises],
                }
            case HandoverTake(text):
                taken = self._taker().take(now_us, _bytes(text))
                return {
                    "promises": [self._promise(promise) for promise in taken.promises],
                    "payments": [self._payment(payment) for payment in taken.payments],
                    "notes": taken.notes,
                }
            case HandoverList(limit):
                numbers = sorted(self._handed.rows)[-limit:]
                given_ones = [payment for number in numbers if (payment := self._queue.get(number)) is not None]
                promises = sorted(self._promises, key=lambda promise: promise.number)[-limit:]
                return {
                    "given": [self._payment(payment) for payment in given_ones],
                    "taken": [self._promise(promise) for promise in promises],
                }
            case HandoverDrop(identity):
                return self._drop(identity)

    def _drop(self, identity: str) -> dict[str, Any]:
        try:
            promise = self._promises.get(bytes.fromhex(identity))
        except ValueError:
            promise = None
        if promise is None:
            raise HandoverError(f"no payment {identity!a:.80} was handed over to this phone")
        shown = self._promise(promise)
        self._promises.drop(promise)
        return shown

    def _payment(self, payment: Payment) -> dict[str, Any]:
        row = self._handed.rows.get(payment.number)
        return payment.show(test_network=self._accounts.test_network) | {
            "handed_over_us": None if row is None else row.first_us,
            "handed_over_times": 0 if row is None else row.times,
        }

    def _promise(self, promise: Promise) -> dict[str, Any]:
        body = promise.transaction.body
        asset = body.asset if isinstance(body, Transfer) else body.fee_asset
        return show_promise(
            promise,
            self._promises.kept.get(body.sender, asset),
            self._taker().covered(promise),
            test_network=self._accounts.test_network,
        )


def _bytes(text: str) -> bytes:
    if len(text) > 2 * CONTAINER_BYTES_MAX:
        raise HandoverError(f"the hand-over has {len(text) // 2} bytes; at most {CONTAINER_BYTES_MAX} are allowed")
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise HandoverError("the hand-over is not written as hex digits, two for a byte") from None
