"""Genesis: the one file that starts a network; its hash is the chain id (decisions.md, Genesis).

It says who runs the network, by which rules, and the root of the first state. The state itself, who owns what, may have
millions of entries: that is a file beside it (`allocations`), which only those read who execute. Phones and edges need
genesis alone, and can check any account against the root.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Annotated, Literal

import msgspec

from ..base.codec import INT_MAX, Agreed, Hash, Key, Positive, Uint, Uint16, decode, encode, write_uint
from ..base.errors import LocalProtocolError, RemoteProtocolError
from ..base.hashing import ZERO_HASH, hash_genesis, hasher
from ..base.keys import key_problem
from ..money.fees import DEFAULT_SHARES_BPS, check_shares
from ..state.account import ACCOUNT_HEAD, EMPTY_ACCOUNT, POOL_ACCOUNTS, Account, encode_account
from ..state.leaves import (
    NATIVE,
    NATIVE_NAME,
    Asset,
    account_leaf_id,
    asset_leaf_id,
    encode_asset,
    encode_holding,
    holding_leaf_id,
)
from ..state.mmr import HistoryMMR
from ..state.state import State, sums_problem
from .allocations import Allocation
from .checkpoint import CheckpointHeader
from .epoch import EpochRecord, rules_of
from .header import BlockHeader, ChainRules, genesis_block_header
from .validators import VALIDATORS_MAX, Validator, ValidatorList, ValidatorSet
from .votes import Verify

GENESIS_BYTES_MAX = 4 << 20
"""More than 255 validators, 4,096 miners and 256 assets take."""
ASSETS_MAX = 256
"""Most assets that exist from the start."""
_HEAD_OF_VERSION_1 = b"\x88\x67genesis\x01"
"""What a genesis file of version 1 begins with: an array of eight, the kind, the version."""

hash_genesis_asset = hasher(b"svm.genasset")


class Miner(Agreed, tag="miner", frozen=True):
    """A registered L2.

    Attributes:
        version: layout, 1.
        node_id: its node key, which signs its batches.
        payout: account that its part of fees is paid to.
    """

    version: Literal[1]
    node_id: Key
    payout: Key


class GenesisAsset(Agreed, tag="genasset", frozen=True):
    """An asset that exists from the start.

    Attributes:
        version: layout, 1.
        name: what people call it, 1 to 32 characters; its id is made from it.
        issuer: account that its asset leaf names.
        supply: all of it there is; the allocations sum to it.
    """

    version: Literal[1]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
    issuer: Key
    supply: Positive

    @property
    def asset(self) -> bytes:
        """The asset's id."""
        return genesis_asset_id(self.name)


def genesis_asset_id(name: str) -> bytes:
    """Return the id of the asset that genesis calls `name`; one issued later has its transaction's id."""
    return hash_genesis_asset(name.encode())


TRUSTING_PERIOD_MS = 21 * 86_400_000
"""Default time for which validators answer for what they signed, after their epoch (decisions.md, Trusting period)."""


class Parameters(Agreed, tag="params", frozen=True):
    """What every node of the network must agree on besides the rules; times in ms (decisions.md, Numbers).

    Attributes:
        version: layout, 2.
        test_network: whether addresses are written as those of a test network (``tsvm1...``); no rule depends on it.
        fee_shares_bps: parts of a fee for L1, L2, L3 and L4 in basis points; they sum to 10,000.
        view_timeout_ms: the time d of a view: a validator gives a view up that has no proposal after 2 d, or has not
            ended after 3 d, `block_interval_ms` on top of either; both count from when a block is wanted.
        view_timeout_ms_max: what d grows to at most while nothing is finalized.
        block_interval_ms: how long a leader that has nothing to put into a block waits before it proposes an empty one
            while something is under way that further blocks finish.
        idle_interval_ms: how long after the last notarization it does so while nothing is under way: the beat of an
            idle chain. A balance is called current for three of these, at least 30 s.
        clock_drift_ms: how far a block's time may be ahead of a voter's clock; the voter waits until it is no more.
        window: how many slots from its `next_seq` on a sender may have under way.
        validity_ms_min: least time from the last executed block to a transaction's end for validators to support it.
        validity_ms_max: most time between the two.
        epoch_ms: chain time after an epoch's root block from which validators close the epoch.
        trusting_period_ms: how old the newest header that a light client trusts may be by its own clock; with an older
            one it believes nothing new before it is given a newer anchor (decisions.md, Trusting period).
    """

    version: Literal[2]
    test_network: bool = False
    fee_shares_bps: tuple[Uint16, Uint16, Uint16, Uint16] = DEFAULT_SHARES_BPS
    view_timeout_ms: Positive = 400
    view_timeout_ms_max: Positive = 60_000
    block_interval_ms: Positive = 500
    idle_interval_ms: Positive = 10_000
    clock_drift_ms: Uint = 2_000
    window: Positive = 1_024
    validity_ms_min: Uint = 5_000
    validity_ms_max: Uint = 7 * 86_400_000
    epoch_ms: Positive = 3_600_000
    trusting_period_ms: Positive = TRUSTING_PERIOD_MS


class Genesis(Agreed, tag="genesis", frozen=True):
    """All that a network starts from; each of the lists is without duplicates.

    Attributes:
        version: layout, 2.
        name: what people call the network; 1 to 64 characters.
        time_ms: Unix time of the genesis block in ms.
        validators: those of the first epoch, in index order.
        miners: the L2 nodes, ascending by node id.
        assets: those that exist from the start beside the native one, ascending by name.
        supply: grain of the native asset; the allocations sum to it.
        allocations: how many entries the file of allocations has.
        state_root: root of the state that the allocations make.
        parameters: numbers that stay as they are.
    """

    version: Literal[2]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    time_ms: Uint
    validators: Annotated[tuple[Validator, ...], msgspec.Meta(min_length=1, max_length=VALIDATORS_MAX)]
    miners: Annotated[tuple[Miner, ...], msgspec.Meta(max_length=4096)]
    assets: Annotated[tuple[GenesisAsset, ...], msgspec.Meta(max_length=ASSETS_MAX)]
    supply: Uint
    allocations: Uint
    state_root: Hash
    parameters: Parameters

    @property
    def asset_ids(self) -> list[bytes]:
        """Ids of `assets`, in their order, as the file of allocations counts them."""
        return [item.asset for item in self.assets]


def make_genesis(
    *,
    name: str,
    time_ms: int,
    validators: tuple[Validator, ...],
    miners: tuple[Miner, ...],
    allocations: Iterable[Allocation],
    assets: Iterable[tuple[str, bytes]] = (),
    parameters: Parameters | None = None,
) -> tuple[Genesis, tuple[Allocation, ...]]:
    """Put the lists into their agreed order, add up the supplies, take the root, and check the whole.

    Args:
        name: of the network.
        time_ms: Unix time in ms.
        validators: in index order.
        miners: in any order.
        allocations: in any order.
        assets: name and issuer of each asset beside the native one; its supply is the sum of its allocations.
        parameters: None for the defaults.

    Returns:
        Genesis, and the allocations in the order of their file.

    Raises:
        LocalProtocolError: what is wrong and what is allowed.
    """
    ordered = tuple(sorted(allocations, key=lambda item: (item.account, item.asset)))
    supplies: dict[bytes, int] = {}
    for item in ordered:
        supplies[item.asset] = supplies.get(item.asset, 0) + item.amount
    listed = []
    for asset_name, issuer in sorted(assets):
        supply = supplies.get(genesis_asset_id(asset_name), 0)
        if not 0 < supply <= INT_MAX or not 0 < len(asset_name) <= 32:
            raise LocalProtocolError(
                f"genesis: asset {asset_name[:40]!r} has {supply} in allocations; 1 to {INT_MAX} and a name of 1 to 32 "
                "characters are allowed"
            )
        listed.append(GenesisAsset(1, asset_name, issuer, supply))
    native = supplies.get(NATIVE, 0)
    if native > INT_MAX:
        raise LocalProtocolError(f"genesis: the allocations sum to {native} grain; at most {INT_MAX} are allowed")
    genesis = Genesis(
        2,
        name,
        time_ms,
        validators,
        tuple(sorted(miners, key=lambda miner: miner.node_id)),
        tuple(listed),
        native,
        len(ordered),
        ZERO_HASH,
        parameters or Parameters(2),
    )
    from ..state.trie import QuadTrie  # here: a phone reads genesis too, and has no use for a tree

    trie = QuadTrie.of(first_leaves(genesis, ordered))
    genesis = msgspec.structs.replace(genesis, state_root=trie.root)
    check_genesis(genesis)
    return genesis, ordered


def first_state(genesis: Genesis, allocations: Iterable[Allocation]) -> State:
    """Return the state that a network starts with; that its root is genesis's is for whoever builds the tree to see.

    Args:
        genesis: whose state it is.
        allocations: in the order of their file.

    Raises:
        LocalProtocolError: they are not those of this genesis: order, number, an asset it does not know, or a sum.
    """
    state = State()
    state.assets.update({item.asset: Asset(item.issuer, item.supply) for item in genesis.assets})
    for account, amount, asset in _checked(genesis, allocations):
        if asset:
            state.holdings.setdefault(account, {})[asset] = amount
        else:
            state.accounts[account] = Account(amount, 0, ZERO_HASH, 0)
    return state


def first_leaves(genesis: Genesis, allocations: Iterable[Allocation]) -> Iterator[tuple[bytes, bytes]]:
    """Yield (leaf id, value) of the state that a network starts with, one by one: there may be millions.

    Raises:
        LocalProtocolError: as for `first_state`; some of it only after the last leaf.
    """
    for item in genesis.assets:
        yield asset_leaf_id(item.asset), encode_asset(Asset(item.issuer, item.supply))
    for account, amount, asset in _checked(genesis, allocations):
        if asset:
            yield holding_leaf_id(account, asset), encode_holding(amount)
        else:
            yield account_leaf_id(account), ACCOUNT_HEAD + write_uint(amount) + _NEVER_SENT


_NEVER_SENT = encode_account(EMPTY_ACCOUNT)[len(ACCOUNT_HEAD) + 1 :]  # what follows the balance in such a leaf


def _checked(genesis: Genesis, allocations: Iterable[Allocation]) -> Iterator[Allocation]:
    """Yield allocations after a look at each, and after the last one at all of them."""
    wanted = {NATIVE: genesis.supply, **{item.asset: item.supply for item in genesis.assets}}
    totals = dict.fromkeys(wanted, 0)
    count, before_account, before_asset = 0, b"", b""
    for item in allocations:
        account, amount, asset = item
        if account <= before_account and (account < before_account or asset <= before_asset):
            raise LocalProtocolError(f"allocations: entry {count} is double or out of order")
        if asset not in totals:
            raise LocalProtocolError(
                f"allocations: entry {count} is of asset {asset.hex()}, which genesis does not have"
            )
        totals[asset] += amount
        count, before_account, before_asset = count + 1, account, asset
        yield item
    if count != genesis.allocations:
        raise LocalProtocolError(f"allocations: there are {count}; this genesis has {genesis.allocations}")
    problem = sums_problem(totals, wanted)
    if problem is not None:
        raise LocalProtocolError(f"allocations: {problem}")


def check_genesis(genesis: Genesis) -> None:
    """Check what types cannot: usable keys in one role each, order, supply below 2**63, shares that sum to the whole.

    The allocations are not here to be checked: `first_state` does that where they are read.
    """
    ValidatorSet(genesis.validators)
    check_shares(genesis.parameters.fee_shares_bps)
    for name, keys in (
        ("miner", [miner.node_id.hex() for miner in genesis.miners]),
        ("asset", [item.name for item in genesis.assets]),
    ):
        for left, right in pairwise(keys):
            if left >= right:
                raise LocalProtocolError(f"genesis: {name} {right} is double or out of order")
    parameters = genesis.parameters
    for name, low, high in (
        ("view_timeout_ms", parameters.view_timeout_ms, parameters.view_timeout_ms_max),
        ("validity_ms", parameters.validity_ms_min, parameters.validity_ms_max),
    ):
        if low > high:
            raise LocalProtocolError(f"genesis: {name} is {low} to {high}; the lower bound must not be above the upper")
    if any(item.name == NATIVE_NAME for item in genesis.assets):
        raise LocalProtocolError(f"genesis: an asset is called {NATIVE_NAME}, which is the native one's name")
    check_roles(genesis.validators, genesis.miners)


def check_roles(validators: Iterable[Validator], miners: Iterable[Miner]) -> None:
    """Check that the keys of those who run a network are usable, each with one owner; at most 50 us a key.

    A validator whose node has the vote key for its own works, so a file that says so stays readable; people are not let
    make one (`supervm genesis new`).

    Raises:
        LocalProtocolError: whose key it is, and what is wrong with it.
    """
    roles: dict[bytes, str] = {}
    for index, validator in enumerate(validators):
        _take_role(roles, validator.key, f"the key of validator {index}")
        if validator.node_id != validator.key:
            _take_role(roles, validator.node_id, f"the node id of validator {index}")
        _check_payout(validator.payout, f"validator {index}")
    for miner in miners:
        _take_role(roles, miner.node_id, f"the node id of miner {miner.node_id.hex()[:16]}")
        _check_payout(miner.payout, f"miner {miner.node_id.hex()[:16]}")


def _take_role(roles: dict[bytes, str], key: bytes, role: str) -> None:
    problem = key_problem(key)
    if problem is not None:
        raise LocalProtocolError(f"{role}, {key.hex()}: {problem}")
    if key in roles:
        raise LocalProtocolError(f"{role} is {roles[key]} too, {key.hex()}; each key has one role only")
    roles[key] = role


def _check_payout(account: bytes, whose: str) -> None:
    if account in POOL_ACCOUNTS:
        raise LocalProtocolError(f"the payout of {whose} is a pool of the protocol, which cannot be paid")
    problem = key_problem(account)
    if problem is not None:
        raise LocalProtocolError(f"the payout of {whose}, {account.hex()}: {problem}")


def load_genesis(data: bytes) -> Genesis:
    """Read and check a genesis file's bytes.

    Raises:
        LocalProtocolError: not a genesis file, or one that breaks the rules above.
    """
    if data[: len(_HEAD_OF_VERSION_1)] == _HEAD_OF_VERSION_1:
        raise LocalProtocolError(
            "this is a genesis file of version 1 of the protocol; this release reads version 2 - make a new one with "
            "`supervm genesis new`, or use a release below 2 for that network"
        )
    try:
        genesis = decode(Genesis, data, bytes_max=GENESIS_BYTES_MAX)
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"this is not a genesis file: {error}") from error
    check_genesis(genesis)
    return genesis


class Chain:
    """Everything that follows from a genesis: chain id, rules, genesis block and light-client anchor.

    Args:
        genesis: checked.
        verify: signature verification.
        allocations: gives the entries of the file beside genesis, in its order, whenever it is called; None where
            nobody asks for the first state.
    """

    def __init__(
        self, genesis: Genesis, verify: Verify, allocations: Callable[[], Iterable[Allocation]] | None = None
    ) -> None:
        self.genesis = genesis
        self.parameters = genesis.parameters
        self.chain_id: bytes = hash_genesis(encode(genesis))
        self.verify = verify
        self._allocations = allocations
        self.validators = ValidatorSet(genesis.validators)
        """The validators of the first epoch."""
        self.payout_of_miner = {miner.node_id: miner.payout for miner in genesis.miners}
        self.supply = genesis.supply
        self.anchor = CheckpointHeader(
            1,
            self.chain_id,
            0,
            0,
            ZERO_HASH,
            ZERO_HASH,
            genesis.time_ms,
            genesis.state_root,
            ZERO_HASH,
            HistoryMMR().root,
            self.validators.hash,
            ZERO_HASH,
            self.supply,
        )
        self.genesis_header: BlockHeader = genesis_block_header(self.chain_id, genesis.time_ms, self.anchor.hash)
        self.first_epoch = EpochRecord(1, 0, self.genesis_header, ValidatorList(1, genesis.validators), ())
        self.rules = rules_of(self.first_epoch, self.chain_id, self.parameters.epoch_ms, verify)
        """The rules of the first epoch; `rules_of` gives those of the others."""

    def first_state(self) -> State:
        """Return a new copy of the state at height 0.

        Raises:
            LocalProtocolError: there are no allocations here, or they are not those of this network.
        """
        return first_state(self.genesis, self._entries())

    def first_leaves(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the leaves of the state at height 0, one by one.

        Raises:
            LocalProtocolError: as for `first_state`; some of it only after the last leaf.
        """
        return first_leaves(self.genesis, self._entries())

    def _entries(self) -> Iterable[Allocation]:
        if self._allocations is None:
            raise LocalProtocolError("the allocations of this network are not at hand: a file beside genesis has them")
        return self._allocations()

    def rules_of(self, record: EpochRecord) -> ChainRules:
        """Return the rules of any epoch of this chain."""
        return rules_of(record, self.chain_id, self.parameters.epoch_ms, self.verify)
