"""Which blocks are valid, and what is evidence (consensus.md 2.4, 2.10)."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import msgspec

from supervm.protocol.chain import block as block_rules
from supervm.protocol.chain.evidence import check_evidence
from supervm.tier_l1_super.consensus import accuse
from supervm.tier_l1_super.consensus import host as consensus
from supervm.tier_l1_super.consensus.simplex import core as simplex_core
from supervm.tier_l1_super.consensus.simplex import state

from .switch import Patcher, mutation, nothing


@mutation(
    "leader-turn",
    "only the leader of a view proposes in it (2.4, 2.6)",
    on=("byzantine",),
    actors=("turn-thief",),
    l1=4,
    weights=(),
)
def _turn(patcher: Patcher) -> None:
    def is_in_turn(self: Any, header: Any) -> bool:
        return bool(header.chain_id == self.rules.chain_id and header.parent_view < header.view)

    patcher.set(simplex_core.Simplex, "is_in_turn", is_in_turn)
    patcher.forgive(consensus, "check_block", "does not lead this view")


@mutation(
    "height-link",
    "a block's height is its parent's and one (2.4)",
    on=("byzantine",),
    actors=("header-tamperer",),
    l1=4,
    weights=(),
)
def _height(patcher: Patcher) -> None:
    patcher.forgive(consensus, "check_block", "does not link to its parent")


@mutation(
    "time-order",
    "a block is later than its parent (2.4)",
    on=("byzantine",),
    actors=("skewed-timestamp-leader",),
    l1=4,
    weights=(),
)
def _time(patcher: Patcher) -> None:
    patcher.forgive(consensus, "check_block", "must be after the parent's")


@mutation(
    "clock-drift",
    "nobody votes for a block from the future (2.4)",
    on=("byzantine",),
    actors=("skewed-timestamp-leader",),
    l1=4,
    weights=(),
)
def _drift(patcher: Patcher) -> None:
    def init(original: Any, self: Any, *, parameters: Any, **options: Any) -> None:
        original(self, parameters=msgspec.structs.replace(parameters, clock_drift_ms=1 << 50), **options)

    patcher.wrap(state.State, "__init__", init)


@mutation(
    "body-hash",
    "a block's body is the one that its header names (2.4)",
    on=("byzantine",),
    actors=("body-emptier",),
    l1=4,
    weights=(),
    pay_ppm=350_000,
)
def _body(patcher: Patcher) -> None:
    def on_proposal(original: Any, self: Any, sender: int, block: Any) -> None:
        with patch.object(simplex_core, "hash_block_body", lambda raw: block.header.body_hash):
            original(self, sender, block)

    patcher.wrap(simplex_core.Simplex, "_on_proposal", on_proposal)
    patcher.forgive(consensus, "check_block", "its body is not the one", "what its body adds")


@mutation(
    "checkpoint-named",
    "a block names a newer checkpoint only with its certificate (2.4)",
    on=("byzantine",),
    actors=("header-tamperer",),
    l1=4,
    weights=(),
)
def _named(patcher: Patcher) -> None:
    patcher.forgive(consensus, "check_block", "a new checkpoint without its certificate")


@mutation(
    "evidence-check",
    "evidence in a block is checked (2.10)",
    on=("byzantine",),
    actors=("evidence-forger",),
    l1=4,
    weights=(),
)
def _evidence(patcher: Patcher) -> None:
    patcher.set(block_rules, "check_evidence", nothing)


def _mutes(kind: str) -> Any:
    def accuse_all_but(original: Any, self: Any, evidence: Any) -> bool:
        culprit = check_evidence(evidence, self._seat.rules)
        return False if culprit.kind == kind else bool(original(self, evidence))

    return lambda patcher: patcher.wrap(accuse.Accuser, "accuse", accuse_all_but)


_SHOWN: dict[str, Any] = {"classes": ("byzantine",), "l1": 4, "weights": (), "listen_us": 0, "candidates": 0}
_FACES: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("E1", "two blocks in one view", "double-voter", {}),
    ("E2", "Nullify and Finalize of a view", "finalize-nullifier", {}),
    ("E3", "two checkpoints of one height", "double-certifier", {"spread": True, "view_timeout_ms": 400}),
    ("E6", "a block without proof of its place", "unjustified-leader", {"chaos_ms": 22_000}),
)
for _kind, _what, _actor, _more in _FACES:
    _knobs: dict[str, Any] = {"actors": (_actor,), **_SHOWN, **_more}
    mutation(f"accuse-{_kind}", f"{_what}: evidence, if honest validators are shown it (2.10)", **_knobs)(_mutes(_kind))
mutation(
    "accuse-E7",
    "a batch with a bad sender's signature: evidence (2.10)",
    on=("bad-miner",),
    actors=("bad-signature-miner",),
    l2=2,
    pay_ppm=350_000,
)(_mutes("E7"))
