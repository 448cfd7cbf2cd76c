"""How a refusal quotes what it refuses: enough to find it, never all of it."""

from __future__ import annotations

from typing import Any, Final

QUOTED_CHARACTERS_MAX: Final = 60
"""Characters of a value that an error repeats."""
_DIGITS_MAX: Final = 1_000  # `str` of an int gives up at some thousand digits


def shorten(text: str, characters_max: int = QUOTED_CHARACTERS_MAX) -> str:
    """Return a text as it is, or its beginning and how long it is."""
    if len(text) <= characters_max:
        return text
    return f"{text[:characters_max]}... ({len(text)} characters)"


def quoted(value: Any, characters_max: int = QUOTED_CHARACTERS_MAX) -> str:
    """Return how an error shows a value of any kind: as Python writes it, shortened."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 3 * _DIGITS_MAX:
        return f"a number of about {value.bit_length() * 3 // 10:,} digits"
    if isinstance(value, str):
        return (
            repr(value)
            if len(value) <= characters_max
            else (f"{value[:characters_max]!r}... ({len(value)} characters)")
        )
    return shorten(repr(value), characters_max)
