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

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

import cbor2
import msgspec

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
    memory = _memory
    if memory is None:
        return _write(value)
    data = memory.written(value)
    if data is None:
        data = _write(value)
        memory.note_written(value, data)
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
    memory = _memory
    if memory is not None:
        known = memory.read(kind, data)
        if known is not None:
            return known
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
    if memory is not None:
        memory.note_read(kind, data, value)
    return value


# --- many nodes in one process ----------------------------------------------------------------------------------------


class CodecMemory:
    """What was read and written before, for a process in which many nodes meet the same objects (the simulator).

    Reading and writing are pure functions and agreed objects never change, so all nodes may look at one object: a
    block that one node has read is read for all, and a bytes object that was read need not be written again. Objects
    are known by identity, bytes by value. What was refused is not remembered. Nothing but time depends on it.

    Args:
        bytes_max: encoded bytes that are kept, roughly; beyond, the older half is forgotten.
    """

    __slots__ = ("_bytes", "_half", "_older_read", "_older_written", "_read", "_written")

    def __init__(self, bytes_max: int = 128 << 20) -> None:
        self._half = bytes_max // 2
        self._bytes = 0
        self._read: dict[tuple[type, bytes], Any] = {}
        self._older_read: dict[tuple[type, bytes], Any] = {}
        self._written: dict[int, tuple[msgspec.Struct, bytes]] = {}  # the object is kept, so its id stays its own
        self._older_written: dict[int, tuple[msgspec.Struct, bytes]] = {}

    def read(self, kind: type[T], data: bytes) -> T | None:
        """Return what `data` was read as before, None if it was not."""
        key = (kind, data)
        known: T | None = self._read.get(key)
        if known is None:
            known = self._older_read.get(key)
            if known is not None:
                self.note_read(kind, data, known)
        return known

    def written(self, value: msgspec.Struct) -> bytes | None:
        """Return the bytes of this very object, None if it was not written before."""
        known = self._written.get(id(value))
        if known is None:
            known = self._older_written.get(id(value))
            if known is None:
                return None
            self.note_written(value, known[1])
        return known[1]

    def note_read(self, kind: type[T], data: bytes, value: T) -> None:
        """Remember what `data` was read as, and that `value` is written as `data`."""
        self._read[kind, data] = value
        self.note_written(value, data)

    def note_written(self, value: msgspec.Struct, data: bytes) -> None:
        """Remember the bytes of an object that can never change."""
        if isinstance(value, Agreed):
            self._written[id(value)] = (value, data)
            self._bytes += len(data)
            if self._bytes > self._half:
                self._older_read, self._read = self._read, {}
                self._older_written, self._written = self._written, {}
                self._bytes = 0


_memory: CodecMemory | None = None


@contextmanager
def remembering(memory: CodecMemory | None) -> Iterator[None]:
    """Have `encode` and `decode` use a memory inside, in the whole process; None: none."""
    global _memory  # one process either is a node, and has none, or simulates many
    before, _memory = _memory, memory
    try:
        yield
    finally:
        _memory = before
