"""Cases of the payment model, and one broken rule for each that must be noticed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from supervm.protocol.chain.validators import ValidatorSet
from supervm.protocol.money import execution as execution_module
from supervm.protocol.money.transaction import Debits, SignedTransaction
from supervm.protocol.state.account import EMPTY_ACCOUNT, Account
from supervm.tier_l1_super.batches.slots import Slots
from supervm.tier_l1_super.batches.voting import BatchVoter

from .faults import Fault
from .payment_host import Voter
from .payment_model import PaymentCase
from .simplex_faults import small_quorum

CASES = {
    "rivals": PaymentCase(("A", "B"), (6_000, 10_000, 10_001), 2),
    "rebatched": PaymentCase(("CA", "B"), (10_000, 10_001), 2),
    "restart": PaymentCase(("A", "B"), (10_000, 10_001), 2, (1, 0, 0)),
    "restart-each": PaymentCase(("A", "B"), (10_000, 10_001), 2, (1, 1, 1)),
    "restart-behind": PaymentCase(("CA", "D"), (10_000, 10_001), 1, (1, 0, 0)),
    "money": PaymentCase(("A", "E", "BF"), (10_000, 10_001), 2),
}
"""What continuous integration explores."""

DEEP_CASES = {
    "rivals-long": PaymentCase(("A", "B"), (6_000, 10_000, 10_001, 20_000), 4),
    "three-blocks": PaymentCase(("CA", "B"), (10_001, 10_002, 10_003), 3),
    "rebatched-wide": PaymentCase(("A", "B", "CA"), (10_000, 10_001), 2),
    "rebatched-long": PaymentCase(("CA", "B"), (6_000, 10_000, 10_001, 10_002), 4),
    "restart-rebatched": PaymentCase(("CA", "B"), (10_000, 10_001), 2, (1, 0, 0)),
    "restart-twice": PaymentCase(("CA", "D"), (10_000, 10_001), 1, (2, 0, 0)),
    "money-long": PaymentCase(("A", "E", "BF"), (6_000, 10_000, 10_001), 3),
    "two-slots": PaymentCase(("A", "B", "CA", "D"), (10_000, 10_001), 2),
}
"""What the longer lane explores as well, up to its bound."""

_vote, _covers, _expire = Slots.vote, Slots._covers, Slots._expire


def _vote_in_spite_of(reason: str) -> Any:
    def vote(self: Slots, transaction: SignedTransaction, batch: bytes) -> str | None:
        answer = _vote(self, transaction, batch)
        return None if answer == reason else answer

    return vote


def _cover_without_reserve(self: Slots, sender: bytes, lane: Any, debits: Debits) -> bool:
    """Compare the balance with this transaction alone, not with what is promised before it."""
    del lane
    return _covers(self, sender, None, debits)


def _never_expire(self: Slots) -> None:
    del self


def _expire_early(self: Slots) -> None:
    now_ms = self.executed_ts_ms
    self.executed_ts_ms = now_ms + 1
    _expire(self)
    self.executed_ts_ms = now_ms


def _restore_nothing(self: Slots, promised: Iterable[tuple[SignedTransaction, bytes]]) -> None:
    del self, promised


def _restore_in_order(self: Slots, promised: Iterable[tuple[SignedTransaction, bytes]]) -> None:
    """Take each promise only if it extends what is there: right only if they are read in the order they were made."""
    for transaction, batch in promised:
        body = transaction.body
        account = self._state.accounts.get(body.sender, EMPTY_ACCOUNT)
        lane = self._lanes.get(body.sender)
        entries = lane.entries if lane is not None else []
        place = (account.next_seq + len(entries), entries[-1].transaction_id if entries else account.head)
        if (body.seq, body.prev) == place and body.valid_until_ms >= self.executed_ts_ms:
            self._append(transaction, batch)


def _keep_nothing(self: BatchVoter) -> list[Any]:
    del self
    return []


def _no_wait(self: Voter, after: int) -> bool:
    del self, after
    return False


def _execute_expired(transaction: SignedTransaction, account: Account, block_ts_ms: int) -> bool:
    del block_ts_ms
    return transaction.body.seq == account.next_seq and transaction.body.prev == account.head


def _execute_on_any_prev(transaction: SignedTransaction, account: Account, block_ts_ms: int) -> bool:
    return transaction.body.seq == account.next_seq and block_ts_ms <= transaction.body.valid_until_ms


def _execute_again(transaction: SignedTransaction, account: Account, block_ts_ms: int) -> bool:
    return transaction.body.seq <= account.next_seq and block_ts_ms <= transaction.body.valid_until_ms


def _lossy_split(fee: int, shares_bps: Any) -> tuple[int, ...]:
    return tuple(fee * share // 10_000 for share in shares_bps)


FAULTS = (
    Fault(
        "slot-conflict",
        "one transaction per slot (3.2)",
        ((Slots, "vote", _vote_in_spite_of("conflict")),),
        "rivals",
        "S9",
    ),
    Fault(
        "expiry-early",
        "a promise holds while its transaction is valid, the last millisecond included (3.9.3)",
        ((Slots, "_expire", _expire_early),),
        "rivals",
        "S9",
    ),
    Fault(
        "expiry-never",
        "an expired promise is dropped (3.9.3)",
        ((Slots, "_expire", _never_expire),),
        "rivals",
        "freeze",
    ),
    Fault(
        "batch-quorum",
        "a quorum is more than two thirds of the weight (3.3)",
        ((ValidatorSet, "__init__", small_quorum),),
        "rivals",
        "S9",
    ),
    Fault(
        "W5-lost", "a restart remembers its promises (3.6)", ((Slots, "restore", _restore_nothing),), "restart", "S9"
    ),
    Fault(
        "W5-compacted",
        "compaction keeps live promises (2.2, 3.6)",
        ((BatchVoter, "live_promises", _keep_nothing),),
        "restart",
        "S9",
    ),
    Fault(
        "W5-order",
        "promises are found again in whatever order they are read (3.6)",
        ((Slots, "restore", _restore_in_order),),
        "restart-behind",
        "S9",
    ),
    Fault(
        "P0-batch",
        "no batch vote leaves before its record is durable (2.2)",
        ((Voter, "_must_wait", _no_wait),),
        "restart",
        "S9",
    ),
    Fault(
        "overdraft", "a vote needs the money (3.2)", ((Slots, "vote", _vote_in_spite_of("overdraft")),), "money", "S13"
    ),
    Fault(
        "reserve",
        "money promised before is spoken for (3.2, solvency lemma)",
        ((Slots, "_covers", _cover_without_reserve),),
        "money",
        "S13",
    ),
    Fault(
        "execute-expired",
        "nothing is executed after its validity (3.9.2)",
        ((execution_module, "can_execute", _execute_expired),),
        "rivals",
        "3.9.2",
    ),
    Fault(
        "execute-prev",
        "a transaction is executed only behind the one it names (3.5)",
        ((execution_module, "can_execute", _execute_on_any_prev),),
        "three-blocks",
        "S11",
    ),
    Fault(
        "execute-twice",
        "a transaction is executed once (3.5)",
        ((execution_module, "can_execute", _execute_again),),
        "rivals",
        "S13",
    ),
    Fault(
        "fee-split",
        "every fee lands exactly once (3.5)",
        ((execution_module, "split_fee", _lossy_split),),
        "rivals",
        "C2",
    ),
)
"""Each must be found by its case."""
