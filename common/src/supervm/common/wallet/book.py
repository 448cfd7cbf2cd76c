"""Help for whoever types or pastes the words of a wallet: completion, the nearest words, what is wrong and where.

What is here repeats words of a person's wallet: it is for the screen that they are typed on and for no log. The list
of words is held by a `WordBook`, and so no longer than that screen is open.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final, Literal

from supervm.common.errors import InputError

from .words import WORD_COUNTS, checked_words, split_words, word_list

TEXT_CHARS_MAX: Final = 4_096
"""Longest text that is looked at: 24 words, numbered and one a line, are less than 400 characters."""
NEAREST_MAX: Final = 3
"""Most words that are offered for one that is not in the list."""
WRONG_MAX: Final = 4
"""So many wrong words are looked up; whoever has more wrong ones has pasted something else."""

_WORD_CHARS_MAX = 16  # twice the longest of the list
_PREFIX_CHARS = 4  # so many letters tell any two words of the list apart

_LETTERS_APART = 4  # two letters of each word are not in the other: more is another word, and comparing takes long

Fault = Literal["", "too-long", "numbers", "count", "word", "checksum"]
"""What is wrong with words, for a program; empty if nothing is."""


@dataclass(frozen=True, slots=True)
class WrongWord:
    """A word that is not in the list.

    Attributes:
        place: from 1 on.
        given: as it was written; at most 16 characters of it.
        nearest: words of the list that it may have been meant for, the likeliest first.
    """

    place: int
    given: str = field(repr=False)
    nearest: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Review:
    """What is to be said of words that somebody has typed so far.

    Attributes:
        words: as they were understood.
        fault: what is wrong first.
        sentence: the same for people, in English; empty if nothing is wrong.
        wrong: the first words that are not in the list, at most `WRONG_MAX`.
    """

    words: tuple[str, ...] = field(repr=False)
    fault: Fault
    sentence: str = field(repr=False)
    wrong: tuple[WrongWord, ...] = ()


class WordBook:
    """The BIP-39 English list, for as long as words are typed."""

    def __init__(self) -> None:
        self._words = word_list()
        self._known = {word: _letters(word) for word in self._words}

    def completions(self, begun: str, limit: int = 6) -> list[str]:
        """Return the first `limit` words of the list that begin so, in its order; none for an empty text."""
        begun = unicodedata.normalize("NFKD", begun[:TEXT_CHARS_MAX]).strip().lower()
        return [word for word in self._words if word.startswith(begun)][:limit] if begun else []

    def nearest(self, given: str) -> tuple[str, ...]:
        """Return words that one which is not in the list may have been meant for, the likeliest first."""
        if not given.isascii() or len(given) > _WORD_CHARS_MAX:
            return ()
        same_begin = [word for word in self._words if word[:_PREFIX_CHARS] == given[:_PREFIX_CHARS]]
        letters = _letters(given)
        worth_a_look = [word for word, has in self._known.items() if (has ^ letters).bit_count() <= _LETTERS_APART]
        alike = get_close_matches(given, worth_a_look, NEAREST_MAX)
        return tuple(dict.fromkeys([*same_begin, *alike]))[:NEAREST_MAX]

    def review(self, text: str) -> Review:
        """Say what is wrong with words as they were typed or pasted (`words.split_words` takes them apart)."""
        if len(text) > TEXT_CHARS_MAX:
            return Review((), "too-long", f"this is longer than {TEXT_CHARS_MAX} characters: it is no list of words")
        try:
            words = tuple(split_words(text))
        except InputError as error:
            return Review((), "numbers", str(error))
        wrong = [(place, word) for place, word in enumerate(words, 1) if word not in self._known]
        looked_up = tuple(
            WrongWord(place, word[:_WORD_CHARS_MAX], self.nearest(word)) for place, word in wrong[:WRONG_MAX]
        )
        if len(words) not in WORD_COUNTS:
            allowed = ", ".join(map(str, WORD_COUNTS))
            return Review(words, "count", f"there are {len(words)} words; {allowed} are allowed", looked_up)
        if wrong:
            return Review(words, "word", _sentence(looked_up[0], len(wrong)), looked_up)
        try:
            checked_words(" ".join(words))
        except InputError as error:
            return Review(words, "checksum", str(error))
        return Review(words, "", "")


def _letters(word: str) -> int:
    """Return the set of a word's letters as bits."""
    bits = 0
    for letter in word:
        bits |= 1 << (ord(letter) & 31)
    return bits


def _sentence(first: WrongWord, count: int) -> str:
    said = f"word {first.place}, {first.given!r}, is not in the list"
    if first.nearest:
        said += f"; the nearest are {', '.join(first.nearest)}"
    return f"{said} ({count} words are wrong in all)" if count > 1 else said
