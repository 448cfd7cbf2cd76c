"""Accusations: never of an honest node, always provable, and never for a crash (A1-A3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from supervm.protocol.codec import decode
from supervm.protocol.errors import RemoteProtocolError
from supervm.protocol.votes import Vote, VoteKind

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
            fields: of the event: `kind`, `signer` (index of a validator) or `miner` (node id), and two votes.
        """
        facts = self._facts
        accused = self._accused(fields)
        if accused is None:
            facts.book.note("A2", f"{host.name} accuses nobody that exists: {dict(fields)!r:.200}")
            return
        kind = str(fields.get("kind"))
        self.seen[kind, accused.name] = None
        if facts.is_honest(accused):
            facts.book.note("A1", f"{host.name} accuses {accused.name} of {kind}, which is honest")
        if not facts.faulty:
            facts.book.note("A3", f"{host.name} accuses {accused.name} of {kind}, and nobody did wrong")
        if "first" in fields and not self._holds(kind, fields):
            facts.book.note("A2", f"{host.name}'s evidence of {kind} against {accused.name} proves nothing")

    def _accused(self, fields: Mapping[str, Any]) -> Host | None:
        facts = self._facts
        if isinstance(fields.get("signer"), int):
            index = fields["signer"]
            node_ids = facts.members.node_ids
            return facts.world.hosts[node_ids[index]] if 0 <= index < len(node_ids) else None
        try:
            return facts.world.hosts.get(bytes.fromhex(str(fields.get("miner", ""))))
        except ValueError:
            return None

    def _holds(self, kind: str, fields: Mapping[str, Any]) -> bool:
        """Return whether two votes prove it, by the library's signature check and nothing else (A2)."""
        if kind not in ("E1", "E2", "E3"):
            return True
        facts = self._facts
        try:
            one = decode(Vote, bytes.fromhex(fields["first"]))
            two = decode(Vote, bytes.fromhex(fields["second"]))
        except (RemoteProtocolError, ValueError, KeyError):
            return False
        same = (one.signer, one.epoch, one.number) == (two.signer, two.epoch, two.number)
        same = same and one.signer == fields["signer"]
        signed = all(
            facts.signed(vote.signer, facts.statement(vote.kind, vote.epoch, vote.number, vote.digest), vote.signature)
            for vote in (one, two)
        )
        kinds = (one.kind, two.kind)
        if kind == "E2":
            return same and signed and sorted(kinds) == [VoteKind.NULLIFY, VoteKind.FINALIZE]
        wanted = VoteKind.NOTARIZE if kind == "E1" else VoteKind.CHECKPOINT
        return same and signed and kinds == (wanted, wanted) and one.digest != two.digest
