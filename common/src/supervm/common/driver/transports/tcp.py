"""TCP, the transport of every node: addresses are ``host:port``, an IPv6 host in brackets."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence

import trio

from ..failures import ListenFailed, NoAddress
from ..limits import Limits
from .acknowledged import Acknowledged, read_unacknowledged
from .contract import Admit, Traits

_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
BACKLOG = 512


def split_address(address: str) -> tuple[str, int]:
    """Split ``host:port``; an IPv6 host stands in brackets.

    Raises:
        NoAddress: no host, no port, or a port beyond 0..65535.
    """
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not (port.isascii() and port.isdigit()) or len(port) > 5 or int(port) > 65_535:
        raise NoAddress(f"{address!r} is no address; host:port is wanted, port 0 to 65535")
    return host, int(port)


def join_address(name: tuple[object, ...]) -> str:
    """Return a socket's name as ``host:port``."""
    host, port = name[0], name[1]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


class TcpPipe:
    """A connected socket.

    Args:
        stream: the socket.
        remote: its other end's IP address, or the host that was dialled.
        unacknowledged_s: how long data may stay unacknowledged by the other end's machine.
    """

    prologue_extra = b""
    simultaneous = False

    def __init__(self, stream: trio.SocketStream, remote: str, unacknowledged_s: float) -> None:
        self._stream = stream
        self._patience_s = unacknowledged_s
        self._acknowledged = Acknowledged(unacknowledged_s)
        self.awaits_word = False
        self.remote = remote
        self.admission_key: str | None = remote
        self.receive_some = stream.receive_some  # straight to the socket: a call less for every read and send
        self.send_all = stream.send_all

    async def aclose(self) -> None:
        """Close the socket."""
        await self._stream.aclose()

    def lost(self, now_s: float) -> str:
        """Return that the other end's machine does not acknowledge what it is sent (network.md 3)."""
        self.awaits_word = False
        try:
            unacknowledged, since_ack_ms = read_unacknowledged(self._stream)
        except OSError:
            return ""  # it is closed, and its reader knows
        self.awaits_word = unacknowledged > 0
        lost = self._acknowledged.is_lost(now_s, unacknowledged, since_ack_ms)
        return f"data unacknowledged for {self._patience_s:g} s" if lost else ""


class TcpTransport:
    """TCP over IPv4 and IPv6.

    Args:
        limits: those of the driver.
    """

    scheme = "tcp"
    traits = Traits()

    def __init__(self, limits: Limits) -> None:
        self._unacknowledged_s = limits.unacknowledged_s

    def can_dial(self, address: str) -> bool:
        """Return whether it is ``host:port``."""
        try:
            split_address(address)
        except NoAddress:
            return False
        return True

    async def dial(self, address: str) -> TcpPipe:
        """Connect to ``host:port``.

        Raises:
            OSError: nobody answers there.
            NoAddress: it is none.
        """
        host, port = split_address(address)
        return TcpPipe(await trio.open_tcp_stream(host, port), host, self._unacknowledged_s)

    async def serve(
        self, address: str, admit: Admit, *, task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Listen on ``host:port``; port 0 takes a free one, and `task_status` gets which.

        Raises:
            ListenFailed: not an address, in use, or not ours.
        """

        def take(stream: trio.SocketStream) -> None:
            try:
                remote = str(stream.socket.getpeername()[0])
            except OSError:  # gone already
                stream.socket.close()
            else:
                admit(TcpPipe(stream, remote, self._unacknowledged_s))

        listeners = await _open(address)
        try:
            async with trio.open_nursery() as nursery:
                for listener in listeners:
                    nursery.start_soon(accept, listener, take)
                task_status.started([join_address(listener.socket.getsockname()) for listener in listeners])
        finally:
            for listener in listeners:
                listener.socket.close()


async def _open(address: str) -> Sequence[trio.SocketListener]:
    try:
        host, port = split_address(address)
        return await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG)
    except (OSError, NoAddress) as error:
        raise ListenFailed(f"cannot listen on {address}: {error}") from error


async def accept(listener: trio.SocketListener, admit: Callable[[trio.SocketStream], None]) -> None:
    """Accept for ever; when the machine has no more descriptors or memory, pause instead of ending."""
    while True:
        try:
            stream = await listener.accept()
        except trio.ClosedResourceError:
            return
        except OSError as error:
            if error.errno not in _OUT_OF_RESOURCES:
                raise
            await trio.sleep(0.1)
            continue
        admit(stream)
