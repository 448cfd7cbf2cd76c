"""What the edge believes: its light client, kept on disk, and the forks that end belief (consensus.md 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from supervm.common.contract.core import Outbox, PeerUp
from supervm.common.parts.light_memory import TRUST_EVENTS, LightMemory
from supervm.common.parts.light_tables import TRUST_TABLES
from supervm.common.parts.part import Part
from supervm.common.parts.peering import Peering
from supervm.protocol.light.client import LightClient
from supervm.protocol.wire.payments import ForkMessage, GetValidatorChanges

from ..options import TRUST_OPTIONS
from ..relay.routes import Routes

SAVE_US = 10_000_000
"""Shortest time between two writes of the checkpoints that are remembered."""
CLIENT_TIERS = (0, 4)


class Trust(Part):
    """The light client: what it remembers, the forks it is shown and shows, and when it has to learn of validators.

    Args:
        outbox: where messages and records go.
        peering: who is up.
        routes: which of them are miners.
        memory: the light client and its rows.

    Attributes:
        memory: as given.
    """

    takes = frozenset({ForkMessage})
    sends = frozenset({ForkMessage, GetValidatorChanges})
    tables = TRUST_TABLES
    options = TRUST_OPTIONS
    events = TRUST_EVENTS

    def __init__(self, outbox: Outbox, peering: Peering, routes: Routes, memory: LightMemory) -> None:
        self._outbox = outbox
        self._peering = peering
        self._routes = routes
        self.memory = memory
        self._saved_us = 0

    @property
    def light(self) -> LightClient:
        """The light client."""
        return self.memory.client

    def started(self, now_us: int) -> None:
        """Tell what was found on disk."""
        self.memory.start()
        self._saved_us = now_us

    def receive(self, now_us: int, peer: bytes, message: ForkMessage) -> None:
        """Take a fork that anybody shows."""
        self.memory.fork(message, now_us // 1000)

    def peer_up(self, now_us: int, event: PeerUp) -> None:
        """Show a fork that is known to whom it concerns."""
        fork = self.memory.fork_message
        if fork is not None and self._concerns(event.peer, event.tier):
            self._outbox.send(event.peer, fork)

    def settle(self, now_us: int) -> None:
        """Write what is remembered now and then, and pass on a fork that was found."""
        if self._saved_us + SAVE_US <= now_us:
            self._saved_us = now_us
            records = self.memory.take_records()
            if records:
                self._outbox.persist(*records)
        self.memory.tell_doubt(now_us // 1000)
        found = self.memory.take_fork()
        if found is not None:
            for peer, info in self._peering.up.items():
                if self._concerns(peer, info.tier):
                    self._outbox.send(peer, found[1], after=found[0])

    def info(self, now_us: int) -> Mapping[str, Any]:
        """Return whether anything new is believed."""
        return {"trust": self.memory.info(now_us // 1000)}

    def _concerns(self, peer: bytes, tier: int) -> bool:
        return tier in CLIENT_TIERS or self._routes.is_miner(peer, tier)
