"""Scrolling: one column on a phone, two where there is room, and lists that are changed where they changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, Generic, TypeVar

from kivy.metrics import dp
from kivy.uix.anchorlayout import AnchorLayout
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.scrollview import ScrollView
from kivy.uix.widget import Widget

from .boxes import Column
from .look import Dressed, Look, is_wide, space

COLUMN_DP_MAX: Final = 560
"""A column is at most this wide: lines longer than that are hard to read."""
RAIL_DP: Final = 216
"""Width of the rail beside the columns, where there is one."""

T = TypeVar("T")


class Scroll(Dressed, ScrollView):
    """Scrolls what is higher than it.

    Args:
        look: what it is drawn with.
        thing: what is in it.
    """

    def __init__(self, look: Look, thing: Widget) -> None:
        super().__init__(do_scroll_x=False, bar_width=dp(3), scroll_type=["bars", "content"])
        self.add_widget(thing)
        self.follow(look)

    def dress(self) -> None:
        """Take colours from the look."""
        self.bar_color = self.look.colour("line", 0.8)
        self.bar_inactive_color = self.look.colour("line", 0.3)

    def scroll_to(self, widget: Widget, padding: Any = 10, animate: Any = True) -> None:
        """Scroll until a widget is seen; where all is seen already, and beyond both ends, Kivy would scroll it away."""
        if self._viewport is None or self._viewport.height <= self.height:
            self.scroll_y = 1.0
            return
        super().scroll_to(widget, padding=padding, animate=animate)
        if not animate:
            self.scroll_y = min(1.0, max(0.0, self.scroll_y))

    def on_touch_up(self, touch: Any) -> bool:
        """Let a tap end at once: Kivy would hold a button in here down for another fifth of a second."""
        was_dispatched = bool(super().on_touch_up(touch))
        if touch.ud.get(self._get_uid(), {}).get("mode") == "unknown":
            self._do_touch_up(touch)
        return was_dispatched


class Columns(AnchorLayout):
    """Things in one column, or in two where it is wide enough; scrolled.

    Args:
        look: what it is drawn with.
    """

    def __init__(self, look: Look) -> None:
        super().__init__()
        self._look = look
        self._things: list[tuple[Widget, int]] = []
        gap = {"spacing": space("pad")}
        self._sides = (Column(**gap), Column(**gap))
        self._body = BoxLayout(size_hint_y=None, size_hint_x=None, spacing=space("wide"), padding=space("pad"))
        self._body.bind(minimum_height=self._body.setter("height"))
        self._is_wide: bool | None = None
        self._holder = AnchorLayout(anchor_x="center", anchor_y="top", size_hint_y=None)
        self._holder.add_widget(self._body)
        self._body.bind(height=self._holder.setter("height"))
        self.scroll = Scroll(look, self._holder)
        super().add_widget(self.scroll)
        self.bind(width=self._arrange)

    def put(self, *things: Widget, side: int = 0) -> None:
        """Add things at the end; with two columns in the one numbered `side`, 0 or 1."""
        self._things += [(thing, side) for thing in things]
        if self._is_wide is not None:
            for thing in things:
                self._sides[side if self._is_wide else 0].add_widget(thing)

    def clear(self) -> None:
        """Take all things out."""
        self._things = []
        for side in self._sides:
            side.clear_widgets()

    def _arrange(self, *_: object) -> None:
        # the rail has taken its part of the window
        is_two = is_wide(self.width + dp(RAIL_DP)) and any(side for _, side in self._things)
        columns = 2 if is_two else 1
        room = 2 * space("pad") + (columns - 1) * space("wide") + columns * dp(COLUMN_DP_MAX)
        self._body.width = min(self.width, room)
        if is_two == self._is_wide:
            return
        self._is_wide = is_two
        for side in self._sides:
            side.clear_widgets()
        self._body.clear_widgets()
        for side in self._sides[:columns]:
            side.pos_hint = {"top": 1}
            self._body.add_widget(side)
        for thing, number in self._things:
            self._sides[number if is_two else 0].add_widget(thing)


class Listing(Column, Generic[T]):
    """Rows that are kept: only those that are new are made, and only those that changed are changed.

    Args:
        key_of: what names an item; a row stays with its item.
        make: makes the row of an item.
        update: shows an item, in its changed form, in its row.
    """

    def __init__(
        self,
        key_of: Callable[[T], Hashable],
        make: Callable[[T], Widget],
        update: Callable[[Any, T], None],
        **more: Any,
    ) -> None:
        super().__init__(**{"spacing": 0} | more)
        self._key_of, self._make, self._update = key_of, make, update
        self._rows: dict[Hashable, tuple[T, Widget]] = {}

    def fill(self, items: Sequence[T]) -> None:
        """Show these items, in their order."""
        rows: dict[Hashable, tuple[T, Widget]] = {}
        for item in items:
            key = self._key_of(item)
            old = self._rows.get(key)
            if old is None:
                rows[key] = (item, self._make(item))
            else:
                if old[0] != item:
                    self._update(old[1], item)
                rows[key] = (item, old[1])
        if list(rows) != list(self._rows):
            self.clear_widgets()
            for _, row in rows.values():
                self.add_widget(row)
        self._rows = rows
