"""The places of the app to go to: along the bottom of a phone, down the side of a wide window."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from kivy.core.text import Label as CoreLabel
from kivy.metrics import dp
from kivy.uix.anchorlayout import AnchorLayout
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.widget import Widget

from ..values import Text
from .boxes import Column
from .ground import Ground
from .icons import Icon
from .look import FONT, Dressed, Look, size, space
from .scroll import RAIL_DP
from .target import Target
from .words import Words

TAB_LETTERS_DP: Final = 8
"""Room around the letters of a tab."""


class _Name(Words):
    """Words on one line that are smaller where they would be broken: a tab has only its part of the bar."""

    def dress(self) -> None:
        """Take words and colour from the look, and letters that fit."""
        super().dress()
        self._shrink()

    def _wrap(self, *_: object) -> None:
        super()._wrap()
        self._shrink()

    def _shrink(self) -> None:
        letters = self.look.letters("small")
        line = CoreLabel(font_name=FONT, font_size=letters)
        natural = max(1.0, float(line.get_extents(self.text)[0]))
        self.font_size = letters * min(1.0, max(1.0, self.width - dp(TAB_LETTERS_DP)) / natural)


class Tab(Target, BoxLayout):
    """One place: an icon with its name below it, or beside it in a rail.

    Args:
        look: what it is drawn with.
        name: of the place.
        icon: of `icons.STROKES`.
        key: its name (`Target.key`).
        is_beside: whether the name stands beside the icon.
    """

    def __init__(self, look: Look, name: Text, icon: str, *, key: str, is_beside: bool) -> None:
        super().__init__(orientation="horizontal", key=key, size_hint_y=None if is_beside else 1)
        self._is_chosen = False
        self.ground = Ground(self, corner_dp=16)
        self.draw_ring()
        self.icon = Icon(look, icon, ink="faint")
        if is_beside:
            self.height = size("tab")
            self.padding, self.spacing = (space("pad"), 0), space("pad")
            self.words = Words(look, name, ink="faint", pos_hint={"center_y": 0.5})
            self.icon.pos_hint = {"center_y": 0.5}
            self.add_widget(self.icon)
            self.add_widget(self.words)
        else:
            self.words = _Name(look, name, letters="small", ink="faint", halign="center")
            middle = AnchorLayout(size_hint_y=None, height=dp(26))
            middle.add_widget(self.icon)
            column = Column(middle, self.words, spacing=0, pos_hint={"center_y": 0.5})
            self.add_widget(column)
        self._is_beside = is_beside
        self.follow(look)

    def choose(self, *, is_chosen: bool) -> None:
        """Be the place that is shown, or not."""
        self._is_chosen = is_chosen
        self.dress()

    def dress(self) -> None:
        """Take colours from the look."""
        ink = "link" if self._is_chosen else "faint"
        self.icon.show(ink=ink)
        self.words.say(self.words.said, ink)
        self.ground.paint(self.look, "accent" if self._is_chosen and self._is_beside else "", alpha=0.12)


class TabBar(Dressed, BoxLayout):
    """All places side by side, or one under the other.

    Args:
        look: what it is drawn with.
        places: name of a place -> its text and icon.
        go: told the name of a place that is tapped.
        is_rail: whether they stand one under the other.
        top: what stands above them in a rail.
    """

    def __init__(
        self,
        look: Look,
        places: Mapping[str, tuple[Text, str]],
        go: Callable[[str], object],
        *,
        is_rail: bool,
        top: Widget | None = None,
    ) -> None:
        shape: dict[str, Any] = {"orientation": "horizontal", "size_hint_y": None, "height": size("tab") + dp(8)}
        if is_rail:
            shape = {"orientation": "vertical", "size_hint_x": None, "width": dp(RAIL_DP), "spacing": space("small")}
            shape["padding"] = (space("gap"), space("pad"))
        super().__init__(**shape)
        self.ground = Ground(self, corner_dp=0)
        self._tabs: dict[str, Tab] = {}
        if top is not None:
            self.add_widget(top)
        for name, (text, icon) in places.items():
            tab = Tab(look, text, icon, key=f"tab.{name}", is_beside=is_rail)
            tab.when_tapped(partial(go, name))
            self._tabs[name] = tab
            self.add_widget(tab)
            tab.words.bind(height=self._fit)
        if is_rail:
            self.add_widget(Widget())
        self._is_rail = is_rail
        self.follow(look)

    def _fit(self, *_: object) -> None:
        if not self._is_rail:
            self.height = max(size("tab"), dp(26) + max(tab.words.height for tab in self._tabs.values())) + dp(8)

    def choose(self, name: str) -> None:
        """Show which place is the present one."""
        for other, tab in self._tabs.items():
            tab.choose(is_chosen=other == name)

    def dress(self) -> None:
        """Take colours from the look."""
        self.ground.paint(self.look, "card")
        self._fit()
