"""What happens next: one list per microsecond, a heap of the microseconds that have one.

Theory of operation. Comparing events is what a heap of events spends its time on, and ties between events are what
makes two runs differ. Here the heap holds plain integers, each once, and everything due at one microsecond stands in
a list in the order it was asked for; an event added for the very microsecond that is being handled goes to the end of
the list that is being read. So ties are first come, first served by construction, and no payload is ever compared
(simulation.md 1).
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import islice
from typing import Generic, TypeVar

from ..errors import SimulationError

T = TypeVar("T")


class BucketQueue(Generic[T]):
    """A priority queue over integer time, first in first out within one microsecond.

    Attributes:
        now_us: time of the last item that was popped, or later by `advance`; nothing may be pushed before it.
    """

    __slots__ = ("_buckets", "_current", "_key", "_position", "_ticks", "now_us")

    def __init__(self) -> None:
        self._buckets: dict[int, list[T]] = {}
        self._ticks: list[int] = []
        self._current: list[T] = []
        self._position = 0
        self._key = -1  # whose bucket the current one is
        self.now_us = 0

    def __len__(self) -> int:
        waiting = sum(map(len, self._buckets.values()))
        return waiting - self._position if self._key in self._buckets else waiting

    def push(self, time_us: int, item: T) -> None:
        """Add an item that is due at `time_us`.

        Raises:
            SimulationError: that is in the past.
        """
        bucket = self._buckets.get(time_us)
        if bucket is not None:
            bucket.append(item)
            return
        if time_us < self.now_us:
            raise SimulationError(f"an event was asked for at {time_us} us, but it is {self.now_us} us already")
        self._buckets[time_us] = [item]
        heappush(self._ticks, time_us)

    def pop(self) -> tuple[int, T]:
        """Take the item that is due first; of several, the one that was pushed first.

        Raises:
            IndexError: there is none.
        """
        next_us = self.next_us()
        if next_us is None:
            raise IndexError("the queue is empty")
        return next_us, next(self.due(next_us))

    def due(self, end_us: int) -> Iterator[T]:
        """Take one item after the other, in order, as long as one is due by `end_us`.

        What is pushed meanwhile takes its place. An item is taken when it is given, so whoever stops loses nothing.
        """
        buckets, ticks = self._buckets, self._ticks
        # an iterator over a list also gives what is appended to the list later
        for item in islice(self._current, self._position, None):
            self._position += 1
            yield item
        while ticks and ticks[0] <= end_us:
            buckets.pop(self._key, None)
            self._key = self.now_us = heappop(ticks)
            self._position = 0
            self._current = current = buckets[self._key]
            for item in current:
                self._position += 1
                yield item

    def next_us(self) -> int | None:
        """Return when the first item is due, None if there is none."""
        if self._position < len(self._current):
            return self._key
        return self._ticks[0] if self._ticks else None

    def advance(self, time_us: int) -> None:
        """Let time pass to `time_us` without an item.

        Raises:
            SimulationError: an item is due before, or that is in the past.
        """
        next_us = self.next_us()
        if time_us < self.now_us or (next_us is not None and next_us < time_us):
            raise SimulationError(f"time cannot go from {self.now_us} to {time_us} us: the next event is at {next_us}")
        if time_us > self.now_us:  # the current bucket is used up, and its time is past from now on
            self._buckets.pop(self._key, None)
            self._current, self._position, self._key = [], 0, -1
        self.now_us = time_us
