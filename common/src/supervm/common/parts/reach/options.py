"""What an owner may say about a node's being found: keys of the tier's configuration table, and how they are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.reach.endpoint import ENDPOINT_CHARS_MAX, ENDPOINTS_MAX, endpoint_problem

from ...contract.options import OptionSpec

REGION_CHARS_MAX: Final = 16
"""Longest name of a region (`protocol.reach.record.Region`)."""

FIND_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "find_peers": OptionSpec(
        bool, False, "whether the node tells others of itself, asks for others, and chooses peers beside `peers`"
    ),
    "directory_nodes": OptionSpec(
        int, 0, "most records of other nodes that are kept for whoever asks; 0: what fits the tier", 0, 10**7
    ),
    "region": OptionSpec(str, "", "where the node is, a word of at most 16 characters that others are told"),
}
"""Keys about finding peers and being found."""
PHONE_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "ask_phones": OptionSpec(
        bool, False, "whether the phone asks a phone that it is connected to for a node before it asks an edge"
    ),
}
"""Keys about what phones do for each other."""
ENDPOINT_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "endpoints": OptionSpec(
        str, "", "`host:port,...` at which others can dial this node from outside, told with `find_peers`, best first"
    ),
}
"""Keys about where a node can be dialled; phones tell nobody."""
LAN_OPTIONS: Final[Mapping[str, OptionSpec]] = {
    "lan": OptionSpec(
        bool, False, "whether the node looks for others on its LAN, and is found there if it listens (extra `lan`)"
    ),
}
"""Keys about the LAN that the node is on."""


def read_endpoints(text: str) -> tuple[str, ...]:
    """Return the endpoints that an owner has written, separated by commas.

    Raises:
        LocalProtocolError: too many, too long, one twice, or one without the form of an endpoint.
    """
    endpoints = tuple(part.strip() for part in text.split(",") if part.strip())
    for endpoint in endpoints:
        problem = endpoint_problem(endpoint)
        if problem is None and len(endpoint) > ENDPOINT_CHARS_MAX:
            problem = f"an endpoint has at most {ENDPOINT_CHARS_MAX} characters"
        if problem is not None:
            raise LocalProtocolError(f"endpoints: {endpoint!r:.120}: {problem}")
    if len(endpoints) > ENDPOINTS_MAX or len(dict.fromkeys(endpoints)) != len(endpoints):
        raise LocalProtocolError(f"endpoints: at most {ENDPOINTS_MAX} are allowed, each once")
    return endpoints


def read_region(text: str) -> str:
    """Return the region that an owner has written.

    Raises:
        LocalProtocolError: it is too long, or more than printable ASCII.
    """
    if len(text) > REGION_CHARS_MAX or not text.isascii() or not text.isprintable():
        raise LocalProtocolError(f"region: a word of at most {REGION_CHARS_MAX} ASCII characters is allowed")
    return text
