"""Icons as a few strokes each, drawn in the colour of the words beside them: no pictures, sharp at any size."""

from __future__ import annotations

from math import cos, pi, sin
from typing import Any, Final

from kivy.graphics import Color, Line
from kivy.metrics import dp
from kivy.uix.widget import Widget

from .look import Dressed, Look

Stroke = tuple[float, ...]
"""x, y, x, y ... on a grid of 24 x 24, y upwards."""
GRID: Final = 24
ICON_DP: Final = 24
"""Width and height of an icon as it is usually drawn."""


def _arc(x: float, y: float, radius: float, first: float = 0, last: float = 360, steps: int = 28) -> Stroke:
    """Return a part of a circle; angles in degrees, counter-clockwise from the right."""
    angles = [(first + (last - first) * step / steps) * pi / 180 for step in range(steps + 1)]
    return tuple(value for angle in angles for value in (x + radius * cos(angle), y + radius * sin(angle)))


def _ellipse(x: float, y: float, wide: float, high: float) -> Stroke:
    angles = [pi * step / 16 for step in range(33)]
    return tuple(value for angle in angles for value in (x + wide * cos(angle), y + high * sin(angle)))


_BOX: Final = (4.0, 4.0, 20.0, 4.0, 20.0, 20.0, 4.0, 20.0, 4.0, 4.0)
STROKES: Final[dict[str, tuple[Stroke, ...]]] = {
    "home": ((3, 11.5, 12, 20, 21, 11.5), (5.5, 10, 5.5, 4, 18.5, 4, 18.5, 10), (10, 4, 10, 9.5, 14, 9.5, 14, 4)),
    "activity": ((8, 18, 20, 18), (8, 12, 20, 12), (8, 6, 20, 6), *(_arc(4, y, 0.6) for y in (18.0, 12.0, 6.0))),
    "network": (
        _arc(12, 18, 2.6), _arc(5.5, 6.5, 2.6), _arc(18.5, 6.5, 2.6),
        (10.7, 15.7, 6.8, 8.8), (13.3, 15.7, 17.2, 8.8), (8.1, 6.5, 15.9, 6.5),
    ),
    "settings": (
        (3, 17.5, 12.5, 17.5), (17.5, 17.5, 21, 17.5), _arc(15, 17.5, 2.5),
        (3, 6.5, 6.5, 6.5), (11.5, 6.5, 21, 6.5), _arc(9, 6.5, 2.5),
        (3, 12, 21, 12),
    ),
    "pay": ((6, 6, 18, 18), (9, 18, 18, 18, 18, 9)),
    "receive": ((18, 18, 6, 6), (15, 6, 6, 6, 6, 15)),
    "back": ((14.5, 5, 7.5, 12, 14.5, 19),),
    "forward": ((9.5, 5, 16.5, 12, 9.5, 19),),
    "close": ((6, 6, 18, 18), (6, 18, 18, 6)),
    "check": ((4.5, 12.5, 10, 7, 19.5, 17.5),),
    "plus": ((12, 5, 12, 19), (5, 12, 19, 12)),
    "copy": ((9, 4, 20, 4, 20, 15, 9, 15, 9, 4), (6, 9, 4, 9, 4, 20, 15, 20, 15, 18)),
    "scan": (
        (4, 9, 4, 4, 9, 4), (15, 4, 20, 4, 20, 9), (20, 15, 20, 20, 15, 20), (9, 20, 4, 20, 4, 15),
        (7, 12, 17, 12),
    ),
    "qr": (
        (4, 14, 10, 14, 10, 20, 4, 20, 4, 14), (14, 14, 20, 14, 20, 20, 14, 20, 14, 14),
        (4, 4, 10, 4, 10, 10, 4, 10, 4, 4), (14, 10, 14, 6), (18, 10, 20, 10, 20, 4, 16, 4),
    ),
    "lock": ((5, 4, 19, 4, 19, 12.5, 5, 12.5, 5, 4), (8, 12.5, 8, 16, *_arc(12, 16, 4, 180, 0), 16, 12.5)),
    "eye": ((*_arc(12, 4, 11.3, 45, 135), *_arc(12, 20, 11.3, 225, 315)), _arc(12, 12, 2.8)),
    "eye-off": ((*_arc(12, 4, 11.3, 45, 135), *_arc(12, 20, 11.3, 225, 315)), _arc(12, 12, 2.8), (4, 4, 20, 20)),
    "search": (_arc(10.5, 13.5, 6), (15, 9, 20, 4)),
    "share": ((12, 9, 12, 20), (8, 16.5, 12, 20.5, 16, 16.5), (8, 12, 5, 12, 5, 3.5, 19, 3.5, 19, 12, 16, 12)),
    "person": (_arc(12, 15.5, 4), _arc(12, 3, 7.5, 8, 172)),
    "clock": (_arc(12, 12, 8.5), (12, 17, 12, 12, 15.5, 9.5)),
    "warning": ((12, 20.5, 21.5, 4, 2.5, 4, 12, 20.5), (12, 15, 12, 10), _arc(12, 7, 0.5)),
    "file": ((6, 3, 6, 21, 14, 21, 18.5, 16.5, 18.5, 3, 6, 3), (13.5, 20.5, 13.5, 16, 18, 16)),
    "camera": ((3, 5, 21, 5, 21, 17, 16.5, 17, 15, 19.5, 9, 19.5, 7.5, 17, 3, 17, 3, 5), _arc(12, 11, 3.6)),
    "handover": (
        (4, 3, 11, 3, 11, 15, 4, 15, 4, 3), (13, 9, 20, 9, 20, 21, 13, 21, 13, 9),
        (5, 18, 9.5, 18), (8, 20, 10, 18, 8, 16), (19, 6, 14.5, 6), (16, 8, 14, 6, 16, 4),
    ),
    "coins": (_ellipse(12, 17, 8, 3), (4, 17, 4, 7), (20, 17, 20, 7), _arc(12, 10, 8.5, 199, 341)),
    "box": (_BOX,),
    "circle": (_arc(12, 12, 8.5),),
    "done": (_arc(12, 12, 8.5), (8, 12, 11, 9, 16, 15)),
    "phone": ((7, 2.5, 17, 2.5, 17, 21.5, 7, 21.5, 7, 2.5), (10.8, 5, 13.2, 5)),
    "key": (_arc(7.5, 12, 3.8), (11.3, 12, 21, 12, 21, 8.5), (17, 12, 17, 9)),
    "info": (_arc(12, 12, 8.5), (12, 7.5, 12, 12.5), _arc(12, 15.8, 0.5)),
    "paste": (
        (8, 18, 5, 18, 5, 3, 19, 3, 19, 18, 16, 18), (8, 16.5, 8, 20, 16, 20, 16, 16.5, 8, 16.5), (9, 10, 15, 10),
    ),
    "checked": (_BOX, (7.5, 12, 11, 8.5, 16.5, 15.5)),
}  # fmt: skip
"""Name -> strokes."""


class Icon(Dressed, Widget):
    """One icon.

    Args:
        look: what it is drawn with.
        name: of `STROKES`.
        ink: its colour.
        icon_dp: its width and height.
    """

    def __init__(self, look: Look, name: str, *, ink: str = "text", icon_dp: float = ICON_DP, **more: Any) -> None:
        super().__init__(**{"size_hint": (None, None), "size": (dp(icon_dp), dp(icon_dp))} | more)
        self._name = name
        self._ink = ink
        self._icon_dp = icon_dp
        with self.canvas:
            self._colour = Color()
        self._lines: list[Line] = []
        self.bind(pos=self._draw, size=self._draw)
        self.follow(look)

    def show(self, name: str = "", ink: str = "") -> None:
        """Be another icon, or of another colour."""
        name, ink = name or self._name, ink or self._ink
        if (name, ink) != (self._name, self._ink):
            is_new = name != self._name
            self._name, self._ink = name, ink
            if is_new:
                for line in self._lines:
                    self.canvas.remove(line)
                self._lines = []
            self.dress()

    def dress(self) -> None:
        """Take the colour from the look."""
        self._colour.rgba = self.look.colour(self._ink)
        self._draw()

    def _draw(self, *_: object) -> None:
        strokes = STROKES[self._name]
        if len(self._lines) != len(strokes):
            with self.canvas:
                self._lines = [Line(width=dp(0.95), cap="round", joint="round") for _ in strokes]
        unit = dp(self._icon_dp) / GRID
        left, low = self.center_x - unit * GRID / 2, self.center_y - unit * GRID / 2
        for line, stroke in zip(self._lines, strokes, strict=True):
            line.points = [(left if place % 2 == 0 else low) + value * unit for place, value in enumerate(stroke)]
