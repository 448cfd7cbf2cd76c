"""The shell of a node core: it owns what every node has, and hands each input to the part that declared it.

Theory of operation. A node is a shell and an ordered list of parts (`part`). The shell has the outbox, the links
(`peering`), the peers' budgets and blame (`manners`), the look at the clock, halting, and the owner's `info`. One input
goes to the part or parts that declared it; then every part settles, in the order of the list, and what they have said
leaves as the effects of one step, under one write.

Order is part of a node's behaviour, so it is the node that gives it: parts start, tick, hear of peers and settle in the
order of the list. `Links` and `Clock` are parts, too, because where in that order a node dials and looks at its clock
is its own business.

A message is first a sign of life, then charged to its sender, then looked at: what a peer may cost is decided before
any work. A `RemoteProtocolError` of a part is the peer's fault and is blamed on it; an error of the kinds that a node
calls fatal stops it for good.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MethodType
from typing import Any, ClassVar

import msgspec

from supervm.protocol.base.address import encode_node_id
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.link import Goodbye, Heartbeat
from supervm.protocol.wire.subject import STANDARD, Subject, Wire

from ..contract.core import (
    Command,
    Core,
    DialFailed,
    Durable,
    Effect,
    Input,
    Outbox,
    PeerDown,
    PeerMoved,
    PeerUp,
    Received,
    Sensed,
    Started,
    Tick,
    WorkDone,
)
from ..contract.events import Event
from ..contract.info import InfoHead
from ..contract.options import OptionSpec, OptionValue, one_table
from ..contract.records import Reader
from ..contract.tables import AnyTable
from . import events as said
from .chain_clock import ClockWatch
from .costs import COSTS
from .manners import GRAVE, Budget, Manners, Rank
from .part import Part
from .participation import TakingPart
from .peering import Peering
from .policy.policy import OPEN, Policy

Receive = Callable[[int, bytes, Any], None]


class Links(Part):
    """Dialling, heartbeats and good-byes, as a part: `peering` at its place in a node's order."""

    takes = frozenset({Heartbeat, Goodbye})
    sends = frozenset({Heartbeat, Goodbye})
    events = (said.Goodbye, said.NodeKeyInUse)

    def __init__(self, peering: Peering, outbox: Outbox, name: Callable[[bytes], str]) -> None:
        self._peering, self._outbox, self._name = peering, outbox, name

    @property
    def deadline_us(self) -> int | None:
        """When somebody is to be dialled, greeted or given up."""
        return self._peering.deadline_us

    def tick(self, now_us: int) -> None:
        """Dial, send heartbeats, hang up on the silent."""
        self._peering.tick(now_us)

    def receive(self, now_us: int, peer: bytes, message: Heartbeat | Goodbye) -> None:
        """Note a peer's load, or why it leaves."""
        match message:
            case Heartbeat():
                self._peering.heartbeat(peer, message)
            case Goodbye(code, reason):
                self._outbox.publish(said.Goodbye(self._name(peer), code, reason))

    def problems(self, now_us: int) -> Iterable[str]:
        """Return what keeps links from coming up."""
        return self._peering.problems(now_us)


class Clock(Part):
    """The look at this machine's clock, as a part.

    Args:
        watch: compares.
        newest: returns height and time in ms of the newest block that this node knows.
    """

    events = (said.ClockBehind, said.ClockInStep)

    def __init__(self, watch: ClockWatch, newest: Callable[[], tuple[int, int]]) -> None:
        self._watch, self._newest = watch, newest

    def tick(self, now_us: int) -> None:
        """Compare the newest block's time with the clock."""
        self._watch.look(now_us, *self._newest())

    def problems(self, now_us: int) -> Iterable[str]:
        """Return what is wrong with the clock."""
        self.tick(now_us)
        problem = self._watch.problem(now_us)
        return () if problem is None else (problem,)


class Questions(Part):
    """Questions for history that wait until whoever asks can pay for them (`manners`), as a part.

    Args:
        shell: whose peers ask, and who takes the questions.
    """

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    @property
    def deadline_us(self) -> int | None:
        """When the first of them can be paid for."""
        manners = self._shell.manners
        return manners.deadline_us if manners.waiting else None

    def tick(self, now_us: int) -> None:
        """Take those that can be paid for now."""
        for peer, message in self._shell.manners.due(now_us):
            self._shell.take(now_us, peer, message)


class Shell:
    """A node core without its subjects (`supervm.common.contract.core.Core`).

    Args:
        targets: peers to stay connected to, (node id or None, address); `peering` takes more of them later.
        rng: jitter of the dials.
        budgets: what peers of each rank may cost.
        name: how a node id is written in events.
        grave: points of a single fault that end a connection at once.
        drift_ms: how far ahead of our clock a block's time may be.
        reader: durable state to start from, for parts of `MORE`.
        values: the tier's configuration table as it was read, for them, too.

    Attributes:
        PARTS: the kinds of parts that the node composes: what it declares to the outside follows from them.
        MORE: kinds of parts that need nothing but the shell to be made; they come last in the order.
        TIER: 1 to 4.
        INFO: kind of the owner's request that `info` answers.
        EVENTS: what the shell itself publishes, and a node while it is made.
        FATAL: kinds of errors that stop the node for good.
        node_id: who the node is; the node's class says so, and `chain_id`.
        chain_id: of its network.
    """

    node_id: bytes
    chain_id: bytes

    PARTS: ClassVar[tuple[type[Part], ...]] = ()
    MORE: ClassVar[tuple[Callable[[Shell], Part], ...]] = ()
    TIER: ClassVar[int] = 0
    INFO: ClassVar[type[msgspec.Struct]]
    EVENTS: ClassVar[tuple[type[Event], ...]] = (said.Divergence, said.PeerFault, said.PolicyDecision, said.Throttled)
    FATAL: ClassVar[tuple[type[Exception], ...]] = ()

    def __init__(
        self,
        *,
        targets: Iterable[tuple[bytes | None, str]],
        rng: random.Random,
        budgets: Mapping[Rank, Budget],
        name: Callable[[bytes], str] = bytes.hex,
        grave: int = GRAVE,
        drift_ms: int | None = None,
        reader: Reader | None = None,
        values: Mapping[str, OptionValue] | None = None,
    ) -> None:
        self.outbox = Outbox()
        self.reader = reader
        self.values = values or {}
        self.peering = Peering(self.outbox, targets, rng)
        costs = dict(COSTS)
        for kind in self.kinds_of_parts():
            costs.update(kind.costs)
        self.manners = Manners(self.outbox, budgets, name=name, grave=grave, costs=costs)
        self.clock = ClockWatch(self.outbox) if drift_ms is None else ClockWatch(self.outbox, drift_ms=drift_ms)
        self.links = Links(self.peering, self.outbox, name)
        self.taking_part = TakingPart()
        """What the node does for others."""
        self.policy = OPEN
        """What the owner allows."""
        self.parts: tuple[Part, ...] = ()
        self.wire = STANDARD
        """What the node can read: as `declared_wire`, for those of its kinds of parts that it has."""
        self._halted = False
        self._now_us = 0
        self._name = name

    # --- what the node declares -------------------------------------------------------------------------------------

    @classmethod
    def kinds_of_parts(cls) -> tuple[type[Part], ...]:
        """Return the classes of all parts, in no order that matters."""
        return (Links, Clock, Questions, *cls.PARTS, *(kind for kind in cls.MORE if isinstance(kind, type)))

    @classmethod
    def declared_tables(cls) -> tuple[AnyTable, ...]:
        """Return the tables of all parts, each once."""
        return tuple(dict.fromkeys(table for kind in cls.kinds_of_parts() for table in kind.tables))

    @classmethod
    def declared_options(cls) -> dict[str, OptionSpec]:
        """Return the keys of the tier's configuration table; a tier's `options.OPTIONS` are the same, without the node.

        Raises:
            LocalProtocolError: two parts declare the same key.
        """
        return one_table(*(kind.options for kind in cls.kinds_of_parts()))

    @classmethod
    def declared_requests(cls) -> tuple[type[msgspec.Struct], ...]:
        """Return the kinds of requests that the node's owner may make."""
        return (cls.INFO, *(answer for kind in cls.kinds_of_parts() for answer in kind.answers))

    @classmethod
    def declared_events(cls) -> tuple[type[Event], ...]:
        """Return the kinds of all that the node publishes, each once, by their names in ascending order."""
        kinds = (*cls.EVENTS, *(event for part in cls.kinds_of_parts() for event in part.events))
        return tuple(sorted(dict.fromkeys(kinds), key=lambda event: event.NAME))

    @classmethod
    def declared_wire(cls) -> Wire:
        """Return what the node can read: the standard kinds and those of its parts' own subjects."""
        return _wire(cls.kinds_of_parts())

    @property
    def features(self) -> tuple[str, ...]:
        """The words of Hello that follow from the parts that the node has."""
        return self.wire.features

    def option(self, name: str) -> OptionValue:
        """Return what the owner has set a key of the configuration table to, or its default."""
        return self.values.get(name, self.declared_options()[name].default)

    def compose(self, parts: Sequence[Part]) -> None:
        """Take the parts, in their order, and add those of `MORE`.

        Raises:
            LocalProtocolError: a part of a kind that `PARTS` does not list, two parts answer one request, or no part
                takes a kind that others may send because the node names its subject.
        """
        self.parts = (*parts, *(make(self) for make in self.MORE))
        known = self.kinds_of_parts()
        strange = [type(part).__name__ for part in self.parts if not isinstance(part, known)]
        if strange:
            raise LocalProtocolError(f"{', '.join(strange)}: parts that {type(self).__name__}.PARTS does not list")
        self._nobody: tuple[Receive, ...] = (self._refuse,)
        self._receivers: dict[type[Message], tuple[Receive, ...]] = {}
        self._answerers: dict[type[msgspec.Struct], Part] = {}
        for part in self.parts:
            for kind in part.takes:
                self._receivers[kind] = (*self._receivers.get(kind, ()), part.receive)
            for request in part.answers:
                if self._answerers.setdefault(request, part) is not part:
                    raise LocalProtocolError(f"two parts answer {request.__name__}")
        self._check_subjects()
        self.wire = _wire(self.parts)
        self._deadlines = _getters(self.parts)
        self._started = self._hooks("started")
        self._ticks = self._hooks("tick")
        self._ups = self._hooks("peer_up")
        self._downs = self._hooks("peer_down")
        self._moves = self._hooks("peer_moved")
        self._fails = self._hooks("dial_failed")
        self._blames = self._hooks("peer_blamed")
        self._regions = self._hooks("region_of")
        self._senses = self._hooks("sensed")
        self._durables = self._hooks("durable")
        self._works = self._hooks("work_done")
        self._settles = self._hooks("settle")

    def _check_subjects(self) -> None:
        """Check that a word in our Hello is true: whatever it lets others send us is taken by a part."""
        for subject in _subjects(self.parts):
            nobodys = [
                kind.__name__
                for kind, directions in subject.directions.items()
                if kind not in self._receivers and any(receiver == self.TIER for _, receiver in directions)
            ]
            if nobodys:
                raise LocalProtocolError(
                    f"an L{self.TIER} that names {subject.name} has to take all of it; no part takes "
                    f"{', '.join(nobodys)}"
                )

    def _hooks(self, name: str) -> list[Any]:
        return [getattr(part, name) for part in self.parts if getattr(type(part), name) is not getattr(Part, name)]

    def govern(self, policy: Policy) -> None:
        """Do only what this policy allows; called once, before the node starts."""
        self.policy = policy
        for governed in self._hooks("governed"):
            governed(policy)
        if policy.rules.limits_dials:
            self.outbox.denies = self._denied
        if policy.rules.transports:
            self.peering.book.preference = policy.preference

    def _denied(self, address: str, peer: bytes | None) -> str:
        """Return why a node may not be dialled, empty if it may."""
        decided = self.policy.link(self._now_us, address, None if peer is None else self.region_of(peer))
        return "" if decided.goes_on else decided.refusal

    def region_of(self, peer: bytes) -> str | None:
        """Return the region that a node says it is in, empty if it says none; None: nothing is known of it."""
        found = (region_of(peer) for region_of in self._regions)
        return next((region for region in found if region is not None), None)

    # --- the contract -----------------------------------------------------------------------------------------------

    @property
    def deadline_us(self) -> int | None:
        """When the node wants a `Tick`."""
        return self.first_deadline_us()

    def first_deadline_us(self) -> int | None:
        """Return the earliest deadline of the parts; a node may have others in `deadline_us`."""
        first_us: int | None = None
        if self._halted:
            return None
        for deadline_us in self._deadlines:
            at_us = deadline_us()
            if at_us is not None and (first_us is None or at_us < first_us):
                first_us = at_us
        return first_us

    def step(self, now_us: int, event: Input) -> list[Effect]:
        """Take one input; see `supervm.common.contract.core`."""
        if self._halted:
            return []
        self._now_us = now_us
        try:
            self.handle(now_us, event)
            while self.outbox.denied:
                self._dial_failed(now_us, self.outbox.denied.pop())
            for settle in self._settles:
                settle(now_us)
        except self.FATAL as error:
            self._halted = True
            self.outbox.publish(said.Divergence(str(error)))
            self.outbox.halt(str(error))
        return self.outbox.drain()

    def handle(self, now_us: int, event: Input) -> None:
        """Hand an input to whom it concerns."""
        if type(event) is Received:  # nearly always
            peer, message = event.peer, event.message
            self.peering.heard(now_us, peer)
            if self.manners.admit(now_us, peer, message):
                self.take(now_us, peer, message)
            return
        match event:
            case WorkDone(token, result):
                for work_done in self._works:
                    if work_done(now_us, token, result):
                        break
            case Durable(token):
                _tell(self._durables, now_us, token)
            case Tick():
                self.tick(now_us)
            case PeerUp():
                self._peer_up(now_us, event)
            case PeerMoved():
                self._peer_moved(now_us, event)
            case PeerDown():
                self._peer_down(now_us, event)
            case DialFailed():
                self._dial_failed(now_us, event)
            case Sensed():
                _tell(self._senses, now_us, event)
            case Command(token, request):
                self._command(now_us, token, request)
            case Started():
                for started in self._started:
                    started(now_us)
                self.tick(now_us)

    def _peer_up(self, now_us: int, event: PeerUp) -> None:
        if self.manners.peer_up(now_us, event, self.rank(event)):
            decided = self.policy.link(now_us, event.address or "", self.region_of(event.peer))
            if not decided.goes_on:
                self.outbox.hang_up(event.peer, "policy", decided.refusal)
            self.peering.peer_up(now_us, event)
            for peer_up in self._ups:
                peer_up(now_us, event)

    def _peer_moved(self, now_us: int, event: PeerMoved) -> None:
        moved = self.peering.peer_moved(now_us, event)
        if moved is not None:  # its rank may be another: it was dialled now
            self.manners.peer_up(now_us, moved, self.rank(moved))
            for peer_moved in self._moves:
                peer_moved(now_us, moved)

    def _peer_down(self, now_us: int, event: PeerDown) -> None:
        self.manners.peer_down(now_us, event)
        self.peering.peer_down(now_us, event)
        for peer_down in self._downs:
            peer_down(now_us, event)

    def _dial_failed(self, now_us: int, event: DialFailed) -> None:
        self.peering.dial_failed(now_us, event)
        for dial_failed in self._fails:
            dial_failed(now_us, event)

    def tick(self, now_us: int) -> None:
        """Let time pass, for all parts in their order."""
        for tick in self._ticks:
            tick(now_us)

    def take(self, now_us: int, peer: bytes, message: Message) -> None:
        """Give a message that is paid for to the parts that take its kind."""
        try:
            for receive in self._receivers.get(type(message), self._nobody):
                receive(now_us, peer, message)
        except RemoteProtocolError as error:
            self.blame(now_us, peer, error)

    def _refuse(self, now_us: int, peer: bytes, message: Message) -> None:
        raise unexpected(self.TIER, message)

    def rank(self, event: PeerUp) -> Rank:
        """Return what a peer that comes is to this node."""
        raise NotImplementedError

    def blame(self, now_us: int, peer: bytes, error: RemoteProtocolError) -> None:
        """Count a fault of a peer; parts hear of it if the peer has to go."""
        if self.manners.blame(now_us, peer, error):
            for peer_blamed in self._blames:
                peer_blamed(now_us, peer, error.penalty)

    # --- the owner --------------------------------------------------------------------------------------------------

    def _command(self, now_us: int, token: int, request: msgspec.Struct) -> None:
        part = self._answerers.get(type(request))
        if part is not None:
            part.command(now_us, token, request)
        elif type(request) is self.INFO:
            self.outbox.reply(token, self.info(now_us))
        else:
            allowed = ", ".join(sorted(kind.__name__ for kind in (self.INFO, *self._answerers)))
            self.outbox.refuse(
                token, f"an L{self.TIER} takes no request {type(request).__name__}; {allowed} are allowed"
            )

    def info(self, now_us: int) -> dict[str, Any]:
        """Return where the node stands, for its owner: `InfoHead`, and each part's own."""
        name, network = encode_node_id(self.node_id), self.chain_id.hex()
        head = InfoHead(self.TIER, name, network, self.height, len(self.peering.up), self.problems(now_us))
        told = msgspec.structs.asdict(head)
        for part in self.parts:
            told.update(part.info(now_us))
        if self.policy is not OPEN:
            told["policy"] = self.policy.info()
        return told

    @property
    def height(self) -> int:
        """How far the node has the chain."""
        raise NotImplementedError

    def problems(self, now_us: int) -> list[str]:
        """Return what the owner should know and do something about, in sentences."""
        return [text for part in self.parts for text in part.problems(now_us)]


def _tell(hooks: Iterable[Callable[[int, Any], None]], now_us: int, what: Any) -> None:
    for hook in hooks:
        hook(now_us, what)


def _wire(parts: Iterable[Part | type[Part]]) -> Wire:
    subjects = _subjects(parts)
    return Wire(*subjects) if subjects else STANDARD


def _subjects(parts: Iterable[Part | type[Part]]) -> list[Subject]:
    """Return the subjects that parts declare, each once: several parts may share one."""
    found: list[Subject] = []
    for subject in (subject for part in parts for subject in part.subjects):
        if not any(subject is other for other in found):
            found.append(subject)
    return found


def _getters(parts: Iterable[Part]) -> list[Callable[[], int | None]]:
    """Return what asks each of those parts that have a deadline for it.

    Drivers ask after every input. A property that is called like a method costs half of one that is read.
    """
    kinds = [(part, type(part).deadline_us) for part in parts]
    return [MethodType(kind.fget, part) for part, kind in kinds if kind is not Part.deadline_us]  # type: ignore[attr-defined]


def wire_of(core: Core) -> Wire:
    """Return what a core can read: what its parts declare, or, if it has none, what every node knows."""
    return core.wire if isinstance(core, Shell) else STANDARD


def unexpected(tier: int, message: Message) -> RemoteProtocolError:
    """Return the error for a message that a node does not take, or not from this peer."""
    return RemoteProtocolError(
        f"an L{tier} takes no {type(message).__name__} from this peer", penalty=50, code="direction"
    )
