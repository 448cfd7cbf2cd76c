"""The app's mark, the same as on its icon: four tiers, each on the one below, and a payment leaving the uppermost."""

from __future__ import annotations

from typing import Final

from kivy.graphics import Color, Ellipse, RoundedRectangle
from kivy.metrics import dp
from kivy.uix.widget import Widget

from .look import Dressed, Look

WIDTHS: Final = (280, 460, 640, 820)
"""Of the tiers from the uppermost to the lowest, in thousandths of the mark's size."""
LEFT, UPPER, STEP, HEIGHT = 90, 110, 205, 150
"""Where tiers begin, where the uppermost ends, from one to the next, and how high each is; likewise."""
SPARK_LEFT, SPARK = 415, 120
"""Where the payment begins, and how large it is; likewise."""


class Mark(Dressed, Widget):
    """The mark.

    Args:
        look: what it is drawn with.
        mark_dp: its width and height.
    """

    def __init__(self, look: Look, *, mark_dp: float = 88) -> None:
        super().__init__(size_hint=(None, None), size=(dp(mark_dp), dp(mark_dp)))
        with self.canvas:
            self._tiers = [(Color(), RoundedRectangle()) for _ in WIDTHS]
            self._spark = Color(), Ellipse()
        self.bind(pos=self._draw, size=self._draw)
        self.follow(look)

    def dress(self) -> None:
        """Take colours from the look."""
        for number, (colour, _) in enumerate(self._tiers):
            colour.rgba = self.look.colour("accent", 0.46 + 0.18 * number)
        self._spark[0].rgba = self.look.colour("waiting")
        self._draw()

    def _draw(self, *_: object) -> None:
        size: float = self.width

        def part(thousandths: int) -> float:
            return size * thousandths / 1000

        for number, ((_, tier), width) in enumerate(zip(self._tiers, WIDTHS, strict=True)):
            bottom = 1000 - UPPER - STEP * number - HEIGHT
            tier.pos = self.x + part(LEFT), self.y + part(bottom)
            tier.size = part(width), part(HEIGHT)
            tier.radius = [part(HEIGHT // 2)]
        spark = self._spark[1]
        spark.pos = self.x + part(SPARK_LEFT), self.y + part(1000 - UPPER - (HEIGHT + SPARK) // 2)
        spark.size = part(SPARK), part(SPARK)
