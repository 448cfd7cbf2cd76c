"""Terms: what fees are taken, heard of miners and told to clients (economics.md 1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from supervm.common.contract.core import Outbox, PeerUp
from supervm.common.parts.fee_policy import read_terms
from supervm.common.parts.manners import Manners
from supervm.common.parts.part import Part
from supervm.common.parts.peering import Peering
from supervm.protocol.state.leaves import write_asset
from supervm.protocol.wire.payments import FeeTerms

from ..options import TERMS_OPTIONS
from .fees import Fees
from .relay import Relay
from .routes import Routes

CLIENT_TIERS = (0, 4)
TOLD_US = 1_000_000
"""Shortest time between two changes that every client is told, so that one miner cannot make an edge talk all day."""


class Terms(Part):
    """Takes the miners' terms and tells every client those of the edge: at first, and whenever they change.

    In the order of parts it stands after the routes, so that a miner which has gone is none of them here.

    Args:
        outbox: where messages go.
        peering: who is up.
        manners: what a miner's terms cost it.
        routes: what each miner takes.
        fees: what this edge takes.
        relay: has transactions that wait for a miner which takes their fees.
    """

    takes = frozenset({FeeTerms})
    sends = frozenset({FeeTerms})
    options = TERMS_OPTIONS

    def __init__(
        self, outbox: Outbox, peering: Peering, manners: Manners, routes: Routes, fees: Fees, relay: Relay
    ) -> None:
        self._outbox = outbox
        self._peering = peering
        self._manners = manners
        self._routes = routes
        self._fees = fees
        self._relay = relay
        self._told = fees.combined
        self._next_us = 0

    @property
    def deadline_us(self) -> int | None:
        """When clients may be told of a change that came soon after another."""
        return self._next_us if self._fees.combined != self._told else None

    def receive(self, now_us: int, peer: bytes, message: FeeTerms) -> None:
        """Note what a miner takes.

        Raises:
            RemoteProtocolError: it is none, or the list is not in order.
        """
        self._routes.check_miner(peer, message)
        self._routes.says_fees(peer, read_terms(message))
        self._manners.spend(now_us, peer, "link", self._relay.fees_changed(peer))

    def peer_up(self, now_us: int, event: PeerUp) -> None:
        """Tell a client that comes."""
        if event.tier in CLIENT_TIERS:
            self._outbox.send(event.peer, self._fees.terms)

    def settle(self, now_us: int) -> None:
        """Tell all clients if the terms are others than they were told."""
        combined = self._fees.combined
        if combined != self._told and self._next_us <= now_us:
            self._told, self._next_us = combined, now_us + TOLD_US
            message = self._fees.terms
            for peer, info in self._peering.up.items():
                if info.tier in CLIENT_TIERS:
                    self._outbox.send(peer, message)

    def info(self, now_us: int) -> Mapping[str, Any]:
        """Return the least fee by asset that is taken."""
        return {"takes": {write_asset(asset): least for asset, least in self._fees.combined.least.items()}}

    def problems(self, now_us: int) -> Iterable[str]:
        """Return that nothing can be taken, if so."""
        if not self._fees.combined.least:
            yield (
                "no miner that is up takes a fee that this edge takes, so every payment is refused; set `fees` to "
                "what they take, or connect to another miner"
            )
