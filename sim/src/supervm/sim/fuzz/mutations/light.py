"""The light client: what a phone and an edge check before they believe anything (consensus.md 5)."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from supervm.protocol.base.codec import decode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint
from supervm.protocol.light import client as light
from supervm.protocol.light import trust
from supervm.tier_l1_super.chain import executor

from .switch import Patcher, mutation, nothing


@mutation(
    "checkpoint-check",
    "a checkpoint is checked before it is believed (2.7, 5)",
    on=("bad-edge",),
    actors=("header-forging-edge",),
    l3=2,
)
def _checkpoint(patcher: Patcher) -> None:
    patcher.set(trust, "check_certified_checkpoint", nothing)
    patcher.set(executor, "check_certified_checkpoint", nothing)


@mutation(
    "proof-check",
    "a balance is believed only with its proof (5)",
    on=("bad-edge",),
    actors=("false-balance-edge",),
    l3=2,
)
def _proof(patcher: Patcher) -> None:
    patcher.wrap(
        light,
        "verify",
        lambda original, root, leaf_id, proof: proof.value or original(root, leaf_id, proof),
    )


@mutation(
    "proof-account",
    "a proof is for the account that was asked for (5)",
    on=("bad-edge",),
    actors=("swapping-edge",),
    l3=2,
    accounts=3,
)
def _proof_account(patcher: Patcher) -> None:
    def verify(original: Any, root: bytes, leaf_id: bytes, proof: Any) -> Any:
        try:
            return original(root, leaf_id, proof)
        except RemoteProtocolError:
            return proof.value or None

    patcher.wrap(light, "verify", verify)


@mutation(
    "highest-header",
    "a phone never goes below its highest header, for no account (5)",
    on=("bad-edge",),
    actors=("backward-edge",),
    l3=2,
    ask_ppm=350_000,
)
def _highest(patcher: Patcher) -> None:
    def accept(original: Any, self: Any, data: bytes, now_ms: int) -> Any:
        try:
            return original(self, data, now_ms)
        except RemoteProtocolError as error:
            if error.code != "stale":
                raise
        checkpoint = decode(CertifiedCheckpoint, data, bytes_max=1 << 20)
        self.check_checkpoint(checkpoint, now_ms)
        return checkpoint.header

    patcher.wrap(light.LightClient, "accept_checkpoint", accept)


@mutation("stored-header", "a restart goes on from the highest header (5)", on=("crash",), rate_ppm=60_000)
def _stored(patcher: Patcher) -> None:
    def resume(original: Any, self: Any, changes: Any, _stored: Any) -> Any:
        return original(self, changes, ())

    patcher.wrap(light.LightClient, "resume", resume)


@mutation(
    "fresh",
    "a balance is current only while its header is young (5)",
    classes=("power",),
    l1=4,
    weights=(),
    rate_ppm=900_000,
    tick_ms=100,
    chaos_ms=40_000,
    pay_ppm=0,
    ask_ppm=100_000,
    spread=False,
)
def _fresh(patcher: Patcher) -> None:
    def init(original: Any, self: Any, anchor: Any, verify: Any, **others: Any) -> None:
        original(self, anchor, verify, **{**others, "max_age_ms": 1 << 40})

    patcher.wrap(light.LightClient, "__init__", init)


@mutation(
    "future-header",
    "no header is ahead of the clock (5)",
    classes=("clock",),
    rate_ppm=300_000,
    tick_ms=100,
    chaos_ms=10_000,
)
def _future(patcher: Patcher) -> None:
    patcher.set(trust, "CLOCK_DRIFT_MS_MAX", 1 << 50)


@mutation(
    "change-check",
    "a change of validators is signed by those that it replaces (5)",
    classes=("bad-edge",),
    actors=("change-forger",),
    l3=2,
    calm_s=45,
    is_costly=True,
)
def _change(patcher: Patcher) -> None:
    def follow(original: Any, self: Any, change: Any, now_ms: int) -> Any:
        with patch.object(trust, "check_certified_checkpoint", nothing):
            return original(self, change, now_ms)

    for name in ("follow", "check_change"):
        patcher.wrap(light.LightClient, name, follow)


@mutation(
    "receipt-path",
    "a receipt is in the receipts of its block (5)",
    classes=("bad-edge", "same-wallet"),
    actors=("receipt-forger",),
    l3=2,
    l4=2,
    pay_ppm=350_000,
    tick_ms=100,
    accounts=1,
)
def _receipt_path(patcher: Patcher) -> None:
    class Whatever:
        """Differs from nothing."""

        def __ne__(self, other: object) -> bool:
            return False

    patcher.set(light, "sided_root", lambda *_: Whatever())


@mutation(
    "receipt-history",
    "the block of a receipt is in the chain (5)",
    classes=("bad-edge", "same-wallet"),
    actors=("history-forger",),
    l3=2,
    l4=2,
    pay_ppm=350_000,
    tick_ms=100,
    accounts=1,
)
def _receipt_history(patcher: Patcher) -> None:
    patcher.set(light, "verify_mmr", nothing)


@mutation(
    "receipt-transaction",
    "a receipt is for the transaction that was asked for (5)",
    classes=("bad-edge", "same-wallet"),
    actors=("receipt-swapper",),
    l3=2,
    l4=2,
    pay_ppm=350_000,
    tick_ms=100,
    accounts=1,
    chaos_ms=10_000,
)
def _receipt_transaction(patcher: Patcher) -> None:
    def check(original: Any, self: Any, data: bytes, transaction_id: bytes, now_ms: int) -> Any:
        answer = decode(light.ReceiptProof, data, bytes_max=1 << 20)
        return original(self, data, answer.receipt.transaction_id, now_ms)

    patcher.wrap(light.LightClient, "check_receipt", check)


@mutation(
    "trusting-period",
    "past the trusting period nothing new is believed (5)",
    test="test_past_the_trusting_period_nothing_new_is_believed",
)
def _trusting_period(patcher: Patcher) -> None:
    patcher.set(trust.Trust, "is_expired", lambda self, now_ms: False)


@mutation(
    "fork-memory",
    "what contradicts a checkpoint that was seen ends belief (5)",
    test="test_a_rival_of_any_remembered_height_is_a_fork_also_below_the_newest",
)
def _fork_memory(patcher: Patcher) -> None:
    patcher.set(trust.Trust, "_compare", nothing)


@mutation(
    "change-ahead",
    "no change of validators is dated ahead of the clock (5)",
    test="test_no_change_dated_ahead_of_the_clock_is_followed",
)
def _change_ahead(patcher: Patcher) -> None:
    patcher.set(trust.Trust, "_check_time", nothing)


@mutation(
    "anchor",
    "what contradicts the anchor is refused (5)",
    test="test_what_contradicts_the_anchor_is_refused_without_evidence",
)
def _anchor(patcher: Patcher) -> None:
    def contradiction(original: Any, one: Any, other: Any) -> str:
        return ""

    patcher.wrap(trust, "contradiction", contradiction)
