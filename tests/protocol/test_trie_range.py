"""Runs of leaves: exactly the leaves from a position on verify, and nothing else does (consensus.md 2.8)."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from both_trees import each_tree  # noqa: F401 - every test, over both trees
from hypothesis import given
from hypothesis import strategies as st
from range_vectors import range_vectors

from supervm.protocol.base.codec import encode
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.state.account import ACCOUNT_BYTES_MIN
from supervm.protocol.state.leaves import account_leaf_id, hash_leaf_id, holding_leaf_id
from supervm.protocol.state.trie import QuadTrie
from supervm.protocol.state.trie_proof import (
    VALUE_BYTES_MAX,
    digit_at,
    hash_leaf,
    hash_node,
    hash_value,
)
from supervm.protocol.state.trie_range import (
    FIRST_KEY,
    RANGE_BYTES_MAX,
    RANGE_BYTES_MIN,
    RANGE_LEAVES_MAX,
    TrieRange,
    decode_trie_range,
    prove_range,
    verify_range,
)

VECTORS = Path(__file__).parents[1] / "vectors" / "ranges.json"
LAST_KEY = b"\xff" * 32


def address(number: int) -> bytes:
    """A leaf id: an account's, or of each third number a holding's."""
    name = number.to_bytes(32, "big")
    return account_leaf_id(name) if number % 3 else holding_leaf_id(name, name)


def after(key: bytes) -> bytes:
    return (int.from_bytes(key, "big") + 1).to_bytes(32, "big")


def trie_of(count: int) -> QuadTrie:
    return QuadTrie({address(n): b"value %d" % n for n in range(count)})


TRIE = trie_of(40)
LEAVES = list(TRIE.items())
KEYS = [hash_leaf_id(who) for who, _ in LEAVES]
MIDDLE = prove_range(TRIE.snapshot(), KEYS[11], leaves_max=9)


def refused(root: bytes, first_key: bytes, proof: TrieRange) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        verify_range(root, first_key, proof)
    assert caught.value.code == "bad-range"


def change(proof: TrieRange, **fields: object) -> TrieRange:
    return msgspec.structs.replace(proof, **fields)


VALUES = st.binary(min_size=ACCOUNT_BYTES_MIN, max_size=ACCOUNT_BYTES_MIN + 9)
MAPS = st.dictionaries(st.integers(0, 200).map(address), VALUES, max_size=70)
POSITIONS = st.binary(min_size=32, max_size=32) | st.sampled_from([FIRST_KEY, LAST_KEY, *KEYS, *map(after, KEYS)])


@given(MAPS, POSITIONS, st.integers(1, 80))
def test_a_run_is_the_next_leaves_and_says_whether_more_come(
    accounts: dict[bytes, bytes], first_key: bytes, count: int
) -> None:
    trie = QuadTrie(accounts)
    proof = decode_trie_range(encode(prove_range(trie.snapshot(), first_key, leaves_max=count)))
    due = [item for item in trie.items() if hash_leaf_id(item[0]) >= first_key]
    assert list(proof.leaves) == due[:count]
    following = verify_range(trie.root, first_key, proof)
    assert following == (after(hash_leaf_id(due[count - 1][0])) if len(due) > count else None)


@given(MAPS, st.integers(1, 30))
def test_runs_in_a_row_are_the_whole_state(accounts: dict[bytes, bytes], count: int) -> None:
    trie = QuadTrie(accounts)
    position: bytes | None = FIRST_KEY
    got: list[tuple[bytes, bytes]] = []
    while position is not None:
        proof = prove_range(trie.snapshot(), position, leaves_max=count)
        position = verify_range(trie.root, position, proof)
        got += proof.leaves
    assert got == list(trie.items())


@given(MAPS.filter(lambda accounts: len(accounts) > 2), POSITIONS, st.integers(1, 80), st.data())
def test_what_is_left_out_added_or_changed_is_refused(
    accounts: dict[bytes, bytes], first_key: bytes, count: int, data: st.DataObject
) -> None:
    trie = QuadTrie(accounts)
    proof = prove_range(trie.snapshot(), first_key, leaves_max=count)
    leaves = list(proof.leaves)
    for place in sorted({0, len(leaves) // 2, len(leaves) - 1} & set(range(len(leaves)))):
        refused(trie.root, first_key, change(proof, leaves=tuple(leaves[:place] + leaves[place + 1 :])))
        who, value = leaves[place]
        for instead in ([(who, value + b"x")], [leaves[place]] * 2):
            refused(trie.root, first_key, change(proof, leaves=(*leaves[:place], *instead, *leaves[place + 1 :])))
    stranger = data.draw(st.integers(201, 400).map(address))
    more = sorted([*leaves, (stranger, b"x")], key=lambda leaf: hash_leaf_id(leaf[0]))
    refused(trie.root, first_key, change(proof, leaves=tuple(more)))
    refused(
        trie.root,
        first_key,
        change(proof, leaves=tuple(reversed(leaves)))
        if len(leaves) > 1
        else change(proof, left_masks=proof.left_masks + b"\x00"),
    )


@given(MAPS.filter(bool), POSITIONS, POSITIONS, st.integers(1, 80))
def test_a_run_cannot_pass_for_one_from_elsewhere_unless_it_is_the_same(
    accounts: dict[bytes, bytes], asked: bytes, given_: bytes, count: int
) -> None:
    trie = QuadTrie(accounts)
    proof = prove_range(trie.snapshot(), given_, leaves_max=count)
    due = [item for item in trie.items() if hash_leaf_id(item[0]) >= asked]
    try:
        following = verify_range(trie.root, asked, proof)
    except RemoteProtocolError:
        return
    assert list(proof.leaves) == due[: len(proof.leaves)]
    assert (following is None) == (len(proof.leaves) == len(due))


@given(MAPS, POSITIONS, st.integers(1, 80), st.data())
def test_a_changed_byte_never_gives_other_leaves(
    accounts: dict[bytes, bytes], first_key: bytes, count: int, data: st.DataObject
) -> None:
    trie = QuadTrie(accounts)
    honest = prove_range(trie.snapshot(), first_key, leaves_max=count)
    raw = bytearray(encode(honest))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(RemoteProtocolError):
        verify_range(trie.root, first_key, decode_trie_range(bytes(raw)))


def test_every_change_of_one_bit_is_refused() -> None:
    data = encode(MIDDLE)
    for bit in range(8 * len(data)):
        mutant = bytearray(data)
        mutant[bit >> 3] ^= 1 << (bit & 7)
        with pytest.raises(RemoteProtocolError) as caught:
            verify_range(TRIE.root, KEYS[11], decode_trie_range(bytes(mutant)))
        assert caught.value.code == "bad-range"


def test_an_end_that_is_not_the_end_cannot_be_claimed() -> None:
    """Leaving out what hangs off the right, at one level or at all, gives another root."""
    refused(TRIE.root, KEYS[11], change(MIDDLE, right_masks=bytes(len(MIDDLE.right_masks)), right_siblings=b""))
    refused(TRIE.root, KEYS[11], change(MIDDLE, right_masks=b"", right_siblings=b""))
    refused(TRIE.root, KEYS[11], change(MIDDLE, leaves=(), right_masks=b"", right_siblings=b""))
    refused(TRIE.root, KEYS[11], change(MIDDLE, leaves=()))
    for first_key in (FIRST_KEY, KEYS[0], KEYS[39]):
        refused(TRIE.root, first_key, prove_range(TRIE.snapshot(), LAST_KEY))


def test_nobody_comes_after_the_last_leaf() -> None:
    proof = prove_range(TRIE.snapshot(), after(KEYS[-1]))
    assert proof.leaves == ()
    assert verify_range(TRIE.root, after(KEYS[-1]), proof) is None


def test_a_leaf_before_the_position_is_shown_where_the_path_ends_in_it() -> None:
    """Its key must be below the position: a leaf of the run cannot be hidden there."""
    shown = 0
    for index, key in enumerate(KEYS[:-1]):
        proof = prove_range(TRIE.snapshot(), after(key), leaves_max=5)
        assert proof.before_key == key
        shown += 1
        refused(TRIE.root, after(key), change(proof, before_key=b"", before_value_hash=b""))
        refused(TRIE.root, after(key), change(proof, before_key=key[:31]))
        refused(TRIE.root, after(key), change(proof, before_value_hash=b""))
        hidden = change(
            prove_range(TRIE.snapshot(), key, leaves_max=5),
            before_key=key,
            before_value_hash=hash_value(LEAVES[index][1]),
        )
        refused(TRIE.root, key, hidden)
        refused(TRIE.root, key, change(hidden, leaves=hidden.leaves[1:]))
    assert shown == 39


def test_no_account_and_one_account() -> None:
    empty = QuadTrie().snapshot()
    assert prove_range(empty, KEYS[3]) == TrieRange(1, (), b"", b"", b"", b"", b"", b"")
    assert verify_range(ZERO_HASH, KEYS[3], prove_range(empty, KEYS[3])) is None
    one = trie_of(1)
    key = hash_leaf_id(address(0))
    for first_key, count in ((FIRST_KEY, 1), (key, 1), (after(key), 0), (LAST_KEY, 0)):
        proof = prove_range(one.snapshot(), first_key)
        assert len(proof.leaves) == count
        assert verify_range(one.root, first_key, proof) is None
        refused(ZERO_HASH, first_key, proof)
        refused(one.root, first_key, prove_range(empty, first_key))


@pytest.mark.parametrize(
    "fields",
    [
        {"left_masks": MIDDLE.left_masks + b"\x00"},
        {"right_masks": MIDDLE.right_masks + b"\x00"},
        {"left_masks": bytes(mask | 16 for mask in MIDDLE.left_masks)},
        {"right_masks": bytes(mask | 16 for mask in MIDDLE.right_masks)},
        {"left_masks": bytes([15]) + MIDDLE.left_masks[1:]},
        {"right_masks": bytes([15]) + MIDDLE.right_masks[1:]},
        {"left_masks": MIDDLE.left_masks * 129},
        {"left_siblings": MIDDLE.left_siblings + bytes(32)},
        {"left_siblings": MIDDLE.left_siblings[:-1]},
        {"right_siblings": MIDDLE.right_siblings[32:]},
        {"right_siblings": MIDDLE.right_siblings + b"x"},
        {"left_masks": b"", "left_siblings": b""},
    ],
)
def test_every_fault_of_form_is_refused(fields: dict[str, object]) -> None:
    refused(TRIE.root, KEYS[11], change(MIDDLE, **fields))


def test_a_marked_child_may_not_be_a_zero_hash() -> None:
    """The same root could otherwise be reached with nothing written out as something."""
    who = next(address(n) for n in range(100) if digit_at(hash_leaf_id(address(n)), 0) == 1)
    key = hash_leaf_id(who)
    leaf = hash_leaf(key + hash_value(b"v"))
    root = hash_node(ZERO_HASH + leaf + ZERO_HASH + ZERO_HASH)
    refused(root, key, TrieRange(1, ((who, b"v"),), b"", b"", b"\x01", ZERO_HASH, b"\x00", b""))
    refused(root, key, TrieRange(1, ((who, b"v"),), b"", b"", b"\x00", b"", b"\x00", b""))  # a node of one leaf


@given(st.binary(max_size=200))
def test_garbage_raises_nothing_but_bad_range(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_trie_range(data)
    assert caught.value.code == "bad-range"


WILD = st.binary(max_size=130)


@given(
    st.lists(st.tuples(st.integers(0, 90).map(address), st.binary(min_size=1, max_size=9)), max_size=9),
    st.binary(max_size=33),
    st.binary(max_size=33),
    WILD,
    WILD,
    WILD,
    WILD,
    POSITIONS,
)
def test_wild_fields_raise_nothing_but_bad_range(
    leaves: list[tuple[bytes, bytes]],
    key: bytes,
    value_hash: bytes,
    left: bytes,
    left_hashes: bytes,
    right: bytes,
    right_hashes: bytes,
    first_key: bytes,
) -> None:
    refused(b"r" * 32, first_key, TrieRange(1, tuple(leaves), key, value_hash, left, left_hashes, right, right_hashes))


def test_bounds_are_kept_and_one_leaf_always_fits() -> None:
    long = QuadTrie({address(n): bytes([n]) * VALUE_BYTES_MAX for n in range(1, 101)})
    smallest = prove_range(long.snapshot(), FIRST_KEY, bytes_max=RANGE_BYTES_MIN)
    assert 1 <= len(smallest.leaves) < 100
    assert len(encode(smallest)) <= RANGE_BYTES_MIN
    some = prove_range(long.snapshot(), FIRST_KEY, bytes_max=100_000)
    assert 60_000 < len(encode(some)) <= 100_000
    assert len(encode(prove_range(long.snapshot(), FIRST_KEY))) <= RANGE_BYTES_MAX
    for wrong in (
        {"leaves_max": 0},
        {"leaves_max": RANGE_LEAVES_MAX + 1},
        {"bytes_max": RANGE_BYTES_MIN - 1},
        {"bytes_max": RANGE_BYTES_MAX + 1},
    ):
        with pytest.raises(LocalProtocolError, match="asked for were"):
            prove_range(long.snapshot(), FIRST_KEY, **wrong)
    for call in (lambda: prove_range(long.snapshot(), b"short"), lambda: verify_range(long.root, b"short", some)):
        with pytest.raises(LocalProtocolError, match="32 bytes"):
            call()


def test_frozen_runs() -> None:
    assert json.loads(VECTORS.read_text()) == range_vectors()
