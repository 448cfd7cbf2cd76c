"""Deterministic CBOR for everything that is hashed, signed or stored as agreed bytes.

Theory of operation. Agreed objects are `msgspec` array structs whose first two elements are their kind and version
(architecture.md 5). `encode` turns one into a CBOR array of integers, byte and text strings, booleans and arrays only:
no maps, floats, tags or indefinite lengths, so RFC 8949 4.2 leaves exactly one encoding. `decode` does not trust the
CBOR reader to refuse the others (cbor2 accepts non-minimal lengths and trailing bytes): it decodes, checks every type
and bound, encodes again and compares, so one value has one byte string and garbage cannot hide in it.

The reader itself is fenced in, because what it would build before anything is compared can cost far more than its
bytes: a map whose integer keys collide takes quadratic time, and so does a tagged fraction of two long integers.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import cbor2
import msgspec

from . import memory
from .errors import RemoteProtocolError

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


class Agreed(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of every object that is hashed, signed or stored as agreed bytes."""


T = TypeVar("T", bound=msgspec.Struct)

_PASS_THROUGH = (bytes,)

DEPTH_MAX = 16
"""Deepest nesting that is read; the deepest agreed object, `FinalizedBlocks`, has 10 levels."""

_TAGS_KNOWN = (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799)


def _refuse_tag(*_: object) -> Any:
    raise ValueError("CBOR tags are not allowed")


_SEMANTIC_DECODERS = dict.fromkeys(_TAGS_KNOWN, _refuse_tag)  # those cbor2 acts on; the rest go to the tag hook


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
    return cbor2.dumps(msgspec.to_builtins(value, builtin_types=_PASS_THROUGH))


def decode(kind: type[T], data: bytes, *, bytes_max: int = 4 << 20) -> T:
    """Read an object of type `kind` from exactly `data`.

    Raises:
        RemoteProtocolError: too long, not CBOR, wrong kind, a field out of its bounds, or not the canonical bytes.
    """
    if len(data) > bytes_max:
        raise RemoteProtocolError(f"{kind.__name__} has {len(data)} bytes; at most {bytes_max} are allowed")
    known = memory.active
    if known is not None:
        before = known.read(kind, data)
        if before is not None:
            return before
    try:
        raw: Any = cbor2.loads(
            data,
            tag_hook=_refuse_tag,
            semantic_decoders=_SEMANTIC_DECODERS,
            max_depth=DEPTH_MAX,
            allow_indefinite=False,
            strict_hashable_types=True,
        )
        value = msgspec.convert(raw, kind, strict=True, builtin_types=_PASS_THROUGH)
    except (
        cbor2.CBORDecodeError,
        msgspec.ValidationError,
        ValueError,
        TypeError,
        RecursionError,
        OverflowError,
        MemoryError,
    ) as error:
        raise RemoteProtocolError(f"{kind.__name__} cannot be read: {error}") from error
    if _write(value) != data:
        raise RemoteProtocolError(f"{kind.__name__} is not in its canonical form (RFC 8949 4.2)")
    if known is not None and isinstance(value, Agreed):
        known.note_read(kind, data, value)
    return value

