"""What an observer of the world is told, as it happens (`ExactWorld.observe`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from supervm.common.contract.core import Effect, Input
from supervm.common.contract.records import Record
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.messages import AnyMessage

from .host import Host


class Stepped(msgspec.Struct, frozen=True):
    """A core took one input; the effects are not carried out yet. `checks`: signatures that it checked meanwhile."""

    at_us: int
    host: Host
    local_us: int
    input: Input
    effects: Sequence[Effect]
    checks: int = 0


class Sent(msgspec.Struct, frozen=True):
    """A message has left a host: whatever happens next, it may be seen by anybody."""

    at_us: int
    sender: Host
    receiver: Host
    message: Message
    frame: bytes


class Delivered(msgspec.Struct, frozen=True):
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

    Attributes:
        any: whether there is anybody; who makes an event often asks first.
    """

    def __init__(self) -> None:
        self.any = False
        self._callbacks: list[Callable[[Event], None]] = []

    def add(self, callback: Callable[[Event], None]) -> None:
        """Have `callback` told everything from now on."""
        self._callbacks.append(callback)
        self.any = True

    def tell(self, event: Event) -> None:
        """Tell everybody."""
        for callback in self._callbacks:
            callback(event)
