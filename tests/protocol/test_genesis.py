"""Genesis: agreed order, refusals, and what follows from it (decisions.md, Genesis; economics.md 5)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from chain_tools import make_test_chain, test_key
from hypothesis import given, settings
from hypothesis import strategies as st

from supervm.protocol.base.codec import INT_MAX, encode
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.base.hashing import ZERO_HASH, hash_genesis
from supervm.protocol.base.keys import verify
from supervm.protocol.chain.allocations import Allocation
from supervm.protocol.chain.genesis import (
    ASSETS_MAX,
    GENESIS_BYTES_MAX,
    Chain,
    Genesis,
    GenesisAsset,
    Miner,
    Parameters,
    check_genesis,
    genesis_asset_id,
    load_genesis,
    make_genesis,
)
from supervm.protocol.chain.validators import leader_permutation
from supervm.protocol.state.account import pool_account
from supervm.protocol.state.trie import QuadTrie

CHAIN = make_test_chain(
    4, {"alice": 5, "bob": 7, "carol": 9}, miners=3, assets={"gold": {"alice": 3, "dave": 4}, "art": {"bob": 1}}
)
GENESIS = CHAIN.chain.genesis
GOLD, ART = genesis_asset_id("gold"), genesis_asset_id("art")
STATE = CHAIN.chain.first_state()
ALLOCATIONS = [
    *(Allocation(account, held.balance) for account, held in STATE.accounts.items()),
    *(Allocation(account, held[asset], asset) for account, held in STATE.holdings.items() for asset in held),
]
replace = msgspec.structs.replace


def remake(**changes: Any) -> Genesis:
    return remake_both(**changes)[0]


def remake_both(**changes: Any) -> tuple[Genesis, tuple[Allocation, ...]]:
    fields: dict[str, Any] = {
        "name": GENESIS.name,
        "time_ms": GENESIS.time_ms,
        "validators": GENESIS.validators,
        "miners": GENESIS.miners,
        "allocations": ALLOCATIONS,
        "assets": [(item.name, item.issuer) for item in GENESIS.assets],
        "parameters": GENESIS.parameters,
    }
    return make_genesis(**(fields | changes))


def test_a_file_is_read_back() -> None:
    assert load_genesis(encode(GENESIS)) == GENESIS


@given(st.permutations(GENESIS.miners), st.permutations(ALLOCATIONS), st.permutations(GENESIS.assets))
@settings(max_examples=20)
def test_miners_assets_and_allocations_have_one_order(
    miners: list[Miner], allocations: list[Allocation], assets: list[GenesisAsset]
) -> None:
    listed = [(item.name, item.issuer) for item in assets]
    genesis, ordered = remake_both(miners=tuple(miners), allocations=allocations, assets=listed)
    assert genesis == GENESIS
    assert list(ordered) == sorted(ALLOCATIONS, key=lambda item: (item.account, item.asset))


def test_validators_keep_the_order_of_their_indices() -> None:
    turned = remake(validators=GENESIS.validators[::-1])
    assert turned.validators == GENESIS.validators[::-1]
    assert Chain(turned, verify).chain_id != CHAIN.chain_id


NO_POINT = b"\x02" + bytes(31)  # y = 2 is the height of no point of the curve


def validator(**changes: Any) -> Genesis:
    """Genesis with a wrong last validator."""
    members = GENESIS.validators
    return replace(GENESIS, validators=(*members[:-1], replace(members[-1], **changes)))


def parameters(**changes: Any) -> Genesis:
    return replace(GENESIS, parameters=replace(GENESIS.parameters, **changes))


FIRST, SECOND = ALLOCATIONS[:2]
WRONG: dict[str, tuple[Genesis, str]] = {
    "an asset twice": (replace(GENESIS, assets=GENESIS.assets[:1] * 2), "genesis: asset art is double"),
    "assets out of order": (replace(GENESIS, assets=GENESIS.assets[::-1]), "genesis: asset art is double or out of"),
    "an asset with the native one's name": (
        replace(GENESIS, assets=(*GENESIS.assets, replace(GENESIS.assets[0], name="svm"))),
        "an asset is called svm",
    ),
    "a miner twice": (replace(GENESIS, miners=GENESIS.miners[:1] * 2), "genesis: miner"),
    "miners out of order": (replace(GENESIS, miners=GENESIS.miners[::-1]), "genesis: miner"),
    "a validator twice": (replace(GENESIS, validators=GENESIS.validators[:1] * 2), "two validators share one key"),
    "a validator whose key is zero": (validator(key=bytes(32)), "the key of validator 3, 0+: this is no usable"),
    "a validator whose node is no point": (validator(node_id=NO_POINT), "the node id of validator 3, 0200.*no usable"),
    "a payout of small order": (validator(payout=b"\x01" + bytes(31)), "payout of validator 3, 0100.*no usable"),
    "another validator's key for its node": (
        validator(node_id=GENESIS.validators[2].key),
        "the node id of validator 3 is the key of validator 2 too",
    ),
    "a miner that validates": (
        validator(node_id=GENESIS.miners[0].node_id),
        "the node id of miner .* is the node id of validator 3 too",
    ),
    "a miner that a pool is paid for": (
        replace(GENESIS, miners=(replace(GENESIS.miners[0], payout=pool_account("treasury")),)),
        "payout of miner .* is a pool",
    ),
    "a miner's node of small order": (
        replace(GENESIS, miners=(replace(GENESIS.miners[0], node_id=bytes(32)),)),
        "id of miner 0+, 0+: .*no usable",
    ),
    "shares below the whole": (parameters(fee_shares_bps=(1, 2, 3, 4)), "sum to 10000 bps"),
    "time-outs the wrong way round": (parameters(view_timeout_ms=60_001), "view_timeout_ms is 60001 to 60000"),
    "validity the wrong way round": (parameters(validity_ms_max=4_999), "validity_ms is 5000 to 4999"),
}


@pytest.mark.parametrize(("genesis", "reason"), WRONG.values(), ids=WRONG)
def test_a_wrong_genesis_is_refused_when_checked_and_when_read(genesis: Genesis, reason: str) -> None:
    with pytest.raises(LocalProtocolError, match=reason):
        check_genesis(genesis)
    with pytest.raises(LocalProtocolError, match=reason):
        load_genesis(encode(genesis))


def test_double_entries_are_refused_when_made() -> None:
    with pytest.raises(LocalProtocolError, match="is double"):
        remake(allocations=[*ALLOCATIONS, FIRST._replace(amount=1)])
    with pytest.raises(LocalProtocolError, match="is double"):
        remake(miners=(*GENESIS.miners, GENESIS.miners[0]))


@pytest.mark.parametrize("data", [b"", b"genesis", encode(GENESIS)[:-1], encode(GENESIS) + b"\x00", b"\x80", b"\xff"])
def test_what_is_no_genesis_file_is_our_own_error(data: bytes) -> None:
    with pytest.raises(LocalProtocolError, match="this is not a genesis file"):
        load_genesis(data)


def test_the_greatest_supply_is_allowed_and_no_more() -> None:
    whole = remake(allocations=[FIRST._replace(amount=INT_MAX)], assets=())
    assert Chain(whole, verify).supply == INT_MAX
    with pytest.raises(LocalProtocolError, match=f"sum to {INT_MAX + 1} grain; at most {INT_MAX} are allowed"):
        remake(allocations=[FIRST._replace(amount=INT_MAX), SECOND._replace(amount=1)], assets=())
    with pytest.raises(LocalProtocolError, match=f"'gold' has {INT_MAX + 1} in allocations"):
        remake(allocations=[Allocation(bytes(32), INT_MAX, GOLD), Allocation(b"x" * 32, 1, GOLD)], assets=ASSET)


ASSET = [("gold", CHAIN.account("issuer-gold"))]


def test_an_asset_has_a_name_and_allocations() -> None:
    for name in ("", "x" * 33, "silver"):
        with pytest.raises(LocalProtocolError, match=r"in allocations; 1 to .* a name of 1 to 32"):
            remake(assets=[(name, bytes(32)), *ASSET])
    with pytest.raises(LocalProtocolError, match=f"of asset {ART.hex()}, which genesis does not have"):
        remake(assets=ASSET)


def test_the_largest_genesis_is_within_the_bound() -> None:
    """255 validators, 4,096 miners and 256 assets, every number at its greatest."""
    member = replace(GENESIS.validators[0], weight=INT_MAX)
    item = GenesisAsset(1, "\U0001f600" * 32, bytes(32), INT_MAX)
    widest = replace(
        GENESIS, validators=(member,) * 255, miners=GENESIS.miners[:1] * 4_096, assets=(item,) * ASSETS_MAX
    )
    assert len(encode(widest)) < GENESIS_BYTES_MAX // 4


def test_what_follows_from_a_genesis() -> None:
    chain = CHAIN.chain
    assert chain.chain_id == hash_genesis(encode(GENESIS))
    assert chain.supply == 21 == sum(account.balance for account in STATE.accounts.values())
    assert STATE.accounts[test_key("bob").public] == (7, 0, ZERO_HASH, 0)
    assert STATE.holdings == {
        CHAIN.account("alice"): {GOLD: 3},
        CHAIN.account("dave"): {GOLD: 4},
        CHAIN.account("bob"): {ART: 1},
    }
    assert STATE.assets == {
        GOLD: (CHAIN.account("issuer-gold"), 7),
        ART: (CHAIN.account("issuer-art"), 1),
    }
    assert (GENESIS.allocations, [item.name for item in GENESIS.assets]) == (6, ["art", "gold"])
    assert chain.first_state() is not chain.first_state()
    assert chain.rules.leaders == leader_permutation(4, chain.chain_id)
    assert chain.payout_of_miner[CHAIN.miner_keys[1].public] == test_key("miner-payout1").public
    anchor = chain.anchor
    trie = QuadTrie(dict(STATE.leaves()))
    assert (anchor.chain_id, anchor.height, anchor.supply) == (chain.chain_id, 0, 21)
    assert (anchor.state_root, anchor.validators_hash) == (trie.root, chain.validators.hash)
    assert (anchor.receipts_root, anchor.history_root, anchor.prev_hash) == (ZERO_HASH, ZERO_HASH, ZERO_HASH)
    header = chain.genesis_header
    assert (header.last_checkpoint.height, header.last_checkpoint.hash) == (0, anchor.hash)
    assert (header.view, header.height, header.chain_id) == (0, 0, chain.chain_id)


def test_every_field_is_under_the_chain_id() -> None:
    changed = [
        remake(name="other"),
        remake(time_ms=1),
        remake(validators=GENESIS.validators[:3]),
        remake(miners=()),
        remake(allocations=[FIRST._replace(amount=1), *ALLOCATIONS[1:]]),
        remake(allocations=ALLOCATIONS[1:]),
        remake(assets=[(item.name, bytes(32)) for item in GENESIS.assets]),
        *(
            remake(parameters=replace(Parameters(2), **{field.name: value}))
            for field, value in zip(
                msgspec.structs.fields(Parameters)[1:],
                (True, (2_500,) * 4, 1, 70_000, 1, 1, 0, 1, 0, 5_000, 1, 1),
                strict=True,
            )
        ),
    ]
    ids = {Chain(genesis, verify).chain_id for genesis in changed} | {CHAIN.chain_id}
    assert len(ids) == len(changed) + 1
