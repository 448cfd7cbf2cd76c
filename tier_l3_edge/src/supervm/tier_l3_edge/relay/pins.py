"""Pins: which miner the transactions of a sender go to, as far as it takes their fees.

A miner orders a sender's transactions by slot and parks what has no predecessor, so all of them go to one miner as long
as it is up. A miner that takes the fees of all that wait comes before one that takes only the transaction at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from ..intake.store import Entry, Store
from .routes import Routes

PINS_MAX = 65_536
SIBLINGS_MAX = 64
"""Most transactions of a sender that are looked at to find a miner that takes them all."""


class Pins:
    """Senders and their miners, the least recently used first.

    Args:
        routes: the miners.
        store: what else waits of a sender.
    """

    def __init__(self, routes: Routes, store: Store) -> None:
        self._routes = routes
        self._store = store
        self._pins: dict[bytes, bytes] = {}

    def miner_of(self, now_us: int, entry: Entry) -> bytes | None:
        """Return the miner that an entry goes to, and pin its sender there; None if no miner that is up takes it.

        A miner that was asked before is asked again whatever it says by now: it may have the entry already.
        """
        sender = entry.transaction.body.sender
        miner = self._pins.get(sender)
        if miner is None or not (self.accepts(miner, entry) or self._has(miner, entry)):
            miner = self.choose(now_us, entry)
            if miner is None:
                return None
        self.pin(sender, miner)
        if len(self._pins) > PINS_MAX:
            del self._pins[next(iter(self._pins))]
        return miner

    def pin(self, sender: bytes, miner: bytes) -> None:
        """Pin a sender to a miner."""
        self._pins.pop(sender, None)
        self._pins[sender] = miner

    def leave(self, miner: bytes) -> None:
        """Free all who are pinned to a miner."""
        for sender in [sender for sender, pin in self._pins.items() if pin == miner]:
            del self._pins[sender]

    def accepts(self, miner: bytes, entry: Entry) -> bool:
        """Return whether a miner is up, takes an entry's fee by its terms, and has not refused it for that."""
        return miner not in entry.declined and self._routes.accepts_fee(miner, entry.transaction.body)

    def _has(self, miner: bytes, entry: Entry) -> bool:
        return miner in entry.asked and miner not in entry.declined and miner in self._routes.up

    def is_accepted(self, entry: Entry) -> bool:
        """Return whether any miner `accepts` an entry."""
        return any(self.accepts(miner, entry) for miner in self._routes.up)

    def choose(self, now_us: int, entry: Entry, *, but: Sequence[bytes] = (), silent: bool = True) -> bytes | None:
        """Return the best miner that accepts an entry, one that takes its siblings, too, if there is one.

        Args:
            now_us: the time now.
            entry: what is to go there.
            but: miners that are not meant.
            silent: whether silent ones come last; else they do not come at all.
        """
        body, but = entry.transaction.body, (*but, *entry.declined)
        siblings = [other.transaction.body for other in islice(self._store.of_sender(body.sender), SIBLINGS_MAX)]
        choice = self._routes.best(now_us, but=but, silent=silent, bodies=(body, *siblings))
        if choice is None and len(siblings) > 1:
            choice = self._routes.best(now_us, but=but, silent=silent, bodies=(body,))
        return choice
