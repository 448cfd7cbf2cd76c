"""Which addresses are TCP's ``host:port`` and which are another transport's ``scheme:rest``, without importing any."""

from __future__ import annotations

from typing import Final

from ..installed import entry_points

TRANSPORTS_GROUP: Final = "supervm.transports"
"""Entry points whose names are schemes and whose values make a transport (`supervm.common.driver.transports`)."""


def tcp_part(address: str) -> str | None:
    """Return the ``host:port`` of an address of TCP, whether it is one or not; None: it is another transport's."""
    scheme, _, rest = address.partition(":")
    if scheme == "tcp":
        return rest
    return None if rest and entry_points(group=TRANSPORTS_GROUP, name=scheme) else address
