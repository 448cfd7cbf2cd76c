"""Transactions: what every kind has in common, how they are read and how they are signed.

A transaction is signed by its sender and chained to the sender's previous one. It names its slot: `seq` counts the
sender's transactions from 0 and `prev` is the id of the one before (32 zero bytes for the first). Whoever executes
transaction k has therefore executed exactly the chain the sender signed (consensus.md 3.1, 3.2). `valid_until_ms` is
chain time: the block's timestamp, never a local clock (3.9.1).

The canonical bytes of the signed form are an array that begins with the kind's number and ends with the signature.
Dropping the last element and lowering the array header by one gives the bytes that are hashed into the id. The
signature is over that 32-byte id.

`via` names the edge that brings the transaction, by the account that its share of the fee is paid to. The sender signs
it, so no miner can put another one there; an edge that is not named may decline to carry the transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from ..base.codec import decode, encode
from ..base.errors import RemoteProtocolError
from ..base.hashing import HASH_BYTES, hash_transaction
from ..base.keys import SigningKey
from ..state.leaves import NATIVE, check_asset
from .issue import Issue
from .kinds import ISSUE, TRANSFER, reserved_for
from .transfer import Transfer

TRANSACTION_BYTES_MAX: Final = 640
"""Upper bound of the canonical bytes of every kind; the longest transfer takes 602."""
TRANSACTION_BYTES_MIN: Final = 168
"""Lower bound of the same, by what every kind has: three of 34 bytes (the chain, the sender, the transaction before)
and a signature of 66. The shortest in use takes 178. A list of entries cannot hold more of them than its bytes pay for:
what reading costs goes by bytes, and an entry costs a reader 52 bytes however short it is."""
RawTransaction = Annotated[bytes, msgspec.Meta(min_length=TRANSACTION_BYTES_MIN, max_length=TRANSACTION_BYTES_MAX)]
"""A field that carries canonical signed bytes, which nobody has read yet."""

Kind = Transfer | Issue
"""Every kind of transaction there is."""
KINDS: Final[dict[int, type[Kind]]] = {TRANSFER: Transfer, ISSUE: Issue}
"""By number."""

_SIGNATURE_ITEM_BYTES = 66  # two bytes of CBOR head and 64 of signature
_HEAD_OF_VERSION_1 = b"\x8c\x68transfer\x01"
_ARRAY, _IMMEDIATE = 4, 24  # major type of CBOR; numbers below 24 take one byte

_HEADS_UNSIGNED = [bytes([(byte - 1) & 0xFF]) for byte in range(256)]  # of arrays, by those with the signature
_NAME_BYTES = (0, HASH_BYTES)  # lengths of what names an asset or an account, or none

Debits = tuple[tuple[bytes, int], ...]
"""(asset, what leaves the sender of it), each asset once."""


class SignedTransaction(msgspec.Struct, frozen=True, gc=False):
    """A parsed transaction with its canonical bytes and its id, so that neither is computed twice."""

    body: Kind
    raw: bytes
    id: bytes

    @property
    def debits(self) -> Debits:
        """What leaves the sender if it is executed, by asset."""
        return debits_of(self.body)


def debits_of(body: Kind) -> Debits:
    """Return what leaves the sender if the transaction is executed: each asset once, the moved one first."""
    if not isinstance(body, Transfer):
        return ((body.fee_asset, body.fee),)
    if body.asset == body.fee_asset:
        return ((body.asset, body.amount + body.fee),)
    return ((body.asset, body.amount), (body.fee_asset, body.fee))


def transaction_id(raw: bytes) -> bytes:
    """Return the id of the transaction whose canonical signed bytes are `raw`; of any other bytes, some hash."""
    head = _HEADS_UNSIGNED[raw[0]] if raw else b""
    return hash_transaction(head + raw[1:-_SIGNATURE_ITEM_BYTES])


def parse_transaction(raw: bytes, chain_id: bytes) -> SignedTransaction:
    """Read canonical signed bytes; the signature itself is not checked here.

    Raises:
        RemoteProtocolError: malformed (code ``malformed``), of a kind or version that is not in use (code
            ``unknown-kind``), or signed for another chain (code ``wrong-chain``).
    """
    kind = KINDS.get(raw[1]) if len(raw) > 1 else None
    if kind is None:
        raise _unknown(raw)
    body: Kind = decode(kind, raw, bytes_max=TRANSACTION_BYTES_MAX)
    if body.chain_id != chain_id:
        raise RemoteProtocolError("the transaction is signed for another chain", code="wrong-chain")
    if len(body.fee_asset) not in _NAME_BYTES:
        check_asset(body.fee_asset)
    if isinstance(body, Transfer) and len(body.asset) not in _NAME_BYTES:
        check_asset(body.asset)
    if len(body.via) not in _NAME_BYTES:
        raise RemoteProtocolError(f"via is an account of 32 bytes, or empty; this one has {len(body.via)}")
    return SignedTransaction(body, raw, hash_transaction(_HEADS_UNSIGNED[raw[0]] + raw[1:-_SIGNATURE_ITEM_BYTES]))


def _unknown(raw: bytes) -> RemoteProtocolError:
    """Say what bytes are that begin like no kind in use: too many, of version 1, of another kind, or anything."""
    if len(raw) > TRANSACTION_BYTES_MAX:
        return RemoteProtocolError(f"a transaction has {len(raw)} bytes; at most {TRANSACTION_BYTES_MAX} are allowed")
    if raw.startswith(_HEAD_OF_VERSION_1):
        return RemoteProtocolError(
            "the transaction is of version 1 of the protocol; this release reads version 2", code="unknown-kind"
        )
    number = raw[1] if len(raw) > 1 and raw[0] >> 5 == _ARRAY else _IMMEDIATE
    if number >= _IMMEDIATE:
        return RemoteProtocolError(f"the bytes are no transaction: they begin with {raw[:2].hex() or 'nothing'}")
    known = ", ".join(f"{known} {kind.__name__.lower()}" for known, kind in KINDS.items())
    subject = reserved_for(number)
    note = f", which is reserved for {subject}," if subject else ""
    return RemoteProtocolError(f"a transaction of kind {number}{note} is not known here: {known}", code="unknown-kind")


def _signed(key: SigningKey, blank: Kind) -> SignedTransaction:
    raw = encode(blank)
    raw = raw[: -_SIGNATURE_ITEM_BYTES + 2] + key.sign(transaction_id(raw))
    return parse_transaction(raw, blank.chain_id)


def sign_transfer(
    key: SigningKey,
    *,
    chain_id: bytes,
    seq: int,
    prev: bytes,
    to: bytes,
    amount: int,
    fee: int,
    valid_until_ms: int,
    asset: bytes = NATIVE,
    fee_asset: bytes = NATIVE,
    via: bytes = b"",
    payload: bytes = b"",
) -> SignedTransaction:
    """Build and sign a transfer from `key`'s account; bounds are those of `Transfer`.

    Raises:
        RemoteProtocolError: a field is out of its bounds (the same check a receiver makes).
    """
    return _signed(
        key,
        Transfer(
            2,
            chain_id,
            key.public,
            seq,
            prev,
            valid_until_ms,
            fee_asset,
            fee,
            via,
            to,
            asset,
            amount,
            payload,
            bytes(64),
        ),
    )


def sign_issue(
    key: SigningKey,
    *,
    chain_id: bytes,
    seq: int,
    prev: bytes,
    supply: int,
    fee: int,
    valid_until_ms: int,
    fee_asset: bytes = NATIVE,
    via: bytes = b"",
    payload: bytes = b"",
) -> SignedTransaction:
    """Build and sign an issue by `key`'s account; bounds are those of `Issue`. The new asset's id is its id.

    Raises:
        RemoteProtocolError: a field is out of its bounds (the same check a receiver makes).
    """
    return _signed(
        key,
        Issue(
            2,
            chain_id,
            key.public,
            seq,
            prev,
            valid_until_ms,
            fee_asset,
            fee,
            via,
            supply,
            payload,
            bytes(64),
        ),
    )


def signature_items(transactions: Sequence[SignedTransaction]) -> list[tuple[bytes, bytes, bytes]]:
    """Return (public key, message, signature) of each transaction, as `keys.verify_many` takes them."""
    return [(item.body.sender, item.id, item.body.signature) for item in transactions]
