"""Events that no program of ours says, for tests of what becomes of events."""

from __future__ import annotations

from typing import Any

import msgspec

from supervm.common.contract.events import Event, Level


def told(name: str, level: Level = "info", /, **fields: Any) -> Event:
    """Return an event with these fields, of a type of its own."""
    kind: Any = msgspec.defstruct(
        "Told", [(key, Any) for key in fields], bases=(Event,), frozen=True, namespace={"NAME": name, "LEVEL": level}
    )
    made: Event = kind(**fields)
    return made
