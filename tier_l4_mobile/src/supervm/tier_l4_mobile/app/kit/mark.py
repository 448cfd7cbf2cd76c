"""The app's mark: four tiers, one in another, the innermost is the phone."""

from __future__ import annotations

from kivy.graphics import Color, Line
from kivy.metrics import dp
from kivy.uix.widget import Widget

from .look import Dressed, Look

TIERS = 4
"""Rings of the mark."""


class Mark(Dressed, Widget):
    """The mark.

    Args:
        look: what it is drawn with.
        mark_dp: its width and height.
    """

    def __init__(self, look: Look, *, mark_dp: float = 88) -> None:
        super().__init__(size_hint=(None, None), size=(dp(mark_dp), dp(mark_dp)))
        with self.canvas:
            self._parts = [(Color(), Line(width=dp(2.2), cap="round")) for _ in range(TIERS)]
        self.bind(pos=self._draw, size=self._draw)
        self.follow(look)

    def dress(self) -> None:
        """Take colours from the look."""
        for number, (colour, _) in enumerate(self._parts):
            colour.rgba = self.look.colour("accent", 1 - 0.22 * number)
        self._draw()

    def _draw(self, *_: object) -> None:
        step = self.width / 2 / TIERS
        for number, (_, line) in enumerate(self._parts):
            radius = step * (number + 1) - dp(3)
            # each ring is open at another side: they are on their way to one another
            begin = 40 + 100 * number
            line.circle = (
                self.center_x,
                self.center_y,
                max(dp(2), radius),
                begin,
                begin + (360 if number == 0 else 290),
            )
