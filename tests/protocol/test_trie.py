"""The quad trie: its root is a function of the map alone (consensus.md 4)."""

from __future__ import annotations

import json
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from both_trees import each_tree  # noqa: F401 - every test, over both trees
from hypothesis import given
from hypothesis import strategies as st

from supervm.protocol.base.codec import encode
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.state.leaves import account_leaf_id, hash_leaf_id, holding_leaf_id
from supervm.protocol.state.trie import QuadTrie, TrieView
from supervm.protocol.state.trie_proof import VALUE_BYTES_MAX, verify

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "trees.json").read_text())["trie"]


def address(number: int) -> bytes:
    """A leaf id: an account's, or of each third number a holding's."""
    name = number.to_bytes(32, "big")
    return account_leaf_id(name) if number % 3 else holding_leaf_id(name, name)


def reference_root(accounts: dict[bytes, bytes]) -> bytes:
    """The definition of consensus.md 4, word for word and with no shared code."""

    def h(person: bytes, data: bytes) -> bytes:
        return blake2b(data, digest_size=32, person=person).digest()

    def subtree(entries: list[tuple[str, bytes]], depth: int) -> bytes:
        if not entries:
            return bytes(32)
        if len(entries) == 1:
            return entries[0][1]
        children = [
            subtree([e for e in entries if e[0][2 * depth : 2 * depth + 2] == bits], depth + 1)
            for bits in ("00", "01", "10", "11")
        ]
        return h(b"q4node", b"".join(children))

    leaves = []
    for who, value in accounts.items():
        key = h(b"svm.leafkey", who)
        leaves.append((f"{int.from_bytes(key, 'big'):0256b}", h(b"q4leaf", key + h(b"q4value", value))))
    return subtree(leaves, 0)


ADDRESSES = st.integers(0, 60).map(address)
MAPS = st.dictionaries(ADDRESSES, st.binary(min_size=1, max_size=6), max_size=60)
CHANGES = st.dictionaries(ADDRESSES, st.binary(max_size=3), max_size=40)


def merged(accounts: dict[bytes, bytes], changes: dict[bytes, bytes]) -> dict[bytes, bytes]:
    return {who: value for who, value in (accounts | changes).items() if value}


def check(trie: QuadTrie | TrieView, accounts: dict[bytes, bytes]) -> None:
    assert trie.root == reference_root(accounts)
    assert len(trie) == len(accounts)
    assert list(trie.items()) == sorted(accounts.items(), key=lambda item: hash_leaf_id(item[0]))


def test_no_account_is_32_zero_bytes() -> None:
    trie = QuadTrie()
    assert trie.root == bytes(32)
    assert len(trie) == 0
    assert list(trie.items()) == []
    assert trie.get(address(1)) is None


def test_one_account_is_its_leaf() -> None:
    check(QuadTrie({address(1): b"a"}), {address(1): b"a"})


@given(MAPS)
def test_root_is_that_of_the_definition(accounts: dict[bytes, bytes]) -> None:
    check(QuadTrie(accounts), accounts)


@given(st.lists(CHANGES, max_size=8))
def test_root_does_not_depend_on_history(batches: list[dict[bytes, bytes]]) -> None:
    trie, accounts = QuadTrie(), dict[bytes, bytes]()
    for changes in batches:
        trie.update(changes)
        accounts = merged(accounts, changes)
        check(trie, accounts)


@given(MAPS, st.randoms(use_true_random=False))
def test_one_by_one_in_any_order_gives_the_root_of_one_batch(accounts: dict[bytes, bytes], rng: Random) -> None:
    order = list(accounts)
    rng.shuffle(order)
    trie = QuadTrie()
    for who in order:
        trie.update({who: accounts[who]})
    assert trie.root == QuadTrie(accounts).root
    for who in order:
        trie.update({who: b""})
    assert trie.root == bytes(32)
    assert len(trie) == 0


@given(MAPS, st.lists(CHANGES, max_size=6))
def test_undo_restores_every_earlier_version(start: dict[bytes, bytes], batches: list[dict[bytes, bytes]]) -> None:
    trie = QuadTrie(start)
    done, accounts = [], start
    for changes in batches:
        done.append((trie.update(changes), accounts))
        accounts = merged(accounts, changes)
    for undo, before in reversed(done):
        trie.revert(undo)
        check(trie, before)


def test_undo_out_of_order_is_refused() -> None:
    trie = QuadTrie()
    first = trie.update({address(1): b"a"})
    trie.update({address(1): b"b"})
    with pytest.raises(LocalProtocolError, match="last update"):
        trie.revert(first)


@given(MAPS, CHANGES)
def test_a_snapshot_keeps_its_version_and_its_proofs(start: dict[bytes, bytes], changes: dict[bytes, bytes]) -> None:
    trie = QuadTrie(start)
    old, root = trie.snapshot(), trie.root
    trie.update(changes)
    check(old, start)
    for number in range(61):
        who = address(number)
        assert old.get(who) == start.get(who)
        assert verify(root, who, old.prove(who)) == start.get(who)
        assert trie.get(who) == merged(start, changes).get(who)
        assert verify(trie.root, who, trie.prove(who)) == trie.get(who)


def deep_neighbours() -> list[bytes]:
    """Addresses whose keys agree in the most leading digits among the first 40,000."""
    keys = sorted((hash_leaf_id(address(n)), address(n)) for n in range(40_000))
    pairs = sorted(
        pairwise(keys), key=lambda pair: int.from_bytes(pair[0][0], "big") ^ int.from_bytes(pair[1][0], "big")
    )
    return [who for pair in pairs[:4] for _, who in pair]


def test_keys_with_a_long_common_prefix_make_a_chain_of_nodes_and_collapse_again() -> None:
    close = dict.fromkeys(deep_neighbours(), b"x")
    trie = QuadTrie(close)
    check(trie, close)
    assert max(len(trie.prove(who).masks) for who in close) >= 12
    rest = dict(close)
    for who in list(close):
        del rest[who]
        trie.update({who: b""})
        check(trie, rest)


@pytest.mark.parametrize(
    "changes",
    [{bytes(32): b"a"}, {bytes(66): b"a"}, {address(1): bytes(VALUE_BYTES_MAX + 1)}],
    ids=["short id", "long id", "long value"],
)
def test_a_bad_change_leaves_the_trie_as_it_was(changes: dict[bytes, bytes]) -> None:
    trie = QuadTrie({address(1): b"a"})
    root = trie.root
    with pytest.raises(LocalProtocolError, match="33 to 65 and at most"):
        trie.update({address(2): b"b"} | changes)
    assert trie.root == root


def test_many_accounts_and_batches() -> None:
    accounts = {address(n): n.to_bytes(4, "big") for n in range(3_000)}
    trie = QuadTrie(accounts)
    changes = {address(n): b"new" if n % 3 else b"" for n in range(1_000, 4_000, 7)}
    trie.update(changes)
    check(trie, merged(accounts, changes))


def test_frozen_roots_and_proof_bytes() -> None:
    for case in VECTORS:
        accounts = {bytes.fromhex(who): bytes.fromhex(value) for who, value in case["leaves"].items()}
        trie = QuadTrie(accounts)
        assert trie.root.hex() == case["root"]
        for who, proof in case["proofs"].items():
            assert encode(trie.prove(bytes.fromhex(who))).hex() == proof
