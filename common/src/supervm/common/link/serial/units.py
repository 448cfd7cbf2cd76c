"""Whole things over a stream, each confirmed: what a slow line carries instead of a link (network.md 4).

Theory of operation. A handshake of Noise and two Hellos take 3 s of a line of 1,200 bit/s, the proof of one balance
11 s, and heartbeats go on for ever. What is sealed and signed by itself - a bundle - needs none of that. So over a slow
line go *units*: bytes that come whole or not at all. Whoever has got one confirms it when it is on disk, and not
before; so the sender knows that it may forget it. A unit that was sent and not confirmed when the stream ended is sent
again over the next one: it may come twice, and whoever takes it drops it by its own id.

A unit on the stream is its kind, 1 byte, its number, 4 bytes, the length of what follows, 4 bytes, and that; a
confirmation is the same with no bytes behind it. Nothing says who sent it: whatever can be written to the line.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.reach.bundle import BUNDLE_BYTES_MAX

UNIT_BYTES_MAX: Final = BUNDLE_BYTES_MAX
"""Longest unit: the longest bundle."""
_HEAD: Final = Struct(">BII")
_UNIT, _CONFIRMED = 1, 2
_NUMBERS: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class Unit:
    """Something that has come whole; `number` is what its sender wants to hear that it is safe."""

    number: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The other end has the unit of this number, and keeps it."""

    number: int


def write_unit(number: int, data: bytes) -> bytes:
    """Return a unit as it stands in the stream."""
    return _HEAD.pack(_UNIT, number % _NUMBERS, len(data)) + data


def write_confirmed(number: int) -> bytes:
    """Return the confirmation of a unit."""
    return _HEAD.pack(_CONFIRMED, number % _NUMBERS, 0)


class UnitReader:
    """Finds units and confirmations in a stream."""

    def __init__(self) -> None:
        self._begun = bytearray()

    def push(self, data: bytes) -> list[Unit | Confirmed]:
        """Take bytes, cut anywhere; return what is whole.

        Raises:
            RemoteProtocolError: the other end sends something else, or a unit that is too long.
        """
        self._begun += data
        found: list[Unit | Confirmed] = []
        while len(self._begun) >= _HEAD.size:
            kind, number, size_bytes = _HEAD.unpack_from(self._begun)
            if kind not in (_UNIT, _CONFIRMED) or size_bytes > (UNIT_BYTES_MAX if kind == _UNIT else 0):
                raise RemoteProtocolError(
                    f"this is neither a unit of at most {UNIT_BYTES_MAX} bytes nor a confirmation", code="unit"
                )
            end = _HEAD.size + size_bytes
            if len(self._begun) < end:
                break
            found.append(Unit(number, bytes(self._begun[_HEAD.size : end])) if kind == _UNIT else Confirmed(number))
            del self._begun[:end]
        return found
