"""Merkle trees in the shape of RFC 6962 2.1, against the published vectors and the RFC's own recursion."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.state.receipts import (
    RECEIPTS,
    RFC6962_SHA256,
    TRANSACTIONS,
    MerkleScheme,
    merkle_path,
    merkle_root,
    path_root,
    verify_merkle_path,
)

VECTOR_DIR = Path(__file__).parents[1] / "vectors"
RFC = json.loads((VECTOR_DIR / "third_party" / "rfc6962" / "roots.json").read_text())
RFC_INCLUSION = json.loads((VECTOR_DIR / "third_party" / "rfc6962" / "inclusion.json").read_text())
RFC_LEAVES = [bytes.fromhex(leaf) for leaf in RFC["leaves"]]
OURS = json.loads((VECTOR_DIR / "trees.json").read_text())["lists"]
SCHEMES = {"transactions": TRANSACTIONS, "receipts": RECEIPTS, "rfc6962": RFC6962_SHA256}
EACH_SCHEME = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)


def reference(leaves: list[bytes], scheme: MerkleScheme) -> bytes:
    """MTH of RFC 6962 2.1."""
    if len(leaves) == 1:
        return scheme.leaf_hash(leaves[0])
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return scheme.node_hash(reference(leaves[:split], scheme) + reference(leaves[split:], scheme))


def reference_path(index: int, leaves: list[bytes], scheme: MerkleScheme) -> list[bytes]:
    """PATH of RFC 6962 2.1.1."""
    if len(leaves) == 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return [*reference_path(index, leaves[:split], scheme), reference(leaves[split:], scheme)]
    return [*reference_path(index - split, leaves[split:], scheme), reference(leaves[:split], scheme)]


def test_published_roots_of_no_to_eight_leaves() -> None:
    assert merkle_root([], RFC6962_SHA256).hex() == RFC["empty"]
    for size, root in enumerate(RFC["roots"], start=1):
        assert merkle_root(RFC_LEAVES[:size], RFC6962_SHA256).hex() == root


def test_published_leaf_and_node_hashes() -> None:
    assert [RFC6962_SHA256.leaf_hash(leaf).hex() for leaf in RFC_LEAVES] == RFC["leaf_hashes"]
    leaf, node = RFC["leaf"], RFC["node"]
    assert RFC6962_SHA256.leaf_hash(bytes.fromhex(leaf["data"])).hex() == leaf["hash"]
    assert RFC6962_SHA256.node_hash(bytes.fromhex(node["left"] + node["right"])).hex() == node["hash"]


@pytest.mark.parametrize("case", RFC_INCLUSION, ids=[case["file"] for case in RFC_INCLUSION])
def test_published_inclusion_proofs(case: dict[str, Any]) -> None:
    path = [b64decode(part) for part in case["proof"] or []]
    root = path_root(b64decode(case["leafHash"]), case["leafIdx"], case["treeSize"], path, RFC6962_SHA256)
    assert (root is None or root != b64decode(case["root"])) == case["wantErr"]


@EACH_SCHEME
def test_root_and_paths_are_those_of_the_rfc(scheme: MerkleScheme) -> None:
    for size in range(1, 34):
        leaves = [b"leaf %d" % n for n in range(size)]
        root = merkle_root(leaves, scheme)
        assert root == reference(leaves, scheme)
        for index in range(size):
            path = merkle_path(leaves, index, scheme)
            assert path == reference_path(index, leaves, scheme)
            assert verify_merkle_path(leaves[index], index, size, path, root, scheme)


def test_the_empty_list_has_a_root_of_zeros() -> None:
    assert merkle_root([], TRANSACTIONS) == merkle_root([], RECEIPTS) == bytes(32)
    assert not verify_merkle_path(b"", 0, 0, [], bytes(32), RECEIPTS)


def test_no_path_verifies_at_another_place_or_for_another_leaf() -> None:
    for size in range(1, 14):
        leaves = [b"leaf %d" % n for n in range(size)]
        root = merkle_root(leaves, RECEIPTS)
        for index in range(size):
            path = merkle_path(leaves, index, RECEIPTS)
            for other in range(-1, size + 1):
                if other != index:
                    assert not verify_merkle_path(leaves[index], other, size, path, root, RECEIPTS)
                if other != index and 0 <= other < size:
                    assert not verify_merkle_path(leaves[other], index, size, path, root, RECEIPTS)


def test_every_change_of_one_bit_and_of_the_length_is_refused() -> None:
    leaves = [b"leaf %d" % n for n in range(7)]
    root = merkle_root(leaves, RECEIPTS)
    for index in range(7):
        path = merkle_path(leaves, index, RECEIPTS)
        for at, part in enumerate(path):
            for bit in range(256):
                mutant = (int.from_bytes(part, "big") ^ 1 << bit).to_bytes(32, "big")
                assert not verify_merkle_path(
                    leaves[index], index, 7, [*path[:at], mutant, *path[at + 1 :]], root, RECEIPTS
                )
        cut = [part[:-1] for part in path]
        for wrong in (path[1:], path[:-1], [*path, bytes(32)], [*path, root], cut, []):
            assert not verify_merkle_path(leaves[index], index, 7, wrong, root, RECEIPTS)


def test_a_node_cannot_be_shown_as_a_leaf() -> None:
    leaves = [b"a", b"b", b"c", b"d"]
    left = RECEIPTS.leaf_hash(b"a") + RECEIPTS.leaf_hash(b"b")
    path = merkle_path(leaves, 0, RECEIPTS)[1:]
    assert not verify_merkle_path(left, 0, 2, path, merkle_root(leaves, RECEIPTS), RECEIPTS)


def test_transactions_and_receipts_have_different_domains() -> None:
    assert merkle_root([b"a"], TRANSACTIONS) != merkle_root([b"a"], RECEIPTS)
    assert TRANSACTIONS.node_hash(bytes(64)) != RECEIPTS.node_hash(bytes(64))


@given(st.integers(-2, 2**70), st.integers(-2, 2**70), st.lists(st.binary(max_size=33), max_size=80))
def test_wild_input_never_raises(index: int, size: int, path: list[bytes]) -> None:
    assert not verify_merkle_path(b"leaf", index, size, path, bytes(32), RECEIPTS)


@pytest.mark.parametrize("index", [-1, 3])
def test_the_path_of_a_leaf_that_is_not_there_is_our_own_fault(index: int) -> None:
    with pytest.raises(LocalProtocolError, match="there is no leaf"):
        merkle_path([b"a", b"b", b"c"], index, RECEIPTS)


def test_frozen_roots_and_paths() -> None:
    for case in OURS:
        scheme, leaves = SCHEMES[case["scheme"]], [bytes.fromhex(leaf) for leaf in case["leaves"]]
        assert merkle_root(leaves, scheme).hex() == case["root"]
        for index, path in enumerate(case["paths"]):
            assert [part.hex() for part in merkle_path(leaves, index, scheme)] == path
