"""Accusations: never of an honest node, always provable, and never for a crash (A1-A3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from supervm.protocol.base.address import decode_node_id
from supervm.protocol.base.codec import decode
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.chain.evidence import Culprit, Evidence, check_evidence, decode_evidence
from supervm.protocol.chain.validators import ValidatorSet
from supervm.protocol.light.forks import FORK_BYTES_MAX, CheckpointFork, check_fork

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
        if kind == "fork":
            self._fork(host, fields)
            return
        evidence = _read(fields)
        accused = self._accused(fields, facts.epochs.newest if evidence is None else evidence.epoch)
        if accused is None:
            facts.book.note("A2", f"{host.name} accuses nobody that exists: {dict(fields)!r:.200}")
            return
        self.seen[kind, accused.name] = None
        if facts.is_honest(accused):
            facts.book.note("A1", f"{host.name} accuses {accused.name} of {kind}, which is honest")
        if not facts.faulty:
            facts.book.note("A3", f"{host.name} accuses {accused.name} of {kind}, and nobody did wrong")
        try:
            if evidence is None:
                raise RemoteProtocolError("nobody can read it")
            proved = self._proved(evidence)
        except RemoteProtocolError as error:
            facts.book.note("A2", f"{host.name}'s evidence of {kind} against {accused.name} proves nothing: {error}")
            return
        miner = accused.node_id if "miner" in fields else None
        if (proved.kind, proved.validator, proved.miner) != (kind, fields.get("validator"), miner):
            facts.book.note("A2", f"{host.name}'s evidence of {kind} against {accused.name} proves {proved} instead")

    def _fork(self, host: Host, fields: Mapping[str, Any]) -> None:
        """Look at a fork that a phone, an edge or a miner has published: it accuses sets, and must prove itself too."""
        facts = self._facts
        try:
            fork = decode(CheckpointFork, bytes.fromhex(str(fields.get("evidence", ""))), bytes_max=FORK_BYTES_MAX)
            sets = [ValidatorSet(members.listed) for members in facts.epochs.members.values()]
            check_fork(fork, facts.chain.chain_id, sets, facts.chain.verify)
        except (RemoteProtocolError, ValueError) as error:
            facts.book.note("A2", f"{host.name}'s evidence of a fork proves nothing: {error}")
        else:
            facts.book.note("S8", f"{host.name} has proof that {fork.reason}")

    def _accused(self, fields: Mapping[str, Any], epoch: int) -> Host | None:
        facts = self._facts
        if isinstance(fields.get("validator"), int):
            return facts.signer(fields["validator"], epoch)
        try:
            return facts.world.hosts.get(decode_node_id(str(fields.get("miner", ""))))
        except LocalProtocolError:
            return None

    def _proved(self, evidence: Evidence) -> Culprit:
        """Return what evidence proves to somebody who has nothing but it and the epoch's validators (A2).

        Raises:
            RemoteProtocolError: nothing.
        """
        rules = self._facts.epochs.rules_of(evidence.epoch)
        if rules is None:
            raise RemoteProtocolError(f"there is no epoch {evidence.epoch}")
        return check_evidence(evidence, rules)


def _read(fields: Mapping[str, Any]) -> Evidence | None:
    try:
        return decode_evidence(bytes.fromhex(str(fields.get("evidence", ""))))
    except (RemoteProtocolError, ValueError):
        return None
