"""Batches and slots: what a validator supports, and what may execute (consensus.md 3.1, 3.2, 3.5, 3.8, 3.9)."""

from __future__ import annotations

from collections import ChainMap
from typing import Any, cast

import msgspec

from supervm.protocol.chain import block as block_rules
from supervm.protocol.money import execution
from supervm.protocol.money.transaction import SignedTransaction
from supervm.protocol.money.transfer import Transfer
from supervm.protocol.state.account import EMPTY_ACCOUNT, Account
from supervm.protocol.state.leaves import NATIVE
from supervm.protocol.state.state import State
from supervm.tier_l1_super.batches import intake as batch_intake
from supervm.tier_l1_super.batches import pool, slots, voting
from supervm.tier_l1_super.chain import executor

from .switch import Apply, Patcher, mutation, nothing


@mutation(
    "batch-certificate-check",
    "a batch certificate is checked before it is believed (2.4)",
    on=("byzantine",),
    actors=("bad-certificate-leader",),
)
def _batch_certificate(patcher: Patcher) -> None:
    patcher.set(batch_intake, "check_batch_certificate", nothing)
    patcher.set(block_rules, "check_batch_certificate", nothing)


@mutation(
    "sender-check",
    "a batch with a bad sender's signature is refused (3.2, E7)",
    on=("bad-miner",),
    actors=("bad-signature-miner",),
    l2=2,
)
def _sender(patcher: Patcher) -> None:
    patcher.wrap(
        voting.BatchVoter,
        "verified",
        lambda original, self, now_us, token, results: original(self, now_us, token, [True] * len(results)),
    )


@mutation(
    "slot-conflict",
    "one transaction per slot (3.2)",
    model="slot-conflict",
    on=("same-wallet", "bad-phone"),
    actors=("double-spender",),
    l4=3,
)
def _conflict(patcher: Patcher) -> None:
    patcher.wrap(
        slots.Slots,
        "vote",
        lambda original, self, transaction, batch: _unless(original(self, transaction, batch), "conflict"),
    )


def _unless(reason: str | None, ignored: str) -> str | None:
    return None if reason == ignored else reason


def _any_prev(self: Any, transaction: SignedTransaction) -> SignedTransaction:
    account = self._state.accounts.get(transaction.body.sender, EMPTY_ACCOUNT)
    lane = self._lanes.get(transaction.body.sender)
    held = lane.entries if lane is not None else []
    position = transaction.body.seq - account.next_seq
    if not 0 <= position <= len(held):
        return transaction
    prev = held[position - 1].transaction_id if position else account.head
    return SignedTransaction(msgspec.structs.replace(transaction.body, prev=prev), transaction.raw, transaction.id)


@mutation(
    "prev-check",
    "a transaction executes only on the one it names (3.5)",
    on=("bad-phone", "bad-miner"),
    actors=("reckless-phone", "reckless-miner"),
    l4=3,
    l2=2,
)
def _prev(patcher: Patcher) -> None:
    patcher.wrap(
        slots.Slots,
        "vote",
        lambda original, self, transaction, batch: original(self, _any_prev(self, transaction), batch),
    )
    patcher.set(
        execution,
        "can_execute",
        lambda transaction, account, ts_ms: (
            transaction.body.seq == account.next_seq and ts_ms <= transaction.body.valid_until_ms
        ),
    )


@mutation(
    "expiry-check",
    "a transaction executes only while it is valid (3.9.2)",
    model="execute-expired",
    on=("slow", "power", "partition"),
)
def _expiry(patcher: Patcher) -> None:
    patcher.set(
        execution,
        "can_execute",
        lambda transaction, account, ts_ms: (
            transaction.body.seq == account.next_seq and transaction.body.prev == account.head
        ),
    )
    patcher.wrap(
        pool.Pool,
        "_replay",
        lambda original, self, transactions, bits, ts_ms, overlay: original(self, transactions, bits, 0, overlay),
    )


@mutation(
    "overdraft",
    "a validator supports only what the executed balance covers (3.2, T3)",
    on=("bad-phone", "bad-miner"),
    actors=("reckless-phone", "reckless-miner"),
    l4=3,
    l2=2,
)
def _overdraft(patcher: Patcher) -> None:
    def vote(original: Any, self: Any, transaction: SignedTransaction, batch: bytes) -> str | None:
        reason: str | None = original(self, transaction, batch)
        if reason == "overdraft":
            self._append(transaction, batch)
            return None
        return reason

    patcher.wrap(slots.Slots, "vote", vote)


@mutation(
    "batch-match",
    "a batch is the one that its header names (3.1)",
    on=("bad-miner",),
    actors=("two-faced-miner",),
    l2=2,
    l1=4,
    pay_ppm=350_000,
)
def _match(patcher: Patcher) -> None:
    reasons = ("transactions", "not what the header says", "root")
    patcher.forgive(voting, "check_batch", *reasons)
    patcher.forgive(executor, "check_batch", *reasons)


def _in_spite_of(refusal: str) -> Apply:
    """Return what promises support although `Slots.vote` refuses it for this reason."""

    def vote(original: Any, self: Any, transaction: SignedTransaction, batch: bytes) -> str | None:
        reason: str | None = original(self, transaction, batch)
        if reason == refusal:
            self._append(transaction, batch)
            return None
        return reason

    return lambda patcher: patcher.wrap(slots.Slots, "vote", vote)


mutation(
    "validity-min",
    "no support for what expires in a moment (3.9.1)",
    on=("bad-phone",),
    validity_ms_min=2_000,
    actors=("late-spender",),
    l4=3,
)(_in_spite_of("expired"))
mutation(
    "validity-max",
    "no support for what stays valid for more than the longest time (3.9.1)",
    on=("bad-phone", "bad-miner"),
    actors=("long-chain-phone", "reckless-miner"),
    l4=3,
    l2=2,
)(_in_spite_of("valid for too long"))
mutation(
    "window",
    "support only within the window of sequence numbers (3.2, T19)",
    on=("bad-phone", "bad-miner"),
    window=4,
    actors=("long-chain-phone", "reckless-miner"),
    l4=3,
    l2=2,
)(_in_spite_of("beyond the window"))


@mutation(
    "pending-debits",
    "what is promised before is spoken for (3.2)",
    on=("bad-phone", "bad-miner"),
    actors=("long-chain-phone", "reckless-miner"),
    l4=3,
    l2=2,
)
def _pending(patcher: Patcher) -> None:
    patcher.wrap(
        slots.Slots, "_covers", lambda original, self, sender, lane, debits: original(self, sender, None, debits)
    )


@mutation(
    "asset-solvency",
    "what is promised is held against the money of its own asset, each by itself (3.2; economics.md)",
    test="tests/tier_l1_super/test_assets.py::test_amount_and_fee_are_each_held_against_their_own_asset",
)
def _asset_solvency(patcher: Patcher) -> None:
    def covers(original: Any, self: Any, sender: bytes, lane: Any, debits: Any) -> Any:
        return original(self, sender, lane, tuple(item for item in debits if item[0] == NATIVE))

    patcher.wrap(slots.Slots, "_covers", covers)


@mutation(
    "asset-promised",
    "what is promised before of an asset is spoken for, whichever asset it is (3.2; economics.md)",
    test="tests/tier_l1_super/test_assets.py::test_what_is_promised_before_is_spoken_for_in_each_asset",
)
def _asset_promised(patcher: Patcher) -> None:
    def append(original: Any, self: Any, transaction: SignedTransaction, batch: bytes) -> None:
        original(self, transaction, batch)
        lane = self._lanes[transaction.body.sender]
        entry = lane.entries[-1]
        for asset, amount in entry.debits:
            if asset != NATIVE:
                lane.debits[asset] -= amount
        own = tuple(item for item in entry.debits if item[0] == NATIVE)
        lane.entries[-1] = slots.Entry(entry.transaction_id, own, entry.valid_until_ms, entry.batch)

    patcher.wrap(slots.Slots, "_append", append)


@mutation(
    "fee-reserved",
    "the fee of a promised transaction is reserved, too (3.2)",
    on=("bad-phone", "bad-miner"),
    actors=("long-chain-phone", "reckless-miner"),
    l4=3,
    l2=2,
)
def _fee_reserved(patcher: Patcher) -> None:
    def append(original: Any, self: Any, transaction: SignedTransaction, batch: bytes) -> None:
        original(self, transaction, batch)
        body = transaction.body
        lane = self._lanes[body.sender]
        lane.debits[body.fee_asset] -= body.fee
        entry = lane.entries[-1]
        debits = tuple((asset, amount - body.fee * (asset == body.fee_asset)) for asset, amount in entry.debits)
        lane.entries[-1] = slots.Entry(entry.transaction_id, debits, entry.valid_until_ms, entry.batch)

    patcher.wrap(slots.Slots, "_append", append)


@mutation(
    "unexecuted-income",
    "income counts when it is executed (3.2, T3)",
    on=("bad-phone", "bad-miner"),
    actors=("early-spender", "reckless-miner"),
    l4=3,
    l2=2,
    accounts=3,
)
def _income(patcher: Patcher) -> None:
    def vote(original: Any, self: Any, transaction: SignedTransaction, batch: bytes) -> str | None:
        body, true = transaction.body, self._state
        income = sum(amount for to, amount in incomes.get(id(self), ()) if to == body.sender)
        account = true.accounts.get(body.sender, EMPTY_ACCOUNT)
        richer = ChainMap({body.sender: account._replace(balance=account.balance + income)}, true.accounts)
        self._state = State(cast(dict[bytes, Account], richer), true.holdings, true.assets)
        try:
            reason: str | None = original(self, transaction, batch)
        finally:
            self._state = true
        if reason is None and isinstance(body, Transfer) and body.asset == NATIVE:
            incomes.setdefault(id(self), []).append((body.to, body.amount))
        return reason

    incomes: dict[int, list[tuple[bytes, int]]] = {}
    patcher.wrap(slots.Slots, "vote", vote)


@mutation(
    "dead-promises",
    "promises behind a slot that another transaction took are dead (3.2)",
    classes=("same-wallet", "loss", "slow"),
    l4=2,
    accounts=1,
    pay_ppm=350_000,
    tick_ms=100,
    l1=4,
)
def _dead_promises(patcher: Patcher) -> None:
    def remove(original: Any, self: Any, sender: bytes, lane: Any, first: int, end: int) -> None:
        account = self._state.accounts.get(sender, EMPTY_ACCOUNT)
        lost = first == 0 and end == len(lane.entries) > 1 and lane.entries[-1].transaction_id != account.head
        alive = lane.entries[-1].valid_until_ms >= self.executed_ts_ms
        original(self, sender, lane, first, end - 1 if lost and alive else end)

    patcher.wrap(slots.Slots, "_remove", remove)


@mutation(
    "expiry-frees",
    "an expired promise is dropped, and its slot is free (3.9.3)",
    model="expiry-never",
    on=("same-wallet", "slow"),
    l4=2,
    accounts=1,
    pay_ppm=350_000,
    tick_ms=100,
    l1=4,
)
def _expiry_frees(patcher: Patcher) -> None:
    patcher.set(slots.Slots, "_expire", nothing)


@mutation(
    "expiry-early",
    "a promise holds as long as its transaction is valid (3.9.3)",
    on=("same-wallet", "bad-phone"),
    actors=("double-spender",),
    l4=3,
    pay_ppm=350_000,
)
def _expiry_early(patcher: Patcher) -> None:
    def expire(original: Any, self: Any) -> None:
        now_ms = self.executed_ts_ms
        self.executed_ts_ms = now_ms + 3_000
        original(self)
        self.executed_ts_ms = now_ms

    patcher.wrap(slots.Slots, "_expire", expire)


@mutation("dead-certificate", "a leader takes only certificates of which something executes (3.9.6)")
def _dead_certificate(patcher: Patcher) -> None:
    patcher.wrap(
        pool.Pool,
        "_replay",
        lambda original, self, transactions, bits, ts_ms, overlay: max(
            1, original(self, transactions, bits, ts_ms, overlay)
        ),
    )


@mutation(
    "held-certificates",
    "a leader takes all certificates that it holds (3.3)",
    l1=1,
    l2=1,
    l3=1,
    l4=1,
    accounts=1,
    chaos_ms=3_000,
    weights=(),
    pay_ppm=350_000,
)
def _held(patcher: Patcher) -> None:
    patcher.set(pool.Pool, "select", lambda self, ancestors, ts_ms, *, taken_bytes=0: ())
