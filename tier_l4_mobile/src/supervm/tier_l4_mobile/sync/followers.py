"""Who validates now: asking edges for changes of validators, and a second edge before one is followed.

Theory of operation (consensus.md 5). A change that the trusted validators signed proves itself, so one edge is enough
to follow it; but where validators lie together, each edge may show another one, and whoever looks at one edge alone
learns of it too late. So while another edge is up, a change that is news waits: the other one is asked for the changes
that it knows and for its newest checkpoint. As soon as it shows changes, or after `SECOND_US` without, the change is
followed, then the other edge's. If they contradict each other, or what else that edge has shown, the light client finds
the fork.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from supervm.common.contract.core import Outbox
from supervm.common.parts.light_memory import LightMemory
from supervm.common.parts.part import Part
from supervm.common.parts.validator_following import read_changes
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.light.client import ValidatorChange
from supervm.protocol.wire.payments import GetLeaves, GetValidatorChanges, ValidatorChanges

from .sync import Sync
from .trust import Trust
from .uplink import Uplink

SECOND_US = 3_000_000
"""How long a change waits for what a second edge says."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Changes that an edge brought and another one was asked about."""

    edge: bytes
    changes: tuple[ValidatorChange, ...]
    until_us: int


class SetFollower(Part):
    """Changes of validators, until they are followed.

    Args:
        outbox: where questions go.
        memory: the light client, and where changes are kept.
        trust: tells whose fault it is if a change cannot be followed.
        uplink: the edges.
        sync: asks again for what could not be believed before.
        blame: blames an edge for what it brought earlier.
    """

    takes = frozenset({ValidatorChanges})
    sends = frozenset({GetValidatorChanges, GetLeaves})

    def __init__(
        self,
        outbox: Outbox,
        memory: LightMemory,
        trust: Trust,
        uplink: Uplink,
        sync: Sync,
        blame: Callable[[int, bytes, RemoteProtocolError], None],
    ) -> None:
        self._outbox = outbox
        self._memory = memory
        self._trust = trust
        self._uplink = uplink
        self._sync = sync
        self._blame = blame
        self._waiting: _Waiting | None = None

    @property
    def deadline_us(self) -> int | None:
        """When changes have waited long enough."""
        return None if self._waiting is None else self._waiting.until_us

    def receive(self, now_us: int, peer: bytes, message: ValidatorChanges) -> None:
        """Take an edge's changes.

        Raises:
            RemoteProtocolError: the validators that are trusted have not handed over to these.
        """
        try:
            if self._received(peer, tuple(read_changes(message)), now_us):
                self._sync.ask_again()
        except RemoteProtocolError as error:
            if not self._trust.excuses(now_us, peer, error, message):
                raise

    def _received(self, edge: bytes, changes: tuple[ValidatorChange, ...], now_us: int) -> bool:
        """Take changes, oldest first; return whether the validators are others now."""
        others = [other for other in self._uplink.edges() if other != edge]
        waiting = self._waiting
        if waiting is not None and waiting.edge == edge:
            return False
        if waiting is not None and changes:
            # the first edge's word first; its faults show when it is asked again
            followed, _ = self._follow_waiting(now_us)
            return self._follow(edge, changes, now_us) or followed
        news = [change for change in changes if change.checkpoint.header.height > self._memory.client.changed_height]
        if waiting is None and news and others:
            self._memory.client.check_change(news[0], now_us // 1000)
            self._waiting = _Waiting(edge, changes, now_us + SECOND_US)
            self._memory.follower.ask(others[0])
            self._outbox.send(others[0], GetLeaves(()))
            return False
        return self._follow(edge, changes, now_us)

    def tick(self, now_us: int) -> None:
        """Follow what has waited long enough."""
        if self._waiting is None or self._waiting.until_us > now_us:
            return
        followed, fault = self._follow_waiting(now_us)
        if followed:
            self._sync.ask_again()
        if fault is not None and not self._trust.excuses(now_us, *fault):
            self._blame(now_us, *fault)

    def _follow_waiting(self, now_us: int) -> tuple[bool, tuple[bytes, RemoteProtocolError] | None]:
        """Return whether validators changed, and who brought what was wrong."""
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return False, None
        before = self._memory.client.changed_height
        try:
            return self._follow(waiting.edge, waiting.changes, now_us), None
        except RemoteProtocolError as error:
            return self._memory.client.changed_height != before, (waiting.edge, error)

    def _follow(self, edge: bytes, changes: Sequence[ValidatorChange], now_us: int) -> bool:
        is_new = self._memory.follower.follow_all(now_us, changes)
        if is_new:
            self._memory.follower.ask_on(edge, len(changes))
        return is_new
