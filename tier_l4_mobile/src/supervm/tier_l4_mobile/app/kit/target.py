"""What can be touched: by a finger, by a mouse, by the keyboard; large enough, and with a name of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kivy.graphics import Color, InstructionGroup, Line
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
        """Draw a ring while the keyboard is on it; called once by the constructor of what this is mixed into."""
        self._ring_ink, self._ring, self._ring_group = Color(), Line(width=dp(2)), InstructionGroup()
        self.canvas.after.add(self._ring_group)
        self.bind(pos=self._move_ring, size=self._move_ring, is_marked=self._mark)

    def _mark(self, *_: object) -> None:
        self._ring_group.clear()
        if self.is_marked:
            self._ring_ink.rgba = self.look.colour("accent")
            self._ring_group.add(self._ring_ink)
            self._ring_group.add(self._ring)
            self._move_ring()

    def _move_ring(self, *_: object) -> None:
        if not self.is_marked:
            return
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
