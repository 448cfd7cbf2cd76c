"""Nodes of each tier that find their peers and look for others: shells with the parts of `reach1`, nothing else."""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec

from supervm.common.contract.core import PeerUp
from supervm.common.contract.records import Reader
from supervm.common.parts.buckets import Rate
from supervm.common.parts.costs import CLASSES
from supervm.common.parts.manners import Budget, Rank
from supervm.common.parts.reach.finders import FINDERS, finders
from supervm.common.parts.reach.own import OwnNode
from supervm.common.parts.reach.part import Reach
from supervm.common.parts.shell import Clock, Shell
from supervm.protocol.base.keys import SigningKey, verify
from supervm.protocol.chain.votes import Verify

CHAIN_ID = b"c" * 32
RATE = Rate(1_000, 10_000)


class About(msgspec.Struct, frozen=True, tag="info", tag_field="request"):
    """Ask how the node stands."""


class ReachNode(Shell):
    """An edge without anything to do but finding peers."""

    PARTS = FINDERS[3]
    TIER = 3
    INFO = About
    ASK_PHONES = False

    def __init__(
        self,
        key: SigningKey,
        endpoints: tuple[str, ...],
        targets: Sequence[tuple[bytes | None, str]],
        reader: Reader,
        check: Verify = verify,
    ) -> None:
        # what an edge grants strangers: budgets bound what others can do to it
        budget = Budget({**dict.fromkeys(CLASSES, RATE), "link": Rate(20_000, 200_000)})
        seed = int.from_bytes(key.public[:8], "big")
        super().__init__(targets=targets, rng=random.Random(seed), budgets=dict.fromkeys(Rank, budget), reader=reader)
        self.node_id, self.chain_id = key.public, CHAIN_ID
        addresses = tuple(address for _, address in targets)
        own = OwnNode(key, endpoints, targets=addresses, ask_phones=self.ASK_PHONES)
        found = finders(self, own, check, random.Random(seed + 1))
        reach = found[0]
        assert isinstance(reach, Reach)
        self.reach, self.directory = reach, reach.directory
        self.compose([Clock(self.clock, lambda: (0, 0)), self.links, *found])

    @property
    def height(self) -> int:
        """None of the chain."""
        return 0

    def rank(self, event: PeerUp) -> Rank:
        """All strangers, as edges are to edges."""
        return Rank.STRANGER


class PhoneNode(ReachNode):
    """The same for a phone."""

    PARTS = FINDERS[4]
    TIER = 4


class HubNode(ReachNode):
    """The same for a miner."""

    PARTS = FINDERS[2]
    TIER = 2


class RootNode(ReachNode):
    """The same for a validator."""

    PARTS = FINDERS[1]
    TIER = 1


def address(number: int) -> str:
    """Return an address of the world, each number in a network of its own."""
    return f"{11 + number // 200}.{1 + number % 200}.0.1:7003"
