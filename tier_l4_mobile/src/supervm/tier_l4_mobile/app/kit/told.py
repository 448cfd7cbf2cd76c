"""What the app tells by itself: a notice that goes away, a question that waits for an answer, and that it is busy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from kivy.animation import Animation
from kivy.clock import Clock
from kivy.core.window import Window
from kivy.graphics import Color, Rectangle
from kivy.metrics import dp
from kivy.uix.anchorlayout import AnchorLayout
from kivy.uix.floatlayout import FloatLayout
from kivy.uix.modalview import ModalView
from kivy.uix.widget import Widget

from ..values import Text
from .boxes import Card, Column, Line
from .buttons import FILLED, PLAIN, PushButton
from .ground import Ground
from .icons import Icon
from .look import Dressed, Look, space
from .scroll import COLUMN_DP_MAX
from .words import Words

NOTICE_S: Final = 4
"""How long a notice stays."""


class Notices(FloatLayout):
    """Lies over everything and shows one notice at a time, at the bottom; touches go through it.

    Args:
        look: what notices are drawn with.
    """

    def __init__(self, look: Look) -> None:
        super().__init__()
        self._look = look
        self._shown: Widget | None = None
        self._ends = Clock.create_trigger(self._end, NOTICE_S)

    def tell(self, text: Text, *, is_bad: bool = False) -> None:
        """Show a notice in place of the one before."""
        self._end()
        icon = Icon(self._look, "warning" if is_bad else "check", ink="bad" if is_bad else "sure")
        card = Card(self._look, Line(icon, Words(self._look, text), spacing=space("pad")))
        card.ground.paint(self._look, "card", "bad" if is_bad else "line")
        holder = AnchorLayout(anchor_y="bottom", padding=(space("pad"), dp(88)))
        card.size_hint_x = None
        card.width = min(self.width - 2 * space("pad"), dp(COLUMN_DP_MAX))
        holder.add_widget(card)
        self._shown = holder
        self.add_widget(holder)
        self._ends()

    @property
    def shown(self) -> Widget | None:
        """The notice that is shown."""
        return self._shown

    def _end(self, *_: object) -> None:
        self._ends.cancel()
        if self._shown is not None:
            self.remove_widget(self._shown)
            self._shown = None

    def on_touch_down(self, touch: Any) -> bool:
        """Let touches through to what is below."""
        return False


class Dialog(Dressed, ModalView):
    """A question over everything; Escape and a touch beside it are a no.

    Args:
        look: what it is drawn with.
        title: what is asked.
        body: what there is to know; a widget, or a text.
        yes: what the button says that does it.
        no: what the other one says.
        act: done on yes.
        kind: of the button that does it (`buttons`).
    """

    def __init__(
        self,
        look: Look,
        title: Text,
        body: Widget | Text,
        *,
        yes: Text,
        no: Text,
        act: Callable[[], object],
        kind: str = FILLED,
    ) -> None:
        super().__init__(size_hint=(None, None), background="", background_color=(0, 0, 0, 0))
        self.overlay_color = (0, 0, 0, 0.5)
        self._act = act
        self.ground = Ground(self, corner_dp=20)
        refuse = PushButton(look, no, key="dialog.no", kind=PLAIN)
        agree = PushButton(look, yes, key="dialog.yes", kind=kind)
        refuse.when_tapped(self.dismiss)
        agree.when_tapped(self._agree)
        inner = body if isinstance(body, Widget) else Words(look, body)
        self._column = Column(
            Words(look, title, letters="title"),
            inner,
            Line(refuse, agree),
            padding=space("wide"),
            spacing=space("pad"),
        )
        self.add_widget(self._column)
        self._column.bind(height=self._fit)
        Window.bind(size=self._fit)
        self.follow(look)

    def _agree(self) -> None:
        self.dismiss()
        self._act()

    def _fit(self, *_: object) -> None:
        self.width = min(Window.width - 2 * space("pad"), dp(440))
        self.height = min(self._column.height, Window.height - 2 * space("pad"))

    def dress(self) -> None:
        """Take colours from the look."""
        self.ground.paint(self.look, "card")
        self._fit()


class BusyBar(Dressed, Widget):
    """A thin line that moves while something is under way; at rest it costs nothing.

    Args:
        look: what it is drawn with.
    """

    def __init__(self, look: Look) -> None:
        super().__init__(size_hint_y=None, height=dp(3))
        self._works = 0
        self._move: Animation | None = None
        with self.canvas:
            self._colour = Color(0, 0, 0, 0)
            self._part = Rectangle()
        self.bind(pos=self._place, size=self._place)
        self.follow(look)

    def begin(self) -> None:
        """Something more is under way."""
        self._works += 1
        if self._works == 1:
            self.dress()
            self._place()

    def end(self) -> None:
        """Something is done."""
        self._works -= 1
        if self._works == 0:
            self.dress()
            if self._move is not None:
                self._move.cancel(self._part)
                self._move = None

    def dress(self) -> None:
        """Take the colour from the look."""
        self._colour.rgba = self.look.colour("accent", 1.0 if self._works else 0.0)

    def _place(self, *_: object) -> None:
        self._part.size = (self.width / 3, self.height)
        if self._works:
            if self._move is not None:
                self._move.cancel(self._part)
            self._part.pos = self.pos
            there, back = (self.right - self.width / 3, self.y), self.pos
            self._move = Animation(pos=there, duration=0.9) + Animation(pos=back, duration=0.9)
            self._move.repeat = True
            self._move.start(self._part)
