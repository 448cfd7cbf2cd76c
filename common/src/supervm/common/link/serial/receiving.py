"""The receiving half of a stream: what has come, in whatever order, and when to say so."""

from __future__ import annotations

from typing import Final

from .frame import NUMBERS, Frame, Kind
from .sending import WINDOW

READ_BYTES_MAX: Final = 64 << 10
"""Bytes that may wait for whoever reads; what comes beyond that is taken for lost, and sent again."""
WORD_FRAMES: Final = 4
"""Frames after which the other end is told at once, also if nothing was lost."""


class Receiver:
    """One direction of a stream, at the end where it is read.

    Args:
        word_delay_us: how long a word may be kept back.
    """

    def __init__(self, word_delay_us: int) -> None:
        self._delay_us = word_delay_us
        self._next = 0
        self._early: dict[int, Frame] = {}
        self._untold = 0
        self._stream = bytearray()
        self.word_us: int | None = None
        """When the other end is to be told what has come; None: there is nothing new."""
        self.ended = False
        """Whether the other end has ended the stream, and all before that has come."""
        self.doubles = 0
        """Frames that came once more."""

    @property
    def word(self) -> tuple[int, int]:
        """What the other end is told: `awaited` and `beyond` of a frame."""
        beyond = sum(1 << (number - self._next - 1) for number in self._early)
        return self._next, beyond

    def told(self) -> None:
        """Note that the word was sent, by itself or with data."""
        self.word_us, self._untold = None, 0

    def take(self, bytes_max: int) -> bytes:
        """Return bytes of the stream, at most so many; empty if none wait."""
        taken = bytes(self._stream[:bytes_max])
        del self._stream[:bytes_max]
        return taken

    def heard(self, now_us: int, frame: Frame) -> None:
        """Take a frame of the kind `DATA` or `END`."""
        ahead = (frame.number - self._next) % NUMBERS
        if ahead >= WINDOW or self._next + ahead in self._early:
            self.doubles += 1
            self.word_us = now_us  # our word was lost, or theirs is from another time
            return
        if len(self._stream) >= READ_BYTES_MAX or self.ended:
            self.word_us = now_us
            return
        self._early[self._next + ahead] = frame
        while (first := self._early.pop(self._next, None)) is not None:
            self._next += 1
            self._stream += first.data
            if first.kind is Kind.END:
                self.ended = True
                self._early.clear()  # nothing comes after the end
        self._untold += 1
        at_once = bool(self._early) or self.ended or self._untold >= WORD_FRAMES
        at_us = now_us if at_once else now_us + self._delay_us
        self.word_us = at_us if self.word_us is None else min(self.word_us, at_us)
