"""The state on its tree is the state in maps: equal accounts, holdings, assets, sums and leaves after any history."""

from __future__ import annotations

import cbor2
import pytest
from both_trees import each_tree  # noqa: F401 - every test, over both trees
from hypothesis import given, settings
from hypothesis import strategies as st

from supervm.protocol.base.codec import INT_MAX, encode, write_uint
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.state import tree_state
from supervm.protocol.state.account import (
    ACCOUNT_HEAD,
    EMPTY_ACCOUNT,
    Account,
    AccountLeaf,
    decode_account,
    encode_account,
)
from supervm.protocol.state.leaves import NATIVE, Asset, account_leaf_id, holding_leaf_id
from supervm.protocol.state.state import State, StateChange
from supervm.protocol.state.tree_state import TreeState
from supervm.protocol.state.trie import QuadTrie

NAMES = [bytes([number]) * 32 for number in range(1, 9)]
ASSETS = [bytes([number]) * 32 for number in (200, 201, 202)]
NUMBERS = st.integers(0, 300) | st.integers(0, INT_MAX)
ACCOUNTS = st.builds(Account, NUMBERS, NUMBERS, st.binary(min_size=32, max_size=32), st.integers(0, 255))
CHANGES = st.builds(
    StateChange,
    st.dictionaries(st.sampled_from(NAMES), ACCOUNTS, max_size=5),
    st.dictionaries(st.tuples(st.sampled_from(NAMES), st.sampled_from(ASSETS)), st.integers(0, 5), max_size=5),
    st.dictionaries(st.sampled_from(ASSETS), st.builds(Asset, st.sampled_from(NAMES), st.integers(1, 9)), max_size=1),
)


@given(st.integers(0, 2**64 - 1) | st.integers(0, 70_000))
def test_integers_are_written_as_canonical_cbor(number: int) -> None:
    assert write_uint(number) == cbor2.dumps(number)


@given(ACCOUNTS)
def test_an_account_is_written_as_its_agreed_bytes(account: Account) -> None:
    assert encode_account(account) == encode(AccountLeaf(1, *account))
    assert encode_account(account).startswith(ACCOUNT_HEAD + write_uint(account.balance))
    assert decode_account(encode_account(account)) == account


@settings(deadline=None)
@given(st.lists(CHANGES, max_size=6), st.sampled_from([2, 1 << 15]))
def test_any_history_gives_the_same_state(changes: list[StateChange], remembered: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tree_state, "ACCOUNTS_REMEMBERED", remembered)
        plain, state = State(), TreeState()
        views = []
        for change in changes:
            plain.apply(change)
            state.apply(change)
            views.append((state.view(), dict(plain.leaves())))
            for again in (state, TreeState()):
                if again is not state:
                    again.load(plain.leaves())
                assert (again.accounts, again.holdings, again.assets) == (plain.accounts, plain.holdings, plain.assets)
                assert len(again.accounts) == len(plain.accounts)
                assert again.totals() == plain.totals()
                assert again.supply_problem(7) == plain.supply_problem(7)
                assert dict(again.leaves()) == dict(plain.leaves())
                assert again.root == QuadTrie(dict(plain.leaves())).root
                for name in NAMES:
                    assert again.accounts.get(name) == plain.accounts.get(name)
                    assert (name in again.accounts) == (name in plain.accounts)
                    for asset in (NATIVE, *ASSETS):
                        assert again.balance(name, asset) == plain.balance(name, asset)
        for view, leaves in views:
            assert dict(view.items()) == leaves


def test_leaves_may_come_again_and_the_last_word_counts() -> None:
    state = TreeState()
    account, holding = account_leaf_id(NAMES[0]), holding_leaf_id(NAMES[0], ASSETS[0])
    value = encode_account(Account(5, 1, bytes(32), 0))
    held = dict(State({}, {NAMES[0]: {ASSETS[0]: 3}}).leaves())[holding]
    state.load([(account, encode_account(EMPTY_ACCOUNT)), (holding, held), (account, value), (holding, b"")])
    assert (state.accounts, state.holdings) == ({NAMES[0]: Account(5, 1, bytes(32), 0)}, {})
    assert state.root == QuadTrie({account: value}).root
    state.load([(holding, held)])
    assert (dict(state.accounts), state.holdings) == ({}, {NAMES[0]: {ASSETS[0]: 3}})


def test_one_leaf_and_one_account_can_be_put() -> None:
    state, plain = TreeState(), State()
    leaves = State({NAMES[0]: Account(5, 1, bytes(32), 0)}, {NAMES[1]: {ASSETS[0]: 3}}, {ASSETS[0]: Asset(NAMES[2], 3)})
    for leaf in leaves.leaves():
        state.put_leaf(*leaf)
        plain.put_leaf(*leaf)
        assert dict(state.leaves()) == dict(plain.leaves())
    state.accounts[NAMES[1]] = plain.accounts[NAMES[1]] = Account(9, 0, bytes(32), 0)
    state.put_leaf(holding_leaf_id(NAMES[1], ASSETS[0]), b"")
    assert state.accounts == plain.accounts
    assert state.holdings == {}
    with pytest.raises(TypeError, match="never removed"):
        del state.accounts[NAMES[1]]
    with pytest.raises(KeyError):
        state.accounts[NAMES[5]]


@pytest.mark.parametrize(
    "leaf", [(b"\x04" + bytes(32), b"x"), (b"\x01" + bytes(40), b"x"), (b"\x02" + bytes(64), b"x")]
)
def test_what_is_no_leaf_is_refused(leaf: tuple[bytes, bytes]) -> None:
    with pytest.raises(RemoteProtocolError):
        TreeState().load([leaf])
    with pytest.raises(RemoteProtocolError):
        TreeState().put_leaf(*leaf)


def test_a_damaged_account_is_found_by_whoever_sums_or_reads_it() -> None:
    state = TreeState()
    state.load([(account_leaf_id(NAMES[0]), b"damaged")])
    with pytest.raises(LocalProtocolError, match="damaged"):
        state.totals()
    with pytest.raises(RemoteProtocolError):
        state.accounts.get(NAMES[0])
