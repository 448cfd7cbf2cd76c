"""Manners: what a peer may cost, and what a validator keeps for nothing (network.md 7, N2; decisions.md, "Manners")."""

from __future__ import annotations

from typing import Any

from supervm.common.parts.manners import Manners
from supervm.tier_l1_super.batches import voting
from supervm.tier_l1_super.batches.bodies import body_records
from supervm.tier_l1_super.chain.checkpoints import CheckpointTally

from .switch import Patcher, mutation, nothing


@mutation(
    "held-peers",
    "who owes is not read from (network.md 7, N2)",
    classes=("byzantine",),
    actors=("request-flooder",),
    l1=4,
    weights=(),
    chaos_ms=10_000,
)
def _held(patcher: Patcher) -> None:
    patcher.set(Manners, "admit", lambda self, now_us, peer, message: self.is_up(peer))
    patcher.set(Manners, "_hold", nothing)
    patcher.set(Manners, "can_afford", lambda self, now_us, peer, cost_class: True)


@mutation(
    "verdicts",
    "a signer of whom a verdict is known costs nothing more (2.7, N2)",
    classes=("byzantine",),
    actors=("vote-repeater",),
    l1=4,
    weights=(),
    chaos_ms=10_000,
)
def _verdicts(patcher: Patcher) -> None:
    def compare(original: Any, self: Any, earlier: Any, vote: Any, *, is_verified: bool) -> None:
        original(self, earlier, vote, is_verified=is_verified)
        self._accused.clear()
        self.bad_signers.clear()

    patcher.wrap(CheckpointTally, "_compare", compare)


@mutation(
    "bare-bodies",
    "a batch that gets no bit is not stored (3.2, N2)",
    on=("bad-miner",),
    actors=("disk-filling-miner",),
    l2=2,
)
def _bare_bodies(patcher: Patcher) -> None:
    def vote(original: Any, self: Any, peer: Any, message: Any, digest: bytes, body: Any, *, stored: bool) -> None:
        if not stored and not self.closed and self._seat.index is not None:
            self._outbox.persist(*body_records(body.batch))
        original(self, peer, message, digest, body, stored=stored)

    patcher.wrap(voting.BatchVoter, "_vote", vote)
