"""Frames of a line: what is sent once, whole or not at all.

====== ===== ===================================================================================================
offset bytes
====== ===== ===================================================================================================
0      1     version of this layout, 1, in the high half; the kind in the low half
1      2     number of the stream that it belongs to, big-endian, never 0
3      2     number of the frame in its direction, from 0, modulo 2^16; of `OPENED` the other stream, see `core`
5      2     number of the frame that is awaited from the other end: all before it have come
7      2     which frames after that one have come already: bit b for the frame b + 1 after it
9      n     what it carries, in `DATA` alone
9 + n  4     CRC-32 of all before it, big-endian
====== ===== ===================================================================================================

The check sum finds what the line has changed, and nothing else: whoever can send on a line can make frames. What is to
be believed is signed, or comes over a link that is proven and encrypted (`link.session`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Final
from zlib import crc32

_HEAD: Final = Struct(">BHHHH")
_CRC_BYTES: Final = 4
OVERHEAD_BYTES: Final = _HEAD.size + _CRC_BYTES
"""What a frame has beside what it carries: 13 bytes."""
NUMBERS: Final = 1 << 16
VERSION: Final = 1
_VERSION_SHIFT: Final = 4
_KIND_MASK: Final = 0x0F


class Kind(IntEnum):
    """What a frame is."""

    OPEN = 1
    """Somebody wants a stream of this number."""
    OPENED = 2
    """There is one."""
    DATA = 3
    """The next piece of it."""
    END = 4
    """Nothing comes after this; numbered and acknowledged like data."""
    WORD = 5
    """What has come, and nothing else."""
    NONE = 6
    """There is no stream of this number here, any more or yet."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame; the attributes are those of the table above."""

    kind: Kind
    stream: int
    number: int = 0
    awaited: int = 0
    beyond: int = 0
    data: bytes = b""


def write_frame(frame: Frame) -> bytes:
    """Return its bytes."""
    first = VERSION << _VERSION_SHIFT | frame.kind
    head = _HEAD.pack(first, frame.stream, frame.number % NUMBERS, frame.awaited % NUMBERS, frame.beyond)
    body = head + frame.data
    return body + crc32(body).to_bytes(_CRC_BYTES, "big")


def read_frame(raw: bytes) -> Frame | None:
    """Return a frame; None if it was damaged, or is none that anybody here sends."""
    body, crc = raw[:-_CRC_BYTES], raw[-_CRC_BYTES:]
    if len(raw) < OVERHEAD_BYTES or crc32(body).to_bytes(_CRC_BYTES, "big") != crc:
        return None
    first, stream, number, awaited, beyond = _HEAD.unpack_from(body)
    data = body[_HEAD.size :]
    if first >> _VERSION_SHIFT != VERSION or first & _KIND_MASK not in set(Kind) or not stream:
        return None
    kind = Kind(first & _KIND_MASK)
    if (kind is Kind.DATA) != bool(data):
        return None
    return Frame(kind, stream, number, awaited, beyond, data)
