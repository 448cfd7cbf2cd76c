"""Transactions that wait to be batched, certified and executed: order within a sender, fairness across senders.

Theory of operation. For each sender a *lane* mirrors its account: `chain` holds the transactions that fill the next
free slots one after another (entry i fills ``base + i``, each names its predecessor's id), `parked` those that cannot
be placed yet - an unknown predecessor, or money of some asset that this replica has not seen arrive. A parked
transaction that is still unplaced when its time is up is refused. A chain entry is QUEUED, then IN_FLIGHT in an open
batch, then CERTIFIED, and leaves when its slot is executed or the executed time passes its validity. Only a lane's
first QUEUED entry is offered to the batcher, so a sender's transactions are batched in order of seq; between lanes the
higher fee goes first (`offers` says how fees in different assets compare), then the earlier arrival, but whatever has
waited for two seconds goes before everything else (decisions.md, Transactions). What is parked may never run, so it has
a share of the room only and gives way to what can run now (`parking`).

Everything here is this miner's view. A refusal binds nobody: the sender may go to another miner.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from supervm.common.parts.fee_policy import FeePolicy
from supervm.common.parts.part import Part
from supervm.protocol.chain.genesis import Parameters
from supervm.protocol.money.transaction import SignedTransaction
from supervm.protocol.money.transfer import Transfer
from supervm.protocol.state.account import POOL_ACCOUNTS, Account
from supervm.protocol.wire.payments import LEVEL_EXPIRED, LEVEL_R1, LEVEL_R3, LEVEL_REFUSED

from ..options import MEMPOOL_OPTIONS, MinerOptions
from ..replica.advance import State
from .lane import Lane, lacks_money
from .offers import BACKOFF_US_MAX, CERTIFIED, DONE, IN_FLIGHT, PARKED, QUEUED, Entry, Heap, Offers, compact, fee_rank
from .parking import PARKED_SHARE, Parking

PREDECESSOR_US_MAX = 5_000_000
"""How long a transaction waits for its predecessor (decisions.md, Transactions)."""
FUNDS_US_MAX = 2_000_000
"""How long a transaction waits for money: its wallet may have proved income that this replica has not executed yet."""
HEAP_SLACK = 128
"""Items of a heap that may count no more, beside as many as there are transactions, before they are dropped."""
SUBMITTERS_MAX = 8
"""Peers that are told what becomes of one transaction."""

BUSY = "busy"
CONFLICT = "conflict"
OVERDRAFT = "overdraft"
POOL = "pools neither send nor receive transactions"
PREDECESSOR_DEAD = "predecessor can no longer execute"
PREDECESSOR_UNKNOWN = "predecessor unknown"
SLOT_USED = "slot used"
TOO_LONG = "valid for too long"
WINDOW = "beyond the window"

Tell = Callable[[Iterable[bytes], bytes, int, str], None]
"""(peers, transaction id, level, reason): news for those who submitted a transaction."""


class Mempool(Part):
    """The waiting transactions of one miner.

    Args:
        state: executed state of the replica; read live, and followed at the end of every step.
        parameters: window and validity bounds of the chain.
        options: bounds.
        fees: which fees are taken.
        tell: where news of transactions goes.
        was_executed: whether a transaction id whose slot is used is known to have been executed.
    """

    options = MEMPOOL_OPTIONS

    def __init__(
        self,
        state: State,
        parameters: Parameters,
        options: MinerOptions,
        fees: FeePolicy,
        tell: Tell,
        was_executed: Callable[[bytes], bool],
    ) -> None:
        self._state = state
        self._parameters = parameters
        self._options = options
        self.fees = fees
        """Which fees are taken."""
        self._tell = tell
        self._was_executed = was_executed
        self._entries: dict[bytes, Entry] = {}
        self._lanes: dict[bytes, Lane] = {}
        self._bytes = 0
        self._order = 0
        self.offers = Offers(self._is_next)
        """What may be batched next."""
        self._patience: Heap = []
        self._parking = Parking(
            options.mempool_transactions_max // PARKED_SHARE, options.mempool_bytes_max // PARKED_SHARE
        )
        self._expiry: Heap = []
        self.queued = 0
        """Entries that wait for a batch, those backing off included."""
        self.executed_ts_ms = state.ts_ms
        """Time of the last executed block: the only clock that validity is measured by (3.9.1)."""

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, transaction_id: object) -> bool:
        return transaction_id in self._entries

    @property
    def bytes_held(self) -> int:
        """Canonical bytes of all transactions held."""
        return self._bytes

    @property
    def is_ready(self) -> bool:
        """Whether this node knows the state well enough to judge transactions."""
        return self._state.is_current

    @property
    def load_percent(self) -> int:
        """How full the mempool is, 0..100."""
        options = self._options
        share = max(
            100 * len(self._entries) // options.mempool_transactions_max, 100 * self._bytes // options.mempool_bytes_max
        )
        return min(100, share)

    @property
    def deadline_us(self) -> int | None:
        """When `wake` has something to do."""
        wake_us = self.offers.wake_us
        if not self._patience:
            return wake_us
        return self._patience[0][0] if wake_us is None else min(wake_us, self._patience[0][0])

    def info(self, now_us: int) -> Mapping[str, Any]:
        """Return how much waits here."""
        return {"mempool": len(self._entries), "mempool_bytes": self.bytes_held, "queued": self.queued}

    def settle(self, now_us: int) -> None:
        """Follow what this step has executed, then time."""
        advance = self._state.advance
        if advance is not None:
            self.executed(now_us, advance.changed, self._state.ts_ms)
        self.wake(now_us)

    # --- in -----------------------------------------------------------------------------------------------------

    def join(self, transaction_id: bytes, peer: bytes) -> bool:
        """If the transaction is held, tell `peer` of it from now on; return whether it is."""
        entry = self._entries.get(transaction_id)
        if entry is None:
            return False
        if peer not in entry.submitters:
            entry.submitters = (*entry.submitters, peer)[-SUBMITTERS_MAX:]
        if entry.state == CERTIFIED:
            self._tell((peer,), transaction_id, LEVEL_R1, "")
        return True

    def decided(self, transaction: SignedTransaction, peers: tuple[bytes, ...]) -> bool:
        """Answer a transaction whose fate needs no signature check to tell; return whether it is answered."""
        verdict = self._verdict(transaction)
        if verdict is None and not self._makes_room(transaction, try_only=True):
            verdict = LEVEL_REFUSED, BUSY
        if verdict is None:
            return False
        self._tell(peers, transaction.id, *verdict)
        return True

    def add(self, now_us: int, transaction: SignedTransaction, peers: tuple[bytes, ...]) -> bool:
        """Take a transaction whose signature has been checked; what becomes of it goes to `peers`.

        Returns:
            Whether it is held now.
        """
        if self.decided(transaction, peers):
            return False
        body = transaction.body
        lane = self._lanes.get(body.sender)
        if lane is None:
            lane = self._lanes[body.sender] = Lane(self._state.account(body.sender).next_seq)
        if body.seq < lane.base + len(lane.chain) or body.seq in lane.parked:
            self._tell(peers, transaction.id, LEVEL_REFUSED, CONFLICT)
            return False
        if not self._makes_room(transaction):
            self._tell(peers, transaction.id, LEVEL_REFUSED, BUSY)
            self._forget_if_empty(body.sender)
            return False
        lane = self._lanes.setdefault(body.sender, lane)  # its last parked transaction may have given way
        self._order += 1
        rank = fee_rank(body.fee, self.fees.least[body.fee_asset])
        entry = Entry(transaction, rank, peers, self._order, now_us, waits_for=PREDECESSOR_UNKNOWN)
        self._entries[transaction.id] = entry
        self._bytes += len(transaction.raw)
        lane.is_poor = self._is_poor(lane, transaction)
        self._park(body.sender, lane, entry)
        heapq.heappush(self._expiry, (body.valid_until_ms, entry.order, entry))
        self._place(now_us, body.sender, lane)
        if entry.state == PARKED:
            patience_us = FUNDS_US_MAX if entry.waits_for == OVERDRAFT else PREDECESSOR_US_MAX
            heapq.heappush(self._patience, (now_us + patience_us, entry.order, entry))
        return entry.state != DONE

    def _verdict(self, transaction: SignedTransaction) -> tuple[int, str] | None:
        """Return level and reason of a transaction that is not to be held, None if nothing speaks against it.

        One that expires sooner than validators accept is held all the same: they may have voted on it before.
        """
        body = transaction.body
        account = self._state.account(body.sender)
        if body.seq < account.next_seq:
            if transaction.id == account.head or self._was_executed(transaction.id):
                return LEVEL_R3, ""
            return LEVEL_REFUSED, SLOT_USED
        if body.sender in POOL_ACCOUNTS or (isinstance(body, Transfer) and body.to in POOL_ACCOUNTS):
            return LEVEL_REFUSED, POOL
        refusal = self.fees.refusal(body)
        if refusal is not None:
            return LEVEL_REFUSED, refusal
        if body.seq - account.next_seq >= self._parameters.window:
            return LEVEL_REFUSED, WINDOW
        remaining_ms = body.valid_until_ms - self.executed_ts_ms
        if remaining_ms < 0:
            return LEVEL_EXPIRED, ""
        if remaining_ms > self._parameters.validity_ms_max:
            return LEVEL_REFUSED, TOO_LONG
        return None

    # --- room ---------------------------------------------------------------------------------------------------

    def _is_full(self, size: int) -> bool:
        options = self._options
        return len(self._entries) >= options.mempool_transactions_max or self._bytes + size > options.mempool_bytes_max

    def _is_poor(self, lane: Lane | None, transaction: SignedTransaction) -> bool:
        return lacks_money(lane, transaction, self._state.balance)

    def _runs(self, lane: Lane | None, transaction: SignedTransaction) -> bool:
        """Return whether a transaction can be batched now: it is its sender's next, and the money is there."""
        body = transaction.body
        account = self._state.account(body.sender)
        chain = lane.chain if lane is not None else []
        follows = (
            (body.seq, body.prev) == (chain[-1].transaction.body.seq + 1, chain[-1].transaction.id)
            if chain
            else (body.seq, body.prev) == (account.next_seq, account.head)
        )
        return follows and not self._is_poor(lane, transaction)

    def _makes_room(self, transaction: SignedTransaction, *, try_only: bool = False) -> bool:
        """Return whether there is a place for a transaction; parked ones that come behind it give theirs up.

        Args:
            transaction: what is to be held.
            try_only: say only whether one would.
        """
        size, sender = len(transaction.raw), transaction.body.sender
        if not (self._is_full(size) or self._parking.is_full(size)):
            return True
        lane = self._lanes.get(sender)
        runs = self._runs(lane, transaction)
        is_poor = self._is_poor(lane, transaction)
        while self._is_full(size) or (not runs and self._parking.is_full(size)):
            victim = self._parking.first()
            if victim is None:
                return False
            seq = max(self._lanes[victim].parked)
            is_own = victim == sender and seq > transaction.body.seq
            if not (runs or is_own or self._parking.gives_way(victim, sender, is_poor=is_poor)):
                return False
            if try_only:
                return True
            self._drop(self._unpark(victim, self._lanes[victim], seq), LEVEL_REFUSED, BUSY)
            self._forget_if_empty(victim)
        return True

    def _park(self, sender: bytes, lane: Lane, entry: Entry) -> None:
        lane.parked[entry.transaction.body.seq] = entry
        self._parking.change(sender, len(lane.parked), len(entry.transaction.raw), is_poor=lane.is_poor)

    def _unpark(self, sender: bytes, lane: Lane, seq: int) -> Entry:
        entry = lane.parked.pop(seq)
        self._parking.change(sender, len(lane.parked), -len(entry.transaction.raw), is_poor=lane.is_poor)
        return entry

    def _forget_if_empty(self, sender: bytes) -> None:
        lane = self._lanes.get(sender)
        if lane is not None and not lane.chain and not lane.parked:
            del self._lanes[sender]

    # --- order --------------------------------------------------------------------------------------------------

    def _place(self, now_us: int, sender: bytes, lane: Lane) -> None:
        """Move parked transactions onto the chain for as long as they fit."""
        account = self._state.account(sender)
        chain, parked = lane.chain, lane.parked
        offered = lane.cursor < len(chain)
        while parked:
            entry = parked.get(lane.base + len(chain))
            if entry is None:
                break
            transaction = entry.transaction
            if transaction.body.prev != (chain[-1].transaction.id if chain else account.head):
                self._drop(self._unpark(sender, lane, transaction.body.seq), LEVEL_REFUSED, CONFLICT)
                break
            if self._is_poor(lane, transaction):
                entry.waits_for = OVERDRAFT
                break
            lane.is_poor = False
            lane.take_on(self._unpark(sender, lane, transaction.body.seq))
            entry.state = QUEUED
            entry.due_us = now_us
            self.queued += 1
        if not offered:
            self._offer(now_us, lane)
        self._forget_if_empty(sender)

    # --- out to batches -----------------------------------------------------------------------------------------

    def _offer(self, now_us: int, lane: Lane) -> None:
        if lane.cursor < len(lane.chain):
            self.offers.add(now_us, lane.chain[lane.cursor])

    def _is_next(self, entry: Entry) -> bool:
        if entry.state != QUEUED:
            return False
        lane = self._lanes[entry.transaction.body.sender]
        return lane.chain[lane.cursor] is entry

    def wake(self, now_us: int) -> None:
        """Offer what has backed off long enough, and refuse what has been parked for too long."""
        self.offers.wake(now_us)
        while self._patience and self._patience[0][0] <= now_us:
            entry = heapq.heappop(self._patience)[2]
            if entry.state == PARKED:
                body = entry.transaction.body
                self._unpark(body.sender, self._lanes[body.sender], body.seq)
                self._drop(entry, LEVEL_REFUSED, entry.waits_for)
                self._forget_if_empty(body.sender)

    def take(self, now_us: int, count_max: int, bytes_max: int) -> list[Entry]:
        """Take the next transactions for a batch: they are IN_FLIGHT from now on."""
        taken: list[Entry] = []
        bytes_taken = 0
        while len(taken) < count_max:
            entry = self.offers.best(now_us)
            if entry is None:
                break
            bytes_taken += len(entry.transaction.raw)
            if bytes_taken > bytes_max:
                break
            taken.append(entry)
            entry.state = IN_FLIGHT
            self.queued -= 1
            lane = self._lanes[entry.transaction.body.sender]
            lane.advance()
            self._offer(now_us, lane)
        if self.offers.best(now_us) is None:
            self.offers.waiting_since_us = None
        items_max = 2 * len(self._entries) + HEAP_SLACK
        self.offers.tidy(items_max)
        compact(self._patience, items_max, lambda entry: entry.state == PARKED)
        compact(self._expiry, items_max, lambda entry: entry.state != DONE)
        return taken

    def certified(self, entries: Sequence[Entry]) -> None:
        """Note that validators of quorum weight support these transactions (R1)."""
        for entry in entries:
            if entry.state == IN_FLIGHT:
                entry.state = CERTIFIED
                self._tell(entry.submitters, entry.transaction.id, LEVEL_R1, "")

    def requeue(self, now_us: int, entries: Sequence[Entry]) -> None:
        """Put back transactions that an ended batch left without quorum, each with its own back-off (3.9.5)."""
        waiting = [entry for entry in entries if entry.state == IN_FLIGHT]
        for entry in waiting:
            entry.due_us = now_us + entry.backoff_us
            entry.backoff_us = min(2 * entry.backoff_us, BACKOFF_US_MAX)
        self._queue_again(now_us, waiting)

    def void(self, now_us: int, entries: Sequence[Entry]) -> None:
        """Put back transactions of batches whose epoch is over: their votes count no more, certified or not (3.7)."""
        waiting = [entry for entry in entries if entry.state in (IN_FLIGHT, CERTIFIED)]
        for entry in waiting:
            entry.due_us = now_us
        self._queue_again(now_us, waiting)

    def _queue_again(self, now_us: int, entries: Sequence[Entry]) -> None:
        lanes: dict[bytes, Lane] = {}
        for entry in entries:
            body = entry.transaction.body
            entry.state = QUEUED
            self.queued += 1
            lane = lanes[body.sender] = self._lanes[body.sender]
            lane.cursor = min(lane.cursor, body.seq - lane.base)
        for lane in lanes.values():
            self._offer(now_us, lane)

    # --- out for good -------------------------------------------------------------------------------------------

    def executed(self, now_us: int, changed: Iterable[bytes] | None, ts_ms: int) -> None:
        """Follow an executed block.

        Args:
            now_us: the time now.
            changed: accounts that differ from before; None: any may.
            ts_ms: the chain's time.
        """
        self.executed_ts_ms = ts_ms
        for sender in tuple(self._lanes) if changed is None else changed:
            lane = self._lanes.get(sender)
            if lane is not None:
                self._consume(sender, lane, self._state.account(sender))
                self._place(now_us, sender, lane)
                if lane.parked:  # money came or went
                    lane.is_poor = self._is_poor(lane, lane.parked[min(lane.parked)].transaction)
                    self._parking.change(sender, len(lane.parked), 0, is_poor=lane.is_poor)
        while self._expiry and self._expiry[0][0] < ts_ms:
            entry = heapq.heappop(self._expiry)[2]
            if entry.state != DONE:
                self._expire(now_us, entry)

    def _consume(self, sender: bytes, lane: Lane, account: Account) -> None:
        consumed = account.next_seq - lane.base
        if consumed <= 0:
            return
        lane.base = account.next_seq
        chain = lane.chain
        ours = consumed <= len(chain) and chain[consumed - 1].transaction.id == account.head
        for entry in chain[:consumed]:
            # the head names its predecessors by hash, so if it is ours then so are all before it
            lane.release(entry.transaction)
            self._finish(entry, account, sure=ours)
        del chain[:consumed]
        if chain and not ours:
            self._cut(lane, 0, PREDECESSOR_DEAD)
        lane.cursor = max(0, lane.cursor - consumed)
        lane.advance()
        for seq in [seq for seq in lane.parked if seq < lane.base]:
            self._finish(self._unpark(sender, lane, seq), account, sure=False)

    def _finish(self, entry: Entry, account: Account, *, sure: bool) -> None:
        identity = entry.transaction.id
        if sure or identity == account.head or self._was_executed(identity):
            self._drop(entry, LEVEL_R3, "")
        else:
            self._drop(entry, LEVEL_REFUSED, SLOT_USED)

    def _expire(self, now_us: int, entry: Entry) -> None:
        body = entry.transaction.body
        lane = self._lanes[body.sender]
        if entry.state == PARKED:
            self._unpark(body.sender, lane, body.seq)
            self._drop(entry, LEVEL_EXPIRED, "")
        else:
            position = body.seq - lane.base
            self._cut(lane, position + 1, PREDECESSOR_DEAD)
            lane.chain.pop()
            lane.release(entry.transaction)
            self._drop(entry, LEVEL_EXPIRED, "")
            lane.cursor = min(lane.cursor, position)
        if not lane.chain and not lane.parked:
            del self._lanes[body.sender]
        else:
            self._place(now_us, body.sender, lane)

    def _cut(self, lane: Lane, position: int, reason: str) -> None:
        for entry in lane.chain[position:]:
            lane.release(entry.transaction)
            self._drop(entry, LEVEL_REFUSED, reason)
        del lane.chain[position:]
        lane.cursor = min(lane.cursor, position)

    def _drop(self, entry: Entry, level: int, reason: str) -> None:
        if entry.state == QUEUED:
            self.queued -= 1
        entry.state = DONE
        self._bytes -= len(entry.transaction.raw)
        del self._entries[entry.transaction.id]
        self._tell(entry.submitters, entry.transaction.id, level, reason)
