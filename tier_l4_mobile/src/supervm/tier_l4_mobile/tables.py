"""What an L4 keeps on disk: its payments, what it has proved, and the names its payments had before.

A payment's row is written whole. The light client's tables (`light_memory`) see to it that a restarted phone does not
go below a height it has already seen, nor forget whom it has followed and what contradicted it (consensus.md 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from supervm.common.contract.records import Column, Put, TableSpec
from supervm.common.parts.light_memory import TRUST_TABLES

from .wallet.payments import Payment

_PAYMENT_COLUMNS = (
    Column("account", "bytes"),
    Column("receiver", "bytes"),
    Column("amount", "int"),
    Column("fee", "int"),
    Column("payload", "bytes"),
    Column("valid_until_ms", "int"),
    Column("row_key", "text"),
    Column("created_us", "int"),
    Column("seq", "int"),
    Column("prev", "bytes"),
    Column("tx_id", "bytes"),
    Column("raw", "bytes"),
    Column("released", "int"),
    Column("place", "int"),
    Column("status", "text"),
    Column("reason", "text"),
    Column("result", "text"),
    Column("r0_us", "int"),
    Column("r1_us", "int"),
    Column("r3_us", "int"),
    Column("r4_us", "int"),
    Column("kept", "int"),
)

PAYMENT_TABLES = (
    TableSpec("payments", (Column("number", "int"),), _PAYMENT_COLUMNS),
    TableSpec(
        "proved",
        (Column("account", "bytes"),),
        (
            Column("balance", "int"),
            Column("next_seq", "int"),
            Column("head", "bytes"),
            Column("flags", "int"),
            Column("height", "int"),
            Column("ts_ms", "int"),
        ),
    ),
    TableSpec("former_ids", (Column("tx_id", "bytes"),), (Column("number", "int"),)),
)
"""Tables of the queue of payments."""

TABLES = (*PAYMENT_TABLES, *TRUST_TABLES)
"""Tables of an L4 node."""


def payment_row(payment: Payment) -> Put:
    """Return the record of a payment."""
    return Put(
        "payments",
        (payment.number,),
        (
            payment.account,
            payment.to,
            payment.amount,
            payment.fee,
            payment.payload,
            payment.valid_until_ms,
            payment.key,
            payment.created_us,
            payment.seq,
            payment.prev,
            payment.id,
            payment.raw,
            int(payment.released),
            payment.place,
            payment.status,
            payment.reason,
            payment.result,
            payment.r0_us,
            payment.r1_us,
            payment.r3_us,
            payment.r4_us,
            int(payment.kept),
        ),
    )


def read_payment(key: Sequence[Any], values: Sequence[Any]) -> Payment:
    """Return the payment of a stored row."""
    payment = Payment(int(key[0]), *values)
    payment.released, payment.kept = bool(payment.released), bool(payment.kept)
    return payment
