"""The control socket: how a node's owner talks to it (surface.md: DIR/node.sock, mode 0600).

One JSON document per line. A line is a request of the tier - a tagged struct, given to the core as a `Command` - and is
answered by one line ``{"ok": value}`` or ``{"error": text}``, in the order of the requests, of which many may be
under way. Two requests the node answers itself: ``{"type": "metrics"}``, its counters, and ``{"type": "watch"}``,
after which the connection carries nothing but events, one ``{"event", "level", "fields", "lost"}`` a line; a reader
that is too slow loses events and is told how many. Whoever can open the socket is the owner.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import trio

from ..contract.core import Reply
from ..contract.events import Event
from ..driver.transports.tcp import accept
from ..errors import InputError
from .lines import READ_BYTES, Lines, reachable

PIPELINE_MAX: Final = 64
"""Requests of one connection that may be under way; more wait."""
EVENTS_WAITING_MAX: Final = 1024
_BUILT_IN_BYTES_MAX: Final = 128

_LOST = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)


class Events:
    """Hands events to whoever watches; never waits for them."""

    def __init__(self) -> None:
        self._watchers: dict[trio.MemorySendChannel[dict[str, Any]], int] = {}

    def __call__(self, event: Event, /) -> None:
        """Publish an event."""
        for channel, lost in list(self._watchers.items()):
            try:
                channel.send_nowait({"event": event.NAME, "level": event.level, "fields": event.fields, "lost": lost})
            except trio.WouldBlock:
                self._watchers[channel] = lost + 1
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._watchers.pop(channel, None)

    def close(self) -> None:
        """Let every watcher come to its end; nothing is published any more."""
        for channel in list(self._watchers):
            channel.close()
        self._watchers.clear()

    @contextmanager
    def watch(self) -> Iterator[trio.MemoryReceiveChannel[dict[str, Any]]]:
        """Give a channel of events, ``{"event", "level", "fields", "lost"}``: `lost` counts those that did not fit."""
        send, receive = trio.open_memory_channel[dict[str, Any]](EVENTS_WAITING_MAX)
        self._watchers[send] = 0
        try:
            with send, receive:
                yield receive
        finally:
            self._watchers.pop(send, None)


@dataclass(slots=True, eq=False)
class Answer:
    """The answer to one request.

    Attributes:
        done: set when there is one.
        line: the answer as a line; empty as long as there is none.
    """

    done: trio.Event = field(default_factory=trio.Event)
    line: bytes = b""

    def fill(self, document: Any) -> None:
        """Take an answer as a document, ``{"ok": value}`` or ``{"error": text}``."""
        try:
            self.line = msgspec.json.encode(document) + b"\n"
        except (TypeError, ValueError) as error:
            self.line = msgspec.json.encode({"error": f"the answer cannot be written as JSON: {error}"}) + b"\n"
        self.done.set()

    def take(self, reply: Reply) -> None:
        """Take the core's reply."""
        self.fill({"ok": reply.value} if reply.error is None else {"error": reply.error})


class _BuiltIn(msgspec.Struct):
    type: str = ""
    request: str = ""


class Control:
    """Answers on the control socket.

    Args:
        path: the socket; what is left of an earlier process is replaced, so the folder's lock has to be held.
        requests: a tagged struct or a union of them; None if the tier has no requests.
        command: gives the core a request, see `Driver.command`.
        metrics: gives the counters.
        events: what is watched.

    Attributes:
        heard: how many requests have come over connections: who looks twice knows whether somebody is there.
    """

    def __init__(
        self,
        path: Path,
        *,
        requests: Any,
        command: Callable[[Any, Callable[[Reply], None]], None],
        metrics: Callable[[], Mapping[str, Any]],
        events: Events,
    ) -> None:
        self._path = path
        self._decoder = msgspec.json.Decoder(requests) if requests is not None else None
        self._command = command
        self._metrics = metrics
        self._events = events
        self.heard = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled, then remove the socket.

        Raises:
            InputError: the socket cannot be made.
        """
        listener = self._open()
        try:
            task_status.started()
            async with trio.open_nursery() as nursery:
                await accept(listener, lambda stream: nursery.start_soon(self.serve, stream))
        finally:
            listener.socket.close()
            with suppress(OSError):
                self._path.unlink()

    def _open(self) -> trio.SocketListener:
        with suppress(FileNotFoundError):
            if stat.S_ISSOCK(self._path.lstat().st_mode):
                self._path.unlink()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)  # the socket is never open to others, not even for a moment
        try:
            with reachable(self._path) as name:
                sock.bind(name)
            sock.listen(64)
        except OSError as error:
            sock.close()
            raise InputError(f"cannot make the control socket {self._path}: {error.strerror or error}") from error
        finally:
            os.umask(before)
        return trio.SocketListener(trio.socket.from_stdlib_socket(sock))

    async def serve(self, stream: trio.SocketStream) -> None:
        """Answer on one connection until its other end is closed."""
        try:
            async with stream, trio.open_nursery() as nursery:
                send, receive = trio.open_memory_channel[Answer](PIPELINE_MAX)
                nursery.start_soon(self._write, stream, receive, nursery.cancel_scope)
                async with send:
                    await self._read(stream, send)
        except* _LOST:
            pass  # the owner went away; nothing is owed to it

    async def _read(self, stream: trio.SocketStream, send: trio.MemorySendChannel[Answer]) -> None:
        lines = Lines(stream)
        while True:
            answer = Answer()
            try:
                line = await lines.next()
            except InputError as error:
                answer.fill({"error": str(error)})
                await send.send(answer)
                return
            if line is None:
                return
            self.heard += 1
            if len(line) <= _BUILT_IN_BYTES_MAX and (name := _built_in(line)):
                if name == "watch":
                    await send.aclose()
                    await self._stream_events(stream)
                    return
                answer.fill({"ok": self._metrics()})
            else:
                answer = self.ask(line)
            await send.send(answer)

    def ask(self, line: bytes) -> Answer:
        """Give the core a request of the tier, as a line without its end."""
        answer = Answer()
        if self._decoder is None:
            answer.fill({"error": "this node takes no requests but metrics and watch"})
            return answer
        try:
            request = self._decoder.decode(line)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            answer.fill({"error": f"the request cannot be read: {error}"})
            return answer
        self._command(request, answer.take)
        return answer

    @staticmethod
    async def _write(
        stream: trio.SocketStream, answers: trio.MemoryReceiveChannel[Answer], scope: trio.CancelScope
    ) -> None:
        async for answer in answers:
            await answer.done.wait()
            try:
                await stream.send_all(answer.line)
            except _LOST:
                scope.cancel()
                return

    async def _stream_events(self, stream: trio.SocketStream) -> None:
        async with trio.open_nursery() as nursery:

            async def until_closed() -> None:
                while await stream.receive_some(READ_BYTES):
                    pass
                nursery.cancel_scope.cancel()

            nursery.start_soon(until_closed)
            with self._events.watch() as events:
                await stream.send_all(b'{"ok":"watching"}\n')
                async for event in events:
                    await stream.send_all(msgspec.json.encode(event, enc_hook=str) + b"\n")


def _built_in(line: bytes) -> str | None:
    try:
        head = msgspec.json.decode(line, type=_BuiltIn)
    except (msgspec.DecodeError, UnicodeError):
        return None
    name = head.type or head.request
    return name if name in ("watch", "metrics") else None
