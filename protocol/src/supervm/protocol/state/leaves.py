"""Leaf ids: what the state has leaves of, and how each is named (docs/spec/state.md).

A leaf id is one domain byte and then what the domain says, and the trie key is the hash of the whole id. So leaves of
two kinds never share a key, and a kind that comes later changes no existing one. The domains:

====== ======== ===================================== =============
byte   kind     after it                              value
====== ======== ===================================== =============
1      account  account id, 32 bytes                  `AccountLeaf`
2      holding  account id, asset id: 64 bytes        `HoldingLeaf`
3      asset    asset id, 32 bytes                    `AssetLeaf`
4      object   reserved
5      code     reserved
6      name     reserved
====== ======== ===================================== =============

The native asset has no id of 32 bytes: it is written as no bytes at all (`NATIVE`), it has no asset leaf, and what an
account holds of it stands in the account's own leaf. Most payments move it, and each names two assets.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from ..base.codec import Agreed, Key, Positive, decode, encode
from ..base.errors import LocalProtocolError, RemoteProtocolError
from ..base.hashing import HASH_BYTES, hasher

NATIVE: Final = b""
"""The id of the asset that every network has from the start."""
NATIVE_NAME: Final = "svm"
"""How people write it where an asset is asked for."""

ACCOUNT: Final = 1
HOLDING: Final = 2
ASSET: Final = 3
RESERVED: Final = {4: "object", 5: "code", 6: "name"}
"""Domain bytes that are spoken for and not in use."""

LEAF_ID_BYTES_MIN: Final = 1 + HASH_BYTES
LEAF_ID_BYTES_MAX: Final = 1 + 2 * HASH_BYTES

LeafId = Annotated[bytes, msgspec.Meta(min_length=LEAF_ID_BYTES_MIN, max_length=LEAF_ID_BYTES_MAX)]
"""A leaf id as agreed objects and messages carry it; `parse_leaf_id` checks its form."""
AssetId = Annotated[bytes, msgspec.Meta(max_length=HASH_BYTES)]
"""An asset's id: 32 bytes, or none for the native one; `check_asset` refuses other lengths."""

hash_leaf_id = hasher(b"svm.leafkey")
"""The trie key of a leaf id."""


class LeafName(NamedTuple):
    """A leaf id in its parts; what its kind does not have is empty."""

    kind: int
    account: bytes
    asset: bytes


class HoldingLeaf(Agreed, tag="holding", frozen=True):
    """What an account holds of an asset other than the native one; with nothing left the leaf is gone.

    Attributes:
        version: layout, 1.
        amount: of the asset's smallest unit, at least 1.
    """

    version: Literal[1]
    amount: Positive


class AssetLeaf(Agreed, tag="asset", frozen=True):
    """An asset that was issued; it stays as it is for ever.

    Attributes:
        version: layout, 1.
        issuer: account that issued it; in genesis, the one that is named there.
        supply: all of it there is, at least 1.
    """

    version: Literal[1]
    issuer: Key
    supply: Positive


class Asset(NamedTuple):
    """An asset as code works with it; the fields are those of `AssetLeaf`."""

    issuer: bytes
    supply: int


def account_leaf_id(account: bytes) -> bytes:
    """Return the id of the leaf of an account (32 bytes)."""
    return b"\x01" + account


def holding_leaf_id(account: bytes, asset: bytes) -> bytes:
    """Return the id of the leaf that says what `account` holds of `asset`, which is not the native one."""
    return b"\x02" + account + asset


def asset_leaf_id(asset: bytes) -> bytes:
    """Return the id of the leaf of an asset that is not the native one."""
    return b"\x03" + asset


def balance_leaf_id(account: bytes, asset: bytes) -> bytes:
    """Return the id of the leaf that says how much of `asset` the account has; the native one is in its own leaf."""
    return holding_leaf_id(account, asset) if asset else account_leaf_id(account)


def parse_leaf_id(leaf_id: bytes) -> LeafName:
    """Take a leaf id apart.

    Raises:
        RemoteProtocolError: no kind that is in use, or not of the length of its kind (code ``bad-leaf``).
    """
    size, kind = len(leaf_id), leaf_id[0] if leaf_id else 0
    if kind == ACCOUNT and size == LEAF_ID_BYTES_MIN:
        return LeafName(ACCOUNT, leaf_id[1:], NATIVE)
    if kind == HOLDING and size == LEAF_ID_BYTES_MAX:
        return LeafName(HOLDING, leaf_id[1:33], leaf_id[33:])
    if kind == ASSET and size == LEAF_ID_BYTES_MIN:
        return LeafName(ASSET, b"", leaf_id[1:])
    raise RemoteProtocolError(
        f"a leaf id of kind {kind} with {size} bytes is not allowed: kinds {ACCOUNT} and {ASSET} have "
        f"{LEAF_ID_BYTES_MIN}, kind {HOLDING} has {LEAF_ID_BYTES_MAX}",
        code="bad-leaf",
    )


def check_asset(asset: bytes) -> None:
    """Raise `RemoteProtocolError` (code ``malformed``) unless `asset` is an id: no bytes, or 32."""
    if len(asset) not in (0, HASH_BYTES):
        raise RemoteProtocolError(f"an asset id has 32 bytes, or none for the native asset; this one has {len(asset)}")


def encode_holding(amount: int) -> bytes:
    """Return the leaf value of a holding; empty, which removes the leaf, if there is nothing left."""
    return encode(HoldingLeaf(1, amount)) if amount else b""


def decode_holding(value: bytes) -> int:
    """Return the amount that a leaf value says.

    Raises:
        RemoteProtocolError: it is not the canonical bytes of a holding.
    """
    return decode(HoldingLeaf, value).amount


def encode_asset(asset: Asset) -> bytes:
    """Return the leaf value of an asset."""
    return encode(AssetLeaf(1, *asset))


def decode_asset(value: bytes) -> Asset:
    """Read the leaf value of an asset.

    Raises:
        RemoteProtocolError: it is not the canonical bytes of an asset.
    """
    leaf = decode(AssetLeaf, value)
    return Asset(leaf.issuer, leaf.supply)


def read_asset(text: str) -> bytes:
    """Read an asset as people write it: ``svm`` or nothing for the native one, else 64 hex digits.

    64 zeros mean the native asset, too: that is how other systems write it.

    Raises:
        LocalProtocolError: neither.
    """
    if text in ("", NATIVE_NAME) or text == "0" * 64:
        return NATIVE
    try:
        asset = bytes.fromhex(text)
    except ValueError:
        asset = b""
    if len(asset) != HASH_BYTES or len(text) != 2 * HASH_BYTES:
        raise LocalProtocolError(
            f"{text[:70]!r} is no asset: write {NATIVE_NAME} for the native one, or the 64 hex digits of an asset id"
        )
    return asset


def write_asset(asset: bytes) -> str:
    """Return an asset as people write it."""
    return asset.hex() if asset else NATIVE_NAME
