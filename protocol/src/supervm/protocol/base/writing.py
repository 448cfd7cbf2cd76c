"""Writers of agreed bytes: one function per type, made from the type, that writes canonical CBOR.

Theory of operation. `reading` turns a type into the source of its reader; this does the same for the way back. A
general CBOR writer asks of every value what it is, and of every array whether it might be a mapping: that is most of
what a certificate of fifteen signatures costs it. A type knows what its fields are, so its writer collects heads and
values and joins them once.

A writer is for values of the type that their fields have; it looks at no bounds. For anything else - None in the place
of an integer, an integer beyond 64 bits - it raises one of `STRANGE`, and the general writer has the say. Only what
Python itself takes for one value is one here: True is 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import inspect

from .reading import _ARRAY, _BYTES, _TEXT, _UINT, _head, _head_of

Write = Callable[[Any], bytes]
"""value -> its bytes."""

STRANGE: Final = (AttributeError, LookupError, OverflowError, TypeError, ValueError)
"""What a writer raises for a value that is not of its type."""

_COMMON: Final = 256
"""Numbers and lengths below this have their heads in a list."""


def write(value: msgspec.Struct) -> bytes:
    """Return the canonical CBOR of an object of an agreed type.

    Raises:
        STRANGE: it is none, or a field does not hold what its type says.
    """
    kind = type(value)
    writer = _writers.get(kind)
    if writer is None:
        writer = _writers[kind] = _writer(kind)
    return writer(value)


_writers: dict[type, Write] = {}


def _writer(kind: type[msgspec.Struct]) -> Write:
    struct = inspect.type_info(kind)
    if not isinstance(struct, inspect.StructType) or not struct.array_like:
        raise TypeError(f"{kind.__name__} is no agreed type")
    lines = ["def written(value):", f"    out = [{_head_of(struct)!r}]"]
    for place, field in enumerate(struct.fields):
        lines.append(f"    x{place} = value.{field.name}")
        if isinstance(field.type, inspect.TupleType | inspect.VarTupleType):
            lines.append(f"    if type(x{place}) is not tuple: raise TypeError")  # bytes and text can be walked, too
        lines += _lines(field.type, f"x{place}", "    ")
    lines.append("    return b''.join(out)")
    names: dict[str, Any] = dict(_NAMES)
    exec("\n".join(lines), names)  # noqa: S102 - written from our own types alone
    made: Write = names["written"]
    return made


def _lines(kind: inspect.Type, name: str, indent: str) -> list[str]:
    """Return the lines that add to `out` the bytes of a value that has this name in the source."""
    match kind:
        case inspect.VarTupleType(item_type=item, max_length=most):
            lines = [f"{indent}out.append({_counted('array', _ARRAY, name, most)})"]
            return [*lines, f"{indent}for {name}_ in {name}:", *_lines(item, f"{name}_", indent + "    ")]
        case inspect.TupleType(item_types=kinds):
            items = [f"{name}_{place}" for place in range(len(kinds))]
            lines, parts = [f"{indent}{', '.join(items)}, = {name}"], [repr(_head(_ARRAY, len(kinds)))]
            for item, inner in zip(kinds, items, strict=True):
                parts += _parts(item, inner)
        case _:
            lines, parts = [], _parts(kind, name)
    return [*lines, f"{indent}out += ({', '.join(parts)},)"]


def _parts(kind: inspect.Type, name: str) -> list[str]:
    """Return the expressions of the bytes of a value without arrays of its own; see `_lines`."""
    match kind:
        case inspect.EnumType() | inspect.IntType(le=255):
            return [f"uint[{name}]"]
        case inspect.LiteralType() | inspect.IntType():
            return [f"uint[{name}] if {name} in uint else head({_UINT}, {name})"]
        case inspect.BoolType():
            return [f"truth[{name}]"]
        case inspect.BytesType(max_length=most):
            return [_counted("string", _BYTES, name, most), name]
        case inspect.StrType():
            return [f"text({name})"]
        case inspect.StructType() | inspect.UnionType():
            return [f"write({name})"]
    raise TypeError(f"agreed objects have no such field here: {kind!r:.200}")


def _counted(heads: str, major: int, name: str, most: int | None) -> str:
    short = f"{heads}[len({name})]"
    if most is not None and most < _COMMON:
        return short
    return f"{short} if len({name}) < {_COMMON} else head({major}, len({name}))"


def _any_head(major: int, number: int) -> bytes:
    if not 0 <= number < 1 << 64:
        raise OverflowError
    return _head(major, number)


def _text(text: str) -> bytes:
    data = text.encode()
    return _head(_TEXT, len(data)) + data


_NAMES: Final = {
    "write": write,
    "head": _any_head,
    "text": _text,
    "truth": {False: b"\xf4", True: b"\xf5"},
    # mappings and no lists: a negative number is not found, instead of counted from the end
    "uint": {number: _head(_UINT, number) for number in range(_COMMON)},
    "string": {number: _head(_BYTES, number) for number in range(_COMMON)},
    "array": {number: _head(_ARRAY, number) for number in range(_COMMON)},
}
