"""The tiers of the network as a ladder: this phone at its foot, and the way that payments take upwards."""

from __future__ import annotations

from kivy.graphics import Color
from kivy.graphics import Line as Stroke
from kivy.metrics import dp
from kivy.uix.anchorlayout import AnchorLayout

from ..values import Text
from .boxes import Column, Line
from .ground import Ground
from .icons import Icon
from .look import Dressed, Look, space
from .words import Words

BADGE_DP = 44
"""Width of what stands for a tier."""


class _Badge(Dressed, AnchorLayout):
    """A round ground with an icon on it."""

    def __init__(self, look: Look, icon: str) -> None:
        super().__init__(size_hint=(None, None), size=(dp(BADGE_DP), dp(BADGE_DP)))
        self.ground = Ground(self, corner_dp=BADGE_DP / 2, line_dp=1.2)
        self.icon = Icon(look, icon, ink="faint")
        self.add_widget(self.icon)
        self._is_here = self._is_linked = False
        self.follow(look)

    def show(self, *, is_here: bool, is_linked: bool) -> None:
        """Be the place where this phone is, or one that it is linked to."""
        self._is_here, self._is_linked = is_here, is_linked
        self.dress()

    def dress(self) -> None:
        """Take colours from the look."""
        if self._is_here:
            self.ground.paint(self.look, "accent", "accent")
        else:
            self.ground.paint(self.look, "card", "sure" if self._is_linked else "line")
        self.icon.show(ink="on_accent" if self._is_here else "sure" if self._is_linked else "faint")


class Rung(Dressed, Line):
    """One tier.

    Args:
        look: what it is drawn with.
        icon: what stands for it.
        is_lowest: whether nothing is below it.

    Attributes:
        name, does, more: the words beside it.
    """

    def __init__(self, look: Look, icon: str, *, is_lowest: bool) -> None:
        self._is_lowest = is_lowest
        self._is_linked_down = False
        self._badge = _Badge(look, icon)
        self.name = Words(look)
        self.does = Words(look, letters="small", ink="faint")
        self.more = Words(look, letters="small", ink="sure")
        text = Column(self.name, self.does, self.more, spacing=0)
        super().__init__(self._badge, text, spacing=space("pad"), padding=(0, space("gap")))
        with self.canvas.before:
            self._ink = Color()
            self._stroke = Stroke(width=dp(1.2))
        self.bind(pos=self._draw, size=self._draw)
        self._badge.bind(pos=self._draw)
        self.follow(look)

    def show(self, name: Text, does: Text, more: Text | str, *, is_here: bool, is_linked: bool) -> None:
        """Show the tier; where it is linked, the way down to this phone is drawn in colour."""
        self.name.say(name)
        self.does.say(does)
        self.more.say(more, "link" if is_here else "sure")
        self._badge.show(is_here=is_here, is_linked=is_linked)
        if is_linked != self._is_linked_down:
            self._is_linked_down = is_linked
            self.dress()

    def dress(self) -> None:
        """Take colours from the look."""
        ink = "sure" if self._is_linked_down else "line"
        alpha = 0.0 if self._is_lowest else 1.0 if self._is_linked_down else 0.4
        self._ink.rgba = self.look.colour(ink, alpha)
        self._draw()

    def _draw(self, *_: object) -> None:
        x, top = self._badge.center_x, self._badge.y - dp(2)
        # down to the badge below: half of what is around each of the two, whatever the heights of their words
        self._stroke.points = (x, top, x, min(top, self.y - space("gap")))


class Ladder(Column):
    """All tiers, the highest first.

    Args:
        look: what it is drawn with.
        icons: one for each tier.
    """

    def __init__(self, look: Look, icons: tuple[str, ...]) -> None:
        self.rungs = [Rung(look, icon, is_lowest=place == len(icons) - 1) for place, icon in enumerate(icons)]
        super().__init__(*self.rungs, spacing=0)
