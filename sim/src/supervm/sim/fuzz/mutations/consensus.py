"""Consensus: votes, certificates, timers, and what is said again (consensus.md 2.1, 2.3, 2.5, 2.6, 2.8, 2.9)."""

from __future__ import annotations

from typing import Any

from supervm.common.contract import core as common_core
from supervm.protocol.chain import block as block_rules
from supervm.protocol.chain import validators, votes
from supervm.protocol.chain.header import ChainRules, Justification
from supervm.protocol.chain.spans import spans_within
from supervm.protocol.chain.votes import VoteKind
from supervm.tier_l1_super.chain import executor, whereabouts
from supervm.tier_l1_super.consensus import guard
from supervm.tier_l1_super.consensus.simplex import core as simplex_core
from supervm.tier_l1_super.consensus.simplex import pacing, rounds, skips, state
from supervm.tier_l1_super.consensus.simplex import voting as simplex_voting

from ..config import EPOCH_MS
from .switch import Patcher, mutation, nothing


@mutation(
    "R1",
    "at most one Notarize per view (2.5)",
    model="R1",
    on=("byzantine",),
    actors=("equivocator", "double-notarizer"),
)
def _r1(patcher: Patcher) -> None:
    patcher.wrap(
        rounds.Round,
        "may",
        lambda original, self, kind: (
            original(self, kind) or (kind is VoteKind.NOTARIZE and VoteKind.NULLIFY not in self.own)
        ),
    )

    def on_proposal(original: Any, self: Any, sender: int, block: Any) -> None:
        round_ = self._rounds.get(block.header.view)
        if round_ is not None and round_.proposal is not None and round_.proposal_hash != block.hash:
            round_.proposal, round_.proposal_hash, round_.asked, round_.poisoned = None, b"", None, False
        original(self, sender, block)

    patcher.wrap(simplex_core.Simplex, "_on_proposal", on_proposal)


@mutation("R2", "no Finalize of a view that was nullified (2.5, P1)")
def _r2(patcher: Patcher) -> None:
    patcher.wrap(
        rounds.Round,
        "may",
        lambda original, self, kind: original(self, kind) or (kind is VoteKind.FINALIZE and kind not in self.own),
    )


@mutation(
    "R3",
    "Notarize only with the parent's certificate and every skipped view nullified (2.5, P2)",
    on=("byzantine",),
    actors=("bad-justification-leader",),
)
def _r3(patcher: Patcher) -> None:
    patcher.set(state.State, "_well_placed", lambda self, header: header.parent_view >= self._final.view)
    patcher.set(block_rules, "check_justification", nothing)


@mutation("gap-check", "a skipped view needs its nullification (2.5, P2)", on=("slow", "loss"))
def _gap(patcher: Patcher) -> None:
    patcher.set(state.State, "_is_nullified", lambda self, view: True)
    patcher.wrap(state.State, "_justify", _justify_with_gaps)
    patcher.set(block_rules, "check_justification", nothing)


def _justify_with_gaps(original: Any, self: Any, view: int, parent: Any) -> Any:
    parent_view = self.rules.view_of(parent)
    certificate = None if parent_view == 0 else self._certificate_of(parent_view)
    skips = tuple(
        self._rounds[below].certificates[VoteKind.NULLIFY]
        for below in range(parent_view + 1, view)
        if below in self._rounds and VoteKind.NULLIFY in self._rounds[below].certificates
    )
    return Justification(1, () if certificate is None else (certificate,), skips)


@mutation("P0", "a message with an own promise waits for its record (2.1)")
def _p0(patcher: Patcher) -> None:
    patcher.set(
        common_core.Outbox,
        "send",
        lambda self, peer, message, *, after=0: self._effects.append(common_core.Send(peer, message, 0)),
    )


@mutation("quorum", "a certificate needs floor(2W/3) + 1", l1=4, weights=())
def _quorum(patcher: Patcher) -> None:
    def init(original: Any, self: Any, members: Any) -> None:
        original(self, members)
        self.quorum = max(1, 2 * self.weight_total // 3)

    patcher.wrap(validators.ValidatorSet, "__init__", init)


@mutation(
    "recount",
    "own votes are counted again after a restart (2.8, commonware #4275)",
    model="recount",
    on=("power", "byzantine"),
    actors=("mute", "vote-withholder"),
    l1=4,
    weights=(),
    stay=False,
    rate_ppm=60_000,
)
def _recount(patcher: Patcher) -> None:
    def recall(original: Any, self: Any, view: int, kind: Any, digest: bytes) -> None:
        if self.index is not None:
            self._round(view).own.setdefault(kind, self._own_vote(view, kind, digest))

    patcher.wrap(simplex_voting.Voting, "_recall", recall)


@mutation(
    "forget-votes",
    "a restart takes up the votes of before (2.8)",
    model="recall-notarize",
    on=("crash", "trap", "slow", "byzantine"),
    actors=("equivocator", "double-notarizer"),
    rate_ppm=60_000,
    l1=4,
    weights=(),
    tick_ms=100,
    delay_us=10_000,
)
def _forget(patcher: Patcher) -> None:
    patcher.set(simplex_voting.Voting, "_recall", nothing)


@mutation(
    "certificate-check",
    "a certificate is checked before it is believed (2.3)",
    on=("byzantine",),
    actors=("certificate-forger",),
)
def _certificate_check(patcher: Patcher) -> None:
    patcher.set(simplex_voting, "check_certificate", nothing)


@mutation(
    "vote-check", "votes are checked before they make a certificate (2.3)", on=("byzantine",), actors=("bad-signer",)
)
def _vote_check(patcher: Patcher) -> None:
    patcher.set(rounds.Tally, "genuine", lambda self, signer: True)


@mutation("repeat", "what was said is said again while nothing becomes final (2.5)", on=("cut", "partition", "crash"))
def _repeat(patcher: Patcher) -> None:
    patcher.set(simplex_voting.Voting, "_repeat", nothing)
    patcher.set(simplex_voting.Voting, "_help", nothing)


@mutation(
    "signer-twice", "signers of a certificate are distinct (2.3, 5)", on=("byzantine",), actors=("signature-repeater",)
)
def _signer_twice(patcher: Patcher) -> None:
    patcher.set(votes, "check_signers", lambda signers, members, what: sum(members.weights[index] for index in signers))


@mutation(
    "advance-nullified",
    "who has nullified a view goes on with its notarization (2.9, P12)",
    model="P12",
    on=("slow", "loss", "byzantine"),
    actors=("partial-leader", "partial-deliverer"),
    view_timeout_ms=50,
)
def _advance(patcher: Patcher) -> None:
    def hold(original: Any, self: Any, round_: Any, certificate: Any) -> None:
        if VoteKind.NULLIFY in round_.own and certificate.kind is not VoteKind.NULLIFY:
            round_.certificates[certificate.kind] = certificate
        else:
            original(self, round_, certificate)

    patcher.wrap(simplex_voting.Voting, "_hold", hold)


@mutation(
    "back-off",
    "patience grows while nothing becomes final (2.5, P10)",
    delay_us=450_000,
    spread=False,
    view_timeout_ms=50,
    block_interval_ms=200,
    l1=4,
    epoch_ms=EPOCH_MS,
)
def _back_off(patcher: Patcher) -> None:
    patcher.set(simplex_core, "timeout_us", lambda parameters, views: parameters.view_timeout_ms * 1000)


@mutation(
    "patience-ends",
    "a view without a proposal or a certificate is nullified in time (2.5)",
    on=("byzantine", "crash"),
    actors=("mute", "partial-leader"),
)
def _patience(patcher: Patcher) -> None:
    def fired(original: Any, self: Any, name: str, now_us: int) -> bool:
        return bool(original(self, name, now_us)) and name not in ("lead_us", "advance_us")

    patcher.wrap(pacing.Timers, "fired", fired)


@mutation(
    "retry-after-restart",
    "a restart goes on saying again what was said (2.8, P4)",
    on=("power", "loss", "cut", "crash"),
    rate_ppm=60_000,
    loss_ppm=150_000,
    l1=4,
    weights=(),
)
def _retry(patcher: Patcher) -> None:
    def start(original: Any, self: Any) -> None:
        if self._records:
            self._repeat = self._help = nothing
        original(self)

    patcher.wrap(simplex_core.Simplex, "_start", start)


@mutation(
    "final-by-descendant",
    "a finalization makes its ancestors final as well (2.5, P6)",
    on=("slow", "loss", "cut", "byzantine"),
    actors=("partial-deliverer", "vote-withholder"),
    calm_s=60,
    is_costly=True,
)
def _descendant(patcher: Patcher) -> None:
    patcher.wrap(
        simplex_voting.Voting,
        "_hand_out",
        lambda original, self, path, finalization: original(self, path, finalization) if len(path) == 1 else None,
    )


@mutation("oldest-first", "ancestors are committed oldest first (2.9, P11)", on=("slow", "loss", "cut"))
def _oldest(patcher: Patcher) -> None:
    patcher.wrap(
        simplex_voting.Voting,
        "_hand_out",
        lambda original, self, path, finalization: original(self, tuple(reversed(path)), finalization),
    )


@mutation("leader-order", "leaders follow the epoch's permutation (2.6)", l1=4)
def _order(patcher: Patcher) -> None:
    patcher.set(ChainRules, "leader", lambda self, view: view % len(self.leaders))


@mutation(
    "double-run",
    "a validator listens for its own key before it votes (2.2)",
    classes=("late-twin",),
    listen_us=3_000_000,
    l1=4,
    weights=(),
    candidates=0,
    chaos_ms=14_000,
)
def _double_run(patcher: Patcher) -> None:
    patcher.set(guard.DoubleRunGuard, "look", nothing)


@mutation("catch-up", "who lacks final blocks asks for them (2.8)", on=("crash", "cut", "partition"), rate_ppm=60_000)
def _catch_up(patcher: Patcher) -> None:
    patcher.set(whereabouts.Whereabouts, "ask_anyone", nothing)
    patcher.set(whereabouts.Whereabouts, "ask_chain", nothing)


@mutation(
    "chain-check",
    "finalized blocks from a peer are checked up to their finalization (2.8)",
    on=("byzantine", "crash", "cut"),
    actors=("chain-forger",),
    rate_ppm=60_000,
    l1=4,
    weights=(),
    candidates=2,
)
def _chain_check(patcher: Patcher) -> None:
    from supervm.tier_l1_super.consensus import host as consensus

    patcher.set(consensus, "check_finalized_chain", nothing)


@mutation(
    "fetch-bodies",
    "who lacks a batch of a final block asks its signers (2.4)",
    on=("bad-miner", "loss"),
    actors=("batch-withholder",),
    l2=2,
    calm_s=60,
)
def _fetch(patcher: Patcher) -> None:
    patcher.set(executor.Executor, "_fetch", nothing)


@mutation(
    "span-over-finalize",
    "who has finalized a view signs no span over it (2.5)",
    on=("loss", "cut", "crash"),
    loss_ppm=150_000,
    block_interval_ms=200,
)
def _span_over_finalize(patcher: Patcher) -> None:
    def cast(original: Any, self: Any) -> None:
        self._finalize_view = 0
        original(self)

    patcher.wrap(simplex_voting.Voting, "_cast_spans", cast)
    patcher.set(simplex_voting.Voting, "_spans_wanted", lambda self: spans_within(self._final.view + 1, self._view - 1))


@mutation(
    "span-binds",
    "who has signed a span signs nothing in its views any more (2.5)",
    test="tests/tier_l1_super/test_spans.py::test_nothing_is_signed_under_a_span_any_more",
    classes=("loss", "slow", "cut", "byzantine"),
    actors=("partial-deliverer",),
    loss_ppm=150_000,
    l1=4,
    weights=(),
    block_interval_ms=200,
    view_timeout_ms=50,
    rate_ppm=60_000,
    tick_ms=100,
)
def _span_binds(patcher: Patcher) -> None:
    patcher.set(skips.Skips, "binds", lambda self, view: False)


@mutation(
    "checkpoint-lag",
    "more than K = 16 blocks after the last certified checkpoint a block has no refs (2.4 K)",
    test="tests/protocol/test_block.py::test_batches_stop_when_checkpoints_lag_and_start_again_with_the_certificate",
)
def _checkpoint_lag(patcher: Patcher) -> None:
    patcher.set(block_rules, "CHECKPOINT_LAG_MAX", 17)
