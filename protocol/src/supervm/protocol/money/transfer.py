"""Transactions: the one kind of transaction, signed by its sender and chained to the sender's previous one.

A transaction names its slot: `seq` counts the sender's transactions from 0 and `prev` is the id of the one before
(32 zero bytes for the first). Whoever executes transaction k has therefore executed exactly the chain the sender signed
(consensus.md 3.1, 3.2). `valid_until_ms` is chain time: the block's timestamp, never a local clock (3.9.1).

The canonical bytes of the signed form are an array of twelve; dropping the last element (the signature) and lowering
the array header by one gives the bytes that are hashed into the id. The signature is over that 32-byte id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from ..base.codec import Agreed, Hash, Key, Positive, Signature, Uint, decode, encode
from ..base.errors import RemoteProtocolError
from ..base.hashing import hash_transaction
from ..base.keys import SigningKey

PAYLOAD_BYTES_MAX = 256
TRANSACTION_BYTES_MAX = 640
"""Upper bound of the canonical bytes: 12 elements at their widest, the payload included, take 508."""

_UNSIGNED_HEAD = b"\x8b"  # CBOR array of 11: kind, version and 9 fields; the signature makes it 12
_SIGNATURE_ITEM_BYTES = 66  # two bytes of CBOR head and 64 of signature


class Transfer(Agreed, tag="transfer", frozen=True):
    """A signed payment.

    Attributes:
        version: layout, 1.
        chain_id: the network that the payment is for.
        sender: account that pays, whose key signs.
        seq: number of this transaction among the sender's, from 0.
        prev: id of the sender's transaction before; zero for the first.
        to: account that is paid; a pool of the protocol cannot be.
        amount: grain that `to` gets, at least 1.
        fee: grain that the sender pays on top, at least 1.
        valid_until_ms: last block time at which it may be executed, Unix time in ms.
        payload: up to 256 bytes of the sender's choice; no rule reads them.
        signature: the sender's over the transaction's id.
    """

    version: Literal[1]
    chain_id: Hash
    sender: Key
    seq: Uint
    prev: Hash
    to: Key
    amount: Positive
    fee: Positive
    valid_until_ms: Uint
    payload: Annotated[bytes, msgspec.Meta(max_length=PAYLOAD_BYTES_MAX)]
    signature: Signature


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """A parsed transaction with its canonical bytes and its id, so that neither is computed twice."""

    body: Transfer
    raw: bytes
    id: bytes

    @property
    def debit(self) -> int:
        """Grain that leaves the sender: amount and fee."""
        return self.body.amount + self.body.fee


def transaction_id(raw: bytes) -> bytes:
    """Return the id of the transaction whose canonical signed bytes are `raw`."""
    return hash_transaction(_UNSIGNED_HEAD + raw[1:-_SIGNATURE_ITEM_BYTES])


def parse_transaction(raw: bytes, chain_id: bytes) -> SignedTransaction:
    """Read canonical signed bytes; the signature itself is not checked here.

    Raises:
        RemoteProtocolError: malformed (code ``malformed``) or signed for another chain (code ``wrong-chain``).
    """
    body = decode(Transfer, raw, bytes_max=TRANSACTION_BYTES_MAX)
    if body.chain_id != chain_id:
        raise RemoteProtocolError("the transaction is signed for another chain", code="wrong-chain")
    return SignedTransaction(body, raw, transaction_id(raw))


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
    payload: bytes = b"",
) -> SignedTransaction:
    """Build and sign a transaction from `key`'s account; bounds are those of `Transfer`.

    Raises:
        RemoteProtocolError: a field is out of its bounds (the same check a receiver makes).
    """
    blank = Transfer(1, chain_id, key.public, seq, prev, to, amount, fee, valid_until_ms, payload, bytes(64))
    raw = encode(blank)
    identity = transaction_id(raw)
    raw = raw[: -_SIGNATURE_ITEM_BYTES + 2] + key.sign(identity)
    return parse_transaction(raw, chain_id)


def signature_items(transactions: Sequence[SignedTransaction]) -> list[tuple[bytes, bytes, bytes]]:
    """Return (public key, message, signature) of each transaction, as `keys.verify_many` takes them."""
    return [(item.body.sender, item.id, item.body.signature) for item in transactions]
