"""Edges: what they acknowledge is theirs to carry, and what they pass on is proved (decisions.md; network.md 7, N3)."""

from __future__ import annotations

from supervm.protocol.base.codec import decode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint
from supervm.protocol.money.transaction import parse_transaction
from supervm.protocol.state.trie_proof import decode_trie_proof, verify
from supervm.protocol.wire.payments import LEVEL_R0, LeafProofs, Status
from supervm.tier_l3_edge.tables import PENDING

from ..exact import Host, Sent
from .facts import BYTES_MAX, Facts


class EdgeWatch:
    """Watches what honest edges send.

    Args:
        facts: shared knowledge.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._signed: dict[bytes, tuple[bytes, bool]] = {}  # bytes of a transaction -> (its id, whether it is signed)

    def sent(self, event: Sent) -> None:
        """Look at a message that leaves an edge."""
        message = event.message
        if type(message) is Status:
            ids = [item.transaction_id for item in message.items if item.level == LEVEL_R0]
            if ids:
                self._acknowledged(event.sender, ids)
        elif type(message) is LeafProofs:
            self._passed_on(event.sender, message)

    def _acknowledged(self, host: Host, ids: list[bytes]) -> None:
        held: dict[bytes, bool] = {}
        for row in PENDING.rows(host.disk):
            raw = row.raw
            if raw not in self._signed:
                transaction = parse_transaction(raw, self._facts.chain_id)
                self._signed[raw] = (
                    transaction.id,
                    self._facts.world.verify(transaction.body.sender, transaction.id, transaction.body.signature),
                )
            name, signed = self._signed[raw]
            held[name] = signed
        for name in ids:
            if name not in held:
                self._facts.book.note("R0", f"{host.name} acknowledges {name.hex()[:16]}, which is not on its disk")
            elif not held[name]:
                self._facts.book.note("R0", f"{host.name} acknowledges {name.hex()[:16]}, which nobody signed")

    def _passed_on(self, host: Host, message: LeafProofs) -> None:
        try:
            checkpoint = decode(CertifiedCheckpoint, message.checkpoint, bytes_max=BYTES_MAX)
            root = checkpoint.header.state_root
            if not self._facts.genuine(checkpoint.certificate()):
                raise RemoteProtocolError(f"no quorum signed checkpoint {checkpoint.header.height}")
            for account, proof in message.proofs:
                verify(root, account, decode_trie_proof(proof))
        except RemoteProtocolError as error:
            self._facts.book.note("N3", f"{host.name} passes on what proves nothing: {error}")
