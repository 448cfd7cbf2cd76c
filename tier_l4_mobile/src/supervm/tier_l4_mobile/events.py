"""What a phone says beside what every node does (`supervm.common.parts.events`)."""

from __future__ import annotations

from supervm.common.contract.events import Event


class EdgeChanged(Event, frozen=True):
    """Another edge is in use.

    Attributes:
        peer: its node id.
        reason: what was wrong with the one before, for people.
    """

    NAME = "edge-changed"

    peer: str
    reason: str
