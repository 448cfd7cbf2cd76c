"""What happens next: a calendar of short spans of time, of which only the present one is kept in order.

Theory of operation. Comparing events is what a heap of events spends its time on, and ties between events are what
makes two runs differ. Here time is cut into *slots* of `SLOT_US`. What is asked for in a later slot is only appended to
that slot's list; a heap holds the numbers of the slots, of which there are few. When a slot is reached its list is
sorted by time, once, and then taken from the front. The sort is stable and what is asked for meanwhile goes behind
everything of the same microsecond, so ties are first come, first served by construction, and no payload is ever
compared (simulation.md 1).
"""

from __future__ import annotations

from bisect import insort_right
from collections.abc import Iterator
from heapq import heappop, heappush
from operator import itemgetter, length_hint
from typing import Final, Generic, TypeVar

from ..errors import SimulationError

T = TypeVar("T")

SLOT_BITS: Final = 10
"""A slot is 2**10 us, about 1 ms: at 10^5 pending events it holds some hundreds, so what is asked for in the present
slot still finds its place quickly; at 10^3 it holds a few, so a slot costs little for each of them."""

_time_of: Final = itemgetter(0)


class BucketQueue(Generic[T]):
    """A priority queue over integer time, first in first out within one microsecond.

    Attributes:
        now_us: time of the last item that was popped, or later by `advance`; nothing may be pushed before it.
    """

    __slots__ = ("_current", "_left", "_numbers", "_open", "_slots", "now_us")

    def __init__(self) -> None:
        self._slots: dict[int, list[tuple[int, T]]] = {}  # slots that are not reached yet, in the order of asking
        self._numbers: list[int] = []  # of those, a heap
        self._open = -1  # number of the present slot; no slot up to it is in `_slots`
        self._current: list[tuple[int, T]] = []  # the present slot, in order
        self._left = iter(self._current)  # what of it is not taken; an item inserted ahead of it is met in its turn
        self.now_us = 0

    def __len__(self) -> int:
        return length_hint(self._left) + sum(map(len, self._slots.values()))

    def push(self, time_us: int, item: T) -> None:
        """Add an item that is due at `time_us`.

        Raises:
            SimulationError: that is in the past.
        """
        number = time_us >> SLOT_BITS
        slot = self._slots.get(number)
        if slot is not None:
            slot.append((time_us, item))
        elif number > self._open:
            self._slots[number] = [(time_us, item)]
            heappush(self._numbers, number)
        elif time_us >= self.now_us:
            # all that was taken is not later than now, so this never lands among it
            insort_right(self._current, (time_us, item), key=_time_of)
        else:
            raise SimulationError(f"an event was asked for at {time_us} us, but it is {self.now_us} us already")

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
        numbers, last = self._numbers, end_us >> SLOT_BITS
        while True:
            for time_us, item in self._left:
                if time_us > end_us:
                    self._put_back()
                    return
                self.now_us = time_us
                yield item
            is_over = not numbers or numbers[0] > last
            if is_over:
                current: list[tuple[int, T]] = []
            else:
                self._open = number = heappop(numbers)
                current = self._slots.pop(number)
                current.sort(key=_time_of)
            # a new list in any case: what is inserted into one that was taken to its end is never met
            self._current, self._left = current, iter(current)
            if is_over:
                return

    def _put_back(self) -> None:
        """Have the item that was taken last be the next one again."""
        current = self._current
        del current[: len(current) - length_hint(self._left) - 1]
        self._left = iter(current)

    def next_us(self) -> int | None:
        """Return when the first item is due, None if there is none."""
        left = length_hint(self._left)
        if left:
            return self._current[-left][0]
        return min(map(_time_of, self._slots[self._numbers[0]])) if self._numbers else None

    def advance(self, time_us: int) -> None:
        """Let time pass to `time_us` without an item.

        Raises:
            SimulationError: an item is due before, or that is in the past.
        """
        next_us = self.next_us()
        if time_us < self.now_us or (next_us is not None and next_us < time_us):
            raise SimulationError(f"time cannot go from {self.now_us} to {time_us} us: the next event is at {next_us}")
        self.now_us = time_us
