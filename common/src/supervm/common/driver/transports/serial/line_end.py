"""Our end of a line: moves bytes and time between a device and a `LineCore`, and decides nothing."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from math import inf
from typing import Final

import trio

from ....link.serial.core import LineCore
from ....link.serial.pace import Pace
from .address import SerialAddress

READ_BYTES: Final = 4_096
_US: Final = 1_000_000


def open_device(address: SerialAddress) -> trio.lowlevel.FdStream:
    """Open a line for nobody but us, without echo and without anything that changes bytes.

    Raises:
        OSError: it is not there, is not ours to use, or is in use; or what opens it is not installed.
    """
    try:
        import serial
    except ImportError as error:
        raise OSError(
            f"serial lines need pyserial, which is not installed here ({error}): install supervm-common[serial]"
        ) from None
    try:
        # with an `inter_byte_timeout` a read of a line on which nothing comes is told to wait; else it gives no bytes,
        # which looks like the end of the device
        port = serial.Serial(address.path, address.baud, exclusive=True, inter_byte_timeout=0)
    except (serial.SerialException, ValueError) as error:
        raise OSError(f"the line {address.path} cannot be opened: {error}") from error
    try:
        return trio.lowlevel.FdStream(os.dup(port.fileno()))
    finally:
        port.close()  # the copy keeps the line, its settings and the lock on it


class LineEnd:
    """A line that is open.

    Args:
        address: what it is.
        stream: the device.
        rng: numbers of streams.
        opens: whether the first stream is asked for from here.
    """

    def __init__(
        self, address: SerialAddress, stream: trio.lowlevel.FdStream, rng: random.Random, *, opens: bool
    ) -> None:
        self._line, self._stream, self._rng = address.line, stream, rng
        self._pace = Pace(address.line)
        self._changed = trio.Event()
        self._running = trio.CancelScope()
        self.core = LineCore(self._line, self._pace, rng, opens=opens)
        """The stream that there is."""
        self.is_gone = False
        """Whether the device is closed."""

    def renew(self) -> None:
        """Listen for the next stream, after one has ended."""
        self.core = LineCore(self._line, self._pace, self._rng, opens=False, asked=self.core.asked)
        self.notify()

    def notify(self) -> None:
        """Have everybody look again: something has changed."""
        self._changed.set()
        self._changed = trio.Event()

    async def until(self, done: Callable[[], object]) -> None:
        """Wait for something to be true of the core."""
        while not done():
            await self._changed.wait()

    async def close(self) -> None:
        """End `run`, and return when the device is closed; that takes no time, and is not cut short."""
        self._running.cancel()
        with trio.CancelScope(shield=True):
            await self.until(lambda: self.is_gone)

    async def run(self) -> None:
        """Carry until `close`, or until the device is gone; the core hears of that, and nothing is raised."""
        reason = "the line was closed at this end"
        try:
            with self._running:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    await self._read()
                    reason = "the device of the line is gone"
                    nursery.cancel_scope.cancel()
        except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as group:
            reason = f"the device of the line is gone: {group.exceptions[0]}"
        finally:
            with trio.CancelScope(shield=True):
                await self._stream.aclose()
            self.is_gone = True
            self.core.give_up(reason)
            self.notify()

    async def _read(self) -> None:
        while data := await self._stream.receive_some(READ_BYTES):
            self.core.receive(_now_us(), data)
            self.notify()

    async def _write(self) -> None:
        while True:
            now_us, changed, core = _now_us(), self._changed, self.core
            was = core.state
            out = core.next_bytes(now_us)
            if out:
                await self._stream.send_all(out)
            if out or core.state is not was:
                self.notify()
                continue
            at_us = core.deadline_us(now_us)
            with trio.move_on_after(inf if at_us is None else max(0, at_us - now_us) / _US):
                await changed.wait()


def _now_us() -> int:
    return int(trio.current_time() * _US)
