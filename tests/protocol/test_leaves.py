"""Leaf ids and values: domains never meet, and what is written is read back, by one spelling (spec/state.md)."""

from __future__ import annotations

from hashlib import blake2b

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervm.protocol.base.codec import INT_MAX
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.state.account import Account, encode_account
from supervm.protocol.state.leaves import (
    ACCOUNT,
    ASSET,
    HOLDING,
    LEAF_ID_BYTES_MAX,
    LEAF_ID_BYTES_MIN,
    NATIVE,
    RESERVED,
    Asset,
    account_leaf_id,
    asset_leaf_id,
    balance_leaf_id,
    check_asset,
    decode_asset,
    decode_holding,
    encode_asset,
    encode_holding,
    hash_leaf_id,
    holding_leaf_id,
    parse_leaf_id,
    read_asset,
    write_asset,
)
from supervm.protocol.state.state import State, StateChange, state_of
from supervm.protocol.state.trie import QuadTrie

HASH = st.binary(min_size=32, max_size=32)
AMOUNT = st.integers(1, INT_MAX)
A, B, GOLD, ART = b"a" * 32, b"b" * 32, b"g" * 32, b"r" * 32


@given(HASH, HASH)
def test_ids_are_a_domain_byte_and_what_it_says(account: bytes, asset: bytes) -> None:
    assert parse_leaf_id(account_leaf_id(account)) == (ACCOUNT, account, NATIVE)
    assert parse_leaf_id(holding_leaf_id(account, asset)) == (HOLDING, account, asset)
    assert parse_leaf_id(asset_leaf_id(asset)) == (ASSET, b"", asset)
    assert balance_leaf_id(account, asset) == holding_leaf_id(account, asset) == b"\x02" + account + asset
    assert balance_leaf_id(account, NATIVE) == account_leaf_id(account) == b"\x01" + account
    assert asset_leaf_id(asset) == b"\x03" + asset


def test_ids_of_equal_bytes_in_two_domains_have_two_keys() -> None:
    ids = [account_leaf_id(A), asset_leaf_id(A), holding_leaf_id(A, A)]
    assert len({hash_leaf_id(leaf_id) for leaf_id in ids}) == 3
    for leaf_id in ids:
        assert hash_leaf_id(leaf_id) == blake2b(leaf_id, digest_size=32, person=b"svm.leafkey").digest()
        assert LEAF_ID_BYTES_MIN <= len(leaf_id) <= LEAF_ID_BYTES_MAX


def test_only_the_three_kinds_and_their_lengths_are_read() -> None:
    for kind in range(256):
        for size in (0, 31, 32, 33, 63, 64, 65):
            leaf_id = bytes([kind]) + bytes(size)
            if (kind, size) in ((ACCOUNT, 32), (HOLDING, 64), (ASSET, 32)):
                assert parse_leaf_id(leaf_id).kind == kind
                continue
            with pytest.raises(RemoteProtocolError, match=f"a leaf id of kind {kind} with {size + 1} bytes") as caught:
                parse_leaf_id(leaf_id)
            assert caught.value.code == "bad-leaf"


def test_reserved_kinds_are_not_in_use() -> None:
    assert RESERVED == {4: "object", 5: "code", 6: "name"}
    assert not {ACCOUNT, HOLDING, ASSET} & set(RESERVED)
    with pytest.raises(RemoteProtocolError, match="a leaf id of kind 0 with 0 bytes"):
        parse_leaf_id(b"")


@given(AMOUNT, HASH)
def test_values_are_read_back(amount: int, issuer: bytes) -> None:
    assert decode_holding(encode_holding(amount)) == amount
    assert decode_asset(encode_asset(Asset(issuer, amount))) == (issuer, amount)
    assert cbor2.loads(encode_holding(amount)) == ["holding", 1, amount]
    assert cbor2.loads(encode_asset(Asset(issuer, amount))) == ["asset", 1, issuer, amount]


def test_nothing_is_held_by_no_leaf() -> None:
    assert encode_holding(0) == b""
    for value in (b"", cbor2.dumps(["holding", 1, 0]), cbor2.dumps(["holding", 1, INT_MAX + 1]), b"\x00"):
        with pytest.raises(RemoteProtocolError):
            decode_holding(value)
    with pytest.raises(RemoteProtocolError):
        decode_asset(cbor2.dumps(["asset", 1, A, 0]))


def test_one_kinds_value_is_not_read_as_anothers() -> None:
    account, holding = encode_account(Account(5, 0, ZERO_HASH, 0)), encode_holding(5)
    asset = encode_asset(Asset(A, 5))
    for leaf_id, values in (
        (account_leaf_id(A), (holding, asset, b"")),
        (holding_leaf_id(A, B), (account, asset)),
        (asset_leaf_id(A), (account, holding, b"")),
    ):
        for value in values:
            with pytest.raises(RemoteProtocolError):
                state_of([(leaf_id, value)])


@pytest.mark.parametrize("size", range(70))
def test_an_asset_id_has_32_bytes_or_none(size: int) -> None:
    if size in (0, 32):
        check_asset(bytes(size))
        return
    with pytest.raises(RemoteProtocolError, match=f"this one has {size}"):
        check_asset(bytes(size))


@given(HASH.filter(any))
def test_an_asset_is_written_as_hex_and_the_native_one_by_name(asset: bytes) -> None:
    assert read_asset(write_asset(asset)) == asset
    assert write_asset(asset) == asset.hex()
    assert read_asset(asset.hex().upper()) == asset


def test_the_native_asset_has_three_spellings_for_people() -> None:
    assert write_asset(NATIVE) == "svm"
    assert [read_asset(text) for text in ("", "svm", "0" * 64)] == [NATIVE] * 3


@pytest.mark.parametrize("text", ["SVM", "gold", "00", "g" * 64, "ab" * 31, "ab" * 33, " " + "ab" * 32, "ab " * 32])
def test_other_text_is_no_asset(text: str) -> None:
    with pytest.raises(LocalProtocolError, match="is no asset: write svm for the native one, or the 64 hex digits"):
        read_asset(text)


# --- the state as maps and as leaves --------------------------------------------------------------------------------

STATES = st.builds(
    lambda accounts, held, assets: (accounts, held, assets),
    st.dictionaries(HASH, st.integers(0, INT_MAX), max_size=5),
    st.dictionaries(st.tuples(st.sampled_from([A, B]), HASH), AMOUNT, max_size=5),
    st.dictionaries(HASH, st.tuples(HASH, AMOUNT), max_size=3),
)


@given(STATES)
def test_a_state_is_its_leaves(parts: tuple[dict, dict, dict]) -> None:
    accounts, held, assets = parts
    change = StateChange(
        {key: Account(amount, 0, ZERO_HASH, 0) for key, amount in accounts.items()},
        held,
        {key: Asset(*made) for key, made in assets.items()},
    )
    state = State()
    state.apply(change)
    leaves = dict(state.leaves())
    assert leaves == change.leaves()
    again = state_of(leaves.items())
    assert (again.accounts, again.holdings, again.assets) == (state.accounts, state.holdings, state.assets)
    assert dict(again.leaves()) == leaves
    for (account, asset), amount in held.items():
        assert state.balance(account, asset) == amount
    assert QuadTrie(dict(again.leaves())).root == QuadTrie(leaves).root


def test_what_is_given_away_leaves_no_trace() -> None:
    state = State()
    state.apply(StateChange({}, {(A, GOLD): 5, (A, ART): 1}))
    state.apply(StateChange({}, {(A, GOLD): 0, (B, GOLD): 0}))
    assert state.holdings == {A: {ART: 1}}
    state.put_leaf(holding_leaf_id(A, ART), b"")
    state.put_leaf(holding_leaf_id(B, ART), b"")
    assert (state.holdings, list(state.leaves())) == ({}, [])
    assert (state.balance(A, GOLD), state.balance(A, NATIVE)) == (0, 0)


def test_what_is_wrong_with_the_sums_is_named_by_asset() -> None:
    state = State({A: Account(7, 0, ZERO_HASH, 0)})
    state.apply(StateChange({}, {(A, GOLD): 3, (B, GOLD): 2}, {GOLD: Asset(A, 5)}))
    assert state.totals() == {NATIVE: 7, GOLD: 5}
    assert state.supply_problem(7) is None
    assert state.supply_problem(8) == "the accounts sum to 7 of svm; the supply is 8"
    state.holdings[B][GOLD] = 3
    assert state.supply_problem(7) == f"the accounts sum to 6 of {GOLD.hex()[:16]}; the supply is 5"
    state.holdings = {A: {ART: 1}}
    assert state.supply_problem(7) is not None
    state.assets.clear()
    assert state.supply_problem(7) == f"the accounts sum to 1 of {ART.hex()[:16]}; the supply is 0"
