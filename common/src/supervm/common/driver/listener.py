"""Who may come in: bounds on inbound connections, and the loop that accepts them (network.md 7)."""

from __future__ import annotations

import errno
import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

import trio

from ..parts.buckets import Bucket
from ..parts.sources import source_of
from .failures import ListenFailed
from .limits import Limits

_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
BACKLOG = 512
ADDRESSES_MAX = 4_096
"""Addresses whose handshakes are counted."""

K = TypeVar("K", bound=Hashable)


def split_address(address: str) -> tuple[str, int]:
    """Split ``host:port``; an IPv6 host stands in brackets.

    Raises:
        ValueError: no host, no port, or a port beyond 0..65535.
    """
    host, colon, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not (port.isascii() and port.isdigit()) or len(port) > 5 or int(port) > 65_535:
        raise ValueError(f"{address!r} is no address; host:port is wanted, port 0 to 65535")
    return host, int(port)


def join_address(name: tuple[object, ...]) -> str:
    """Return a socket's name as ``host:port``."""
    host, port = name[0], name[1]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False


class Admission(Generic[K]):
    """Counts inbound connections, by what `source_of` says of their addresses, and says which go.

    A newcomer beyond the bound of unauthenticated connections pushes out the oldest of them, never itself: an honest
    peer needs milliseconds to be up, so whoever fills the bound with silence only pushes out silence.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._address_of: dict[K, str] = {}
        self._of_address: dict[str, int] = {}
        self._waiting: dict[K, None] = {}  # oldest first
        self._handshakes: OrderedDict[str, Bucket] = OrderedDict()

    @property
    def unauthenticated(self) -> int:
        """Connections that are not up."""
        return len(self._waiting)

    @property
    def connections(self) -> int:
        """All inbound connections."""
        return len(self._address_of)

    def refusal(self, address: str) -> str | None:
        """Return why a connection from this IP address cannot come in, None if it can."""
        if len(self._address_of) >= self._limits.connections_max and not self._waiting:
            return f"{len(self._address_of)} connections are open"
        bound = self._limits.per_address_max
        source = source_of(address)
        if bound and self._of_address.get(source, 0) >= bound and not _is_loopback(source):
            return f"{bound} connections from {source} are open"
        return None

    def handshake_us(self, address: str, now_us: int) -> int:
        """Count a piece of a handshake from this IP address; return from when on there is a turn for it.

        A handshake comes in two pieces and costs this node half a millisecond. Addresses that ask for more than their
        share wait for it, as connections that may be pushed out.
        """
        source = source_of(address)
        bucket = self._handshakes.get(source)
        if bucket is None:
            bucket = self._handshakes[source] = Bucket(self._limits.handshakes, now_us)
            if len(self._handshakes) > ADDRESSES_MAX:
                self._handshakes.popitem(last=False)
        self._handshakes.move_to_end(source)
        bucket.charge(now_us, 1)
        return bucket.ready_us(now_us)

    def enter(self, key: K, address: str) -> K | None:
        """Count a connection; return the one that has to go for it, if any."""
        source = self._address_of[key] = source_of(address)
        self._of_address[source] = self._of_address.get(source, 0) + 1
        oldest = next(iter(self._waiting), None)
        self._waiting[key] = None
        if (
            len(self._waiting) > self._limits.unauthenticated_max
            or len(self._address_of) > self._limits.connections_max
        ):
            if oldest is not None:
                self.leave(oldest)
            return oldest
        return None

    def up(self, key: K) -> None:
        """A connection is authenticated."""
        self._waiting.pop(key, None)

    def leave(self, key: K) -> None:
        """A connection has ended; one that never entered changes nothing."""
        self._waiting.pop(key, None)
        address = self._address_of.pop(key, None)
        if address is not None:
            self._of_address[address] -= 1
            if not self._of_address[address]:
                del self._of_address[address]


async def open_listeners(address: str) -> list[trio.SocketListener]:
    """Listen on ``host:port``; port 0 takes a free one.

    Raises:
        ListenFailed: not an address, in use, or not ours.
    """
    try:
        host, port = split_address(address)
        return list(await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG))
    except (OSError, ValueError) as error:
        raise ListenFailed(f"cannot listen on {address}: {error}") from error


def addresses(listeners: Sequence[trio.SocketListener]) -> list[str]:
    """Return what is listened on, as ``host:port``."""
    return [join_address(listener.socket.getsockname()) for listener in listeners]


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
