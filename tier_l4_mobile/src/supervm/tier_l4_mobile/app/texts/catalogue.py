"""What a catalogue of texts is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Forms(NamedTuple):
    """A text that depends on a number: for one, and for any other."""

    one: str
    other: str


Catalogue = Mapping[str, str | Forms]
"""Key -> text; ``{name}`` stands for a value."""
