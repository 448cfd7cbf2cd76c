"""What a part of a node core is (architecture.md 6).

A part holds one subject. It declares what it has to do with the outside - the messages that it takes and sends, the
owner's requests that it answers, its tables, options and events - and gets from the shell exactly the inputs that it
declared. What it has to say goes into the shell's outbox. It keeps its own state and writes nobody else's.

Hooks that a part does not define cost nothing: the shell calls those that are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import msgspec

from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.subject import Subject

from ..contract.core import DialFailed, PeerDown, PeerUp, Sensed
from ..contract.events import Event
from ..contract.options import OptionSpec
from ..contract.tables import AnyTable
from .costs import Cost
from .policy.policy import Policy


class Part:
    """Base of every part; a part overrides what it needs.

    Attributes:
        takes: kinds of messages that `receive` is given.
        sends: kinds of messages that the part sends.
        answers: kinds of the owner's requests that `command` is given.
        tables: what it keeps on disk.
        options: keys of the tier's configuration table that are about it.
        events: kinds of what it publishes.
        subjects: kinds of messages that only nodes with this part know, with directions and numbers of their own.
        costs: what the messages of `subjects` cost their receiver.
    """

    takes: ClassVar[frozenset[type[Message]]] = frozenset()
    sends: ClassVar[frozenset[type[Message]]] = frozenset()
    answers: ClassVar[tuple[type[msgspec.Struct], ...]] = ()
    tables: ClassVar[tuple[AnyTable, ...]] = ()
    options: ClassVar[Mapping[str, OptionSpec]] = {}
    events: ClassVar[tuple[type[Event], ...]] = ()
    subjects: ClassVar[tuple[Subject, ...]] = ()
    costs: ClassVar[Mapping[type[Message], Cost]] = {}

    @property
    def deadline_us(self) -> int | None:
        """When the part wants a `tick`; None: not by itself."""
        return None

    def governed(self, policy: Policy) -> None:
        """The owner has a policy, which holds from now on: once, before the node starts."""

    def region_of(self, peer: bytes) -> str | None:
        """Return the region that a node says it is in, empty if it says none; None: nothing is known here."""
        return None

    def started(self, now_us: int) -> None:
        """The node runs; a `tick` follows."""

    def tick(self, now_us: int) -> None:
        """Time has passed: the deadline of this part, or another's."""

    def receive(self, now_us: int, peer: bytes, message: Any) -> None:
        """Take a message of one of the kinds in `takes`, from a peer that is up and has paid for it.

        Raises:
            RemoteProtocolError: it breaks a rule; the shell blames the peer.
        """
        raise NotImplementedError

    def command(self, now_us: int, token: int, request: Any) -> None:
        """Answer a request of one of the kinds in `answers`, now or later, with this token."""
        raise NotImplementedError

    def peer_up(self, now_us: int, event: PeerUp) -> None:
        """A peer has come, or a connection of one that was there has been replaced."""

    def peer_down(self, now_us: int, event: PeerDown) -> None:
        """A peer has gone."""

    def peer_moved(self, now_us: int, event: PeerUp) -> None:
        """A peer that is up goes on over another connection; `event` says what `PeerUp` would say of it now."""

    def dial_failed(self, now_us: int, event: DialFailed) -> None:
        """A dial did not end in a peer that is up, whoever wanted it."""

    def peer_blamed(self, now_us: int, peer: bytes, penalty: int) -> None:
        """A peer has done so much wrong that it has been hung up on."""

    def sensed(self, now_us: int, facts: Sensed) -> None:
        """The machine says something of itself."""

    def durable(self, now_us: int, token: int) -> None:
        """The write with this token is on disk, whoever asked for it."""

    def work_done(self, now_us: int, token: int, result: Any) -> bool:
        """Take the result of work; return whether this part had asked for it."""
        return False

    def settle(self, now_us: int) -> None:
        """Close the step: every part has seen the input, what follows from all of it together is due."""

    def info(self, now_us: int) -> Mapping[str, Any]:
        """Return what the owner is told of this part, by keys of its own."""
        return {}

    def problems(self, now_us: int) -> Iterable[str]:
        """Return what the owner should know and do something about, in sentences."""
        return ()
