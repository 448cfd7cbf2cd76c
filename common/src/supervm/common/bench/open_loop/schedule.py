"""When payments are due, and what is made of their latencies: pure functions.

A schedule does not wait. A payment that cannot leave when it is due, because the one before it is not through, is late
from then on, and its latency counts from when it was due: a network that stalls for a second makes a second's worth of
payments slow, not one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True, slots=True)
class Schedule:
    """Payments at even distances.

    Attributes:
        rate: payments per second, above 0.
        seconds: for how long, above 0.
    """

    rate: float
    seconds: float

    @property
    def count(self) -> int:
        """How many payments there are, one at least."""
        return max(1, int(self.rate * self.seconds))

    def due_s(self, number: int) -> float:
        """Return when a payment is due, in seconds from the start; `number` counts from 0."""
        return number / self.rate

    def due_by(self, elapsed_s: float) -> int:
        """Return how many payments are due that many seconds after the start."""
        return 0 if elapsed_s < 0 else min(self.count, int(elapsed_s * self.rate + 1e-9) + 1)


def percentile(ordered: Sequence[float], per_cent: float) -> float:
    """Return the smallest value that `per_cent` of the values do not exceed; `ordered` ascends and is not empty."""
    return ordered[max(0, ceil(len(ordered) * per_cent / 100 - 1e-9) - 1)]
