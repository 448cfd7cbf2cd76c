"""One NAT at work: mappings, what they let in, and when they end (RFC 4787, RFC 5382).

`nat` says what a translator does in general; this does it, packet by packet, so that the tables there can be held
against something, and so that the simulator's nodes meet mappings that end and ports that run out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from .nat import Behaviour, Nat

PORTS_FROM: Final = 1_024
PORTS_END: Final = 65_536


class Endpoint(NamedTuple):
    """An address, as text, and a port."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"


def _part(behaviour: Behaviour, remote: Endpoint) -> tuple[str | int, ...]:
    """Return the part of the other end that a behaviour depends on."""
    return tuple(remote[: int(behaviour)])


@dataclass(slots=True)
class _Mapping:
    """An inner endpoint's outer port, and whom it has sent to from there."""

    inner: Endpoint
    key: tuple[object, ...]
    used_us: int
    sent_to: dict[tuple[str | int, ...], int] = field(default_factory=dict)


class Translator:
    """A NAT with one outer address, for one protocol.

    Args:
        nat: what it does.
        address: its outer address.
        udp: whether this is the table for UDP; else that for TCP, whose mappings last longer.
        first_port: the outer port that is given away first; the others follow in turn.
    """

    def __init__(self, nat: Nat, address: str, *, udp: bool = False, first_port: int = PORTS_FROM) -> None:
        self.nat = nat
        self.address = address
        self._udp = udp
        self._expiry_us = nat.udp_expiry_us if udp else nat.tcp_expiry_us
        self._filtering = nat.filter_of(udp=udp)
        self._next_port = first_port
        self._by_key: dict[tuple[object, ...], int] = {}
        self._by_port: dict[int, _Mapping] = {}

    def outward(self, inner: Endpoint, remote: Endpoint, now_us: int) -> Endpoint | None:
        """Send a packet out; return where it seems to come from, or None if it does not get out.

        It does not if UDP is blocked, or if every port is in use by others.
        """
        if self._udp and self.nat.udp_blocked:
            return None
        key = (inner, *_part(self.nat.mapping, remote))
        port = self._by_key.get(key)
        if port is None or not self._lasts(port, now_us):
            port = self._free_port(now_us)
            if port is None:
                return None
            self._by_key[key] = port
            self._by_port[port] = _Mapping(inner, key, now_us)
        mapping = self._by_port[port]
        mapping.used_us = now_us
        mapping.sent_to[_part(self._filtering, remote)] = now_us
        return Endpoint(self.address, port)

    def inward(self, port: int, remote: Endpoint, now_us: int) -> Endpoint | None:
        """Take a packet that has come to an outer port; return the inner endpoint, or None if it is dropped.

        A packet over TCP makes the mapping last longer, one over UDP does not (RFC 4787, REQ-6: from inside only).
        """
        if port not in self._by_port or not self._lasts(port, now_us):
            return None
        mapping = self._by_port[port]
        who = _part(self._filtering, remote)
        if who:
            sent_us = mapping.sent_to.get(who)
            if sent_us is None or now_us - sent_us > self._expiry_us:
                return None
        if not self._udp:
            mapping.used_us = now_us
            if who:
                mapping.sent_to[who] = now_us
        return mapping.inner

    def forget(self) -> None:
        """Lose all mappings, as a router does that is switched off and on."""
        self._by_key.clear()
        self._by_port.clear()

    def _lasts(self, port: int, now_us: int) -> bool:
        """Return whether the mapping of a port is alive; one that is not is forgotten."""
        mapping = self._by_port[port]
        if now_us - mapping.used_us <= self._expiry_us:
            return True
        del self._by_port[port]
        del self._by_key[mapping.key]
        return False

    def _free_port(self, now_us: int) -> int | None:
        for _ in range(PORTS_END - PORTS_FROM):
            port = self._next_port
            self._next_port = port + 1 if port + 1 < PORTS_END else PORTS_FROM
            if port not in self._by_port or not self._lasts(port, now_us):
                return port
        return None
