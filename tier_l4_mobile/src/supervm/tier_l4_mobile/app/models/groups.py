"""Addresses in groups that can be compared with the eye."""

from __future__ import annotations

from typing import Final

GROUP_CHARS: Final = 4
"""Letters of an address that are shown together."""


def groups_of(address: str) -> tuple[str, ...]:
    """Return an address in groups: its prefix, then four letters each."""
    prefix, one, rest = address.partition("1")
    return (prefix + one, *(rest[place : place + GROUP_CHARS] for place in range(0, len(rest), GROUP_CHARS)))
