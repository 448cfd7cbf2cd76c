"""Genesis: the one file that starts a network; its hash is the chain id (decisions.md, Genesis)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Literal

import msgspec

from ..base.codec import INT_MAX, Agreed, Key, Positive, Uint, Uint16, decode, encode
from ..base.errors import LocalProtocolError, RemoteProtocolError
from ..base.hashing import ZERO_HASH, hash_genesis
from ..base.keys import key_problem
from ..money.fees import DEFAULT_SHARES_BPS, check_shares
from ..state.account import POOL_ACCOUNTS, Account, encode_account
from ..state.mmr import HistoryMMR
from ..state.trie import QuadTrie
from .checkpoint import CheckpointHeader
from .epoch import EpochRecord, rules_of
from .header import BlockHeader, ChainRules, genesis_block_header
from .validators import VALIDATORS_MAX, Validator, ValidatorList, ValidatorSet
from .votes import Verify

GENESIS_BYTES_MAX = 64 << 20
ALLOCATIONS_MAX = 1_600_000
"""More than `GENESIS_BYTES_MAX` holds of the shortest ones."""


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


class Allocation(Agreed, tag="alloc", frozen=True):
    """Money that exists from the start.

    Attributes:
        version: layout, 1.
        account: whose it is.
        amount: grain, at least 1.
    """

    version: Literal[1]
    account: Key
    amount: Positive


TRUSTING_PERIOD_MS = 21 * 86_400_000
"""Default time for which validators answer for what they signed, after their epoch (decisions.md, Trusting period)."""


class Parameters(Agreed, tag="params", frozen=True):
    """What every node of the network must agree on besides the rules; times in ms (decisions.md, Numbers).

    Attributes:
        version: layout, 1.
        test_network: whether addresses are written as those of a test network (``tsvm1...``); no rule depends on it.
        fee_shares_bps: parts of a fee for L1, L2, L3 and L4 in basis points; they sum to 10,000.
        view_timeout_ms: the time d of a view: a validator gives a view up that has no proposal after 2 d, or has not
            ended after 3 d, `block_interval_ms` on top of either.
        view_timeout_ms_max: what d grows to at most while nothing is finalized.
        block_interval_ms: how long a leader that has nothing to put into a block waits before it proposes an empty one.
        clock_drift_ms: how far a block's time may be ahead of a voter's clock; the voter waits until it is no more.
        window: how many slots from its `next_seq` on a sender may have under way.
        validity_ms_min: least time from the last executed block to a transaction's end for validators to support it.
        validity_ms_max: most time between the two.
        epoch_ms: chain time after an epoch's root block from which validators close the epoch.
        trusting_period_ms: how old the newest header that a light client trusts may be by its own clock; with an older
            one it believes nothing new before it is given a newer anchor (decisions.md, Trusting period).
    """

    version: Literal[1]
    test_network: bool = False
    fee_shares_bps: tuple[Uint16, Uint16, Uint16, Uint16] = DEFAULT_SHARES_BPS
    view_timeout_ms: Positive = 400
    view_timeout_ms_max: Positive = 60_000
    block_interval_ms: Positive = 500
    clock_drift_ms: Uint = 2_000
    window: Positive = 1_024
    validity_ms_min: Uint = 5_000
    validity_ms_max: Uint = 7 * 86_400_000
    epoch_ms: Positive = 3_600_000
    trusting_period_ms: Positive = TRUSTING_PERIOD_MS


class Genesis(Agreed, tag="genesis", frozen=True):
    """All that a network starts from; each of the three lists is without duplicates.

    Attributes:
        version: layout, 1.
        name: what people call the network; 1 to 64 characters.
        time_ms: Unix time of the genesis block in ms.
        validators: those of the first epoch, in index order.
        miners: the L2 nodes, ascending by node id.
        allocations: all money, ascending by account; the sum is the supply.
        parameters: numbers that stay as they are.
    """

    version: Literal[1]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    time_ms: Uint
    validators: Annotated[tuple[Validator, ...], msgspec.Meta(min_length=1, max_length=VALIDATORS_MAX)]
    miners: Annotated[tuple[Miner, ...], msgspec.Meta(max_length=4096)]
    allocations: Annotated[tuple[Allocation, ...], msgspec.Meta(max_length=ALLOCATIONS_MAX)]
    parameters: Parameters


def make_genesis(
    *,
    name: str,
    time_ms: int,
    validators: tuple[Validator, ...],
    miners: tuple[Miner, ...],
    allocations: tuple[Allocation, ...],
    parameters: Parameters | None = None,
) -> Genesis:
    """Put the lists into their agreed order and check the whole.

    Raises:
        LocalProtocolError: what is wrong and what is allowed.
    """
    genesis = Genesis(
        1,
        name,
        time_ms,
        validators,
        tuple(sorted(miners, key=lambda miner: miner.node_id)),
        tuple(sorted(allocations, key=lambda item: item.account)),
        parameters or Parameters(1),
    )
    check_genesis(genesis)
    return genesis


def check_genesis(genesis: Genesis) -> None:
    """Check what types cannot: usable keys in one role each, order, supply below 2**63, shares that sum to the whole.

    Accounts of allocations are not checked: there may be a million, and money that nobody can spend harms nobody else.
    """
    ValidatorSet(genesis.validators)
    check_shares(genesis.parameters.fee_shares_bps)
    for name, keys in (
        ("miner", [miner.node_id for miner in genesis.miners]),
        ("allocation", [item.account for item in genesis.allocations]),
    ):
        for left, right in pairwise(keys):
            if left >= right:
                raise LocalProtocolError(f"genesis: {name} {right.hex()} is double or out of order")
    parameters = genesis.parameters
    for name, low, high in (
        ("view_timeout_ms", parameters.view_timeout_ms, parameters.view_timeout_ms_max),
        ("validity_ms", parameters.validity_ms_min, parameters.validity_ms_max),
    ):
        if low > high:
            raise LocalProtocolError(f"genesis: {name} is {low} to {high}; the lower bound must not be above the upper")
    supply = sum(item.amount for item in genesis.allocations)
    if supply > INT_MAX:
        raise LocalProtocolError(f"genesis: the allocations sum to {supply} grain; at most {INT_MAX} are allowed")
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
    try:
        genesis = decode(Genesis, data, bytes_max=GENESIS_BYTES_MAX)
    except RemoteProtocolError as error:
        raise LocalProtocolError(f"this is not a genesis file: {error}") from error
    check_genesis(genesis)
    return genesis


class Chain:
    """Everything that follows from a genesis: chain id, rules, first state, genesis block and light-client anchor."""

    def __init__(self, genesis: Genesis, verify: Verify) -> None:
        self.genesis = genesis
        self.parameters = genesis.parameters
        self.chain_id: bytes = hash_genesis(encode(genesis))
        self.verify = verify
        self.validators = ValidatorSet(genesis.validators)
        """The validators of the first epoch."""
        self.payout_of_miner = {miner.node_id: miner.payout for miner in genesis.miners}
        self.supply = sum(item.amount for item in genesis.allocations)
        self.accounts = {item.account: Account(item.amount, 0, ZERO_HASH, 0) for item in genesis.allocations}
        trie = QuadTrie()
        trie.update({key: encode_account(account) for key, account in self.accounts.items()})
        self.anchor = CheckpointHeader(
            1,
            self.chain_id,
            0,
            0,
            ZERO_HASH,
            ZERO_HASH,
            genesis.time_ms,
            trie.root,
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

    def rules_of(self, record: EpochRecord) -> ChainRules:
        """Return the rules of any epoch of this chain."""
        return rules_of(record, self.chain_id, self.parameters.epoch_ms, self.verify)
