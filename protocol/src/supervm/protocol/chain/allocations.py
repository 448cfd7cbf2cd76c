"""Allocations: who owns what at the start, as a file beside genesis that only those read who execute (L1 and L2).

Genesis has the number of entries and the root of the state that they make, so the file needs no signature and no hash
of its own: any other file gives another root. It is flat so that millions of entries are read in one pass: 16 bytes of
head, then 42 bytes each, ascending by account and then asset. Numbers are big-endian.

======= ==== =======================================================================
offset  size
======= ==== =======================================================================
0       8    ``svmalloc``
8       8    layout, 2
16 + 0  32   account
+ 32    2    asset: 0 is the native one, k the k-th of genesis's list, counted from 1
+ 34    8    amount, at least 1
======= ==== =======================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from struct import Struct
from typing import Final, NamedTuple

from ..base.codec import INT_MAX
from ..base.errors import LocalProtocolError
from ..state.leaves import NATIVE

HEAD: Final = b"svmalloc" + (2).to_bytes(8, "big")
_ENTRY = Struct(">32sHQ")


class Allocation(NamedTuple):
    """What an account owns of one asset from the start.

    Attributes:
        account: whose it is, 32 bytes.
        amount: of the asset's smallest unit, at least 1.
        asset: its id; the native one by default.
    """

    account: bytes
    amount: int
    asset: bytes = NATIVE


def write_allocations(allocations: Iterable[Allocation], assets: Sequence[bytes]) -> bytes:
    """Return the bytes of the file.

    Args:
        allocations: in their order.
        assets: ids of genesis's assets, in its order.

    Raises:
        LocalProtocolError: an asset that is not among them, or an amount or account that is not allowed.
    """
    number_of = {NATIVE: 0, **{asset: number for number, asset in enumerate(assets, start=1)}}
    written = bytearray(HEAD)
    for account, amount, asset in allocations:
        number = number_of.get(asset)
        if number is None or len(account) != 32 or not 0 < amount <= INT_MAX:
            raise LocalProtocolError(
                f"allocations: {amount} of asset {asset.hex()[:64]} to {account.hex()[:64]} is not allowed: 1 to "
                f"{INT_MAX}, an asset of genesis, an account of 32 bytes"
            )
        written += _ENTRY.pack(account, number, amount)
    return bytes(written)


def read_allocations(data: bytes, assets: Sequence[bytes]) -> Iterator[Allocation]:
    """Yield the entries of a file; their order and sums are for `genesis.first_state` to check.

    Args:
        data: the file.
        assets: ids of genesis's assets, in its order.

    Raises:
        LocalProtocolError: it is no such file, or an entry is not allowed.
    """
    if data[: len(HEAD)] != HEAD or (len(data) - len(HEAD)) % _ENTRY.size:
        raise LocalProtocolError(
            f"this is not a file of allocations of version 2: {len(data)} bytes that begin with {data[:16].hex()}"
        )
    ids = (NATIVE, *assets)
    for account, number, amount in _ENTRY.iter_unpack(memoryview(data)[len(HEAD) :]):
        if number >= len(ids) or not 0 < amount <= INT_MAX:
            raise LocalProtocolError(
                f"allocations: {amount} of asset number {number} is not allowed: 1 to {INT_MAX}, of {len(ids)} assets"
            )
        yield Allocation(account, amount, ids[number])
