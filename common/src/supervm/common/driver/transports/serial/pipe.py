"""A stream over a line, to those who know nothing of lines (`contract.Pipe`)."""

from __future__ import annotations

from typing import Final

import trio

from ....link.serial.core import LineCore, State
from .line_end import LineEnd

LINGER_S: Final = 1.0
LINGER_FRAMES: Final = 4
"""How long an end that closes waits for the last words: so long, and so many of the longest frames. A node that stops
waits for it."""


class SerialPipe:
    """One stream.

    Args:
        end: the line, on which the stream is open.
        linger_s: how long closing may wait for what was sent to come.
        owns: the line is closed with it.

    Attributes:
        closed: set when it is closed.
    """

    prologue_extra = b""
    admission_key = None
    awaits_word = False
    remote = ""

    def __init__(self, end: LineEnd, linger_s: float, *, owns: bool) -> None:
        self._end, self._core, self._linger_s, self._owns = end, end.core, linger_s, owns
        self._closed = False
        self.closed = trio.Event()
        self.simultaneous = self._core.simultaneous

    @property
    def core(self) -> LineCore:
        """What carries it, for those who count."""
        return self._core

    async def receive_some(self, bytes_max: int) -> bytes:
        """Return what has come, at most that much; empty when the other end has closed it in good order.

        Raises:
            trio.BrokenResourceError: the stream, or the line, has ended in any other way.
            trio.ClosedResourceError: it was closed at this end.
        """
        await trio.lowlevel.checkpoint()
        data = b""

        def is_there() -> bool:
            nonlocal data
            self._check()
            data = self._core.take(bytes_max)
            return bool(data) or self._core.at_end

        await self._end.until(is_there)
        if data:
            self._end.notify()  # there is room for more
        elif not self._core.ended_well:
            raise trio.BrokenResourceError(self._core.reason)
        return data

    async def send_all(self, data: bytes) -> None:
        """Send; returns when all of it is given to the line, which is some time before it is there.

        Raises:
            trio.BrokenResourceError: the stream, or the line, has ended.
            trio.ClosedResourceError: it was closed at this end.
        """
        await trio.lowlevel.checkpoint()
        rest = memoryview(data)
        while True:
            self._check()
            if self._core.state is not State.OPEN:
                raise trio.BrokenResourceError(self._core.reason)
            some = rest[: self._core.room_bytes]
            self._core.put(bytes(some))
            self._end.notify()
            rest = rest[len(some) :]
            if not rest:
                return
            await self._end.until(lambda: self._core.room_bytes or self._core.state is not State.OPEN or self._closed)

    async def aclose(self) -> None:
        """Close it, when all that was sent has come or the time for that is over; at once if it is cancelled."""
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._closed = True
        self._core.finish()
        self._end.notify()
        try:
            with trio.move_on_after(self._linger_s):
                await self._end.until(lambda: self._core.may_leave)
        finally:
            self._core.give_up("it was closed at this end")
            self._end.notify()
            if self._owns:
                await self._end.close()
            self.closed.set()

    def lost(self, now_s: float) -> str:
        """Return nothing: who reads hears it when the line gives the other end up."""
        return ""

    def _check(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this end of the line is closed")
