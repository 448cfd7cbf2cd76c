"""Who may come in, and who goes when there is no more room: bounds on inbound connections (network.md 7).

Theory of operation. Connections that are not up yet are bounded apart: a newcomer beyond that bound pushes out the
oldest of them. When all connections are taken, networks - a /16 of IPv4, a /32 of IPv6 - share them: a newcomer from a
network that has fewer than another one by two or more is let in, and once it has proven who it is the youngest
connection of the most crowded network goes. So whoever has many addresses in one network cannot keep others out, and
within a network those who have been there longest stay. Whom this node needs for its work is never pushed out.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from ..parts.buckets import Bucket
from ..parts.reach.spots import group_of
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
        self._up: dict[str, dict[K, None]] = {}  # by network, those that may be pushed out; oldest first
        self._network_of: dict[K, str] = {}
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
        if (
            len(self._address_of) >= self._limits.connections_max
            and not self._waiting
            and self._crowded(_network(address)) is None
        ):
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
        ):  # with nobody who waits there is one too many, until the newcomer is up
            if oldest is not None:
                self.leave(oldest)
            return oldest
        return None

    def up(self, key: K, *, is_needed: bool = False) -> K | None:
        """A connection is authenticated; return the one that has to go for it, if any.

        Args:
            key: which; one that never entered changes nothing.
            is_needed: whether this node cannot do its work without the peer, so that it is never pushed out.
        """
        if key not in self._waiting:
            return None
        del self._waiting[key]
        network = _network(self._address_of[key])
        victim: K | None = None
        if len(self._address_of) > self._limits.connections_max:
            crowded = self._crowded(network)
            victim = None if crowded is None else next(reversed(self._up[crowded]))
        if not is_needed:
            self._up.setdefault(network, {})[key] = None
            self._network_of[key] = network
        if victim is not None:
            self.leave(victim)
        return victim

    def leave(self, key: K) -> None:
        """A connection has ended; one that never entered changes nothing."""
        self._waiting.pop(key, None)
        network = self._network_of.pop(key, None)
        if network is not None:
            del self._up[network][key]
            if not self._up[network]:
                del self._up[network]
        address = self._address_of.pop(key, None)
        if address is not None:
            self._of_address[address] -= 1
            if not self._of_address[address]:
                del self._of_address[address]

    def _crowded(self, network: str) -> str | None:
        """Return the network that has to make room for a connection of `network`; None: no other has so many more."""
        crowded = max(self._up, key=lambda other: len(self._up[other]), default=None)
        if crowded is None or len(self._up[crowded]) < len(self._up.get(network, ())) + 2:
            return None
        return crowded


def _network(address: str | None) -> str:
    """Return the network that an address counts for; what is no address of the Internet is one by itself."""
    if address is None:
        return ""
    group = group_of(address.partition("%")[0].partition("/")[0])
    return address if group is None else group[1]
