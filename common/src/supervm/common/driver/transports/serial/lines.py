"""Dialling and serving one serial line."""

from __future__ import annotations

import random
from typing import Final

import trio

from ....link.serial.core import State
from ....link.serial.pace import Line
from ..contract import Admit
from .address import SerialAddress
from .line_end import LineEnd, open_device
from .pipe import LINGER_FRAMES, LINGER_S, SerialPipe

AGAIN_S: Final = 2.0
"""How long is waited before a device that is gone is looked for once more."""


async def dial_line(where: SerialAddress, rng: random.Random) -> SerialPipe:
    """Open a line and ask for a stream until there is one.

    Raises:
        OSError: the line cannot be opened, or its device went away.
    """
    end = LineEnd(where, open_device(where), rng, opens=True)
    trio.lowlevel.spawn_system_task(end.run)  # it ends with its pipe, which `Links` closes whatever happens
    try:
        await end.until(lambda: end.core.state is not State.OPENING)
        if end.core.state is not State.OPEN:
            raise OSError(end.core.reason)
    except BaseException:
        await end.close()
        raise
    return SerialPipe(end, _linger_s(where.line), owns=True)


async def serve_line(where: SerialAddress, device: trio.lowlevel.FdStream, rng: random.Random, admit: Admit) -> None:
    """Take one stream after the other, until it is cancelled; a device that goes away is waited for."""
    while True:
        end = LineEnd(where, device, rng, opens=False)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end.run)
            await _admit(end, admit, _linger_s(where.line))
        device = await _reopen(where)


async def _admit(end: LineEnd, admit: Admit, linger_s: float) -> None:
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
