"""One payment of this phone: what its owner asked for, the transaction it became, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from supervm.protocol.base.address import encode_address
from supervm.protocol.base.codec import INT_MAX
from supervm.protocol.base.hashing import HASH_BYTES, ZERO_HASH
from supervm.protocol.money.kinds import ISSUE, TRANSFER
from supervm.protocol.money.transaction import Debits
from supervm.protocol.money.transfer import PAYLOAD_BYTES_MAX
from supervm.protocol.state.account import POOL_ACCOUNTS
from supervm.protocol.state.leaves import NATIVE, write_asset

from ..errors import PaymentError

QUEUED, R0, R1, R3, R4 = "queued", "R0", "R1", "R3", "R4"
LEVELS = (R0, R1, R3, R4)
"""How far a payment has come, in order: each implies those before it."""
REFUSED, EXPIRED, CANCELLED = "refused", "expired", "cancelled"
FATES = (R4, REFUSED, EXPIRED, CANCELLED)
"""Statuses that end a payment (decisions.md, Statuses)."""

PROGRESS = {QUEUED: 0, R0: 1, R1: 2, R3: 3}
"""Statuses on the way and their order; claims of an edge only ever raise them."""

EXECUTED, FAILED = "executed", "failed"
"""What the chain did with a payment at R4; empty before."""

CLOSED, LIVE, AWAITING = 0, 1, 2
"""Place of a payment: out of the queue; in its account's chain; its slot is used and its receipt must tell by what."""

KIND_NAMES = {TRANSFER: "transfer", ISSUE: "issue"}
"""What each kind of payment is called where it is shown."""

KEY_CHARS_MAX = 128
"""Longest name an asker may give a payment."""


@dataclass(slots=True)
class Payment:
    """A row of the queue.

    Attributes:
        number: 1, 2, ... in the order of asking; the payment's name on this phone, whatever happens to its transaction.
        account: the payer.
        to: the receiver; of an issue the payer itself, who gets the supply.
        amount: of `asset`, >= 1; of an issue the supply.
        fee: of `fee_asset`, >= 1.
        payload: up to 256 bytes.
        valid_until_ms: chain time after which it can no longer execute.
        key: the asker's own name for it, or empty; the same name never makes a second payment.
        created_us: when it was asked for.
        seq, prev, id, raw: slot, name and canonical bytes of its transaction; `raw` is empty while it is unsigned.
        released: whether its bytes may have left the phone; never goes back (consensus.md 3.8, T16).
        place: `CLOSED`, `LIVE` or `AWAITING`.
        status: one of decisions.md, Statuses.
        reason: why it was refused, expired or waits; empty when there is nothing to say.
        result: `EXECUTED`, `FAILED` or empty.
        r0_us, r1_us, r3_us, r4_us: when it was first seen at each level or above; 0 for never.
        kept: its owner wants it to stay on this device for now, and so what comes after it.
        kind: `TRANSFER` or `ISSUE`.
        asset: what is moved; of an issue nothing is, and the new asset is named by `id`.
        fee_asset: what the fee is paid in.
        via: account of the edge that its transaction names for the edge's share of the fee; empty for none.
    """

    number: int
    account: bytes
    to: bytes
    amount: int
    fee: int
    payload: bytes
    valid_until_ms: int
    key: str
    created_us: int
    seq: int = 0
    prev: bytes = ZERO_HASH
    id: bytes = b""
    raw: bytes = b""
    released: bool = False
    place: int = LIVE
    status: str = QUEUED
    reason: str = ""
    result: str = ""
    r0_us: int = 0
    r1_us: int = 0
    r3_us: int = 0
    r4_us: int = 0
    kept: bool = False
    kind: int = TRANSFER
    asset: bytes = NATIVE
    fee_asset: bytes = NATIVE
    via: bytes = b""

    @property
    def debits(self) -> Debits:
        """What it takes from the payer, by asset (`transaction.debits_of`)."""
        if self.kind == ISSUE:
            return ((self.fee_asset, self.fee),)
        if self.asset == self.fee_asset:
            return ((self.asset, self.amount + self.fee),)
        return ((self.asset, self.amount), (self.fee_asset, self.fee))

    @property
    def asset_text(self) -> str | None:
        """The asset that `amount` is of, as text; None for an issue that is not signed, which has no id yet."""
        if self.kind == ISSUE:
            return self.id.hex() or None
        return write_asset(self.asset)

    @property
    def label(self) -> str:
        """Its id as text: the transaction's, or ``row-N`` while there is none."""
        return self.id.hex() if self.id else f"row-{self.number}"

    def show(self, *, test_network: bool) -> dict[str, Any]:
        """Return what the control socket and ``--json`` say of it; latencies in ms since it was asked for."""
        return {
            "number": self.number,
            "id": self.label,
            "from": encode_address(self.account, test=test_network),
            "to": encode_address(self.to, test=test_network),
            "kind": KIND_NAMES[self.kind],
            "asset": self.asset_text,
            "amount": self.amount,
            "fee_asset": write_asset(self.fee_asset),
            "fee": self.fee,
            "status": self.status,
            "reason": self.reason or None,
            "result": self.result or None,
            "proof_verified": self.status == R4,
            "released": self.released,
            "kept": self.kept,
            "seq": self.seq if self.raw else None,
            "valid_until_ms": self.valid_until_ms,
            "key": self.key or None,
            "created_us": self.created_us,
            "latency_ms": {
                name: (at_us - self.created_us) / 1000 if at_us else None
                for name, at_us in (("r0", self.r0_us), ("r1", self.r1_us), ("r3", self.r3_us), ("r4", self.r4_us))
            },
        }

    def reached(self, status: str, now_us: int) -> None:
        """Set `status` and, for a level, the time it was first seen; it shows the levels below it as well.

        A proof may overtake the news of lower levels: they come from the miner that batched the payment, the proof
        from any. Without a time for these levels their percentiles would be those of the other payments only.
        """
        self.status = status
        if status in LEVELS:
            height = LEVELS.index(status)
            self.r0_us = self.r0_us or now_us
            if height >= 1:
                self.r1_us = self.r1_us or now_us
            if height >= 2:
                self.r3_us = self.r3_us or now_us
            if height >= 3:
                self.r4_us = self.r4_us or now_us


def in_words(amount: int, asset: bytes) -> str:
    """Return an amount for people: grain of the native asset, else units of the one that is named."""
    return f"{amount} of {asset.hex()}" if asset else f"{amount} grain"


def check_request(payment: Payment) -> None:
    """Check the bounds of what is asked for, so that signing it cannot fail.

    Raises:
        PaymentError: what is out of bounds, and what is allowed.
    """
    is_issue, key = payment.kind == ISSUE, payment.key
    for name, value in (("supply" if is_issue else "amount", payment.amount), ("fee", payment.fee)):
        if not 1 <= value <= INT_MAX:
            raise PaymentError(f"the {name} is {value}; 1 to {INT_MAX} are allowed")
    for asset, debit in payment.debits:
        if debit > INT_MAX:
            raise PaymentError(f"amount and fee are {in_words(debit, asset)} together; at most {INT_MAX} are allowed")
    if len(payment.payload) > PAYLOAD_BYTES_MAX:
        raise PaymentError(f"the payload has {len(payment.payload)} bytes; at most {PAYLOAD_BYTES_MAX} are allowed")
    if not is_issue and (len(payment.to) != HASH_BYTES or payment.to in POOL_ACCOUNTS):
        raise PaymentError("the receiver is not an account that can be paid")
    if not 0 <= payment.valid_until_ms <= INT_MAX:
        raise PaymentError(f"the validity {payment.valid_until_ms} is not a time in ms")
    if len(key) > KEY_CHARS_MAX or printable(key) != key:
        raise PaymentError(f"the key {key!r:.150} is not allowed: at most {KEY_CHARS_MAX} printable characters are")


def check_logged(amount: int, fee: int, key: str) -> None:
    """Check that a refused request fits a row of the log, whatever else was wrong with it.

    Raises:
        PaymentError: it does not.
    """
    if not (abs(amount) <= INT_MAX and abs(fee) <= INT_MAX):
        raise PaymentError(f"amount and fee are at most {INT_MAX}")
    if printable(key) != key:
        raise PaymentError("the key holds characters that cannot be printed")


def printable(text: str) -> str:
    """Return `text` with ``?`` for what a terminal or a database would not take; a peer may have written it."""
    return text if text.isprintable() else "".join(letter if letter.isprintable() else "?" for letter in text)
