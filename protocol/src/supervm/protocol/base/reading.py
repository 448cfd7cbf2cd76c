"""Readers of agreed bytes: one function per type, made from the type, that reads canonical CBOR and nothing else.

Theory of operation. A general CBOR reader builds whatever the bytes say and only then is the result held against the
type. Bytes can say far more than their length: a head of one byte becomes a list of 56 bytes and more. Here the type
leads. `reader_of` turns a type into a function that walks the type's fields and, at each one, takes exactly the bytes
that this field may have next, or refuses. So nothing is built that the type does not ask for, a byte that is out of
place ends the work, nesting is that of the type, and there is no map, float, tag or indefinite length to be afraid of.

Canonical form (RFC 8949 4.2) costs no second look. Every head has one shortest form, and only that one is taken: what
is fixed by the type (array heads, kinds, versions, heads of strings of one length) is compared as bytes, and the
numbers in other heads must not fit into fewer bytes. A value that was read is written as the bytes it was read from.

The functions are written out as source, as those of `dataclasses` are, and compiled when a type is first read: a walk
over a description of the type would take three times as long, and agreed bytes are read on every hot path.

The same description bounds a type's length: `bytes_bounds` says how short and how long its bytes can be, so that what
is longer is refused before it is looked at. A type that has no such bound cannot be read.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from struct import Struct
from typing import Any, NamedTuple, NoReturn

import msgspec
from msgspec import inspect

from . import cbor
from .errors import RemoteProtocolError

Read = Callable[[bytes, int], tuple[Any, int]]
"""(bytes, position) -> (value, position after it).

Raises `RemoteProtocolError` for bytes that are not what the type asks for. When the bytes end too early it raises
`IndexError` or `struct.error`, or returns a position behind the last byte.
"""


class Reader(NamedTuple):
    """How a type is read, and the most bytes that it can have."""

    read: Read
    bytes_max: int


_UINT, _BYTES, _TEXT, _ARRAY = 0x00, 0x40, 0x60, 0x80  # major types, as they stand in the first byte of a head
_MAJOR_TYPES = (
    "an integer",
    "a negative integer",
    "a byte string",
    "a text",
    "an array",
    "a map",
    "a tag",
    "a float or constant",
)
_IMMEDIATE = 24  # numbers below stand in the first byte of the head itself
_INDENT = "    "
_U32, _U64 = Struct(">I").unpack_from, Struct(">Q").unpack_from


@cache
def reader_of(kind: type[msgspec.Struct]) -> Reader:
    """Return the reader of objects of type `kind`.

    Raises:
        TypeError: the type has a field that agreed objects cannot have, or one without bounds.
    """
    return _reader(inspect.type_info(kind))


@cache
def bytes_bounds(kind: type[msgspec.Struct]) -> tuple[int, int]:
    """Return the lengths in bytes of the shortest and of the longest encoding that an object of type `kind` can have.

    Raises:
        TypeError: as for `reader_of`.
    """
    return _bounds(inspect.type_info(kind))


_readers: dict[type, Reader] = {}  # those that are made, also for types that only stand inside of others


def _reader(struct: inspect.Type) -> Reader:
    longest = _bounds(struct)[1]
    assert isinstance(struct, inspect.StructType)
    reader = _readers.get(struct.cls)
    if reader is None:
        reader = _readers[struct.cls] = Reader(_Source(struct).compiled(), longest)
    return reader


def _head(major: int, number: int) -> bytes:
    """Return the shortest head of a major type with a number: RFC 8949 3."""
    head = cbor.dumps(number)
    return bytes([head[0] | major]) + head[1:]


def _head_of(struct: inspect.StructType) -> bytes:
    """Return what every encoding of a type begins with: the array's head and the kind."""
    tag = struct.tag
    head = _head(_ARRAY, len(struct.fields) + (tag is not None))
    return head if tag is None else head + cbor.dumps(tag)


def _bounds(kind: inspect.Type) -> tuple[int, int]:
    match kind:
        case inspect.LiteralType((value,)):
            return (len(cbor.dumps(value)),) * 2
        case inspect.BoolType():
            return 1, 1
        case inspect.IntType(gt=None, lt=None, ge=int(low), le=int(high)) if 0 <= low <= high < 2**64:
            return len(cbor.dumps(low)), len(cbor.dumps(high))
        case inspect.EnumType():
            numbers = [member.value for member in kind.cls]
            if all(isinstance(number, int) and 0 < number < _IMMEDIATE for number in numbers):
                return 1, 1
        case inspect.BytesType(min_length=low, max_length=int(high)):
            low = low or 0
            return len(_head(_BYTES, low)) + low, len(_head(_BYTES, high)) + high
        case inspect.StrType(min_length=low, max_length=int(high), pattern=None):
            low, high = low or 0, 4 * high  # a character takes up to four bytes in UTF-8
            return len(_head(_TEXT, low)) + low, len(_head(_TEXT, high)) + high
        case inspect.TupleType(item_types=kinds) if len(kinds) < _IMMEDIATE:
            bounds = [_bounds(item) for item in kinds]
            return 1 + sum(low for low, _ in bounds), 1 + sum(high for _, high in bounds)
        case inspect.VarTupleType(item_type=item, min_length=low, max_length=int(high)):
            low, (shortest, longest) = low or 0, _bounds(item)
            return len(_head(_ARRAY, low)) + low * shortest, len(_head(_ARRAY, high)) + high * longest
        case inspect.UnionType(types=kinds) if all(isinstance(item, inspect.StructType) for item in kinds):
            bounds = [_bounds(item) for item in kinds]
            return min(low for low, _ in bounds), max(high for _, high in bounds)
        case inspect.StructType(fields=fields, array_like=True, forbid_unknown_fields=True):
            bounds = [_bounds(field.type) for field in fields]
            head = len(_head_of(kind))
            return head + sum(low for low, _ in bounds), head + sum(high for _, high in bounds)
    raise TypeError(f"agreed objects have no such field, or not without bounds: {kind!r:.200}")


class _Source:
    """The source of one type's reader while it is written.

    In the source, `data` are the bytes and `at` is the position; every number or string has a name of its own.
    """

    def __init__(self, struct: inspect.StructType) -> None:
        self._struct = struct
        self._names: dict[str, Any] = {"kind": struct.cls, "fail": _fail, "number": _number, "text": _text, "u64": _U64}
        self._lines = ["def read(data, at):"]
        self._depth = 1
        self._place = struct.cls.__name__  # what is read, for people
        self._fixed = b""  # bytes that must come next and are not compared yet, so that neighbours are compared at once
        self._fixed_place = self._place

    def compiled(self) -> Read:
        """Write and return the function."""
        self._fix(_head_of(self._struct))
        members = []
        for field in self._struct.fields:
            self._place = f"{self._struct.cls.__name__}.{field.name}"
            members.append(self._value(field.type))
        self._put(f"return kind({', '.join(members)}), at")
        exec("\n".join(self._lines), self._names)  # noqa: S102 - written from our own types alone
        read: Read = self._names["read"]
        return read

    def _put(self, line: str) -> None:
        """Add a line, after a comparison of the fixed bytes before it."""
        self._compare()
        self._lines.append(_INDENT * self._depth + line)

    def _fix(self, fixed: bytes) -> None:
        """Say that these bytes must come next."""
        if not self._fixed:
            self._fixed_place = self._place
        self._fixed += fixed

    def _name(self, of: Any = None) -> str:
        """Return a new name, in the function's namespace if something is given that it names."""
        name = f"x{len(self._names)}"
        self._names[name] = of
        return name

    def _wanted(self, what: str, place: str = "") -> str:
        """Return the call that refuses what stands at the position."""
        return f"fail(data, at, {self._name((place or self._place, what))})"

    def _compare(self) -> None:
        fixed, self._fixed = self._fixed, b""
        if not fixed:
            return
        test = f"data[at] != {fixed[0]}" if len(fixed) == 1 else f"data[at:at + {len(fixed)}] != {fixed!r}"
        what = f"{_MAJOR_TYPES[fixed[0] >> 5]} that begins with {fixed.hex()}"
        self._put(f"if {test}: {self._wanted(what, self._fixed_place)}")
        self._put(f"at += {len(fixed)}")

    def _count(self, major: int, low: int, high: int, what: str) -> str:
        """Write the reading of a head whose number is `low` to `high`; return the number's name."""
        name = self._name()
        first = f"data[at] - {major}" if major else "data[at]"
        self._put(f"{name} = {first}")
        wanted = self._wanted(what)
        self._put(f"if {low} <= {name} < {min(high + 1, _IMMEDIATE)}: at += 1")
        # the two lengths that are met most are read without a call: amounts and times, and lengths of hashes
        for head, size, least, most in ((24, 1, 24, 0xFF), (27, 8, 1 << 32, 2**64 - 1)):
            least, most = max(least, low), min(most, high)
            if least <= most:
                self._put(f"elif {name} == {head}:")
                self._put(f"{_INDENT}{name} = {'data[at + 1]' if size == 1 else 'u64(data, at + 1)[0]'}")
                self._put(f"{_INDENT}if not {least} <= {name} <= {most}: {wanted}")
                self._put(f"{_INDENT}at += {1 + size}")
        self._put(f"else: {name}, at = number(data, at, {name}, {low}, {high}) or {wanted}")
        return name

    def _value(self, kind: inspect.Type) -> str:
        """Write the reading of a value whose type has bounds; return the expression of the value."""
        match kind:
            case inspect.LiteralType(values=(value,)):
                self._fix(cbor.dumps(value))
                return repr(value)
            case inspect.BoolType():
                name = self._name()
                self._put(f"{name} = data[at] == 0xf5")
                self._put(f"if not {name} and data[at] != 0xf4: {self._wanted('true or false')}")
                self._put("at += 1")
                return name
            case inspect.IntType(ge=int(low), le=int(high), multiple_of=step):
                what = f"an integer of {low} to {high}" + (f", a multiple of {step}" if step else "")
                name = self._count(_UINT, low, high, what)
                if step:
                    self._put(f"if {name} % {step}: {self._wanted(what)}")
                return name
            case inspect.EnumType():
                members = {member.value: member for member in kind.cls}
                name, wanted = self._name(), self._wanted(f"one of {', '.join(map(str, members))}")
                self._put(f"{name} = {self._name(members)}.get(data[at]) or {wanted}")
                self._put("at += 1")
                return name
            case inspect.BytesType(min_length=low, max_length=int(high)):
                return self._bytes(low or 0, high)
            case inspect.StrType(min_length=low, max_length=int(high)):
                low, what = low or 0, f"a text of {low or 0} to {high} characters"
                count, name = self._count(_TEXT, low, 4 * high, what), self._name()
                self._put(f"{name} = text(data[at:at + {count}], {low}, {high})")
                self._put(f"if {name} is None: {self._wanted(what + ' in UTF-8')}")
                self._put(f"at += {count}")
                return name
            case inspect.TupleType(item_types=kinds):
                self._fix(_head(_ARRAY, len(kinds)))
                return f"({', '.join([self._value(item) for item in kinds])},)"
            case inspect.VarTupleType(item_type=item, min_length=low, max_length=int(high)):
                return self._list(item, low or 0, high)
            case inspect.UnionType(types=kinds):
                return self._choice([item for item in kinds if isinstance(item, inspect.StructType)])
            case inspect.StructType():
                name = self._name()
                self._put(f"{name}, at = {self._name(_reader(kind).read)}(data, at)")
                return name
        raise TypeError(f"agreed objects have no such field: {kind!r:.200}")

    def _bytes(self, low: int, high: int) -> str:
        name = self._name()
        if low == high:
            self._fix(_head(_BYTES, low))
            self._put(f"{name} = data[at:at + {low}]")
            self._put(f"at += {low}")
        else:
            count = self._count(_BYTES, low, high, f"a byte string of {low} to {high} bytes")
            self._put(f"{name} = data[at:at + {count}]")
            self._put(f"at += {count}")
        return name

    def _list(self, item: inspect.Type, low: int, high: int) -> str:
        count = self._count(_ARRAY, low, high, f"an array of {low} to {high}")
        name, add = self._name(), self._name()
        self._put(f"{name} = []")
        self._put(f"{add} = {name}.append")
        self._put(f"for _ in range({count}):")
        self._depth += 1
        value = self._value(item)
        self._put(f"{add}({value})")
        self._depth -= 1
        self._put(f"{name} = tuple({name})")
        return name

    def _choice(self, kinds: list[inspect.StructType]) -> str:
        name = self._name()
        for place, item in enumerate(kinds):
            head = _head_of(item)
            self._put(f"{'elif' if place else 'if'} data[at:at + {len(head)}] == {head!r}:")
            self._put(f"{_INDENT}{name}, at = {self._name(_reader(item).read)}(data, at)")
        self._put(f"else: {self._wanted('one of ' + ', '.join(item.cls.__name__ for item in kinds))}")
        return name


def _number(data: bytes, at: int, first: int, low: int, high: int) -> tuple[int, int] | None:
    """Return the number that a head gives in its further bytes and the position after it, None if it is not wanted.

    Args:
        data: the bytes.
        at: where the head begins.
        first: the head's first byte without its major type.
        low: least number that is wanted; those below 24 are none here, as they have no further bytes.
        high: greatest number that is wanted.
    """
    if first == 27:
        (number,) = _U64(data, at + 1)
        least, at = 1 << 32, at + 9
    elif first == 24:
        number, least, at = data[at + 1], 24, at + 2
    elif first == 25:
        number, least, at = data[at + 1] << 8 | data[at + 2], 256, at + 3
    elif first == 26:
        (number,) = _U32(data, at + 1)
        least, at = 1 << 16, at + 5
    else:
        return None
    return (number, at) if least <= number and low <= number <= high else None


def _text(data: bytes, low: int, high: int) -> str | None:
    """Return the text of `low` to `high` characters that the bytes are in UTF-8, None if they are none."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if low <= len(text) <= high else None


def _fail(data: bytes, at: int, wanted: tuple[str, str]) -> NoReturn:
    """Refuse what stands at a position.

    Args:
        data: the bytes.
        at: where what was read last ends, or is to end.
        wanted: what is read, and what alone may stand there.
    """
    place, what = wanted
    if at >= len(data):
        raise IndexError
    found = f"{_MAJOR_TYPES[data[at] >> 5]} ({data[at : at + 24].hex()})"
    raise RemoteProtocolError(f"{place} at byte {at} must be {what}, in its shortest form; there is {found}")
