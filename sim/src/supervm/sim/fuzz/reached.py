"""Sometimes-assertions: states that fuzzing must reach in some run, counted run by run (simulation.md 3)."""

from __future__ import annotations

from typing import Any, Final

from supervm.common.contract.core import Publish
from supervm.common.contract.events import Event
from supervm.common.contract.records import Append
from supervm.common.parts.events import PeerFault
from supervm.protocol.base.codec import decode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.chain.batch_certificate import BatchCertificate
from supervm.protocol.chain.votes import VoteKind
from supervm.protocol.wire.chain import BatchCertificateMessage, BlocksMessage
from supervm.protocol.wire.consensus import ProposalMessage
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.payments import Submit
from supervm.tier_l1_super.consensus.simplex.promises import NotarizePromise, NullifyPromise, decode_promise
from supervm.tier_l1_super.events import Accusation, Conflict
from supervm.tier_l1_super.node import ValidatorNode
from supervm.tier_l2_miner.events import Certificate

from ..errors import SimulationError
from ..exact import Delivered, Deployment, HostStarted, HostStopped, Persisted, Sent, Stepped
from ..invariants import Monitor

STATES: Final = {
    "leader-crashed-between-persist-and-send": "a leader's own block was durable and it crashed before sending it",
    "certificate-after-expiry": "a batch certificate arrived after all of its transactions had expired",
    "all-validators-down": "no validator was on",
    "equivocation-seen": "evidence of two blocks in one view (E1) was published",
    "contradiction-seen": "evidence of Nullify and Finalize (E2) was published",
    "unjustified-block-seen": "evidence of a block without proof of its place (E6) was published",
    "bad-batch-seen": "evidence of a bad sender's signature in a batch (E7) was published",
    "database-restored": "a validator started with an older database beside its log",
    "observer-entered": "a validator started without its log, as an observer",
    "l2-failover": "an edge sent transactions to another miner than before",
    "l3-failover": "a phone sent transactions to another edge than before",
    "rebatched-after-split-votes": "a batch was closed with transactions that lacked a quorum",
    "conflict-refused": "a validator met a second transaction for a slot",
    "view-nullified": "a view was nullified",
    "gap-proposed": "a block was proposed over nullified views",
    "nullified-then-notarized": "a validator wrote down Nullify of a view that was notarized all the same",
    "caught-up-by-chain": "a validator was sent finalized blocks",
    "torn-write": "a crash caught a write between its tables and its log",
    "kept-write": "a crash caught a write that was on the medium and not told",
    "disk-full": "a node stopped for want of space",
    "crash-at-every-boundary": "a crash was set off at a boundary of persist, durable or send",
    "failure-free": "no class of faults was on",
    "restart-with-own-votes": "a validator came back with votes above the last finalized view",
    "payment-executed": "a payment reached R4",
    "payment-expired": "a payment expired",
    "payment-refused": "a payment was refused",
    "payment-asked-twice": "an owner asked again under the same name",
    "receipt-awaited": "a payment's receipt had to tell",
    "liar-hung-up": "a peer was hung up on for what it sent",
    "stale-answer-refused": "a phone refused an edge's answer",
    "noise-heard": "nodes were told what no program of ours would say",
    "quorum-core-bare": "a bare quorum was left on at the end",
    "slot-filled-again": "a slot was asked for again after its payment had expired or lost a race",
    "faulty-kept-on": "a faulty validator stayed on at the end",
}
"""Name -> what it means."""
_SEEN: Final = {
    "E1": "equivocation-seen",
    "E2": "contradiction-seen",
    "E6": "unjustified-block-seen",
    "E7": "bad-batch-seen",
}
"""Kind of evidence -> the state that it shows."""


class ReachedWatch:
    """Counts how often the states were reached in one run.

    Args:
        deployment: what is watched.
        monitor: knows what is certified.
    """

    def __init__(self, deployment: Deployment, monitor: Monitor) -> None:
        self.counts: dict[str, int] = {}
        self._world, self._monitor = deployment.world, monitor
        self._chain = deployment.chain
        self._unsent: dict[str, int] = {}
        self._uplink: dict[str, str] = {}
        self._nullified: dict[int, None] = {}
        self._validators = [self._world.hosts[node.public] for node in deployment.l1]
        self._expiry: dict[bytes, int | None] = {}
        self._last: Message | None = None
        self._world.observe(self._on)

    def note(self, name: str) -> None:
        """Count a state.

        Raises:
            SimulationError: `STATES` has none of that name.
        """
        if name not in STATES:
            raise SimulationError(f"there is no state {name!r} to be reached")
        self.counts[name] = self.counts.get(name, 0) + 1

    def _on(self, event: Any) -> None:
        kind = type(event)
        if kind is Sent:
            self._sent(event)
        elif kind is Delivered:
            if type(event.message) is BatchCertificateMessage and event.receiver.tier == 1:
                self._certificate(event)
            elif type(event.message) is BlocksMessage and event.receiver.tier == 1:
                self.note("caught-up-by-chain")
        elif kind is Stepped:
            for effect in event.effects:
                if type(effect) is Publish:
                    self._published(event.host.tier, effect.event)
        elif kind is Persisted:
            if event.host.tier == 1:
                self._persisted(event)
        elif kind is HostStopped:
            self._stopped(event)
        elif kind is HostStarted:
            self._started(event)

    def _sent(self, event: Sent) -> None:
        message = event.message
        if message is self._last:
            return
        self._last = message
        name = event.sender.name
        if type(message) is ProposalMessage:
            self._unsent.pop(name, None)
            block = self._monitor.facts.block(message.block)
            if block is not None and block.just.nullifications:
                self.note("gap-proposed")
        elif type(message) is Submit:
            before = self._uplink.get(name)
            if before is not None and before != event.receiver.name:
                self.note("l2-failover" if event.sender.tier == 3 else "l3-failover")
            self._uplink[name] = event.receiver.name

    def _certificate(self, event: Delivered) -> None:
        core = event.receiver.core
        message = event.message
        if not isinstance(core, ValidatorNode) or not isinstance(message, BatchCertificateMessage):
            return
        raw = message.certificate
        if raw not in self._expiry:
            self._expiry[raw] = None
            try:
                digest = decode(BatchCertificate, raw, bytes_max=1 << 20).header.digest
            except RemoteProtocolError:
                return
            batch = self._monitor.facts.batches.get(digest)
            if batch is not None:
                self._expiry[raw] = max(item.body.valid_until_ms for item in batch.transactions)
        until_ms = self._expiry[raw]
        if until_ms is not None and until_ms < core.ledger.block_header.ts_ms:
            self.note("certificate-after-expiry")

    def _published(self, tier: int, event: Event) -> None:
        match event:
            case Accusation(kind):
                if kind in _SEEN:
                    self.note(_SEEN[kind])
            case Certificate(certified=certified, transactions=transactions):
                if certified != transactions:
                    self.note("rebatched-after-split-votes")
            case Conflict():
                self.note("conflict-refused")
            case PeerFault(penalty=penalty):
                if penalty >= 50:
                    self.note("liar-hung-up")
                if tier == 4:
                    self.note("stale-answer-refused")

    def _persisted(self, event: Persisted) -> None:
        facts = self._monitor.facts
        for record in event.records:
            if type(record) is not Append:
                continue
            tag = record.payload[2:4]
            if tag == b"w1":
                promise = decode_promise(record.payload)
                if isinstance(promise, NotarizePromise) and any(
                    block.header.proposer == facts.index_of(event.host, promise.epoch) for block in promise.block
                ):
                    self._unsent[event.host.name] = promise.view
            elif tag == b"w2":
                promise = decode_promise(record.payload)
                if isinstance(promise, NullifyPromise):
                    self._nullified[promise.view] = None

    def _stopped(self, event: HostStopped) -> None:
        name = event.host.name
        if event.crashed and self._unsent.pop(name, None) is not None:
            self.note("leader-crashed-between-persist-and-send")
        if all(host.core is None for host in self._validators):
            self.note("all-validators-down")
        if event.reason.startswith("storage-failed"):
            self.note("disk-full")
        if event.reason.startswith("crash "):
            self.note("crash-at-every-boundary")

    def _started(self, event: HostStarted) -> None:
        host = event.host
        if host.tier == 1 and host.disk.tables_old:
            self.note("database-restored")
        if host.tier == 1 and host.disk.log_lost:
            self.note("observer-entered")
        if host.tier == 1 and host.life > 2 and host.disk.log():
            self.note("restart-with-own-votes")

    def finish(self) -> dict[str, int]:
        """Add what is seen only at the end; return all counts by name."""
        certified = self._monitor.finality.certified
        if any(kind is VoteKind.NULLIFY for kind, _, _ in certified):
            self.note("view-nullified")
        if any((VoteKind.NOTARIZE, 0, view) in certified for view in self._nullified):
            self.note("nullified-then-notarized")
        for choice in self._world.choices.recorded:
            if choice.kind == "crash-write":
                self.note("torn-write" if choice.value == 1 else "kept-write")
        for (_, _), (status, _) in self._monitor.wallets.fates.items():
            name = {"R4": "payment-executed", "expired": "payment-expired", "refused": "payment-refused"}.get(status)
            if name is not None:
                self.note(name)
        return dict(sorted(self.counts.items()))
