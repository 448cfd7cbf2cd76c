"""The theme can be read by everybody: contrast of WCAG 2.1 AA, targets of 48 dp, letters that grow."""

from __future__ import annotations

from dataclasses import asdict, fields

import pytest

from supervm.tier_l4_mobile.app.models.settings import TEXT_PERCENTS
from supervm.tier_l4_mobile.app.theme import (
    EDGES,
    GROUNDS,
    INKS,
    LETTERS_SP,
    PAIRS,
    SIZES,
    SPACES_DP,
    TARGET_DP,
    THEMES,
    Theme,
    letters_sp,
)

AA_TEXT, AA_SHAPE = 4.5, 3.0


def luminance(colour: str) -> float:
    """Relative luminance of sRGB (WCAG 2.1)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_formula_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # the well-known grey that just fails


@pytest.mark.parametrize("name", THEMES)
def test_all_text_has_the_contrast_of_aa(name: str) -> None:
    colours = asdict(THEMES[name])
    low = {pair: contrast(*map(colours.__getitem__, pair)) for pair in PAIRS}
    assert {pair: value for pair, value in low.items() if value < AA_TEXT} == {}
    low = {pair: contrast(*map(colours.__getitem__, pair)) for pair in EDGES}
    assert {pair: value for pair, value in low.items() if value < AA_SHAPE} == {}


def test_every_colour_is_in_a_pair() -> None:
    used = {name for pair in (*PAIRS, *EDGES) for name in pair}
    assert used == {field.name for field in fields(Theme)}
    assert {(ink, ground) for ink in INKS for ground in GROUNDS} < set(PAIRS)


@pytest.mark.parametrize("name", THEMES)
def test_colours_are_written_in_one_way(name: str) -> None:
    for colour in asdict(THEMES[name]).values():
        assert len(colour) == 7
        assert colour[0] == "#"
        assert colour == colour.lower()
        int(colour[1:], 16)


def test_whatever_is_touched_is_large_enough() -> None:
    assert min(asdict(SIZES).values()) >= TARGET_DP == 48
    assert list(SPACES_DP.values()) == sorted(SPACES_DP.values())


@pytest.mark.parametrize("percent", TEXT_PERCENTS)
def test_letters_grow_as_the_owner_wants(percent: int) -> None:
    for name, size in LETTERS_SP.items():
        assert abs(letters_sp(name, percent) - size * percent / 100) <= 0.5
