"""Typed options of a configuration table: what a key may hold, and the error that says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ..errors import InputError
from .quoting import shorten

OptionValue = int | str | bool
_HEX_DIGITS: Final = frozenset("0123456789abcdefABCDEF")
_DIGITS_MAX: Final = 100  # far beyond every bound, and far below where `int` gives up


@dataclass(frozen=True, slots=True)
class OptionSpec:
    """What one key of a configuration table may hold.

    Attributes:
        kind: int, str or bool; numbers are whole.
        default: the value if the key is absent.
        help: one line with the unit.
        minimum: smallest number.
        maximum: largest number.
        choices: the only texts allowed; empty allows any.
    """

    kind: type[int] | type[str] | type[bool]
    default: OptionValue
    help: str
    minimum: int = 0
    maximum: int = 2**63 - 1
    choices: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """What is allowed, for people."""
        if self.kind is int:
            return f"a whole number from {self.minimum} to {self.maximum}"
        if self.kind is bool:
            return "true or false"
        return f"one of {', '.join(self.choices)}" if self.choices else "a text in quotes"

    def accepts(self, value: object) -> bool:
        """Return whether `value` is of the kind and within the bounds."""
        if type(value) is not self.kind:
            return False
        if isinstance(value, int) and self.kind is int:
            return self.minimum <= value <= self.maximum
        return not self.choices or value in self.choices


ANCHOR_OPTION: Final = OptionSpec(
    str, "", "file with an anchor to trust from, newer than the genesis (`supervm l4 export-anchor`); empty: genesis"
)
"""Key ``anchor`` of every tier with a light client."""


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
