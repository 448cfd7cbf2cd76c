"""The state tree in C and the one in Python give the same answers to everything, and the one in C is small."""

from __future__ import annotations

from hashlib import blake2b

import pytest
from both_trees import TREES
from hypothesis import given, settings
from hypothesis import strategies as st

from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.state.account import Account, encode_account
from supervm.protocol.state.leaves import account_leaf_id, hash_leaf_id
from supervm.protocol.state.trie_proof import VALUE_BYTES_MAX

quad = pytest.importorskip("supervm.protocol.state._quad")

IDS = st.integers(0, 90).map(lambda number: bytes([number % 5]) * (32 + 4 * (number % 9)) + bytes([number]))
VALUES = st.one_of(
    st.just(b""),
    st.binary(max_size=3),
    st.integers(0, VALUE_BYTES_MAX).map(lambda size: b"v" * size),
    st.integers(0, 2**64 - 1).map(lambda number: b"head\x1b" + number.to_bytes(8, "big")),
)
KEYS = st.binary(min_size=32, max_size=32) | IDS.map(hash_leaf_id) | st.sampled_from([bytes(32), b"\xff" * 32])


def summed(tree: object, kind: int, head: bytes) -> object:
    try:
        return tree.sum_after(kind, head)
    except ValueError as error:
        return str(error)


@settings(deadline=None)
@given(st.lists(st.tuples(st.dictionaries(IDS, VALUES, max_size=30), st.booleans()), max_size=6), st.lists(KEYS))
def test_both_trees_answer_alike_and_versions_stay_as_they_were(
    steps: list[tuple[dict[bytes, bytes], bool]], keys: list[bytes]
) -> None:
    versions = [(TREES["c"], TREES["python"])]
    for changes, hashed in steps:
        versions.append(tuple(tree.apply(changes, hashed) for tree in versions[-1]))
    # also a second child of an earlier version
    versions += [tuple(tree.apply(changes, True) for tree in versions[0]) for changes, _ in steps[1:]]
    ids = {leaf_id for changes, _ in steps for leaf_id in changes}
    for ours, plain in reversed(versions):
        assert (ours.root, len(ours)) == (plain.root, len(plain))
        assert [ours.get(leaf_id) for leaf_id in ids] == [plain.get(leaf_id) for leaf_id in ids]
        for key in (*keys, *map(hash_leaf_id, ids)):
            for side in (-1, 0, 1):
                assert ours.beside(key, side) == plain.beside(key, side)
            for some in (0, 1, 7, 1_000):
                assert ours.leaves_from(key, some) == plain.leaves_from(key, some)
        for kind in range(5):
            assert summed(ours, kind, b"head") == summed(plain, kind, b"head")


@pytest.mark.parametrize("size", [*range(12), 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**64 - 1])
def test_integers_of_every_length_are_summed(size: int) -> None:
    head = b"head"
    if size < 24:
        value = head + bytes([size])
    else:
        width = next(width for width in (1, 2, 4, 8) if size < 256**width)
        value = head + bytes([24 + width.bit_length() - 1]) + size.to_bytes(width, "big")
    leaves = {b"\x01%032d" % number: value for number in range(5)} | {b"\x02%032d" % 1: b"other"}
    for tree in TREES.values():
        full = tree.apply(leaves, True)
        assert full.sum_after(1, head) == 5 * size
        for bad in (b"", value[:-1], head + b"\x1c", head + b"\x40", b"haed" + value[4:], value[: len(head)]):
            with pytest.raises(ValueError, match="another form"):
                full.apply({b"\x01%032d" % 9: bad or b"h"}, True).sum_after(1, head)


@pytest.mark.parametrize("bad", [{bytes(32): b"a"}, {bytes(66): b"a"}, {bytes(33): bytes(VALUE_BYTES_MAX + 1)}])
@pytest.mark.parametrize("name", sorted(TREES))
def test_lengths_that_are_not_allowed_change_nothing(name: str, bad: dict[bytes, bytes]) -> None:
    tree = TREES[name].apply({b"\x01%032d" % 1: b"a"}, True)
    root = tree.root
    with pytest.raises(ValueError, match="not allowed"):
        tree.apply({b"\x01%032d" % 2: b"b"} | bad, True)
    assert tree.root == root


def test_what_is_no_bytes_is_refused_by_the_tree_in_c() -> None:
    tree = TREES["c"]
    for changes in ({"text" * 9: b"a"}, {bytes(33): "text"}, {bytes(33): bytearray(2)}, [(bytes(33), b"a")]):
        with pytest.raises(TypeError):
            tree.apply(changes, True)
    for key in (b"short", "text", bytes(33)):
        with pytest.raises((TypeError, ValueError)):
            tree.beside(key, 0)
        with pytest.raises((TypeError, ValueError)):
            tree.leaves_from(key, 1)


def leaves_of(number: int) -> dict[bytes, bytes]:
    name = blake2b(number.to_bytes(4, "big"), digest_size=32).digest()
    return {account_leaf_id(name): encode_account(Account(10**12 + number, number, ZERO_HASH, 0))}


def test_an_account_takes_less_than_200_bytes_and_versions_that_are_gone_take_none() -> None:
    tree, before = TREES["c"], quad.held_bytes()
    accounts = 100_000
    changes: dict[bytes, bytes] = {}
    for number in range(accounts):
        changes.update(leaves_of(number))
    tree = tree.apply(changes, True)
    assert quad.held_bytes() - before < 200 * accounts
    some = list(changes)[::10]
    held = 0
    for turn in range(20):
        tree = tree.apply(dict.fromkeys(some, bytes([turn]) * 54), True)
        held = quad.held_bytes() if turn < 2 else held
    assert quad.held_bytes() == held
    del tree
    again = TREES["c"].apply(changes, True)
    assert quad.held_bytes() == held
    assert len(again) == accounts
