"""What the mempool holds, and in which order it offers it to the batcher.

A transaction is offered when it is its sender's next to be batched. Offers are ordered by fee, highest first, then by
arrival; but whatever arrived two seconds ago goes before everything else (decisions.md, Transactions). One that has
gone back to the mempool without quorum is offered again after its back-off. Offers are kept in heaps with lazy
deletion: an item counts only while its entry is still its sender's next.

Fees in two assets have no common unit, and consensus knows no price. What a miner has said of it is the least fee that
it takes in each asset: it has declared those to be worth the same to it. So a fee is measured in multiples of the least
one of its asset (`fee_rank`). Within one asset this is the order of the amounts.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

from supervm.protocol.base.codec import INT_MAX
from supervm.protocol.money.transaction import SignedTransaction

AGED_US = 2_000_000
"""Waiting time after which fees no longer matter."""
BACKOFF_US_MIN, BACKOFF_US_MAX = 50_000, 2_000_000
"""Delay before a transaction without quorum is batched again (consensus.md 3.9.5)."""

_RANK_BITS = INT_MAX.bit_length()

PARKED, QUEUED, IN_FLIGHT, CERTIFIED, DONE = range(5)
"""States of an `Entry`."""


def fee_rank(fee: int, least: int) -> int:
    """Return how high a fee is: the multiple of the least one taken in its asset, in steps of 2^-63.

    The steps are fine enough that two different fees in one asset never have the same rank, and two in different assets
    only if the multiples differ by less than a step.
    """
    return (fee << _RANK_BITS) // least


@dataclass(slots=True, eq=False)
class Entry:
    """One transaction in the mempool.

    Attributes:
        transaction: what was submitted.
        rank: how high its fee is (`fee_rank`).
        submitters: peers that are told what becomes of it.
        order: counts arrivals.
        arrived_us: when it arrived.
        state: PARKED .. DONE.
        due_us: not offered before.
        backoff_us: how long it waits if it goes back without quorum.
        waits_for: while PARKED, the reason it will be refused with.
    """

    transaction: SignedTransaction
    rank: int
    submitters: tuple[bytes, ...]
    order: int
    arrived_us: int
    state: int = PARKED
    due_us: int = 0
    backoff_us: int = BACKOFF_US_MIN
    waits_for: str = ""


Heap = list[tuple[int, int, Entry]]
"""(key, arrival order, entry); the order is unique, so entries are never compared."""


class Offers:
    """The transactions that may be batched next.

    Args:
        is_next: whether an entry is QUEUED and its sender's next to be batched.
    """

    def __init__(self, is_next: Callable[[Entry], bool]) -> None:
        self._is_next = is_next
        self._by_fee: Heap = []
        self._by_age: Heap = []
        self._later: Heap = []
        self.waiting_since_us: int | None = None
        """Since when something could have been batched, or None."""

    @property
    def wake_us(self) -> int | None:
        """When `wake` has something to do."""
        return self._later[0][0] if self._later else None

    @property
    def oldest_us(self) -> int | None:
        """When the oldest transaction that is offered arrived, or None."""
        by_age = self._by_age
        while by_age and not self._is_next(by_age[0][2]):
            heapq.heappop(by_age)
        return by_age[0][0] if by_age else None

    def add(self, now_us: int, entry: Entry) -> None:
        """Offer an entry, now or when its back-off is over."""
        if entry.due_us > now_us:
            heapq.heappush(self._later, (entry.due_us, entry.order, entry))
            return
        heapq.heappush(self._by_fee, (-entry.rank, entry.order, entry))
        heapq.heappush(self._by_age, (entry.arrived_us, entry.order, entry))
        if self.waiting_since_us is None:
            self.waiting_since_us = now_us

    def wake(self, now_us: int) -> None:
        """Offer what has backed off long enough."""
        while self._later and self._later[0][0] <= now_us:
            entry = heapq.heappop(self._later)[2]
            if self._is_next(entry):
                self.add(now_us, entry)

    def best(self, now_us: int) -> Entry | None:
        """Return the entry that is to be batched next, or None."""
        oldest_us = self.oldest_us
        if oldest_us is None:
            return None
        if oldest_us + AGED_US <= now_us:
            return self._by_age[0][2]
        by_fee = self._by_fee
        while by_fee and not self._is_next(by_fee[0][2]):
            heapq.heappop(by_fee)
        return by_fee[0][2] if by_fee else None

    def tidy(self, items_max: int) -> None:
        """Rebuild heaps that have grown beyond `items_max` and so hold mostly what no longer counts."""
        for heap in (self._by_fee, self._by_age, self._later):
            compact(heap, items_max, self._is_next)


def compact(heap: Heap, items_max: int, counts: Callable[[Entry], bool]) -> None:
    """Drop what does not count from a heap of more than `items_max` items."""
    if len(heap) > items_max:
        heap[:] = [item for item in heap if counts(item[2])]
        heapq.heapify(heap)
