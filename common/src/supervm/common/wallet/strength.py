"""What a passphrase or PIN must be before a wallet is made with it.

A passphrase is all that stands between a copied wallet file and the money, and whoever has the file tries millions: so
it is long. A PIN is short, and may be so only where the platform's keystore has a part of the key (`keystore`): then
the file alone opens nothing, and on the device the waits after wrong tries (`tries`) count.
"""

from __future__ import annotations

import unicodedata
from typing import Final

from .passphrase import PASSPHRASE_BYTES_MAX

PASSPHRASE_CHARS_MIN: Final = 12
"""Shortest passphrase that is not of words."""
PASSPHRASE_WORDS_MIN: Final = 6
"""Words that do, too, however short they are."""
DIFFERENT_MIN: Final = 5
"""A passphrase has so many different characters."""
PIN_DIGITS_MIN: Final = 6
"""Shortest PIN."""
PIN_DIGITS_MAX: Final = 12
"""Longest PIN."""

PIN_DIFFERENT_MIN: Final = 3
"""A PIN has so many different digits: 121212 is none."""

_RUNS = ("01234567890123456789", "98765432109876543210")


def passphrase_problem(text: str) -> str:
    """Say what a new passphrase lacks, in a sentence; empty if it will do."""
    try:
        plain = unicodedata.normalize("NFKD", text.strip())
        size = len(plain.encode())
    except UnicodeEncodeError:
        return "the passphrase is not valid text"
    if size > PASSPHRASE_BYTES_MAX:
        return f"the passphrase is longer than {PASSPHRASE_BYTES_MAX} bytes"
    words = {word for word in plain.lower().split() if len(word) > 1}
    if len(plain) < PASSPHRASE_CHARS_MIN and len(words) < PASSPHRASE_WORDS_MIN:
        return (
            f"the passphrase has {len(plain)} characters: take at least {PASSPHRASE_CHARS_MIN}, or "
            f"{PASSPHRASE_WORDS_MIN} words that do not belong together"
        )
    if len(set(plain.lower())) < DIFFERENT_MIN:
        return f"the passphrase repeats itself: take at least {DIFFERENT_MIN} different characters"
    return ""


def pin_problem(text: str, *, guarded: bool) -> str:
    """Say why a new PIN will not do, in a sentence; empty if it will.

    Args:
        text: as typed.
        guarded: whether the platform's keystore protects the wallet; where none does, no PIN will do.
    """
    if not guarded:
        return f"this device has no keystore that protects a PIN: {_INSTEAD}"
    if not (text.isascii() and text.isdigit() and PIN_DIGITS_MIN <= len(text) <= PIN_DIGITS_MAX):
        return f"a PIN has {PIN_DIGITS_MIN} to {PIN_DIGITS_MAX} digits"
    if len(set(text)) < PIN_DIFFERENT_MIN or any(text in run for run in _RUNS):
        return "this PIN is one of the first that anybody tries: take digits that are no run and not all alike"
    return ""


_INSTEAD = f"take a passphrase of at least {PASSPHRASE_CHARS_MIN} characters, or {PASSPHRASE_WORDS_MIN} words"
