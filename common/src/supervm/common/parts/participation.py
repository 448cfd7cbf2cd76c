"""What a node does for others at present, and what it has done (network.md 5).

A node of L1 to L3 is there for others. A phone is there for its owner, and does for others what its owner allows and it
can spare. Whatever part serves others asks `TakingPart.now` before it does so, and says afterwards what it did: one
place decides, and one counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PASSIVE: Final = "passive"
STANDARD: Final = "standard"
ACTIVE: Final = "active"
"""Own traffic only; answers what it knows; carries for others, too."""


@dataclass(frozen=True, slots=True)
class Participation:
    """What a node does for others.

    Attributes:
        mode: `PASSIVE`, `STANDARD` or `ACTIVE`.
        answers: whether it answers questions for records.
        carries: whether it relays, and keeps bundles of others.
        punches: whether it brings others together. Being brought together with somebody is own traffic.
    """

    mode: str
    answers: bool
    carries: bool
    punches: bool


EVERYTHING: Final = Participation(ACTIVE, answers=True, carries=True, punches=True)
"""What nodes of L1 to L3 do."""


class TakingPart:
    """The present participation of one node, and what was done so far.

    Attributes:
        now: what the node does for others; parts read it, and `decide` alone changes it.
        asked: questions for records that others have asked.
        found: those of them to which something was known, answered or not.
        carried: bundles and frames of others that were taken and given on.
        carried_bytes: of these.
    """

    def __init__(self) -> None:
        self.now = EVERYTHING
        self.asked = self.found = self.carried = self.carried_bytes = 0

    def decide(self, participation: Participation) -> None:
        """Do this for others from now on."""
        self.now = participation

    def note_question(self, *, found: bool) -> None:
        """Count a question of another node.

        A part that does not answer looks all the same: nothing else tells whether answering would be of use.
        """
        self.asked += 1
        self.found += found

    def note_carried(self, size_bytes: int) -> None:
        """Count something of others that was given on."""
        self.carried += 1
        self.carried_bytes += size_bytes
