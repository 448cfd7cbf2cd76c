"""Words: labels that wrap to their width, are as high as their text, and follow language and size of letters."""

from __future__ import annotations

from typing import Any

from kivy.core.text import Label as CoreLabel
from kivy.uix.label import Label

from ..values import Text
from .look import FONT, Dressed, Look


class Words(Dressed, Label):
    """A text.

    Args:
        look: what it is drawn with.
        text: what it says: a text of the catalogues, or a string that stays as it is in every language.
        letters: size of its letters (`theme.LETTERS_SP`).
        ink: their colour (`theme.INKS`, ``on_accent``).
        is_short: whether it stays on one line and loses its middle where there is no room: for addresses and ids that
            are shown whole elsewhere.
        more: of Kivy's label: ``halign``, ``size_hint_x``.
    """

    def __init__(
        self,
        look: Look,
        text: Text | str = "",
        *,
        letters: str = "text",
        ink: str = "text",
        is_short: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(**{"font_name": FONT, "valign": "middle", "size_hint_y": None, "halign": "left"} | more)
        self._said: Text | str = text
        self._letters = letters
        self._ink = ink
        self.is_short = is_short
        self.shorten, self.shorten_from = is_short, "center"
        self.bind(width=self._wrap, texture_size=self._fit)
        self.follow(look)

    def say(self, text: Text | str, ink: str = "") -> None:
        """Say something else, in another colour too if one is given; what is as it was costs nothing."""
        ink = ink or self._ink
        if text != self._said or ink != self._ink:
            self._said, self._ink = text, ink
            self.dress()

    @property
    def said(self) -> Text | str:
        """What it says."""
        return self._said

    def dress(self) -> None:
        """Take words, letters and colour from the look."""
        self.text = self.look.write(self._said)
        self.font_size = self.look.letters(self._letters)
        self.color = self.disabled_color = self.look.colour(self._ink)  # what is around it is paler then
        self._wrap()
        self._fit()

    def natural_width(self) -> float:
        """Return how wide it would be on one line, in px."""
        line = CoreLabel(font_name=FONT, font_size=self.font_size)
        return float(max(line.get_extents(part)[0] for part in self.text.split("\n"))) + 2

    def _wrap(self, *_: object) -> None:
        is_free = self.size_hint_x is None  # it is as wide as its text
        # a shortened label needs a height too, or it would not know that it has one line only
        height = self.font_size * 1.5 if self.is_short else None
        self.text_size = (None if is_free else self.width, None if is_free else height)

    def _fit(self, *_: object) -> None:
        width, height = self.texture_size if self.text else (0, 0)
        self.height = height
        if self.size_hint_x is None:
            self.width = width
