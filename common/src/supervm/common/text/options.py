"""Typed options of a configuration table: what a key may hold, and the error that says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..contract.options import OptionSpec, OptionValue
from ..errors import InputError
from .quoting import shorten

_HEX_DIGITS: Final = frozenset("0123456789abcdefABCDEF")
_DIGITS_MAX: Final = 100  # far beyond every bound, and far below where `int` gives up


def whole_number(text: str) -> int | None:
    """Return the number that plain ASCII digits, a minus before them or not, stand for; None for anything else.

    `int` alone would also take "1_000", " 1" and digits of other scripts, and it raises on some thousand digits.
    """
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS_MAX else None


def hex_bytes(text: str, count: int) -> bytes | None:
    """Return the `count` bytes that twice as many hexadecimal digits stand for; None for anything else.

    `bytes.fromhex` alone would also take blanks between the digits.
    """
    return bytes.fromhex(text) if len(text) == 2 * count and set(text) <= _HEX_DIGITS else None


def defaults(options: Mapping[str, OptionSpec]) -> dict[str, OptionValue]:
    """Return every option's default."""
    return {name: option.default for name, option in options.items()}


def parse_option(name: str, text: str, option: OptionSpec) -> OptionValue:
    """Read ``key=value`` from a command line.

    Raises:
        InputError: `text` is not of the option's kind or out of its bounds.
    """
    value: OptionValue | None = text
    if option.kind is bool:
        value = {"true": True, "false": False}.get(text)
    elif option.kind is int:
        value = whole_number(text)
    if value is None or not option.accepts(value):
        raise InputError(f"{name}={shorten(text)} is not allowed: {option.allowed}")
    return value
