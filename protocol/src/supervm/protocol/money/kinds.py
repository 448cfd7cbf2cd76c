"""Kinds of transaction, by number (docs/spec/transactions.md).

The number is the first element of a transaction's bytes. One table says what is in use and what is spoken for, so a
kind that comes later takes a number that nobody else has taken, and whoever does not know it refuses it by name.
"""

from __future__ import annotations

from typing import Final

TRANSFER: Final = 1
ISSUE: Final = 2

RESERVED: Final = {
    range(3, 8): "stake",
    range(8, 16): "objects",
    range(16, 24): "calls",
}
"""Numbers that are kept for kinds to come; all of them take one byte."""


def reserved_for(number: int) -> str:
    """Return what a number is reserved for; empty if for nothing."""
    return next((subject for numbers, subject in RESERVED.items() if number in numbers), "")
