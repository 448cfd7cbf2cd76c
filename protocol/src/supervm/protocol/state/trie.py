"""The state as a quad trie: one root for a map from leaf id to value, whatever the order of its history.

Theory of operation (consensus.md 4, "Quad trie"; limits.md rule 6). The shape is described in
`trie_proof`. In CPython the cost of a Merkle trie is its objects, not its hashes, so a node is a plain
tuple and nothing else:

* branch: ``(hash, child0, child1, child2, child3)``;
* leaf: ``(hash, leaf id, value)``, whose key is hashed again in the few places that need it;
* nothing: ``(32 zero bytes,)``, one shared object, so that every child has its hash at index 0 without a
  test.

The length of the tuple tells them apart. Tuples are never changed: an update builds new ones along the
touched paths and shares everything else. So an old root stays whole for as long as somebody holds it,
`snapshot` is free, and undo is putting the old root back. The memory of a version that nobody holds goes
back at once (there are no cycles).

`update` sorts the batch by key and walks it once. `path` is the list of open nodes (lists, still without a
hash) from the root to where the last key went. The next key shares a known number of digits with the last
one: deeper nodes will not be touched again, so they are closed, which is where each touched node is hashed,
exactly once. Then the walk opens nodes from there down to the next key's place. An open node keeps at index
0, where its hash will be, its slot in its parent. A holder of the root stands first in the path so that the
root needs no special case.

Tuples of tuples of bytes hold no cycles, but Python's cyclic collector walks them all the same: a driver
that holds a large trie does well to build and update it with the collector off and to call ``gc.freeze()``
after the build: at 10^6 accounts some updates take twice as long otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from ..base import memory
from ..base.errors import LocalProtocolError
from ..base.hashing import HASH_BYTES, ZERO_HASH
from .leaves import LEAF_ID_BYTES_MAX, LEAF_ID_BYTES_MIN, hash_leaf_id
from .trie_proof import (
    LEAF_DOMAIN,
    NODE_DOMAIN,
    VALUE_BYTES_MAX,
    VALUE_DOMAIN,
    TrieProof,
    common_digits,
    digit_at,
    hash_value,
)

_Node = tuple[Any, ...]

_EMPTY: _Node = (ZERO_HASH,)
_BRANCH, _LEAF = 5, 3  # lengths of the tuples
_BYTE_AND_SHIFT = [(depth >> 2, 6 - 2 * (depth & 3)) for depth in range(128)]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TrieView:
    """One version of the state: immutable, and valid for as long as it is held."""

    _node: _Node
    _count: int

    def __repr__(self) -> str:
        return f"TrieView(root={self.root.hex()}, leaves={self._count})"

    @property
    def root(self) -> bytes:
        """The 32-byte state root; zeros if there is no leaf."""
        root: bytes = self._node[0]
        return root

    def __len__(self) -> int:
        return self._count

    def get(self, leaf_id: bytes) -> bytes | None:
        """Return the value of `leaf_id`, or None if it has none."""
        key = hash_leaf_id(leaf_id)
        node, depth = self._node, 0
        while len(node) == _BRANCH:
            node = node[digit_at(key, depth) + 1]
            depth += 1
        if len(node) == _LEAF and node[1] == leaf_id:
            value: bytes = node[2]
            return value
        return None

    def prove(self, leaf_id: bytes) -> TrieProof:
        """Return the proof of the value of `leaf_id`, or of its absence, under this version's root."""
        key = hash_leaf_id(leaf_id)
        node, depth = self._node, 0
        masks, siblings = bytearray(), bytearray()
        while len(node) == _BRANCH:
            own = digit_at(key, depth)
            mask = 0
            for digit in range(4):
                child = node[digit + 1]
                if digit != own and child is not _EMPTY:
                    mask |= 1 << digit
                    siblings += child[0]
            masks.append(mask)
            node = node[own + 1]
            depth += 1
        value = other_key = other_value_hash = b""
        if len(node) == _LEAF:
            if node[1] == leaf_id:
                value = node[2]
            else:
                other_key, other_value_hash = hash_leaf_id(node[1]), hash_value(node[2])
        return TrieProof(1, value, other_key, other_value_hash, bytes(masks), bytes(siblings))

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield (leaf id, value) of every leaf, in the order of their trie keys."""
        stack = [self._node]
        while stack:
            node = stack.pop()
            if len(node) == _BRANCH:
                stack += node[:0:-1]
            elif len(node) == _LEAF:
                yield node[1], node[2]


@dataclass(frozen=True, slots=True, eq=False)
class Undo:
    """What `QuadTrie.revert` needs to take one update back: the versions before and after it."""

    before: TrieView
    after: TrieView


class QuadTrie:
    """The current version of the state, and the one place that makes the next one.

    Reading is as for `TrieView`. Not thread-safe to update; snapshots may be read from anywhere.
    """

    __slots__ = ("_view",)

    def __init__(self, items: Mapping[bytes, bytes] | None = None) -> None:
        self._view = TrieView(_EMPTY, 0)
        if items:
            self.update(items)

    @property
    def root(self) -> bytes:
        """The 32-byte state root; zeros if there is no leaf."""
        return self._view.root

    def __len__(self) -> int:
        return len(self._view)

    def get(self, leaf_id: bytes) -> bytes | None:
        """Return the value of `leaf_id`, or None if it has none."""
        return self._view.get(leaf_id)

    def prove(self, leaf_id: bytes) -> TrieProof:
        """Return the proof of the value of `leaf_id`, or of its absence, under the current root."""
        return self._view.prove(leaf_id)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield (leaf id, value) of every leaf of the version that is current now, by trie key."""
        return self._view.items()

    def snapshot(self) -> TrieView:
        """Return the current version in O(1); later updates do not change it."""
        return self._view

    def revert(self, undo: Undo) -> None:
        """Take back the update that returned `undo`, in O(1).

        Raises:
            LocalProtocolError: another update came after it; updates are taken back last first.
        """
        if undo.after is not self._view:
            raise LocalProtocolError("not the undo record of the last update; take updates back last first")
        self._view = undo.before

    def update(self, changes: Mapping[bytes, bytes]) -> Undo:
        """Set the value of each leaf id in `changes`; an empty value removes the leaf.

        All or nothing: on an error the trie is as before. Setting equal values gives an equal root.

        Raises:
            LocalProtocolError: an id that no leaf can have by its length, or a value above `VALUE_BYTES_MAX`.
        """
        before = self._view
        known = memory.active
        if known is None:
            node, growth = _apply(before._node, changes)
        else:
            # equal roots have equal trees; a tree that is shared takes the memory of one
            key = (before.root, tuple(changes.items()))
            applied = known.updates.get(key)
            if applied is None:
                applied = _apply(before._node, changes)
                known.updates.put(key, applied, len(changes))
            node, growth = applied
        self._view = TrieView(node, before._count + growth)
        return Undo(before, self._view)


def _apply(root: _Node, changes: Mapping[bytes, bytes]) -> tuple[_Node, int]:
    """Return the root after `changes`, and by how many leaves it grew."""
    batch, removes = _sorted_batch(changes)
    copy_leaf = blake2b(digest_size=HASH_BYTES, person=LEAF_DOMAIN).copy
    copy_value = blake2b(digest_size=HASH_BYTES, person=VALUE_DOMAIN).copy
    close = _close_and_collapse if removes else _close
    path: list[list[Any]] = [[0, root]]
    growth = previous = 0
    for key, leaf_id, value in batch:
        number = int.from_bytes(key, "big")
        # Keep the holder (index 0 of the path) and the nodes at depths 0..shared (index depth + 1).
        keep = (256 - (number ^ previous).bit_length() >> 1) + 2
        if len(path) > keep:
            close(path, keep)
        previous = number
        depth = len(path) - 1  # of the child that is looked at next
        node = path[-1]
        if depth:
            index, shift = _BYTE_AND_SHIFT[depth - 1]
            slot = (key[index] >> shift & 3) + 1
        else:
            slot = 1
        child = node[slot]
        while len(child) == 5:
            node = list(child)
            node[0] = slot
            path.append(node)
            index, shift = _BYTE_AND_SHIFT[depth]
            slot = (key[index] >> shift & 3) + 1
            child = node[slot]
            depth += 1
        present = len(child) == 3 and child[1] == leaf_id
        if not value:
            if present:
                node[slot] = _EMPTY
                growth -= 1
            continue
        state = copy_value()
        state.update(value)
        digest = state.digest()
        state = copy_leaf()
        state.update(key + digest)
        leaf = (state.digest(), leaf_id, value)
        if present:
            node[slot] = leaf
            continue
        growth += 1
        if child is _EMPTY:
            node[slot] = leaf
            continue
        # Another leaf: open nodes down to the first digit in which the two keys differ.
        other = hash_leaf_id(child[1])
        shared = common_digits(other, key)
        for level in range(depth, shared + 1):
            path.append([slot, _EMPTY, _EMPTY, _EMPTY, _EMPTY])
            slot = digit_at(key, level) + 1
        path[-1][digit_at(other, shared) + 1] = child
        path[-1][slot] = leaf
    close(path, 1)
    return path[0][1], growth


def _sorted_batch(changes: Mapping[bytes, bytes]) -> tuple[list[tuple[bytes, bytes, bytes]], bool]:
    """Return (key, leaf id, value) by key, and whether any of them removes its leaf."""
    batch: list[tuple[bytes, bytes, bytes]] = []
    removes = False
    for leaf_id, value in changes.items():
        if not LEAF_ID_BYTES_MIN <= len(leaf_id) <= LEAF_ID_BYTES_MAX or len(value) > VALUE_BYTES_MAX:
            raise LocalProtocolError(
                f"leaf id {leaf_id[:80].hex()} has {len(leaf_id)} bytes and its value {len(value)}; "
                f"{LEAF_ID_BYTES_MIN} to {LEAF_ID_BYTES_MAX} and at most {VALUE_BYTES_MAX} are allowed"
            )
        batch.append((hash_leaf_id(leaf_id), leaf_id, value))
        if not value:
            removes = True
    batch.sort()
    return batch, removes


_copy_node = blake2b(digest_size=HASH_BYTES, person=NODE_DOMAIN).copy


def _close(path: list[list[Any]], keep: int) -> None:
    """Hash the open nodes beyond the first `keep` of `path`, deepest first, and put each into its parent."""
    copy = _copy_node
    pop = path.pop
    while len(path) > keep:
        slot, child0, child1, child2, child3 = pop()
        state = copy()
        state.update(child0[0] + child1[0] + child2[0] + child3[0])
        path[-1][slot] = (state.digest(), child0, child1, child2, child3)


def _close_and_collapse(path: list[list[Any]], keep: int) -> None:
    """As `_close`, in a batch that removes leaves: a node left with one leaf becomes that leaf."""
    while len(path) > keep:
        node = path[-1]
        children = [child for child in node[1:] if child is not _EMPTY]
        if not children or (len(children) == 1 and len(children[0]) == _LEAF):
            path.pop()
            path[-1][node[0]] = children[0] if children else _EMPTY
        else:
            _close(path, len(path) - 1)
