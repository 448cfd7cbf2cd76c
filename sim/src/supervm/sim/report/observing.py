"""What a run is measured by: an observer of the engine that changes nothing and asks the cores nothing.

Theory of operation. The engine tells of every step, delivery and start. Heights and times come from the records that
honest validators persist (``headers``, ``blocks``, ``checkpoints``), sealing and certification of batches from the
events that miners publish; so R1, R3 and R4 of a batch are measured from the moment its miner sealed it:

* R1: its certificate is closed at the miner;
* R3: the median validator has executed the block that refers to it;
* R4: the median validator holds a certified checkpoint of that height or above.

The wait for the next proposal (`Batch.wait_us`) is the time between the certificate's arrival at the quorum and the
moment when the block was proposed; theory grants one quorum delay for it (consensus.md 3.1).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from supervm.common.contract.core import Persist, Publish, Reply, Send
from supervm.common.contract.events import Event
from supervm.common.contract.records import Put
from supervm.common.parts.events import Divergence, ForkEvidence
from supervm.common.parts.ledger_tables import HeaderRow
from supervm.protocol.base.codec import decode
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.checkpoint import CheckpointHeader
from supervm.protocol.wire.consensus import ProposalMessage
from supervm.tier_l1_super import events as l1
from supervm.tier_l1_super.tables import BlockRow, CheckpointRow
from supervm.tier_l2_miner import events as l2

from ..exact import Delivered, Deployment, HostStarted, HostStopped, Sent, Stepped


@dataclass(slots=True)
class Batch:
    """One sealed batch; times in virtual us, None while unknown."""

    miner: str
    region: int
    transactions: int
    sealed_us: int
    certified_us: int | None = None
    height: int | None = None


@dataclass(slots=True)
class Seen:
    """One height: the block and when each honest validator had executed and certified it."""

    refs: tuple[bytes, ...] = ()
    epoch: int = 0
    view: int = 0
    ts_ms: int = 0
    digest: bytes = b""
    executed_us: dict[str, int] = field(default_factory=dict)
    certified_us: dict[str, int] = field(default_factory=dict)
    roots: dict[bytes, None] = field(default_factory=dict)


class Recorder:
    """Watches one deployment.

    Args:
        deployment: what is simulated; the recorder attaches itself.
        honest: names of the nodes that are neither actors nor twins.
    """

    def __init__(self, deployment: Deployment, honest: dict[str, None]) -> None:
        self._honest = honest
        self.batches: dict[bytes, Batch] = {}
        self.heights: dict[int, Seen] = {}
        self.proposed_us: dict[bytes, int] = {}
        self.kinds: dict[str, list[int]] = {}
        self.flows: dict[tuple[int, int], int] = {}
        self.egress: Counter[str] = Counter()
        self.alarms: list[tuple[int, str, Event, str]] = []
        self.switches: list[tuple[int, str, str]] = []
        self.crashes = 0
        self.starts = 0
        self.questions: dict[tuple[str, int], int] = {}
        self.answers: list[tuple[int, int, bool]] = []
        self._certified: dict[str, int] = {}
        self._last_raw = b""
        world = deployment.world
        world.observe(self._delivered, Delivered)
        world.observe(self._sent, Sent)
        world.observe(self._stepped, Stepped, idle_steps=False)
        world.observe(self._switched, HostStopped, HostStarted)

    def ask(self, host: str, token: int, at_us: int) -> None:
        """Remember a balance question, so that its answer is timed."""
        self.questions[host, token] = at_us

    def _delivered(self, event: Delivered) -> None:
        size = len(event.frame)
        name = type(event.message).__name__
        row = self.kinds.get(name)
        if row is None:
            row = self.kinds[name] = [0, 0]
        row[0] += 1
        row[1] += size
        flow = (event.sender.place.region, event.receiver.place.region)
        self.flows[flow] = self.flows.get(flow, 0) + size

    def _sent(self, event: Sent) -> None:
        if event.sender.tier == 1:
            self.egress[event.sender.name] += len(event.frame)
            if type(event.message) is ProposalMessage:
                self._proposed(event.at_us, event.message.block)

    def _switched(self, event: HostStopped | HostStarted) -> None:
        if type(event) is HostStopped:
            self.crashes += event.crashed
            self.switches.append((event.at_us, event.host.name, f"off: {event.reason}"))
        else:
            self.starts += 1
            self.switches.append((event.at_us, event.host.name, "on"))

    def _stepped(self, event: Stepped) -> None:
        host = event.host
        tier = host.tier
        for effect in event.effects:
            if type(effect) is Send:
                continue  # seen when it leaves
            if isinstance(effect, Publish):
                self._published(event.at_us, host, effect.event)
            elif isinstance(effect, Persist):
                if tier == 1 and host.name in self._honest:
                    self._persisted(event.at_us, host.name, effect)
            elif isinstance(effect, Reply) and tier == 4:
                asked_us = self.questions.pop((host.name, effect.token), None)
                if asked_us is not None:
                    proved = isinstance(effect.value, dict) and bool(effect.value.get("proof_verified"))
                    self.answers.append((asked_us, event.at_us, proved))

    def _published(self, at_us: int, host: Any, event: Event) -> None:
        match event:
            case l2.Batch(digest, transactions):
                self.batches.setdefault(bytes.fromhex(digest), Batch(host.name, host.place.region, transactions, at_us))
            case l2.Certificate(digest):
                batch = self.batches.get(bytes.fromhex(digest))
                if batch is not None and batch.certified_us is None:
                    batch.certified_us = at_us
            case ForkEvidence(reason=text) | Divergence(text) | l1.Fork(text) | l1.Accusation(text):
                self._alarm(at_us, host.name, event, text)
            case l1.Solvency() | l2.Solvency():
                self._alarm(at_us, host.name, event, "")

    def _alarm(self, at_us: int, name: str, event: Event, text: str) -> None:
        if name in self._honest:
            self.alarms.append((at_us, name, event, text))

    def _persisted(self, at_us: int, name: str, effect: Persist) -> None:
        for record in effect.records:
            if type(record) is not Put:
                continue
            row = record.row
            if isinstance(row, HeaderRow):
                seen = self.heights.setdefault(row.height, Seen())
                if name not in seen.executed_us:
                    seen.executed_us[name] = at_us
                    seen.roots[decode(CheckpointHeader, row.checkpoint).hash] = None
            elif isinstance(row, BlockRow):
                self._block(row.height, row.block)
            elif isinstance(row, CheckpointRow):
                for newer in range(self._certified.get(name, 0) + 1, row.height + 1):
                    self.heights.setdefault(newer, Seen()).certified_us.setdefault(name, at_us)
                self._certified[name] = max(row.height, self._certified.get(name, 0))

    def _block(self, height: int, raw: bytes) -> None:
        seen = self.heights.setdefault(height, Seen())
        if seen.digest:
            return
        block = decode(Block, raw, bytes_max=8 << 20)
        header = block.header
        seen.digest, seen.epoch, seen.view, seen.ts_ms = block.hash, header.epoch, header.view, header.ts_ms
        seen.refs = tuple(ref.digest for ref in block.body.refs)
        for digest in seen.refs:
            batch = self.batches.get(digest)
            if batch is not None and batch.height is None:
                batch.height = height

    def _proposed(self, at_us: int, raw: bytes) -> None:
        if self._last_raw is raw:
            return  # the same proposal to the next validator
        self._last_raw = raw
        block = decode(Block, raw, bytes_max=8 << 20)
        self.proposed_us.setdefault(block.hash, at_us)
