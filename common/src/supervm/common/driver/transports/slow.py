"""A slow medium for those who carry sealed things over it: units that come whole and are confirmed.

What a unit is says `link.serial.units`. The medium is made of any pipe, and needs no handshake:
``SlowMedium(await transport.dial(address))`` at the one end, the pipe that `serve` admits at the other. Whoever uses it
runs `run` in a nursery of its own, sends with `send`, which returns when the other end has confirmed, and takes with
`receive`, confirming what is on disk.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import trio

from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError

from ...link.serial.units import UNIT_BYTES_MAX, Confirmed, Unit, UnitReader, write_confirmed, write_unit
from .contract import Pipe

READ_BYTES: Final = 4_096
WAITING_MAX: Final = 4
"""Units that may wait to be received; then nothing more is read from the medium."""


class SlowMedium:
    """Units over a pipe.

    Args:
        pipe: what carries them; closed by `aclose`.
    """

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._reader = UnitReader()
        self._sending = trio.Lock()
        self._number = 0
        self._open: dict[int, None] = {}  # units whose confirmation is awaited
        self._units: deque[Unit] = deque()
        self._changed = trio.Event()
        self._end: str | None = None

    async def run(self) -> None:
        """Read until the medium ends; `send` and `receive` of others tell how it ended."""
        reason = "the medium was closed at this end"
        try:
            while data := await self._pipe.receive_some(READ_BYTES):
                for item in self._reader.push(data):
                    if isinstance(item, Confirmed):
                        self._open.pop(item.number, None)
                    else:
                        self._units.append(item)
                self._notify()
                while len(self._units) >= WAITING_MAX:
                    await self._changed.wait()
            reason = "the other end has closed the medium"
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError, RemoteProtocolError) as error:
            reason = str(error)
        finally:
            self._end = reason
            self._notify()

    async def send(self, data: bytes) -> None:
        """Send a unit; return when the other end has confirmed it.

        Raises:
            LocalProtocolError: it is empty, or longer than `UNIT_BYTES_MAX`.
            trio.BrokenResourceError: the medium ended first; whether the unit came is not known.
        """
        if not 0 < len(data) <= UNIT_BYTES_MAX:
            raise LocalProtocolError(f"a unit of {len(data)} bytes cannot be sent; 1 to {UNIT_BYTES_MAX} are allowed")
        async with self._sending:
            number = self._number = self._number + 1
            self._open[number] = None
            await self._put(write_unit(number, data))
        while number in self._open:
            if self._end is not None:
                raise trio.BrokenResourceError(self._end)
            await self._changed.wait()

    async def receive(self) -> Unit:
        """Return the next unit that has come; `confirm` it when it is kept.

        Raises:
            trio.BrokenResourceError: the medium has ended, and nothing waits.
        """
        while not self._units:
            if self._end is not None:
                raise trio.BrokenResourceError(self._end)
            await self._changed.wait()
        unit = self._units.popleft()
        self._notify()
        return unit

    async def confirm(self, unit: Unit) -> None:
        """Tell the other end that a unit is kept here.

        Raises:
            trio.BrokenResourceError: the medium has ended; the unit will come again.
        """
        async with self._sending:
            await self._put(write_confirmed(unit.number))

    async def aclose(self) -> None:
        """Close the medium."""
        await self._pipe.aclose()

    async def _put(self, data: bytes) -> None:
        try:
            await self._pipe.send_all(data)
        except (OSError, trio.ClosedResourceError) as error:
            raise trio.BrokenResourceError(str(error)) from error

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
