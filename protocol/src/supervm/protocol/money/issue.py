"""Issues: a new asset with a fixed supply, all of it to the sender (docs/spec/transactions.md)."""

from __future__ import annotations

from typing import Literal

from ..base.codec import Agreed, Hash, Key, Positive, Signature, Uint
from ..state.leaves import AssetId
from .kinds import ISSUE
from .transfer import Payload, Via


class Issue(Agreed, tag=ISSUE, frozen=True):
    """A signed issue of an asset; the asset's id is the transaction's.

    Attributes:
        version: layout, 2.
        chain_id: the network.
        sender: the issuer, whose key signs and who gets the supply.
        seq: number of this transaction among the sender's, from 0.
        prev: id of the sender's transaction before; zero for the first.
        valid_until_ms: last block time at which it may be executed, Unix time in ms.
        fee_asset: asset that the fee is paid in.
        fee: of `fee_asset`, at least 1.
        via: account of the edge that is paid for carrying it; empty if none is.
        supply: how much of the new asset there is for ever, at least 1.
        payload: up to 256 bytes of the issuer's choice, for example what people call it; no rule reads them.
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
    supply: Positive
    payload: Payload
    signature: Signature
