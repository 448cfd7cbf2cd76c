"""The bytes of a write-ahead log: what is written, and how damage is told from a torn tail; no I/O.

Theory of operation. The file is a sequence of frames, all integers big-endian::

    frame    = u32 bytes of body || u8 type || body || checksum
    header   = type 0x48, body = "svm.wal" || u16 format version || 16-byte incarnation || u64 sequence of first group
    group    = type 0xD7, body = u64 sequence || (u32 bytes || payload)*
    checksum = blake2b, 8 bytes, person "svm.wal", of everything before it; groups also use the incarnation as key

One `append` writes one group, so its payloads are recovered all or none, with one checksum and one fdatasync. A group
is written only after the one before it is on the medium. Hence, when a frame does not check:

* nothing valid follows it: it is the group that was being written when the process died. Nobody was told that it is
  durable and its messages were never sent, so it is cut off in silence (`dropped_bytes` tells how much);
* a valid group follows it: it was durable once, so promises are missing. That is damage, and the node must not vote.

What cannot be told apart: **bit rot in the last group looks exactly like a torn tail**, and a file that was cut at the
end of a group, or an exact older copy put in its place, looks like the whole log. Nothing in the file itself can show
that; a promise lost there is forgotten. The incarnation, kept beside the node's keys, shows a log of another
installation and a copy made by `wal.copy_log`.

Sequence numbers show a missing or repeated group. The key in the checksum keeps a peer from planting bytes that, as
content of a torn group, would pass for a later valid group: the incarnation is random and never leaves the node.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from supervm.common.errors import InputError
from supervm.protocol.base.errors import LocalProtocolError

from .errors import LogDamaged

INCARNATION_BYTES: Final = 16
"""Bytes of an incarnation id."""
COPY_INCARNATION: Final = bytes(INCARNATION_BYTES)
"""Incarnation of backup copies. No node has it: a copy put back in place makes an observer, never a double vote."""
FORMAT_VERSION: Final = 1
"""Format that is written; an older or newer one is refused."""
GROUP_BYTES_MAX: Final = 1 << 30
"""Largest body of one group in bytes, so of one `append`."""

_PERSON: Final = b"svm.wal"
_HEAD: Final = struct.Struct(">IB")
_HEADER_BODY: Final = struct.Struct(">7sH16sQ")
_SEQUENCE: Final = struct.Struct(">Q")
_LENGTH: Final = struct.Struct(">I")
_TYPE_HEADER: Final = 0x48
_TYPE_GROUP: Final = 0xD7
_CHECKSUM_BYTES: Final = 8
_OVERHEAD_BYTES: Final = _HEAD.size + _CHECKSUM_BYTES
HEADER_BYTES: Final = _HEADER_BODY.size + _OVERHEAD_BYTES
"""Bytes of the header frame."""


class _Group(NamedTuple):
    sequence: int
    payloads: list[bytes]
    end: int


class LogContent(NamedTuple):
    """What a log file holds.

    Attributes:
        payloads: all payloads, oldest first.
        incarnation: 16 bytes of its header.
        next_sequence: number of the next group.
        valid_bytes: where the last whole group ends; what follows is a torn tail.
    """

    payloads: list[bytes]
    incarnation: bytes
    next_sequence: int
    valid_bytes: int


Checksum = Callable[[bytes | memoryview], bytes]


def checksum_under(key: bytes) -> Checksum:
    """Return the checksum function of groups under an incarnation (``b""``: of the header)."""
    base = blake2b(digest_size=_CHECKSUM_BYTES, person=_PERSON, key=key)

    def of(data: bytes | memoryview) -> bytes:
        state = base.copy()
        state.update(data)
        return state.digest()

    return of


def _frame(kind: int, body: bytes, checksum: Checksum) -> bytes:
    frame = _HEAD.pack(len(body), kind) + body
    return frame + checksum(frame)


def header_frame(incarnation: bytes, first_sequence: int) -> bytes:
    """Return the header of a log whose first group has this sequence number."""
    body = _HEADER_BODY.pack(_PERSON, FORMAT_VERSION, incarnation, first_sequence)
    return _frame(_TYPE_HEADER, body, checksum_under(b""))


def group_frame(sequence: int, payloads: Sequence[bytes], checksum: Checksum) -> bytes:
    """Return one group; `check_group` was asked before."""
    parts = [_SEQUENCE.pack(sequence)]
    for payload in payloads:
        parts += (_LENGTH.pack(len(payload)), payload)
    return _frame(_TYPE_GROUP, b"".join(parts), checksum)


def check_group(payloads: Sequence[bytes]) -> None:
    """Check that payloads fit one group.

    Raises:
        LocalProtocolError: they do not.
    """
    total = _SEQUENCE.size + sum(_LENGTH.size + len(payload) for payload in payloads)
    if total > GROUP_BYTES_MAX:
        raise LocalProtocolError(
            f"{len(payloads)} write-ahead payloads take {total} bytes in one commit; at most {GROUP_BYTES_MAX} are "
            "allowed"
        )


def _read_header(data: bytes, path: Path) -> tuple[bytes, int]:
    """Return incarnation and first sequence number."""
    frame = data[:HEADER_BYTES]
    if len(frame) < HEADER_BYTES or checksum_under(b"")(frame[:-_CHECKSUM_BYTES]) != frame[-_CHECKSUM_BYTES:]:
        raise LogDamaged(f"the write-ahead log {path} has no valid header in its first {HEADER_BYTES} bytes")
    length, kind = _HEAD.unpack_from(frame)
    name, version, incarnation, first = _HEADER_BODY.unpack_from(frame, _HEAD.size)
    if (length, kind, name) != (_HEADER_BODY.size, _TYPE_HEADER, _PERSON):
        raise LogDamaged(f"{path} is not a write-ahead log")
    if version != FORMAT_VERSION:
        raise InputError(f"the write-ahead log {path} has format {version}; this program reads format {FORMAT_VERSION}")
    return incarnation, first


def _read_group(data: bytes, start: int, checksum: Checksum, least_sequence: int) -> _Group | None:
    """Return the valid group at `start` with a sequence number of at least `least_sequence`, or None."""
    if len(data) - start < _OVERHEAD_BYTES + _SEQUENCE.size:
        return None
    length, kind = _HEAD.unpack_from(data, start)
    checked = start + _HEAD.size + length
    end = checked + _CHECKSUM_BYTES
    if kind != _TYPE_GROUP or not _SEQUENCE.size <= length <= GROUP_BYTES_MAX or end > len(data):
        return None
    (sequence,) = _SEQUENCE.unpack_from(data, start + _HEAD.size)
    # the cheap test first: searching a large damaged file must not hash at every byte that looks like a type
    if not least_sequence <= sequence < least_sequence + (1 << 32):
        return None
    if checksum(memoryview(data)[start:checked]) != data[checked:end]:
        return None
    payloads = []
    at = start + _HEAD.size + _SEQUENCE.size
    while at < checked:
        (size,) = _LENGTH.unpack_from(data, at)
        payloads.append(data[at + _LENGTH.size : at + _LENGTH.size + size])
        at += _LENGTH.size + size
    return _Group(sequence, payloads, end)


def _find_group(data: bytes, start: int, checksum: Checksum, least_sequence: int) -> int | None:
    """Return where a valid group begins at or after `start`, or None."""
    kind = bytes([_TYPE_GROUP])
    at = data.find(kind, start + _LENGTH.size)
    while at >= 0:
        if _read_group(data, at - _LENGTH.size, checksum, least_sequence) is not None:
            return at - _LENGTH.size
        at = data.find(kind, at + 1)
    return None


def parse_log(data: bytes, path: Path) -> LogContent:
    """Return what the bytes of a log file hold.

    Args:
        data: the whole file.
        path: where it is from, for messages.

    Raises:
        LogDamaged: it is damaged elsewhere than in a torn tail.
        InputError: it has a format this program does not read.
    """
    incarnation, sequence = _read_header(data, path)
    checksum = checksum_under(incarnation)
    payloads: list[bytes] = []
    at = HEADER_BYTES
    while at < len(data):
        group = _read_group(data, at, checksum, sequence)
        if group is None:
            later = _find_group(data, at + 1, checksum, sequence)
            if later is not None:
                raise LogDamaged(
                    f"the write-ahead log {path} is damaged at byte {at}: group {sequence} does not check, yet a valid "
                    f"group follows at byte {later}; what this node promised is not known"
                )
            break
        if group.sequence != sequence:
            raise LogDamaged(
                f"the write-ahead log {path} lacks group {sequence}: group {group.sequence} follows at byte {at}; "
                "what this node promised is not known"
            )
        payloads += group.payloads
        sequence += 1
        at = group.end
    return LogContent(payloads, incarnation, sequence, at)
