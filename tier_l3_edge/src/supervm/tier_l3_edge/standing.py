"""What an edge says of itself: height and load to its peers, figures to its owner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from supervm.common.contract.core import Outbox
from supervm.common.parts.chain_clock import age_ms
from supervm.common.parts.part import Part
from supervm.common.parts.peering import Peering
from supervm.protocol.base.address import encode_node_id
from supervm.protocol.wire.payments import LEVEL_EXPIRED, LEVEL_R3, LEVEL_REFUSED

from .intake.intake import Intake
from .intake.store import Store
from .messages import Statistics
from .proofs.proofs import Proofs
from .relay.relay import Relay
from .relay.routes import Routes


class Standing(Part):
    """Where the edge stands. In the order of parts it comes before the links, whose heartbeats tell it.

    Args:
        outbox: where answers go.
        peering: told of height and load; knows who is up.
        routes: the miners.
        store: what waits.
        relay: what is out.
        intake: what was refused.
        proofs: what is known.
    """

    answers = (Statistics,)

    def __init__(
        self,
        outbox: Outbox,
        peering: Peering,
        routes: Routes,
        store: Store,
        relay: Relay,
        intake: Intake,
        proofs: Proofs,
    ) -> None:
        self._outbox = outbox
        self._peering = peering
        self._routes = routes
        self._store = store
        self._relay = relay
        self._intake = intake
        self._proofs = proofs

    def tick(self, now_us: int) -> None:
        """Say how things stand in the heartbeats to come."""
        self._peering.height = self._proofs.newest_header.height
        self._peering.load_percent = self._store.load_percent

    def info(self, now_us: int) -> Mapping[str, Any]:
        """Return how new its newest header is; None: dated ahead, so that nobody can tell."""
        old_ms = age_ms(self._proofs.newest_header.ts_ms, now_us)
        return {"age_s": None if old_ms is None else old_ms / 1000}

    def command(self, now_us: int, token: int, request: Statistics) -> None:
        """Answer with the counters."""
        self._outbox.reply(token, self.statistics())

    def statistics(self) -> dict[str, Any]:
        """Return the counters, as `Statistics` says."""
        store, relay = self._store, self._relay
        return {
            "cache": self._proofs.cache.counters(),
            "transactions": {
                "pending": len(store),
                "waiting": relay.waiting,
                "in_block": store.fates[LEVEL_R3],
                "refused": store.fates[LEVEL_REFUSED],
                "expired": store.fates[LEVEL_EXPIRED],
                "refused_here": dict(sorted(self._intake.refused.items())),
                "failovers": relay.failovers,
            },
            "clients": {
                "peers": len(self._peering.up) - len(self._routes.up),
                "watched_accounts": self._proofs.watched,
            },
            "miners": {
                encode_node_id(peer): {
                    "latency_ms": route.latency_us / 1000,
                    "load_percent": self._peering.loads.get(peer, 0),
                    "out": relay.out_at(peer),
                    "source": peer == self._proofs.source.miner,
                }
                for peer, route in self._routes.up.items()
            },
        }
