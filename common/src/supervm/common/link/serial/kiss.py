"""KISS: how frames stand on a serial line (Chepponis and Karn, "The KISS TNC", 1987).

A frame stands between two bytes `FEND`; inside of it `FEND` and `FESC` are written as two bytes each, so a reader that
comes in the middle, or that lost some, is in step again with the next `FEND`. The first byte of a frame is a command;
here it is always `DATA`, port 0, which a modem that speaks KISS sends over the air as it is and a plain cable carries.
"""

from __future__ import annotations

from typing import Final

FEND: Final = b"\xc0"
FESC: Final = b"\xdb"
_FEND_INSIDE: Final = b"\xdb\xdc"
_FESC_INSIDE: Final = b"\xdb\xdd"
DATA: Final = b"\x00"
"""The command in front of what is to be sent, on port 0."""
PORT_MASK: Final = 0x0F
"""Bits of the first byte that are the command; the others are the port, and modems with one port do not care."""


def write_kiss(frame: bytes) -> bytes:
    """Return a frame as it stands on the line."""
    return FEND + DATA + frame.replace(FESC, _FESC_INSIDE).replace(FEND, _FEND_INSIDE) + FEND


class KissReader:
    """Finds the frames in what comes from the line.

    Args:
        bytes_max: a longer frame, as it stands on the line, is noise and passed over.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._begun = bytearray()
        self._in_step = False  # whether a FEND has been seen since the reader lost its place
        self.broken = 0
        """Frames that were too long or had an escape that means nothing."""

    def push(self, data: bytes) -> list[bytes]:
        """Take bytes from the line, cut anywhere; return the frames that ended in them."""
        found = []
        *ended, rest = data.split(FEND)
        for piece in ended:
            whole = bytes(self._begun) + piece if self._in_step else b""
            self._begun.clear()
            if whole and (frame := self._read(whole)) is not None:
                found.append(frame)
            self._in_step = True
        if self._in_step:
            self._begun += rest
            if len(self._begun) > self._bytes_max:
                self.broken += 1
                self._begun.clear()
                self._in_step = False
        return found

    def _read(self, whole: bytes) -> bytes | None:
        """Return what a frame holds; None if it is none for us."""
        if len(whole) > self._bytes_max:
            self.broken += 1
            return None
        if whole[0] & PORT_MASK:
            return None  # a modem's settings, or its answer to some
        first, *others = whole[1:].split(FESC)
        parts = [first]
        for other in others:
            inside = {b"\xdc": FEND, b"\xdd": FESC}.get(other[:1])
            if inside is None:
                self.broken += 1
                return None
            parts += (inside, other[1:])
        return b"".join(parts)
