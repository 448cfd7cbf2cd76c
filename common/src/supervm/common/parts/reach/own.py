"""What a node says of itself: its own record, made anew before it ends and whenever it says something else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from supervm.protocol.base.codec import encode
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.reach.endpoint import ENDPOINTS_MAX
from supervm.protocol.reach.record import (
    HOME_EDGES_MAX,
    LOAD_STEP_OF_PHONES,
    NAT_PUBLIC,
    NAT_UNKNOWN,
    RECORD_FEATURES_MAX,
    RECORD_FEES_MAX,
    Ability,
    NodeRecord,
    coarse_ability,
    next_counter,
    sign_record,
)

from ...contract.core import Outbox
from ...contract.records import Reader
from .tables import COUNTER, CounterRow

LIFETIME_US: Final = 7_200_000_000
"""How long our record holds."""
REFRESH_US: Final = 1_800_000_000
"""When a new one is made; three may be missed by whoever keeps ours."""
CHANGE_US: Final = 10_000_000
"""Shortest time between two records."""
RESERVED: Final = 1_000
"""Counters that one write covers."""
PHONE: Final = 4

UNTOLD: Final = Ability(1, 0, 0, 0, 0, 0)
"""The ability of a node that does not say."""

Fees = Callable[[], tuple[tuple[bytes, int], ...]]


@dataclass(frozen=True, slots=True)
class OwnNode:
    """What a node has to say of itself.

    Attributes:
        key: the node key.
        endpoints: where it can be dialled from outside, the best first.
        region: where it is.
        ability: what it has to offer.
        fees: returns the (asset, least fee) that it takes, ascending by asset.
        targets: whom its owner has it dial; like its own endpoints they say how near others may be.
        directory_nodes: most records of others that it keeps; 0: what nodes of its tier keep.
        ask_phones: a phone asks other phones for nodes before it asks an edge.
    """

    key: SigningKey
    endpoints: tuple[str, ...] = ()
    region: str = ""
    ability: Ability = UNTOLD
    fees: Fees = tuple
    targets: tuple[str, ...] = ()
    directory_nodes: int = 0
    ask_phones: bool = False


class OwnRecord:
    """Makes it.

    Args:
        own: what it says.
        chain_id: the network.
        tier: 1 to 4.
        outbox: where the reserved counters are written.
        reader: durable state to start from.
    """

    def __init__(self, own: OwnNode, chain_id: bytes, tier: int, outbox: Outbox, reader: Reader) -> None:
        self._own, self._chain_id, self._tier, self._outbox = own, chain_id, tier, outbox
        row = COUNTER.get(reader, 0)
        self._counter = self._reserved = 0 if row is None else row.reserved
        self._said: tuple[tuple[str, ...], tuple[bytes, ...], tuple[tuple[bytes, int], ...]] | None = None
        self._made_us = 0
        self.raw = b""
        """Its bytes; empty until there is one."""
        self.token = 0
        """The write before which it is not to be sent."""

    @property
    def due_us(self) -> int:
        """When a new one is to be made even if nothing has changed; 0: there is none yet."""
        return self._made_us + REFRESH_US if self.raw else 0

    def is_due(self, now_us: int, features: tuple[str, ...], home: tuple[bytes, ...]) -> bool:
        """Return whether a new one has to be made: it is old, or says something else that matters.

        Load by itself does not: the heartbeat tells it.
        """
        if now_us >= self.due_us:
            return True
        return now_us >= self._made_us + CHANGE_US and self._said != (features, home, self._own.fees())

    def renew(self, now_us: int, load_percent: int, features: tuple[str, ...], home: tuple[bytes, ...]) -> bytes:
        """Make a new one and return its bytes.

        Args:
            now_us: present time.
            load_percent: how busy the node is.
            features: the words of its Hello.
            home: the edges that it is attached to.
        """
        self._counter = next_counter(self._counter, now_us // 1_000)
        if self._counter >= self._reserved:
            self._reserved = self._counter + RESERVED
            self.token = self._outbox.persist(COUNTER.put(CounterRow(0, self._reserved)))
        record = sign_record(self._own.key, self._make(now_us, load_percent, features, home))
        self._said = (features, home, self._own.fees())
        self._made_us, self.raw = now_us, encode(record)
        return self.raw

    def _make(self, now_us: int, load_percent: int, features: tuple[str, ...], home: tuple[bytes, ...]) -> NodeRecord:
        own, is_phone = self._own, self._tier == PHONE
        endpoints = () if is_phone else own.endpoints[:ENDPOINTS_MAX]
        return NodeRecord(
            1,
            self._chain_id,
            own.key.public,
            self._counter,
            (now_us + LIFETIME_US) // 1_000,
            self._tier,
            own.region,
            endpoints,
            tuple(sorted(home)[:HOME_EDGES_MAX]),
            NAT_PUBLIC if endpoints else NAT_UNKNOWN,
            coarse_ability(own.ability) if is_phone else own.ability,
            load_percent // LOAD_STEP_OF_PHONES * LOAD_STEP_OF_PHONES if is_phone else load_percent,
            tuple(sorted(features)[:RECORD_FEATURES_MAX]),
            b"",
            own.fees()[:RECORD_FEES_MAX],
            bytes(64),
        )
