"""Transfers: an amount of one asset from the sender's account to another (docs/spec/transactions.md)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from ..base.codec import Agreed, Hash, Key, Positive, Signature, Uint
from ..state.leaves import AssetId
from .kinds import TRANSFER

PAYLOAD_BYTES_MAX = 256

Payload = Annotated[bytes, msgspec.Meta(max_length=PAYLOAD_BYTES_MAX)]
"""Bytes of the sender's choice; no rule reads them."""
Via = Annotated[bytes, msgspec.Meta(max_length=32)]
"""An account, or no bytes for none; `transaction.parse_transaction` refuses other lengths."""


class Transfer(Agreed, tag=TRANSFER, frozen=True):
    """A signed payment.

    Attributes:
        version: layout, 2.
        chain_id: the network that the payment is for.
        sender: account that pays, whose key signs.
        seq: number of this transaction among the sender's, from 0.
        prev: id of the sender's transaction before; zero for the first.
        valid_until_ms: last block time at which it may be executed, Unix time in ms.
        fee_asset: asset that the fee is paid in.
        fee: of `fee_asset`, at least 1, on top of the amount.
        via: account of the edge that is paid for carrying it; empty if none is.
        to: account that is paid; a pool of the protocol cannot be.
        asset: asset that is moved.
        amount: of `asset`, what `to` gets, at least 1.
        payload: up to 256 bytes of the sender's choice; no rule reads them.
        signature: the sender's over the transaction's id.
    """

    version: Literal[2]
    chain_id: Hash
    sender: Key
    seq: Uint
    prev: Hash
    valid_until_ms: Uint
    fee_asset: AssetId
    fee: Positive
    via: Via
    to: Key
    asset: AssetId
    amount: Positive
    payload: Payload
    signature: Signature
