"""Proofs that a list of leaves is a whole run of the state: nothing left out, nothing added (consensus.md 2.8).

Theory of operation. Leaves have an order, that of their trie keys. A run begins at a key `first_key`, which need not be
a leaf's, and holds the next leaves from there on, without a gap. What the run does not hold lies left of
`first_key` or right of the last leaf, and hangs off two paths from the root:

* the left path, that of `first_key`, down to where it ends: in nothing, in a leaf of the run, or in a leaf
  whose key is below `first_key` but starts with the same digits (``before_*``). Beside it, on the side of the
  smaller digits, hang the subtrees before the run.
* the right path, that of the last leaf's key, down to that leaf. Beside it, on the side of the greater digits, hang
  the subtrees after the run. A run without leaves has no right path: then nothing at all comes after `first_key`.

Each path has one byte per level from the root down, in which bit d (value ``1 << d``) says that child d is there, and
the hashes of those children, 32 bytes each, from the root down and by digit. Everything between the paths is built from
the leaves alone, so a leaf that is left out, added, moved or changed gives another root. The run reaches the end of the
state if and only if nothing hangs off the right path.

As with single proofs, there is one proof per tree, `first_key` and last leaf: whatever could be written in two ways is
refused.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

import msgspec

from ..base.codec import Agreed, decode
from ..base.errors import LocalProtocolError, RemoteProtocolError
from ..base.hashing import HASH_BYTES, ZERO_HASH
from ..base.reading import bytes_bounds
from .leaves import HoldingLeaf, LeafId, hash_leaf_id
from .trie import TrieView
from .trie_proof import DEPTH_MAX, VALUE_BYTES_MAX, digit_at, hash_leaf, hash_node, hash_value

RANGE_BYTES_MAX = 1 << 20
"""Longest encoded run with its proof."""
RANGE_LEAVES_MAX = 16_384
"""Most leaves in a run: about what `RANGE_BYTES_MAX` holds of the shortest ones that the state has."""
PROOF_ROOM_BYTES = 32 << 10
"""More than the two paths of any run take: 128 levels with three hashes each, twice, masks and CBOR heads."""
RANGE_BYTES_MIN = PROOF_ROOM_BYTES + 4_096
"""Smallest bound for `prove_range`: at least one leaf of any size fits."""
_LEAF_OVERHEAD_BYTES = 1 + 2 + 3
"""The CBOR heads of a leaf, its id and its value."""

FIRST_KEY = bytes(HASH_BYTES)
"""The position before all leaves."""

Leaf = tuple[
    LeafId, Annotated[bytes, msgspec.Meta(min_length=bytes_bounds(HoldingLeaf)[0], max_length=VALUE_BYTES_MAX)]
]
"""Id and value of one leaf; a holding has the shortest."""
_Masks = Annotated[bytes, msgspec.Meta(max_length=DEPTH_MAX)]
_Siblings = Annotated[bytes, msgspec.Meta(max_length=3 * DEPTH_MAX * HASH_BYTES)]
_HashOrNothing = Annotated[bytes, msgspec.Meta(max_length=HASH_BYTES)]


class TrieRange(Agreed, tag="range", frozen=True):
    """A run of leaves in the order of their trie keys, with everything that hangs off its two edges.

    Attributes:
        version: layout, 1.
        leaves: id and value of each.
        before_key: trie key of the leaf below `first_key` in which the left path ends; empty unless it does.
        before_value_hash: value hash of that leaf; empty unless there is one.
        left_masks: per level of the left path, the children with smaller digits.
        left_siblings: their hashes.
        right_masks: per level of the right path, the children with greater digits.
        right_siblings: their hashes.
    """

    version: Literal[1]
    leaves: Annotated[tuple[Leaf, ...], msgspec.Meta(max_length=RANGE_LEAVES_MAX)]
    before_key: _HashOrNothing
    before_value_hash: _HashOrNothing
    left_masks: _Masks
    left_siblings: _Siblings
    right_masks: _Masks
    right_siblings: _Siblings


def decode_trie_range(data: bytes) -> TrieRange:
    """Read a run from exactly `data`, at most `RANGE_BYTES_MAX` bytes in canonical form.

    Raises:
        RemoteProtocolError: code ``bad-range``.
    """
    try:
        return decode(TrieRange, data, bytes_max=RANGE_BYTES_MAX)
    except RemoteProtocolError as error:
        raise _bad(error.reason) from error


# --- proving --------------------------------------------------------------------------------------------------------


def prove_range(
    view: TrieView, first_key: bytes, *, leaves_max: int = RANGE_LEAVES_MAX, bytes_max: int = RANGE_BYTES_MAX
) -> TrieRange:
    """Return the leaves of `view` from the trie key `first_key` on, as many as the bounds allow, with their proof.

    Args:
        view: the version of the state.
        first_key: 32 bytes, any position.
        leaves_max: most leaves, 1 to `RANGE_LEAVES_MAX`.
        bytes_max: longest encoded result in bytes, `RANGE_BYTES_MIN` to `RANGE_BYTES_MAX`.

    Raises:
        LocalProtocolError: a bound or `first_key` outside of what is allowed.
    """
    if len(first_key) != HASH_BYTES:
        raise LocalProtocolError(f"a position among the leaves is 32 bytes; got {len(first_key)}")
    if not 1 <= leaves_max <= RANGE_LEAVES_MAX or not RANGE_BYTES_MIN <= bytes_max <= RANGE_BYTES_MAX:
        raise LocalProtocolError(
            f"a run has 1 to {RANGE_LEAVES_MAX} leaves and {RANGE_BYTES_MIN} to {RANGE_BYTES_MAX} bytes; "
            f"asked for were {leaves_max} and {bytes_max}"
        )
    left_masks, left_siblings, end = view.beside(first_key, -1)
    before_key = before_value_hash = b""
    if end is not None:
        key = hash_leaf_id(end[0])
        if key < first_key:
            before_key, before_value_hash = key, hash_value(end[1])
    leaves: list[tuple[bytes, bytes]] = []
    left_bytes = bytes_max - PROOF_ROOM_BYTES
    for leaf in view.leaves_from(first_key):
        left_bytes -= len(leaf[0]) + len(leaf[1]) + _LEAF_OVERHEAD_BYTES
        if len(leaves) == leaves_max or left_bytes < 0:
            break
        leaves.append(leaf)
    right_masks = right_siblings = b""
    if leaves:
        right_masks, right_siblings, _ = view.beside(hash_leaf_id(leaves[-1][0]), 1)
    return TrieRange(
        1, tuple(leaves), before_key, before_value_hash, left_masks, left_siblings, right_masks, right_siblings
    )


# --- verifying ------------------------------------------------------------------------------------------------------


def verify_range(root: bytes, first_key: bytes, proof: TrieRange) -> bytes | None:
    """Return if `proof` holds exactly the leaves under `root` from `first_key` to its last one.

    Args:
        root: the state root of a checkpoint that the caller already trusts.
        first_key: the position that was asked for; never one that came with the answer.
        proof: the run, decoded.

    Returns:
        The position right after the last leaf, from which the next run is asked for, or None if no leaf comes after.

    Raises:
        RemoteProtocolError: code ``bad-range``: something is left out, added or changed, or the form is not canonical.
    """
    if len(first_key) != HASH_BYTES:
        raise LocalProtocolError(f"a position among the leaves is 32 bytes; got {len(first_key)}")
    keys = [hash_leaf_id(leaf_id) for leaf_id, _ in proof.leaves]
    if keys and keys[0] < first_key:
        raise _bad("the first leaf comes before the position that was asked for")
    if any(key >= following for key, following in pairwise(keys)):
        raise _bad("the leaves are not in the ascending order of their trie keys")
    if _Rebuilt(first_key, keys, proof).root != root:
        raise _bad("the leaves do not lead to the state root")
    if not any(proof.right_masks):
        return None
    # something hangs off to the right, so this is not the last key there can be
    return (int.from_bytes(keys[-1], "big") + 1).to_bytes(HASH_BYTES, "big")


@dataclass(slots=True)
class _Edge:
    """One path with what hangs off it, read from the root down."""

    key: bytes
    masks: bytes
    hashes: list[dict[int, bytes]]


class _Rebuilt:
    """The tree as far as a run shows it."""

    def __init__(self, first_key: bytes, keys: list[bytes], proof: TrieRange) -> None:
        self._keys = keys
        self._hashes = [hash_leaf(key + hash_value(value)) for key, (_, value) in zip(keys, proof.leaves, strict=True)]
        self._left = _edge("left", first_key, proof.left_masks, proof.left_siblings)
        self._before = _before(first_key, proof)
        self._right: _Edge | None = None
        if keys:
            self._right = _edge("right", keys[-1], proof.right_masks, proof.right_siblings)
        elif proof.right_masks or proof.right_siblings:
            raise _bad("a run without leaves has no right path")
        self.root, _ = self._build(0, 0, len(keys), self._left, self._right)

    def _build(self, depth: int, start: int, end: int, left: _Edge | None, right: _Edge | None) -> tuple[bytes, int]:
        """Return the hash of a subtree, and how many leaves it shows: 2 stands for two or more.

        Args:
            depth: levels above it.
            start: its first leaf of the run.
            end: its end among the leaves of the run.
            left: the left path if it passes here.
            right: the right path if it passes here.
        """
        ends = [depth == len(edge.masks) for edge in (left, right) if edge is not None]
        if any(ends):
            shown = self._hashes[start:end]
            if left is not None and self._before:
                shown.append(self._before)
            if len(shown) > 1 or not all(ends):
                raise _bad(f"a path ends at level {depth}, where more than one leaf is")
            return (shown[0], 1) if shown else (ZERO_HASH, 0)
        if left is None and right is None and end - start < 2:
            return (self._hashes[start], 1) if start < end else (ZERO_HASH, 0)
        low = digit_at(left.key, depth) if left is not None else 0
        high = digit_at(right.key, depth) if right is not None else 3
        children = [ZERO_HASH] * 4
        shows = 0
        for edge in (left, right):
            if edge is not None:
                for digit, child in edge.hashes[depth].items():
                    children[digit] = child
                    shows = 2  # a hash may stand for any number of leaves: only the root can tell
        for digit in range(low, high + 1):
            stop = end if digit == 3 else self._split(depth, digit, start, end)
            children[digit], more = self._build(
                depth + 1, start, stop, left if digit == low else None, right if digit == high else None
            )
            shows += more
            start = stop
        if shows < 2:
            raise _bad(f"a node at level {depth} has a single leaf; such a node does not exist")
        return hash_node(b"".join(children)), 2

    def _split(self, depth: int, digit: int, start: int, end: int) -> int:
        """Return where, among leaves that share `depth` digits, those with a greater digit than `digit` begin."""
        if start == end or digit_at(self._keys[end - 1], depth) <= digit:
            return end
        if end - start > 16:
            key = int.from_bytes(self._keys[start], "big") >> 2 * (DEPTH_MAX - depth) << 2
            bound = (key | digit) + 1 << 2 * (DEPTH_MAX - depth - 1)
            return bisect_left(self._keys, bound.to_bytes(HASH_BYTES, "big"), start, end)
        while digit_at(self._keys[start], depth) <= digit:
            start += 1
        return start


def _edge(side: str, key: bytes, masks: bytes, siblings: bytes) -> _Edge:
    """Read one path; the children beside it must lie on its own side and be there."""
    if len(masks) > DEPTH_MAX:
        raise _bad(f"the {side} path has {len(masks)} levels; at most {DEPTH_MAX} are allowed")
    hashes = []
    place = 0
    for level, mask in enumerate(masks):
        own = digit_at(key, level)
        if mask & ~((1 << own) - 1 if side == "left" else 15 & -2 << own):
            raise _bad(f"mask {mask} at level {level} names a child that is not {side} of the path's child {own}")
        found = {}
        for digit in range(4):
            if mask >> digit & 1:
                sibling = siblings[place : place + HASH_BYTES]
                if len(sibling) != HASH_BYTES or sibling == ZERO_HASH:
                    raise _bad(f"child {digit} at level {level} is marked, but its hash is missing or zero")
                found[digit] = sibling
                place += HASH_BYTES
        hashes.append(found)
    if place != len(siblings):
        raise _bad(f"the {side} path has {len(siblings) - place} bytes of hashes that no mask asks for")
    return _Edge(key, masks, hashes)


def _before(first_key: bytes, proof: TrieRange) -> bytes:
    """Return the hash of the leaf below `first_key` in which the left path ends; empty if it does not."""
    key, value_hash, depth = proof.before_key, proof.before_value_hash, len(proof.left_masks)
    if not key and not value_hash:
        return b""
    if len(key) != HASH_BYTES or len(value_hash) != HASH_BYTES:
        raise _bad("the leaf before the run has a key and a value hash of 32 bytes each, or neither")
    if key >= first_key or any(digit_at(key, level) != digit_at(first_key, level) for level in range(depth)):
        raise _bad("the leaf before the run is not before it on the path of the position that was asked for")
    return hash_leaf(key + value_hash)


def _bad(reason: str) -> RemoteProtocolError:
    return RemoteProtocolError(reason, penalty=100, code="bad-range")
