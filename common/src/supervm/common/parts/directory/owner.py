"""The owner's questions for nodes and peers, as a part beside the one that finds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from supervm.protocol.base.address import decode_node_id, encode_node_id
from supervm.protocol.base.errors import ProtocolError

from ...contract.core import Outbox
from ..part import Part
from ..peering import Peering
from ..reach.neighbours import Neighbours
from .directory import Directory
from .messages import FindNodes, ListPeers, node_document, wanted_of
from .table import Entry


class Lookup(Part):
    """Answers them.

    Args:
        outbox: where answers go.
        peering: knows who is up.
        neighbours: knows whom the node has chosen itself.
        directory: knows who there is.
    """

    answers = (FindNodes, ListPeers)

    def __init__(self, outbox: Outbox, peering: Peering, neighbours: Neighbours, directory: Directory) -> None:
        self._outbox, self._peering, self._neighbours, self._directory = outbox, peering, neighbours, directory

    def command(self, now_us: int, token: int, request: FindNodes | ListPeers) -> None:
        """Look for nodes, or list who is connected."""
        if isinstance(request, ListPeers):
            self._outbox.reply(token, [self._peer_document(peer) for peer in self._peering.up])
            return
        try:
            nodes = [decode_node_id(text) for text in request.nodes]
        except ProtocolError as error:
            self._outbox.refuse(token, f"this is no node id: {error}")
            return

        def tell(_at_us: int, entries: Sequence[Entry]) -> None:
            self._outbox.reply(token, [node_document(item.record, item.via, item.latency_ms) for item in entries])

        self._directory.find(now_us, nodes, wanted_of(request), request.limit, tell)

    def _peer_document(self, peer: bytes) -> dict[str, Any]:
        up, entry = self._peering.up[peer], self._directory.table.peek(peer)
        return {
            "node": encode_node_id(peer),
            "tier": up.tier,
            "address": up.address,
            "chosen": peer in self._neighbours.chosen,
            "load_percent": self._peering.loads.get(peer),
            "record": None if entry is None else node_document(entry.record, entry.via, entry.latency_ms),
        }
