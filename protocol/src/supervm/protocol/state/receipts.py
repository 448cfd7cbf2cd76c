"""Merkle trees in the shape of RFC 6962 (2.1): one root for a list, and a short path from any entry to it.

Two lists of a block are committed this way: the transactions of a batch (`TRANSACTIONS`, the ``tx_root`` of
a batch header, consensus.md 3.1) and the receipts of a block (`RECEIPTS`, the ``receipts_root`` of a
checkpoint header, consensus.md 4). The shape is one, the hash functions are a parameter, so the published
vectors for SHA-256 run through the same lines (`RFC6962_SHA256`).

The RFC splits n leaves at the largest power of two below n. Joining neighbours level by level, and lifting
a last one without neighbour as it is, gives the same tree without recursion. Leaf and node are hashed in
different domains, so an inner node can never be shown as a leaf; the list's length must come from a trusted
place (a signed header), because a root alone does not say how many leaves it has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from ..base.errors import LocalProtocolError
from ..base.hashing import ZERO_HASH, hasher


@dataclass(frozen=True, slots=True)
class MerkleScheme:
    """The hash functions of one kind of tree.

    Attributes:
        leaf_hash: leaf bytes to 32-byte digest.
        node_hash: left digest and right digest, joined, to 32-byte digest; another domain than `leaf_hash`.
        empty_root: root of the list without entries.
    """

    leaf_hash: Callable[[bytes], bytes]
    node_hash: Callable[[bytes], bytes]
    empty_root: bytes


def _sha256_leaf(data: bytes) -> bytes:
    return sha256(b"\x00" + data).digest()


def _sha256_node(pair: bytes) -> bytes:
    return sha256(b"\x01" + pair).digest()


TRANSACTIONS = MerkleScheme(hasher(b"svm.txleaf"), hasher(b"svm.txnode"), ZERO_HASH)
"""The signed transactions of a batch, in their order: ``tx_root``."""
RECEIPTS = MerkleScheme(hasher(b"svm.rcleaf"), hasher(b"svm.rcnode"), ZERO_HASH)
"""The receipts of a block, in order of execution: ``receipts_root``."""
RFC6962_SHA256 = MerkleScheme(_sha256_leaf, _sha256_node, sha256(b"").digest())
"""The tree of RFC 6962 itself; the network does not use it, the published vectors do."""


def merkle_root(leaves: Sequence[bytes], scheme: MerkleScheme) -> bytes:
    """Return the 32-byte root of `leaves` in their order; `scheme.empty_root` if there are none."""
    if not leaves:
        return scheme.empty_root
    leaf = scheme.leaf_hash
    level = [leaf(data) for data in leaves]
    while len(level) > 1:
        level = _level_above(level, scheme.node_hash)
    return level[0]


def merkle_path(leaves: Sequence[bytes], index: int, scheme: MerkleScheme) -> list[bytes]:
    """Return the hashes beside the way from leaf `index` (0-based) to the root, from the leaf up.

    Raises:
        LocalProtocolError: there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise LocalProtocolError(f"there is no leaf {index} in a tree of {len(leaves)}; counting starts at 0")
    leaf = scheme.leaf_hash
    level = [leaf(data) for data in leaves]
    path: list[bytes] = []
    while len(level) > 1:
        if (beside := index ^ 1) < len(level):
            path.append(level[beside])
        level = _level_above(level, scheme.node_hash)
        index >>= 1
    return path


def path_root(
    leaf_hash: bytes,
    index: int,
    size: int,
    path: Sequence[bytes],
    scheme: MerkleScheme,
) -> bytes | None:
    """Return the root that `path` leads to from a leaf's hash, or None if no path of that shape exists.

    Args:
        leaf_hash: 32-byte digest of the leaf.
        index: position of the leaf, 0-based.
        size: number of leaves, from a trusted place.
        path: the hashes of `merkle_path`; anything may be in it.
        scheme: the hash functions.
    """
    digest_bytes = len(scheme.empty_root)
    if not 0 <= index < size or len(leaf_hash) != digest_bytes:
        return None
    node, last, current = index, size - 1, leaf_hash
    for beside in path:
        if not last or len(beside) != digest_bytes:
            return None
        if node & 1 or node == last:
            current = scheme.node_hash(beside + current)
            while not node & 1 and node:  # a last node without neighbour was lifted as it is
                node >>= 1
                last >>= 1
        else:
            current = scheme.node_hash(current + beside)
        node >>= 1
        last >>= 1
    return None if last else current


def path_sides(index: int, size: int) -> int:
    """Return on which side each hash of `merkle_path` stands: bit k is 1 if the k-th from the leaf up is on the left.

    Args:
        index: position of the leaf, 0-based, below `size`.
        size: number of leaves.
    """
    sides, place, last = 0, 0, size - 1
    while last:
        if index & 1:
            sides |= 1 << place
        if index & 1 or index < last:  # else a last node without neighbour, lifted as it is: no hash of the path
            place += 1
        index >>= 1
        last >>= 1
    return sides


def sided_root(leaf_hash: bytes, sides: int, path: Sequence[bytes], scheme: MerkleScheme) -> bytes | None:
    """Return the root that `path` leads to from a leaf's hash, or None if `sides` has bits beyond it.

    This asks for no number of leaves. A root does not say how many it has, so a proof that has no signed place to take
    the number from proves that the leaf is in the list, and nothing about its position: that stands in the leaf, where
    it matters. For a leaf that is in the list once, one path with one `sides` leads to the root and no other.

    Args:
        leaf_hash: 32-byte digest of the leaf.
        sides: as `path_sides` gives it.
        path: the hashes of `merkle_path`; anything may be in it.
        scheme: the hash functions.
    """
    if sides >> len(path) or any(len(beside) != len(scheme.empty_root) for beside in path):
        return None
    current = leaf_hash
    for beside in path:
        current = scheme.node_hash(beside + current if sides & 1 else current + beside)
        sides >>= 1
    return current


def verify_merkle_path(
    leaf: bytes,
    index: int,
    size: int,
    path: Sequence[bytes],
    root: bytes,
    scheme: MerkleScheme,
) -> bool:
    """Return whether `leaf` (its bytes, not its hash) is entry `index` of the `size` entries under `root`.

    Exactly one path verifies for each entry. Nothing in `path` or `index` raises.
    """
    return path_root(scheme.leaf_hash(leaf), index, size, path, scheme) == root


def _level_above(level: list[bytes], node_hash: Callable[[bytes], bytes]) -> list[bytes]:
    pairs = iter(level)
    above = [node_hash(left + right) for left, right in zip(pairs, pairs, strict=False)]
    if len(level) & 1:
        above.append(level[-1])
    return above
