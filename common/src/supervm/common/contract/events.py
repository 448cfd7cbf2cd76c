"""What an event is: something that a node has to say, to its log and to whoever watches.

Each event is a struct of its own, declared in the module ``events`` of whoever says it. Inside the program it is told
from others by its type, and its fields have types; outside - a line of the log, a line of ``watch`` - it is a name, a
level and plain fields, and these are stable (docs/configuration.md).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

Level = Literal["debug", "info", "warning", "error"]
"""How much an event matters, in ascending order."""


class Event(msgspec.Struct, frozen=True):
    """Base of every event: its fields, in their order, are those that are written.

    A field that is `msgspec.UNSET` is not written; one that is None is. Node ids are text, ``svmnode1...``, and other
    bytes are hexadecimal text. An event whose level depends on the case has a field `level`, which is written as the
    level and not among the fields.

    Attributes:
        NAME: what it is called outside the program; of several types with one name, each is a form of that event.
        LEVEL: its level, unless `level` says something else.
    """

    NAME: ClassVar[str]
    LEVEL: ClassVar[Level] = "info"

    @property
    def level(self) -> Level:
        """How much this one matters."""
        return self.LEVEL

    @property
    def fields(self) -> dict[str, Any]:
        """What is written of it, by name."""
        told = msgspec.structs.asdict(self)
        told.pop("level", None)
        if msgspec.UNSET in told.values():
            return {name: value for name, value in told.items() if value is not msgspec.UNSET}
        return told
