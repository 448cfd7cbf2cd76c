"""What a node is told of its LAN, a request like those of its owner: who is there now."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

NODES_MAX: Final = 64
"""Nodes of a LAN that are looked at."""
ADDRESSES_MAX: Final = 8
"""Addresses of one of them."""
Address = Annotated[str, msgspec.Meta(max_length=96)]


class LanNode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node that is on the LAN.

    Attributes:
        tier: which it says.
        addresses: ``host:port`` of it, IP addresses, the best first.
    """

    tier: Annotated[int, msgspec.Meta(ge=1, le=4)]
    addresses: Annotated[tuple[Address, ...], msgspec.Meta(max_length=ADDRESSES_MAX)]


class LanFound(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="lan_found", tag_field="request"):
    """Tell the node who else is on the LAN now; who is not named any more is not dialled any more.

    Answer: ``{"taken"}``, how many of them the node would have for peers; refused while the option `lan` is off.
    """

    nodes: Annotated[tuple[LanNode, ...], msgspec.Meta(max_length=NODES_MAX)]
