"""From texts with values in them to words: numbers, times and durations as each language writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from .money import write_amount
from .texts import CATALOGUES, Forms
from .values import Amount, Moment, Span, Text, Value, say

FALLBACK: Final = "en"
"""Language of systems that speak none of ours."""
_UNITS: Final = (("span.days", 86_400), ("span.hours", 3_600), ("span.minutes", 60))
_MONTHS: Final = (
    "month.1", "month.2", "month.3", "month.4", "month.5", "month.6",
    "month.7", "month.8", "month.9", "month.10", "month.11", "month.12",
)  # fmt: skip


def language_of(code: str) -> str:
    """Return the language of the app for what a system calls its own: ``zh_CN.UTF-8``, ``en-GB``, ``de``."""
    short = code.replace("-", "_").partition("_")[0].partition(".")[0].lower()
    return short if short in CATALOGUES else FALLBACK


class Language:
    """Writes texts in one language.

    Args:
        code: ``en`` or ``zh``.
        zone: where the reader is; times are shown as the clocks there show them.
    """

    def __init__(self, code: str, zone: tzinfo = UTC) -> None:
        self.code = code
        self._texts = CATALOGUES[code]
        self._zone = zone

    def write(self, text: Text) -> str:
        """Return a text in words.

        Raises:
            KeyError: there is no such text, or a value is missing; a test shows that neither happens.
        """
        pattern = self._texts[text.key]
        if isinstance(pattern, Forms):
            pattern = pattern.one if text.values["n"] == 1 else pattern.other
        # values are filled in, never read as patterns themselves: a name with braces in it stays a name
        return pattern.format_map({name: self.value(value) for name, value in text.values.items()})

    def value(self, value: Value) -> str:
        """Return a value in words."""
        match value:
            case Text():
                return self.write(value)
            case Amount(units, unit):
                return self.write(say("number.amount", number=write_amount(units, unit.decimals), unit=unit.symbol))
            case Moment(ms):
                return self._moment(ms)
            case Span(s):
                return self.write(_span(s))
            case int():
                return f"{value:,}"
        return value

    def _moment(self, ms: int) -> str:
        # not `fromtimestamp`: that raises for years that a damaged clock or a hostile date may show
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=min(max(0, ms // 1000), _LAST_S))
        at = at.astimezone(self._zone)
        return self.write(
            say("moment", day=str(at.day), month=Text(_MONTHS[at.month - 1]), year=str(at.year), clock=f"{at:%H:%M}")
        )


_LAST_S: Final = 253_370_764_800  # the year 9999 begins
"""Times later than this are shown as this."""


def _span(s: int) -> Text:
    for key, seconds in _UNITS:
        if s >= seconds:
            return Text(key, {"n": s // seconds})
    return say("span.seconds", n=s)
