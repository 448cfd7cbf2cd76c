"""Room for transactions that cannot be batched yet, and who gives way when there is none.

A parked transaction costs its sender nothing: a gap below it, or an account without money, is made with a fresh key. So
what is parked has a share of the mempool, inside which senders without the money come behind those with it and, among
equals, the one who has the most there gives way first, with the transaction furthest from execution. A transaction that
can run now takes a parked one's place whenever the mempool is full. Who gives way is told "busy", which an edge answers
by submitting again later (`supervm.tier_l3_edge.relay.relay`).
"""

from __future__ import annotations

from typing import Final

PARKED_SHARE: Final = 4
"""One part in this many of the mempool's bounds is for parked transactions."""


class Parking:
    """How many parked transactions each sender has.

    Args:
        count_max: transactions that may be parked, at least 1.
        bytes_max: their bytes together.
    """

    def __init__(self, count_max: int, bytes_max: int) -> None:
        self._count_max = max(1, count_max)
        self._bytes_max = bytes_max
        self._rank_of: dict[bytes, tuple[bool, int]] = {}
        self._levels: tuple[dict[int, dict[bytes, None]], dict[int, dict[bytes, None]]] = ({}, {})
        self._tops = [0, 0]  # upper bounds of the counts in each level
        self.count = 0
        """Transactions parked."""
        self.size = 0
        """Their canonical bytes."""

    def is_full(self, size: int) -> bool:
        """Return whether `size` more bytes in one transaction are too much."""
        return self.count >= self._count_max or self.size + size > self._bytes_max

    def change(self, sender: bytes, count: int, size: int, *, is_poor: bool) -> None:
        """Note that a sender has `count` transactions parked now, `size` bytes more than before (or less).

        Args:
            sender: whose.
            count: 0 forgets the sender.
            size: change of the bytes.
            is_poor: whether its account does not cover what it has parked.
        """
        former = self._rank_of.pop(sender, None)
        if former is not None:
            level = self._levels[former[0]][former[1]]
            del level[sender]
            if not level:
                del self._levels[former[0]][former[1]]
            self.count -= former[1]
        if count:
            self._rank_of[sender] = (is_poor, count)
            self._levels[is_poor].setdefault(count, {})[sender] = None
            self._tops[is_poor] = max(self._tops[is_poor], count)
        self.count += count
        self.size += size

    def first(self) -> bytes | None:
        """Return the sender that gives way first, or None if nothing is parked."""
        for is_poor in (True, False):
            levels, top = self._levels[is_poor], self._tops[is_poor]
            while top and top not in levels:
                top -= 1
            self._tops[is_poor] = top
            if top:
                return next(reversed(levels[top]))  # who came to this level last
        return None

    def gives_way(self, sender: bytes, newcomer: bytes, *, is_poor: bool) -> bool:
        """Return whether one more parked transaction of `newcomer` is to have the place of one of `sender`."""
        more = self._rank_of.get(newcomer, (is_poor, 0))[1] + 1
        return self._rank_of[sender] > (is_poor, more)
