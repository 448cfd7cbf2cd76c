"""The edge's registration with the miners: who is paid its share of the fees (economics.md)."""

from __future__ import annotations

from supervm.common.contract.core import Outbox, PeerUp
from supervm.common.parts.part import Part
from supervm.protocol.base.codec import encode
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.chain.edge import sign_edge_record
from supervm.protocol.wire.payments import EdgeRegistration

from .routes import Routes


class Registration(Part):
    """Tells every miner which account the edge's share goes to.

    Args:
        outbox: where the registration goes.
        routes: which peers are miners.
        key: the node key; it signs.
        chain_id: the network.
        payout: the account; None: the edge registers nothing and earns nothing.
    """

    sends = frozenset({EdgeRegistration})

    def __init__(
        self, outbox: Outbox, routes: Routes, key: SigningKey, *, chain_id: bytes, payout: bytes | None
    ) -> None:
        self._outbox = outbox
        self._routes = routes
        self._key = key
        self._chain_id = chain_id
        self._payout = payout
        self._message: EdgeRegistration | None = None

    def started(self, now_us: int) -> None:
        """Sign, with the time as counter: a restarted edge replaces its older record without keeping anything."""
        if self._payout is not None:
            record = sign_edge_record(self._key, self._chain_id, self._payout, now_us)
            self._message = EdgeRegistration(encode(record))

    def peer_up(self, now_us: int, event: PeerUp) -> None:
        """Register with a miner that comes."""
        if self._message is not None and self._routes.is_miner(event.peer, event.tier):
            self._outbox.send(event.peer, self._message)
