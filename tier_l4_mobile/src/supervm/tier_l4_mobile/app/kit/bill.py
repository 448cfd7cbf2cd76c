"""One line of a bill: what it is for at the left, how much at the right."""

from __future__ import annotations

from ..values import Text
from .boxes import Line
from .look import Look, space
from .words import Words


class BillLine(Line):
    """A name and a value.

    Args:
        look: what it is drawn with.
        name: what it is for.
        value: how much.
        letters: size of the value's letters.
    """

    def __init__(self, look: Look, name: Text, value: Text, *, letters: str = "text") -> None:
        super().__init__(
            Words(look, name, ink="faint", size_hint_x=0.5),
            Words(look, value, halign="right", letters=letters),
            spacing=space("pad"),
        )
