"""Breaking one rule at a time, so that a model can be seen to notice.

A fault replaces attributes of shipped classes or modules while a ``with`` block lasts. It is test equipment: nothing
outside `supervm.sim.model` knows of it, and the shipped code has no switch of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Fault:
    """One broken rule.

    Attributes:
        name: for reports and test ids.
        rule: the rule that is broken, with its place in consensus.md.
        changes: (class or module, attribute, what stands there instead).
        case: name of the model case that finds it.
        finds: the beginning of the violation that it must lead to.
    """

    name: str
    rule: str
    changes: tuple[tuple[Any, str, Any], ...]
    case: str
    finds: str

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Break the rule while the block lasts. Models must be made inside: they remember what the rules answered."""
        before = [(place, name, vars(place)[name]) for place, name, _ in self.changes]
        for place, name, value in self.changes:
            setattr(place, name, value)
        try:
            yield
        finally:
            for place, name, value in reversed(before):
                setattr(place, name, value)
