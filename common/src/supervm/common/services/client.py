"""The other end of a control socket: for the commands and for `supervm up`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import trio

from .lines import Lines, NoOwner, Request, no_owner, reachable, read_answer

_METRICS = b'{"type":"metrics"}\n'
_WATCH = b'{"type":"watch"}\n'

LOOK_S: Final = 0.1
"""Between two attempts to reach a node that is about to start."""


async def _connect(path: Path) -> trio.SocketStream:
    sock = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    try:
        with reachable(path) as name:
            await sock.connect(name)
    except OSError as error:
        sock.close()
        raise no_owner(path, error) from error
    except BaseException:
        sock.close()
        raise
    return trio.SocketStream(sock)


class ControlClient:
    """A connection to a node's control socket; calls go one after another.

    Use `open_control`.
    """

    def __init__(self, path: Path, stream: trio.SocketStream) -> None:
        self._path = path
        self.stream = stream
        """The connection."""
        self._lines = Lines(stream)
        self._lock = trio.Lock()

    async def call(self, request: Request) -> Any:
        """Ask the node; return the answer's value.

        Raises:
            RequestRefused: the node says what was wrong with the request.
            NoOwner: the node has gone.
        """
        return await self._exchange(msgspec.json.encode(request) + b"\n")

    async def metrics(self) -> dict[str, Any]:
        """Return the node's counters."""
        answer: dict[str, Any] = await self._exchange(_METRICS)
        return answer

    async def aclose(self) -> None:
        """Close the connection."""
        await self.stream.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _exchange(self, line: bytes) -> Any:
        async with self._lock:
            try:
                await self.stream.send_all(line)
                answer = await self._lines.next()
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
                raise NoOwner(f"the node on {self._path} has gone") from error
        if answer is None:
            raise NoOwner(f"the node on {self._path} closed the connection")
        return read_answer(answer)


async def connect(path: Path) -> trio.SocketStream:
    """Connect to a control socket, for a `ControlClient` or `watch_stream`.

    Raises:
        NoOwner: nobody answers there.
    """
    return await _connect(path)


async def open_control(path: Path) -> ControlClient:
    """Connect to a control socket.

    Raises:
        NoOwner: nobody answers there.
    """
    return ControlClient(path, await _connect(path))


async def call(path: Path, request: Request) -> Any:
    """Ask one thing over a connection of its own; errors as `ControlClient.call`."""
    async with await open_control(path) as client:
        return await client.call(request)


async def answers_within(path: Path, wait_s: int) -> bool:
    """Wait until somebody answers on a control socket, `wait_s` at most; return whether anybody did."""
    with trio.move_on_after(wait_s):
        while True:
            try:
                await (await _connect(path)).aclose()
            except NoOwner:
                await trio.sleep(LOOK_S)
            else:
                return True
    return False


class EventStream:
    """The events of a node, as an async iterator; see `watch`."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> dict[str, Any]:
        try:
            line = await self._lines.next()
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            line = None
        if line is None:
            raise StopAsyncIteration
        event: dict[str, Any] = msgspec.json.decode(line)
        return event


@asynccontextmanager
async def watch(path: Path) -> AsyncIterator[EventStream]:
    """Watch a node's events.

    Use it so: ``async with watch(path) as events: async for event in events``. Each event is
    ``{"event", "level", "fields", "lost"}``; they end when the node does.

    Raises:
        NoOwner: nobody answers there.
    """
    async with watch_stream(path, await _connect(path)) as events:
        yield events


@asynccontextmanager
async def watch_stream(path: Path, stream: trio.SocketStream) -> AsyncIterator[EventStream]:
    """Watch the events of a node at the other end of a stream, as of `Node.control_pair`; see `watch`.

    Args:
        path: what to call the node in errors.
        stream: closed when the block is left.

    Raises:
        NoOwner: the node has gone.
    """
    async with stream:
        lines = Lines(stream)
        try:
            await stream.send_all(_WATCH)
            first = await lines.next()
        except (trio.BrokenResourceError, OSError) as error:
            raise NoOwner(f"the node on {path} has gone") from error
        if first is None:
            raise NoOwner(f"the node on {path} closed the connection")
        read_answer(first)
        yield EventStream(lines)
