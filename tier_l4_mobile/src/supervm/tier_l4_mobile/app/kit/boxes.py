"""Boxes: columns that are as high as what is in them, cards, and rows that can be tapped."""

from __future__ import annotations

from typing import Any

from kivy.metrics import dp
from kivy.uix.anchorlayout import AnchorLayout
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.widget import Widget

from ..values import Text
from .ground import CORNER_DP, Ground
from .icons import Icon
from .look import Dressed, Look, size, space
from .target import Target
from .words import Words


class Column(BoxLayout):
    """Things one under the other, as high as they are together.

    Args:
        things: what is in it.
        more: of Kivy's box.
    """

    def __init__(self, *things: Widget, **more: Any) -> None:
        super().__init__(**{"orientation": "vertical", "size_hint_y": None, "spacing": space("gap")} | more)
        self.bind(minimum_height=self.setter("height"))
        self.height = 0  # of one that stays empty nothing is told
        for thing in things:
            self.add_widget(thing)


class Line(BoxLayout):
    """Things side by side, as high as the highest of them, each in the middle.

    Args:
        things: what is in it; those that are to share the width have a ``size_hint_x``.
        more: of Kivy's box.
    """

    def __init__(self, *things: Widget, **more: Any) -> None:
        super().__init__(**{"orientation": "horizontal", "size_hint_y": None, "spacing": space("gap")} | more)
        for thing in things:
            self.add_widget(thing)
        self.bind(minimum_height=self.setter("height"))

    def add_widget(self, widget: Widget, *args: Any, **more: Any) -> None:
        """Add something, in the middle of the height."""
        widget.pos_hint = {"center_y": 0.5}
        super().add_widget(widget, *args, **more)


class Card(Dressed, Column):
    """A column on a ground of its own.

    Args:
        look: what it is drawn with.
        things: what is in it.
        more: of Kivy's box.
    """

    def __init__(self, look: Look, *things: Widget, **more: Any) -> None:
        super().__init__(*things, **{"padding": space("pad"), "spacing": space("gap")} | more)
        self.ground = Ground(self, corner_dp=CORNER_DP + 4)
        self.follow(look)

    def dress(self) -> None:
        """Take colours from the look."""
        self.ground.paint(self.look, "card")


class Rule(Dressed, Widget):
    """A thin line between rows; it is an ornament, so it is fainter than what has to be seen."""

    def __init__(self, look: Look) -> None:
        super().__init__(size_hint_y=None, height=dp(1))
        self.ground = Ground(self, corner_dp=0)
        self.follow(look)

    def dress(self) -> None:
        """Take colours from the look."""
        self.ground.paint(self.look, "line", alpha=0.25)


class Row(Target, BoxLayout):
    """A row to tap: an icon, a title with a line below it, and something at its end.

    Args:
        look: what it is drawn with.
        title: what it is.
        below: what is read second.
        key: its name (`Target.key`).
        icon: of `icons.STROKES`; empty: none.
        end: a text at the end; without one there is no room for it.
        end_icon: an icon at the end; ``forward`` for rows that lead somewhere.
        is_short: whether the title is an address that may lose its middle.

    Attributes:
        title, below, end: the words, for whoever changes them.
    """

    def __init__(
        self,
        look: Look,
        title: Text | str,
        *,
        key: str,
        below: Text | str = "",
        icon: str = "",
        end: Text | str = "",
        end_icon: str = "",
        is_short: bool = False,
    ) -> None:
        pad = (space("pad"), space("gap"))
        super().__init__(key=key, size_hint_y=None, padding=pad, spacing=space("pad"))
        self.ground = Ground(self)
        self.draw_ring()
        self.title = Words(look, title, is_short=is_short)
        self.below = Words(look, below, letters="small", ink="faint")
        self.end = Words(look, end, ink="text", halign="right", size_hint_x=None)
        self.icon = Icon(look, icon or "box", ink="faint") if icon else None
        self._text = Column(self.title, self.below, spacing=space("small") / 2)
        more = Icon(look, end_icon, ink="faint") if end_icon else None
        for thing in (self.icon, self._text, self.end if end else None, more):
            if thing is not None:
                thing.pos_hint = {"center_y": 0.5}
                self.add_widget(thing)
        self._text.bind(height=self._fit)
        self.bind(state=self._paint)
        self.follow(look)

    def dress(self) -> None:
        """Take colours and height from the look."""
        self._paint()
        self._fit()

    def _paint(self, *_: object) -> None:
        self.ground.paint(self.look, "line" if self.state == "down" else "", alpha=0.2)

    def _fit(self, *_: object) -> None:
        self.height = max(size("row"), self._text.height + 2 * space("gap"))


class Numbered(Line):
    """A number and what it is the number of.

    Args:
        look: what it is drawn with.
        number: from 1 on.
        text: beside it.
    """

    def __init__(self, look: Look, number: int, text: str) -> None:
        super().__init__(Words(look, str(number), ink="faint", halign="right", size_hint_x=0.3), Words(look, text))


class Centred(AnchorLayout):
    """One thing in the middle of the width, as high as it.

    Args:
        thing: in it.
    """

    def __init__(self, thing: Widget, **more: Any) -> None:
        super().__init__(**{"size_hint_y": None, "height": thing.height} | more)
        self.add_widget(thing)
        thing.bind(height=lambda _, height: setattr(self, "height", height))
