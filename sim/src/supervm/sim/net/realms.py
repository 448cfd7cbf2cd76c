"""Addresses and who is behind which NAT: the internet, and private networks inside each other.

Theory of operation. A *realm* is a set of addresses that reach each other: the internet, a flat's Wi-Fi, a carrier's
network behind its own NAT. Each private realm has one translator towards the realm around it. A packet goes outwards
until it is in a realm that has its destination, and then inwards through the translators that have it; each lets it
pass or drops it. A packet to a translator's own outer address from inside is turned round (hairpin), or dropped.

No two realms use the same private addresses here, though real ones do; nobody would send to another's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from ..errors import SimulationError
from .nat import Nat, Row
from .translator import Endpoint, Translator

DEPTH_MAX: Final = 4
"""NATs in a row."""


class Arrival(NamedTuple):
    """A packet that got there: the name of who has it, and where it seems to come from."""

    name: str
    seen: Endpoint


@dataclass(eq=False, slots=True)
class Realm:
    """A set of addresses that reach each other.

    Attributes:
        number: from 0, the internet.
        outside: the realm around it; None: it is the internet.
        nat: what its translator does; None: it has none.
        tcp, udp: its tables; None: it has none.
    """

    number: int
    outside: Realm | None
    nat: Nat | None
    tcp: Translator | None
    udp: Translator | None
    taken: int = 0
    """Addresses given away."""

    @property
    def row(self) -> Row:
        """The NATs between here and the internet, the nearest first."""
        found: list[Nat] = []
        here: Realm | None = self
        while here is not None:
            if here.nat is not None:
                found.append(here.nat)
            here = here.outside
        return tuple(found)

    def translator(self, *, udp: bool) -> Translator | None:
        """Return the table of a protocol."""
        return self.udp if udp else self.tcp


class Realms:
    """All of them, and who is where.

    Attributes:
        internet: the realm around all.
    """

    def __init__(self) -> None:
        self.internet = Realm(0, None, None, None, None)
        self._all = [self.internet]
        self._at: dict[str, tuple[Realm, Endpoint]] = {}
        self._owners: dict[tuple[int, str], str | Realm] = {}

    def add(self, nats: Row) -> Realm:
        """Add a private realm behind NATs in a row, the nearest first; without any: the internet.

        Raises:
            SimulationError: there are too many.
        """
        if len(nats) > DEPTH_MAX:
            raise SimulationError(f"{len(nats)} NATs in a row; at most {DEPTH_MAX} are allowed")
        realm = self.internet
        for nat in reversed(nats):
            realm = self.behind(nat, realm)
        return realm

    def behind(self, nat: Nat, outside: Realm) -> Realm:
        """Add a private realm behind one NAT that stands in another realm."""
        address = self._address(outside)
        realm = Realm(len(self._all), outside, nat, Translator(nat, address), Translator(nat, address, udp=True))
        self._all.append(realm)
        self._owners[outside.number, address] = realm
        return realm

    def place(self, name: str, realm: Realm, port: int, address: str | None = None) -> Endpoint:
        """Put somebody into a realm, or move them there; return where they are in it.

        Args:
            name: whoever it is.
            realm: the realm.
            port: from which they dial, and on which they listen.
            address: instead of the next free one.
        """
        self.remove(name)
        endpoint = Endpoint(address or self._address(realm), port)
        self._at[name] = realm, endpoint
        self._owners[realm.number, endpoint.address] = name
        return endpoint

    def remove(self, name: str) -> None:
        """Take somebody away who may be there."""
        before = self._at.pop(name, None)
        if before is not None:
            del self._owners[before[0].number, before[1].address]

    def where(self, name: str) -> tuple[Realm, Endpoint]:
        """Return the realm and endpoint of somebody who is there.

        Raises:
            SimulationError: nobody of that name is.
        """
        found = self._at.get(name)
        if found is None:
            raise SimulationError(f"{name} is in no network")
        return found

    def told(self, name: str, by: str, now_us: int, *, udp: bool = False) -> Endpoint | None:
        """Return where somebody seems to be to another one to whom they send a packet now; None: it does not arrive."""
        arrival = self.send(name, self.where(by)[1], now_us, udp=udp)
        return None if arrival is None or arrival.name != by else arrival.seen

    def send(self, name: str, to: Endpoint, now_us: int, *, udp: bool = False) -> Arrival | None:
        """Send a packet; return who gets it and where it seems to come from, or None if it is dropped."""
        realm, source = self.where(name)
        while True:
            owner = self._owners.get((realm.number, to.address))
            if owner is not None:
                return self._inward(realm, owner, source, to, now_us, udp=udp)
            translator = realm.translator(udp=udp)
            if translator is None or realm.outside is None:
                return None  # nobody on the internet has that address
            seen = translator.outward(source, to, now_us)
            if seen is None:
                return None
            if to.address == translator.address:
                if not translator.nat.hairpin:
                    return None
                inner = translator.inward(to.port, seen, now_us)
                return None if inner is None else self._inward_to(realm, inner, seen, now_us, udp=udp)
            realm, source = realm.outside, seen

    def _inward(
        self, realm: Realm, owner: str | Realm, source: Endpoint, to: Endpoint, now_us: int, *, udp: bool
    ) -> Arrival | None:
        if isinstance(owner, str):
            return Arrival(owner, source) if self._at[owner][1].port == to.port else None
        translator = owner.translator(udp=udp)
        assert translator is not None, "only a realm with a NAT has an outer address"
        inner = translator.inward(to.port, source, now_us)
        return None if inner is None else self._inward_to(owner, inner, source, now_us, udp=udp)

    def _inward_to(self, realm: Realm, inner: Endpoint, source: Endpoint, now_us: int, *, udp: bool) -> Arrival | None:
        owner = self._owners.get((realm.number, inner.address))
        return None if owner is None else self._inward(realm, owner, source, inner, now_us, udp=udp)

    def _address(self, realm: Realm) -> str:
        """Return the next address of a realm that nobody has: 198.18.0.0/15 on the internet, else of 10.0.0.0/8."""
        while True:
            realm.taken += 1
            low = realm.taken
            if realm.number == 0:
                if low >= 1 << 17:
                    raise SimulationError(f"the internet has no more than {(1 << 17) - 1} addresses here")
                address = f"198.{18 + (low >> 16)}.{low >> 8 & 255}.{low & 255}"
            else:
                if low >= 1 << 8:
                    raise SimulationError("a private network has no more than 255 addresses here")
                address = f"10.{realm.number >> 8 & 255}.{realm.number & 255}.{low}"
            if (realm.number, address) not in self._owners:
                return address
