"""What models give to whoever shows them: keys of texts with values in them, never words.

A `Text` names a text of the catalogues (`texts`) and what is put into it. Values that look different in each language -
amounts, times, durations, counts - stay values until `language` writes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from supervm.protocol.state.leaves import NATIVE_NAME

NATIVE_DECIMALS: Final = 9
"""1 SVM is 10**9 grain (economics.md)."""
_SHORT_CHARS: Final = 8


@dataclass(frozen=True, slots=True)
class Unit:
    """What an amount is counted in.

    Attributes:
        asset: ``svm`` or an asset's 64 hex digits, as the node writes it.
        symbol: what is written behind the number.
        decimals: how many digits behind the point; one whole is 10**decimals of the smallest units.
    """

    asset: str
    symbol: str
    decimals: int


SVM: Final = Unit(NATIVE_NAME, "SVM", NATIVE_DECIMALS)
"""The native asset, as people write it."""
GRAIN: Final = Unit(NATIVE_NAME, "grain", 0)
"""The native asset in its smallest units."""


def unit_of(asset: str) -> Unit:
    """Return the unit of an asset; of one that is not native nobody here knows more than its id."""
    return SVM if asset == NATIVE_NAME else Unit(asset, asset[:_SHORT_CHARS], 0)


@dataclass(frozen=True, slots=True)
class Amount:
    """So many smallest units of something."""

    units: int
    unit: Unit = SVM

    @classmethod
    def of(cls, units: int, asset: str) -> Amount:
        """Return an amount of an asset."""
        return cls(units, unit_of(asset))


@dataclass(frozen=True, slots=True)
class Moment:
    """A time, in ms of Unix time."""

    ms: int


@dataclass(frozen=True, slots=True)
class Span:
    """A duration in seconds, >= 0; it is shown in the largest unit that is not zero."""

    s: int

    @classmethod
    def between(cls, earlier_ms: int, later_ms: int) -> Span:
        """Return how much later one time is; nothing if it is earlier."""
        return cls(max(0, later_ms - earlier_ms) // 1000)


@dataclass(frozen=True, slots=True)
class Text:
    """A text by its key, with what is put into it.

    Attributes:
        key: of the catalogues.
        values: name of a placeholder -> value; the value `n` decides between one and many.
    """

    key: str
    values: Mapping[str, Value] = field(default_factory=dict)


Value = str | int | Amount | Moment | Span | Text
"""What may stand in a text."""


def say(key: str, /, **values: Value) -> Text:
    """Return a text."""
    return Text(key, values)
