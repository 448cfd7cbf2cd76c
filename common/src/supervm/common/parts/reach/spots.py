"""Where in the network an address is: whom it counts for, and from where it can be dialled (network.md 7).

Whoever wants to be all that a node sees makes up many nodes, and they cost nothing. Addresses in many networks do cost:
so addresses are counted by network, IPv4 by /16 and IPv6 by /32, and a node chooses one peer of each.

Only IP addresses are taken from others. A name would have somebody else's server asked for it, and one owner can make
as many of them as it likes; addresses of other media mean something only where they are written down by an owner.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

_IPV4_BITS, _IPV6_BITS = 16, 96  # that are the host's, of 32 and 128


class Scope(IntEnum):
    """From where an address can be dialled."""

    MACHINE = 0
    """From this machine."""
    SITE = 1
    """From the same private network."""
    WORLD = 2
    """From anywhere."""


@dataclass(frozen=True, slots=True)
class Spot:
    """An address that may be dialled.

    Attributes:
        endpoint: ``host:port``, as it was told.
        group: whom it counts for: its network, or, of one that is not public, the host alone.
        scope: from where it can be dialled.
    """

    endpoint: str
    group: str
    scope: Scope


@lru_cache(maxsize=4_096)
def spot_of(endpoint: str) -> Spot | None:
    """Return where an endpoint is; None if it is no IP address and port that one node could have."""
    host, colon, port = endpoint.rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 1 << 16 or len(port) > 5:
        return None
    bracketed = host.startswith("[") and host.endswith("]")
    group = group_of(host[1:-1] if bracketed else host)
    if group is None or bracketed != (":" in host[1:-1]):
        return None
    scope, name = group
    return Spot(endpoint, endpoint if scope is Scope.MACHINE else name, scope)


def group_of(host: str) -> tuple[Scope, str] | None:
    """Return scope and network of an IP address without a port; None if it is none that one node could have."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback:
        return Scope.MACHINE, str(address)
    if address.is_multicast or address.is_unspecified or address.is_link_local or address.is_reserved:
        return None
    if not address.is_global:
        return Scope.SITE, str(address)
    bits = _IPV4_BITS if address.version == 4 else _IPV6_BITS
    network = type(address)(int(address) >> bits << bits)
    return Scope.WORLD, f"{network}/{address.max_prefixlen - bits}"
