"""What everything is drawn with: the theme's colours, sizes and letters, and the words of the language."""

from __future__ import annotations

from typing import Final
from weakref import WeakValueDictionary

from kivy.metrics import dp, sp
from kivy.utils import get_color_from_hex

from ..assets import FONT_FILE
from ..language import Language
from ..theme import SIZES, SPACES_DP, TARGET_DP, Theme, letters_sp
from ..values import Text

FONT: Final = str(FONT_FILE)
"""The font of all words, as Kivy wants it."""
WIDE_DP: Final = 820
"""From this width on there is room for a rail and two columns."""


class Look:
    """Theme, language and size of letters; tells those that follow it when one of them changes.

    Args:
        theme: the colours.
        language: writes the texts.
        percent: size of letters, in percent of the usual one.

    Attributes:
        theme, language, percent: likewise; `change` changes them.
    """

    def __init__(self, theme: Theme, language: Language, percent: int = 100) -> None:
        # not an event of Kivy's: each of those looks through all that are bound whenever one more is
        self._followers: WeakValueDictionary[int, Dressed] = WeakValueDictionary()
        self.theme = theme
        self.language = language
        self.percent = percent

    def change(
        self, *, theme: Theme | None = None, language: Language | None = None, percent: int | None = None
    ) -> None:
        """Change what is given; nothing is told if it is all as it was."""
        before = (self.theme, self.language, self.percent)
        self.theme = self.theme if theme is None else theme
        self.language = self.language if language is None else language
        self.percent = self.percent if percent is None else percent
        if before != (self.theme, self.language, self.percent):
            for follower in list(self._followers.values()):
                follower.dress()

    def follow(self, follower: Dressed) -> None:
        """Dress somebody anew at each change; whoever has gone is forgotten."""
        self._followers[id(follower)] = follower

    def colour(self, name: str, alpha: float = 1.0) -> tuple[float, float, float, float]:
        """Return a colour of the theme as Kivy wants it: red, green, blue and alpha, each 0..1."""
        red, green, blue, _ = get_color_from_hex(getattr(self.theme, name))
        return red, green, blue, alpha

    def letters(self, name: str) -> float:
        """Return the size of letters in px; `name` is of `theme.LETTERS_SP`."""
        return float(sp(letters_sp(name, self.percent)))

    def write(self, text: Text | str) -> str:
        """Return a text in words; names, addresses and the like are strings and stay as they are."""
        return text if isinstance(text, str) else self.language.write(text)


def space(name: str) -> float:
    """Return a space in px; `name` is of `theme.SPACES_DP`."""
    return float(dp(SPACES_DP[name]))


def size(name: str) -> float:
    """Return a size of what is touched in px; `name` is of `theme.Sizes`."""
    return float(dp(getattr(SIZES, name)))


def target() -> float:
    """Return the least size of what is touched, in px."""
    return float(dp(TARGET_DP))


def is_wide(width: float) -> bool:
    """Return whether a width in px has room for a rail and two columns."""
    return bool(width >= dp(WIDE_DP))


class Dressed:
    """A widget that is drawn anew when the look changes; mixed in before a widget's class.

    Attributes:
        look: what it is drawn with.
    """

    look: Look

    def follow(self, look: Look) -> None:
        """Be dressed now and at each change; the last thing that a constructor does."""
        self.look = look
        look.follow(self)
        self.dress()

    def dress(self) -> None:
        """Take colours, sizes and words from `look`."""
        raise NotImplementedError
