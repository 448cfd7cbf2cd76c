"""One connection's pipe side: what waits to be sent to a peer, and the task that sends it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Final, Literal

import trio

from supervm.protocol.base.errors import RemoteProtocolError

from ..link.connection import Connection
from .clock import Clock
from .transports.contract import Pipe, Traits

Put = Literal["queued", "dropped", "full"]

FRAME_HEADER_BYTES: Final = 4

STRANGER_READ_BYTES: Final = 4096
"""Most that is read at once from a connection that is not up."""

LOST: Final = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)
"""What reading from or writing to a pipe raises when it is lost."""


class OutQueue:
    """Frames that wait for the pipe, bounded in bytes.

    When it is full, frames that may be dropped go first, the new one if it is such a frame and else those that wait.

    Args:
        bytes_max: the bound; frames count with their header.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._frames: deque[tuple[bytes, bool]] = deque()
        self._wake = trio.Event()
        self.bytes = 0
        """Bytes that wait."""
        self.dropped = 0
        """Frames that were dropped."""
        self.closed = False
        """Nothing more is taken."""

    def set_bytes_max(self, bytes_max: int) -> None:
        """Change the bound for frames to come."""
        self._bytes_max = bytes_max

    def put(self, frame: bytes, *, droppable: bool) -> Put:
        """Take a frame; ``full`` means that it was not taken and the peer is too slow."""
        if self.closed:
            return "dropped"
        size = len(frame) + FRAME_HEADER_BYTES
        if self.bytes + size > self._bytes_max:
            if droppable:
                self.dropped += 1
                return "dropped"
            self._drop_droppable()
            if self.bytes + size > self._bytes_max:
                return "full"
        self._append(frame, droppable)
        return "queued"

    def close(self, last: bytes | None = None) -> None:
        """Take nothing more but, whatever waits, one last frame."""
        if not self.closed:
            self.closed = True
            if last is not None:
                self._append(last, False)
            self._wake.set()

    def put_last(self, frame: bytes) -> None:
        """Take a frame however full it is; the connection's own last words are small and few."""
        if not self.closed:
            self._append(frame, False)

    def take(self, bytes_max: int) -> list[bytes]:
        """Return waiting frames in order, one at least if any, about `bytes_max` together."""
        frames: list[bytes] = []
        size = 0
        while self._frames and size < bytes_max:
            frame = self._frames.popleft()[0]
            size += len(frame) + FRAME_HEADER_BYTES
            frames.append(frame)
        self.bytes -= size
        return frames

    async def wait(self) -> bool:
        """Wait for frames; False when the queue is closed and empty."""
        while not self._frames:
            if self.closed:
                return False
            if self._wake.is_set():
                self._wake = trio.Event()
            await self._wake.wait()
        return True

    def _append(self, frame: bytes, droppable: bool) -> None:
        self._frames.append((frame, droppable))
        self.bytes += len(frame) + FRAME_HEADER_BYTES
        self._wake.set()

    def _drop_droppable(self) -> None:
        kept = deque(item for item in self._frames if not item[1])
        self.dropped += len(self._frames) - len(kept)
        self._frames = kept
        self.bytes = sum(len(frame) + FRAME_HEADER_BYTES for frame, _ in kept)


@dataclass(slots=True, eq=False)
class PeerLink:
    """A connection with its pipe.

    Attributes:
        traits: what its medium is like.
        address: what we dialled, None if it dialled us.
        scope: ends the connection; its deadline is that of the handshake, later that of the goodbye.
        reading: ends reading only.
        wrote: called when something is handed to the pipe.
        read_bytes: most that is read at once.
        up: what is for the peer is, or was, sent over this connection.
        up_at_us: since when.
        before: the connection that this one takes the place of (`replacing`); None: there is none, or it is over.
        after: the connection that takes the place of this one.
        turn: set when what comes here may be given to the core.
        parted: the peer has said that it says nothing more here, and all that it said has been delivered.
        receiving: the reader waits for the peer.
        until_s: when a connection that is to be replaced has to be over, time of the loop.
        held_until_us: nothing is read or delivered before: the peer has used up its budget with the core.
        sent_bytes: what was given to the pipe, sealed.
        ended: why it ended, "" before.
        code: the word for it: the peer's Goodbye, or our refusal of a peer that was not up; "" if there is none.
        fault: the rule of the link that the peer broke, if that is why.
        orderly: what waits may still be sent at the end.
    """

    connection: Connection
    pipe: Pipe
    traits: Traits
    queue: OutQueue
    address: str | None
    scope: trio.CancelScope
    reading: trio.CancelScope
    wrote: Callable[[], object]
    read_bytes: int = STRANGER_READ_BYTES
    up: bool = False
    up_at_us: int = 0
    before: PeerLink | None = None
    after: PeerLink | None = None
    turn: trio.Event = field(default_factory=trio.Event)
    parted: bool = False
    receiving: bool = False
    until_s: float = inf
    held_until_us: int = 0
    sent_bytes: int = 0
    ended: str = ""
    code: str = ""
    fault: RemoteProtocolError | None = None
    orderly: bool = True

    @property
    def remote(self) -> str:
        """The peer's IP address, for logs and bans."""
        return self.pipe.remote

    async def flush(self, clock: Clock) -> None:
        """Write what the connection itself has to say: handshake, Hello, Goodbye before it is up.

        Raises:
            trio.BrokenResourceError: the connection is lost.
        """
        data = self.connection.bytes_to_send(clock.now_us())
        if data:
            await self._send(data)

    async def write(self, clock: Clock, send_bytes: int) -> None:
        """Send what waits, many frames to a record and to a send, until the queue is closed and empty."""
        connection, queue = self.connection, self.queue
        try:
            await self.flush(clock)  # our Hello, if the peer dialled
            while await queue.wait():
                if not connection.alive:
                    return
                for frame in queue.take(send_bytes):
                    connection.send_frame(frame)
                await self._send(connection.bytes_to_send(clock.now_us()))
        except LOST as error:
            self.end(f"the connection is lost: {error}", orderly=False)

    async def _send(self, data: bytes) -> None:
        self.sent_bytes += len(data)
        self.wrote()  # before: what the other end does not take is what has to be noticed
        await self.pipe.send_all(data)

    def end(self, reason: str, *, orderly: bool, last: bytes | None = None) -> None:
        """Stop reading; if `orderly`, what waits and `last` are still sent. The first reason counts."""
        if not self.ended:
            self.ended = reason
            self.orderly = orderly
        self.queue.close(last)
        self.reading.cancel()
