"""The state on its tree: accounts live in the tree's leaves alone and are read when somebody asks for them.

A node that executes has millions of accounts and meets a few thousand a second. A map of them beside the tree would
take more memory than the tree, and a start would decode every account although most are never looked at. So a
`TreeState` keeps what a leaf says in one place: an account is a leaf that is read on demand, and those that were read
or written lately are remembered. Holdings of other assets have maps as well, since an account's leaf does not say which
it has; so have assets, which are few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Final, TypeVar, overload

from ..base.errors import LocalProtocolError
from ..base.memory import Half
from .account import ACCOUNT_HEAD, Account, decode_account, encode_account
from .leaves import (
    ACCOUNT,
    HOLDING,
    LEAF_ID_BYTES_MIN,
    NATIVE,
    LeafName,
    account_leaf_id,
    decode_asset,
    decode_holding,
    parse_leaf_id,
)
from .state import State, StateChange
from .trie import QuadTrie, TrieView

ACCOUNTS_REMEMBERED: Final = 1 << 15
"""Most accounts that are kept as objects; 300 bytes each."""
_ACCOUNT_DOMAIN: Final = bytes([ACCOUNT])

T = TypeVar("T")


class TreeAccounts(MutableMapping[bytes, Account]):
    """The accounts of a tree, as a mapping of account id to account."""

    __slots__ = ("_known", "_others", "_trie")

    def __init__(self, trie: QuadTrie, others: Callable[[], int]) -> None:
        self._trie = trie
        self._others = others
        self._known: Half[Account] = Half(ACCOUNTS_REMEMBERED)

    @overload
    def get(self, key: bytes, default: None = None, /) -> Account | None: ...
    @overload
    def get(self, key: bytes, default: Account | T, /) -> Account | T: ...
    def get(self, key: bytes, default: object = None, /) -> object:
        """Return an account, or `default` if there is none."""
        account = self._known.get(key)
        if account is not None:
            return account
        value = self._trie.get(account_leaf_id(key))
        if value is None:
            return default
        account = decode_account(value)
        self._known.put(key, account, 1)
        return account

    def __getitem__(self, key: bytes) -> Account:
        account = self.get(key)
        if account is None:
            raise KeyError(key)
        return account

    def __contains__(self, key: object) -> bool:
        return isinstance(key, bytes) and self.get(key) is not None

    def __setitem__(self, key: bytes, account: Account) -> None:
        self._trie.update({account_leaf_id(key): encode_account(account)})
        self.note({key: account})

    def __delitem__(self, key: bytes) -> None:
        raise TypeError("accounts are never removed: an empty one stays")

    def __iter__(self) -> Iterator[bytes]:
        return (leaf_id[1:] for leaf_id, _ in self._trie.items() if leaf_id.startswith(_ACCOUNT_DOMAIN))

    def __len__(self) -> int:
        return len(self._trie) - self._others()

    def note(self, accounts: Mapping[bytes, Account]) -> None:
        """Remember accounts as they are in the tree by now."""
        for key, account in accounts.items():
            self._known.put(key, account, 1)


class TreeState(State):
    """The state of a chain at one height, and its tree; begins empty.

    Attributes:
        accounts: account id -> account; setting one updates the tree.
        holdings: as `State` has them; for reading alone.
        assets: as `State` has them; for reading alone.
    """

    accounts: TreeAccounts

    __slots__ = ("_trie",)

    def __init__(self) -> None:
        self.load(())

    def load(self, leaves: Iterable[tuple[bytes, bytes]]) -> None:
        """Become the state of these leaves; the last word on a leaf counts, and no value removes it.

        An account is not looked at before somebody asks for it: the caller compares `root` with what it should be.

        Raises:
            LocalProtocolError: a leaf id or a value is of a length that none can have.
            RemoteProtocolError: one of them is no leaf of the state.
        """
        self.holdings, self.assets = {}, {}
        self._begin(QuadTrie())  # what was before goes before the new tree is made
        self._begin(QuadTrie.of(self._noted(leaves)))

    def _begin(self, trie: QuadTrie) -> None:
        self._trie = trie
        self.accounts = TreeAccounts(trie, lambda: len(self.assets) + sum(map(len, self.holdings.values())))

    def _noted(self, leaves: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        for leaf in leaves:
            leaf_id, value = leaf
            if leaf_id[:1] != _ACCOUNT_DOMAIN or len(leaf_id) != LEAF_ID_BYTES_MIN:
                self._put_other(parse_leaf_id(leaf_id), value)
            yield leaf

    def _put_other(self, name: LeafName, value: bytes) -> None:
        if name.kind == HOLDING:
            self._hold(name.account, name.asset, decode_holding(value) if value else 0)
        else:
            self.assets[name.asset] = decode_asset(value)

    @property
    def root(self) -> bytes:
        """The 32-byte state root."""
        return self._trie.root

    def view(self) -> TrieView:
        """Return the tree as it is now; what is applied later does not change it."""
        return self._trie.snapshot()

    def apply(self, change: StateChange) -> None:
        """Take over what a block changed."""
        self.take(change, change.leaves())

    def take(self, change: StateChange, leaves: Mapping[bytes, bytes]) -> None:
        """Take over what a block changed, whose `StateChange.leaves` are at hand."""
        self._trie.update(leaves)
        self.accounts.note(change.accounts)
        for (account, asset), amount in change.holdings.items():
            self._hold(account, asset, amount)
        self.assets.update(change.assets)

    def put_leaf(self, leaf_id: bytes, value: bytes) -> None:
        """Take over one leaf; `load` is for many.

        Raises:
            RemoteProtocolError: it is no leaf of the state.
        """
        name = parse_leaf_id(leaf_id)
        if name.kind == ACCOUNT:
            self.accounts[name.account] = decode_account(value)
            return
        self._put_other(name, value)
        self._trie.update({leaf_id: value})

    def leaves(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield (leaf id, value) of every leaf, by trie key."""
        return self._trie.items()

    def totals(self) -> dict[bytes, int]:
        """Return what all accounts have together, by asset; the native one is there always.

        Raises:
            LocalProtocolError: an account's leaf is not that of an account.
        """
        try:
            totals = {NATIVE: self._trie.snapshot().sum_after(ACCOUNT, ACCOUNT_HEAD)}
        except ValueError as error:
            raise LocalProtocolError("an account's leaf in the state is damaged") from error
        return self._add_holdings(totals)
