"""Addresses for the eye: groups of letters side by side, as many in a line as there is room for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kivy.metrics import dp
from kivy.uix.gridlayout import GridLayout

from .look import Dressed, Look, space
from .words import Words

COLUMNS_MAX: Final = 8
"""Groups in a line at most; always an even number, so that lines are halves and quarters of one another."""


class Groups(Dressed, GridLayout):
    """An address in groups.

    Args:
        look: what it is drawn with.
        letters: size of its letters.
    """

    def __init__(self, look: Look, *, letters: str = "text") -> None:
        super().__init__(cols=4, size_hint_y=None, spacing=(space("gap"), space("small")))
        self._letters = letters
        self._words: list[Words] = []
        self.bind(minimum_height=self.setter("height"), width=self._fit)
        self.height = 0
        self.follow(look)

    def show(self, groups: Sequence[str]) -> None:
        """Show an address; empty: nothing."""
        if [words.said for words in self._words] == list(groups):
            return
        self.clear_widgets()
        self._words = [Words(self.look, group, letters=self._letters, halign="center") for group in groups]
        for place, words in enumerate(self._words):
            if place % 2:
                words.say(words.said, "link")
            self.add_widget(words)
        self._fit()

    def dress(self) -> None:
        """Take the size of letters from the look."""
        self._fit()

    def _fit(self, *_: object) -> None:
        widest = max((words.natural_width() for words in self._words), default=dp(48))
        room = max(1, int((self.width + space("gap")) // (widest + space("gap"))))
        self.cols = next(cols for cols in (COLUMNS_MAX, 4, 2, 1) if cols <= room)
