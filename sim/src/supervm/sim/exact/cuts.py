"""What divides a network: cuts, each with the cause that holds it.

Theory of operation. Several faults may cut one path, and each of them ends by itself. So nobody says what is cut; each
cause says what *it* cuts, and a path is cut while any cause cuts it. To begin, to change and to end a cause is one
operation, after which the network looks once at every connection: what is held at a cut that stays is never let go in
between, and how long a connection has been without an acknowledgement goes on counting.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .host import Host

Cause = Hashable
"""Why something is wrong: whatever tells one fault from another."""
BY_HAND = "by hand"
"""The cause of what a test or a caller does without naming one."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Hosts that do not reach each other.

    Attributes:
        sides: index of a host -> its side, from 0; nothing passes between different sides, and hosts without a side
            reach everybody.
        one_way: nothing leaves side 0, and everything else passes.
        refused: a dial is refused instead of met with silence.
    """

    sides: Mapping[int, int]
    one_way: bool = False
    refused: bool = False

    def stops(self, src: Host, dst: Host) -> bool:
        """Return whether nothing gets from one host to another."""
        here, there = self.sides.get(src.index), self.sides.get(dst.index)
        if here is None or there is None or here == there:
            return False
        return not self.one_way or here == 0


@dataclass(slots=True)
class Cuts:
    """All cuts of a network at a moment, by cause."""

    by_cause: dict[Cause, Cut] = field(default_factory=dict)

    def stop(self, src: Host, dst: Host) -> bool:
        """Return whether any of them stops what goes from one host to another."""
        return any(cut.stops(src, dst) for cut in self.by_cause.values())

    def refuse(self, src: Host, dst: Host) -> bool:
        """Return whether a dial between two hosts is refused: each of the cuts that it meets refuses it."""
        met = [cut.refused for cut in self.by_cause.values() if cut.stops(src, dst) or cut.stops(dst, src)]
        return bool(met) and all(met)
