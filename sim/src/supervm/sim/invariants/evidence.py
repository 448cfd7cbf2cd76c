"""Accusations: never of an honest node, always provable, and never for a crash (A1-A3)."""

from __future__ import annotations

from msgspec import UNSET

from supervm.common.parts.events import ForkEvidence
from supervm.protocol.base.address import decode_node_id
from supervm.protocol.base.codec import decode
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.chain.evidence import Culprit, Evidence, check_evidence, decode_evidence
from supervm.protocol.chain.validators import ValidatorSet
from supervm.protocol.light.forks import FORK_BYTES_MAX, CheckpointFork, check_fork
from supervm.tier_l1_super.events import Accusation

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

    def accused(self, host: Host, event: Accusation) -> None:
        """Look at what an honest host, the accuser, has published."""
        facts, kind = self._facts, event.kind
        evidence = _read(event.evidence)
        accused = self._accused(event, facts.epochs.newest if evidence is None else evidence.epoch)
        if accused is None:
            facts.book.note("A2", f"{host.name} accuses nobody that exists: {event.fields!r:.200}")
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
        validator = None if event.validator is UNSET else event.validator
        miner = None if event.miner is UNSET else accused.node_id
        if (proved.kind, proved.validator, proved.miner) != (kind, validator, miner):
            facts.book.note("A2", f"{host.name}'s evidence of {kind} against {accused.name} proves {proved} instead")

    def forked(self, host: Host, event: ForkEvidence) -> None:
        """Look at a fork that a phone, an edge or a miner has published: it accuses sets, and must prove itself too."""
        facts = self._facts
        try:
            fork = decode(CheckpointFork, bytes.fromhex(event.evidence), bytes_max=FORK_BYTES_MAX)
            sets = [ValidatorSet(members.listed) for members in facts.epochs.members.values()]
            check_fork(fork, facts.chain.chain_id, sets, facts.chain.verify)
        except (RemoteProtocolError, ValueError) as error:
            facts.book.note("A2", f"{host.name}'s evidence of a fork proves nothing: {error}")
        else:
            facts.book.note("S8", f"{host.name} has proof that {fork.reason}")

    def _accused(self, event: Accusation, epoch: int) -> Host | None:
        facts = self._facts
        if event.validator is not UNSET:
            return facts.signer(event.validator, epoch)
        try:
            return None if event.miner is UNSET else facts.world.hosts.get(decode_node_id(event.miner))
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


def _read(evidence: str) -> Evidence | None:
    try:
        return decode_evidence(bytes.fromhex(evidence))
    except (RemoteProtocolError, ValueError):
        return None
