"""Relay receipts: the next hop's word for what a node has carried to it (economics.md 1).

A receipt counts the bytes that `relay` brought from `source` in one window of time. The next hop signs it, so a relay
alone cannot invent one; `counter` grows with each that this hop signs for this relay, so none counts twice.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

from ..base.codec import Agreed, Hash, Key, Positive, Signature, Uint, decode
from ..base.errors import RemoteProtocolError
from ..base.keys import SigningKey
from ..chain.votes import Verify
from .signed import hash_relay_receipt, unsigned_bytes, unsigned_part

RELAY_RECEIPT_BYTES_MAX: Final = 256
"""Longest receipt."""

RawRelayReceipt = Annotated[bytes, msgspec.Meta(min_length=1, max_length=RELAY_RECEIPT_BYTES_MAX)]
"""A field that carries canonical bytes of a `RelayReceipt` that nobody has read yet."""


class RelayReceipt(Agreed, tag="relayed", frozen=True):
    """One receipt.

    Attributes:
        version: layout, 1.
        chain_id: the network.
        relay: node id of who carried.
        source: node id of who gave it to the relay.
        hop: node id of who took it from the relay, and signed.
        carried_bytes: how much, at least 1.
        window: number of the hour since the Unix epoch in which it was taken.
        counter: grows with each receipt that `hop` signs for `relay`.
        signature: by `hop` over all of the above.
    """

    version: Literal[1]
    chain_id: Hash
    relay: Key
    source: Key
    hop: Key
    carried_bytes: Positive
    window: Uint
    counter: Uint
    signature: Signature


def sign_relay_receipt(key: SigningKey, receipt: RelayReceipt) -> RelayReceipt:
    """Return the receipt with the signature of its hop; the one that it has does not matter."""
    return msgspec.structs.replace(receipt, signature=key.sign(hash_relay_receipt(unsigned_bytes(receipt))))


def check_relay_receipt(data: bytes, *, chain_id: bytes, verify: Verify) -> RelayReceipt:
    """Read a receipt that anybody may have made, and check it, the signature last.

    Raises:
        RemoteProtocolError: ``malformed``, ``bad-relay-receipt`` or ``bad-signature``.
    """
    receipt = decode(RelayReceipt, data, bytes_max=RELAY_RECEIPT_BYTES_MAX)
    if receipt.chain_id != chain_id:
        raise _wrong("it is of another network")
    if len(dict.fromkeys((receipt.relay, receipt.source, receipt.hop))) != 3:
        raise _wrong("relay, source and hop are three nodes")
    if not verify(receipt.hop, hash_relay_receipt(unsigned_part(data)), receipt.signature):
        raise RemoteProtocolError("the signature of a relay receipt is wrong", penalty=50, code="bad-signature")
    return receipt


def _wrong(reason: str) -> RemoteProtocolError:
    return RemoteProtocolError(f"a relay receipt is wrong: {reason}", penalty=20, code="bad-relay-receipt")
