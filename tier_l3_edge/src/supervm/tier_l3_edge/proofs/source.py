"""The source: the one miner at which an edge subscribes the union of its clients' accounts.

It is left when it is down, when it gives no news for the beat of an idle chain and 3 s while there is another, and when
it was caught lying.
"""

from __future__ import annotations

from collections.abc import Sequence

from supervm.common.contract.core import Outbox, earliest
from supervm.common.parts.asking import Question
from supervm.protocol.wire.fields import FORWARD_MAX
from supervm.protocol.wire.payments import GetLeaves, Subscribe, Unsubscribe

from ..relay.routes import NEWS_US_MAX, Routes
from .watched import Watch

SUBSCRIBED_MAX = 128
"""Most accounts of one message: of what they hold nothing may be known here, and the answer is to fit into a queue."""
PATIENCE_US_MAX = 60_000_000
"""A source without news is left after 3 s and the beat, doubling to this while nothing helps."""


class Source:
    """Which miner pushes the clients' accounts, and since when it gives no news.

    Args:
        outbox: where subscriptions go.
        routes: the miners.
        watched: the accounts that clients subscribe; read whenever a source is chosen, and told what is asked.
        idle_us: the beat of an idle chain.
    """

    def __init__(self, outbox: Outbox, routes: Routes, watched: Watch, idle_us: int) -> None:
        self._outbox = outbox
        self._routes = routes
        self._watched = watched
        self._question = Question()
        self._patience_us_min = self._patience_us = NEWS_US_MAX + idle_us

    @property
    def miner(self) -> bytes | None:
        """The source; None: there is none, as nothing is subscribed or no miner is up."""
        return self._question.peer

    @property
    def deadline_us(self) -> int | None:
        """When it is left if nothing comes of it, or asked for what it has not shown."""
        return earliest(self._question.until_us if self._can_move() else None, self._watched.deadline_us)

    def _can_move(self) -> bool:
        return self.miner is not None and len(self._routes.up) > 1 and bool(self._watched)

    def add(self, now_us: int, accounts: Sequence[bytes]) -> None:
        """Subscribe accounts that nobody watched before, or that are thin; choose a source if there is none."""
        if self.miner is None:
            self.choose(now_us)
        else:
            self._watched.doubt(accounts)
            self.flush()

    def end(self, accounts: Sequence[bytes]) -> None:
        """End the subscription of accounts that nobody watches any more."""
        if self.miner is not None:
            send_in_parts(self._outbox, self.miner, accounts, Unsubscribe)

    def again(self) -> None:
        """Ask for the proofs of everything once more."""
        if self.miner is not None:
            self._watched.doubt(self._watched)
            self.flush()

    def flush(self) -> None:
        """Subscribe accounts whose turn it is."""
        while self.miner is not None and (accounts := self._watched.next_accounts(SUBSCRIBED_MAX)):
            self._outbox.send(self.miner, Subscribe(tuple(accounts)))

    def news(self, now_us: int, miner: bytes) -> None:
        """A miner showed a checkpoint that is none of the past."""
        if miner == self.miner:
            self._patience_us = self._patience_us_min
            self._question.wait(now_us, self._patience_us)

    def lose(self, now_us: int, miner: bytes) -> None:
        """Choose another one if it was the source that went."""
        if miner == self.miner:
            self._question.close()
            self.choose(now_us)

    def ask(self, leaf_ids: Sequence[bytes]) -> None:
        """Ask for leaves by id that its answer to a subscription did not have."""
        if self.miner is not None:
            send_in_parts(self._outbox, self.miner, leaf_ids, GetLeaves)

    def tick(self, now_us: int) -> None:
        """Leave a silent source, and ask for what its answers do not have."""
        if self._can_move() and self._question.is_due(now_us):
            assert self.miner is not None, "there is one to leave"
            # perhaps the chain itself stands still: then the others are as silent, and moving must not repeat fast
            self._patience_us = min(2 * self._patience_us, max(PATIENCE_US_MAX, self._patience_us_min))
            self.choose(now_us, but=(self.miner,))
        self.ask(self._watched.due(now_us))

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


def send_in_parts(
    outbox: Outbox,
    miner: bytes,
    keys: Sequence[bytes],
    kind: type[Subscribe] | type[Unsubscribe] | type[GetLeaves],
) -> None:
    """Send a miner accounts, or ids of leaves, in as many messages as it takes."""
    for start in range(0, len(keys), FORWARD_MAX):
        outbox.send(miner, kind(tuple(keys[start : start + FORWARD_MAX])))
