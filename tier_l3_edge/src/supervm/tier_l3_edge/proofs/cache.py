"""The cache of proofs by leaf id: least recently used first out, bounded in bytes, counting what it does.

Theory of operation. Entries are raw proof bytes with the certified checkpoint they were proved under, so that an
answer is put together without touching the tree or a signature again. All proofs under one checkpoint share one
`SharedCheckpoint`; its bytes are counted once, from its first proof to its last. The order is that of a plain dict
whose entries are taken out and put back on use (limits.md rule 8). What an entry says was verified before it came in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from supervm.protocol.chain.checkpoint import CheckpointHeader
from supervm.protocol.state.account import Account
from supervm.protocol.state.leaves import Asset

ENTRY_OVERHEAD_BYTES = 400
"""What CPython needs for one entry besides the proof's bytes: objects, key and dict slot (measured, rounded up)."""


@dataclass(frozen=True, slots=True)
class SharedCheckpoint:
    """A verified checkpoint: its header and the `CertifiedCheckpoint` bytes it came in."""

    header: CheckpointHeader
    data: bytes


@dataclass(frozen=True, slots=True)
class CachedProof:
    """A verified proof of one leaf, present or absent.

    Attributes:
        checkpoint: under which it is proved.
        proof: the `TrieProof` bytes.
        leaf: what it proves: an account, what is held of an asset, or an asset; None: there is no such leaf.
    """

    checkpoint: SharedCheckpoint
    proof: bytes
    leaf: Account | int | Asset | None

    @property
    def height(self) -> int:
        """Height of the header that it is proved under."""
        return self.checkpoint.header.height

    @property
    def size_bytes(self) -> int:
        """What the entry counts for, without its checkpoint."""
        return len(self.proof) + ENTRY_OVERHEAD_BYTES


class ProofCache:
    """Proofs by leaf id.

    Args:
        bytes_max: bound of `bytes_used`; an entry that does not fit alone is not kept.
        evicted: told of each leaf whose proof is pushed out by others.

    Attributes:
        bytes_max: as given.
        bytes_used: bytes of proofs, checkpoints and overhead now.
        hits: answers given from the cache.
        misses: answers that were not there, or too old.
        evictions: entries pushed out by others.
    """

    def __init__(self, bytes_max: int, evicted: Callable[[bytes], None] = lambda leaf_id: None) -> None:
        self.bytes_max = bytes_max
        self._evicted = evicted
        self._entries: dict[bytes, CachedProof] = {}
        self._users: dict[int, int] = {}  # id of a shared checkpoint -> entries under it
        self.bytes_used = 0
        self.hits = 0
        self.misses = 0
        self.evictions = 0

    def __len__(self) -> int:
        return len(self._entries)

    def counters(self) -> dict[str, int]:
        """Return what it holds and has done; sizes in bytes."""
        return {
            "hits": self.hits,
            "misses": self.misses,
            "evictions": self.evictions,
            "entries": len(self._entries),
            "bytes": self.bytes_used,
            "bytes_max": self.bytes_max,
        }

    def get(self, leaf_id: bytes, *, oldest_ms: int = 0, lowest: int = 0) -> CachedProof | None:
        """Return the leaf's proof and count a hit, or count a miss.

        Args:
            leaf_id: of which leaf.
            oldest_ms: least time of the proof's header, in ms.
            lowest: least height of the proof's header.
        """
        entry = self._entries.pop(leaf_id, None)
        if entry is None:
            self.misses += 1
            return None
        self._entries[leaf_id] = entry
        header = entry.checkpoint.header
        if header.ts_ms < oldest_ms or header.height < lowest:
            self.misses += 1
            return None
        self.hits += 1
        return entry

    def peek(self, leaf_id: bytes) -> CachedProof | None:
        """Return the leaf's proof without counting or touching the order."""
        return self._entries.get(leaf_id)

    def put(self, leaf_id: bytes, entry: CachedProof) -> bool:
        """Keep a verified proof unless a higher one is there; return whether it was kept."""
        old = self._entries.get(leaf_id)
        if old is not None and old.height > entry.height:
            return False
        if entry.size_bytes + len(entry.checkpoint.data) > self.bytes_max:
            return False
        self.drop(leaf_id)
        self._entries[leaf_id] = entry
        self._count(entry, 1)
        while self.bytes_used > self.bytes_max:
            oldest = next(iter(self._entries))
            self.drop(oldest)
            self.evictions += 1
            self._evicted(oldest)
        return True

    def drop(self, leaf_id: bytes) -> None:
        """Forget a leaf's proof."""
        entry = self._entries.pop(leaf_id, None)
        if entry is not None:
            self._count(entry, -1)

    def _count(self, entry: CachedProof, sign: int) -> None:
        self.bytes_used += sign * entry.size_bytes
        key = id(entry.checkpoint)  # stable: every counted user keeps the object alive
        users = self._users.get(key, 0)
        if users + sign:
            self._users[key] = users + sign
        else:
            del self._users[key]
        if users == 0 or users + sign == 0:
            self.bytes_used += sign * len(entry.checkpoint.data)
