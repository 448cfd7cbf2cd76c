"""Following the validators: asking peers for the changes that are news, and going from set to set (consensus.md 5).

Theory of operation. A node that does not execute the chain trusts one set of validators at a time, and goes over to
the next when the trusted one has signed a change. Such a change proves itself, so whoever brings it is not believed but
checked, and one peer is enough to follow it. An answer holds the oldest changes above a height; a peer that has filled
one may know more and is asked on.

What started the question, whether a second peer is asked before a change is followed, and who is told is for the part
that follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from supervm.protocol.base.codec import decode
from supervm.protocol.light.client import LightClient, ValidatorChange
from supervm.protocol.wire.payments import CHANGES_MAX, GetValidatorChanges, ValidatorChanges

from ..contract.core import Outbox
from .validator_changes import ChangeStore

ASK_US = 1_000_000
"""Shortest time between two questions that refused answers give rise to."""
CHANGE_BYTES_MAX = 1 << 20
"""Longest change that is read."""


class ValidatorFollower:
    """The way of one light client from set to set.

    Args:
        client: trusts the present set.
        changes: where every change is kept that was followed.
        outbox: where questions go.
    """

    def __init__(self, client: LightClient, changes: ChangeStore, outbox: Outbox) -> None:
        self._client, self._changes, self._outbox = client, changes, outbox
        self._asked_us: int | None = None

    def ask(self, peer: bytes) -> None:
        """Ask a peer for the changes after the last one that was followed."""
        self._outbox.send(peer, GetValidatorChanges(self._client.changed_height))

    def ask_who(self, now_us: int, peer: bytes) -> None:
        """Ask a peer that brought what the trusted set has not signed; at most once in `ASK_US`, whoever is asked."""
        if self._asked_us is None or now_us - self._asked_us >= ASK_US:
            self._asked_us = now_us
            self.ask(peer)

    def follow(self, change: ValidatorChange, now_ms: int) -> bool:
        """Follow one change and keep it; return False if it is no news.

        Raises:
            RemoteProtocolError: as `LightClient.follow`.
        """
        if not self._client.follow(change, now_ms):
            return False
        self._changes.add(change)
        return True

    def follow_all(
        self,
        now_us: int,
        changes: Iterable[ValidatorChange],
        followed: Callable[[ValidatorChange], None] | None = None,
    ) -> bool:
        """Follow changes, oldest first, each as soon as it is read; return whether any was news.

        Args:
            now_us: the time.
            changes: what a peer brought.
            followed: told of each that was news, before the next one is looked at.

        Raises:
            RemoteProtocolError: as `LightClient.follow`, or `changes` as it is read; those before it are followed.
        """
        is_new = False
        for change in changes:
            if self.follow(change, now_us // 1000):
                is_new = True
                if followed is not None:
                    followed(change)
        return is_new

    def ask_on(self, peer: bytes, count: int) -> None:
        """Ask a peer for more, some of whose `count` changes were news, if it may have any."""
        if count == CHANGES_MAX:
            self.ask(peer)


def read_changes(message: ValidatorChanges) -> Iterator[ValidatorChange]:
    """Read the changes in an answer one by one, oldest first.

    Raises:
        RemoteProtocolError: while it is gone through: one is malformed.
    """
    for raw in message.changes:
        yield decode(ValidatorChange, raw, bytes_max=CHANGE_BYTES_MAX)
