"""Account proofs: one canonical proof per tree and address, and nothing else verifies (consensus.md 4)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervm.protocol.base.codec import encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.state.leaves import account_leaf_id, hash_leaf_id, holding_leaf_id
from supervm.protocol.state.trie import QuadTrie
from supervm.protocol.state.trie_proof import (
    DEPTH_MAX,
    PROOF_BYTES_MAX,
    VALUE_BYTES_MAX,
    TrieProof,
    common_digits,
    decode_trie_proof,
    digit_at,
    hash_leaf,
    hash_node,
    hash_value,
    verify,
    verify_absence,
    verify_inclusion,
)


def address(number: int) -> bytes:
    """A leaf id: an account's, or of each third number a holding's."""
    name = number.to_bytes(32, "big")
    return account_leaf_id(name) if number % 3 else holding_leaf_id(name, name)


PRESENT = {address(n): b"value %d" % n for n in range(40)}
TRIE = QuadTrie(PRESENT)
NOBODY = [address(n) for n in range(40, 120)]
TO_NOTHING = next(who for who in NOBODY if not TRIE.prove(who).other_key)
TO_ANOTHER = next(who for who in NOBODY if TRIE.prove(who).other_key)


def refused(root: bytes, who: bytes, proof: TrieProof) -> None:
    for check in (verify, verify_inclusion, verify_absence):
        with pytest.raises(RemoteProtocolError) as caught:
            check(root, who, proof)
        assert caught.value.code == "bad-proof"


def change(proof: TrieProof, **fields: object) -> TrieProof:
    return msgspec.structs.replace(proof, **fields)


@given(
    st.dictionaries(st.integers(0, 80).map(address), st.binary(min_size=1, max_size=9), max_size=60),
    st.integers(0, 80).map(address),
)
def test_every_proof_verifies_as_what_it_is(accounts: dict[bytes, bytes], who: bytes) -> None:
    trie = QuadTrie(accounts)
    proof = decode_trie_proof(encode(trie.prove(who)))
    assert verify(trie.root, who, proof) == accounts.get(who)
    if who in accounts:
        assert verify_inclusion(trie.root, who, proof) == accounts[who]
        with pytest.raises(RemoteProtocolError, match="is present where"):
            verify_absence(trie.root, who, proof)
    else:
        verify_absence(trie.root, who, proof)
        with pytest.raises(RemoteProtocolError, match="is absent where"):
            verify_inclusion(trie.root, who, proof)


@pytest.mark.parametrize("who", [address(3), TO_NOTHING, TO_ANOTHER], ids=["inclusion", "nothing", "another leaf"])
def test_every_change_of_one_bit_is_refused(who: bytes) -> None:
    data = encode(TRIE.prove(who))
    for bit in range(8 * len(data)):
        mutant = bytearray(data)
        mutant[bit >> 3] ^= 1 << (bit & 7)
        with pytest.raises(RemoteProtocolError) as caught:
            verify(TRIE.root, who, decode_trie_proof(bytes(mutant)))
        assert caught.value.code == "bad-proof"


def test_a_proof_is_good_for_its_address_only() -> None:
    for who, value in PRESENT.items():
        proof = TRIE.prove(who)
        assert verify_inclusion(TRIE.root, who, proof) == value
        for other in [*PRESENT, *NOBODY]:
            if other != who:
                refused(TRIE.root, other, proof)


def test_no_proof_of_anybody_shows_a_present_account_as_absent() -> None:
    for who in PRESENT:
        for other in NOBODY:
            refused(TRIE.root, who, TRIE.prove(other))


def test_absence_cannot_be_forged_by_leaving_out_the_leaf_or_naming_another() -> None:
    victim = address(3)
    proof = TRIE.prove(victim)
    refused(TRIE.root, victim, change(proof, value=b""))
    key, value_hash = hash_leaf_id(victim), hash_value(PRESENT[victim])
    refused(TRIE.root, victim, change(proof, value=b"", other_key=key, other_value_hash=value_hash))
    for other in PRESENT:
        if other != victim:
            leaf = {"other_key": hash_leaf_id(other), "other_value_hash": hash_value(PRESENT[other])}
            refused(TRIE.root, victim, change(proof, value=b"", **leaf))
            refused(TRIE.root, victim, change(TRIE.prove(other), value=b"", **leaf))


def test_a_path_cut_short_is_refused() -> None:
    proof = TRIE.prove(address(3))
    for levels in range(len(proof.masks)):
        hashes = sum(mask.bit_count() for mask in proof.masks[:levels])
        short = change(proof, masks=proof.masks[:levels], siblings=proof.siblings[: 32 * hashes])
        refused(TRIE.root, address(3), short)
        refused(TRIE.root, address(3), change(short, value=b""))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda p: change(p, siblings=p.siblings + bytes(32)),
        lambda p: change(p, siblings=bytes(32) + p.siblings),
        lambda p: change(p, siblings=p.siblings + b"x"),
        lambda p: change(p, siblings=p.siblings[:-1]),
        lambda p: change(p, siblings=p.siblings[32:]),
        lambda p: change(p, siblings=b""),
        lambda p: change(p, masks=p.masks + b"\x00"),
        lambda p: change(p, masks=b"\x00" + p.masks),
        lambda p: change(p, masks=bytes(mask | 16 for mask in p.masks)),
        lambda p: change(p, masks=bytes([p.masks[0] | 15]) + p.masks[1:]),
        lambda p: change(p, masks=p.masks * 129),
        lambda p: change(p, other_key=bytes(32), other_value_hash=bytes(32)),
        lambda p: change(p, other_key=bytes(32)),
        lambda p: change(p, value=b"", other_key=bytes(31), other_value_hash=bytes(32)),
        lambda p: change(p, value=b"", other_value_hash=bytes(32)),
        lambda p: change(p, value=bytes(VALUE_BYTES_MAX + 1)),
    ],
)
def test_every_fault_of_form_is_refused(spoil: Callable[[TrieProof], TrieProof]) -> None:
    refused(TRIE.root, address(3), spoil(TRIE.prove(address(3))))


def tree_with(key: bytes, *, depth: int, child: bytes, sibling: bytes) -> bytes:
    """A root that no state has: `child` on the path of `key` at `depth`, one `sibling` beside it."""
    for level in range(depth - 1, -1, -1):
        children = [bytes(32)] * 4
        children[digit_at(key, level)] = child
        if level == depth - 1 and sibling:
            children[digit_at(key, level) ^ 1] = sibling
        child = hash_node(b"".join(children))
    return child


def test_a_mask_may_not_list_a_child_that_is_not_there() -> None:
    """The same root could otherwise be reached with a zero hash written out."""
    who = address(1)
    key = hash_leaf_id(who)
    root = tree_with(key, depth=1, child=hash_leaf(key + hash_value(b"v")), sibling=bytes(32))
    forged = TrieProof(1, b"v", b"", b"", bytes([1 << (digit_at(key, 0) ^ 1)]), bytes(32))
    refused(root, who, forged)


@pytest.mark.parametrize("end", [b"v", b""], ids=["leaf", "nothing"])
def test_a_node_without_any_other_child_does_not_exist(end: bytes) -> None:
    who = address(1)
    key = hash_leaf_id(who)
    root = tree_with(key, depth=2, child=hash_leaf(key + hash_value(end)) if end else bytes(32), sibling=b"")
    refused(root, who, TrieProof(1, end, b"", b"", b"\x00\x00", b""))


def test_another_leaf_must_lie_on_the_path() -> None:
    who, stranger = address(1), address(2)
    key, other = hash_leaf_id(who), hash_leaf_id(stranger)
    assert common_digits(key, other) < 4
    root = tree_with(key, depth=4, child=hash_leaf(other + hash_value(b"v")), sibling=b"s" * 32)
    mask = bytes([0, 0, 0, 1 << (digit_at(key, 3) ^ 1)])
    refused(root, who, TrieProof(1, b"", other, hash_value(b"v"), mask, b"s" * 32))


def test_the_deepest_and_widest_proof_there_can_be_is_within_the_bound() -> None:
    who = address(1)
    key = hash_leaf_id(who)
    masks = bytes(15 ^ (1 << digit_at(key, level)) for level in range(DEPTH_MAX))
    current, value = hash_leaf(key + hash_value(bytes(VALUE_BYTES_MAX))), bytes(VALUE_BYTES_MAX)
    for level in range(DEPTH_MAX - 1, -1, -1):
        children = [b"s" * 32] * 4
        children[digit_at(key, level)] = current
        current = hash_node(b"".join(children))
    data = encode(TrieProof(1, value, b"", b"", masks, b"s" * 32 * 3 * DEPTH_MAX))
    assert len(data) <= PROOF_BYTES_MAX
    assert verify_inclusion(current, who, decode_trie_proof(data)) == value


def test_under_an_empty_tree_everybody_is_absent_and_nobody_present() -> None:
    proof = QuadTrie().prove(address(1))
    verify_absence(bytes(32), address(1), proof)
    refused(TRIE.root, address(1), proof)
    refused(bytes(32), address(1), TRIE.prove(address(1)))


@given(st.binary(max_size=200))
def test_garbage_raises_nothing_but_bad_proof(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_trie_proof(data)
    assert caught.value.code == "bad-proof"


@given(
    st.binary(max_size=40),
    st.binary(max_size=33),
    st.binary(max_size=33),
    st.binary(max_size=130),
    st.binary(max_size=200),
    st.integers(0, 200).map(address),
)
def test_wild_fields_raise_nothing_but_bad_proof(
    value: bytes, key: bytes, value_hash: bytes, masks: bytes, siblings: bytes, who: bytes
) -> None:
    refused(TRIE.root, who, TrieProof(1, value, key, value_hash, masks, siblings))


def test_bytes_after_a_proof_and_a_long_one_are_refused() -> None:
    data = encode(TRIE.prove(address(3)))
    for bad in (data + b"\x00", data[:-1], data + bytes(PROOF_BYTES_MAX)):
        with pytest.raises(RemoteProtocolError):
            decode_trie_proof(bad)


def test_common_digits_counts_whole_digits() -> None:
    base = bytes(32)
    assert common_digits(base, base) == 128
    for bit in range(256):
        other = (1 << (255 - bit)).to_bytes(32, "big")
        assert common_digits(base, other) == bit // 2
