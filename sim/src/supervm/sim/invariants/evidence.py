"""Accusations: never of an honest node, always provable, and never for a crash (A1-A3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from supervm.protocol.errors import RemoteProtocolError
from supervm.protocol.evidence import Culprit, check_evidence, decode_evidence

from ..exact import Host
from .facts import Facts


class EvidenceWatch:
    """Watches what nodes publish as evidence.

    Args:
        facts: shared knowledge.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self.seen: dict[tuple[str, str], None] = {}
        """(kind, accused host) of all evidence so far."""

    def published(self, host: Host, fields: Mapping[str, Any]) -> None:
        """Look at evidence that an honest host has published.

        Args:
            host: the accuser.
            fields: of the event: `kind`, `validator` (index) or `miner` (node id), and `evidence`, the encoded object.
        """
        facts = self._facts
        kind = str(fields.get("kind"))
        accused = self._accused(fields)
        if accused is None:
            facts.book.note("A2", f"{host.name} accuses nobody that exists: {dict(fields)!r:.200}")
            return
        self.seen[kind, accused.name] = None
        if facts.is_honest(accused):
            facts.book.note("A1", f"{host.name} accuses {accused.name} of {kind}, which is honest")
        if not facts.faulty:
            facts.book.note("A3", f"{host.name} accuses {accused.name} of {kind}, and nobody did wrong")
        try:
            proved = self._proved(fields)
        except (RemoteProtocolError, ValueError) as error:
            facts.book.note("A2", f"{host.name}'s evidence of {kind} against {accused.name} proves nothing: {error}")
            return
        miner = accused.node_id if "miner" in fields else None
        if (proved.kind, proved.validator, proved.miner) != (kind, fields.get("validator"), miner):
            facts.book.note("A2", f"{host.name}'s evidence of {kind} against {accused.name} proves {proved} instead")

    def _accused(self, fields: Mapping[str, Any]) -> Host | None:
        facts = self._facts
        if isinstance(fields.get("validator"), int):
            index = fields["validator"]
            node_ids = facts.members.node_ids
            return facts.world.hosts[node_ids[index]] if 0 <= index < len(node_ids) else None
        try:
            return facts.world.hosts.get(bytes.fromhex(str(fields.get("miner", ""))))
        except ValueError:
            return None

    def _proved(self, fields: Mapping[str, Any]) -> Culprit:
        """Return what the object in the event proves to somebody who has nothing but it and the genesis (A2).

        Raises:
            RemoteProtocolError: nothing.
            ValueError: it is not hexadecimal.
        """
        evidence = decode_evidence(bytes.fromhex(str(fields.get("evidence", ""))))
        return check_evidence(evidence, self._facts.chain.rules)
