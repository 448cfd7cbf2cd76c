"""What a phone checks of its payments' rows before it goes on with them: a disk may give back something else.

SQLite tells a torn page and not a changed byte. A signed payment tells on itself: its bytes hold all that was asked for
and the id that they hash to, so its row is held against them. What is not signed yet is held against the bounds of a
request; within them a changed amount cannot be seen. A signature is not checked again, which would cost a start 0.1 ms
for each payment: the edge does that, and refuses it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from supervm.protocol.base.codec import INT_MAX
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.base.hashing import HASH_BYTES, ZERO_HASH
from supervm.protocol.money.kinds import ISSUE, TRANSFER
from supervm.protocol.money.transaction import parse_transaction
from supervm.protocol.money.transfer import Transfer

from ..errors import PaymentError
from .lane import Proved
from .payments import AWAITING, FATES, KIND_NAMES, LIVE, PROGRESS, REFUSED, Payment, check_request

NUMBERS_MAX: Final = 1 << 32
"""No phone gives as many payments a number."""
GAP_MAX: Final = 1_000_000
"""Numbers that may have been given to payments that are neither open nor counted; there should be none."""
WINDOW_MAX: Final = 1 << 32
"""More slots than any wallet uses after the proved one."""
_DAMAGED: Final = "the disk gave back something else of this payment than was written; a backup may have it"


def mended(payment: Payment) -> Payment:
    """Return a finished payment as it can be shown: as it is, or with the fault said and what is impossible left out.

    Nothing is decided by a finished payment any more, so a damaged one is no reason to stop.
    """
    names_fit = len(payment.account) == len(payment.to) == HASH_BYTES and len(payment.asset) in (0, HASH_BYTES)
    if (
        names_fit
        and payment.kind in KIND_NAMES
        and payment.status in FATES
        and len(payment.fee_asset) in (0, HASH_BYTES)
    ):
        return payment
    return replace(
        payment,
        account=payment.account if len(payment.account) == HASH_BYTES else ZERO_HASH,
        to=payment.to if len(payment.to) == HASH_BYTES else ZERO_HASH,
        kind=payment.kind if payment.kind in KIND_NAMES else TRANSFER,
        asset=payment.asset if len(payment.asset) in (0, HASH_BYTES) else ZERO_HASH,
        fee_asset=payment.fee_asset if len(payment.fee_asset) in (0, HASH_BYTES) else ZERO_HASH,
        status=payment.status if payment.status in FATES else REFUSED,
        reason=_DAMAGED,
    )


def check_numbers(last_number: int, payments: int) -> None:
    """Check the last number that was given against how many payments there are.

    Raises:
        LocalProtocolError: it is far from them.
    """
    if not 0 <= last_number <= min(NUMBERS_MAX, payments + GAP_MAX):
        raise LocalProtocolError(
            f"the last payment has number {last_number}, and {payments} payments are known: the tables payments and "
            "tallies do not fit together"
        )


def check_proved(proved: Proved) -> None:
    """Check what was proved of an own account: payments are signed for the slot that it names.

    Raises:
        LocalProtocolError: no account is like that.
    """
    numbers = (proved.balance, proved.next_seq, proved.next_seq + WINDOW_MAX, proved.height, proved.ts_ms)
    if len(proved.head) != HASH_BYTES or not all(0 <= number <= INT_MAX for number in numbers):
        raise LocalProtocolError("a row of the table proved is not as it was written: no account is like that")


def check_open(payments: Iterable[Payment], chain_id: bytes) -> None:
    """Check the rows of open payments.

    Args:
        payments: as they were read.
        chain_id: the network.

    Raises:
        LocalProtocolError: a row that no phone has written; its number and what is wrong with it.
    """
    for payment in payments:
        problem = _flaw(payment) or (_unlike(payment, chain_id) if payment.raw else _unnamed(payment))
        if problem:
            raise LocalProtocolError(f"row {payment.number} of the table payments is not as it was written: {problem}")


def _flaw(payment: Payment) -> str:
    try:
        if not 0 < payment.number <= NUMBERS_MAX:
            return "its number is out of bounds"
        if payment.kind not in KIND_NAMES:
            return f"{payment.kind} is no kind of payment"
        check_request(payment)
    except PaymentError as error:
        return str(error)
    times = (payment.created_us, payment.r0_us, payment.r1_us, payment.r3_us, payment.r4_us, payment.seq)
    if not all(0 <= value <= INT_MAX for value in times):
        return "a time or a place in the chain is out of bounds"
    if payment.place not in (LIVE, AWAITING) or payment.status not in (*PROGRESS, *FATES) or payment.result:
        return f"place {payment.place} and status {payment.status!a:.20} are none of an open payment"
    if any(len(value) not in (0, HASH_BYTES) for value in (payment.asset, payment.fee_asset, payment.via, payment.id)):
        return "an asset, an edge or an id has another length than these have"
    return "" if len(payment.account) == len(payment.prev) == HASH_BYTES else "its account or its predecessor is none"


def _unnamed(payment: Payment) -> str:
    is_signed = payment.id or payment.released or payment.place == AWAITING
    return "it was released, and its transaction is missing" if is_signed else ""


def _unlike(payment: Payment, chain_id: bytes) -> str:
    """Say that the signed bytes are not of this row; empty if they are."""
    try:
        transaction = parse_transaction(payment.raw, chain_id)
    except RemoteProtocolError as error:
        return f"its transaction cannot be read: {error.reason}"
    body = transaction.body
    signed = (body.sender, body.seq, body.prev, body.fee, body.fee_asset, body.via, body.payload, body.valid_until_ms)
    row = (
        payment.account,
        payment.seq,
        payment.prev,
        payment.fee,
        payment.fee_asset,
        payment.via,
        payment.payload,
        payment.valid_until_ms,
    )
    if isinstance(body, Transfer):
        same = payment.kind != ISSUE and (body.to, body.amount, body.asset) == (
            payment.to,
            payment.amount,
            payment.asset,
        )
    else:
        same = payment.kind == ISSUE and body.supply == payment.amount
    return "" if same and signed == row and transaction.id == payment.id else "it says something else than was signed"
