"""Where edges are paid: what each has registered over the link that only it can open (economics.md 1)."""

from __future__ import annotations

from typing import Final

from supervm.common.contract.core import PeerDown
from supervm.common.parts.part import Part
from supervm.protocol.chain.edge import read_edge_record
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.wire.payments import EdgeRegistration

REGISTER_US_MIN: Final = 1_000_000
"""Time between two records of one edge; an honest one sends one when it connects."""


class Edges(Part):
    """The accounts of the edges that are connected.

    Args:
        chain: the network.
    """

    takes = frozenset({EdgeRegistration})

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._edges: dict[bytes, tuple[int, bytes]] = {}
        self._registered_us: dict[bytes, int] = {}

    def payout_of(self, peer: bytes) -> bytes | None:
        """Return the account that an edge wants to be paid to; None if it has named none."""
        known = self._edges.get(peer)
        return None if known is None else known[1]

    def receive(self, now_us: int, peer: bytes, message: EdgeRegistration) -> None:
        """Note where an edge is paid, unless it has told us something newer already."""
        if not self._may_register(now_us, peer):
            return
        record = read_edge_record(message.record, self._chain.chain_id, peer, self._chain.verify)
        known = self._edges.get(peer)
        if known is None or known[0] <= record.counter:
            self._edges[peer] = (record.counter, record.payout)

    def _may_register(self, now_us: int, peer: bytes) -> bool:
        """Return whether an edge's record may be looked at: its signature is checked here and now, so not often."""
        earlier_us = self._registered_us.get(peer)
        if earlier_us is not None and now_us - earlier_us < REGISTER_US_MIN:
            return False
        self._registered_us[peer] = now_us
        return True

    def peer_down(self, now_us: int, event: PeerDown) -> None:
        """Forget a peer; what it submitted stays."""
        self._edges.pop(event.peer, None)
        self._registered_us.pop(event.peer, None)
