"""The history of checkpoints as a Merkle mountain range: one root that lets a phone prove any old checkpoint.

Theory of operation (consensus.md 4, "History"). Leaves are appended only. The first 2^k leaves, then the
next largest power of two that fits, and so on, form perfect binary trees ("mountains"), one per 1-bit of
the size; their roots are the peaks, largest and oldest first. Appending one leaf joins as many equal
mountains as the size has trailing 1-bits, which is O(1) on average.

The history root bags the peaks from right to left and binds the size:

    bag  = peak_last;  bag = H(svm.mmrbag, peak_i || bag) for the peaks before it, from right to left
    root = H(svm.mmrroot, size as 8 bytes, big endian || bag);  32 zero bytes for size 0

with leaves H(svm.mmrleaf, header hash) and inner nodes H(svm.mmrnode, left || right). As the size is in the
root, the root alone fixes the shape, and the shape fixes every proof. A proof is one list in the order in
which it is folded: the hashes beside the way up the leaf's mountain, then the bag of all mountains to the
right (if any), then the peaks to the left from near to far. Its length must be exactly what size and index
say.

Nodes never change and are numbered in the order in which they come to be: a leaf, then the mountains that it completes.
A range in memory is its peaks; the rest is kept under those numbers by whoever wants to prove leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Literal

import msgspec

from ..base.codec import Agreed, Hash, Uint, decode
from ..base.errors import LocalProtocolError, RemoteProtocolError
from ..base.hashing import HASH_BYTES, ZERO_HASH, hasher

_hash_leaf = hasher(b"svm.mmrleaf")
_hash_node = hasher(b"svm.mmrnode")
_hash_bag = hasher(b"svm.mmrbag")
_hash_root = hasher(b"svm.mmrroot")

HASHES_MAX = 126
"""Most hashes in a proof: below 2**63 leaves there are at most 63 peaks and 63 levels."""
MMR_PROOF_BYTES_MAX = 4_608
"""Longest encoded proof: `HASHES_MAX` hashes with their CBOR heads, and the fields before them."""


class MMRProof(Agreed, tag="mmrproof", frozen=True):
    """That one checkpoint header hash is in the history under one history root.

    Attributes:
        version: layout of this proof, 1.
        size: how many leaves the history has under that root.
        index: position of the leaf, 0-based: the height of the proved checkpoint counted from the first one.
        hashes: up the mountain, then the bag to the right if there is one, then the peaks to the left.
    """

    version: Literal[1]
    size: Uint
    index: Uint
    hashes: Annotated[tuple[Hash, ...], msgspec.Meta(max_length=HASHES_MAX)]


class HistoryMMR:
    """The range as its peaks: O(log n) memory, enough for every later root.

    Proofs also need nodes below the peaks. `append` returns every node that comes to be, once and for all, with its
    position; whoever keeps them by that number can prove leaves (`prove_mmr`) and begin again (`mmr_peaks`).

    Args:
        leaves: header hashes to begin with.
    """

    __slots__ = ("_peaks", "_size")

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self._size = 0
        self._peaks: list[bytes] = []  # largest and oldest first
        for leaf in leaves:
            self.append(leaf)

    @classmethod
    def from_peaks(cls, size: int, peaks: Sequence[bytes]) -> HistoryMMR:
        """Return a range of `size` leaves by its `peaks` (as `peaks()` gives them).

        Raises:
            LocalProtocolError: not one 32-byte peak per 1-bit of `size`.
        """
        if size < 0 or len(peaks) != size.bit_count() or any(len(peak) != HASH_BYTES for peak in peaks):
            raise LocalProtocolError(
                f"a history of {size} leaves (0 or more) has {max(size, 0).bit_count()} peaks of 32 bytes; "
                f"got {len(peaks)}"
            )
        mmr = cls()
        mmr._size, mmr._peaks = size, list(peaks)
        return mmr

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._size

    @property
    def root(self) -> bytes:
        """The 32-byte history root; zeros if there is no leaf."""
        return _root(self._size, _bag(self._peaks)) if self._size else ZERO_HASH

    def append(self, leaf: bytes) -> list[tuple[int, bytes]]:
        """Add the 32-byte header hash `leaf` at position `size`.

        Returns:
            The nodes that came to be by it, each as (`mmr_position`, hash), ascending.

        Raises:
            LocalProtocolError: it is not 32 bytes.
        """
        if len(leaf) != HASH_BYTES:
            raise LocalProtocolError(f"a leaf of the history is a hash of 32 bytes; got {len(leaf)}")
        node, position = _hash_leaf(leaf), mmr_position(0, self._size)
        made = [(position, node)]
        joined = self._size
        while joined & 1:  # one mountain per trailing 1-bit
            joined >>= 1
            node = _hash_node(self._peaks.pop() + node)
            position += 1
            made.append((position, node))
        self._peaks.append(node)
        self._size += 1
        return made

    def peaks(self) -> list[bytes]:
        """Return the roots of the mountains, largest and oldest first: one per 1-bit of the size."""
        return list(self._peaks)


NodeAt = Callable[[int], bytes | None]
"""Returns the node at a position (`mmr_position`), or None if it is not kept."""


def mmr_position(height: int, index: int) -> int:
    """Return the number of a node in the order in which nodes come to be, 0-based.

    Args:
        height: 0 for leaves.
        index: of the node among those of its height, from the left.
    """
    last = ((index + 1) << height) - 1  # its rightmost leaf, whose appending completes it
    return 2 * last - last.bit_count() + height


def mmr_peak_positions(size: int) -> list[int]:
    """Return where the peaks of a range of `size` leaves are, largest and oldest first."""
    heights = [height for height in reversed(range(size.bit_length())) if size >> height & 1]
    return [mmr_position(height, (size >> height) - 1) for height in heights]


def mmr_peaks(size: int, node_at: NodeAt) -> list[bytes] | None:
    """Return the peaks as they were when the range had `size` leaves, or None if one of them is not kept."""
    peaks = [node for position in mmr_peak_positions(size) if (node := node_at(position)) is not None]
    return peaks if len(peaks) == size.bit_count() else None


def prove_mmr(index: int, size: int, node_at: NodeAt) -> MMRProof | None:
    """Return the proof of leaf `index` (0-based) under the root of `size` leaves; it asks for O(log n) nodes.

    None if one of them is not kept.

    Raises:
        LocalProtocolError: there is no such leaf.
    """
    if not 0 <= index < size:
        raise LocalProtocolError(f"there is no leaf {index} in a history of {size}")
    mountain = _mountain_height(index, size)
    left = (size >> mountain + 1).bit_count()
    peaks = mmr_peaks(size, node_at)
    hashes = [node_at(mmr_position(height, index >> height ^ 1)) for height in range(mountain)]
    beside = [node for node in hashes if node is not None]
    if peaks is None or len(beside) != mountain:
        return None
    if right := peaks[left + 1 :]:
        beside.append(_bag(right))
    beside += reversed(peaks[:left])
    return MMRProof(1, size, index, tuple(beside))


def decode_mmr_proof(data: bytes) -> MMRProof:
    """Read a proof from exactly `data`, at most `MMR_PROOF_BYTES_MAX` bytes in canonical form.

    Raises:
        RemoteProtocolError: code ``bad-proof``.
    """
    try:
        return decode(MMRProof, data, bytes_max=MMR_PROOF_BYTES_MAX)
    except RemoteProtocolError as error:
        raise _bad(error.reason) from error


def verify_mmr(root: bytes, leaf: bytes, proof: MMRProof, *, index: int, size: int | None = None) -> None:
    """Return if `leaf` is the header hash at `index` of the history under `root`.

    Args:
        root: ``history_root`` of a checkpoint header that the caller already trusts.
        leaf: the header hash to prove.
        proof: the proof, decoded.
        index: where the caller expects it; a right proof for another place is refused.
        size: how long the caller knows the history to be; None to take it from
            the proof (the root binds it anyway).

    Raises:
        RemoteProtocolError: code ``bad-proof``.
    """
    if proof.index != index or (size is not None and proof.size != size):
        raise _bad(
            f"the proof is for leaf {proof.index} of {proof.size}; "
            f"asked for was leaf {index} of {'any size' if size is None else size}"
        )
    if not 0 <= index < proof.size < 1 << 63:
        raise _bad(f"there is no leaf {index} in a history of {proof.size}")
    mountain = _mountain_height(index, proof.size)
    left = (proof.size >> mountain + 1).bit_count()
    has_right = proof.size & (1 << mountain) - 1 != 0
    due = mountain + has_right + left
    if len(proof.hashes) != due:
        raise _bad(f"the proof has {len(proof.hashes)} hashes; exactly {due} are allowed")
    if any(len(beside) != HASH_BYTES for beside in proof.hashes):
        raise _bad("a hash of the proof is not 32 bytes long")
    current = _hash_leaf(leaf)
    for height, beside in enumerate(proof.hashes[:mountain]):
        current = _hash_node(beside + current if index >> height & 1 else current + beside)
    rest = proof.hashes[mountain:]
    if has_right:
        current, rest = _hash_bag(current + rest[0]), rest[1:]
    for peak in rest:
        current = _hash_bag(peak + current)
    if _root(proof.size, current) != root:
        raise _bad("the proof does not lead to the history root")


def check_peaks(root: bytes, size: int, peaks: Sequence[bytes]) -> None:
    """Return if `peaks`, as `HistoryMMR.peaks` gives them, are those of the history of `size` leaves under `root`.

    With them a node that has none of those leaves goes on: `HistoryMMR.from_peaks` (consensus.md 2.8, far behind).

    Args:
        root: ``history_root`` of a checkpoint header that the caller already trusts.
        size: the number of leaves under it, which is that header's height.
        peaks: what to check.

    Raises:
        RemoteProtocolError: code ``bad-proof``.
    """
    if not 0 <= size < 1 << 63 or len(peaks) != size.bit_count() or any(len(peak) != HASH_BYTES for peak in peaks):
        raise _bad(f"a history of {size} leaves has one peak of 32 bytes per 1-bit of its size; got {len(peaks)}")
    if (_root(size, _bag(peaks)) if size else ZERO_HASH) != root:
        raise _bad("the peaks do not lead to the history root")


def _bad(reason: str) -> RemoteProtocolError:
    return RemoteProtocolError(reason, penalty=100, code="bad-proof")


def _mountain_height(index: int, size: int) -> int:
    """Return the height of the mountain of leaf `index`: the highest bit in which size and index differ."""
    return (size ^ index).bit_length() - 1


def _bag(peaks: Sequence[bytes]) -> bytes:
    """Return one hash for `peaks` (at least one), folded from right to left."""
    bag = peaks[-1]
    for peak in reversed(peaks[:-1]):
        bag = _hash_bag(peak + bag)
    return bag


def _root(size: int, bag: bytes) -> bytes:
    return _hash_root(size.to_bytes(8, "big") + bag)
