"""A serial cable for tests: two pseudo-terminals, and what becomes of the bytes between them."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio


@dataclass
class Cable:
    """Two pseudo-terminals and what joins them."""

    one: str
    two: str
    masters: tuple[int, int]
    pieces: int = 0


@asynccontextmanager
async def cable(mangle: Callable[[bytes], bytes] = lambda piece: piece) -> AsyncIterator[Cable]:
    """Join two pseudo-terminals; `mangle` says what becomes of each piece that is read from one of them."""
    pairs = [os.openpty(), os.openpty()]
    found = Cable(*(os.ttyname(slave) for _, slave in pairs), masters=(pairs[0][0], pairs[1][0]))
    streams = [trio.lowlevel.FdStream(master) for master, _ in pairs]

    async def carry(source: trio.lowlevel.FdStream, target: trio.lowlevel.FdStream) -> None:
        while True:
            piece = await source.receive_some(4_096)
            found.pieces += 1
            await target.send_all(mangle(piece))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(carry, *streams)
        nursery.start_soon(carry, *reversed(streams))
        try:
            yield found
        finally:
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                for stream in streams:
                    await stream.aclose()
            for _, slave in pairs:
                os.close(slave)
