"""The transport of serial lines; what a line takes is imported with the first one.

One end of a line listens (``listen = "serial:/dev/ttyUSB0?baud=9600"``) and the other dials; or both dial, each with
the other's node id before the address, and then the lower id begins the handshake. A line has one user at a time.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import trio

from ...failures import ListenFailed, NoAddress
from ...limits import Limits
from ..contract import Admit, Traits

if TYPE_CHECKING:
    from .pipe import SerialPipe


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
        from .address import read_address

        return read_address(address).traits

    def can_dial(self, address: str) -> bool:
        """Return whether it is the path of a device and what may stand behind it."""
        try:
            self.traits_of(address)
        except NoAddress:
            return False
        return True

    async def dial(self, address: str) -> SerialPipe:
        """Open a line and ask for a stream until there is one.

        Raises:
            NoAddress: it is none.
            OSError: the line cannot be opened, or its device went away.
        """
        from .address import read_address
        from .lines import dial_line

        return await dial_line(read_address(address), self._rng)

    async def serve(
        self, address: str, admit: Admit, *, task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Take one stream after the other, until it is cancelled; a device that goes away is waited for.

        Raises:
            ListenFailed: the line cannot be opened.
        """
        from .address import read_address
        from .line_end import open_device
        from .lines import serve_line

        try:
            where = read_address(address)
            device = open_device(where)
        except (NoAddress, OSError) as error:
            raise ListenFailed(f"cannot listen on serial:{address}: {error}") from error
        task_status.started([f"serial:{address}"])
        await serve_line(where, device, self._rng, admit)
