"""What a key of a configuration table may hold: data that parts declare; reading is `text.options`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from supervm.protocol.base.errors import LocalProtocolError

OptionValue = int | str | bool


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


def one_table(*tables: Mapping[str, OptionSpec], more: Iterable[object] = ()) -> dict[str, OptionSpec]:
    """Return the keys of one configuration table, in their order.

    Args:
        tables: what parts declare.
        more: kinds of parts, whose `options` come last; what declares none has none.

    Raises:
        LocalProtocolError: two declare the same key.
    """
    joined: dict[str, OptionSpec] = {}
    for table in (*tables, *(getattr(kind, "options", {}) for kind in more)):
        for name, option in table.items():
            if name in joined:
                raise LocalProtocolError(f"two parts declare the option {name}")
            joined[name] = option
    return joined


ANCHOR_OPTION: Final = OptionSpec(
    str, "", "file with an anchor to trust from, newer than the genesis (`supervm l4 export-anchor`); empty: genesis"
)
"""Key ``anchor`` of every tier with a light client."""
