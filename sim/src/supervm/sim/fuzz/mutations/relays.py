"""Edges and miners: what they acknowledge, pass on, repeat and hand over (decisions.md; consensus.md 3.7, 3.9.5, 5)."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from supervm.protocol.light import client, trust
from supervm.tier_l2_miner.mempool import batcher, mempool
from supervm.tier_l2_miner.replica import replica, source
from supervm.tier_l3_edge.intake import intake, news
from supervm.tier_l3_edge.proofs import headers, proofs
from supervm.tier_l3_edge.proofs.source import Source
from supervm.tier_l3_edge.relay import relay

from .switch import Patcher, mutation, nothing

_CARRIED: Any = {"validity_ms": 60_000, "stay_miners": True, "pay_ppm": 350_000, "chaos_ms": 6_000}
"""Every payment is valid until long after all faults are over, so that one which expires was not carried."""


@mutation("acknowledged-durable", "an edge says R0 when the transaction is on its disk (decisions.md)")
def _durable(patcher: Patcher) -> None:
    patcher.wrap(
        news.News,
        "tell",
        lambda original, self, peer, name, level, reason="", *, after=0: original(self, peer, name, level, reason),
    )


@mutation(
    "acknowledged-signed",
    "an edge checks the sender's signature before R0 (decisions.md)",
    on=("bad-phone",),
    actors=("flooding-phone",),
    l4=2,
)
def _signed(patcher: Patcher) -> None:
    patcher.wrap(
        intake.Intake,
        "work_done",
        lambda original, self, now_us, token, result: original(self, now_us, token, [True] * len(list(result))),
    )


@mutation(
    "edge-proofs",
    "an edge passes on proofs that it has checked (5, N3)",
    on=("bad-miner",),
    actors=("lying-miner",),
    l2=2,
)
def _edge_proofs(patcher: Patcher) -> None:
    def take(original: Any, self: Any, *arguments: Any) -> Any:
        with patch.object(client, "verify", lambda root, leaf_id, proof: proof.value or None):
            return original(self, *arguments)

    patcher.wrap(proofs.Proofs, "_proofs", take)


@mutation(
    "edge-checkpoints",
    "an edge passes on checkpoints that it has checked (5, N3)",
    on=("bad-miner",),
    actors=("header-forging-miner",),
    l2=2,
)
def _edge_checkpoints(patcher: Patcher) -> None:
    def check(original: Any, self: Any, data: bytes, now_ms: int) -> Any:
        with patch.object(trust, "check_certified_checkpoint", nothing):
            return original(self, data, now_ms)

    patcher.wrap(headers.Headers, "_check", check)


@mutation(
    "other-miner",
    "an edge leaves a miner that gives no news (3.8 T13, 3.9.5)",
    classes=("bad-miner",),
    actors=("censoring-miner",),
    l1=4,
    weights=(),
    l2=2,
    **{**_CARRIED, "validity_ms": 20_000, "chaos_ms": 3_000},
    is_costly=True,
)
def _other_miner(patcher: Patcher) -> None:
    patcher.set(relay.Relay, "_left", lambda self, now_us, entry, miner: False)


@mutation(
    "forward-again",
    "an edge submits again what a miner may have forgotten (3.9.5)",
    classes=("crash", "loss", "cut"),
    rate_ppm=60_000,
    l1=4,
    weights=(),
    **_CARRIED,
    is_costly=True,
)
def _forward_again(patcher: Patcher) -> None:
    patcher.set(relay.Relay, "tick", nothing)
    patcher.set(relay.Relay, "deadline_us", None)


@mutation(
    "edge-subscribes",
    "an edge leaves a miner that shows nothing new of its accounts (5, N5)",
    classes=("bad-miner",),
    actors=("stale-miner",),
    l1=4,
    weights=(),
    l2=2,
    l3=1,
    calm_s=75,
    **_CARRIED,
    is_costly=True,
)
def _subscribes(patcher: Patcher) -> None:
    patcher.set(Source, "_can_move", lambda self: False)


@mutation(
    "batched-again",
    "what lacks a quorum is batched again (3.9.5)",
    classes=("slow", "loss", "byzantine"),
    actors=("bad-bitmap-voter",),
    l1=4,
    weights=(),
    spread=True,
    **_CARRIED,
    is_costly=True,
)
def _batched_again(patcher: Patcher) -> None:
    patcher.set(mempool.Mempool, "requeue", nothing)


@mutation(
    "repeat-batches",
    "batches and certificates are sent again until they are executed (3.9.5)",
    classes=("crash", "power", "cut"),
    rate_ppm=60_000,
    l1=4,
    weights=(),
    **_CARRIED,
    is_costly=True,
)
def _repeat_batches(patcher: Patcher) -> None:
    def repeat(original: Any, self: Any, now_us: int) -> None:
        for held in self.held.values():
            held.repeat_at_us = 1 << 62
        original(self, now_us)

    patcher.wrap(batcher.Batcher, "_repeat", repeat)
    patcher.set(batcher.Batcher, "_hand_over", nothing)


@mutation(
    "batched-anew",
    "what an epoch's end leaves over is batched again in the next (3.7)",
    epoch_ms=1_500,
    classes=("slow", "loss"),
    l1=4,
    weights=(),
    **_CARRIED,
    is_costly=True,
)
def _batched_anew(patcher: Patcher) -> None:
    patcher.set(mempool.Mempool, "void", nothing)


@mutation(
    "other-validator",
    "a miner leaves a validator that brings no blocks (N5)",
    classes=("byzantine", "cut"),
    actors=("chain-forger",),
    l1=4,
    weights=(),
    l2=1,
    l3=1,
    calm_s=45,
)
def _other_validator(patcher: Patcher) -> None:
    patcher.set(replica.Replica, "_go_on", nothing)
    patcher.set(source, "SILENCE_US_MAX", 1 << 60)
