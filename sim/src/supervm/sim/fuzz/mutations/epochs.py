"""Ends of epochs (consensus.md 2.11, 3.7)."""

from __future__ import annotations

from typing import Any

from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain import block as block_rules
from supervm.protocol.chain import controls, epoch, header, set_change, validators
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint
from supervm.protocol.chain.votes import VoteKind, statement
from supervm.tier_l1_super.batches import pool, slots, voting
from supervm.tier_l1_super.chain.advance import Advance
from supervm.tier_l1_super.chain.whereabouts import Whereabouts
from supervm.tier_l1_super.consensus import epoch_end
from supervm.tier_l1_super.consensus.simplex import core as simplex_core
from supervm.tier_l1_super.consensus.simplex import voting as simplex_voting

from .switch import Patcher, mutation, nothing


@mutation("seal-quorum", "an epoch is sealed by EpochCloses of quorum weight (2.11.2)", epoch_ms=1_500, l1=4)
def _seal_quorum(patcher: Patcher) -> None:
    patcher.set(header.ChainRules, "is_sealed", lambda self, block: bool(self.progress_of(block).closers))


@mutation(
    "close-then-vote",
    "who has closed an epoch votes on none of its batches (3.7)",
    epoch_ms=1_500,
    on=("slow", "loss"),
    pay_ppm=350_000,
)
def _close_then_vote(patcher: Patcher) -> None:
    patcher.set(voting.BatchVoter, "closed", property(lambda self: False))


@mutation(
    "set-quorum",
    "a set change needs signatures of quorum weight (2.11)",
    epoch_ms=1_500,
    on=("set-change", "partition"),
    l1=4,
)
def _set_quorum(patcher: Patcher) -> None:
    def signed_by_one(self: Any) -> Any:
        wish = self.wish
        if wish is None:
            return ()
        own = {index: signature for index, (digest, signature) in self._approvals.items() if digest == wish.hash}
        listed = validators.ValidatorList(1, wish.members)
        return (set_change.SetChange(1, listed, tuple(sorted(own.items())[:1])),) if own else ()

    patcher.set(epoch_end.EpochEnd, "_set_change", signed_by_one)
    patcher.set(controls, "check_certificate", nothing)


@mutation(
    "next-ready",
    "another set takes over only when its members of quorum weight are ready (2.11.2)",
    epoch_ms=1_500,
    candidates=2,
    on=("set-change", "crash", "partition"),
)
def _next_ready(patcher: Patcher) -> None:
    patcher.set(epoch, "next_validators", lambda sealing, rules, proposed: proposed or rules.validators)


class _Anything:
    def __ne__(self, other: object) -> bool:
        return False


@mutation(
    "progress-check",
    "what a header sums up is held against its body, in every block (ava-labs #381)",
    epoch_ms=1_500,
    l1=4,
    weights=(),
    on=("byzantine",),
    actors=("control-forger",),
)
def _progress(patcher: Patcher) -> None:
    patcher.set(block_rules, "progress_after", lambda progress, body: _Anything())


@mutation(
    "control-check",
    "every signature about the end of an epoch is checked before it counts (2.11)",
    epoch_ms=1_500,
    l1=4,
    weights=(),
    on=("byzantine",),
    actors=("control-forger",),
)
def _controls(patcher: Patcher) -> None:
    patcher.set(block_rules, "check_control_signatures", nothing)


@mutation(
    "tail",
    "descendants of a sealing block only prove it (2.11.3)",
    epoch_ms=1_500,
    on=("loss", "byzantine"),
    actors=("vote-withholder", "partial-deliverer"),
    loss_ppm=150_000,
    l1=4,
    weights=(),
    block_interval_ms=200,
    chaos_ms=10_000,
)
def _tail(patcher: Patcher) -> None:
    patcher.set(simplex_voting, "committed_part", lambda blocks, rules: len(blocks))


@mutation("close-in-time", "an epoch is closed when its time is over, not before (2.11.1)", epoch_ms=6_000)
def _close_in_time(patcher: Patcher) -> None:
    patcher.set(header.ChainRules, "is_closing", lambda self, block: block.height > self.root_height)


@mutation("root-certificate", "an epoch starts from a certified sealing block (2.11.4)", epoch_ms=1_500, l1=4)
def _root(patcher: Patcher) -> None:
    def executed(original: Any, self: Any, now_us: int, applied: Any) -> None:
        original(self, now_us, applied)
        index, key, rules = self._seat.index, self._seat.key, self._seat.rules
        block = applied.header
        if block.next_validators_hash != ZERO_HASH and index is not None and key is not None:
            signed = statement(rules.chain_id, VoteKind.CHECKPOINT, rules.epoch, block.height, block.hash)
            self._epoch_due = CertifiedCheckpoint(1, block, ((index, key.sign(signed)),))

    patcher.wrap(Advance, "_executed", executed)


@mutation(
    "old-epoch-help",
    "who has left an epoch helps those who have not (2.11.5)",
    epoch_ms=1_500,
    on=("slow", "cut", "partition", "loss"),
    rate_ppm=60_000,
)
def _help(patcher: Patcher) -> None:
    patcher.set(simplex_core.Simplex, "_when_sealed", lambda self, event: self._timers.fired("retry_us", self._now_us))
    patcher.set(Whereabouts, "remind", nothing)


@mutation(
    "void-promises",
    "promises end with their epoch (3.7)",
    epoch_ms=1_500,
    on=("slow", "loss", "bad-miner"),
    actors=("certificate-withholder",),
    pay_ppm=350_000,
)
def _void_promises(patcher: Patcher) -> None:
    patcher.set(slots.Slots, "clear", nothing)


@mutation(
    "void-certificates",
    "batch certificates end with their epoch (3.7)",
    epoch_ms=1_500,
    l2=2,
    on=("slow", "bad-miner"),
    actors=("certificate-withholder",),
    pay_ppm=350_000,
    tick_ms=100,
)
def _void_certificates(patcher: Patcher) -> None:
    patcher.set(pool.Pool, "clear", nothing)


@mutation(
    "epoch-in-batch",
    "a block carries batches of its own epoch only (2.4, 3.7)",
    epoch_ms=1_500,
    l2=2,
    on=("slow", "bad-miner"),
    actors=("certificate-withholder",),
    pay_ppm=350_000,
    tick_ms=100,
)
def _epoch_in_batch(patcher: Patcher) -> None:
    patcher.set(pool.Pool, "clear", nothing)
    from supervm.tier_l1_super.consensus import host as consensus

    patcher.forgive(consensus, "check_block", "a batch of another epoch")
