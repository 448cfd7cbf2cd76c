"""Frames of at most 200 bytes that carry a container through pictures (transactions.md 8).

A frame:

====== ===== ===========================================================================================
offset bytes
====== ===== ===========================================================================================
0      3     ``SV`` and the version of this layout, 1
3      16    first half of the container's digest, BLAKE2b-256 in the domain ``svm.handframes``
19     3     length of the container in bytes, big-endian
22     4     number of the frame, big-endian
26     n     what it carries (`fountain`), 1 to 170 bytes
26 + n 4     CRC-32 of all before it, big-endian
====== ===== ===========================================================================================

All frames of a container are equally long. A camera sees frames in any order, some often, some never, and frames of
other containers between them: digest and length tell them apart, and a frame of another one begins anew, since that is
what is in front of the camera now. The check sum finds what was misread; against what was forged, the whole is held
against its digest, and if it is not the one that the frames promised, everything is forgotten and reading goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Final
from zlib import crc32

from supervm.protocol.base.hashing import hasher

from ..errors import MobileError
from ..messages import CONTAINER_BYTES_MAX
from .fountain import BLOCKS_MAX, FRAMES_MAX, Basin, Fountain

FRAME_BYTES_MAX: Final = 200
"""Longest frame."""
MAGIC: Final = b"SV\x01"
_DIGEST_BYTES: Final = 16
_HEAD_BYTES: Final = len(MAGIC) + _DIGEST_BYTES + 3 + 4
_CRC_BYTES: Final = 4
BLOCK_BYTES_MAX: Final = FRAME_BYTES_MAX - _HEAD_BYTES - _CRC_BYTES

hash_whole = hasher(b"svm.handframes")
"""Digest of a container for its frames."""


class FrameError(MobileError):
    """What was scanned is no frame of a hand-over; the text says why."""


def frames_of(container: bytes) -> Iterator[bytes]:
    """Yield the frames of a container without end; `frame_count` is how many have to be shown at least.

    Raises:
        FrameError: the container is empty or too long.
    """
    blocks, size = _cut(len(container))
    digest = hash_whole(container)[:_DIGEST_BYTES]
    fountain = Fountain(container, digest, size)
    assert fountain.blocks == blocks
    head = MAGIC + digest + len(container).to_bytes(3, "big")
    for index in count():
        body = head + (index % FRAMES_MAX).to_bytes(4, "big") + fountain.frame(index % FRAMES_MAX)
        yield body + crc32(body).to_bytes(_CRC_BYTES, "big")


def frame_count(container_bytes: int) -> int:
    """Return how many blocks a container of this length has: as many frames are needed, and a few more.

    Raises:
        FrameError: the length is out of its bounds.
    """
    return _cut(container_bytes)[0]


def _cut(length: int) -> tuple[int, int]:
    """Return how many blocks there are, and their size: the shortest one that gives this many."""
    if not 1 <= length <= CONTAINER_BYTES_MAX:
        raise FrameError(f"the container has {length} bytes; 1 to {CONTAINER_BYTES_MAX} are allowed")
    blocks = -(-length // BLOCK_BYTES_MAX)
    return blocks, -(-length // blocks)


class FrameReader:
    """Takes scanned frames until a container is whole.

    Attributes:
        container: the whole, once it is there; a frame of another container begins anew.
    """

    def __init__(self) -> None:
        self.container: bytes | None = None
        self._name = b""
        self._length = 0
        self._blocks = 1
        self._basin: Basin | None = None

    @property
    def progress(self) -> tuple[int, int]:
        """How many frames that say something new have come, and how many are needed; (0, 0) before the first."""
        if self.container is not None:
            return self._blocks, self._blocks
        return (0, 0) if self._basin is None else (self._basin.known, self._blocks)

    def take(self, frame: bytes) -> bool:
        """Take one frame; return whether the container is whole.

        Raises:
            FrameError: it is no frame, was misread, or completes a whole that is not what the frames promised; in the
                last case reading begins anew.
        """
        digest, length, index, block = _read(frame)
        blocks, _ = _cut(length)
        if (digest, length) != (self._name, self._length):
            self._begin(digest, length)
        if self.container is not None:
            return True
        if self._basin is None:
            self._basin = Basin(blocks, digest, len(block))
        self._basin.take(index, block)
        if not self._basin.is_full:
            return False
        whole = self._basin.whole()[:length]
        if hash_whole(whole)[:_DIGEST_BYTES] != digest:
            self._begin(digest, length)
            raise FrameError("the frames together are not what they promise: one of them is forged; scan them anew")
        self.container, self._basin = whole, None
        return True

    def _begin(self, digest: bytes, length: int) -> None:
        self._name, self._length, self._blocks = digest, length, _cut(length)[0]
        self._basin, self.container = None, None


def _read(frame: bytes) -> tuple[bytes, int, int, bytes]:
    """Return digest, length, number and block of a frame."""
    if not _HEAD_BYTES + 1 + _CRC_BYTES <= len(frame) <= FRAME_BYTES_MAX:
        raise FrameError(f"it has {len(frame)} bytes; a frame has {_HEAD_BYTES + 1 + _CRC_BYTES} to {FRAME_BYTES_MAX}")
    if not frame.startswith(MAGIC[:2]):
        raise FrameError("it is no frame of a hand-over: those begin with SV")
    if frame[2] != MAGIC[2]:
        raise FrameError(f"the frame is of version {frame[2]}; this program reads version {MAGIC[2]}")
    body, check = frame[:-_CRC_BYTES], frame[-_CRC_BYTES:]
    if crc32(body).to_bytes(_CRC_BYTES, "big") != check:
        raise FrameError("the frame was misread: its check sum does not fit")
    at = len(MAGIC)
    digest, at = body[at : at + _DIGEST_BYTES], at + _DIGEST_BYTES
    length, index, block = (
        int.from_bytes(body[at : at + 3], "big"),
        int.from_bytes(body[at + 3 : at + 7], "big"),
        body[at + 7 :],
    )
    _, size = _cut(length)
    if len(block) != size:
        raise FrameError(f"the frame carries {len(block)} bytes; those of a container of {length} carry {size}")
    if index >= FRAMES_MAX:
        raise FrameError(f"the frame has the number {index}; those below {FRAMES_MAX} are allowed")
    return digest, length, index, block


assert -(-CONTAINER_BYTES_MAX // BLOCK_BYTES_MAX) <= BLOCKS_MAX
