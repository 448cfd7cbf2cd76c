"""Offers and answers over HTTP, as a browser can send them: ``POST /webrtc``, one request per connection.

The offer is the request's body, of type ``application/sdp``; so is the answer. A browser asks first before it sends
that type to another origin, and is refused: only pages that this server itself has served reach it. What is read is
bounded in bytes and in time, and so is the number of connections; one too many is closed unread.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import h11
import trio

from ..tcp import accept, split_address

PATH: Final = "/webrtc"
SDP: Final = "application/sdp"
BODY_BYTES_MAX: Final = 32 << 10
CONNECTIONS_MAX: Final = 64
TIMEOUT_S: Final = 10.0
_READ_BYTES: Final = 16 << 10
_LOST = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)


@dataclass(frozen=True, slots=True)
class Request:
    """A request.

    Attributes:
        method: for example ``POST``.
        path: with what follows a question mark, as it was sent.
        kind: its content type, without parameters, in lower case.
        body: at most `BODY_BYTES_MAX`.
        remote: the client's IP address.
        local: our address that it came to.
    """

    method: str
    path: str
    kind: str
    body: bytes
    remote: str
    local: str


@dataclass(frozen=True, slots=True)
class Response:
    """What is answered: a status of HTTP, the content's type, the content, and further headers."""

    status: int
    kind: str = "text/plain; charset=utf-8"
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


Handler = Callable[[Request], Awaitable[Response]]


async def serve_http(
    listeners: list[trio.SocketListener],
    handler: Handler,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer requests until it is cancelled; closes the listeners."""
    served = 0

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal served
        served += 1
        try:
            async with stream:
                with trio.move_on_after(TIMEOUT_S):
                    await _serve_one(stream, handler)
        except _LOST:
            pass  # the client went away
        finally:
            served -= 1

    def take(stream: trio.SocketStream) -> None:
        if served < CONNECTIONS_MAX:
            nursery.start_soon(serve, stream)
        else:
            stream.socket.close()

    try:
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(accept, listener, take)
            task_status.started()
    finally:
        for listener in listeners:
            listener.socket.close()


async def _serve_one(stream: trio.SocketStream, handler: Handler) -> None:
    connection = h11.Connection(h11.SERVER)
    try:
        asked, body = await _read(stream, connection)
    except h11.RemoteProtocolError as error:
        await _write(stream, connection, Response(error.error_status_hint, body=f"{error}\n".encode()), "")
        return
    if not isinstance(asked, h11.Request):
        return
    kind = next((value for name, value in asked.headers if name == b"content-type"), b"")
    request = Request(
        asked.method.decode("ascii"),
        asked.target.decode("ascii"),
        kind.decode("latin-1").partition(";")[0].strip().lower(),
        body,
        str(stream.socket.getpeername()[0]),
        str(stream.socket.getsockname()[0]),
    )
    await _write(stream, connection, await handler(request), request.method)


async def _write(stream: trio.SocketStream, connection: h11.Connection, response: Response, method: str) -> None:
    """Send an answer; one to ``HEAD`` has no content."""
    headers = [
        ("content-type", response.kind),
        ("content-length", str(len(response.body))),
        ("connection", "close"),
        ("x-content-type-options", "nosniff"),
        *response.headers,
    ]
    pieces = [
        connection.send(h11.Response(status_code=response.status, headers=headers)),
        connection.send(h11.Data(data=b"" if method == "HEAD" else response.body)),
        connection.send(h11.EndOfMessage()),
    ]
    await stream.send_all(b"".join(piece for piece in pieces if piece))


async def _read(stream: trio.SocketStream, connection: h11.Connection) -> tuple[h11.Event | None, bytes]:
    """Return a request or a response and its body; None if the other end closed before.

    Raises:
        h11.RemoteProtocolError: it is no HTTP, or too long.
    """
    head: h11.Event | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            if connection.they_are_waiting_for_100_continue:
                go_on = connection.send(h11.InformationalResponse(status_code=100, headers=[]))
                await stream.send_all(go_on or b"")
            connection.receive_data(await stream.receive_some(_READ_BYTES))
        elif isinstance(event, h11.Request | h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > BODY_BYTES_MAX:
                raise h11.RemoteProtocolError(f"at most {BODY_BYTES_MAX} bytes are taken", error_status_hint=413)
        elif isinstance(event, h11.EndOfMessage):
            return head, bytes(body)
        elif isinstance(event, h11.ConnectionClosed):
            return None, b""


class _HttpExchange:
    """Asks over one connection; see `Exchange`."""

    def __init__(self, stream: trio.SocketStream, address: str) -> None:
        self._stream, self._address = stream, address
        self.remote = str(stream.socket.getpeername()[0])
        self.hosts: tuple[str, ...] | None = (str(stream.socket.getsockname()[0]),)

    async def answer(self, offer: str) -> str:
        connection, body = h11.Connection(h11.CLIENT), offer.encode("ascii")
        headers = [("host", self._address), ("content-type", SDP), ("content-length", str(len(body)))]
        pieces = [
            connection.send(h11.Request(method="POST", target=PATH, headers=headers)),
            connection.send(h11.Data(data=body)),
            connection.send(h11.EndOfMessage()),
        ]
        try:
            await self._stream.send_all(b"".join(piece for piece in pieces if piece))
            found, text = await _read(self._stream, connection)
        except (h11.RemoteProtocolError, trio.BrokenResourceError) as error:
            raise OSError(f"{self._address} answers no HTTP: {error}") from error
        if not isinstance(found, h11.Response) or found.status_code != 200:
            said = text[:200].decode("utf-8", "replace").strip() or "it closed the connection"
            raise OSError(f"{self._address} takes no offer: {said}")
        return text.decode("ascii", "replace")


@asynccontextmanager
async def by_http(address: str) -> AsyncIterator[_HttpExchange]:
    """Open an exchange with whoever serves ``host:port``; a `Signal`.

    Raises:
        OSError: nobody answers there.
        NoAddress: it is no such address.
    """
    host, port = split_address(address)
    async with await trio.open_tcp_stream(host, port) as stream:
        yield _HttpExchange(stream, address)
