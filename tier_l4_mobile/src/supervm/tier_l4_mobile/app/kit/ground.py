"""Grounds under widgets: rounded, with a fill and a line of the theme."""

from __future__ import annotations

from kivy.graphics import Color, InstructionGroup, Line, RoundedRectangle
from kivy.metrics import dp
from kivy.uix.widget import Widget

from .look import Look

CORNER_DP = 14
"""Radius of the corners of cards, fields and buttons."""


class Ground:
    """Draws a ground under a widget; the widget keeps it, and calls `paint` when its look changes.

    Args:
        widget: over it.
        corner_dp: radius of its corners.
        line_dp: width of its line.
    """

    def __init__(self, widget: Widget, *, corner_dp: float = CORNER_DP, line_dp: float = 1.0) -> None:
        self._widget = widget
        self._corner_dp = corner_dp
        self._fill, self._shape = Color(0, 0, 0, 0), RoundedRectangle()
        self._ink, self._line = Color(0, 0, 0, 0), Line(width=dp(line_dp))
        self._group = InstructionGroup()
        self._is_drawn = (False, False)
        # below all that Kivy draws itself: a field's cursor, and the colour that its letters are drawn in
        widget.canvas.before.insert(0, self._group)
        widget.bind(pos=self._move, size=self._move)

    def paint(self, look: Look, fill: str = "", line: str = "", *, alpha: float = 1.0) -> None:
        """Take colours of the theme by name; empty: none."""
        if fill:
            self._fill.rgba = look.colour(fill, alpha)
        if line:
            self._ink.rgba = look.colour(line)
        if self._is_drawn != (bool(fill), bool(line)):
            self._is_drawn = (bool(fill), bool(line))
            self._group.clear()  # what cannot be seen costs as much to draw as what can
            shown = (*((self._fill, self._shape) if fill else ()), *((self._ink, self._line) if line else ()))
            for instruction in shown:
                self._group.add(instruction)
        self._move()

    def _move(self, *_: object) -> None:
        widget = self._widget
        corner = min(dp(self._corner_dp), widget.width / 2, widget.height / 2)
        if self._is_drawn[0]:
            self._shape.pos, self._shape.size, self._shape.radius = widget.pos, widget.size, [corner]
        if self._is_drawn[1]:
            self._line.rounded_rectangle = (*widget.pos, *widget.size, corner)
