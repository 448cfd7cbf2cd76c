"""Subjects of this release that a node may be without: a word of Hello stands for each.

A node names the word when its parts take every kind that it may be sent under it (`common.parts.shell`); to a node that
does not name it none of them is sent.
"""

from __future__ import annotations

from typing import Final

from . import reach
from .subject import Direction, Subject

_PHONES_AND_EDGES: Final[tuple[Direction, ...]] = ((3, 3), (3, 4), (4, 3), (4, 4))
_UP_AND_DOWN: Final[tuple[Direction, ...]] = ((1, 1), (1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2))

NEIGHBOURS: Final[frozenset[Direction]] = frozenset(_PHONES_AND_EDGES)
"""Who punches and carries: phones and edges."""
EVERYBODY: Final[frozenset[Direction]] = frozenset((*_PHONES_AND_EDGES, *_UP_AND_DOWN))
"""Who asks whom for records: the tiers beside and above, and whoever is below to answer. Miners do not talk to miners,
nor phones to any but edges and phones."""
SETTLING: Final[frozenset[Direction]] = frozenset((*_PHONES_AND_EDGES, (3, 2), (3, 1)))
"""Who hands relay receipts to whom: the next hop to the relay, an edge to who puts them into blocks."""

REACH: Final = Subject(
    "reach1",
    reach.TAGS,
    {
        reach.Observed: EVERYBODY,
        reach.RecordPut: EVERYBODY,
        reach.Find: EVERYBODY,
        reach.Found: EVERYBODY,
        reach.PunchAsk: NEIGHBOURS,
        reach.PunchGo: NEIGHBOURS,
        reach.BundleOffer: NEIGHBOURS,
        reach.BundleWant: NEIGHBOURS,
        reach.BundleData: NEIGHBOURS,
        reach.BundleTaken: NEIGHBOURS,
        reach.RelayCount: SETTLING,
    },
    droppable=frozenset({reach.Observed}),
)
"""Finding and reaching each other (network.md 1 to 4)."""
