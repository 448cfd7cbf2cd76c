"""What an L4 keeps on disk: its payments, what it has proved, and the names its payments had before.

A payment's row is written whole. The light client's tables (`light_memory`) see to it that a restarted phone does not
go below a height it has already seen, nor forget whom it has followed and what contradicted it (consensus.md 5).
"""

from __future__ import annotations

from typing import Final

from supervm.common.contract.tables import PrimaryKey, Table, TableRow
from supervm.common.parts.light_tables import TRUST_TABLES
from supervm.common.parts.reach.tables import REACH_TABLES

from .wallet.payments import Payment


class StoredPayment(TableRow, frozen=True):
    """A payment; its fields are those of `Payment`, where some have shorter names.

    It is in the table "payments" until it has its fate, and in "finished" from then on.
    """

    number: PrimaryKey[int]
    account: bytes
    receiver: bytes
    amount: int
    fee: int
    payload: bytes
    valid_until_ms: int
    row_key: str
    created_us: int
    seq: int
    prev: bytes
    tx_id: bytes
    raw: bytes
    released: int
    place: int
    status: str
    reason: str
    result: str
    r0_us: int
    r1_us: int
    r3_us: int
    r4_us: int
    kept: int
    kind: int
    asset: bytes
    fee_asset: bytes
    via: bytes


class ProvedRow(TableRow, frozen=True):
    """An own account as last proved; the fields are those of `Proved`."""

    account: PrimaryKey[bytes]
    balance: int
    next_seq: int
    head: bytes
    flags: int
    height: int
    ts_ms: int


class HoldingRow(TableRow, frozen=True):
    """What an own account has of an asset, as last proved; the fields are those of `Holding`."""

    account: PrimaryKey[bytes]
    asset: PrimaryKey[bytes]
    amount: int
    spent: int
    height: int
    ts_ms: int


class TermsRow(TableRow, frozen=True):
    """What an edge said that it takes: `terms` is its `FeeTerms`. The edge with the highest turn was in use last."""

    edge: PrimaryKey[bytes]
    terms: bytes
    turn: int


class FormerIdRow(TableRow, frozen=True):
    """A transaction id of a finished payment, or one that a payment had before it was signed again."""

    tx_id: PrimaryKey[bytes]
    number: int


class PaymentKeyRow(TableRow, frozen=True):
    """The name that its asker gave a finished payment, and the payment's number."""

    row_key: PrimaryKey[str]
    number: int


class TallyRow(TableRow, frozen=True):
    """How many finished payments an account has of a status; of an empty account the last number that was given."""

    account: PrimaryKey[bytes]
    status: PrimaryKey[str]
    count: int


class OwnAccountRow(TableRow, frozen=True):
    """An account of the wallet, so that a node whose wallet is locked knows whom to follow."""

    number: PrimaryKey[int]
    account: bytes


class ElsewhereRow(TableRow, frozen=True):
    """An account that another device paid from, as a proof of this height and chain time showed."""

    account: PrimaryKey[bytes]
    payments: int
    height: int
    ts_ms: int


class IncomeRow(TableRow, frozen=True):
    """By how much the proved balance of an own account has grown between two proofs (`wallet.income`).

    `is_exact` is 1 where it is all that came in, and 0 where it is the least of it.
    """

    number: PrimaryKey[int]
    account: bytes
    asset: bytes
    amount: int
    is_exact: int
    since_height: int
    height: int
    ts_ms: int


class ContactRow(TableRow, frozen=True):
    """What the owner calls an account, and whether its balance is watched (1) or not (0)."""

    account: PrimaryKey[bytes]
    name: str
    note: str
    watched: int


class LeafProofRow(TableRow, frozen=True):
    """The newest proof of an account that is handed on with payments; the fields are those of `KeptProof`."""

    account: PrimaryKey[bytes]
    asset: PrimaryKey[bytes]
    checkpoint: bytes
    proof: bytes
    amount: int
    next_seq: int
    head: bytes
    height: int
    ts_ms: int


class PromiseRow(TableRow, frozen=True):
    """A payment of somebody else that this phone was handed; the fields are those of `Promise`."""

    tx_id: PrimaryKey[bytes]
    number: int
    raw: bytes
    status: str
    result: str
    reason: str
    taken_us: int
    done_us: int
    receipt: bytes


class HandedRow(TableRow, frozen=True):
    """An own payment that was handed over: its number, when it was first, and how often."""

    number: PrimaryKey[int]
    first_us: int
    times: int


PAYMENTS: Final = Table("payments", StoredPayment)
PROVED: Final = Table("proved", ProvedRow)
HOLDINGS: Final = Table("holdings", HoldingRow)
FORMER_IDS: Final = Table("former_ids", FormerIdRow)
EDGE_TERMS: Final = Table("edge_terms", TermsRow)
FINISHED: Final = Table("finished", StoredPayment)
PAYMENT_KEYS: Final = Table("payment_keys", PaymentKeyRow)
TALLIES: Final = Table("tallies", TallyRow)
OWN_ACCOUNTS: Final = Table("own_accounts", OwnAccountRow)
ELSEWHERE: Final = Table("elsewhere", ElsewhereRow)
INCOME: Final = Table("income", IncomeRow)
CONTACTS: Final = Table("contacts", ContactRow)
LEAF_PROOFS: Final = Table("leaf_proofs", LeafProofRow)
PROMISES: Final = Table("promises", PromiseRow)
HANDED: Final = Table("handed", HandedRow)

PAYMENT_TABLES: Final = (
    PAYMENTS,
    PROVED,
    HOLDINGS,
    FORMER_IDS,
    FINISHED,
    PAYMENT_KEYS,
    TALLIES,
    OWN_ACCOUNTS,
    ELSEWHERE,
    INCOME,
)
"""Tables of the queue of payments."""

HANDOVER_TABLES: Final = (LEAF_PROOFS, PROMISES, HANDED)
"""Tables of what is handed from phone to phone."""


class TakingPartRow(TableRow, frozen=True):
    """What the owner wants this phone to do for others, and what it has done.

    Attributes:
        number: 0.
        mode: the owner's word; empty: that of the configuration.
        battery_percent_min: below this charge it does nothing for others.
        on_battery: 1 if it may carry for others while it does not charge.
        data_mib_per_day_max: most data of others in a day; 0: no bound.
        asked: questions of others for records.
        found: those to which something was known.
        carried: what of others was given on.
        carried_bytes: of these.
        day: the day of `day_bytes`, days of Unix time.
        day_bytes: of others, on that day.
    """

    number: PrimaryKey[int]
    mode: str = ""
    battery_percent_min: int = 0
    on_battery: int = 1
    data_mib_per_day_max: int = 0
    asked: int = 0
    found: int = 0
    carried: int = 0
    carried_bytes: int = 0
    day: int = 0
    day_bytes: int = 0


TAKING_PART: Final = Table("taking_part", TakingPartRow)

TABLES: Final = (*PAYMENT_TABLES, EDGE_TERMS, CONTACTS, *TRUST_TABLES, *HANDOVER_TABLES, *REACH_TABLES, TAKING_PART)
"""Tables of an L4 node."""


def payment_row(payment: Payment) -> StoredPayment:
    """Return the row of a payment."""
    return StoredPayment(
        number=payment.number,
        account=payment.account,
        receiver=payment.to,
        amount=payment.amount,
        fee=payment.fee,
        payload=payment.payload,
        valid_until_ms=payment.valid_until_ms,
        row_key=payment.key,
        created_us=payment.created_us,
        seq=payment.seq,
        prev=payment.prev,
        tx_id=payment.id,
        raw=payment.raw,
        released=int(payment.released),
        place=payment.place,
        status=payment.status,
        reason=payment.reason,
        result=payment.result,
        r0_us=payment.r0_us,
        r1_us=payment.r1_us,
        r3_us=payment.r3_us,
        r4_us=payment.r4_us,
        kept=int(payment.kept),
        kind=payment.kind,
        asset=payment.asset,
        fee_asset=payment.fee_asset,
        via=payment.via,
    )


def read_payment(row: StoredPayment) -> Payment:
    """Return the payment of a stored row."""
    return Payment(
        number=row.number,
        account=row.account,
        to=row.receiver,
        amount=row.amount,
        fee=row.fee,
        payload=row.payload,
        valid_until_ms=row.valid_until_ms,
        key=row.row_key,
        created_us=row.created_us,
        seq=row.seq,
        prev=row.prev,
        id=row.tx_id,
        raw=row.raw,
        released=bool(row.released),
        place=row.place,
        status=row.status,
        reason=row.reason,
        result=row.result,
        r0_us=row.r0_us,
        r1_us=row.r1_us,
        r3_us=row.r3_us,
        r4_us=row.r4_us,
        kept=bool(row.kept),
        kind=row.kind,
        asset=row.asset,
        fee_asset=row.fee_asset,
        via=row.via,
    )
