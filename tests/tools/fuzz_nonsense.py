"""Well-typed messages with arbitrary content, made from the messages' own definitions and from what was sent before."""

from __future__ import annotations

import random
from typing import Any

import cbor2
import msgspec
from fuzz_world import WatchedWorld

from supervm.protocol.errors import RemoteProtocolError
from supervm.protocol.wire.frames import decode_message, encode_message
from supervm.protocol.wire.messages import (
    AnyMessage,
    Message,
)


class Nonsense:
    """Well-typed messages with arbitrary content."""

    def __init__(self, rng: random.Random, world: WatchedWorld) -> None:
        self._rng, self._world = rng, world

    def message(self, kind: type[Message]) -> AnyMessage | None:
        """Return a message of this kind that the codec lets through, or None if chance did not find one."""
        kept = self._world.captured[kind]
        if kept and self._rng.random() < 0.6:
            fields = {name: getattr(self._rng.choice(kept)[2], name) for name in kind.__struct_fields__}
            name = self._rng.choice(list(fields) or [""])
            if name:
                fields[name] = self._bend(fields[name])
            values = list(fields.values())
        else:
            info = msgspec.inspect.type_info(kind)
            assert isinstance(info, msgspec.inspect.StructType)
            values = [self._invent(item.type) for item in info.fields]
        try:
            return decode_message(encode_message(kind(*values)))
        except (RemoteProtocolError, TypeError, OverflowError, msgspec.EncodeError):
            return None

    def _bend(self, value: Any) -> Any:
        rng = self._rng
        if isinstance(value, bool):
            return value
        if isinstance(value, int):
            return rng.choice([0, 1, value + 1, max(0, value - 1), 2**63 - 1, rng.randrange(1 << 20)])
        if isinstance(value, bytes):
            return self._bend_bytes(value)
        if isinstance(value, tuple) and value:
            choice = rng.randrange(4)
            place = rng.randrange(len(value))
            if choice == 0:
                return value + value[:1]
            if choice == 1:
                return value[:place] + value[place + 1 :]
            return (*value[:place], self._bend(value[place]), *value[place + 1 :])
        if isinstance(value, msgspec.Struct):
            name = rng.choice(value.__struct_fields__)
            return msgspec.structs.replace(value, **{name: self._bend(getattr(value, name))})
        return value

    def _bend_bytes(self, value: bytes) -> bytes:
        rng = self._rng
        choice = rng.randrange(6)
        if choice == 0 or not value:
            return rng.randbytes(len(value))
        place = rng.randrange(len(value))
        if choice == 1:
            return value[:place]
        if choice == 2:
            return value[:place] + bytes([value[place] ^ 1 << rng.randrange(8)]) + value[place + 1 :]
        if choice == 3:
            return value + b"\x00"
        try:
            raw = cbor2.loads(value)
        except (cbor2.CBORDecodeError, ValueError, TypeError, OverflowError):
            return rng.randbytes(len(value))
        return cbor2.dumps(self._bend_raw(raw))

    def _bend_raw(self, raw: Any) -> Any:
        """Change one leaf of decoded CBOR; lists nest as they did."""
        if isinstance(raw, list) and raw:
            place = self._rng.randrange(len(raw))
            if self._rng.random() < 0.1:
                return [*raw, raw[place]]
            return [*raw[:place], self._bend_raw(raw[place]), *raw[place + 1 :]]
        if isinstance(raw, bytes):
            return self._rng.randbytes(len(raw))
        if isinstance(raw, int):
            return self._rng.choice([0, raw + 1, 255, 2**63 - 1, abs(raw - 1)])
        return raw

    def _invent(self, kind: Any) -> Any:
        rng, inspect = self._rng, msgspec.inspect
        if isinstance(kind, inspect.IntType):
            high = kind.le if kind.le is not None else 2**63 - 1
            return rng.choice([kind.ge or 0, min(high, 1), min(high, rng.randrange(40)), high])
        if isinstance(kind, inspect.BytesType):
            low, high = kind.min_length or 0, kind.max_length or 64
            return rng.randbytes(rng.randint(low, max(low, min(high, 200))))
        if isinstance(kind, inspect.StrType):
            return "x" * rng.randrange(min(kind.max_length or 8, 33))
        if isinstance(kind, inspect.VarTupleType):
            low = kind.min_length or 0
            return tuple(self._invent(kind.item_type) for _ in range(rng.randint(low, low + 3)))
        if isinstance(kind, inspect.TupleType):
            return tuple(self._invent(item) for item in kind.item_types)
        if isinstance(kind, inspect.StructType):
            return kind.cls(*(self._invent(item.type) for item in kind.fields))
        if isinstance(kind, inspect.EnumType):
            return rng.choice(list(kind.cls))
        if isinstance(kind, inspect.LiteralType):
            return rng.choice(kind.values)
        if isinstance(kind, inspect.BoolType):
            return rng.random() < 0.5
        raise TypeError(f"no idea how to invent {kind!r}")
