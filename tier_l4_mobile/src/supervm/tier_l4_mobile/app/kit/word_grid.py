"""The words of a wallet, numbered, down one column and then down the next."""

from __future__ import annotations

from collections.abc import Sequence

from kivy.uix.gridlayout import GridLayout

from .boxes import Line
from .look import Look, space
from .words import Words


class WordGrid(GridLayout):
    """Two columns of words.

    Args:
        look: what they are drawn with.
        words: what is shown.
    """

    def __init__(self, look: Look, words: Sequence[str]) -> None:
        super().__init__(cols=2, size_hint_y=None, spacing=(space("gap"), space("gap")))
        self.bind(minimum_height=self.setter("height"))
        half = (len(words) + 1) // 2
        for row in range(half):
            for place in (row, row + half):
                if place < len(words):
                    number = Words(look, str(place + 1), ink="faint", halign="right", size_hint_x=0.35)
                    self.add_widget(Line(number, Words(look, words[place])))
