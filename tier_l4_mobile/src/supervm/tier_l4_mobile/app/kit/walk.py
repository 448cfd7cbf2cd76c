"""The line that a payment walks: one step under the other, with how far each is and when it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kivy.graphics import Color
from kivy.graphics import Line as Stroke
from kivy.metrics import dp

from ..values import Text
from .boxes import Column, Line
from .icons import Icon
from .look import Dressed, Look, space
from .words import Words

MARKS: Final[Mapping[str, tuple[str, str]]] = {
    "done": ("done", "sure"),
    "next": ("clock", "waiting"),
    "open": ("circle", "line"),
    "ended": ("close", "faint"),
}
"""How far a step is (`models.steps`) -> its icon and colour."""


class WalkStep(Dressed, Line):
    """One step.

    Args:
        look: what it is drawn with.
        is_first: whether no line leads to it.
    """

    def __init__(self, look: Look, *, is_first: bool) -> None:
        self._is_first = is_first
        self._icon = Icon(look, "circle")
        self._name = Words(look)
        self._time = Words(look, letters="small", ink="faint")
        text = Column(self._name, self._time, spacing=0)
        super().__init__(self._icon, text, spacing=space("pad"), padding=(0, space("gap")))
        with self.canvas.before:
            self._ink = Color()
            self._stroke = Stroke(width=dp(0.9))
        self._icon.bind(pos=self._draw)
        self.bind(pos=self._draw, size=self._draw)
        self.follow(look)

    def show(self, name: Text, state: str, time: Text | str) -> None:
        """Show how far it is."""
        icon, ink = MARKS[state]
        self._icon.show(icon, ink)
        self._name.say(name, "text" if state in ("done", "next") else "faint")
        self._time.say(time)

    def dress(self) -> None:
        """Take colours from the look."""
        self._ink.rgba = self.look.colour("line", 0.0 if self._is_first else 0.5)

    def _draw(self, *_: object) -> None:
        x, top = self._icon.center_x, self._icon.top - dp(3)
        # up to the lower end of the icon above: steps are equally high
        self._stroke.points = (x, top, x, top + max(0, self.height - dp(18)))
