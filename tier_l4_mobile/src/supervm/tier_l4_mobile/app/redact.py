"""Logs for support without what they say of people: addresses, ids, keys, names and places on the disk."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_NODE: Final = re.compile(r"svmnode1[02-9ac-hj-np-z]{20,}", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"t?svm1[02-9ac-hj-np-z]{20,}", re.IGNORECASE)
_HEX: Final = re.compile(r"\b[0-9a-f]{16,}\b", re.IGNORECASE)
_IP6: Final = re.compile(r"\[[0-9a-f:.]{2,}(?:%\w+)?\]", re.IGNORECASE)
_IP4: Final = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")
_FOLDER: Final = re.compile(r"(?:/[^\s/\"':;,]+){2,}|\b[A-Z]:\\[^\s\"']+")
_AMOUNT: Final = re.compile(r"\b\d+ (?=grain|of [0-9a-f<])")
_PATTERNS: Final = (
    (_NODE, "<node>"),
    (_ADDRESS, "<address>"),
    (_AMOUNT, "<amount> "),
    (_HEX, "<id>"),
    (_IP6, "<host>"),
    (_IP4, "<host>"),
    (_FOLDER, "<path>"),
)


def redact(text: str, names: Iterable[str] = ()) -> str:
    """Return a text without addresses, node ids, ids of 16 hex digits and more, amounts, hosts, paths and `names`."""
    for pattern, what in _PATTERNS:
        text = pattern.sub(what, text)
    for name in sorted(filter(None, names), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "<name>", text, flags=re.IGNORECASE)
    return text
