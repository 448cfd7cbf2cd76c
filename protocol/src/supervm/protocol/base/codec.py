"""Deterministic CBOR for everything that is hashed, signed or stored as agreed bytes.

Theory of operation. Agreed objects are `msgspec` array structs whose first two elements are their kind and version
(architecture.md 5). `encode` turns one into a CBOR array of integers, byte and text strings, booleans and arrays only:
no maps, floats, tags or indefinite lengths, so RFC 8949 4.2 leaves exactly one encoding. `decode` takes that one alone,
so one value has one byte string and garbage cannot hide in it.

Bytes that come from anybody cost what their length says. What is longer than the type can be is refused unread, and
the rest is read by the type's own reader (`reading`), which builds nothing but the fields of the type. Reading costs at
most 4 times the bytes in memory and 30 ms per MiB, whatever the bytes are; only receipts, which a node reads from its
own database, take up to 4.5 times, and a batch's entries of a few bytes 80 KiB more.
"""

from __future__ import annotations

import struct
from typing import Annotated, TypeVar

import msgspec

from . import cbor, memory
from .errors import RemoteProtocolError
from .reading import reader_of
from .writing import STRANGE, write

INT_MAX = 2**63 - 1
"""Largest integer in any agreed object; also the most money there can be (economics.md)."""

Uint = Annotated[int, msgspec.Meta(ge=0, le=INT_MAX)]
"""0 .. 2**63-1."""
Uint8 = Annotated[int, msgspec.Meta(ge=0, le=255)]
Uint16 = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=INT_MAX)]
"""1 .. 2**63-1."""
Hash = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
"""A 32-byte digest."""
Key = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
"""A 32-byte ed25519 public key: an account, a node or a validator."""
Signature = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
"""A 64-byte ed25519 signature."""


class Agreed(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Base of every object that is hashed, signed or stored as agreed bytes.

    No cycle can lead through an object that never changes, so the garbage collector is spared looking for one.
    """


T = TypeVar("T", bound=msgspec.Struct)

_PASS_THROUGH = (bytes,)


def encode(value: msgspec.Struct) -> bytes:
    """Return the one canonical CBOR byte string of `value`."""
    known = memory.active
    if known is None or not isinstance(value, Agreed):
        return _write(value)
    data = known.written(value)
    if data is None:
        data = _write(value)
        known.note_written(value, data)
    return data


def _write(value: msgspec.Struct) -> bytes:
    try:
        return write(value)
    except STRANGE:  # no value that could be read back: the general writer decides
        return cbor.dumps(msgspec.to_builtins(value, builtin_types=_PASS_THROUGH))


def write_uint(number: int) -> bytes:
    """Return the canonical CBOR of an unsigned integer below 2**64, for writers that put bytes together themselves."""
    if number < 24:
        return number.to_bytes(1, "big")
    if number < 1 << 16:
        return (0x1800 | number).to_bytes(2, "big") if number < 256 else (0x190000 | number).to_bytes(3, "big")
    if number < 1 << 32:
        return b"\x1a" + number.to_bytes(4, "big")
    return b"\x1b" + number.to_bytes(8, "big")


def decode(kind: type[T], data: bytes, *, bytes_max: int = 4 << 20) -> T:
    """Read an object of type `kind` from exactly `data`.

    Args:
        kind: an agreed type. Its fields are bounded integers, strings, booleans, agreed objects, and tuples of them.
        data: the bytes.
        bytes_max: more bytes are not read, even if the type can be longer.

    Raises:
        RemoteProtocolError: too long, wrong kind, a field out of its bounds, or not the canonical bytes.
    """
    size = len(data)
    read, longest = reader_of(kind)
    if size > bytes_max or size > longest:
        allowed = bytes_max if size > bytes_max else longest
        raise RemoteProtocolError(f"{kind.__name__} has {size} bytes; at most {allowed} are allowed")
    known = memory.active
    if known is not None:
        before = known.read(kind, data)
        if before is not None:
            return before
    try:
        value: T
        value, end = read(data, 0)
    except (IndexError, struct.error):
        end = size + 1
    except RemoteProtocolError as error:
        raise RemoteProtocolError(f"{kind.__name__} cannot be read: {error.reason}") from error
    if end != size:
        problem = f"{size - end} bytes are left over" if end < size else f"its {size} bytes end too early"
        raise RemoteProtocolError(f"{kind.__name__} cannot be read: {problem}")
    if known is not None and isinstance(value, Agreed):
        known.note_read(kind, data, value)
    return value
