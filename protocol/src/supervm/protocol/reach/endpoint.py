"""Where a node can be dialled, as text: ``scheme:rest``, or ``host:port`` for TCP (network.md 4).

The protocol only says what such a text may consist of. Whether anybody can dial it is the business of the transports
of whoever reads it: a medium that comes later needs no new record.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

ENDPOINT_CHARS_MAX: Final = 96
"""Longest text of an endpoint; all of it is ASCII."""
ENDPOINTS_MAX: Final = 6
"""Most endpoints of one node."""

Endpoint = Annotated[str, msgspec.Meta(min_length=3, max_length=ENDPOINT_CHARS_MAX)]
Endpoints = Annotated[tuple[Endpoint, ...], msgspec.Meta(max_length=ENDPOINTS_MAX)]


def endpoint_problem(endpoint: str) -> str | None:
    """Return what is wrong with the form of an endpoint, None if nothing is."""
    if not endpoint.isascii() or not endpoint.isprintable() or " " in endpoint:
        return "an endpoint is printable ASCII without spaces"
    head, colon, rest = endpoint.partition(":")
    if not colon or not head or not rest:
        return "an endpoint is scheme:rest or host:port"
    return None
