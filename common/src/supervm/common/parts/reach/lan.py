"""Nodes on the same LAN: who was found there becomes a peer (network.md 3).

Theory of operation. A service beside the node (`services.lan`) asks the LAN who is there and gives what it hears to
this part as a request, `LanFound`: the whole list each time it changes. What to do about it is decided here. Nobody on
a LAN says who it is - ids on the air would let anybody follow a phone from one LAN to the next - so an address is
dialled without an id, and who answers says so over the encrypted link, if it is of the same network at all.

A LAN may hold a liar that announces many addresses. So few are dialled at once, one that fails is left alone for a
while, twice as long each time, and no more than `LINKS_MAX` links come of it. A node that is a peer already by another
way goes on over the LAN from then on: the driver moves its link without loss.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from supervm.protocol.wire.subjects import REACH

from ...contract.core import DialFailed, PeerDown, PeerUp, earliest
from ..part import Part
from ..shell import Shell
from .lan_found import LanFound
from .options import LAN_OPTIONS

LINKS_MAX: Final = 8
"""Links to addresses of the LAN, those that were dialled from here."""
DIALS_MAX: Final = 2
"""Dials at once."""
GIVE_UP_US: Final = 10_000_000
"""A dial of which nothing is heard by then has failed."""
RETRY_US, RETRY_US_MAX = 10_000_000, 600_000_000
"""How long an address is left alone after a dial that failed, at first and at most; twice as long each time."""
SOON_US: Final = 1_000_000
"""How long after its link ended an address is dialled again."""
WANTED: Final[Mapping[int, tuple[int, ...]]] = {3: (), 4: (3,)}
"""Tier -> tiers that it dials on a LAN: phones dial edges."""
WANTED_FINDING: Final[Mapping[int, tuple[int, ...]]] = {3: (3,), 4: (3, 4)}
"""The same for a node that finds its peers: its own tier, too. Others of one tier have nothing to say to each other."""


@dataclass(slots=True)
class _Place:
    """An address of the LAN.

    Attributes:
        due_us: when it may be dialled.
        failures: dials in a row that failed.
        asked_us: when it was dialled; None: nothing is under way.
        peer: who is up there; None: nobody.
    """

    due_us: int
    failures: int = 0
    asked_us: int | None = None
    peer: bytes | None = None


class LanPeers(Part):
    """Dials who is on the LAN.

    Args:
        shell: the node.
    """

    answers = (LanFound,)
    options = LAN_OPTIONS

    def __init__(self, shell: Shell) -> None:
        self._shell, self._outbox, self._peering = shell, shell.outbox, shell.peering
        self._places: dict[str, _Place] = {}

    @property
    def deadline_us(self) -> int | None:
        """When an address is due, or a dial is given up."""
        if not self._places:
            return None
        asked = [place.asked_us + GIVE_UP_US for place in self._places.values() if place.asked_us is not None]
        first_us = min(asked, default=None)
        if len(asked) < DIALS_MAX and self._links() + len(asked) < LINKS_MAX:
            idle = (place.due_us for place in self._places.values() if place.asked_us is None and place.peer is None)
            first_us = earliest(first_us, min(idle, default=None))
        return first_us

    def tick(self, now_us: int) -> None:
        """Dial what is due."""
        for place in self._places.values():
            if place.asked_us is not None and place.asked_us + GIVE_UP_US <= now_us:
                self._fail(now_us, place)
        for address, place in self._places.items():
            asked = sum(other.asked_us is not None for other in self._places.values())
            if asked >= DIALS_MAX or self._links() + asked >= LINKS_MAX:
                return
            if place.asked_us is None and place.peer is None and place.due_us <= now_us:
                place.asked_us = now_us
                self._outbox.dial(address, None)

    def command(self, now_us: int, token: int, request: LanFound) -> None:
        """Take what the LAN holds now."""
        finds = REACH.name in self._shell.features
        wanted = (WANTED_FINDING if finds else WANTED)[self._shell.TIER]
        before, self._places = self._places, {}
        for node in request.nodes:
            address = next((text for text in node.addresses if is_on_lan(text)), None)
            if node.tier in wanted and address is not None:
                self._places[address] = before.get(address) or _Place(now_us)
        self._outbox.reply(token, {"taken": len(self._places)})

    def peer_up(self, now_us: int, event: PeerUp) -> None:
        """Note who answers at an address."""
        place = self._places.get(event.address or "")
        if place is not None:
            place.peer, place.asked_us, place.failures = event.peer, None, 0

    def peer_moved(self, now_us: int, event: PeerUp) -> None:
        """A peer goes on over the LAN."""
        self.peer_up(now_us, event)

    def peer_down(self, now_us: int, event: PeerDown) -> None:
        """Dial it again soon: it may be there still."""
        for place in self._places.values():
            if place.peer == event.peer:
                place.peer, place.due_us = None, now_us + SOON_US

    def dial_failed(self, now_us: int, event: DialFailed) -> None:
        """Leave the address alone for a while, unless who is there is a peer by a link that was kept."""
        place = self._places.get(event.address)
        if place is None or place.asked_us is None:
            return
        if event.peer is not None and event.peer in self._peering.up:
            place.peer, place.asked_us = event.peer, None
        else:
            self._fail(now_us, place)

    def info(self, now_us: int) -> Mapping[str, Any]:
        """Return how many nodes the LAN holds, and how many of them are up."""
        return {"lan_found": len(self._places), "lan_up": self._links()}

    def _links(self) -> int:
        return sum(place.peer is not None for place in self._places.values())

    def _fail(self, now_us: int, place: _Place) -> None:
        place.asked_us = None
        place.due_us = now_us + min(RETRY_US << min(place.failures, 20), RETRY_US_MAX)
        place.failures += 1


def is_on_lan(text: str) -> bool:
    """Return whether a text is an IP address and a port that one node of a LAN can have.

    A link-local IPv6 address means nothing without the interface that it is on (RFC 4007), as in ``[fe80::1%eth0]:80``.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal() or len(port) > 5 or not 0 < int(port) < 1 << 16:
        return False
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ipaddress.ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        return False
    if bracketed != (address.version == 6) or address.is_multicast or address.is_unspecified:
        return False
    return not (isinstance(address, ipaddress.IPv6Address) and address.is_link_local and address.scope_id is None)


def lan_parts(shell: Shell) -> tuple[Part, ...]:
    """Return the part of a node whose owner has set `lan`; nothing for another."""
    return (LanPeers(shell),) if shell.option("lan") else ()
