"""BIP-39 English words: made from entropy, checked on import, turned into a seed.

The `mnemonic` package is imported only where words are made or checked: paying needs no word list, and a
phone should not hold one.
"""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Final

from supervm.common.errors import CommonError, InputError

WORD_COUNTS: Final = (12, 15, 18, 21, 24)
"""How many words BIP-39 allows; entropy of 16, 20, 24, 28 or 32 bytes."""

_ENTROPY_BYTES = (16, 20, 24, 28, 32)
_SEED_ROUNDS = 2048
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
    from mnemonic import Mnemonic

    if len(entropy) not in _ENTROPY_BYTES:
        raise CommonError(f"entropy has {len(entropy)} bytes; 16, 20, 24, 28 or 32 are allowed")
    words: str = Mnemonic("english").to_mnemonic(entropy)
    return words


def split_words(text: str) -> list[str]:
    """Return the words of `text` as people paste them, in small letters, their spelling unchecked.

    Blanks and line breaks of every kind and the punctuation of lists part words; marks that nobody sees (zero-width
    blanks, a byte-order mark) and full-width forms are what they stand for; numbers before words ("1.", "2)") go.

    Raises:
        InputError: the words are numbered, but not from 1 on and in order.
    """
    spaced = "".join(
        letter if unicodedata.category(letter)[0] in "LNM" and letter not in _BLANK_LETTERS else " "
        for letter in unicodedata.normalize("NFKD", text).lower()
        if unicodedata.category(letter) != "Cf"
    )
    words, numbers = [], []
    for piece in spaced.split():
        word = piece.lstrip("0123456789")
        if word != piece:
            numbers.append(piece.removesuffix(word).lstrip("0"))
        if word:
            words.append(word)
    if numbers and numbers != [str(place) for place in range(1, len(words) + 1)]:
        raise InputError("the words are numbered, but not from 1 on and each once in order: write them in order")
    return words


def checked_words(words: str) -> str:
    """Return `words` in small letters with single spaces, if they are a BIP-39 English mnemonic.

    Args:
        words: as `split_words` takes them.

    Raises:
        InputError: the number of words, a word, or the checksum is wrong. No message repeats a word: it may
            be one letter off a secret.
    """
    from mnemonic import Mnemonic

    book = Mnemonic("english")
    split = split_words(words)
    if len(split) not in WORD_COUNTS:
        allowed = ", ".join(map(str, WORD_COUNTS))
        raise InputError(f"there are {len(split)} words; BIP-39 allows {allowed}")
    known = set(book.wordlist)
    for place, word in enumerate(split, 1):
        if not (word.isascii() and word.isalpha()):
            raise InputError(f"word {place} holds something else than the letters a to z")
        if word not in known:
            raise InputError(f"word {place} is not in the BIP-39 English list; check its spelling")
    tidy = " ".join(split)
    if not book.check(tidy):
        raise InputError("the words do not fit together: one of them is wrong, or their order is")
    return tidy
