"""The search for the largest rate that holds: short looks to come near, long ones to be sure.

Theory of operation. From the first rate on, short looks go up by a constant factor as long as the network holds, or
down until it does; then they halve what lies between the largest rate that held and the smallest that did not, on a
scale of factors, until the two are close. What is left has to hold for the full time; if it does not, the next lower
step has to, and so on. A short look says nothing for sure, so the answer is always a rate that held for the full time.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, sqrt


@dataclass(frozen=True, slots=True)
class Look:
    """A rate to be tried, and whether for the full time."""

    rate: float
    is_long: bool


class RateSearch:
    """One search; ask for `look`, try it, and say by `told` whether the network held, until `look` is None.

    Args:
        first: payments per second to begin with, above 0.
        growth: factor of the first steps, above 1.
        precision: factor between two rates that counts as close, above 1.
        floor: a rate below which nothing is tried.
        ceiling: a rate above which nothing is tried.

    Attributes:
        found: the largest rate that held for the full time; None before the end, and if none did.
        tried: looks that there were.
    """

    def __init__(
        self, first: float, *, growth: float, precision: float, floor: float = 1.0, ceiling: float = inf
    ) -> None:
        self._growth, self._precision, self._floor, self._ceiling = growth, precision, floor, ceiling
        self._held: float | None = None
        self._failed: float | None = None
        self.look: Look | None = Look(first, is_long=False)
        self.found: float | None = None
        self.tried = 0

    def told(self, held: bool) -> None:
        """Take the outcome of `look`."""
        look = self.look
        if look is None:
            return
        self.tried += 1
        if look.is_long:
            self.found = look.rate if held else None
            self.look = None if held else self._at(look.rate / self._precision, is_long=True)
            return
        if held:
            self._held = look.rate
        else:
            self._failed = look.rate
        self.look = self._next()

    def _next(self) -> Look | None:
        if self._held is None:
            return self._at((self._failed or self._floor) / self._growth, is_long=False)
        if self._held >= self._ceiling or (self._failed or inf) / self._held <= self._precision:
            return self._at(self._held, is_long=True)
        if self._failed is None:
            return self._at(min(self._held * self._growth, self._ceiling), is_long=False)
        return self._at(sqrt(self._held * self._failed), is_long=False)

    def _at(self, rate: float, *, is_long: bool) -> Look | None:
        return None if rate < self._floor else Look(rate, is_long)
