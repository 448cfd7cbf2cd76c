"""Amounts as people write them, in whole numbers only: no amount is ever a float."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from supervm.protocol.base.codec import INT_MAX

from ..errors import MobileError
from .values import Amount, Text, Unit, say

_CHARS_MAX: Final = 64
_AMOUNT: Final = re.compile(r"(?=\.?[0-9])(?P<whole>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]*)(?:\.(?P<decimals>[0-9]*))?")


class NoAmount(MobileError):
    """What was typed is no amount; `text` says why."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.key)
        self.text = text


def read_amount(typed: str, unit: Unit) -> int:
    """Return how many smallest units a typed amount is.

    ``.`` is before the decimals and ``,`` between groups of three digits, in both languages; letters of full width are
    taken for what they are.

    Raises:
        NoAmount: it is none, it has more decimals than the unit, or it is out of range.
    """
    text = unicodedata.normalize("NFKC", typed).strip()
    if not text:
        raise NoAmount(say("amount.empty"))
    found = _AMOUNT.fullmatch(text) if len(text) <= _CHARS_MAX else None
    if found is None:
        raise NoAmount(say("amount.unreadable"))
    digits, decimals = found["whole"].replace(",", ""), (found["decimals"] or "").rstrip("0")
    if len(decimals) > unit.decimals:
        if not unit.decimals:
            raise NoAmount(say("amount.whole", unit=unit.symbol))
        raise NoAmount(say("amount.decimals", unit=unit.symbol, n=unit.decimals))
    units: int = int(digits or "0") * 10**unit.decimals + int(decimals.ljust(unit.decimals, "0") or "0")
    if units < 1:
        raise NoAmount(say("amount.zero"))
    if units > INT_MAX:
        raise NoAmount(say("amount.much", most=Amount(INT_MAX, unit)))
    return units


def write_amount(units: int, decimals: int) -> str:
    """Return smallest units as a number for people: groups of three, no zeros at the end of the decimals."""
    whole, rest = divmod(abs(units), 10**decimals)
    text = f"{whole:,}"
    if rest:
        text += "." + str(rest).rjust(decimals, "0").rstrip("0")
    return f"-{text}" if units < 0 else text
