"""The state as a quad trie: one root for a map from leaf id to value, whatever the order of its history.

The tree itself is in C where the wheel was built with a compiler (`native/quad.c`), else in Python (`plain_tree`); both
give the same bytes. A tree never changes: an update makes a new one that shares all that is not touched, `snapshot` is
free, and undo is putting the old tree back. What no version needs any more goes back at once.

At 10^6 accounts the tree in C takes 175 bytes for each, leaf and all. That in Python takes 540, and Python's cyclic
collector walks its tuples although they hold no cycles: a driver that holds a large one does well to build and update
it with the collector off and to call ``gc.freeze()`` after the build.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ..base import memory
from ..base.errors import LocalProtocolError
from ..base.hashing import HASH_BYTES
from . import plain_tree
from .leaves import LEAF_ID_BYTES_MAX, LEAF_ID_BYTES_MIN, hash_leaf_id
from .trie_proof import VALUE_BYTES_MAX, TrieProof, hash_value

try:
    from . import _quad
except ImportError:  # built without a compiler, or for another machine
    _quad = None  # type: ignore[assignment]

Tree: TypeAlias = "plain_tree.Tree | _quad.Tree"

BUILD_LEAVES = 1 << 16
"""Leaves that `QuadTrie.of` hands to the tree at once."""
_READ_LEAVES = 1_024  # that `items` takes out of the tree at once


def _agrees(tree: Tree) -> bool:
    """Return whether a tree makes the roots that the one in Python makes, for some leaves of all lengths."""
    leaves = {b"%033d" % number if number % 3 else b"%065d" % number: b"v" * number for number in range(1, 300)}
    return tree.apply(leaves, True).root == plain_tree.Tree().apply(leaves, True).root


NEW_TREE: Tree = plain_tree.Tree()
"""The empty tree that every trie begins with."""
if _quad is not None and _agrees(_quad.Tree()):
    NEW_TREE = _quad.Tree()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TrieView:
    """One version of the state: immutable, and valid for as long as it is held."""

    _tree: Tree

    def __repr__(self) -> str:
        return f"TrieView(root={self.root.hex()}, leaves={len(self)})"

    @property
    def root(self) -> bytes:
        """The 32-byte state root; zeros if there is no leaf."""
        return self._tree.root

    def __len__(self) -> int:
        return len(self._tree)

    def get(self, leaf_id: bytes) -> bytes | None:
        """Return the value of `leaf_id`, or None if it has none."""
        return self._tree.get(leaf_id)

    def prove(self, leaf_id: bytes) -> TrieProof:
        """Return the proof of the value of `leaf_id`, or of its absence, under this version's root."""
        masks, siblings, end = self._tree.beside(hash_leaf_id(leaf_id), 0)
        value = other_key = other_value_hash = b""
        if end is not None:
            if end[0] == leaf_id:
                value = end[1]
            else:
                other_key, other_value_hash = hash_leaf_id(end[0]), hash_value(end[1])
        return TrieProof(1, value, other_key, other_value_hash, masks, siblings)

    def beside(self, key: bytes, side: int) -> tuple[bytes, bytes, tuple[bytes, bytes] | None]:
        """Return what stands beside the path of a trie key, on one side of it, as `plain_tree.Tree.beside`."""
        return self._tree.beside(key, side)

    def leaves_from(self, key: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield (leaf id, value) of every leaf from a trie key on, in the order of their trie keys."""
        while True:
            leaves = self._tree.leaves_from(key, _READ_LEAVES)
            yield from leaves
            if len(leaves) < _READ_LEAVES:
                return
            following = int.from_bytes(hash_leaf_id(leaves[-1][0]), "big") + 1
            if following >> 8 * HASH_BYTES:
                return
            key = following.to_bytes(HASH_BYTES, "big")

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield (leaf id, value) of every leaf, in the order of their trie keys."""
        return self.leaves_from(bytes(HASH_BYTES))

    def sum_after(self, kind: int, head: bytes) -> int:
        """Add up the integers after `head` in the values of all leaves of a kind, as `plain_tree.Tree.sum_after`."""
        return self._tree.sum_after(kind, head)


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
        self._view = TrieView(NEW_TREE)
        if items:
            self.update(items)

    @classmethod
    def of(cls, leaves: Iterable[tuple[bytes, bytes]]) -> QuadTrie:
        """Build the trie of many leaves without holding them twice; the last word on a leaf counts.

        Raises:
            LocalProtocolError: as for `update`.
        """
        trie = cls()
        tree, some = NEW_TREE, dict[bytes, bytes]()
        for leaf_id, value in leaves:
            some[leaf_id] = value
            if len(some) == BUILD_LEAVES:
                tree, some = _apply(tree, some, hashed=False), {}
        trie._view = TrieView(_apply(tree, some, hashed=True))
        return trie

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
            tree = _apply(before._tree, changes, hashed=True)
        else:
            # equal roots have equal trees; a tree that is shared takes the memory of one
            key = (before.root, tuple(changes.items()))
            shared: Tree | None = known.updates.get(key)
            if shared is None:
                shared = _apply(before._tree, changes, hashed=True)
                known.updates.put(key, shared, len(changes))
            tree = shared
        self._view = TrieView(tree)
        return Undo(before, self._view)


def _apply(tree: Tree, changes: Mapping[bytes, bytes], *, hashed: bool) -> Tree:
    try:
        return tree.apply(changes if isinstance(changes, dict) else dict(changes), hashed)
    except ValueError:
        for leaf_id, value in changes.items():
            if not LEAF_ID_BYTES_MIN <= len(leaf_id) <= LEAF_ID_BYTES_MAX or len(value) > VALUE_BYTES_MAX:
                raise LocalProtocolError(
                    f"leaf id {leaf_id[:80].hex()} has {len(leaf_id)} bytes and its value {len(value)}; "
                    f"{LEAF_ID_BYTES_MIN} to {LEAF_ID_BYTES_MAX} and at most {VALUE_BYTES_MAX} are allowed"
                ) from None
        raise
