"""One of a few: chips beside one another, as many in a line as there is room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from kivy.metrics import dp
from kivy.uix.anchorlayout import AnchorLayout
from kivy.uix.stacklayout import StackLayout

from ..values import Text
from .boxes import Column
from .ground import Ground
from .look import Dressed, Look, space, target
from .target import Target
from .words import Words

Value = str | int | bool
"""What may be chosen."""


class Chip(Target, AnchorLayout):
    """One choice.

    Args:
        look: what it is drawn with.
        text: what it says.
        key: its name (`Target.key`).
    """

    def __init__(self, look: Look, text: Text | str, *, key: str) -> None:
        super().__init__(size_hint=(None, None), key=key)
        self.ground = Ground(self, corner_dp=24)
        self.draw_ring()
        self.words = Words(look, text, size_hint_x=None, halign="center")
        self.add_widget(self.words)
        self._is_chosen = False
        self._room = float("inf")
        self.words.bind(texture_size=self._fit)
        self.follow(look)

    def limit(self, room: float) -> None:
        """Be at most so wide, in px; longer words take more lines."""
        self._room = room
        self._fit()

    def choose(self, *, is_chosen: bool) -> None:
        """Be the chosen one, or not."""
        if is_chosen != self._is_chosen:
            self._is_chosen = is_chosen
            self.dress()

    def dress(self) -> None:
        """Take colours from the look."""
        chosen = self._is_chosen
        self.words.say(self.words.said, "on_accent" if chosen else "text")
        self.ground.paint(self.look, "accent" if chosen else "field", "accent" if chosen else "line")
        self._fit()

    def _fit(self, *_: object) -> None:
        room = self._room - 2 * space("pad")
        is_long = self.words.natural_width() > room
        if is_long != (self.words.size_hint_x is not None):
            self.words.size_hint_x = 1 if is_long else None
            self.padding = (space("pad"), 0) if is_long else 0
            self.words.dress()
        width, height = self.words.texture_size
        wide = self._room if is_long else width + 2 * space("pad")
        self.size = max(target(), wide), max(target(), height + 2 * space("gap"))


class Choices(Dressed, Column):
    """A name, and the values that one of is chosen.

    Args:
        look: what it is drawn with.
        name: what is chosen; None: it needs no name.
        values: (value, its text) of each.
        key: the chips are called ``key.value``.
        act: told what is chosen by a tap.
    """

    def __init__(
        self,
        look: Look,
        name: Text | None,
        values: Sequence[tuple[Value, Text]],
        *,
        key: str,
        act: Callable[[Value], object],
    ) -> None:
        super().__init__()
        self._chips: dict[Value, Chip] = {}
        self._stack = StackLayout(size_hint_y=None, spacing=space("gap"))
        self._stack.bind(minimum_height=self._stack.setter("height"), width=self._limit)
        for value, text in values:
            chip = Chip(look, text, key=f"{key}.{value}")
            chip.when_tapped(partial(act, value))
            self._chips[value] = chip
            self._stack.add_widget(chip)
        if name is not None:
            self.add_widget(Words(look, name, letters="small", ink="faint"))
        self.add_widget(self._stack)
        self.follow(look)

    def _limit(self, *_: object) -> None:
        for chip in self._chips.values():
            chip.limit(self._stack.width)

    def choose(self, value: Value) -> None:
        """Show which one is chosen."""
        for other, chip in self._chips.items():
            chip.choose(is_chosen=other == value)

    def dress(self) -> None:
        """Keep a little room between lines of chips."""
        self._stack.spacing = dp(8)
