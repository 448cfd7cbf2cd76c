"""Numbers on a command line: plain ASCII digits and nothing that Python would also read as a number.

``int`` takes "1_5" for 15, "+5" for 5 and digits of other scripts, and whoever mistypes an amount loses it. Every
option of every command that takes a number has one of these types; ``key=value`` options and CSV files use
`supervm.common.text.options.whole_number`, which is the rule itself.
"""

from __future__ import annotations

import re
from typing import Any

import click

from ..text.options import whole_number
from ..text.quoting import quoted

_DECIMAL = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?")


class WholeNumber(click.IntRange):
    """A whole number within bounds, both included; None leaves a side open."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number; `value` is the text that was typed, or a default that is a number already."""
        number = whole_number(value) if isinstance(value, str) else value
        if number is None:
            self.fail(f"{quoted(value)} is not a valid integer: only the digits 0 to 9 are allowed", param, ctx)
        return super().convert(number, param, ctx)


class DecimalNumber(click.FloatRange):
    """A number with or without decimals within bounds, both included: ``90`` or ``1.5``, no exponent, no infinity."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number; `value` is the text that was typed, or a default that is a number already."""
        if isinstance(value, str) and not _DECIMAL.fullmatch(value):
            name = "" if param is None else f"{param.opts[0]} "
            given = quoted(value).strip("'")
            self.fail(f"{name}{given} is not allowed: digits, with or without a point, are", param, ctx)
        return super().convert(value, param, ctx)
