"""How good a node is to have as a peer, in points (network.md 2).

The score looks at what anybody may say of itself, and at what we saw ourselves. What is only said is worth less than
what was seen, so that nobody becomes everybody's peer by saying so.
"""

from __future__ import annotations

from typing import Final

from supervm.protocol.reach.record import (
    NAT_FULL_CONE,
    NAT_PORT_RESTRICTED,
    NAT_PUBLIC,
    NAT_RESTRICTED,
    NAT_SYMMETRIC,
    NodeRecord,
)

SCORE: Final = 1_000
OF_LOAD: Final = 5
"""Points that a percent of load costs."""
OF_FAILURE: Final = 200
"""Points that a dial in a row costs that was not answered."""
OF_HOUR: Final = 50
"""Points for each hour that the longest link stood, up to `HOURS_MAX`."""
HOURS_MAX: Final = 8
OF_NAT: Final = {NAT_PUBLIC: 100, NAT_FULL_CONE: 80, NAT_RESTRICTED: 60, NAT_PORT_RESTRICTED: 40, NAT_SYMMETRIC: 20}
HOUR_US: Final = 3_600_000_000


def score_of(record: NodeRecord, failures: int, lasted_us: int) -> int:
    """Return the score of a node; more is better.

    Args:
        record: its newest.
        failures: dials in a row that it did not answer.
        lasted_us: how long the longest link to it stood.
    """
    hours = min(lasted_us // HOUR_US, HOURS_MAX)
    return (
        SCORE
        + OF_NAT.get(record.nat, 0)
        + OF_HOUR * hours
        - OF_LOAD * record.load_percent
        - OF_FAILURE * min(failures, 5)
    )
