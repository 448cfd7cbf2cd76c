"""The mutation gate: each rule of the cores has a switch here that breaks it; fuzzing must notice (simulation.md 3).

A switch replaces a function of the shipped classes, inside the process that fuzzes and nowhere else; nothing in the
shipped code knows of it. `Mutation.knobs` turns the same knobs that the swarm draws anyway - which classes of faults
are on, which adversaries may appear - so that a rule that only one adversary tests is not left to luck.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from unittest.mock import patch

import msgspec

from supervm.common import core as common_core
from supervm.common.records import Append
from supervm.protocol import block as block_rules
from supervm.protocol import epoch, execution, fees, header, light, transition, validators
from supervm.protocol.account import EMPTY_ACCOUNT, decode_account
from supervm.protocol.spans import spans_within
from supervm.protocol.transfer import SignedTransfer
from supervm.protocol.votes import VoteKind
from supervm.tier_l1_super import epoch_end, executor, node, pool, recall, slots, voting
from supervm.tier_l1_super.simplex import core as simplex_core
from supervm.tier_l1_super.simplex import rounds, state
from supervm.tier_l1_super.simplex import voting as simplex_voting
from supervm.tier_l4_mobile import courier, queue
from supervm.tier_l4_mobile import log as phone_log

Apply = Callable[["Patcher"], None]


class Patcher:
    """Replaces attributes until the switch is off again.

    Args:
        stack: undoes.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Replace an attribute that exists."""
        self._stack.enter_context(patch.object(owner, name, value))

    def wrap(self, owner: Any, name: str, around: Callable[..., Any]) -> None:
        """Replace a function: `around` gets the original as its first argument."""
        original = getattr(owner, name)

        def replaced(*args: Any, **options: Any) -> Any:
            return around(original, *args, **options)

        self.set(owner, name, replaced)


@dataclass(frozen=True, slots=True)
class Mutation:
    """A rule and how to break it.

    Attributes:
        name: for ``--mutate``.
        rule: what the shipped code does, and this breaks.
        apply: breaks it.
        knobs: see `config.draw_config`.
    """

    name: str
    rule: str
    apply: Apply
    knobs: Mapping[str, Any] = field(default_factory=dict)


MUTATIONS: Final[dict[str, Mutation]] = {}
"""By name."""


def _mutation(name: str, rule: str, **knobs: Any) -> Callable[[Apply], Apply]:
    def add(apply: Apply) -> Apply:
        MUTATIONS[name] = Mutation(name, rule, apply, knobs)
        return apply

    return add


@contextmanager
def mutated(name: str | None) -> Iterator[Mapping[str, Any] | None]:
    """Break a rule for the time of the block; give its knobs. Without a name nothing is broken."""
    if name is None:
        yield None
        return
    mutation = MUTATIONS[name]
    with ExitStack() as stack:
        mutation.apply(Patcher(stack))
        yield mutation.knobs


def _nothing(*_args: Any, **_options: Any) -> None:
    return None


# --- consensus --------------------------------------------------------------------------------------------------------


@_mutation("R1", "at most one Notarize per view (2.5)", on=("byzantine",), actors=("equivocator", "double-notarizer"))
def _r1(patcher: Patcher) -> None:
    patcher.wrap(rounds.Round, "may", lambda original, self, kind: original(self, kind) or (
        kind is VoteKind.NOTARIZE and VoteKind.NULLIFY not in self.own))

    def on_proposal(original: Any, self: Any, sender: int, block: Any) -> None:
        round_ = self._rounds.get(block.header.view)
        if round_ is not None and round_.proposal is not None and round_.proposal_hash != block.hash:
            round_.proposal, round_.proposal_hash, round_.asked, round_.poisoned = None, b"", None, False
        original(self, sender, block)

    patcher.wrap(simplex_core.Simplex, "_on_proposal", on_proposal)


@_mutation("R2", "no Finalize of a view that was nullified (2.5, P1)")
def _r2(patcher: Patcher) -> None:
    patcher.wrap(rounds.Round, "may", lambda original, self, kind: original(self, kind) or (
        kind is VoteKind.FINALIZE and kind not in self.own))


@_mutation("R3", "Notarize only with the parent's certificate and every skipped view nullified (2.5, P2)",
           on=("byzantine",), actors=("bad-justification-leader",))
def _r3(patcher: Patcher) -> None:
    patcher.set(state.State, "_well_placed", lambda self, header: header.parent_view >= self._final.view)
    patcher.set(block_rules, "check_justification", _nothing)


@_mutation("gap-check", "a skipped view needs its nullification (2.5, P2)", on=("slow", "loss"))
def _gap(patcher: Patcher) -> None:
    patcher.set(state.State, "_is_nullified", lambda self, view: True)
    patcher.wrap(state.State, "_justify", _justify_with_gaps)
    patcher.set(block_rules, "check_justification", _nothing)


def _justify_with_gaps(original: Any, self: Any, view: int, parent: Any) -> Any:
    parent_view = self.rules.view_of(parent)
    certificate = None if parent_view == 0 else self._certificate_of(parent_view)
    skips = tuple(
        self._rounds[below].certificates[VoteKind.NULLIFY] for below in range(parent_view + 1, view)
        if below in self._rounds and VoteKind.NULLIFY in self._rounds[below].certificates
    )
    return block_rules.Justification(1, () if certificate is None else (certificate,), skips)


@_mutation("P0", "a message with an own promise waits for its record (2.1)")
def _p0(patcher: Patcher) -> None:
    patcher.set(common_core.Outbox, "send", lambda self, peer, message, *, after=0: self._effects.append(
        common_core.Send(peer, message, 0)))


@_mutation("quorum", "a certificate needs floor(2W/3) + 1", l1=4, weights=())
def _quorum(patcher: Patcher) -> None:
    def init(original: Any, self: Any, members: Any) -> None:
        original(self, members)
        self.quorum = max(1, 2 * self.weight_total // 3)

    patcher.wrap(validators.ValidatorSet, "__init__", init)


@_mutation("recount", "own votes are counted again after a restart (2.8, commonware #4275)",
           on=("power", "byzantine"), actors=("mute", "vote-withholder"), l1=4, weights=(), stay=False, rate_ppm=60_000)
def _recount(patcher: Patcher) -> None:
    def recall(original: Any, self: Any, view: int, kind: Any, digest: bytes) -> None:
        if self.index is not None:
            self._round(view).own.setdefault(kind, self._own_vote(view, kind, digest))

    patcher.wrap(simplex_voting.Voting, "_recall", recall)


@_mutation("forget-votes", "a restart takes up the votes of before (2.8)", on=("crash", "trap", "slow", "byzantine"),
           actors=("equivocator", "double-notarizer"), rate_ppm=60_000, l1=4, weights=(), tick_ms=100, delay_us=10_000)
def _forget(patcher: Patcher) -> None:
    patcher.set(simplex_voting.Voting, "_recall", _nothing)


@_mutation("certificate-check", "a certificate is checked before it is believed (2.3)",
           on=("byzantine",), actors=("certificate-forger",))
def _certificate_check(patcher: Patcher) -> None:
    patcher.set(simplex_voting, "check_certificate", _nothing)


@_mutation("vote-check", "votes are checked before they make a certificate (2.3)",
           on=("byzantine",), actors=("bad-signer",))
def _vote_check(patcher: Patcher) -> None:
    patcher.set(rounds.Tally, "genuine", lambda self, signer: True)


@_mutation("repeat", "what was said is said again while nothing becomes final (2.5)", on=("cut", "partition", "crash"))
def _repeat(patcher: Patcher) -> None:
    patcher.set(simplex_voting.Voting, "_repeat", _nothing)
    patcher.set(simplex_voting.Voting, "_help", _nothing)


# --- records ----------------------------------------------------------------------------------------------------------


def _drop(tag: bytes) -> Apply:
    def persist(original: Any, self: Any, *records: Any) -> int:
        kept = [record for record in records if not (type(record) is Append and record.payload[2:4] == tag)]
        return int(original(self, *kept))

    return lambda patcher: patcher.wrap(common_core.Outbox, "persist", persist)


for _tag, _what in (
    ("w1", "Notarize"), ("w2", "Nullify"), ("w3", "Finalize"), ("w4", "the checkpoint vote"), ("w5", "the batch vote"),
):
    _mutation(f"record-{_tag}", f"{_what} is on disk before it is sent (2.2)")(_drop(_tag.encode()))
_mutation("record-w8", "EpochClose is on disk before it is sent (2.2)", epoch_ms=1_500)(_drop(b"w8"))


@_mutation("restore-batch-votes", "a restart takes up the batch promises of before (3.6)",
           on=("crash", "trap", "power", "same-wallet", "bad-phone"), actors=("double-spender",), l4=3)
def _restore(patcher: Patcher) -> None:
    patcher.set(voting.BatchVoter, "_restore", _nothing)


@_mutation("amnesia", "who lost the log observes and does not vote (2.8)", on=("amnesia",), rate_ppm=60_000)
def _amnesia(patcher: Patcher) -> None:
    def init(original: Any, self: Any, **options: Any) -> None:
        original(self, **{**options, "observer": False})

    patcher.wrap(node.ValidatorNode, "__init__", init)


@_mutation("database-floor", "a database older than the log makes an observer (2.8)",
           on=("database-only", "cut", "power"), compact_every=8, rate_ppm=60_000, epoch_ms=1_500)
def _database_floor(patcher: Patcher) -> None:
    patcher.set(recall, "_doubt", lambda *_: "")


@_mutation("span-over-finalize", "who has finalized a view signs no span over it (2.5)",
           on=("loss", "cut", "crash"), loss_ppm=150_000, block_interval_ms=200)
def _span_over_finalize(patcher: Patcher) -> None:
    def cast(original: Any, self: Any) -> None:
        self._finalize_view = 0
        original(self)

    patcher.wrap(simplex_voting.Voting, "_cast_spans", cast)
    patcher.set(simplex_voting.Voting, "_spans_wanted", lambda self: spans_within(self._final.view + 1, self._view - 1))


# --- epochs -----------------------------------------------------------------------------------------------------------


@_mutation("seal-quorum", "an epoch is sealed by EpochCloses of quorum weight (2.11.2)", epoch_ms=1_500, l1=4)
def _seal_quorum(patcher: Patcher) -> None:
    patcher.set(header.ChainRules, "is_sealed", lambda self, block: bool(self.progress_of(block).closers))


@_mutation("close-then-vote", "who has closed an epoch votes on none of its batches (3.7)", epoch_ms=1_500,
           on=("slow", "loss"), pay_ppm=350_000)
def _close_then_vote(patcher: Patcher) -> None:
    def executed(original: Any, self: Any, applied: Any) -> None:
        original(self, applied)
        self.voter.closed = False

    patcher.wrap(node.ValidatorNode, "_executed", executed)


@_mutation("set-quorum", "a set change needs signatures of quorum weight (2.11)", epoch_ms=1_500,
           on=("set-change", "partition"), l1=4)
def _set_quorum(patcher: Patcher) -> None:
    def set_change(self: Any) -> Any:
        wish = self.wish
        if wish is None:
            return ()
        own = {index: signature for index, (digest, signature) in self._approvals.items() if digest == wish.hash}
        listed = validators.ValidatorList(1, wish.members)
        return (transition.SetChange(1, listed, tuple(sorted(own.items())[:1])),) if own else ()

    patcher.set(epoch_end.EpochEnd, "_set_change", set_change)
    patcher.set(transition, "check_certificate", _nothing)


@_mutation("next-ready", "another set takes over only when its members of quorum weight are ready (2.11.2)",
           epoch_ms=1_500, candidates=2, on=("set-change", "crash", "partition"))
def _next_ready(patcher: Patcher) -> None:
    patcher.set(epoch, "next_validators", lambda sealing, rules, proposed: proposed or rules.validators)


class _Anything:
    def __ne__(self, other: object) -> bool:
        return False


@_mutation("progress-check", "what a header sums up is held against its body, in every block (ava-labs #381)",
           epoch_ms=1_500, l1=4, weights=(), on=("byzantine",), actors=("control-forger",))
def _progress(patcher: Patcher) -> None:
    patcher.set(block_rules, "progress_after", lambda progress, body: _Anything())


@_mutation("control-check", "every signature about the end of an epoch is checked before it counts (2.11)",
           epoch_ms=1_500, l1=4, weights=(), on=("byzantine",), actors=("control-forger",))
def _controls(patcher: Patcher) -> None:
    patcher.set(block_rules, "check_control_signatures", _nothing)


@_mutation("tail", "descendants of a sealing block only prove it (2.11.3)", epoch_ms=1_500,
           on=("slow", "loss", "cut"), view_timeout_ms=100)
def _tail(patcher: Patcher) -> None:
    patcher.set(simplex_voting, "committed_part", lambda blocks, rules: len(blocks))


# --- batches, slots, execution ----------------------------------------------------------------------------------------


@_mutation("batch-certificate-check", "a batch certificate is checked before it is believed (2.4)",
           on=("byzantine",), actors=("bad-certificate-leader",))
def _batch_certificate(patcher: Patcher) -> None:
    patcher.set(node, "check_batch_certificate", _nothing)
    patcher.set(block_rules, "check_batch_certificate", _nothing)


@_mutation("sender-check", "a batch with a bad sender's signature is refused (3.2, E7)",
           on=("bad-miner",), actors=("bad-signature-miner",), l2=2)
def _sender(patcher: Patcher) -> None:
    patcher.wrap(voting.BatchVoter, "verified", lambda original, self, token, results: original(
        self, token, [True] * len(results)))


@_mutation("slot-conflict", "one transfer per slot (3.2)", on=("same-wallet", "bad-phone"),
           actors=("double-spender",), l4=3)
def _conflict(patcher: Patcher) -> None:
    patcher.wrap(slots.Slots, "vote", lambda original, self, transfer, batch: _unless(
        original(self, transfer, batch), "conflict"))


def _unless(reason: str | None, ignored: str) -> str | None:
    return None if reason == ignored else reason


def _any_prev(self: Any, transfer: SignedTransfer) -> SignedTransfer:
    account = self._accounts.get(transfer.body.sender, EMPTY_ACCOUNT)
    lane = self._lanes.get(transfer.body.sender)
    held = lane.entries if lane is not None else []
    position = transfer.body.seq - account.next_seq
    if not 0 <= position <= len(held):
        return transfer
    prev = held[position - 1].transfer_id if position else account.head
    return SignedTransfer(msgspec.structs.replace(transfer.body, prev=prev), transfer.raw, transfer.id)


@_mutation("prev-check", "a transfer executes only on the one it names (3.5)",
           on=("bad-phone", "bad-miner"), actors=("reckless-phone", "reckless-miner"), l4=3, l2=2)
def _prev(patcher: Patcher) -> None:
    patcher.wrap(slots.Slots, "vote", lambda original, self, transfer, batch: original(
        self, _any_prev(self, transfer), batch))
    patcher.set(execution, "can_execute", lambda transfer, account, ts_ms: (
        transfer.body.seq == account.next_seq and ts_ms <= transfer.body.valid_until_ms))


@_mutation("expiry-check", "a transfer executes only while it is valid (3.9.2)", on=("slow", "power", "partition"))
def _expiry(patcher: Patcher) -> None:
    patcher.set(execution, "can_execute", lambda transfer, account, ts_ms: (
        transfer.body.seq == account.next_seq and transfer.body.prev == account.head))
    patcher.wrap(pool.Pool, "_replay", lambda original, self, transfers, bits, ts_ms, overlay: original(
        self, transfers, bits, 0, overlay))


@_mutation("overdraft", "a validator supports only what the executed balance covers (3.2, T3)",
           on=("bad-phone", "bad-miner"), actors=("reckless-phone", "reckless-miner"), l4=3, l2=2)
def _overdraft(patcher: Patcher) -> None:
    def vote(original: Any, self: Any, transfer: SignedTransfer, batch: bytes) -> str | None:
        reason: str | None = original(self, transfer, batch)
        if reason == "overdraft":
            self._append(transfer, batch)
            return None
        return reason

    patcher.wrap(slots.Slots, "vote", vote)


@_mutation("fee-lost", "every fee lands exactly once (economics 5, C3)")
def _fee_lost(patcher: Patcher) -> None:
    def split(original: Any, fee: int, shares: Any) -> Any:
        one, two, three, four = original(fee, shares)
        return one, two, three, max(0, four - 1)

    patcher.wrap(execution, "split_fee", split)


@_mutation("fee-split", "fees are split by the largest remainders (economics 1)")
def _fee_split(patcher: Patcher) -> None:
    def split(original: Any, fee: int, shares: Any) -> Any:
        fees.check_shares(shares)
        parts = [fee * share // fees.BPS_WHOLE for share in shares]
        return parts[0], parts[1], parts[2], fee - sum(parts[:3])

    patcher.wrap(execution, "split_fee", split)


@_mutation("checkpoint-check", "a checkpoint is checked before it is believed (2.7, 5)",
           on=("bad-edge", "bad-miner"), actors=("forging-edge", "lying-miner"), l3=2, l2=2)
def _checkpoint(patcher: Patcher) -> None:
    patcher.set(light.LightClient, "check_checkpoint", _nothing)
    patcher.set(executor, "check_certified_checkpoint", _nothing)


@_mutation("proof-check", "a balance is believed only with its proof (5)", on=("bad-edge",),
           actors=("false-balance-edge",), l3=2)
def _proof(patcher: Patcher) -> None:
    def prove(original: Any, self: Any, header: Any, account: bytes, proof: Any) -> Any:
        if not proof.value:
            return original(self, header, account, proof)
        return light.ProvedAccount(decode_account(proof.value), True, header)

    patcher.wrap(light.LightClient, "_prove", prove)


# --- phones -----------------------------------------------------------------------------------------------------------


@_mutation("queue-key", "the same name never makes a second payment (N1)")
def _queue_key(patcher: Patcher) -> None:
    def index(original: Any, self: Any, payment: Any) -> None:
        original(self, payment)
        self._by_key.pop(payment.key, None)

    patcher.wrap(phone_log.PaymentLog, "_index", index)


@_mutation("release", "a released transfer is never replaced before it is provably dead (T16)",
           on=("loss", "slow", "cut", "partition"))
def _release(patcher: Patcher) -> None:
    def claim(original: Any, self: Any, transfer_id: bytes, level: int, reason: str, now_us: int) -> Any:
        payment = original(self, transfer_id, level, reason, now_us)
        found = self._by_id.get(transfer_id)
        if found is not None and found.released and found.place == 1:
            lane = self.lanes[found.account]
            after = lane.cut(0)
            for item in after:
                item.released, item.fee = False, item.fee + 1
            self._sign_again(lane, after)
            self.pending[found.account] = None
        return payment

    patcher.wrap(queue.PaymentQueue, "claim", claim)


@_mutation("released-row", "a durable row precedes the first byte that leaves (T16)")
def _released_row(patcher: Patcher) -> None:
    patcher.wrap(courier.Courier, "flush", lambda original, self, edge, now_us, *, after: original(
        self, edge, now_us, after=0))
