"""Bytes that are meant to cost their reader more than their length, made from the types that are to read them.

Two kinds: shapes that no type asks for (`cbor_shapes`, `msgpack_shapes`), to be put wherever a type expects something
else, and encodings that a type allows and that build as much as possible from as few bytes as possible (`Crammed`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cbor2
import msgspec
from msgspec import inspect


def cbor_shapes(size: int) -> dict[str, bytes]:
    """Return CBOR of about `size` bytes each, canonical and not, that a general reader makes much of."""

    def list_of(item: bytes) -> bytes:
        count = size // len(item)
        return b"\x9a" + count.to_bytes(4, "big") + item * count

    return {
        "empty arrays": list_of(b"\x80"),
        "arrays of one": list_of(b"\x81\x80"),
        "empty maps": list_of(b"\xa0"),
        "maps": list_of(b"\xa1\x00\x00"),
        "nulls": list_of(b"\xf6"),
        "integers": list_of(b"\x19\x03\xe8"),
        "negative integers": list_of(b"\x39\x03\xe8"),
        "long integers": list_of(b"\xc2\x42\x01\x00"),
        "empty byte strings": list_of(b"\x40"),
        "byte strings": list_of(b"\x42ab"),
        "texts": list_of(b"\x62ab"),
        "half floats": list_of(b"\xf9\x3c\x01"),
        "dates": list_of(b"\xc1\x00"),
        "deep arrays": b"\x81" * size,
        "deep indefinite arrays": b"\x9f" * size,
        "deep tags": b"\xc1" * size,
        "indefinite array": b"\x9f" + b"\x80" * size + b"\xff",
        "indefinite text": b"\x7f" + b"\x61a" * (size // 2) + b"\xff",
        "map": b"\xba"
        + (size // 3).to_bytes(4, "big")
        + b"".join(cbor2.dumps(1_000 + number)[:3] for number in range(size // 3)),
        "long byte string": b"\x5a" + size.to_bytes(4, "big") + b"x" * size,
        "long text": b"\x7a" + size.to_bytes(4, "big") + b"a" * size,
        "text that is none": b"\x7a" + size.to_bytes(4, "big") + b"\xff" * size,
        "long integer": b"\xc2\x5a" + size.to_bytes(4, "big") + b"\xff" * size,
        "an array of 2**32 - 1": b"\x9a\xff\xff\xff\xff" + b"\x80" * size,
        "an array of 2**64 - 1": b"\x9b" + b"\xff" * 8 + b"\x80" * size,
        "a byte string of 2**64 - 1": b"\x5b" + b"\xff" * 8 + b"x" * size,
    }


def msgpack_shapes(size: int) -> dict[str, bytes]:
    """Return msgpack of about `size` bytes each."""

    def list_of(item: bytes) -> bytes:
        count = size // len(item)
        return b"\xdd" + count.to_bytes(4, "big") + item * count

    return {
        "empty arrays": list_of(b"\x90"),
        "a thousand empty arrays": b"\xdc\x03\xe8" + b"\x90" * 1_000,
        "empty maps": list_of(b"\x80"),
        "nils": list_of(b"\xc0"),
        "integers": list_of(b"\xcd\x03\xe8"),
        "empty byte strings": list_of(b"\xc4\x00"),
        "byte strings": list_of(b"\xc4\x02ab"),
        "texts": list_of(b"\xa2ab"),
        "floats": list_of(b"\xca\x00\x00\x00\x01"),
        "extensions": list_of(b"\xd4\x01\x00"),
        "timestamps": list_of(b"\xd6\xff\x00\x00\x00\x00"),
        "deep arrays": b"\x91" * size,
        "deep maps": b"\x81\x00" * (size // 2),
        "map": b"\xdf" + (size // 3).to_bytes(4, "big") + b"\xa1a\x00" * (size // 3),
        "long byte string": b"\xc6" + size.to_bytes(4, "big") + b"x" * size,
        "long text": b"\xdb" + size.to_bytes(4, "big") + b"a" * size,
        "text that is none": b"\xdb" + size.to_bytes(4, "big") + b"\xff" * size,
        "long extension": b"\xc9" + size.to_bytes(4, "big") + b"\x01" + b"x" * size,
        "an array of 2**32 - 1": b"\xdd\xff\xff\xff\xff" + b"\x90" * size,
        "a byte string of 2**32 - 1": b"\xc6\xff\xff\xff\xff" + b"x" * size,
    }


def cbor_places(data: bytes) -> list[int]:
    """Return where the items of canonical bytes begin, those inside of arrays included."""
    places, at = [], 0
    while at < len(data):
        places.append(at)
        major, number = data[at] >> 5, data[at] & 31
        width = 1 << number - 24 if 24 <= number < 28 else 0
        if width:
            number = int.from_bytes(data[at + 1 : at + 1 + width], "big")
        at += 1 + width + (number if major in (2, 3) else 0)
    return places


def cbor_head(major: int, number: int) -> bytes:
    """Return the shortest head of a major type 0 to 7."""
    head = cbor2.dumps(number)
    return bytes([head[0] | major << 5]) + head[1:]


def msgpack_array_head(count: int) -> bytes:
    """Return the shortest head of an array."""
    if count < 16:
        return bytes([0x90 | count])
    return b"\xdc" + count.to_bytes(2, "big") if count < 1 << 16 else b"\xdd" + count.to_bytes(4, "big")


@dataclass(frozen=True)
class Crammed:
    """Encodings that a type allows, with many small objects in its lists.

    Attributes:
        scalar: writes an integer, string or boolean.
        array: writes the head of an array.
        integer: what integers are, as far as their bounds allow.
        string_bytes: how long strings are, as far as their bounds allow; 0 is as short as they can be.
        text: what texts are made of, a character.
    """

    scalar: Callable[[Any], bytes]
    array: Callable[[int], bytes]
    integer: int = 0
    string_bytes: int = 0
    text: str = "a"

    def of(self, kind: type[msgspec.Struct], bytes_max: int) -> bytes:
        """Return the encoding of an object of about `bytes_max` bytes, or as many as the type's lists can hold."""
        return self.write(inspect.type_info(kind), bytes_max, 0)

    def longest(self, kind: type[msgspec.Struct]) -> bytes:
        """Return the encoding with all lists full, those inside of lists included."""
        return self.write(inspect.type_info(kind), 1 << 60, 1 << 60)

    def write(self, kind: inspect.Type, room: int, room_inside: int) -> bytes:
        """Return the encoding of a value of about `room` bytes; what is in its lists has `room_inside` each."""
        match kind:
            case inspect.LiteralType(values=(value, *_)):
                return self.scalar(value)
            case inspect.BoolType():
                return self.scalar(False)
            case inspect.IntType(ge=int(low), le=int(high)):
                return self.scalar(min(max(low, self.integer), high))
            case inspect.EnumType():
                return self.scalar(max(member.value for member in kind.cls))
            case inspect.BytesType(min_length=low, max_length=int(high)):
                return self.scalar(b"\xa5" * min(max(low or 0, self.string_bytes), high))
            case inspect.StrType(min_length=low, max_length=int(high)):
                count = min(max(low or 0, self.string_bytes), high)
                return self.scalar(self.text * count)
            case inspect.TupleType(item_types=kinds):
                return self.array(len(kinds)) + b"".join(self.write(item, room_inside, room_inside) for item in kinds)
            case inspect.VarTupleType(item_type=item, min_length=low, max_length=int(high)):
                one = self.write(item, room_inside, room_inside)
                count = min(max(low or 0, room // len(one)), high)
                return self.array(count) + one * count
            case inspect.UnionType(types=kinds):
                return max((self.write(item, room, room_inside) for item in kinds), key=len)
            case inspect.StructType(fields=fields, tag=tag):
                parts = [self.array(len(fields) + (tag is not None)), b"" if tag is None else self.scalar(tag)]
                for field in fields:
                    parts.append(self.write(field.type, room, room_inside))
                    room = max(0, room - len(parts[-1]))
                return b"".join(parts)
        raise TypeError(kind)


def crammed_cbor(**how: Any) -> Crammed:
    """Return a writer of agreed bytes."""
    return Crammed(cbor2.dumps, lambda count: cbor_head(4, count), **how)


def crammed_msgpack(**how: Any) -> Crammed:
    """Return a writer of messages."""
    return Crammed(msgspec.msgpack.encode, msgpack_array_head, **how)
