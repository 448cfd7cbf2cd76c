"""Deterministic CBOR (RFC 8949 4.2) of plain values: cbor2 where it is installed, or else a small equal of it.

Theory of operation. Agreed bytes are arrays of integers, byte and text strings, booleans and arrays, and each of these
has one shortest form, so any two right writers give the same bytes. cbor2 is compiled code and needs a build for each
kind of machine; phones and routers may have none. `write` is the same in Python, half as fast, for exactly the
values that agreed objects are made of. Tests hold its bytes and its refusals against cbor2's.

Reading is no matter of this module: `reading` makes a reader for each type.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

from .errors import LocalProtocolError

_UINT, _NEGATIVE, _BYTES, _TEXT, _ARRAY = 0x00, 0x20, 0x40, 0x60, 0x80  # major types, as they stand in a first byte
_FALSE, _TRUE, _NULL = b"\xf4", b"\xf5", b"\xf6"
_BIG, _BIG_NEGATIVE = b"\xc2", b"\xc3"  # tags of integers beyond 64 bits
_ONE: Final = [bytes([number]) for number in range(256)]
_HEAD8, _HEAD16, _HEAD32, _HEAD64 = (Struct(form).pack for form in (">BB", ">BH", ">BI", ">BQ"))


def write(value: object) -> bytes:
    """Return the one canonical encoding of a value.

    Args:
        value: None, a boolean, an integer, bytes, text, or a list or tuple of such values.

    Raises:
        LocalProtocolError: it holds something else; agreed objects have no floats, maps or sets.
        UnicodeEncodeError: a text has a lone surrogate.
    """
    parts: list[bytes] = []
    _add(value, parts.append)
    return b"".join(parts)


def _add(value: object, add: Callable[[bytes], None]) -> None:
    match value:
        case bytes():
            add(_head(_BYTES, len(value)))
            add(value)
        case bool():
            add(_TRUE if value else _FALSE)
        case int():
            _add_integer(value, add)
        case str():
            data = value.encode()
            add(_head(_TEXT, len(data)))
            add(data)
        case list() | tuple():
            add(_head(_ARRAY, len(value)))
            for item in value:
                _add(item, add)
        case None:
            add(_NULL)
        case _:
            raise LocalProtocolError(f"cannot encode type {type(value)}")


def _add_integer(value: int, add: Callable[[bytes], None]) -> None:
    major, number, tag = (_UINT, value, _BIG) if value >= 0 else (_NEGATIVE, -1 - value, _BIG_NEGATIVE)
    if number < 1 << 64:
        add(_head(major, number))
        return
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    add(tag + _head(_BYTES, len(data)) + data)


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return _ONE[major | number]
    if number < 1 << 8:
        return _HEAD8(major | 24, number)
    if number < 1 << 16:
        return _HEAD16(major | 25, number)
    if number < 1 << 32:
        return _HEAD32(major | 26, number)
    return _HEAD64(major | 27, number)


dumps: Callable[[object], bytes]
"""The writer in use; as `write`."""
try:
    from cbor2 import dumps
except ImportError:
    dumps = write
