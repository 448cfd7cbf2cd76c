"""What pure functions answered before, for a process in which many nodes meet the same objects: the simulator.

Theory of operation. Reading and writing agreed objects and updating the state tree are pure functions over values that
never change. Where many nodes run in one process, each would compute what another one has computed already: twenty
validators read one block and apply it to one state. With a `Memory` the first one computes, and the others get the
same object. Nothing but time and memory depends on it, so a run has the same trace with and without. The signatures of
a certificate are checked once as well; whoever counts checks is told of those that another one made.

A node's process runs one node and has no memory: `active` is None, and the functions that look at it compute. What was
refused is never remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

T = TypeVar("T")
V = TypeVar("V")


class Half(Generic[V]):
    """A bounded mapping that forgets its older half; what is asked for counts as new.

    Args:
        weight_max: summed weight of what is kept, roughly.
    """

    __slots__ = ("_half", "_new", "_old", "_weight")

    def __init__(self, weight_max: int) -> None:
        self._half = weight_max // 2
        self._weight = 0
        self._new: dict[Hashable, tuple[V, int]] = {}
        self._old: dict[Hashable, tuple[V, int]] = {}

    def get(self, key: Hashable) -> V | None:
        """Return what is kept under a key, None if there is nothing."""
        found = self._new.get(key)
        if found is None:
            found = self._old.get(key)
            if found is None:
                return None
            self.put(key, *found)
        return found[0]

    def put(self, key: Hashable, value: V, weight: int) -> None:
        """Keep a value."""
        self._new[key] = (value, weight)
        self._weight += weight
        if self._weight > self._half:
            self._old, self._new = self._new, {}
            self._weight = 0


class Memory:
    """Answers of one simulated world.

    Args:
        bytes_max: encoded bytes of objects that are kept, roughly; also the bound for what was read.
        accounts_max: accounts that are kept, and as many changed accounts of updates of the state tree.
        signatures_max: signatures of certificates that are kept, roughly.
        spared: told of signatures that were not checked because they were checked before.

    Attributes:
        leaves: account -> its agreed bytes.
        updates: (root, changes) -> new tree of an update of the state tree.
    """

    __slots__ = ("_checked", "_read", "_spared", "_written", "leaves", "updates")

    def __init__(
        self,
        bytes_max: int = 128 << 20,
        accounts_max: int = 500_000,
        signatures_max: int = 200_000,
        *,
        spared: Callable[[int], None] | None = None,
    ) -> None:
        self._checked: Half[tuple[object, object, int]] = Half(signatures_max)  # with what the key names by its id
        self._spared = spared
        self._read: Half[Any] = Half(bytes_max)
        self._written: Half[tuple[object, bytes]] = Half(bytes_max)  # the object is kept, so its id stays its own
        self.leaves: Half[bytes] = Half(accounts_max)
        self.updates: Half[Any] = Half(accounts_max)

    def read(self, kind: type[T], data: bytes) -> T | None:
        """Return what `data` was read as before, None if it was not."""
        return self._read.get((kind, data))

    def written(self, value: object) -> bytes | None:
        """Return the bytes of this very object, None if it was not written before."""
        found = self._written.get(id(value))
        return None if found is None else found[1]

    def note_read(self, kind: type[T], data: bytes, value: T) -> None:
        """Remember what `data` was read as, and that `value`, which can never change, is written as `data`."""
        self._read.put((kind, data), value, len(data))
        self.note_written(value, data)

    def note_written(self, value: object, data: bytes) -> None:
        """Remember the bytes of an object that can never change."""
        self._written.put(id(value), (value, data), len(data))

    def is_good(self, certificate: object, chain_id: bytes, validators: bytes, verify: object) -> bool:
        """Return whether this very certificate was found good for this validator set, named by its hash."""
        found = self._checked.get((id(certificate), chain_id, validators, id(verify)))
        if found is None:
            return False
        if self._spared is not None:
            self._spared(found[2])
        return True

    def note_good(
        self, certificate: object, chain_id: bytes, validators: bytes, verify: object, signatures: int
    ) -> None:
        """Remember that a certificate, which can never change, is good, and how many signatures were checked."""
        key = (id(certificate), chain_id, validators, id(verify))
        self._checked.put(key, (certificate, verify, signatures), signatures)


active: Memory | None = None
"""The memory in use; None in every process that is not a simulation that runs right now."""


@contextmanager
def remembering(memory: Memory | None) -> Iterator[None]:
    """Have the functions of this library use a memory inside, in the whole process; None: none."""
    global active
    before, active = active, memory
    try:
        yield
    finally:
        active = before
