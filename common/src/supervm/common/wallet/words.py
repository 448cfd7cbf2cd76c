"""BIP-39 English words: made from entropy, checked on import, turned into a seed.

The list of words is a file beside this module (`bip39_english.SOURCE.md` says where it is from). It is read only where
words are made or checked: paying needs no word list, and a phone should not hold one.

Entropy of E bits is followed by the first E/32 bits of its SHA-256; of these bits, eleven at a time number a word.
"""

from __future__ import annotations

import hashlib
import unicodedata
from pathlib import Path
from typing import Final

from supervm.common.errors import CommonError, InputError

WORD_COUNTS: Final = (12, 15, 18, 21, 24)
"""How many words BIP-39 allows; entropy of 16, 20, 24, 28 or 32 bytes."""

_ENTROPY_BYTES = (16, 20, 24, 28, 32)
_SEED_ROUNDS = 2048
_LIST = Path(__file__).with_name("bip39_english.txt")
_WORD_BITS = 11
_BLANK_LETTERS = "\u115f\u1160"  # fillers of the Korean script, letters by their class


def bip39_seed(words: str) -> bytes:
    """Return the 64-byte BIP-39 seed of `words`, with the empty BIP-39 passphrase.

    The words are not checked here: `checked_words` does that once, when they come in.
    """
    text = unicodedata.normalize("NFKD", words).encode()
    return hashlib.pbkdf2_hmac("sha512", text, b"mnemonic", _SEED_ROUNDS)


def words_of(entropy: bytes) -> str:
    """Return the words that stand for `entropy`: 16, 20, 24, 28 or 32 bytes.

    Raises:
        CommonError: the entropy has another length.
    """
    if len(entropy) not in _ENTROPY_BYTES:
        raise CommonError(f"entropy has {len(entropy)} bytes; 16, 20, 24, 28 or 32 are allowed")
    book, number = word_list(), _with_checksum(entropy)
    count = len(entropy) * 3 // 4
    places = [number >> _WORD_BITS * left & len(book) - 1 for left in reversed(range(count))]
    return " ".join(book[place] for place in places)


def word_list() -> list[str]:
    """Return the 2,048 words in their order."""
    return _LIST.read_text(encoding="ascii").split()


def _with_checksum(entropy: bytes) -> int:
    """Return the bits of the entropy and of its checksum as a number."""
    bits = len(entropy) // 4
    return int.from_bytes(entropy, "big") << bits | hashlib.sha256(entropy).digest()[0] >> 8 - bits


def split_words(text: str) -> list[str]:
    """Return the words of `text` as people paste them, in small letters, their spelling unchecked.

    Blanks and line breaks of every kind and the punctuation of lists part words; marks that nobody sees (zero-width
    blanks, a byte-order mark) and full-width forms are what they stand for. Numbers before words ("1.", "2)") go; words
    that are copied from columns side by side are put into the order of their numbers.

    Raises:
        InputError: the words are numbered, but not from 1 on and each once.
    """
    spaced = "".join(
        letter if unicodedata.category(letter)[0] in "LNM" and letter not in _BLANK_LETTERS else " "
        for letter in unicodedata.normalize("NFKD", text).lower()
        if unicodedata.category(letter) != "Cf"
    )
    words: list[str] = []
    numbers: list[str] = []
    for piece in spaced.split():
        word = piece.lstrip("0123456789")
        if word != piece:
            numbers.append(piece.removesuffix(word).lstrip("0"))
        if word:
            words.append(word)
    return _by_number(words, numbers) if numbers else words


def _by_number(words: list[str], numbers: list[str]) -> list[str]:
    """Return numbered words in the order of their numbers, of which each stands before its word."""
    if {str(place) for place in range(1, len(words) + 1)} != set(numbers) or len(numbers) != len(words):
        raise InputError("the words are numbered, but not from 1 on and each once: write them in order")
    placed = sorted(zip((int(number) for number in numbers), words, strict=True))
    return [word for _, word in placed]


def checked_words(words: str) -> str:
    """Return `words` in small letters with single spaces, if they are a BIP-39 English mnemonic.

    Args:
        words: as `split_words` takes them.

    Raises:
        InputError: the number of words, a word, or the checksum is wrong. No message repeats a word: it may
            be one letter off a secret.
    """
    split = split_words(words)
    if len(split) not in WORD_COUNTS:
        allowed = ", ".join(map(str, WORD_COUNTS))
        raise InputError(f"there are {len(split)} words; BIP-39 allows {allowed}")
    known = {word: place for place, word in enumerate(word_list())}
    for place, word in enumerate(split, 1):
        if not (word.isascii() and word.isalpha()):
            raise InputError(f"word {place} holds something else than the letters a to z")
        if word not in known:
            raise InputError(f"word {place} is not in the BIP-39 English list; check its spelling")
    number = 0
    for word in split:
        number = number << _WORD_BITS | known[word]
    count = len(split) * 4 // 3  # bytes of entropy; a quarter of their number is the bits of the checksum
    if number != _with_checksum((number >> count // 4).to_bytes(count, "big")):
        raise InputError(
            "the words do not fit together: one of them is another word of the list, or their order is wrong; which "
            "cannot be told: compare each with what you wrote down"
        )
    return " ".join(split)
