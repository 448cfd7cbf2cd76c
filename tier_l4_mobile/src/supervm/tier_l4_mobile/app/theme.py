"""Colours, sizes and spaces as plain data: what screens are drawn with, light and dark.

Every pair in `PAIRS` is text on a ground somewhere, and a test computes that each reaches the contrast of WCAG 2.1 AA
(4.5 to 1; 3 to 1 for large letters and for what is no text). Sizes are in dp, letters in sp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

Colour = str
"""``#rrggbb``."""


@dataclass(frozen=True, slots=True)
class Theme:
    """One set of colours.

    Attributes:
        ground: of screens.
        card: of what lies on them.
        field: of what is typed into.
        text: what is read.
        faint: what is read second: times, hints.
        line: around fields and between rows; no text.
        accent: of buttons and of what is chosen.
        on_accent: text on it.
        link: text that can be tapped.
        sure: what is proved.
        waiting: what is not sure yet.
        bad: what went wrong.
    """

    ground: Colour
    card: Colour
    field: Colour
    text: Colour
    faint: Colour
    line: Colour
    accent: Colour
    on_accent: Colour
    link: Colour
    sure: Colour
    waiting: Colour
    bad: Colour


LIGHT: Final = Theme(
    ground="#f5f6f8",
    card="#ffffff",
    field="#ffffff",
    text="#16191d",
    faint="#545c66",
    line="#7d8691",
    accent="#0b57d0",
    on_accent="#ffffff",
    link="#0b57d0",
    sure="#0f6b3a",
    waiting="#8a5300",
    bad="#b3261e",
)
"""For daylight."""
DARK: Final = Theme(
    ground="#101316",
    card="#1b1f24",
    field="#14181c",
    text="#eef1f4",
    faint="#aab3bd",
    line="#7a838e",
    accent="#8ab4f8",
    on_accent="#0b1f3a",
    link="#8ab4f8",
    sure="#6fd49a",
    waiting="#f2b95a",
    bad="#ff9c92",
)
"""For the night."""
THEMES: Final = {"light": LIGHT, "dark": DARK}
"""Name -> colours."""

GROUNDS: Final = ("ground", "card", "field")
"""What text lies on."""
INKS: Final = ("text", "faint", "link", "sure", "waiting", "bad")
"""What is written on each of them."""
PAIRS: Final = (*((ink, ground) for ink in INKS for ground in GROUNDS), ("on_accent", "accent"))
"""(Text, ground) of everything that is read."""
EDGES: Final = (*(("line", ground) for ground in GROUNDS), ("accent", "ground"), ("accent", "card"))
"""(Line or shape, ground) of what has to be seen to be used."""

TARGET_DP: Final = 48
"""Least width and height of whatever is touched."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of what is touched, in dp; each is at least `TARGET_DP`."""

    row: int = 64
    button: int = 56
    field: int = 56
    icon: int = 48
    tab: int = 56
    switch: int = 48


SIZES: Final = Sizes()
"""The sizes that there are."""
SPACES_DP: Final = {"hair": 1, "small": 4, "gap": 8, "pad": 16, "wide": 24}
"""Name -> space."""
LETTERS_SP: Final = {"small": 13, "text": 16, "title": 20, "amount": 34}
"""Name -> size of letters, at 100 percent."""


def letters_sp(name: str, percent: int) -> int:
    """Return a size of letters, as large as the owner wants it."""
    return (LETTERS_SP[name] * percent + 50) // 100
