"""Who may come in: bounds on inbound connections (network.md 7)."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from ..parts.buckets import Bucket
from ..parts.sources import source_of
from .limits import Limits

ADDRESSES_MAX = 4_096
"""Addresses whose handshakes are counted."""

K = TypeVar("K", bound=Hashable)


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
        self._address_of: dict[K, str | None] = {}
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

    def refusal(self, address: str | None) -> str | None:
        """Return why a connection from this address cannot come in, None if it can; of no address, only all count."""
        if len(self._address_of) >= self._limits.connections_max and not self._waiting:
            return f"{len(self._address_of)} connections are open"
        if address is None:
            return None
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

    def enter(self, key: K, address: str | None) -> K | None:
        """Count a connection; return the one that has to go for it, if any."""
        source = self._address_of[key] = None if address is None else source_of(address)
        if source is not None:
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
