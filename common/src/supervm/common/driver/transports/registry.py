"""Which transports a node has, and which of them an address belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from ...installed import entry_points
from ...text.schemes import TRANSPORTS_GROUP
from ..failures import NoAddress
from ..limits import Limits
from .contract import Transport
from .tcp import TcpTransport

_SCHEMED: Final = re.compile(r"([a-z][a-z0-9-]*):(.*)", re.DOTALL)


class Transports:
    """The transports of one node, by scheme.

    Args:
        transports: those there are; of two with one scheme the first is taken.
        broken: scheme -> why a transport that is installed cannot be used.
    """

    def __init__(self, transports: Iterable[Transport], broken: dict[str, str] | None = None) -> None:
        self._by_scheme: dict[str, Transport] = {}
        for transport in transports:
            self._by_scheme.setdefault(transport.scheme, transport)
        self._broken = broken or {}

    def of(self, address: str) -> tuple[Transport, str]:
        """Return the transport of an address, and the address without its scheme.

        A word that is no scheme here, with nothing but a port behind it, is a host.

        Raises:
            NoAddress: no transport here has the scheme.
        """
        found = _SCHEMED.fullmatch(address)
        if found is not None:
            scheme, rest = found.groups()
            if scheme in self._by_scheme:
                return self._by_scheme[scheme], rest
            if scheme in self._broken:
                raise NoAddress(f"{address!r}: the transport {scheme} cannot be used: {self._broken[scheme]}")
        if found is None or found.group(2).isdigit() or ":" not in found.group(2):
            tcp = self._by_scheme.get("tcp")
            if tcp is not None:
                return tcp, address
        raise NoAddress(f"{address!r} is of no transport of this node; it has {', '.join(sorted(self._by_scheme))}")


def installed(limits: Limits) -> Transports:
    """Return TCP and what other distributions announce; one that cannot be made does not take the others down."""
    found: list[Transport] = [TcpTransport(limits)]
    broken: dict[str, str] = {}
    for entry in sorted(entry_points(group=TRANSPORTS_GROUP), key=lambda entry: entry.name):
        try:
            found.append(entry.load()(limits))
        except Exception as error:  # whatever somebody else's code does
            broken[entry.name] = f"{type(error).__name__}: {error}"
    return Transports(found, broken)
