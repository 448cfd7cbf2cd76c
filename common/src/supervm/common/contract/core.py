"""The contract between a core and its driver (architecture.md 2).

Theory of operation. A *core* holds protocol logic and nothing else: no socket, file, thread, clock or random source.
It is stepped with one input and the time, and answers with effects as data. A *driver* carries the effects out and
takes no decision. The trio driver (`supervm.common.driver`) runs cores on real machines, the simulator's driver runs
thousands of them under virtual time; since neither decides anything, what one shows is true of the other.

Rules a core can rely on, and a driver must keep:

* `step` is never entered twice at once, and `now_us` never decreases.
* Effects of one step are carried out in order. `Persist` records of one step become durable together; persists become
  durable in the order they were asked for.
* A `Send` or `Reply` with ``after=token`` leaves only once the `Persist` with that token is durable (rule P0). A send
  that waits holds back later sends *to the same peer that wait too*, never ones that do not wait.
* Every `Persist` is answered by `Durable(token)`. A failed write is never answered: the process ends.
* Every `Work` is answered by `WorkDone`; results of one lane arrive in the order the work was asked for, unless the
  job's kind says that order does not matter.
* When `deadline_us` is not None and has passed, the driver steps the core with `Tick`.
* After `Hold(peer, until_us)` no `Received` of that peer comes before that time; none is lost by it.

Reading durable state through the `Reader` it was built with is allowed to a core - it is the past, and the same in
every driver - but it sees only what has become durable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import msgspec

from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.messages import AnyMessage

from .events import Event
from .jobs import Job, VerifySignatures
from .records import Record

HEARTBEAT_US: Final = 10_000_000
"""Time between heartbeats to a peer over an ordinary link (network.md 3)."""

# --- inputs ---------------------------------------------------------------------------------------------------------


class Started(msgspec.Struct, frozen=True):
    """The driver runs: the first input of every core."""


class Tick(msgspec.Struct, frozen=True):
    """The core's deadline has passed."""


class Received(msgspec.Struct, frozen=True, gc=False):
    """A message from an authenticated peer that is up."""

    peer: bytes
    message: AnyMessage


class PeerUp(msgspec.Struct, frozen=True):
    """A peer is connected, authenticated and has said a compatible Hello.

    Attributes:
        peer: its node id.
        tier: 1..4, or 0 for a client that is no node.
        features: words from its Hello.
        clock_offset_ms: its clock minus ours, when Hello arrived.
        address: the address we dialled, or None if it dialled us.
        remote: the IP address that the connection comes from or goes to, without its port; empty if there is none.
        heartbeat_us: time between heartbeats, of the medium of the link; both ends have the same.
    """

    peer: bytes
    tier: int
    features: tuple[str, ...]
    clock_offset_ms: int
    address: str | None
    remote: str = ""
    heartbeat_us: int = HEARTBEAT_US


class PeerMoved(msgspec.Struct, frozen=True):
    """A peer that is up goes on over another connection; no message is lost, doubled or overtaken by that.

    What was asked and promised stands; what there was to say of the connection itself may be another from now on.

    Attributes:
        peer: its node id; tier and features are as they were.
        address: as in `PeerUp`, of the new connection.
        remote: likewise.
        heartbeat_us: likewise.
    """

    peer: bytes
    address: str | None
    remote: str = ""
    heartbeat_us: int = HEARTBEAT_US


class PeerDown(msgspec.Struct, frozen=True):
    """The connection to a peer that was up has ended.

    Attributes:
        peer: its node id.
        reason: why, for people.
        code: the word for it: of the Goodbye that the peer said, or of the rule of the link that it broke; else empty.
        penalty: 0 to 100, how grave that was; 0 if it broke none.
    """

    peer: bytes
    reason: str
    code: str = ""
    penalty: int = 0


class DialFailed(msgspec.Struct, frozen=True):
    """A `Dial` did not end in `PeerUp`.

    Attributes:
        address: what was dialled.
        reason: why, for people.
        peer: who answered there, if that is a peer which is up over another connection; else None.
        code: the word of the refusal, ours or the peer's; empty if nobody answered.
    """

    address: str
    reason: str
    peer: bytes | None = None
    code: str = ""


class Sensed(msgspec.Struct, frozen=True):
    """What the machine says of itself; None: it does not say.

    Attributes:
        memory_bytes: main memory.
        battery_percent: charge of the battery that it lives on.
        charging: whether it takes nothing from that battery; true of a machine that has none.
        metered: whether its connection to the internet is paid for by volume.
    """

    memory_bytes: int | None = None
    battery_percent: int | None = None
    charging: bool | None = None
    metered: bool | None = None


class Durable(msgspec.Struct, frozen=True):
    """The records of the `Persist` with this token are on disk."""

    token: int


class WorkDone(msgspec.Struct, frozen=True):
    """The result of the `Work` with this token."""

    token: int
    result: Any


class Command(msgspec.Struct, frozen=True):
    """A request of the node's owner over its control socket; answered by `Reply` with the same token."""

    token: int
    request: msgspec.Struct


Input = Started | Tick | Received | PeerUp | PeerMoved | PeerDown | DialFailed | Sensed | Durable | WorkDone | Command

# --- effects --------------------------------------------------------------------------------------------------------


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send a message to a peer that is up; to one that is not, it is dropped."""

    peer: bytes
    message: Message
    after: int = 0


class Persist(msgspec.Struct, frozen=True):
    """Make records durable, all or none."""

    token: int
    records: tuple[Record, ...]


class Work(msgspec.Struct, frozen=True):
    """Do a pure computation outside the event loop; its kind says whether results of one `lane` keep their order."""

    token: int
    lane: bytes
    job: Job


class Dial(msgspec.Struct, frozen=True):
    """Connect to an address, ``scheme:rest`` or ``host:port``; no other node than `peer` will do (None: any)."""

    address: str
    peer: bytes | None


class HangUp(msgspec.Struct, frozen=True):
    """Close the connection to a peer, telling it why."""

    peer: bytes
    code: str
    reason: str


class Hold(msgspec.Struct, frozen=True):
    """Give the core nothing more from a peer until then, and read nothing more from it: it has used up its budget.

    What has come and what still comes is kept, in order; the connection itself and what is sent to the peer go on.

    Attributes:
        peer: a peer that is up; for one that is not, nothing happens.
        until_us: time of the core's clock; a later `Hold` of the same peer replaces it.
    """

    peer: bytes
    until_us: int


class Publish(msgspec.Struct, frozen=True):
    """An event for logs, metrics and whoever watches."""

    event: Event


class Reply(msgspec.Struct, frozen=True):
    """The answer to a `Command`: a JSON-able value, or `error` with what was wrong with the request."""

    token: int
    value: Any
    error: str | None = None
    after: int = 0


class Halt(msgspec.Struct, frozen=True):
    """The node must stop at once and not come back by itself (divergence, supply mismatch)."""

    reason: str


Effect = Persist | Send | Work | Dial | HangUp | Hold | Publish | Reply | Halt


class Core(Protocol):
    """What a driver runs."""

    @property
    def deadline_us(self) -> int | None:
        """When the core wants a `Tick`, or None."""

    def step(self, now_us: int, event: Input) -> list[Effect]:
        """Take one input and return what has to be done."""


def earliest(*times_us: int | None) -> int | None:
    """Return the earliest of several times, of which None means never; None if none is left.

    Drivers ask for `deadline_us` after every input, so this builds nothing.
    """
    first_us: int | None = None
    for at_us in times_us:
        if at_us is not None and (first_us is None or at_us < first_us):
            first_us = at_us
    return first_us


class Outbox:
    """Collects the effects of one step of a node and its parts.

    All records persisted in a step share one token and come first in the drained list, so one write covers the step.
    """

    def __init__(self) -> None:
        self._next_token = 1
        self._effects: list[Effect] = []
        self._records: list[Record] = []
        self._persist_token = 0
        self.denies: Callable[[str, bytes | None], str] | None = None
        """Returns why a dial is not allowed, empty if it is; None: all are."""
        self.denied: list[DialFailed] = []
        """Dials that were not allowed; whoever asked is to be told as if nobody had answered."""

    def token(self) -> int:
        """Return a new token, never 0."""
        token = self._next_token
        self._next_token += 1
        return token

    def send(self, peer: bytes, message: Message, *, after: int = 0) -> None:
        """Send `message`, after the persist `after` if that is not 0."""
        self._effects.append(Send(peer, message, after))

    def persist(self, *records: Record) -> int:
        """Add records to this step's write; return its token for `after` and for `Durable`."""
        if not self._persist_token:
            self._persist_token = self.token()
        self._records.extend(records)
        return self._persist_token

    def work(self, lane: bytes, job: Job) -> int:
        """Ask for a job; return the token of the answer."""
        token = self.token()
        self._effects.append(Work(token, lane, job))
        return token

    def verify(self, lane: bytes, items: Sequence[tuple[bytes, bytes, bytes]]) -> int:
        """Ask for signature checks; return the token of the answer, a list of booleans."""
        return self.work(lane, VerifySignatures(items))

    def dial(self, address: str, peer: bytes | None) -> None:
        """Ask for a connection."""
        reason = "" if self.denies is None else self.denies(address, peer)
        if reason:
            self.denied.append(DialFailed(address, reason, None, "policy"))
        else:
            self._effects.append(Dial(address, peer))

    def hang_up(self, peer: bytes, code: str, reason: str) -> None:
        """Close a connection."""
        self._effects.append(HangUp(peer, code, reason))

    def hold(self, peer: bytes, until_us: int) -> None:
        """Hear nothing more from a peer until then."""
        self._effects.append(Hold(peer, until_us))

    def publish(self, event: Event) -> None:
        """Tell whoever watches."""
        self._effects.append(Publish(event))

    def reply(self, token: int, value: Any, *, after: int = 0) -> None:
        """Answer a command."""
        self._effects.append(Reply(token, value, None, after))

    def refuse(self, token: int, error: str) -> None:
        """Answer a command with what was wrong with it."""
        self._effects.append(Reply(token, None, error))

    def halt(self, reason: str) -> None:
        """Stop the node for good."""
        self._effects.append(Halt(reason))

    def drain(self) -> list[Effect]:
        """Return the step's effects, the write first, and start anew."""
        effects = self._effects
        if not effects and not self._persist_token:
            return []
        if self._persist_token:
            effects.insert(0, Persist(self._persist_token, tuple(self._records)))
            self._records = []
            self._persist_token = 0
        self._effects = []
        return effects
