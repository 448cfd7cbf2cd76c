"""The roots in checkpoint headers, computed again from the text of consensus.md 4: slowly, and without any update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from supervm.protocol.base.hashing import HASH_BYTES, ZERO_HASH, hasher

_key, _value = hasher(b"svm.leafkey"), hasher(b"q4value")
_leaf, _node = hasher(b"q4leaf"), hasher(b"q4node")
_mmr_leaf, _mmr_node, _mmr_bag, _mmr_root = (
    hasher(b"svm.mmrleaf"),
    hasher(b"svm.mmrnode"),
    hasher(b"svm.mmrbag"),
    hasher(b"svm.mmrroot"),
)


def rebuilt_root(leaves: Mapping[bytes, bytes]) -> bytes:
    """Return the root of the quad trie of these values by leaf id."""
    entries = []
    for leaf_id, value in leaves.items():
        key = _key(leaf_id)
        entries.append((key, _leaf(key + _value(value))))
    return _subtree(entries, 0)


def _subtree(entries: Sequence[tuple[bytes, bytes]], depth: int) -> bytes:
    if not entries:
        return ZERO_HASH
    if len(entries) == 1:
        return entries[0][1]
    children: list[list[tuple[bytes, bytes]]] = [[], [], [], []]
    for key, leaf in entries:
        children[int.from_bytes(key, "big") >> 8 * HASH_BYTES - 2 - 2 * depth & 3].append((key, leaf))
    return _node(b"".join(_subtree(child, depth + 1) for child in children))


def history_root(hashes: Sequence[bytes]) -> bytes:
    """Return the root of the range of these header hashes."""
    if not hashes:
        return ZERO_HASH
    peaks: list[bytes] = []
    first = 0
    for height in reversed(range(len(hashes).bit_length())):
        if len(hashes) >> height & 1:
            peaks.append(_mountain(hashes[first : first + (1 << height)]))
            first += 1 << height
    bag = peaks.pop()
    while peaks:
        bag = _mmr_bag(peaks.pop() + bag)
    return _mmr_root(len(hashes).to_bytes(8, "big") + bag)


def _mountain(hashes: Sequence[bytes]) -> bytes:
    if len(hashes) == 1:
        return _mmr_leaf(hashes[0])
    half = len(hashes) // 2
    return _mmr_node(_mountain(hashes[:half]) + _mountain(hashes[half:]))
