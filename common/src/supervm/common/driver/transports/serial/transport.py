"""The transport of serial lines.

One end of a line listens (``listen = "serial:/dev/ttyUSB0?baud=9600"``) and the other dials; or both dial, each with
the other's node id before the address, and then the lower id begins the handshake. A line has one user at a time.
"""

from __future__ import annotations

import random
from typing import Final

import trio

from ....link.serial.core import State
from ....link.serial.pace import Line
from ...failures import ListenFailed, NoAddress
from ...limits import Limits
from ..contract import Admit, Traits
from .address import SerialAddress, read_address
from .line_end import LineEnd, open_device
from .pipe import LINGER_FRAMES, LINGER_S, SerialPipe

AGAIN_S: Final = 2.0
"""How long is waited before a device that is gone is looked for once more."""


class SerialTransport:
    """Streams over serial lines.

    Args:
        _limits: those of the driver; a line has its own.
        rng: numbers of streams; they keep old frames out of new streams, and nobody is kept from knowing them.
    """

    scheme = "serial"
    traits = Traits(bitrate_bps=9_600 * 8 // 10)
    """Of a line that its address says nothing of; what counts is `traits_of`."""

    def __init__(self, _limits: Limits, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()  # noqa: S311

    def traits_of(self, address: str) -> Traits:
        """Return what links over this line are like.

        Raises:
            NoAddress: it is none.
        """
        return read_address(address).traits

    def can_dial(self, address: str) -> bool:
        """Return whether it is the path of a device and what may stand behind it."""
        try:
            read_address(address)
        except NoAddress:
            return False
        return True

    async def dial(self, address: str) -> SerialPipe:
        """Open a line and ask for a stream until there is one.

        Raises:
            NoAddress: it is none.
            OSError: the line cannot be opened, or its device went away.
        """
        where = read_address(address)
        end = LineEnd(where, open_device(where), self._rng, opens=True)
        trio.lowlevel.spawn_system_task(end.run)  # it ends with its pipe, which `Links` closes whatever happens
        try:
            await end.until(lambda: end.core.state is not State.OPENING)
            if end.core.state is not State.OPEN:
                raise OSError(end.core.reason)
        except BaseException:
            await end.close()
            raise
        return SerialPipe(end, _linger_s(where.line), owns=True)

    async def serve(
        self, address: str, admit: Admit, *, task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Take one stream after the other, until it is cancelled; a device that goes away is waited for.

        Raises:
            ListenFailed: the line cannot be opened.
        """
        try:
            where = read_address(address)
            device = open_device(where)
        except (NoAddress, OSError) as error:
            raise ListenFailed(f"cannot listen on serial:{address}: {error}") from error
        task_status.started([f"serial:{address}"])
        while True:
            end = LineEnd(where, device, self._rng, opens=False)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(end.run)
                await self._admit(end, admit, _linger_s(where.line))
            device = await _reopen(where)

    async def _admit(self, end: LineEnd, admit: Admit, linger_s: float) -> None:
        """Give on what is asked for, until the device is gone."""
        while not end.is_gone:
            await end.until(lambda: end.core.state is State.OPEN or end.is_gone)
            if end.core.state is State.OPEN:
                pipe = SerialPipe(end, linger_s, owns=False)
                admit(pipe)
                await pipe.closed.wait()
                if not end.is_gone:
                    end.renew()


async def _reopen(where: SerialAddress) -> trio.lowlevel.FdStream:
    while True:
        await trio.sleep(AGAIN_S)
        try:
            return open_device(where)
        except OSError:
            continue


def _linger_s(line: Line) -> float:
    return LINGER_S + LINGER_FRAMES * line.full_us / 1_000_000
