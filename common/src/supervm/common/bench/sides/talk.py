"""What every stack is asked to do, and how its two processes speak with the benchmark. Needs the standard library only.

A *side* is a program that is run twice. As ``serve`` it listens, prints one line, where it is found, and answers until
its standard input ends. As ``talk WHERE`` it connects and prints one line of JSON, a `Talk`. What the two say to each
other is the same for all: each message is a frame whose first byte is `ECHO`, to be sent back as it is, `COUNT`, to be
counted, or `LAST`, to be counted and answered with a frame of one byte. So a clock of one process alone stops when the
other has read and opened everything.

Frames of stacks that carry a stream of bytes are preceded by their length, 4 bytes.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass

ECHO, COUNT, LAST = b"e", b"c", b"l"
SMALL_BYTES, LARGE_BYTES = 200, 64 << 10
HEAD_BYTES = 4


@dataclass(frozen=True)
class Sizes:
    """How much is said.

    Attributes:
        connections: one after the other.
        echoes: of `SMALL_BYTES`, one after the other.
        messages: of `SMALL_BYTES`, one way.
        large: of `LARGE_BYTES`, one way.
    """

    connections: int = 9
    echoes: int = 2_000
    messages: int = 20_000
    large: int = 1_000


FULL, QUICK = Sizes(), Sizes(3, 200, 2_000, 100)


@dataclass(frozen=True)
class Talk:
    """What one conversation has shown.

    Attributes:
        connect_s: from the wish to connect until the connection is encrypted and both ends know each other; the median
            of several, one after the other, after a first one that warms up.
        echoes_per_s: frames there and back, one at a time.
        messages_per_s: small frames one way.
        bytes_per_s: of large frames one way.
    """

    connect_s: float
    echoes_per_s: float
    messages_per_s: float
    bytes_per_s: float

    def line(self) -> str:
        """Return it as a line of JSON."""
        return json.dumps(asdict(self))


Say = Callable[[bytes], Awaitable[None]]
Hear = Callable[[], Awaitable[bytes]]


async def connect_often(
    connect: Callable[[], Awaitable[None]], end: Callable[[], Awaitable[None]], count: int
) -> float:
    """Connect and end the connection again, `count` times after a first; return the median, and leave it connected."""
    taken_s = []
    for number in range(count + 1):
        if number:
            await end()
        began_s = time.perf_counter()
        await connect()
        taken_s.append(time.perf_counter() - began_s)
    return statistics.median(taken_s[1:])


async def converse(connect_s: float, say: Say, hear: Hear, sizes: Sizes) -> Talk:
    """Do the talking of the side that has connected; `say` sends a frame, `hear` returns the next one."""
    echo = frame_of(ECHO, SMALL_BYTES)
    for _ in range(sizes.echoes // 10):  # warms up
        await say(echo)
        await hear()
    began_s = time.perf_counter()
    for _ in range(sizes.echoes):
        await say(echo)
        await hear()
    echoes_per_s = sizes.echoes / (time.perf_counter() - began_s)
    messages_per_s = await _one_way(say, hear, SMALL_BYTES, sizes.messages)
    return Talk(
        connect_s, echoes_per_s, messages_per_s, LARGE_BYTES * await _one_way(say, hear, LARGE_BYTES, sizes.large)
    )


async def _one_way(say: Say, hear: Hear, size: int, count: int) -> float:
    frame = frame_of(COUNT, size)
    began_s = time.perf_counter()
    for _ in range(count - 1):
        await say(frame)
    await say(frame_of(LAST, size))
    await hear()
    return count / (time.perf_counter() - began_s)


async def answer(say: Say, hear: Hear) -> None:
    """Do the talking of the side that listens, until `hear` raises."""
    while True:
        frame = await hear()
        kind = frame[:1]
        if kind == ECHO:
            await say(frame)
        elif kind == LAST:
            await say(LAST)


def frame_of(kind: bytes, size: int) -> bytes:
    """Return a frame of `size` bytes."""
    return kind + bytes(size - len(kind))


class Frames:
    """Frames of a stream of bytes.

    Args:
        read: returns bytes that have come, at least one unless the stream has ended.
        write: sends bytes.
    """

    def __init__(self, read: Callable[[], Awaitable[bytes]], write: Callable[[bytes], Awaitable[None]]) -> None:
        self._read, self._write = read, write
        self._held = bytearray()

    async def say(self, frame: bytes) -> None:
        """Send a frame."""
        await self._write(len(frame).to_bytes(HEAD_BYTES, "big") + frame)

    async def hear(self) -> bytes:
        """Return the next frame.

        Raises:
            EOFError: there is none.
        """
        await self._hold(HEAD_BYTES)
        size = HEAD_BYTES + int.from_bytes(self._held[:HEAD_BYTES], "big")
        await self._hold(size)
        frame = bytes(self._held[HEAD_BYTES:size])
        del self._held[:size]
        return frame

    async def _hold(self, size: int) -> None:
        while len(self._held) < size:
            more = await self._read()
            if not more:
                raise EOFError
            self._held += more
