"""Where browsers connect to a node: a page if there is one, and WebRTC offers by POST from it.

A browser speaks no TCP. It fetches the page, offers a data channel by one more request, and what opens is a link like
any other: Noise proves the node, Hello says that nobody's node is calling (tier 0), and the core sees a peer. The
files of the page are read once, at the start; what is not among them is not there, whatever a path says. They may load
nothing from elsewhere. Browsers give a page keys only where it comes from this machine or by HTTPS, so the address
should be on loopback, or behind a proxy that speaks HTTPS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from ..driver.failures import ListenFailed, NoAddress
from ..driver.limits import Limits
from ..driver.transports.contract import Pipe, Traits
from ..driver.transports.tcp import BACKLOG, split_address
from ..driver.transports.webrtc import WebRtcTransport
from ..errors import InputError

if TYPE_CHECKING:
    from ..driver.transports.webrtc.answering import Answering

KINDS: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Ending -> content type of the files that are served."""
FILES_MAX: Final = 256
FILES_BYTES_MAX: Final = 16 << 20
_HEADERS: Final = (
    ("content-security-policy", "default-src 'self'; frame-ancestors 'none'"),
    ("cache-control", "no-cache"),
    ("referrer-policy", "no-referrer"),
)


async def serve_browsers(
    address: str,
    page: Path | None,
    admit: Callable[[Pipe, Traits], None],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve a page and take offers until it is cancelled.

    Args:
        address: ``host:port``.
        page: a folder; None: no page.
        admit: takes the pipes.
        task_status: hears when it can be reached.

    Raises:
        InputError: the page cannot be read.
        ListenFailed: the address cannot be listened on, or what is needed is not installed.
    """
    files = {} if page is None else await trio.to_thread.run_sync(read_page, page)
    transport = WebRtcTransport(Limits())

    def take(pipe: Pipe) -> None:
        admit(pipe, transport.traits)

    try:
        host, port = split_address(address)
        listeners = list(await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG))
        try:
            async with transport.answering(take) as answering:
                await _serve(listeners, files, answering, task_status)
        finally:
            for listener in listeners:
                listener.socket.close()
    except (OSError, NoAddress) as error:
        raise ListenFailed(f"browsers cannot connect on {address}: {error}") from error


async def _serve(
    listeners: list[trio.SocketListener],
    files: Mapping[str, bytes],
    answering: Answering,
    task_status: trio.TaskStatus[None],
) -> None:
    from ..driver.transports.webrtc.http import Request, Response, serve_http

    async def handle(request: Request) -> Response:
        name = request.path.partition("?")[0]
        name = "/index.html" if name == "/" else name
        if request.method != "GET" or name not in files:
            return await answering.handle(request)
        return Response(200, KINDS[name[name.rindex(".") :]], files[name], _HEADERS)

    await serve_http(listeners, handle, task_status=task_status)


def read_page(folder: Path) -> Mapping[str, bytes]:
    """Return the files of a folder and its folders by path, ``/index.html``.

    Raises:
        InputError: it cannot be read, has no ``index.html``, or is too large to be a page.
    """
    files: dict[str, bytes] = {}
    size = 0
    try:
        for path in sorted(folder.rglob("*")):
            if path.suffix in KINDS and path.is_file():
                data = path.read_bytes()
                size += len(data)
                if len(files) == FILES_MAX or size > FILES_BYTES_MAX:
                    raise InputError(
                        f"the folder {folder} is no page: at most {FILES_MAX} files of {FILES_BYTES_MAX >> 20} MiB "
                        "together are served"
                    )
                files["/" + path.relative_to(folder).as_posix()] = data
    except OSError as error:
        raise InputError(f"the page in {folder} cannot be read: {error.strerror or error}") from error
    if "/index.html" not in files:
        raise InputError(f"there is no index.html in {folder}; the key page of [browsers] names the folder of a page")
    return files
