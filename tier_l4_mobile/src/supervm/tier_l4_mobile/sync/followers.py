"""Who validates now: asking edges for changes of validators, and a second edge before one is followed.

Theory of operation (consensus.md 5). A change that the trusted validators signed proves itself, so one edge is enough
to follow it; but where validators lie together, each edge may show another one, and whoever looks at one edge alone
learns of it too late. So while another edge is up, a change that is news waits: the other one is asked for the changes
that it knows and for its newest checkpoint. As soon as it shows changes, or after `SECOND_US` without, the change is
followed, then the other edge's. If they contradict each other, or what else that edge has shown, the light client finds
the fork.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from supervm.common.contract.core import Outbox
from supervm.common.parts.light_memory import LightMemory
from supervm.protocol.base.codec import decode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.light.client import ValidatorChange
from supervm.protocol.wire.payments import CHANGES_MAX, GetAccounts, GetValidatorChanges

ASK_US = 1_000_000
"""Shortest time between two questions for changes of validators."""
SECOND_US = 3_000_000
"""How long a change waits for what a second edge says."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Changes that an edge brought and another one was asked about."""

    edge: bytes
    changes: tuple[ValidatorChange, ...]
    until_us: int


class SetFollower:
    """Follows changes of validators.

    Args:
        outbox: where questions go.
        memory: the light client, and where changes are kept.
    """

    def __init__(self, outbox: Outbox, memory: LightMemory) -> None:
        self._outbox = outbox
        self._memory = memory
        self._asked_us: int | None = None
        self._waiting: _Waiting | None = None

    @property
    def deadline_us(self) -> int | None:
        """When `tick` has something to do."""
        return None if self._waiting is None else self._waiting.until_us

    def ask(self, edge: bytes, now_us: int) -> None:
        """Ask who validates now, at most once a second: an answer came that our validators have not signed."""
        if self._asked_us is None or now_us - self._asked_us >= ASK_US:
            self._asked_us = now_us
            self._outbox.send(edge, GetValidatorChanges(self._memory.client.changed_height))

    def received(self, edge: bytes, raws: Sequence[bytes], others: Sequence[bytes], now_us: int) -> bool:
        """Take an edge's changes; return whether the validators are others now.

        Args:
            edge: who brought them.
            raws: encoded `ValidatorChange`s, oldest first.
            others: other edges that are up.
            now_us: the time.

        Raises:
            RemoteProtocolError: the validators that are trusted have not handed over to these.
        """
        changes = tuple(decode(ValidatorChange, raw, bytes_max=1 << 20) for raw in raws)
        waiting = self._waiting
        if waiting is not None and waiting.edge == edge:
            return False
        if waiting is not None and changes:
            followed, _ = self._settle(now_us)  # the first edge's word first; its faults show when it is asked again
            return self._follow(edge, changes, now_us) or followed
        news = [change for change in changes if change.checkpoint.header.height > self._memory.client.changed_height]
        if waiting is None and news and others:
            self._memory.client.check_change(news[0], now_us // 1000)
            self._waiting = _Waiting(edge, changes, now_us + SECOND_US)
            self._outbox.send(others[0], GetValidatorChanges(self._memory.client.changed_height))
            self._outbox.send(others[0], GetAccounts(()))
            return False
        return self._follow(edge, changes, now_us)

    def tick(self, now_us: int) -> tuple[bool, tuple[bytes, RemoteProtocolError] | None]:
        """Follow what has waited long enough; return whether validators changed, and who brought what was wrong."""
        if self._waiting is None or self._waiting.until_us > now_us:
            return False, None
        return self._settle(now_us)

    def _settle(self, now_us: int) -> tuple[bool, tuple[bytes, RemoteProtocolError] | None]:
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            return False, None
        before = self._memory.client.changed_height
        try:
            return self._follow(waiting.edge, waiting.changes, now_us), None
        except RemoteProtocolError as error:
            return self._memory.client.changed_height != before, (waiting.edge, error)

    def _follow(self, edge: bytes, changes: Sequence[ValidatorChange], now_us: int) -> bool:
        followed = False
        for change in changes:
            followed |= self._memory.follow(change, now_us // 1000)
        if followed and len(changes) == CHANGES_MAX:
            self._outbox.send(edge, GetValidatorChanges(self._memory.client.changed_height))
        return followed
