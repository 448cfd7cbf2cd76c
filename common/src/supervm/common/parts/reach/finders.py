"""All parts by which a node finds others and is found; with them it names `reach1`."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final

from supervm.protocol.chain.votes import Verify

from ..directory.owner import Lookup
from ..part import Part
from ..shell import Shell
from .abstain import AbstainBundles, AbstainPunching, AbstainRelays
from .own import PHONE, OwnNode
from .part import DialableReach, Reach, RootReach

_OWN_REACH: Final[Mapping[int, type[Reach]]] = {1: RootReach, PHONE: Reach}
"""Tiers whose nodes find others in a way of their own."""
_BELOW: Final = (AbstainPunching, AbstainBundles)
FINDERS: Final[Mapping[int, tuple[type[Part], ...]]] = {
    1: (RootReach, Lookup, AbstainRelays),
    2: (DialableReach, Lookup, AbstainRelays),
    3: (DialableReach, Lookup, AbstainRelays, *_BELOW),
    4: (Reach, Lookup, AbstainRelays, *_BELOW),
}
"""Tier -> kinds of the parts of its nodes."""


def finders(shell: Shell, own: OwnNode, verify: Verify, rng: random.Random) -> tuple[Part, ...]:
    """Return them.

    Args:
        shell: the node.
        own: what it says of itself.
        verify: signature verification.
        rng: choices.
    """
    reach = _OWN_REACH.get(shell.TIER, DialableReach)(shell, own, verify, rng)
    lookup = Lookup(shell.outbox, shell.peering, reach.neighbours, reach.directory)
    found = (reach, lookup, AbstainRelays())
    return (*found, *(kind(shell.outbox) for kind in _BELOW if kind in FINDERS[shell.TIER]))
