"""The L1 node core: consensus, batch votes, execution and serving under one contract.

`ValidatorNode` composes the parts; every rule is in its part. One input goes to the part it concerns, the parts answer
into the shared outbox, and consensus effects are carried out at once until none is left, so that one step - and one
write - covers everything an input causes.

Two states keep most inputs from the parts: while the node listens whether its key votes elsewhere (`Listening`), and
while a snapshot takes the place of the state (`Swap`).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from supervm.common.contract.core import Durable, Input, PeerUp, Received, Tick, WorkDone, earliest
from supervm.common.contract.options import OptionValue
from supervm.common.contract.records import Append, Reader
from supervm.common.parts.ledger import Ledger, SupplyMismatch
from supervm.common.parts.ledger_tables import stored_number
from supervm.common.parts.manners import Rank
from supervm.common.parts.part import Part
from supervm.common.parts.reach.finders import FINDERS, finders
from supervm.common.parts.reach.own import OwnNode
from supervm.common.parts.shell import Clock, Questions, Shell
from supervm.common.parts.snapshot.offering import SnapshotOffers
from supervm.common.parts.snapshot.taking import SnapshotTaker
from supervm.common.parts.validator_changes import ChangeStore
from supervm.protocol.base.address import encode_node_id
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.base.keys import SigningKey, verify
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.chain.header import ChainRules
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.link import Heartbeat

from .batches.bodies import Bodies
from .batches.intake import BatchIntake
from .batches.pool import Pool
from .batches.slots import Slots
from .batches.voting import BatchVoter
from .budgets import BUDGETS
from .chain.advance import Advance, Following
from .chain.checkpoints import Divergence
from .chain.executor import Executor
from .chain.pruning import Pruning
from .chain.serving import Serving
from .chain.snapshots import Snapshots
from .chain.swap import Swap
from .chain.whereabouts import Whereabouts
from .consensus.accuse import Accuser
from .consensus.epoch_end import EpochEnd
from .consensus.guard import DoubleRun, DoubleRunGuard
from .consensus.host import Consensus
from .consensus.inbox import Inbox
from .consensus.listening import Listening
from .consensus.recall import NOTHING_HELD, Floors, FoundLog, Recalled, held_by, recall
from .consensus.requests import EpochRequests
from .consensus.seat import Seat
from .consensus.simplex import Simplex
from .consensus.simplex.promises import (
    BatchPromise,
    CheckpointPromise,
    ClosePromise,
    ConsensusPromise,
    encode_promise,
    epoch_of,
    view_of,
)
from .events import DatabaseOlderThanLog
from .ground import Ground
from .head import Head
from .messages import Info
from .more import MORE
from .options import blocks_kept
from .ranks import Ranks


@dataclass(frozen=True, slots=True)
class StartUp:
    """How an L1 comes up.

    Attributes:
        observer: True if the write-ahead log is lost or damaged: the node must not sign anything (2.8, amnesia).
        listen_us: how long to listen, before the first vote, whether the key votes elsewhere.
    """

    observer: bool = False
    listen_us: int = 0


FIRST_START: Final = StartUp()
"""With its log, and voting at once."""


class ValidatorNode(Shell):
    """One L1 node.

    Args:
        chain: the network.
        node_id: this node's id.
        key: the validator key, or None to only follow.
        reader: durable state, including the write-ahead log.
        targets: peers to dial, (node id or None, ``host:port``).
        rng: source of jitter.
        start: how the node comes up.
        values: the table ``[l1]`` as it was read, for parts of `MORE`.
        told: what the node says of itself, if it is in the directory, of which it is a root; None: it is not.

    Raises:
        WrongKeys: the key and the node are not those of one validator of this genesis.
        LocalProtocolError: the stored state is not this chain's; `SupplyMismatch` is one.
    """

    TIER = 1
    INFO = Info
    EVENTS = (*Shell.EVENTS, DatabaseOlderThanLog)
    FATAL = (Divergence, SupplyMismatch, DoubleRun)
    MORE = MORE
    PARTS: ClassVar[tuple[type[Part], ...]] = (
        Listening,
        Executor,
        Serving,
        EpochEnd,
        Consensus,
        Inbox,
        BatchIntake,
        Snapshots,
        Whereabouts,
        EpochRequests,
        Ranks,
        Pruning,
        Advance,
        *FINDERS[1],
    )

    def __init__(
        self,
        *,
        chain: Chain,
        node_id: bytes,
        key: SigningKey | None,
        reader: Reader,
        targets: Sequence[tuple[bytes | None, str]],
        rng: random.Random,
        start: StartUp = FIRST_START,
        values: Mapping[str, OptionValue] | None = None,
        told: OwnNode | None = None,
    ) -> None:
        super().__init__(
            targets=targets,
            rng=rng,
            budgets=BUDGETS,
            name=encode_node_id,
            drift_ms=chain.parameters.clock_drift_ms,
            reader=reader,
            values=values,
        )
        self.chain, self.node_id, self.chain_id = chain, node_id, chain.chain_id
        self.ledger = ledger = Ledger(chain, reader)
        rules = _consensus_rules(chain, reader, ledger)
        recalled = Recalled((), "", None) if start.observer else recall(reader, ledger, rules.epoch)
        if recalled.doubt:  # it was restored, and what this node promised since nobody knows
            self.outbox.publish(DatabaseOlderThanLog(recalled.doubt))
        self.seat = Seat(node_id, key, rules, amnesia=start.observer or bool(recalled.doubt))
        held = held_by(reader, ledger)
        if key is not None and not self.seat.amnesia and recalled.floor is None and held != NOTHING_HELD:
            # written before there were floors: what it lacks rests at most on what the tables hold now
            self.outbox.persist(Append(encode_promise(held)))
        self.accuser = Accuser(self.seat, self.outbox)
        ground = Ground(chain, self.seat, ledger, reader, self.outbox, self.peering, self.manners, self.accuser, Head())
        kept = blocks_kept(values or {}, has_key=key is not None)
        found = () if told is None else finders(self, told, verify, rng)
        self.compose([*self._parts(ground, recalled, start.listen_us, kept), *found])

    def _parts(self, ground: Ground, recalled: Recalled, listen_us: int, kept: int | None) -> list[Part]:
        """Make the parts, in the order in which they tick."""
        chain, ledger, reader, epoch = self.chain, self.ledger, ground.reader, self.seat.rules.epoch
        floors = Floors(ledger, lambda: ground.head.tip, lambda: self.executor.tally.height, recalled.floor)
        log = FoundLog(recalled.promises, floors)
        self.slots = slots = Slots(ledger.state, chain.parameters, executed_ts_ms=ledger.block_header.ts_ms)
        self.pool = Pool(ledger.state, self.seat)
        self.voter = BatchVoter(ground, slots, self.pool, log.of_kind(BatchPromise), floors.news)
        self.bodies = Bodies(reader, self.outbox)
        self.executor = Executor(ground, self.pool, slots, self.bodies, log.of_kind(CheckpointPromise))
        self.serving = Serving(ground, self.pool, lambda digest: self.consensus.unfinished(digest))
        closed = any(promise.epoch == epoch for promise in log.of_kind(ClosePromise))
        self.epoch_end = EpochEnd(ground, promised=closed)
        self.consensus = Consensus(
            ground,
            self.pool,
            self.voter,
            self.executor,
            self.serving,
            self.epoch_end,
            log,
            lambda: self.whereabouts.ask_anyone(),
        )
        self.changes = changes = ChangeStore(reader, self.outbox)
        self.offers = SnapshotOffers(
            self.outbox,
            lambda at_us, peer, size: self.manners.answered(at_us, peer, "history", size),
            lambda: ground.head.written,
        )
        self.snapshot = SnapshotTaker(
            chain, self.outbox, reader, changes, lambda: sorted(self.peering.of_tier(1)), ground.head.tip
        )
        self.whereabouts = Whereabouts(
            ground, self.executor, self.snapshot, self.consensus, self.epoch_end, lambda: self._listening.is_on
        )
        pruning = Pruning(ground, self.executor, self.offers, kept)
        self._swap = Swap(ground, slots, self.executor, self.serving, self.snapshot, self.offers, pruning)
        self._inbox = Inbox(ground, self.consensus, self.epoch_end, self.executor, self.whereabouts)
        intake = BatchIntake(
            ground, self.voter, self.pool, slots, self.bodies, self.executor, self.consensus, self._inbox.is_early
        )
        self._ranks = Ranks(ground, self.epoch_end)
        self._requests = EpochRequests(ground, self.epoch_end, self._ranks, self.info)
        self.advance = Advance(
            ground,
            Following(
                slots,
                self.pool,
                self.voter,
                self.executor,
                self.serving,
                self.epoch_end,
                self.consensus,
                self.whereabouts,
                self._inbox,
                self._ranks,
                self.offers,
                changes,
                self._swap,
            ),
            self.take,
        )
        self._listening = Listening(self._guard(log, listen_us), listen_us, self.advance.begin)
        self._clock = Clock(self.clock, lambda: (ledger.height, ledger.header.ts_ms))
        return [
            self._requests,
            self.links,
            self._clock,
            self.advance,
            self._listening,
            Questions(self),
            self.executor,
            self.serving,
            self.epoch_end,
            self.consensus,
            self._inbox,
            intake,
            Snapshots(ground, self.snapshot, self.offers, changes, self._swap),
            self.whereabouts,
            self._ranks,
            pruning,
        ]

    def _guard(self, log: FoundLog, listen_us: int) -> DoubleRunGuard | None:
        """Return what watches for another process with our key; None if there is nothing to watch for."""
        rules, index = self.seat.rules, self.seat.index
        if index is None or not listen_us:
            return None
        views = [
            view_of(promise)
            for promise in log.promises
            if isinstance(promise, ConsensusPromise) and epoch_of(promise) == rules.epoch
        ]
        return DoubleRunGuard(rules, index, max([*views, self.simplex.final.view]))

    # --- the contract -------------------------------------------------------------------------------------------------

    @property
    def deadline_us(self) -> int | None:
        """When the node wants a `Tick`."""
        if self._swap.is_under_way:
            return self.links.deadline_us
        if self._listening.is_on:  # the parts have their turn when it is over
            return earliest(self.links.deadline_us, self._listening.deadline_us)
        return self.first_deadline_us()

    def handle(self, now_us: int, event: Input) -> None:
        """Hand an input to whom it concerns; while the state is being swapped nothing but links and commands go on."""
        if self._swap.is_under_way and isinstance(event, Received | WorkDone | Durable | Tick):
            adopted = self._swap.wait(now_us, event)
            if adopted is not None:
                self.advance.certified(now_us, adopted)
            return
        Shell.handle(self, now_us, event)  # not super(): this is on the path of every message
        if not self._swap.is_under_way and not self._listening.is_on:
            self.consensus.look_again(now_us)

    def tick(self, now_us: int) -> None:
        """Let time pass: for all parts, or for those that listen."""
        if not self._listening.is_on:
            super().tick(now_us)
            return
        for part in (self.links, self._clock, self._listening):
            part.tick(now_us)

    def take(self, now_us: int, peer: bytes, message: Message) -> None:
        """Give a message to the parts that take its kind; while the node listens, to whom listens."""
        if not self._listening.is_on:
            Shell.take(self, now_us, peer, message)
            return
        self._listening.hear(message)
        if isinstance(message, Heartbeat):
            self.links.receive(now_us, peer, message)

    def rank(self, event: PeerUp) -> Rank:
        """Return what a peer that comes is to this node."""
        return self._ranks.of_new(event)

    # --- for the owner ------------------------------------------------------------------------------------------------

    @property
    def index(self) -> int | None:
        """This node's index in the present epoch's set, None without a seat."""
        return self.seat.index

    @property
    def simplex(self) -> Simplex:
        """The consensus instance of the present epoch."""
        return self.consensus.simplex

    def about_seat(self) -> dict[str, object]:
        """Return what the line ``ready`` says of the seat."""
        return self._requests.about_seat()

    @property
    def height(self) -> int:
        """The newest block that is executed here."""
        return self.ledger.height


def _consensus_rules(chain: Chain, reader: Reader, ledger: Ledger) -> ChainRules:
    """Return the rules of the epoch that consensus stands in: an epoch begins when its root is certified."""
    if stored_number(reader, "certified_height") >= ledger.rules.root_height:
        return ledger.rules
    record = ledger.epoch_record(ledger.epoch.number - 1)
    if record is None:
        raise LocalProtocolError(f"the database holds nothing of epoch {ledger.epoch.number - 1}")
    return chain.rules_of(record)
