"""Store and forward: accepted transactions wait on disk here until a miner has told their fate.

Theory of operation. An *entry* is one accepted transaction. It is written before anybody is told R0 (decisions.md,
Transactions), forwarded once the write is durable, and deleted when a miner says that it is in a block (R3), refused
or expired. Until then it is never given up: the phone keeps its own copy, but an edge that said R0 has promised to
carry it.

An entry is either *ready* (to be forwarded) or *out* at one miner. All entries of a sender go to the miner the sender
is pinned to, because a miner orders by slot and parks what has no predecessor. The pin moves when that miner goes
down, when it gives no news for 3 s although it owes some (consensus.md 3.9.5), when it never answers this sender's
transactions while it talks about others, or when it refuses one for a reason another miner need not share. Then all the
sender's entries are ready again, in slot order, at the next best miner. "busy" is never passed on: where no other
miner is left, the entry is submitted again later.

A transaction goes only to miners that take its fee (`fees`); a sender whose transactions no one miner takes all has
them at several, and each waits there for those before it. What no miner takes that is up, since one has gone or says
other terms than when the entry was accepted, lies apart, in nobody's way: it is ready again when a miner says that it
takes it, and is refused with the reason after `UNTAKEN_US`.

What is out is submitted again every 3 s, doubling to 30 s without news: a miner that restarted has forgotten it.
How much is out unanswered at one miner is bounded, so a backlog drains at the miner's pace and not in one gulp.

Nothing a miner says is proof. It can lie about a fate and the edge then drops the entry; the phone believes only
proofs, submits again, and `store.FINAL_US_MAX` later is not answered from memory but asked through to a miner anew.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from itertools import islice

from supervm.common.contract.core import Outbox, PeerDown, PeerUp
from supervm.common.parts.fee_policy import CODE
from supervm.common.parts.part import Part
from supervm.protocol.money.transaction import SignedTransaction
from supervm.protocol.wire.fields import FORWARD_MAX
from supervm.protocol.wire.payments import (
    LEVEL_EXPIRED,
    LEVEL_R0,
    LEVEL_R1,
    LEVEL_R3,
    LEVEL_REFUSED,
    Status,
    StatusItem,
    Submit,
)

from ..intake.news import BUSY, News
from ..intake.store import Entry, Store
from .fees import Fees
from .pins import Pins
from .routes import Routes

RETRY_US_MIN, RETRY_US_MAX = 3_000_000, 30_000_000
"""Time between submissions of one transaction to its miner, doubling without news (consensus.md 3.9.5)."""
UNANSWERED_MAX = 4 * FORWARD_MAX
"""Most transactions that may be out at one miner without a word about them."""
SCAN_MAX = 4 * UNANSWERED_MAX
"""Most ready transactions looked at in one step."""
BUSY_US_MIN = 250_000
"""Shortest time before a miner that was busy is asked again; doubles each time, up to 30 s."""
ANOTHER_MINER = (BUSY, "predecessor unknown")
"""Beginnings of refusals that another miner need not share."""
UNTAKEN_US = 30_000_000
"""How long a transaction whose fee no miner takes waits for one that does."""


class Relay(Part):
    """Forwards what the store holds, and hears what becomes of it.

    In the order of parts it stands before the routes, so that a miner which goes is still one of them here.

    Args:
        outbox: where effects go.
        news: where clients are told.
        routes: the miners.
        fees: what is taken, for the reason of a refusal.
        store: accepted transactions; what it holds at start is forwarded again.
    """

    takes = frozenset({Status})
    sends = frozenset({Submit})

    def __init__(self, outbox: Outbox, news: News, routes: Routes, fees: Fees, store: Store) -> None:
        self._outbox = outbox
        self._news = news
        self._routes = routes
        self._fees = fees
        self._store = store
        self._by_token: dict[int, list[Entry]] = {}
        self._ready: dict[bytes, Entry] = {}
        self._untaken: dict[bytes, Entry] = {}  # durable, and no miner that is up takes the fee
        self._out: dict[bytes, dict[bytes, Entry]] = {}  # miner -> entries out there
        self._unanswered: dict[bytes, int] = {}  # miner -> of those, without a word
        self._pins = Pins(routes, store)
        self._timers: list[tuple[int, int]] = []  # (when, number); stale ones are skipped
        self.failovers = 0
        """Times a miner was left with transactions outstanding."""
        self._make_ready(list(store.all()))

    @property
    def deadline_us(self) -> int | None:
        """When `tick` has something to do."""
        return self._timers[0][0] if self._timers else None

    @property
    def waiting(self) -> int:
        """How many durable transactions are not out at any miner."""
        return len(self._ready) + len(self._untaken)

    def out_at(self, miner: bytes) -> int:
        """Return how many transactions are out at `miner`."""
        return len(self._out.get(miner, ()))

    # --- from clients ------------------------------------------------------------------------------------------------

    def known(self, now_us: int, peer: bytes, transaction_id: bytes) -> bool:
        """If the transaction is known, tell `peer` its level, keep it told, and return True."""
        entry = self._store.get(transaction_id)
        if entry is not None:
            entry.join(peer)
            self._news.tell(peer, transaction_id, entry.level, after=entry.token)
            return True
        fate = self._store.fate(now_us, transaction_id)
        if fate is not None:
            self._news.tell(peer, transaction_id, fate)
        return fate is not None

    def room(self, peer: bytes) -> int:
        """Return how many more transactions may come from `peer`."""
        return self._store.room(peer)

    def accept(self, peer: bytes, transaction: SignedTransaction) -> None:
        """Store a transaction whose form and signature are right and that is not known; R0 follows the write."""
        entry = self._store.add(peer, transaction)
        self._by_token.setdefault(entry.token, []).append(entry)
        self._news.tell(peer, transaction.id, LEVEL_R0, after=entry.token)

    def durable(self, now_us: int, token: int) -> None:
        """What was written with `token` may be forwarded."""
        entries = self._by_token.pop(token, ())
        for entry in entries:
            entry.token = 0
            self._ready[entry.transaction.id] = entry

    # --- from miners -------------------------------------------------------------------------------------------------

    def receive(self, now_us: int, peer: bytes, message: Status) -> None:
        """Take a miner's news."""
        self._routes.check_miner(peer, message)
        self._status(now_us, peer, message.items)

    def peer_up(self, now_us: int, event: PeerUp) -> None:
        """Give a miner that comes at once what lies at silent ones."""
        if self._routes.is_miner(event.peer, event.tier):
            for miner in [miner for miner in self._out if self._routes.passed_over(now_us, miner)]:
                self._leave(miner)

    def peer_down(self, now_us: int, event: PeerDown) -> None:
        """Take back what was out at a miner that went."""
        if event.peer in self._routes.up:
            self._leave(event.peer)

    def _leave(self, miner: bytes) -> None:
        """All that was out at a miner, which is down or silent, is ready again, and its senders are free."""
        moved = list(self._out.get(miner, {}).values())
        if moved:
            self.failovers += 1
        self._pins.leave(miner)
        self._make_ready(moved)

    def _status(self, now_us: int, miner: bytes, items: Iterable[StatusItem]) -> None:
        """Take news of transactions that were forwarded to this miner; of others it has nothing to say."""
        for item in items:
            entry = self._store.get(item.transaction_id)
            if entry is None or miner not in entry.asked:
                continue
            self._routes.news(now_us, miner)
            if entry.miner == miner:
                if entry.unanswered:
                    self._routes.answered(miner, now_us - entry.sent_us)
                    self._answered(entry)
                if item.level == LEVEL_REFUSED and item.reason.startswith(BUSY):
                    self._miner_busy(now_us, entry)
                    continue
                entry.tries = 0
                self._schedule(entry, now_us + RETRY_US_MIN)
            if item.level == LEVEL_R3:
                self._end(now_us, entry, LEVEL_R3, "")
            elif item.level == LEVEL_R1:
                if entry.level < LEVEL_R1:
                    entry.level = LEVEL_R1
                    self._tell(entry, LEVEL_R1, "")
            elif item.level in (LEVEL_REFUSED, LEVEL_EXPIRED) and entry.miner == miner:
                if item.level == LEVEL_REFUSED and self._goes_elsewhere(now_us, entry, miner, item.reason):
                    continue
                self._end(now_us, entry, item.level, item.reason)

    def _miner_busy(self, now_us: int, entry: Entry) -> None:
        """Try another miner, or this one again later: that it is busy says nothing of what R0 promised to carry."""
        if not self._try_another(now_us, entry, BUSY):
            self._schedule(entry, now_us + min(BUSY_US_MIN << min(entry.tries, 8), RETRY_US_MAX))

    def _goes_elsewhere(self, now_us: int, entry: Entry, miner: bytes, reason: str) -> bool:
        """Take what `miner` refuses to another one that need not refuse it, if there is one."""
        if reason.startswith(CODE):
            return self._try_another_fee(now_us, entry, miner)
        return self._try_another(now_us, entry, reason)

    def _try_another(self, now_us: int, entry: Entry, reason: str) -> bool:
        if entry.moved or not reason.startswith(ANOTHER_MINER):
            return False
        other = self._pins.choose(now_us, entry, but=entry.asked, silent=False)
        if other is None:
            return False
        entry.moved = True
        self._move_sender(entry.transaction.body.sender, other)
        return True

    def _try_another_fee(self, now_us: int, entry: Entry, miner: bytes) -> bool:
        """Take an entry that `miner` refuses for its fee, and its successors, to one that takes it."""
        entry.declined.append(miner)
        other = self._pins.choose(now_us, entry)
        if other is None:
            return False
        body = entry.transaction.body
        self._move_sender(body.sender, other, body.seq)
        return True

    def fees_changed(self, miner: bytes) -> int:
        """A miner says what it takes: what it takes that nobody took is ready; return how many were looked at."""
        looked_at = len(self._untaken)
        taken = [entry for entry in self._untaken.values() if self._pins.accepts(miner, entry)]
        if taken:
            self._make_ready(taken)
        return looked_at

    # --- forwarding --------------------------------------------------------------------------------------------------

    def tick(self, now_us: int) -> None:
        """Submit again what is due, leaving miners that do not answer."""
        while self._timers and self._timers[0][0] <= now_us:
            when_us, number = heapq.heappop(self._timers)
            entry = self._store.numbered(number)
            if entry is None or entry.timer_us != when_us:
                continue
            entry.timer_us = 0
            is_untaken = entry.transaction.id in self._untaken
            if entry.miner is None and not is_untaken:
                continue
            if entry.retry_us > now_us:
                self._schedule(entry, entry.retry_us)
                continue
            if is_untaken:
                self._untaken_so_long(now_us, entry)
                continue
            assert entry.miner is not None, "it is out"
            if self._left(now_us, entry, entry.miner):
                continue
            self._take_back(entry)
            self._ready[entry.transaction.id] = entry

    def _untaken_so_long(self, now_us: int, entry: Entry) -> None:
        """Refuse what no miner takes; while none is up, nobody knows that."""
        if not self._routes.up or self._pins.is_accepted(entry):
            self._make_ready([entry])
            return
        reason = self._fees.refusal(entry.transaction.body) or f"{CODE}: no miner that is up takes it"
        self._end(now_us, entry, LEVEL_REFUSED, reason)

    def _left(self, now_us: int, entry: Entry, miner: bytes) -> bool:
        """Leave a miner that is silent, or that answers others but not this sender, if there is a better one."""
        silent = self._routes.is_silent(now_us, miner)
        if not silent and entry.tries < 2:
            return False
        other = self._pins.choose(now_us, entry, but=(miner,), silent=False)
        if other is None:
            return False
        if silent:
            self._leave(miner)
        else:
            self.failovers += 1
            self._move_sender(entry.transaction.body.sender, other)
        return True

    def settle(self, now_us: int) -> None:
        """Send ready transactions to their miners, each sender's in slot order, as far as the miners have room."""
        if not self._ready or not self._routes.up:
            return
        for miner, entries in self._bundles(now_us).items():
            senders = dict.fromkeys(entry.transaction.body.sender for entry in entries)
            rank = {sender: place for place, sender in enumerate(senders)}
            entries.sort(key=lambda entry: (rank[entry.transaction.body.sender], entry.transaction.body.seq))
            for start in range(0, len(entries), FORWARD_MAX):
                part = entries[start : start + FORWARD_MAX]
                self._outbox.send(miner, Submit(tuple(entry.transaction.raw for entry in part)))
            for entry in entries:
                self._sent(now_us, entry, miner)

    def _bundles(self, now_us: int) -> dict[bytes, list[Entry]]:
        """Return what goes to which miner now, and lay aside what none takes."""
        bundles: dict[bytes, list[Entry]] = {}
        untaken: list[Entry] = []
        room = {miner: UNANSWERED_MAX - self._unanswered.get(miner, 0) for miner in self._routes.up}
        free = sum(count > 0 for count in room.values())
        for entry in islice(self._ready.values(), SCAN_MAX):
            if not free:
                break
            miner = self._pins.miner_of(now_us, entry)
            if miner is None:
                untaken.append(entry)
            elif room[miner] > 0:
                room[miner] -= 1
                free -= room[miner] == 0
                bundles.setdefault(miner, []).append(entry)
        for entry in untaken:
            self._untaken[entry.transaction.id] = self._ready.pop(entry.transaction.id)
            self._schedule(entry, now_us + UNTAKEN_US)
        return bundles

    def _sent(self, now_us: int, entry: Entry, miner: bytes) -> None:
        del self._ready[entry.transaction.id]
        if miner not in entry.asked:
            entry.asked.append(miner)
        out = self._out.setdefault(miner, {})
        if not out:
            self._routes.owes(now_us, miner)
        out[entry.transaction.id] = entry
        entry.miner = miner
        entry.sent_us = now_us
        entry.unanswered = True
        self._unanswered[miner] = self._unanswered.get(miner, 0) + 1
        entry.tries += 1
        self._schedule(entry, now_us + min(RETRY_US_MIN << min(entry.tries - 1, 8), RETRY_US_MAX))

    def _move_sender(self, sender: bytes, miner: bytes, first_seq: int = 0) -> None:
        """Pin a sender to a miner, and take its entries from `first_seq` on there."""
        self._pins.pin(sender, miner)
        entries = self._store.of_sender(sender)
        self._make_ready([entry for entry in entries if not entry.token and entry.transaction.body.seq >= first_seq])

    def _make_ready(self, entries: list[Entry]) -> None:
        """Take entries back from their miners, and put all that is ready into the order it arrived in, by sender."""
        for entry in entries:
            self._take_back(entry)
            entry.tries = 0
            self._untaken.pop(entry.transaction.id, None)
            self._ready[entry.transaction.id] = entry
        first: dict[bytes, int] = {}
        for entry in self._ready.values():
            sender = entry.transaction.body.sender
            first[sender] = min(first.get(sender, entry.number), entry.number)
        ordered = sorted(
            self._ready.values(),
            key=lambda entry: (first[entry.transaction.body.sender], entry.transaction.body.seq, entry.number),
        )
        self._ready = {entry.transaction.id: entry for entry in ordered}

    def _take_back(self, entry: Entry) -> None:
        if entry.miner is not None:
            self._answered(entry)
            del self._out[entry.miner][entry.transaction.id]
            entry.miner = None

    def _answered(self, entry: Entry) -> None:
        if entry.unanswered and entry.miner is not None:
            self._unanswered[entry.miner] -= 1
        entry.unanswered = False

    def _schedule(self, entry: Entry, when_us: int) -> None:
        """Set when an entry is submitted again; it keeps one timer, so that news cannot pile timers up."""
        entry.retry_us = when_us
        if not entry.timer_us or when_us < entry.timer_us:
            entry.timer_us = when_us
            heapq.heappush(self._timers, (when_us, entry.number))

    def _end(self, now_us: int, entry: Entry, level: int, reason: str) -> None:
        self._take_back(entry)
        self._ready.pop(entry.transaction.id, None)
        self._untaken.pop(entry.transaction.id, None)
        self._store.end(now_us, entry, level)
        self._tell(entry, level, reason)

    def _tell(self, entry: Entry, level: int, reason: str) -> None:
        for peer in entry.interested:
            self._news.tell(peer, entry.transaction.id, level, reason)
