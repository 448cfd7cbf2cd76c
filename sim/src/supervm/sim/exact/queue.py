"""What happens next: what is due at one microsecond under that microsecond, and a heap of the microseconds.

Theory of operation. Comparing events is what a heap of events spends its time on, and ties between events are what
makes two runs differ. Here the heap holds plain integers, and what is due at one microsecond - mostly one item, else a
list - stands in the order it was asked for. A microsecond that is handled is taken out; an event added for it
meanwhile opens it anew, behind what was taken out. So ties are first come, first served by construction, and no
payload is ever compared (simulation.md 1).
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Generic, TypeVar

from ..errors import SimulationError

T = TypeVar("T")


class BucketQueue(Generic[T]):
    """A priority queue over integer time, first in first out within one microsecond; items are neither lists nor None.

    Attributes:
        now_us: time of the last item that was popped, or later by `advance`; nothing may be pushed before it.
    """

    __slots__ = ("_buckets", "_current", "_position", "_ticks", "now_us")

    def __init__(self) -> None:
        self._buckets: dict[int, T | list[T]] = {}
        self._ticks: list[int] = []
        self._current: list[T] = []  # several items of now, taken out together
        self._position = 0  # of the first of them that is not taken yet
        self.now_us = 0

    def __len__(self) -> int:
        waiting = sum(len(bucket) if isinstance(bucket, list) else 1 for bucket in self._buckets.values())
        return waiting + len(self._current) - self._position

    def push(self, time_us: int, item: T) -> None:
        """Add an item that is due at `time_us`.

        Raises:
            SimulationError: that is in the past.
        """
        buckets = self._buckets
        bucket = buckets.get(time_us)
        if bucket is None:
            if time_us < self.now_us:
                raise SimulationError(f"an event was asked for at {time_us} us, but it is {self.now_us} us already")
            buckets[time_us] = item
            heappush(self._ticks, time_us)
        elif type(bucket) is list:
            bucket.append(item)
        else:
            buckets[time_us] = [bucket, item]  # type: ignore[list-item]  # not a list, so an item

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
        take, ticks = self._buckets.pop, self._ticks
        while True:
            current = self._current
            while self._position < len(current):
                self._position += 1
                yield current[self._position - 1]
            if not ticks or ticks[0] > end_us:
                return
            self.now_us = now_us = heappop(ticks)
            bucket = take(now_us)
            if type(bucket) is list:
                self._current, self._position = bucket, 0
            else:
                yield bucket  # type: ignore[misc]  # not a list, so an item

    def next_us(self) -> int | None:
        """Return when the first item is due, None if there is none."""
        if self._position < len(self._current):
            return self.now_us
        return self._ticks[0] if self._ticks else None

    def advance(self, time_us: int) -> None:
        """Let time pass to `time_us` without an item.

        Raises:
            SimulationError: an item is due before, or that is in the past.
        """
        next_us = self.next_us()
        if time_us < self.now_us or (next_us is not None and next_us < time_us):
            raise SimulationError(f"time cannot go from {self.now_us} to {time_us} us: the next event is at {next_us}")
        self.now_us = time_us
