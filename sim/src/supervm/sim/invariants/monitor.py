"""The monitor: takes every event of a world, gives it to the watchers, keeps the book.

It changes nothing and asks the cores nothing that they could notice. Attached or not, a run has the same digest.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from supervm.common.contract.core import Publish
from supervm.common.contract.events import Event
from supervm.common.parts.events import ForkEvidence
from supervm.protocol.chain.votes import Certificate, VoteKind
from supervm.tier_l1_super import events as l1
from supervm.tier_l1_super.events import Accusation
from supervm.tier_l2_miner import events as l2

from ..exact import Delivered, Deployment, Host, HostStarted, HostStopped, Persisted, Sent, Stepped
from .accusations import AccusationWatch
from .costs import CostWatch
from .edges import EdgeWatch
from .evidence import EvidenceWatch
from .execution import ExecutionWatch
from .facts import Facts
from .finality import Finality
from .forensics import Verdict, accuse
from .liveness import LivenessWatch
from .promises import PromiseWatch
from .queues import QueueWatch
from .reference import Reference
from .slots import SlotWatch
from .support import SupportWatch
from .violation import Book, Violation
from .wallets import WalletWatch


class Monitor:
    """Watches a deployment; attach it before anything is started.

    Args:
        deployment: what is watched.

    Attributes:
        facts: what is known: blocks, batches, who is honest.
        violations: what was broken, in the order it was found.
    """

    def __init__(self, deployment: Deployment) -> None:
        self.book = Book()
        self.facts = Facts(deployment, self.book)
        self.finality = Finality(self.facts)
        self.slots = SlotWatch(self.facts)
        self.reference = Reference(self.facts)
        self.promises = PromiseWatch(self.facts, self.finality, self.slots)
        self.execution = ExecutionWatch(self.facts, self.finality, self.reference)
        self.support = SupportWatch(self.facts)
        self.queues = QueueWatch(self.facts)
        self.wallets = WalletWatch(self.facts, self.reference, self.queues)
        self.edges = EdgeWatch(self.facts)
        self.liveness = LivenessWatch(self.facts, self.finality, self.reference)
        self.evidence = EvidenceWatch(self.facts)
        self.costs = CostWatch(self.facts)
        self.accusations = AccusationWatch(self.facts, self.evidence, self.promises)
        self._world = deployment.world
        self._world.observe(self._on)

    @property
    def violations(self) -> list[Violation]:
        """What was broken so far."""
        return self.book.violations

    @property
    def broken(self) -> bool:
        """Whether anything was."""
        return bool(self.book.violations)

    def mark_faulty(self, name: str, why: str) -> None:
        """From now on a host may do anything: its disk has lied, say, or it runs a backup."""
        self.facts.faulty[name] = why

    def calm(self, core: Iterable[str]) -> None:
        """From now on the network is kind and only these hosts are on: progress is demanded."""
        self.book.now_us = self._world.now_us
        self.liveness.calm(core)

    def sample(self) -> None:
        """Look at progress and bounds; to be called once a second of virtual time."""
        self.book.now_us = self._world.now_us
        self.liveness.sample()
        self.execution.sample()

    def finish(self, *, settled: bool = True) -> list[Violation]:
        """Look at the end of a run; return all violations.

        Args:
            settled: whether there was a calm time in which everything had to come to its end.
        """
        self.book.now_us = self._world.now_us
        self.execution.finish()
        self.accusations.finish()
        self.wallets.finish(settled=settled)
        self.liveness.finish(settled=settled)
        return self.violations

    def accuse(self, first: Certificate, second: Certificate) -> Verdict | None:
        """Name the culprits of a fork, and note if that names an honest node or too few (A1)."""
        facts = self.facts
        verdict = accuse(first, second, facts.blocks, self.finality.signers, facts.genuine)
        if verdict is not None:
            honest = [index for index in verdict.culprits if facts.honest_index(index, first.epoch)]
            if honest:
                facts.book.note("A1", f"forensics name validators {honest}, which are honest ({verdict.why})")
            members = facts.epochs.members[first.epoch]
            if members.weight_of(verdict.culprits) < members.witness:
                facts.book.note("A1", f"forensics name only {verdict.culprits} ({verdict.why})")
        return verdict

    def fork(self) -> tuple[Certificate, Certificate] | None:
        """Return two conflicting finalizations without signatures, if all signatures together contain them."""
        final = [
            (number, epoch, digest)
            for (kind, epoch, number), digest in self.finality.certified.items()
            if kind is VoteKind.FINALIZE
        ]
        for number, epoch, digest in sorted(final):
            block = self.facts.blocks.get(digest)
            held = None if block is None else self.facts.final.get(block.header.height)
            if block is not None and held is not None and held != digest:
                other = self._finalization_above(held, epoch)
                if other is not None:
                    return self._certificate(epoch, number, digest), other
        return None

    def _finalization_above(self, digest: bytes, within: int) -> Certificate | None:
        """Return the finalization, made in this epoch, of a block or of a descendant of it."""
        for (kind, epoch, number), final in sorted(self.finality.certified.items()):
            if kind is not VoteKind.FINALIZE or epoch != within:
                continue
            name = final
            while (block := self.facts.blocks.get(name)) is not None:
                if name == digest:
                    return self._certificate(epoch, number, final)
                name = block.header.parent_hash
        return None

    def _certificate(self, epoch: int, number: int, digest: bytes) -> Certificate:
        signers = self.finality.signers(VoteKind.FINALIZE, epoch, number, digest)
        return Certificate(1, VoteKind.FINALIZE, epoch, number, digest, tuple((index, bytes(64)) for index in signers))

    # --- events -------------------------------------------------------------------------------------------------------

    def _on(self, event: Any) -> None:
        kind = type(event)
        if kind is Sent:
            self.book.now_us = event.at_us
            self.liveness.sent(event)
            tier = event.sender.tier
            if tier == 4:
                if self.facts.is_honest(event.sender):
                    self.wallets.sent(event)
            else:
                self.promises.sent(event)
                if tier == 3 and self.facts.is_honest(event.sender):
                    self.edges.sent(event)
        elif kind is Delivered:
            if event.receiver.tier == 1 and self.facts.is_honest(event.receiver):
                self.accusations.delivered(event)
        elif kind is Persisted:
            self.book.now_us = event.at_us
            tier = event.host.tier
            if tier <= 2:
                self.execution.persisted(event)  # first: a write may end an epoch and hold votes of the next
                self.liveness.persisted(event)
            if tier == 1:
                self.promises.persisted(event)
            if tier == 4 and self.facts.is_honest(event.host):
                self.wallets.persisted(event)
        elif kind is Stepped:
            self.book.now_us = event.at_us
            self._stepped(event)
        elif kind is HostStarted:
            self.book.now_us = event.at_us
            self.costs.started(event.host)
            if event.host.tier == 1:
                self.promises.started(event.host)
                self.support.started(event.host)
            if event.host.tier <= 2:
                self.execution.started(event.host)
            elif event.host.tier == 4 and self.facts.is_honest(event.host):
                self.wallets.started(event.host)
                self.queues.started(event.host)
        elif kind is HostStopped:
            self.book.now_us = event.at_us
            if event.reason.startswith("halted") and self.facts.is_honest(event.host):
                self.book.note("HALT", f"{event.host.name} {event.reason}")

    def _stepped(self, event: Stepped) -> None:
        self.costs.stepped(event)
        host = event.host
        if host.tier == 4:
            if self.facts.is_honest(host):
                self.wallets.stepped(event)
                self.queues.stepped(event)
            return
        if host.tier == 1 and self.facts.is_honest(host):
            self.promises.stepped(event)
            self.support.stepped(event)
        if host.tier <= 2:
            for effect in event.effects:
                if type(effect) is Publish:
                    self._published(host, effect.event)

    def _published(self, host: Host, event: Event) -> None:
        if not self.facts.is_honest(host):
            return
        match event:
            case Accusation():
                self.evidence.accused(host, event)
            case ForkEvidence():
                self.evidence.forked(host, event)
            case l1.Solvency(transaction):
                self.book.note("S13", f"{host.name} raises the alarm for {transaction[:16]}")
            case l2.Solvency(height, transactions):
                self.book.note(
                    "S13", f"{host.name} raises the alarm for {transactions} transactions of height {height}"
                )
