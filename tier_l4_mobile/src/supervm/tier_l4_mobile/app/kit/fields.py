"""Fields: what is typed into, with a name above and what is wrong below; and switches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kivy.graphics import Color, Ellipse
from kivy.metrics import dp
from kivy.properties import BooleanProperty, StringProperty
from kivy.uix.boxlayout import BoxLayout
from kivy.uix.textinput import TextInput
from kivy.uix.widget import Widget

from ..values import Text
from .boxes import Column
from .buttons import IconButton
from .ground import Ground
from .look import FONT, Dressed, Look, size, space, target
from .target import Target
from .words import Words


class Entry(Dressed, TextInput):
    """The part of a field that is typed into.

    Attributes:
        key: its name, as `target.Target` has one.
        is_marked: whether the keyboard is on it; it has a line of its own for that.
    """

    key = StringProperty("")
    is_marked = BooleanProperty(defaultvalue=False)

    def __init__(self, look: Look, hint: Text | str, *, key: str, letters: str = "text", **more: Any) -> None:
        plain = {"background_normal": "", "background_active": "", "background_color": (0, 0, 0, 0)}
        super().__init__(**{"font_name": FONT, "multiline": False, "write_tab": False, "key": key} | plain | more)
        self._hint = hint
        self._letters = letters
        self.ground = Ground(self, line_dp=1)
        # how high a line is Kivy knows once it has drawn one
        self.bind(focus=self._paint, height=self._centre, line_height=self._centre, is_marked=self._on_mark)
        self.follow(look)

    def dress(self) -> None:
        """Take words, colours and letters from the look."""
        look = self.look
        self.font_size = look.letters(self._letters)
        self.hint_text = look.write(self._hint)
        self.foreground_color = look.colour("text")
        self.hint_text_color = look.colour("faint")
        self.disabled_foreground_color = look.colour("faint")
        self.cursor_color = look.colour("accent")
        self.selection_color = look.colour("accent", 0.3)
        if not self.multiline:
            self.height = max(size("field"), self.line_height + 2 * space("gap"))
        self._paint()
        self._centre()

    def _centre(self, *_: object) -> None:
        above = space("gap") * 1.5 if self.multiline else max(0.0, (self.height - self.line_height) / 2)
        self.padding = (space("pad"), above, space("pad"), above)

    def _on_mark(self, *_: object) -> None:
        if self.is_marked:
            self.focus = True

    def _paint(self, *_: object) -> None:
        self.ground.paint(self.look, "field", "accent" if self.focus else "line")


class Field(Column):
    """A thing to type: its name, the entry, and a line that says what is wrong, or what may be typed.

    Args:
        look: what it is drawn with.
        name: what is asked for.
        key: its name for tests and the keyboard.
        hint: what stands in it while it is empty.
        is_secret: whether dots stand for letters until the eye is tapped.
        lines: how many lines of text it shows; more than one lets text wrap.
        more: of Kivy's text input, such as ``input_type``.

    Attributes:
        entry: what is typed into.
        note: the line below.
    """

    def __init__(
        self,
        look: Look,
        name: Text,
        *,
        key: str,
        hint: Text | str = "",
        is_secret: bool = False,
        lines: int = 1,
        letters: str = "text",
        **more: Any,
    ) -> None:
        self.look = look
        self.name = Words(look, name, letters="small", ink="faint")
        kind = {"multiline": lines > 1, "password": is_secret, "size_hint_y": None}
        self.entry = Entry(look, hint, key=key, letters=letters, **kind | more)
        if lines > 1:
            self.entry.height = dp(24) * lines + 3 * space("gap")
        self.note = Words(look, letters="small", ink="faint")
        line = BoxLayout(size_hint_y=None, spacing=space("small"))
        line.add_widget(self.entry)
        self.entry.bind(height=line.setter("height"))
        line.height = self.entry.height
        self._eye: IconButton | None = None
        if is_secret:
            self._eye = IconButton(look, "eye", key=f"{key}.show", ink="faint", pos_hint={"center_y": 0.5})
            self._eye.when_tapped(self._look_at_it)
            line.add_widget(self._eye)
        super().__init__(self.name, line, self.note, spacing=space("small"))

    @property
    def text(self) -> str:
        """What is typed."""
        return str(self.entry.text)

    @text.setter
    def text(self, text: str) -> None:
        if self.entry.text != text:
            self.entry.text = text

    def when_typed(self, act: Callable[[str], object]) -> None:
        """Do something with the text each time it changes."""
        self.entry.bind(text=lambda _, text: act(text))

    def when_entered(self, act: Callable[[], object]) -> None:
        """Do something when Enter is pressed in it."""
        self.entry.bind(on_text_validate=lambda _: act())

    def take_keyboard(self) -> None:
        """Be what is typed into."""
        self.entry.focus = True

    def tell(self, text: Text | str, *, is_wrong: bool = False) -> None:
        """Write something below the entry; empty: nothing."""
        self.note.say(text, "bad" if is_wrong else "faint")

    def _look_at_it(self) -> None:
        assert self._eye is not None
        self.entry.password = not self.entry.password
        self._eye.icon.show("eye" if self.entry.password else "eye-off")


class _Knob(Dressed, Widget):
    """The moving part of a switch."""

    def __init__(self, look: Look) -> None:
        super().__init__(size_hint=(None, None), size=(dp(52), dp(32)))
        self.is_on = False
        self.ground = Ground(self, corner_dp=16)
        with self.canvas:
            self._colour = Color()
            self._dot = Ellipse(size=(dp(22), dp(22)))
        self.bind(pos=self._place)
        self.follow(look)

    def dress(self) -> None:
        """Take colours from the look."""
        self.ground.paint(self.look, "accent" if self.is_on else "card", "accent" if self.is_on else "line")
        self._colour.rgba = self.look.colour("on_accent" if self.is_on else "line")
        self._place()

    def _place(self, *_: object) -> None:
        inset = dp(5)
        left = self.right - inset - dp(22) if self.is_on else self.x + inset
        self._dot.pos = (left, self.y + inset)


class SwitchRow(Target, BoxLayout):
    """A row with a switch at its end; a tap anywhere on it switches.

    Args:
        look: what it is drawn with.
        title: what is switched.
        key: its name (`Target.key`).
        below: what is read second.

    Attributes:
        is_on: whether it is on; what it shows is set by `put`, a tap only tells `when_switched`.
    """

    def __init__(self, look: Look, title: Text, *, key: str, below: Text | str = "") -> None:
        pad = (space("pad"), space("gap"))
        super().__init__(key=key, size_hint_y=None, padding=pad, spacing=space("pad"))
        self.draw_ring()
        self._text = Column(Words(look, title), Words(look, below, letters="small", ink="faint"), spacing=dp(2))
        self._knob = _Knob(look)
        for thing in (self._text, self._knob):
            thing.pos_hint = {"center_y": 0.5}
            self.add_widget(thing)
        self._text.bind(height=self._fit)
        self.follow(look)

    @property
    def is_on(self) -> bool:
        """Whether it is on."""
        return self._knob.is_on

    def put(self, *, is_on: bool) -> None:
        """Be on or off."""
        if is_on != self._knob.is_on:
            self._knob.is_on = is_on
            self._knob.dress()

    def when_switched(self, act: Callable[[bool], object]) -> None:
        """Do something with what it is switched to."""

        def switch() -> None:
            self.put(is_on=not self.is_on)
            act(self.is_on)

        self.when_tapped(switch)

    def dress(self) -> None:
        """Be as high as what is in it."""
        self._fit()

    def _fit(self, *_: object) -> None:
        self.height = max(size("switch"), target(), self._text.height + 2 * space("gap"))
