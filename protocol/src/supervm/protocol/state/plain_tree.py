"""The tree under `trie`, in Python: one version of a quad trie, with what reading, proving and updating need.

Theory of operation (consensus.md 4, "Quad trie"; limits.md rule 6). The shape is described in `trie_proof`. In CPython
the cost of a Merkle trie is its objects, not its hashes, so a node is a plain tuple and nothing else:

* branch: ``(hash, child0, child1, child2, child3)``;
* leaf: ``(hash, leaf id, value)``, whose key is hashed again in the few places that need it;
* nothing: ``(32 zero bytes,)``, one shared object, so that every child has its hash at index 0 without a test.

The length of the tuple tells them apart. Tuples are never changed: an update builds new ones along the touched paths
and shares everything else. So an old root stays whole for as long as somebody holds it, and the memory of a version
that nobody holds goes back at once (there are no cycles).

An update sorts the batch by key and walks it once. `path` is the list of open nodes (lists, still without a hash) from
the root to where the last key went. The next key shares a known number of digits with the last one: deeper nodes will
not be touched again, so they are closed, which is where each touched node is hashed, exactly once. Then the walk opens
nodes from there down to the next key's place. An open node keeps at index 0, where its hash will be, its slot in its
parent. A holder of the root stands first in the path so that the root needs no special case.

`native/quad.c` is the same in C, in a fifth of the time and of the memory, and takes this module's place where the
wheel was built with a compiler. Both pass the same tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

from ..base.hashing import HASH_BYTES, ZERO_HASH
from .leaves import LEAF_ID_BYTES_MAX, LEAF_ID_BYTES_MIN, hash_leaf_id
from .trie_proof import LEAF_DOMAIN, NODE_DOMAIN, VALUE_BYTES_MAX, VALUE_DOMAIN, common_digits, digit_at

_Node = tuple[Any, ...]

_EMPTY: _Node = (ZERO_HASH,)
_BRANCH, _LEAF = 5, 3  # lengths of the tuples
_BYTE_AND_SHIFT = [(depth >> 2, 6 - 2 * (depth & 3)) for depth in range(128)]


class Tree:
    """One version of a map from leaf id to value; it never changes. A new one is empty."""

    __slots__ = ("_count", "_node")

    def __init__(self, node: _Node = _EMPTY, count: int = 0) -> None:
        self._node = node
        self._count = count

    def __len__(self) -> int:
        return self._count

    @property
    def root(self) -> bytes:
        """The 32-byte root; zeros if there is no leaf."""
        root: bytes = self._node[0]
        return root

    def apply(self, changes: Mapping[bytes, bytes], hashed: bool) -> Tree:
        """Return the tree after `changes`; an empty value removes its leaf.

        Args:
            changes: leaf id -> value.
            hashed: False where many changes follow before anybody asks for the root: what is in C hashes later then.

        Raises:
            ValueError: an id that no leaf can have by its length, or a value above `VALUE_BYTES_MAX`.
        """
        node, growth = _apply(self._node, changes)
        return Tree(node, self._count + growth)

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

    def beside(self, key: bytes, side: int) -> tuple[bytes, bytes, tuple[bytes, bytes] | None]:
        """Return what stands beside the path of a trie key, and the leaf (id, value) in which it ends, if in one.

        Args:
            key: 32 bytes.
            side: -1 for children of smaller digits than the path's, 1 for those of greater ones, 0 for all.

        Returns:
            One byte a level from the root down, in which bit d says that child d is there; their hashes; the leaf.
        """
        node = self._node
        masks, siblings = bytearray(), bytearray()
        while len(node) == _BRANCH:
            own = digit_at(key, len(masks))
            mask = 0
            for digit in range(own + 1 if side > 0 else 0, own if side < 0 else 4):
                child = node[digit + 1]
                if digit != own and child is not _EMPTY:
                    mask |= 1 << digit
                    siblings += child[0]
            masks.append(mask)
            node = node[own + 1]
        return bytes(masks), bytes(siblings), (node[1], node[2]) if len(node) == _LEAF else None

    def leaves_from(self, key: bytes, count: int) -> list[tuple[bytes, bytes]]:
        """Return (leaf id, value) of the first `count` leaves from a trie key (32 bytes) on, in their order."""
        node, depth = self._node, 0
        after: list[_Node] = []  # subtrees that come after the path of the key, the next one last
        while len(node) == _BRANCH:
            own = digit_at(key, depth)
            after += node[: own + 1 : -1]
            node = node[own + 1]
            depth += 1
        if len(node) == _LEAF and hash_leaf_id(node[1]) >= key:
            after.append(node)
        found: list[tuple[bytes, bytes]] = []
        while after and len(found) < count:
            node = after.pop()
            if len(node) == _BRANCH:
                after += node[:0:-1]
            elif len(node) == _LEAF:
                found.append((node[1], node[2]))
        return found

    def sum_after(self, kind: int, head: bytes) -> int:
        """Add up the unsigned integers of CBOR right after `head` in the values of all leaves of a kind.

        Args:
            kind: first byte of their leaf ids.
            head: what their values begin with.

        Raises:
            ValueError: the value of such a leaf is of another form.
        """
        place = len(head)
        total = 0
        for leaf_id, value in self._items():
            if leaf_id[0] == kind:
                number = value[place] if value[:place] == head and place < len(value) else 28
                if number >= 24:
                    size = 1 << number - 24
                    if number > 27 or len(value) <= place + size:
                        raise ValueError("a leaf of this kind has a value of another form")
                    number = int.from_bytes(value[place + 1 : place + 1 + size], "big")
                total += number
        return total

    def _items(self) -> Iterator[tuple[bytes, bytes]]:
        stack = [self._node]
        while stack:
            node = stack.pop()
            if len(node) == _BRANCH:
                stack += node[1:]
            elif len(node) == _LEAF:
                yield node[1], node[2]


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
            raise ValueError("a leaf id or a value is of a length that is not allowed")
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
