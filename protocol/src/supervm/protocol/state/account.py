"""Accounts: the leaf of the state tree, and the accounts that the protocol itself owns."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from ..base import memory
from ..base.codec import Agreed, Hash, Uint, Uint8, decode, encode, write_uint
from ..base.hashing import ZERO_HASH, hash_pool
from ..base.reading import bytes_bounds

FLAG_FAILED = 1
"""Set once a transaction of this account failed at execution, which needs more than f faults (consensus.md 3.5).

While it is clear, an account proof alone tells a phone that every transaction up to `head` was *executed*; once it is
set, the phone asks for receipts instead.
"""

POOL_NAMES = ("l1", "l3", "l4", "treasury")
"""Pools that fees can reach; an L2's part always has a payout account."""


class Account(NamedTuple):
    """State of one account; the fields are those of `AccountLeaf`."""

    balance: int
    next_seq: int
    head: bytes
    flags: int


EMPTY_ACCOUNT = Account(0, 0, ZERO_HASH, 0)
"""What an account is that the state has never seen."""


class AccountLeaf(Agreed, tag="account", frozen=True):
    """The agreed bytes of an account.

    Attributes:
        version: layout, 1.
        balance: grain that the account holds.
        next_seq: `seq` of the account's next transaction, and so how many slots are used; 0 before the first.
        head: id of the transaction that took the last slot, executed or failed; zero before the first.
        flags: `FLAG_FAILED` or 0; the other bits are not in use.
    """

    version: Literal[1]
    balance: Uint
    next_seq: Uint
    head: Hash
    flags: Uint8


ACCOUNT_BYTES_MIN, ACCOUNT_BYTES_MAX = bytes_bounds(AccountLeaf)
"""Shortest and longest leaf value."""


ACCOUNT_HEAD: Final = encode(AccountLeaf(1, 0, 0, ZERO_HASH, 0))[:-37]
"""What every leaf value begins with; the balance follows."""
_HEAD_OF_HASH = b"\x58\x20"


def encode_account(account: Account) -> bytes:
    """Return the leaf value of `account`."""
    known = memory.active
    if known is None:
        return _write(account)
    leaf = known.leaves.get(account)
    if leaf is None:
        leaf = _write(account)
        known.leaves.put(account, leaf, 1)
    return leaf


def _write(account: Account) -> bytes:
    # as `encode` of an `AccountLeaf`, in a tenth of its time: every payment changes some accounts
    balance, next_seq, head, flags = account
    return ACCOUNT_HEAD + write_uint(balance) + write_uint(next_seq) + _HEAD_OF_HASH + head + write_uint(flags)


def decode_account(value: bytes) -> Account:
    """Read a leaf value.

    Raises:
        RemoteProtocolError: it is not the canonical bytes of an account.
    """
    leaf = decode(AccountLeaf, value)
    return Account(leaf.balance, leaf.next_seq, leaf.head, leaf.flags)


def pool_account(name: str) -> bytes:
    """Return the account id of the pool `name`; nobody holds a key to it."""
    return hash_pool(b"svm.pool" + name.encode())


POOLS = {name: pool_account(name) for name in POOL_NAMES}
"""Pool name -> account id."""
POOL_ACCOUNTS = frozenset(POOLS.values())
"""Accounts that are never a sender or a receiver of a transaction (decisions.md, Keys and accounts)."""
