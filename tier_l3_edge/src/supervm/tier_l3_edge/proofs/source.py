"""The source: the one miner at which an edge subscribes the union of its clients' accounts.

It is left when it is down, when it gives no news for 3 s while there is another, and when it was caught lying.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from supervm.common.contract.core import Outbox
from supervm.common.parts.asking import Question
from supervm.protocol.wire.fields import FORWARD_MAX
from supervm.protocol.wire.payments import GetAccounts, Subscribe, Unsubscribe

from ..relay.routes import NEWS_US_MAX, Routes

PATIENCE_US_MAX = 60_000_000
"""A source without news is left after 3 s, doubling to this while nothing helps."""


class Source:
    """Which miner pushes the clients' accounts, and since when it gives no news.

    Args:
        outbox: where subscriptions go.
        routes: the miners.
        watched: the accounts that clients subscribe; read whenever a source is chosen.
    """

    def __init__(self, outbox: Outbox, routes: Routes, watched: Collection[bytes]) -> None:
        self._outbox = outbox
        self._routes = routes
        self._watched = watched
        self._question = Question()
        self._patience_us = NEWS_US_MAX

    @property
    def miner(self) -> bytes | None:
        """The source; None: there is none, as nothing is subscribed or no miner is up."""
        return self._question.peer

    @property
    def deadline_us(self) -> int | None:
        """When it is left, if nothing comes of it."""
        return self._question.until_us if self._can_move() else None

    def _can_move(self) -> bool:
        return self.miner is not None and len(self._routes.up) > 1 and bool(self._watched)

    def add(self, now_us: int, accounts: Sequence[bytes]) -> None:
        """Subscribe accounts that nobody watched before; choose a source if there is none."""
        if self.miner is None:
            self.choose(now_us)
        elif accounts:
            send_accounts(self._outbox, self.miner, accounts, Subscribe)

    def end(self, accounts: Sequence[bytes]) -> None:
        """End the subscription of accounts that nobody watches any more."""
        if self.miner is not None:
            send_accounts(self._outbox, self.miner, accounts, Unsubscribe)

    def again(self) -> None:
        """Ask for the proofs of everything once more."""
        if self.miner is not None:
            send_accounts(self._outbox, self.miner, list(self._watched), Subscribe)

    def news(self, now_us: int, miner: bytes) -> None:
        """A miner showed a checkpoint that is none of the past."""
        if miner == self.miner:
            self._patience_us = NEWS_US_MAX
            self._question.wait(now_us, self._patience_us)

    def lose(self, now_us: int, miner: bytes) -> None:
        """Choose another one if it was the source that went."""
        if miner == self.miner:
            self._question.close()
            self.choose(now_us)

    def tick(self, now_us: int) -> None:
        """Leave a silent source."""
        if self._can_move() and self._question.is_due(now_us):
            assert self.miner is not None, "there is one to leave"
            # perhaps the chain itself stands still: then the others are as silent, and moving must not repeat fast
            self._patience_us = min(2 * self._patience_us, PATIENCE_US_MAX)
            self.choose(now_us, but=(self.miner,))

    def choose(self, now_us: int, *, but: tuple[bytes, ...] = ()) -> None:
        """Subscribe everything at the best miner outside `but`, if there is one, and nothing at the one before."""
        if not self._watched:
            return
        miner = self._routes.best(now_us, but=but)
        if miner is None:
            return
        self.end(list(self._watched))
        self._question.ask(now_us, miner, self._patience_us)
        self.again()


def send_accounts(
    outbox: Outbox,
    miner: bytes,
    accounts: Sequence[bytes],
    kind: type[Subscribe] | type[Unsubscribe] | type[GetAccounts],
) -> None:
    """Send a miner accounts, in as many messages as it takes."""
    for start in range(0, len(accounts), FORWARD_MAX):
        outbox.send(miner, kind(tuple(accounts[start : start + FORWARD_MAX])))
