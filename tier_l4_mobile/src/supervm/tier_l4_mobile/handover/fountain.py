"""A fountain of frames: any few more than there are blocks give the whole back, whichever were lost.

Theory of operation. The data is cut into k blocks of equal size, the last one filled up with zeros. Frame i, for i = 0,
1, 2, ... without end, carries the exclusive or of some of the blocks:

* frames 0 to k-1 carry block i alone (the code is systematic: where nothing is lost, nothing is computed);
* frame i >= k carries the blocks whose bits are set in a mask of k bits, a random linear combination over GF(2). The
  mask is made of BLAKE2b (16 bytes of personalisation ``svm.fountain``, digests of 64 bytes) of the digest of the
  whole, i as 4 bytes big-endian and a counter 0, 1, ... as 4 bytes big-endian: the digests one behind the other, read
  as one big-endian number, of which the lowest k bits count; a mask of zero becomes 1. Bit b stands for block b.

The receiver keeps what it has as rows of a triangular matrix: each new frame is reduced by the rows that are there, and
adds one or says nothing new. After k rows the rest is back-substitution. A random k x (k + n) matrix over GF(2) lacks
rank with a probability below 2^-n, so k and two or three more frames are enough whatever was lost: less than 1.1 k from
30 blocks on. An LT code would need fewer additions per frame and more frames; for the at most `BLOCKS_MAX` blocks here
Python's long integers do the additions at once, and frames are what costs time in front of a camera.

Nothing here trusts a frame: a wrong one makes a wrong whole, which its digest shows (`frames`).
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

BLOCKS_MAX: Final = 2_048
"""Most blocks of one whole."""
FRAMES_MAX: Final = 1 << 24
"""Numbers of frames are below this."""
_PERSON: Final = b"svm.fountain"
_DIGEST_BITS: Final = 512


def mask_of(seed: bytes, index: int, blocks: int) -> int:
    """Return which blocks the frame number `index` carries, as bits: bit b for block b.

    Args:
        seed: the digest of the whole.
        index: from 0.
        blocks: how many the whole has.
    """
    if index < blocks:
        return 1 << index
    head = seed + index.to_bytes(4, "big")
    stream = b"".join(
        blake2b(head + counter.to_bytes(4, "big"), person=_PERSON).digest()
        for counter in range(-(-blocks // _DIGEST_BITS))
    )
    return int.from_bytes(stream, "big") & ((1 << blocks) - 1) or 1


def blocks_of(data: bytes, block_bytes: int) -> list[bytes]:
    """Cut data into blocks; the last one is filled up with zeros."""
    return [
        data[start : start + block_bytes].ljust(block_bytes, b"\0")
        for start in range(0, max(1, len(data)), block_bytes)
    ]


class Fountain:
    """The sender's side.

    Args:
        data: the whole.
        seed: its digest.
        block_bytes: size of a block.
    """

    def __init__(self, data: bytes, seed: bytes, block_bytes: int) -> None:
        self._seed = seed
        self._size = block_bytes
        self._blocks = [int.from_bytes(block, "big") for block in blocks_of(data, block_bytes)]

    @property
    def blocks(self) -> int:
        """How many blocks the whole has."""
        return len(self._blocks)

    def frame(self, index: int) -> bytes:
        """Return what frame number `index` carries."""
        mask, total = mask_of(self._seed, index, self.blocks), 0
        while mask:
            low = mask & -mask
            total ^= self._blocks[low.bit_length() - 1]
            mask ^= low
        return total.to_bytes(self._size, "big")


class Basin:
    """The receiver's side: takes frames in any order until the whole is there.

    Args:
        blocks: how many blocks the whole has, at most `BLOCKS_MAX`.
        seed: the digest of the whole.
        block_bytes: size of a block.
    """

    def __init__(self, blocks: int, seed: bytes, block_bytes: int) -> None:
        self._seed = seed
        self._size = block_bytes
        self._blocks = blocks
        self._rows: dict[int, tuple[int, int]] = {}  # highest bit -> (mask, exclusive or of its blocks)

    @property
    def known(self) -> int:
        """How many independent frames have come."""
        return len(self._rows)

    @property
    def is_full(self) -> bool:
        """Whether the whole can be given back."""
        return len(self._rows) == self._blocks

    def take(self, index: int, block: bytes) -> bool:
        """Take what frame number `index` carries; return whether it says anything new."""
        mask, total = mask_of(self._seed, index, self._blocks), int.from_bytes(block, "big")
        while mask:
            row = self._rows.get(mask.bit_length())
            if row is None:
                self._rows[mask.bit_length()] = mask, total
                return True
            mask ^= row[0]
            total ^= row[1]
        return False

    def whole(self) -> bytes:
        """Return all blocks one behind the other; the basin must be full."""
        values: list[int] = []  # of the blocks from 0 on: a row has no bit above its own
        for place in range(self._blocks):
            mask, total = self._rows[place + 1]
            mask ^= 1 << place
            while mask:
                low = mask & -mask
                total ^= values[low.bit_length() - 1]
                mask ^= low
            values.append(total)
        return b"".join(value.to_bytes(self._size, "big") for value in values)
