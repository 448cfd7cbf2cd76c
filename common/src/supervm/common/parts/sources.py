"""Whom an IP address counts for (network.md 7).

In IPv6 the smallest network that anybody is given has 64 bits for its hosts, and one machine may use all of them. What
is counted or banned by address is therefore counted for that network; else each bound is met with a fresh address.
"""

from __future__ import annotations

import ipaddress


def source_of(remote: str) -> str:
    """Return the IPv4 address, or the /64 network of the IPv6 address, that `remote` is; as it is if it is neither.

    Args:
        remote: an address without a port, as a socket names it: maybe with a scope, maybe an IPv4 one inside of IPv6.
    """
    try:
        address = ipaddress.ip_address(remote.partition("%")[0])
    except ValueError:
        return remote
    if isinstance(address, ipaddress.IPv4Address):
        return remote
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    if address.is_loopback:
        return remote
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))
