"""Whom a replica follows: one L1 that sends every finalized block and checkpoint above the tip.

A validator that brings no new block for three seconds is replaced by the next one; while the miner waits for nothing,
it has the beat of an idle chain as well. Without any validator that the replica knows, every L1 that is there will do:
all whom it knew may have handed over while it was off, and what an L1 sends of the chain proves itself.
"""

from __future__ import annotations

import random
from collections.abc import Container
from typing import Final

from supervm.common.contract.core import Outbox
from supervm.common.parts.asking import Question, next_of
from supervm.common.parts.peering import Peering
from supervm.protocol.wire.chain import Follow

VALIDATOR_TIER: Final = 1
SILENCE_US_MAX = 3_000_000
"""Without a new block for this long while one is wanted another validator is followed."""
REFOLLOW_US_MIN = 500_000
"""Shortest time between two `Follow` because of a gap."""


class Source:
    """The L1 that one replica follows, and those that it could.

    Args:
        peering: who is there.
        rng: chooses the first one.
        outbox: where `Follow` goes.
        idle_us: the beat of an idle chain.
    """

    def __init__(self, peering: Peering, rng: random.Random, outbox: Outbox, idle_us: int) -> None:
        self._silence_us = SILENCE_US_MAX + idle_us
        self._peering, self._rng, self._outbox = peering, rng, outbox
        self.others: list[bytes] = []
        """Who could be followed, in the order they came; the one that is followed is among them."""
        self._question = Question()
        self._again_us = 0

    @property
    def peer(self) -> bytes | None:
        """Who is followed."""
        return self._question.peer

    @property
    def deadline_us(self) -> int | None:
        """When it has been silent for too long; None if nobody is followed."""
        return self._question.until_us

    def choose(self, now_us: int, validators: Container[bytes], height: int) -> None:
        """Look at who is there, and follow one of them above `height` if whoever was followed is not any more."""
        up = self._peering.up
        self.others = [peer for peer in up if peer in validators] or self._peering.of_tier(VALIDATOR_TIER)
        if self.peer not in self.others:
            self.leave()
            if self.others:
                self.follow(now_us, self._rng.choice(self.others), height)

    def follow(self, now_us: int, peer: bytes, height: int) -> None:
        """Ask `peer` for what is above `height`."""
        self._question.ask(now_us, peer, self._silence_us)
        self._again_us = now_us + REFOLLOW_US_MIN
        self._outbox.send(peer, Follow(height))

    def again(self, now_us: int, height: int) -> None:
        """Ask whoever is followed once more, if that was not done a moment ago: there is a gap.

        That gives it no more time: one that forges a block leaves a gap behind it, again and again.
        """
        if self.peer is not None and self._again_us <= now_us:
            self._again_us = now_us + REFOLLOW_US_MIN
            self._outbox.send(self.peer, Follow(height))

    def next(self, now_us: int, height: int) -> None:
        """Follow the next one in the place of one that is silent, if it is."""
        peer = next_of(self.others, self.peer)
        if peer is not None and self._question.is_due(now_us):
            self.follow(now_us, peer, height)

    def has_not(self, now_us: int) -> None:
        """Note that whoever is followed does not keep what is asked for: the next one is followed soon."""
        self._question.wait(now_us, REFOLLOW_US_MIN)

    def heard(self, now_us: int) -> None:
        """Note that it has brought a new block."""
        self._question.wait(now_us, self._silence_us)

    def expect(self, now_us: int) -> None:
        """Note that a block is wanted: on an idle chain, too, it is to come soon."""
        until_us = self._question.until_us
        if until_us is not None and until_us > now_us + SILENCE_US_MAX:
            self._question.wait(now_us, SILENCE_US_MAX)

    def leave(self) -> None:
        """Follow nobody, until one is chosen."""
        self._question.close()
