"""The state as maps: accounts, holdings and assets, as execution reads them (docs/spec/state.md).

The tree over the same state (`trie`) is what is signed; these maps are what is looked up. `leaves` says how the one
becomes the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field

from .account import EMPTY_ACCOUNT, Account, decode_account, encode_account
from .leaves import (
    ACCOUNT,
    HOLDING,
    NATIVE,
    NATIVE_NAME,
    Asset,
    account_leaf_id,
    asset_leaf_id,
    decode_asset,
    decode_holding,
    encode_asset,
    encode_holding,
    holding_leaf_id,
    parse_leaf_id,
)

Holdings = dict[bytes, int]
"""Asset id -> amount of one account, without the native asset and without zeros."""


@dataclass(frozen=True, slots=True)
class StateChange:
    """What a block changes: new values, in ascending order of their keys.

    Attributes:
        accounts: account id -> account.
        holdings: (account id, asset id) -> amount; 0 where nothing is left.
        assets: asset id -> asset, new ones alone.
    """

    accounts: Mapping[bytes, Account]
    holdings: Mapping[tuple[bytes, bytes], int] = field(default_factory=dict)
    assets: Mapping[bytes, Asset] = field(default_factory=dict)

    def leaves(self) -> dict[bytes, bytes]:
        """Return leaf id -> value; an empty value removes the leaf."""
        leaves = {account_leaf_id(key): encode_account(account) for key, account in self.accounts.items()}
        for (account, asset), amount in self.holdings.items():
            leaves[holding_leaf_id(account, asset)] = encode_holding(amount)
        for key, asset_made in self.assets.items():
            leaves[asset_leaf_id(key)] = encode_asset(asset_made)
        return leaves


@dataclass(slots=True)
class State:
    """The state of a chain at one height.

    Attributes:
        accounts: account id -> account.
        holdings: account id -> what it holds of assets other than the native one; accounts without any are not there.
        assets: asset id -> asset, without the native one.
    """

    accounts: MutableMapping[bytes, Account] = field(default_factory=dict)
    holdings: dict[bytes, Holdings] = field(default_factory=dict)
    assets: dict[bytes, Asset] = field(default_factory=dict)

    def balance(self, account: bytes, asset: bytes) -> int:
        """Return how much of an asset an account has; 0 if there is no such account or asset."""
        if asset:
            held = self.holdings.get(account)
            return 0 if held is None else held.get(asset, 0)
        return self.accounts.get(account, EMPTY_ACCOUNT).balance

    def apply(self, change: StateChange) -> None:
        """Take over what a block changed."""
        self.accounts.update(change.accounts)
        for (account, asset), amount in change.holdings.items():
            self._hold(account, asset, amount)
        self.assets.update(change.assets)

    def _hold(self, account: bytes, asset: bytes, amount: int) -> None:
        if amount:
            self.holdings.setdefault(account, {})[asset] = amount
            return
        held = self.holdings.get(account)
        if held is not None:
            held.pop(asset, None)
            if not held:
                del self.holdings[account]

    def put_leaf(self, leaf_id: bytes, value: bytes) -> None:
        """Take over one leaf, as the database and snapshots have them; an empty value removes a holding.

        Raises:
            RemoteProtocolError: it is no leaf of the state, or an account or asset without a value: those stay.
        """
        kind, account, asset = parse_leaf_id(leaf_id)
        if kind == ACCOUNT:
            self.accounts[account] = decode_account(value)
        elif kind == HOLDING:
            self._hold(account, asset, decode_holding(value) if value else 0)
        else:
            self.assets[asset] = decode_asset(value)

    def leaves(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield (leaf id, value) of every leaf, in no order that means anything."""
        for key, account in self.accounts.items():
            yield account_leaf_id(key), encode_account(account)
        for key, held in self.holdings.items():
            for asset, amount in held.items():
                yield holding_leaf_id(key, asset), encode_holding(amount)
        for key, made in self.assets.items():
            yield asset_leaf_id(key), encode_asset(made)

    def totals(self) -> dict[bytes, int]:
        """Return what all accounts have together, by asset; the native one is there always."""
        return self._add_holdings({NATIVE: sum(account.balance for account in self.accounts.values())})

    def _add_holdings(self, totals: dict[bytes, int]) -> dict[bytes, int]:
        for held in self.holdings.values():
            for asset, amount in held.items():
                totals[asset] = totals.get(asset, 0) + amount
        return totals

    def supply_problem(self, supply: int) -> str | None:
        """Return what is wrong with the sums of the state, None if nothing is (C1, for every asset).

        Args:
            supply: grain that there must be of the native asset; of each other one its leaf says it.
        """
        wanted = {NATIVE: supply, **{asset: made.supply for asset, made in self.assets.items()}}
        return sums_problem(self.totals(), wanted)


def sums_problem(totals: Mapping[bytes, int], wanted: Mapping[bytes, int]) -> str | None:
    """Return which sum by asset is not what it should be, None if all are."""
    for asset in sorted({**wanted, **totals}):
        if totals.get(asset, 0) != wanted.get(asset, 0):
            name = asset.hex()[:16] or NATIVE_NAME
            return f"the accounts sum to {totals.get(asset, 0)} of {name}; the supply is {wanted.get(asset, 0)}"
    return None


def state_of(leaves: Iterable[tuple[bytes, bytes]]) -> State:
    """Build a state from its leaves.

    Raises:
        RemoteProtocolError: one of them is no leaf of the state.
    """
    state = State()
    for leaf_id, value in leaves:
        state.put_leaf(leaf_id, value)
    return state
