"""Buttons: filled for what is done most, outlined for the rest, plain for what is beside it; and icons to tap."""

from __future__ import annotations

from typing import Any, Final

from kivy.metrics import dp
from kivy.uix.anchorlayout import AnchorLayout
from kivy.uix.boxlayout import BoxLayout

from ..values import Text
from .ground import Ground
from .icons import ICON_DP, Icon
from .look import Look, size, space, target
from .target import Target
from .words import Words

FILLED, OUTLINED, PLAIN, DANGER = "filled", "outlined", "plain", "danger"
"""Kinds of buttons."""
_COLOURS: Final = {
    FILLED: ("accent", "", "on_accent"),
    OUTLINED: ("card", "line", "link"),
    PLAIN: ("", "", "link"),
    DANGER: ("card", "bad", "bad"),
}  # kind -> fill, line, ink


class PushButton(Target, BoxLayout):
    """A button with a text, and an icon if it has one.

    Args:
        look: what it is drawn with.
        text: what it says.
        key: its name (`Target.key`).
        kind: `FILLED`, `OUTLINED`, `PLAIN` or `DANGER`.
        icon: of `icons.STROKES`; empty: none.
    """

    def __init__(self, look: Look, text: Text, *, key: str, kind: str = FILLED, icon: str = "", **more: Any) -> None:
        pad = (space("pad"), space("gap"))
        super().__init__(**{"orientation": "horizontal", "size_hint_y": None, "padding": pad, "key": key} | more)
        self._kind = kind
        self.ground = Ground(self)
        self.draw_ring()
        ink = _COLOURS[kind][2]
        self.words = Words(look, text, ink=ink, halign="center")
        self._icon = Icon(look, icon, ink=ink, pos_hint={"center_y": 0.5}) if icon else None
        inner = BoxLayout(spacing=space("gap"), size_hint=(None, 1))
        if self._icon is not None:
            inner.add_widget(self._icon)
        self.words.pos_hint = {"center_y": 0.5}
        inner.add_widget(self.words)
        middle = AnchorLayout()
        middle.add_widget(inner)
        self.add_widget(middle)
        self._inner = inner
        self.bind(width=self._fit, disabled=self._paint, state=self._paint)
        self.words.bind(height=self._fit, text=self._fit)
        self.follow(look)

    def say(self, text: Text) -> None:
        """Say something else."""
        self.words.say(text)

    def dress(self) -> None:
        """Take colours and height from the look."""
        self._paint()
        self._fit()

    def _paint(self, *_: object) -> None:
        fill, line, _ink = _COLOURS[self._kind]
        alpha = 0.75 if self.state == "down" else 1.0
        self.ground.paint(
            self.look, fill or ("line" if self.state == "down" else ""), line, alpha=alpha if fill else 0.2
        )
        self.opacity = 0.45 if self.disabled else 1

    def _fit(self, *_: object) -> None:
        """Wrap the text where it is wider than the button, and be high enough for it."""
        beside = (dp(ICON_DP) + space("gap")) if self._icon is not None else 0
        room = max(dp(24), self.width - 2 * space("pad") - beside)
        self._inner.width = min(room, self.words.natural_width()) + beside
        self.height = max(size("button"), self.words.height + 2 * space("gap"))


class IconButton(Target, AnchorLayout):
    """An icon to tap; its name for those who cannot see it is its key.

    Args:
        look: what it is drawn with.
        icon: of `icons.STROKES`.
        key: its name (`Target.key`).
        ink: colour of the icon.
    """

    def __init__(self, look: Look, icon: str, *, key: str, ink: str = "text", **more: Any) -> None:
        super().__init__(**{"size_hint": (None, None), "size": (target(), target()), "key": key} | more)
        self.ground = Ground(self, corner_dp=24)
        self.draw_ring()
        self.icon = Icon(look, icon, ink=ink)
        self.add_widget(self.icon)
        self.bind(state=self._paint)
        self.follow(look)

    def dress(self) -> None:
        """Take colours from the look."""
        self._paint()

    def _paint(self, *_: object) -> None:
        self.ground.paint(self.look, "line" if self.state == "down" else "", alpha=0.25)
