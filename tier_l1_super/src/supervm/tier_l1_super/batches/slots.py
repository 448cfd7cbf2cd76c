"""Which transactions this validator has promised to support: its pending slots (consensus.md 3.2, 3.9).

Theory of operation. A slot is (sender, seq, prev). A bit of 1 in a batch vote promises: *for this slot I support only
this transaction, in this epoch*. `Slots` keeps, for each sender, the promised transactions as a chain that starts at
the sender's executed state - entry 0 fills `next_seq` on `head`, each further entry names its predecessor's id. A
transaction gets its bit if it is already in the chain, or if it extends it, its validity is neither too short nor too
long, and in each asset that it takes from the sender the executed balance covers every debit up to and including it.
Income that is not executed yet does not count (T3). Each asset has books of its own: what one lacks refuses the
transactions that need it, and those behind them, since the chain is one; the sender's earlier ones and those of others
go on.

Entries leave in two ways only, both functions of the finalized chain (T11): their slot is executed, or the executed
time has passed their validity (3.9.3); either kills the entries behind them that no longer connect. So among the
transactions a validator has ever promised, those that are alive are exactly the one chain that leads on from the
executed state, in whatever order their records are read back.

Each entry remembers in which batch it was first promised. As long as one entry does, that batch is *anchored*: its
record and body must be kept, because a restart finds the promise there. Later batches with the same transaction need
not.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from supervm.protocol.chain.genesis import Parameters
from supervm.protocol.money.transaction import Debits, SignedTransaction
from supervm.protocol.money.transfer import Transfer
from supervm.protocol.state.account import EMPTY_ACCOUNT, POOL_ACCOUNTS
from supervm.protocol.state.state import State

EXPIRY_SLACK = 4_096
"""Entries that are gone and may still stand in the heap of validities, beyond as many as are alive."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A promised transaction: its id, what it takes from the sender by asset, until when it is valid, and where."""

    transaction_id: bytes
    debits: Debits
    valid_until_ms: int
    batch: bytes


@dataclass(slots=True)
class _Lane:
    entries: list[Entry] = field(default_factory=list)  # entry i fills seq = executed next_seq + i
    debits: dict[bytes, int] = field(default_factory=dict)  # asset -> what all entries take of it, without zeros


class Slots:
    """Promises of one validator.

    Args:
        state: the executed state, the ledger's own; read at every vote.
        parameters: window and validity bounds of the chain.
        executed_ts_ms: time of the last executed block.
    """

    def __init__(self, state: State, parameters: Parameters, *, executed_ts_ms: int = 0) -> None:
        self._state = state
        self._parameters = parameters
        self._lanes: dict[bytes, _Lane] = {}
        self._expiry: list[tuple[int, bytes]] = []  # heap of (valid_until_ms, sender); may name entries that are gone
        self._count = 0
        self.anchored: dict[bytes, int] = {}
        """Digest of each batch in which an entry was first promised, and of how many entries."""
        self.executed_ts_ms = executed_ts_ms
        """Time of the last executed block: the only clock that votes look at."""

    def jump(self, ts_ms: int) -> None:
        """Go on in a state that was not executed here, after a block of this time."""
        self.executed_ts_ms = ts_ms

    def __len__(self) -> int:
        return self._count

    def vote(self, transaction: SignedTransaction, batch: bytes) -> str | None:
        """Promise support if the rules allow it; return None, or why this transaction gets no bit.

        Args:
            transaction: the transaction; its signature has been checked.
            batch: digest of the batch that is voted on.
        """
        body = transaction.body
        account = self._state.accounts.get(body.sender, EMPTY_ACCOUNT)
        if body.seq < account.next_seq:
            return "used"
        position = body.seq - account.next_seq
        if position >= self._parameters.window:
            return "beyond the window"
        lane = self._lanes.get(body.sender)
        held = len(lane.entries) if lane is not None else 0
        if lane is not None and position < held:
            return None if lane.entries[position].transaction_id == transaction.id else "conflict"
        if position > held:
            return "predecessor unknown"
        previous = lane.entries[-1].transaction_id if lane is not None and held else account.head
        if body.prev != previous:
            return "conflict"
        remaining_ms = body.valid_until_ms - self.executed_ts_ms
        if remaining_ms < self._parameters.validity_ms_min:
            return "expired"
        if remaining_ms > self._parameters.validity_ms_max:
            return "valid for too long"
        if body.sender in POOL_ACCOUNTS or (isinstance(body, Transfer) and body.to in POOL_ACCOUNTS):
            return "pools neither send nor receive transactions"
        if not self._covers(body.sender, lane, transaction.debits):
            return "overdraft"
        self._append(transaction, batch)
        return None

    def _covers(self, sender: bytes, lane: _Lane | None, debits: Debits) -> bool:
        for asset, amount in debits:
            promised = 0 if lane is None else lane.debits.get(asset, 0)
            if self._state.balance(sender, asset) - promised < amount:
                return False
        return True

    def restore(self, promised: Iterable[tuple[SignedTransaction, bytes]]) -> None:
        """Take back what was promised before a restart: transactions with their batches' digests, in any order.

        They were promised by the rules of `vote`, so only their place is looked at: what is alive leads on from the
        executed state. Of two for one slot at most one is unexpired.
        """
        by_slot: dict[bytes, dict[tuple[int, bytes], tuple[SignedTransaction, bytes]]] = {}
        for transaction, batch in promised:
            body = transaction.body
            if body.valid_until_ms >= self.executed_ts_ms:
                by_slot.setdefault(body.sender, {}).setdefault((body.seq, body.prev), (transaction, batch))
        for sender, slots in by_slot.items():
            account = self._state.accounts.get(sender, EMPTY_ACCOUNT)
            found = slots.get((account.next_seq, account.head))
            while found is not None:
                transaction, batch = found
                self._append(transaction, batch)
                found = slots.get((transaction.body.seq + 1, transaction.id))

    def clear(self) -> None:
        """Forget every promise: the epoch it was made in is over, and the slots of the next are free (3.7)."""
        self._lanes.clear()
        self._expiry.clear()
        self.anchored.clear()
        self._count = 0

    def executed(self, changes: Iterable[bytes], before: Mapping[bytes, tuple[int, bytes]], ts_ms: int) -> None:
        """Follow an executed block.

        Args:
            changes: accounts whose own leaf the block changed; whoever sent is among them.
            before: their (next_seq, head) before the block, for those that sent; others may be missing.
            ts_ms: the block's time.
        """
        self.executed_ts_ms = ts_ms
        for sender in changes:
            lane = self._lanes.get(sender)
            if lane is None or sender not in before:
                continue
            account = self._state.accounts[sender]
            consumed = account.next_seq - before[sender][0]
            if not consumed:
                continue
            if consumed <= len(lane.entries) and lane.entries[consumed - 1].transaction_id == account.head:
                self._remove(sender, lane, 0, consumed)
            else:
                # another transaction took the slot: what we promised can never execute
                self._remove(sender, lane, 0, len(lane.entries))
        self._expire()

    def _append(self, transaction: SignedTransaction, batch: bytes) -> None:
        body = transaction.body
        lane = self._lanes.setdefault(body.sender, _Lane())
        debits = transaction.debits
        lane.entries.append(Entry(transaction.id, debits, body.valid_until_ms, batch))
        for asset, amount in debits:
            lane.debits[asset] = lane.debits.get(asset, 0) + amount
        self._count += 1
        self.anchored[batch] = self.anchored.get(batch, 0) + 1
        heapq.heappush(self._expiry, (body.valid_until_ms, body.sender))
        if len(self._expiry) > 2 * self._count + EXPIRY_SLACK:
            # executed entries stay in the heap for days otherwise
            self._expiry = [
                (entry.valid_until_ms, sender) for sender, lane in self._lanes.items() for entry in lane.entries
            ]
            heapq.heapify(self._expiry)

    def _remove(self, sender: bytes, lane: _Lane, first: int, end: int) -> None:
        for entry in lane.entries[first:end]:
            for asset, amount in entry.debits:
                promised = lane.debits[asset] - amount
                if promised:
                    lane.debits[asset] = promised
                else:
                    del lane.debits[asset]
            self._count -= 1
            left = self.anchored[entry.batch] - 1
            if left:
                self.anchored[entry.batch] = left
            else:
                del self.anchored[entry.batch]
        del lane.entries[first:end]
        if not lane.entries:
            del self._lanes[sender]

    def _expire(self) -> None:
        while self._expiry and self._expiry[0][0] < self.executed_ts_ms:
            _, sender = heapq.heappop(self._expiry)
            lane = self._lanes.get(sender)
            if lane is None:
                continue
            for position, entry in enumerate(lane.entries):
                if entry.valid_until_ms < self.executed_ts_ms:
                    self._remove(sender, lane, position, len(lane.entries))
                    break
