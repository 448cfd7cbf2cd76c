"""What happens next: one list per microsecond, a heap of the microseconds that have one.

Theory of operation. Comparing events is what a heap of events spends its time on, and ties between events are what
makes two runs differ. Here the heap holds plain integers, each once, and everything due at one microsecond stands in
a list in the order it was asked for; an event added for the very microsecond that is being handled goes to the end of
the list that is being read. So ties are first come, first served by construction, and no payload is ever compared
(simulation.md 1).
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Generic, TypeVar

from ..errors import SimulationError

T = TypeVar("T")


class BucketQueue(Generic[T]):
    """A priority queue over integer time, first in first out within one microsecond.

    Attributes:
        now_us: time of the last item that was popped, or later by `advance`; nothing may be pushed before it.
    """

    __slots__ = ("_buckets", "_current", "_key", "_length", "_position", "_ticks", "now_us")

    def __init__(self) -> None:
        self._buckets: dict[int, list[T]] = {}
        self._ticks: list[int] = []
        self._current: list[T] = []
        self._position = 0
        self._length = 0
        self._key = -1  # whose bucket the current one is
        self.now_us = 0

    def __len__(self) -> int:
        return self._length

    def push(self, time_us: int, item: T) -> None:
        """Add an item that is due at `time_us`.

        Raises:
            SimulationError: that is in the past.
        """
        bucket = self._buckets.get(time_us)
        if bucket is None:
            if time_us < self.now_us:
                raise SimulationError(f"an event was asked for at {time_us} us, but it is {self.now_us} us already")
            self._buckets[time_us] = [item]
            heappush(self._ticks, time_us)
        else:
            bucket.append(item)
        self._length += 1

    def pop(self) -> tuple[int, T]:
        """Take the item that is due first; of several, the one that was pushed first.

        Raises:
            IndexError: there is none.
        """
        position = self._position
        current = self._current
        if position == len(current):
            if not self._length:
                raise IndexError("the queue is empty")
            self._buckets.pop(self._key, None)
            self._key = self.now_us = heappop(self._ticks)
            current = self._current = self._buckets[self._key]
            position = 0
        self._position = position + 1
        self._length -= 1
        return self.now_us, current[position]

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
        self.now_us = time_us
