"""What a node says of itself on a LAN, and what it makes of what others say: as little as is needed.

A node is announced as an instance of ``_supervm._tcp`` with its addresses, its port and two words: ``c``, eight
hexadecimal digits of a hash of the chain id, and ``t``, its tier. The instance is a name by chance, another one for
each network and each day, and after each start; the node id is not on the air, and neither is the machine's name. So
whoever listens on two LANs cannot tell by it that the same phone was on both.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Final

from ...parts.reach.lan import is_on_lan
from ...parts.reach.lan_found import ADDRESSES_MAX, LanNode

SERVICE: Final = "_supervm._tcp.local."
DAY_S: Final = 86_400
_TIERS: Final = {b"1": 1, b"2": 2, b"3": 3, b"4": 4}


def chain_word(chain_id: bytes) -> bytes:
    """Return what tells nodes of one network from those of others: four bytes of a hash, as hexadecimal digits."""
    return blake2b(chain_id, digest_size=4, person=b"svm.lan").hexdigest().encode()


def instance_name(secret: bytes, chain_id: bytes, day: int) -> str:
    """Return the name of a day, of those who do not know the secret not to be told from any other."""
    message = chain_id + day.to_bytes(8, "big")
    return blake2b(message, key=secret, digest_size=8, person=b"svm.lan.name").hexdigest()


def words_of(chain_id: bytes, tier: int) -> dict[bytes, bytes]:
    """Return the words of a node."""
    return {b"c": chain_word(chain_id), b"t": str(tier).encode()}


def read_node(
    words: Mapping[bytes, bytes | None], hosts: Iterable[str], port: int | None, chain_id: bytes
) -> LanNode | None:
    """Return a node that was announced; None if it is none of our network, or nobody could dial it.

    Args:
        words: its words.
        hosts: its IP addresses, link-local ones of IPv6 with the interface behind ``%``.
        port: its port.
        chain_id: our network.
    """
    tier = _TIERS.get(words.get(b"t") or b"")
    if tier is None or words.get(b"c") != chain_word(chain_id):
        return None
    ends = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host in hosts)
    addresses = tuple(end for end in dict.fromkeys(ends) if is_on_lan(end))[:ADDRESSES_MAX]
    return LanNode(tier, addresses) if addresses else None


def announced(listens: Iterable[str], own: Iterable[str]) -> tuple[int | None, tuple[str, ...]]:
    """Return at which port and IP addresses a node is found; (None, ()) if it cannot be.

    Args:
        listens: addresses that it listens on.
        own: IP addresses of the machine; those of the machine alone are told only by a node that listens there.
    """
    for listen in listens:
        host, colon, port = listen.rpartition(":")
        try:
            address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        except ValueError:
            continue  # of another transport
        if not colon or not port.isdecimal():
            continue
        if not address.is_unspecified:
            return int(port), (str(address),)
        # who listens on `::` is there for IPv6 alone: that is how the driver opens it
        ours = [one for one in map(ipaddress.ip_address, own) if one.version == address.version and not one.is_loopback]
        return int(port), tuple(map(str, ours))
    return None, ()
