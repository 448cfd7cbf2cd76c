"""Which transfers this validator has promised to support: its pending slots (consensus.md 3.2, 3.9).

Theory of operation. A slot is (sender, seq, prev). A bit of 1 in a batch vote promises: *for this slot I support only
this transfer, in this epoch*. `Slots` keeps, for each sender, the promised transfers as a chain that starts at the
sender's executed state - entry 0 fills `next_seq` on `head`, each further entry names its predecessor's id. A transfer
gets its bit if it is already in the chain, or if it extends it, its validity is neither too short nor too long, and the
executed balance covers every debit up to and including it. Income that is not executed yet does not count (T3).

Entries leave in two ways only, both functions of the finalized chain (T11): their slot is executed, or the executed
time has passed their validity (3.9.3); either kills the entries behind them that no longer connect.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from supervm.protocol.account import EMPTY_ACCOUNT, POOL_ACCOUNTS, Account
from supervm.protocol.genesis import Parameters
from supervm.protocol.transfer import SignedTransfer


@dataclass(frozen=True, slots=True)
class Entry:
    """A promised transfer: its id, what it takes from the sender, and until when it is valid."""

    transfer_id: bytes
    debit: int
    valid_until_ms: int


@dataclass(slots=True)
class _Lane:
    entries: list[Entry] = field(default_factory=list)  # entry i fills seq = executed next_seq + i
    debit: int = 0


class Slots:
    """Promises of one validator.

    Args:
        accounts: the executed state; read at every vote, so it may be the ledger's own dict.
        parameters: window and validity bounds of the chain.
    """

    def __init__(self, accounts: Mapping[bytes, Account], parameters: Parameters) -> None:
        self._accounts = accounts
        self._parameters = parameters
        self._lanes: dict[bytes, _Lane] = {}
        self._expiry: list[tuple[int, bytes]] = []  # heap of (valid_until_ms, sender); may name entries that are gone
        self.executed_ts_ms = 0
        """Time of the last executed block: the only clock that votes look at."""

    def __len__(self) -> int:
        return sum(len(lane.entries) for lane in self._lanes.values())

    def vote(self, transfer: SignedTransfer) -> str | None:
        """Promise support if the rules allow it; return None, or why this transfer gets no bit."""
        body = transfer.body
        account = self._accounts.get(body.sender, EMPTY_ACCOUNT)
        if body.seq < account.next_seq:
            return "used"
        position = body.seq - account.next_seq
        if position >= self._parameters.window:
            return "beyond the window"
        lane = self._lanes.get(body.sender)
        held = len(lane.entries) if lane is not None else 0
        if lane is not None and position < held:
            return None if lane.entries[position].transfer_id == transfer.id else "conflict"
        if position > held:
            return "predecessor unknown"
        previous = lane.entries[-1].transfer_id if lane is not None and held else account.head
        if body.prev != previous:
            return "conflict"
        remaining_ms = body.valid_until_ms - self.executed_ts_ms
        if remaining_ms < self._parameters.validity_ms_min:
            return "expired"
        if remaining_ms > self._parameters.validity_ms_max:
            return "valid for too long"
        if body.to in POOL_ACCOUNTS or body.sender in POOL_ACCOUNTS:
            return "pools neither send nor receive transfers"
        promised = lane.debit if lane is not None else 0
        if account.balance - promised < transfer.debit:
            return "overdraft"
        self._append(transfer)
        return None

    def restore(self, transfer: SignedTransfer) -> None:
        """Take back a promise read from the write-ahead log after a restart, in the order it was made.

        The promise was made by the rules of `vote`, so only its place is looked at: it is dropped if its slot is
        executed or its validity over, and a later promise for a slot wins, since the earlier one had expired then.
        """
        body = transfer.body
        account = self._accounts.get(body.sender, EMPTY_ACCOUNT)
        position = body.seq - account.next_seq
        if position < 0 or body.valid_until_ms < self.executed_ts_ms:
            return
        lane = self._lanes.get(body.sender)
        held = len(lane.entries) if lane is not None else 0
        if lane is not None and position < held:
            if lane.entries[position].transfer_id == transfer.id:
                return
            self._truncate(body.sender, lane, position)
            held = position
        if position > held:
            return
        if body.prev == (lane.entries[-1].transfer_id if lane is not None and held else account.head):
            self._append(transfer)

    def executed(self, changes: Iterable[bytes], before: Mapping[bytes, tuple[int, bytes]], ts_ms: int) -> None:
        """Follow an executed block.

        Args:
            changes: accounts that the block changed.
            before: their (next_seq, head) before the block, for those that sent; others may be missing.
            ts_ms: the block's time.
        """
        self.executed_ts_ms = ts_ms
        for sender in changes:
            lane = self._lanes.get(sender)
            if lane is None or sender not in before:
                continue
            account = self._accounts[sender]
            consumed = account.next_seq - before[sender][0]
            if not consumed:
                continue
            if consumed <= len(lane.entries) and lane.entries[consumed - 1].transfer_id == account.head:
                for entry in lane.entries[:consumed]:
                    lane.debit -= entry.debit
                del lane.entries[:consumed]
                if not lane.entries:
                    del self._lanes[sender]
            else:
                del self._lanes[sender]  # another transfer took the slot: what we promised can never execute
        self._expire()

    def _append(self, transfer: SignedTransfer) -> None:
        body = transfer.body
        lane = self._lanes.setdefault(body.sender, _Lane())
        lane.entries.append(Entry(transfer.id, transfer.debit, body.valid_until_ms))
        lane.debit += transfer.debit
        heapq.heappush(self._expiry, (body.valid_until_ms, body.sender))

    def _truncate(self, sender: bytes, lane: _Lane, position: int) -> None:
        for entry in lane.entries[position:]:
            lane.debit -= entry.debit
        del lane.entries[position:]
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
                    self._truncate(sender, lane, position)
                    break
