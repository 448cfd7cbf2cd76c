"""Long lists: only the rows that are seen exist, and each is used again for another item when it leaves the view.

All rows are equally high, so that where an item is follows from its number alone. Ten thousand items cost no more than
the dozen that are seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from kivy.clock import Clock
from kivy.uix.widget import Widget

from .look import Look
from .scroll import Scroll

BEYOND: Final = 1
"""Rows that are ready above and below those that are seen."""

T = TypeVar("T")
W = TypeVar("W", bound=Widget)


class Recycled(Scroll, Generic[T, W]):
    """A list of items of which only those that are seen have a row.

    Args:
        look: what it is drawn with.
        make: makes a row that shows nothing yet.
        show: shows an item in a row.
        height_of: tells how high a row is at a width, in px.
        rows: returns at most so many items, the second argument, from a number on, the first.
        wants_more: called when the end is near.
    """

    def __init__(
        self,
        look: Look,
        *,
        make: Callable[[], W],
        show: Callable[[W, T], None],
        height_of: Callable[[float], float],
        rows: Callable[[int, int], Sequence[T]],
        wants_more: Callable[[], None],
    ) -> None:
        self._make, self._show, self._height_of, self._rows_of = make, show, height_of, rows
        self._wants_more = wants_more
        self._count = 0
        self._row_height = 1.0
        self._seen: dict[int, tuple[W, T]] = {}
        self._spare: list[W] = []
        self._ground = Widget(size_hint_y=None, height=0)
        self._soon = Clock.create_trigger(self._place, -1)
        super().__init__(look, self._ground)
        self.bind(scroll_y=self._soon, size=self._soon)

    @property
    def rows_made(self) -> int:
        """How many rows exist."""
        return len(self._seen) + len(self._spare)

    def fill(self, count: int) -> None:
        """Show as many items as there are now, or as they are now."""
        if count != self._count:
            above = self._above()
            self._count = count
            self._measure()
            self._hold(above)
        self._place()

    def to_top(self) -> None:
        """Go back to the first item."""
        self.scroll_y = 1.0
        self._update_effect_y_bounds()

    def dress(self) -> None:
        """Take colours and heights from the look."""
        super().dress()
        self._soon()

    def _above(self) -> float:
        """Return how much of the list is above the view, in px."""
        return float(max(0.0, (1 - self.scroll_y) * (self._ground.height - self.height)))

    def _hold(self, above: float) -> None:
        """Go on showing what was shown, after the list has become longer or shorter."""
        room = self._ground.height - self.height
        self.scroll_y = 1.0 if room <= 0 else min(1.0, max(0.0, 1 - above / room))
        self._update_effect_y_bounds()

    def _measure(self) -> None:
        self._row_height = max(1.0, self._height_of(self.width))
        self._ground.height = self._row_height * self._count

    def _place(self, *_: object) -> None:
        """Give each item that is seen a row, and put it where it belongs."""
        self._measure()
        first = max(0, int(self._above() // self._row_height) - BEYOND)
        most = int(self.height // self._row_height) + 2 + 2 * BEYOND
        items = self._rows_of(first, most) if self._count else ()
        numbers = range(first, first + len(items))
        for number in [number for number in self._seen if number not in numbers]:
            self._spare.append(self._seen.pop(number)[0])
        for number, item in zip(numbers, items, strict=True):
            self._put(number, item)
        for row in self._spare:
            if row.parent is not None:
                self._ground.remove_widget(row)
        if first + most >= self._count:
            self._wants_more()

    def _put(self, number: int, item: T) -> None:
        known = self._seen.get(number)
        row = known[0] if known is not None else self._spare.pop() if self._spare else self._make()
        if known is None or known[1] != item:
            self._show(row, item)
        self._seen[number] = row, item
        row.size_hint = (None, None)
        row.size = (self.width, self._row_height)
        row.pos = (self._ground.x, self._ground.top - (number + 1) * self._row_height)
        if row.parent is None:
            self._ground.add_widget(row)

    def on_touch_down(self, touch: Any) -> bool:
        """Touch rows only where they are seen."""
        return bool(super().on_touch_down(touch)) if self.collide_point(*touch.pos) else False
