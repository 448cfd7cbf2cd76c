"""One payment in a long list: whom, how much, how it stands and when; always as high as every other one."""

from __future__ import annotations

from typing import Final

from kivy.core.text import Label as CoreLabel
from kivy.graphics import Color, Rectangle
from kivy.metrics import dp
from kivy.uix.boxlayout import BoxLayout

from ..values import Text
from .boxes import Line
from .ground import Ground
from .icons import ICON_DP, Icon
from .look import FONT, Look, size, space
from .target import Target
from .words import Words

BESIDE_DP: Final = 200
"""From this width on, at the usual size of letters, a name and an amount stand side by side."""
_LINE: Final = 1.25
"""Height of a line, in letters."""


class PaymentRow(Target, BoxLayout):
    """A row of a `recycled.Recycled` list.

    Args:
        look: what it is drawn with.
        icon: what stands before it until it shows something.
    """

    def __init__(self, look: Look, icon: str = "clock") -> None:
        super().__init__(orientation="horizontal", padding=(space("pad"), space("gap")), spacing=space("pad"))
        self.ground = Ground(self)
        with self.canvas.before:
            self._ink = Color()
            self._rule = Rectangle()
        self.draw_ring()
        self.icon = Icon(look, icon, ink="faint", pos_hint={"center_y": 0.5})
        self.name = Words(look, is_short=True)
        self.amount = Words(look, size_hint_x=None)
        self.status = Words(look, letters="small", is_short=True)
        self.when = Words(look, letters="small", ink="faint")
        self._lines = BoxLayout(orientation="vertical", size_hint_y=None, pos_hint={"center_y": 0.5})
        self._lines.bind(minimum_height=self._lines.setter("height"))
        self.add_widget(self.icon)
        self.add_widget(self._lines)
        self._is_beside: bool | None = None
        self.bind(width=self._arrange, state=self._paint, pos=self._draw, size=self._draw)
        self.follow(look)

    def show(self, key: str, icon: str, ink: str, name: Text | str, amount: Text, status: Text, when: Text) -> None:
        """Show another payment."""
        self.key = key
        self.icon.show(icon, ink)
        self.name.say(name)
        self.amount.say(amount)
        self.status.say(status, ink)
        self.when.say(when)

    def dress(self) -> None:
        """Take colours from the look."""
        self._paint()
        self._arrange()

    def _paint(self, *_: object) -> None:
        self.ground.paint(self.look, "line" if self.state == "down" else "", alpha=0.2)
        self._ink.rgba = self.look.colour("line", 0.25)

    def _draw(self, *_: object) -> None:
        begin = space("pad") + dp(ICON_DP) + space("pad")
        self._rule.pos = (self.x + begin, self.y)
        self._rule.size = (max(0, self.width - begin - space("pad")), dp(1))

    def _arrange(self, *_: object) -> None:
        is_beside = stands_beside(self.look, self.width)
        if is_beside == self._is_beside:
            return
        self._is_beside = is_beside
        for words in (self.name, self.amount, self.status, self.when):
            if words.parent is not None:
                words.parent.remove_widget(words)
        self._lines.clear_widgets()
        self.amount.size_hint_x = None if is_beside else 1
        self.amount.halign = "right" if is_beside else "left"
        self.amount.dress()  # its text has to be fitted to the width that it has now
        top = [Line(self.name, self.amount)] if is_beside else [self.name, self.amount]
        for thing in (*top, self.status, self.when):
            self._lines.add_widget(thing)


def stands_beside(look: Look, width: float) -> bool:
    """Return whether name and amount have room side by side in a row of this width, in px."""
    beside = 2 * space("pad") + dp(ICON_DP) + space("pad")
    return bool((width - beside) * 100 >= dp(BESIDE_DP) * look.percent * 1.3)


def row_height(look: Look, width: float, longest: str) -> float:
    """Return how high each row is, in px.

    Args:
        look: what rows are drawn with.
        width: of the row, in px.
        longest: the longest time that is shown, in words: where letters are large it takes two lines.
    """
    room = max(dp(48), width - 3 * space("pad") - dp(ICON_DP))
    small = look.letters("small")
    times = 1 if CoreLabel(font_name=FONT, font_size=small).get_extents(longest)[0] <= room else 2
    large = 1 if stands_beside(look, width) else 2
    letters = large * look.letters("text") + (1 + times) * small
    return float(max(size("row"), letters * _LINE + 2 * space("gap") + space("small")))
