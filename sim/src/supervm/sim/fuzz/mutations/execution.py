"""Execution, fees, checkpoints and what commits to the state (consensus.md 2.7, 3.5, 4; economics.md 1, 5)."""

from __future__ import annotations

from typing import Any

import msgspec

from supervm.common.parts import ledger
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.money import execution, fees
from supervm.protocol.money.transaction import SignedTransaction
from supervm.protocol.state.mmr import HistoryMMR
from supervm.protocol.state.trie import QuadTrie
from supervm.tier_l1_super.chain import checkpoints
from supervm.tier_l2_miner.errors import Diverged
from supervm.tier_l2_miner.replica import certified

from .switch import Patcher, mutation


@mutation("fee-lost", "every fee lands exactly once (economics.md 5, C3)")
def _fee_lost(patcher: Patcher) -> None:
    def split(original: Any, fee: int, shares: Any) -> Any:
        one, two, three, four = original(fee, shares)
        return one, two, three, max(0, four - 1)

    patcher.wrap(execution, "split_fee", split)


@mutation("fee-split", "fees are split by the largest remainders (economics.md 1)")
def _fee_split(patcher: Patcher) -> None:
    def split(original: Any, fee: int, shares: Any) -> Any:
        fees.check_shares(shares)
        parts = [fee * share // fees.BPS_WHOLE for share in shares]
        return parts[0], parts[1], parts[2], fee - sum(parts[:3])

    patcher.wrap(execution, "split_fee", split)


@mutation("fee-edge", "the edge that the transaction names is paid (3.5, economics.md 1)")
def _fee_edge(patcher: Patcher) -> None:
    def execute(original: Any, self: Any, transaction: SignedTransaction, *rest: Any) -> None:
        body = msgspec.structs.replace(transaction.body, via=b"")
        original(self, SignedTransaction(body, transaction.raw, transaction.id), *rest)

    patcher.wrap(execution._Books, "execute", execute)


@mutation("fee-miner", "the miner that signed the batch is paid (3.5, economics.md 1)")
def _fee_miner(patcher: Patcher) -> None:
    patcher.wrap(
        ledger,
        "execute_block",
        lambda original, state, batches, **options: original(state, batches, **{**options, "payout_of_miner": {}}),
    )


@mutation(
    "execute-once",
    "a transaction is executed once (3.5)",
    model="execute-twice",
    on=("bad-miner",),
    actors=("conflicting-batches-miner", "reckless-miner"),
    l2=2,
    pay_ppm=350_000,
)
def _once(patcher: Patcher) -> None:
    patcher.set(
        execution,
        "can_execute",
        lambda transaction, account, ts_ms: (
            transaction.body.seq <= account.next_seq and ts_ms <= transaction.body.valid_until_ms
        ),
    )


@mutation("receipts-root", "a header commits to the receipts of its block (2.7, 4)")
def _receipts_root(patcher: Patcher) -> None:
    patcher.set(execution, "merkle_root", lambda leaves, scheme: ZERO_HASH)


@mutation("history-root", "a header commits to all headers before it (2.7, 4)")
def _history_root(patcher: Patcher) -> None:
    patcher.wrap(
        HistoryMMR,
        "append",
        lambda original, self, leaf: original(self, leaf if self.size % 5 else bytes(reversed(leaf))),
    )


@mutation("state-root", "a header commits to every account (2.7, 4)")
def _state_root(patcher: Patcher) -> None:
    patcher.wrap(
        QuadTrie,
        "update",
        lambda original, self, changes: original(self, dict(list(changes.items())[: max(1, len(changes) - 1)])),
    )


@mutation("checkpoint-quorum", "a checkpoint is certified by a quorum (2.7)", l1=4, weights=())
def _checkpoint_quorum(patcher: Patcher) -> None:
    def count(original: Any, self: Any, height: int) -> Any:
        members = self._rules.validators
        quorum, members.quorum = members.quorum, members.witness
        try:
            return original(self, height)
        finally:
            members.quorum = quorum

    patcher.wrap(checkpoints.CheckpointTally, "_count", count)


@mutation(
    "divergence",
    "a validator that computes another state than the network stops (2.7)",
    on=("rot",),
    l1=4,
    weights=(),
    rate_ppm=60_000,
)
def _divergence(patcher: Patcher) -> None:
    def around(original: Any, self: Any, *arguments: Any) -> Any:
        try:
            return original(self, *arguments)
        except checkpoints.Divergence:
            return None

    for name in ("_count", "adopt", "adopt_certificate"):
        patcher.wrap(checkpoints.CheckpointTally, name, around)


@mutation(
    "miner-divergence",
    "a miner that computes another state than the network stops (decisions.md)",
    classes=("rot",),
    l2=3,
    rate_ppm=200_000,
    pay_ppm=350_000,
    chaos_ms=10_000,
)
def _miner_divergence(patcher: Patcher) -> None:
    def around(original: Any, self: Any, *arguments: Any) -> Any:
        try:
            return original(self, *arguments)
        except Diverged:
            return None

    for name in ("_compare", "executed"):
        patcher.wrap(certified.Certified, name, around)
