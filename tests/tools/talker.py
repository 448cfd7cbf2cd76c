"""A node that takes and sends every kind of `reach1`, and makes nothing of them: for tests of what travels."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import msgspec
from reach_samples import reach_messages

from supervm.common.contract.core import PeerUp
from supervm.common.parts.buckets import Rate
from supervm.common.parts.costs import CLASSES, Cost
from supervm.common.parts.manners import Budget, Rank
from supervm.common.parts.part import Part
from supervm.common.parts.shell import Clock, Shell
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.subjects import REACH

RATE = Rate(1_000_000, 10_000_000)


class Say(msgspec.Struct, frozen=True, tag="say", tag_field="request"):
    """Send one of every kind to everybody who is up, whatever they know. Answer: how many."""


class Heard(msgspec.Struct, frozen=True, tag="heard", tag_field="request"):
    """Ask for the names of the kinds that came, in their order."""


class About(msgspec.Struct, frozen=True, tag="info", tag_field="request"):
    """Ask how the node stands."""


class Talk(Part):
    """Says everything, hears everything."""

    takes = frozenset(REACH.directions)
    sends = frozenset(REACH.directions)
    answers = (Say, Heard)
    subjects = (REACH,)
    costs = dict.fromkeys(REACH.directions, Cost("link", 10))

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self.heard: list[Message] = []

    def receive(self, now_us: int, peer: bytes, message: Message) -> None:
        """Remember it."""
        self.heard.append(message)

    def command(self, now_us: int, token: int, request: Say | Heard) -> None:
        """Say everything, or what was heard."""
        if isinstance(request, Heard):
            self._shell.outbox.reply(token, [type(message).__name__ for message in self.heard])
            return
        for peer in self._shell.peering.up:
            for message in reach_messages().values():
                self._shell.outbox.send(peer, message)
        self._shell.outbox.reply(token, len(self._shell.peering.up))


class PlainNode(Shell):
    """The smallest node: links and a clock; without a subject."""

    TIER = 3
    INFO = About

    def __init__(self, node_id: bytes, chain_id: bytes, targets: Iterable[tuple[bytes | None, str]] = ()) -> None:
        anybody = Budget(dict.fromkeys(CLASSES, RATE))
        super().__init__(targets=targets, rng=random.Random(1), budgets=dict.fromkeys(Rank, anybody))
        self.node_id, self.chain_id = node_id, chain_id
        self.compose([Clock(self.clock, lambda: (0, 0)), self.links])

    @property
    def height(self) -> int:
        """None of the chain."""
        return 0

    def rank(self, event: PeerUp) -> Rank:
        """All the same."""
        return Rank.NAMED


class TalkingNode(PlainNode):
    """The same with everything of `reach1`."""

    MORE = (Talk,)


def tiered(node: type[PlainNode], tier: int) -> Any:
    """Return the same kind of node of another tier."""
    return type(f"{node.__name__}{tier}", (node,), {"TIER": tier})
