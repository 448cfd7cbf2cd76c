"""The one way to read TOML that people write: configurations, scenarios, values of ``--set``.

Theory of operation. The standard parser is exact and unbounded: a number of 5,000 digits, an exponent of 99,999,999,
100,000 brackets or as many parts of a dotted key make it, or whoever looks at what it returns, fail in some other way
than by saying so, or take minutes. So a text is looked through once, in time that grows with its length, before it is
parsed: what stands outside of strings and comments must be of a size that a person might mean. The error names the
line.

A byte-order mark at the beginning, which some editors write, is no part of a text.
"""

from __future__ import annotations

import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from ..errors import InputError
from .quoting import quoted, shorten

TEXT_BYTES_MAX: Final = 1 << 20
"""Longest file."""
WORD_CHARACTERS_MAX: Final = 100
"""Longest number or bare key."""
NESTING_MAX: Final = 16
"""Brackets and braces that may be open at once."""
KEY_PARTS_MAX: Final = 16
"""Parts of a dotted key."""
EXPONENT_MAX: Final = 300
"""Greatest exponent of ten of a number, and least with a minus."""

_PIECE = re.compile(r"\"\"\"|'''|[\"'#\[\]{}.,=\n]|[^\s\"'#\[\]{}.,=]+|.", re.DOTALL)
_POWER = re.compile(r"[+-]?[\d_]+[eE]([+-]?[\d_]+)")
_END_OF_BASIC = re.compile(r"(?:[^\"\\\n]|\\.)*\"")
_END_OF_LITERAL = re.compile(r"[^'\n]*'")
_END_OF_LONG_BASIC = re.compile(r"(?:[^\"\\]|\\.|\"(?!\"\"))*\"{3,5}", re.DOTALL)
_END_OF_LONG_LITERAL = re.compile(r"(?:[^']|'(?!''))*'{3,5}")
_COMMENT = re.compile(r"[^\n]*")
_REST = {
    '"': _END_OF_BASIC,
    "'": _END_OF_LITERAL,
    '"""': _END_OF_LONG_BASIC,
    "'''": _END_OF_LONG_LITERAL,
    "#": _COMMENT,
}


def read_text(path: Path, missing: str) -> str:
    """Return the text of a TOML file, without a byte-order mark.

    Args:
        path: the file.
        missing: what to say behind "there is no such file".

    Raises:
        InputError: it is not there, too long, or not UTF-8.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(TEXT_BYTES_MAX + 1)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; {missing}") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    if len(raw) > TEXT_BYTES_MAX:
        raise InputError(f"{path}: the file is longer than {TEXT_BYTES_MAX} bytes, which is all that is read")
    try:
        return raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8 text") from None


def parse(text: str, source: str, *, decimals: bool = False) -> dict[str, Any]:
    """Return the document of a TOML text.

    Args:
        text: TOML; a byte-order mark before it is taken.
        source: where it is from, for errors.
        decimals: whether numbers with a point are `Decimal`, exactly, instead of float.

    Raises:
        InputError: it is not TOML, or something in it is larger than this module allows.
    """
    text = text.removeprefix("\ufeff")
    problem = _too_much(text)
    if problem is not None:
        line, what = problem
        raise InputError(f"{source}, line {line}: {what}")
    try:
        return tomllib.loads(text, parse_float=Decimal) if decimals else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source}: this is not TOML: {shorten(str(error))}") from None


def parse_value(text: str, source: str) -> Any:
    """Return one TOML value, numbers with a point as `Decimal`; what is no TOML is the text itself.

    Raises:
        InputError: something in it is larger than this module allows.
    """
    problem = _too_much(text)
    if problem is not None:
        raise InputError(f"{source}: {problem[1]}")
    try:
        parsed = tomllib.loads(f"value = {text}", parse_float=Decimal)
    except (ValueError, RecursionError):
        return text
    return parsed["value"] if list(parsed) == ["value"] else text


def _too_much(text: str) -> tuple[int, str] | None:
    """Return the line of what is too large and a sentence about it, or None; text that is no TOML is the parser's."""
    if len(text) > TEXT_BYTES_MAX:
        return 1, f"the text is longer than {TEXT_BYTES_MAX} characters, which is all that is read"
    at = open_brackets = dots = 0
    while at < len(text):
        found = _PIECE.match(text, at)
        if found is None:
            return None  # cannot be: it matches anything
        piece, begin, at = found[0], at, found.end()
        rest = _REST.get(piece)
        if rest is not None:
            end = rest.match(text, at)
            if end is None:
                return None  # a string without an end: the parser stops here, too
            at = end.end()
            continue
        what = None
        if piece in ("[", "{"):
            open_brackets, dots = open_brackets + 1, 0
            if open_brackets > NESTING_MAX:
                what = f"more than {NESTING_MAX} brackets are open at once"
        elif piece in ("]", "}"):
            open_brackets, dots = max(0, open_brackets - 1), 0
        elif piece == ".":
            dots += 1
            if dots >= KEY_PARTS_MAX:
                what = f"a key has more than {KEY_PARTS_MAX} parts"
        elif piece in (",", "=", "\n"):
            dots = 0
        elif len(piece) > WORD_CHARACTERS_MAX:
            what = f"{quoted(piece)} is too long for a number or a key; {WORD_CHARACTERS_MAX} characters are allowed"
        elif (power := _POWER.fullmatch(piece)) and _is_far(power[1]):
            what = f"{quoted(piece)} is out of range; exponents from -{EXPONENT_MAX} to {EXPONENT_MAX} are allowed"
        if what is not None:
            return text.count("\n", 0, begin) + 1, what
    return None


def _is_far(exponent: str) -> bool:
    digits = exponent.lstrip("+-").replace("_", "").lstrip("0")
    return len(digits) > 3 or int(digits or "0") > EXPONENT_MAX


def find_line(text: str, table: str, key: str) -> int:
    """Return the line (from 1) where `key` of `table` ("" is the top) stands; the TOML reader does not tell it."""
    here = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([^]]*?)\s*]", line):
            here = header[1].strip("\"'")
            if not table and here.split(".")[0] == key:
                return number
            continue
        dotted = rf"{re.escape(table)}\s*(\.\s*{re.escape(key)}\s*)?"  # l1.key = 1, or l1 = {key = 1}
        patterns = [rf"[\"']?{re.escape(key)}[\"']?\s*[=.]"] if here == table else [rf"{dotted}="] if not here else []
        if any(re.match(r"\s*" + pattern, line) for pattern in patterns):
            return number
    return 1
