"""What an observer of the world is told, as it happens (`ExactWorld.observe`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, get_args

import msgspec

from supervm.common.contract.core import Effect, Input
from supervm.common.contract.records import Record
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.messages import AnyMessage

from .host import Host


class Stepped(msgspec.Struct, frozen=True, gc=False):
    """A core took one input; the effects are not carried out yet. `checks`: signatures that it checked meanwhile."""

    at_us: int
    host: Host
    local_us: int
    input: Input
    effects: Sequence[Effect]
    checks: int = 0


class Sent(msgspec.Struct, frozen=True, gc=False):
    """A message has left a host: whatever happens next, it may be seen by anybody."""

    at_us: int
    sender: Host
    receiver: Host
    message: Message
    frame: bytes


class Delivered(msgspec.Struct, frozen=True, gc=False):
    """A message is about to be given to the receiver's core."""

    at_us: int
    sender: Host
    receiver: Host
    message: AnyMessage
    frame: bytes


class Persisted(msgspec.Struct, frozen=True):
    """A write is durable; the core may not have been told yet, or never will be."""

    at_us: int
    host: Host
    token: int
    records: Sequence[Record]


class HostStarted(msgspec.Struct, frozen=True):
    """A host was switched on; its core has not taken an input yet."""

    at_us: int
    host: Host


class HostStopped(msgspec.Struct, frozen=True):
    """A host is off: orderly, by a crash, or because its core or disk gave up."""

    at_us: int
    host: Host
    reason: str
    crashed: bool


class LinkUp(msgspec.Struct, frozen=True):
    """A connection is up at both ends; `one` dialled."""

    at_us: int
    one: Host
    other: Host


class LinkDown(msgspec.Struct, frozen=True):
    """The core of `one` no longer has its connection to `other`."""

    at_us: int
    one: Host
    other: Host
    reason: str


Event = Stepped | Sent | Delivered | Persisted | HostStarted | HostStopped | LinkUp | LinkDown


class Watchers:
    """Who is told what happens.

    Who makes an event looks first whether anybody wants it: most events of a run are of the kinds below, and many
    of those interest nobody.

    Attributes:
        sent: who is told every `Sent`.
        delivered: who is told every `Delivered`.
        stepped: who is told every `Stepped` with effects.
        idled: who is told every `Stepped` without any.
        persisted: who is told every `Persisted`.
    """

    __slots__ = ("_told", "delivered", "idled", "persisted", "sent", "stepped")

    def __init__(self) -> None:
        self.sent: tuple[Callable[[Any], None], ...] = ()
        self.delivered: tuple[Callable[[Any], None], ...] = ()
        self.stepped: tuple[Callable[[Any], None], ...] = ()
        self.idled: tuple[Callable[[Any], None], ...] = ()
        self.persisted: tuple[Callable[[Any], None], ...] = ()
        self._told: dict[type[Event], tuple[Callable[[Any], None], ...]] = {}

    def add(self, callback: Callable[[Any], None], kinds: Sequence[type[Event]], *, idle_steps: bool) -> None:
        """Have `callback` told every event of these kinds from now on; see `ExactWorld.observe`."""
        for kind in kinds or get_args(Event):
            self._told[kind] = (*self._told.get(kind, ()), callback)
            if kind is Stepped and idle_steps:
                self.idled = (*self.idled, callback)
        self.sent, self.delivered = self._told.get(Sent, ()), self._told.get(Delivered, ())
        self.stepped, self.persisted = self._told.get(Stepped, ()), self._told.get(Persisted, ())

    def tell(self, event: Event) -> None:
        """Tell everybody who wants an event of its kind, which need not be one of those above."""
        for callback in self._told.get(type(event), ()):
            callback(event)
