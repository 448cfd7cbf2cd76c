"""What can be touched: by a finger, by a mouse, by the keyboard; large enough, and with a name of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kivy.graphics import Color, Line
from kivy.metrics import dp
from kivy.properties import BooleanProperty, StringProperty
from kivy.uix.behaviors import ButtonBehavior
from kivy.uix.widget import Widget

from .look import Dressed


class Target(Dressed, ButtonBehavior):
    """Mixed in before a layout: makes a thing to touch of it.

    Attributes:
        key: its name, which stays the same in all languages: ``home.pay``.
        is_marked: whether the keyboard is on it; a ring shows that.
    """

    key = StringProperty("")
    is_marked = BooleanProperty(defaultvalue=False)

    def draw_ring(self) -> None:
        """Make the ring that shows where the keyboard is; called once by the constructor of what this is mixed into."""
        with self.canvas.after:
            self._ring_ink = Color(0, 0, 0, 0)
            self._ring = Line(width=dp(2))
        self.bind(pos=self._move_ring, size=self._move_ring, is_marked=self._move_ring)

    def _move_ring(self, *_: object) -> None:
        self._ring_ink.rgba = self.look.colour("accent") if self.is_marked else (0, 0, 0, 0)
        inset = dp(2)
        width, height = max(0, self.width - 2 * inset), max(0, self.height - 2 * inset)
        corner = min(dp(12), width / 2, height / 2)
        self._ring.rounded_rectangle = (self.x + inset, self.y + inset, width, height, corner)

    def when_tapped(self, act: Callable[[], object]) -> None:
        """Do something each time it is tapped."""
        self.bind(on_release=lambda _: act())

    def tap(self) -> None:
        """Act as if it were tapped: what the keyboard does."""
        if not self.disabled:
            self.dispatch("on_press")
            self.dispatch("on_release")


def shown_in(root: Widget) -> Iterator[Widget]:
    """Yield `root` and all below it in the order of reading: top to bottom, children as they were added."""
    yield root
    for child in reversed(root.children):
        yield from shown_in(child)
