"""Taking released payments to an edge, and again when nothing is heard (consensus.md 3.8 T13, 3.9.5).

The courier releases what the queue holds while an edge is there, at most `IN_FLIGHT_MAX` payments at once, and watches
every open payment with one timer. What an edge has not acknowledged after `RETRY_US` is submitted again, to another
edge if this one said nothing at all; what it has acknowledged is durable there and is repeated, to another edge, only
after `RETRY_CLAIMED_US` without progress of the account, so that a slow network is not made slower.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from supervm.common.contract.core import Outbox
from supervm.common.parts.part import Part
from supervm.common.parts.participation import PASSIVE
from supervm.protocol.wire.fields import FORWARD_MAX
from supervm.protocol.wire.payments import LEVEL_EXPIRED, LEVEL_REFUSED, GetReceipt, Status, Submit

from ..messages import Flush
from ..wallet.books import Books
from ..wallet.payments import AWAITING, CLOSED, LIVE, QUEUED, R1, R3, Payment
from ..wallet.queue import PaymentQueue
from .sync import Sync
from .terms import EdgeTerms
from .trust import Trust
from .uplink import Uplink

IN_FLIGHT_MAX, IN_FLIGHT_MAX_PASSIVE = 4_096, 64
"""Most released payments that hold a slot at once, over all accounts; and those of a passive phone."""
RETRY_US = 3_000_000
"""Without any news of a payment, it is submitted again after this."""
RETRY_CLAIMED_US = 15_000_000
"""The same for a payment that an edge has acknowledged."""
BACKOFF_MAX = 4
"""The waits double up to this factor."""
ASK_US = 1_000_000
"""Time between questions for a proof that must settle a payment."""
TIMERS_SLACK = 64
"""Timers that count no more, beside as many as there are watched payments, before they are dropped."""


@dataclass(slots=True)
class _Watch:
    due_us: int
    sent_us: int = 0
    tries: int = 0


class Courier(Part):
    """Payments on their way: released, submitted and repeated.

    Args:
        outbox: where effects go.
        queue: the payments.
        trust: while nothing is believed, nothing new is released.
        uplink: the edge.
        terms: what the edge takes; nothing new is released before that is known.
        sync: asks for the proofs that must settle a payment.
        books: what is submitted rests on rows that it writes.
        mode: of the configuration (network.md 5).
    """

    takes = frozenset({Status})
    sends = frozenset({Submit, GetReceipt})
    answers = (Flush,)

    def __init__(
        self,
        outbox: Outbox,
        queue: PaymentQueue,
        trust: Trust,
        uplink: Uplink,
        terms: EdgeTerms,
        sync: Sync,
        books: Books,
        mode: str,
    ) -> None:
        self._outbox = outbox
        self._queue = queue
        self._trust = trust
        self._uplink = uplink
        self._terms = terms
        self._sync = sync
        self._books = books
        self._mode = mode
        self._in_flight_max = IN_FLIGHT_MAX_PASSIVE if mode == PASSIVE else IN_FLIGHT_MAX
        self._timers: list[tuple[int, int]] = []
        self._watched: dict[int, _Watch] = {}
        self._outgoing: dict[int, Payment] = {}
        self._receipts: dict[bytes, None] = {}
        self._questions: dict[bytes, None] = {}
        """Accounts whose proof is needed to settle a payment, in order."""

    @property
    def deadline_us(self) -> int | None:
        """When `tick` has something to do."""
        return self._timers[0][0] if self._timers else None

    @property
    def is_online(self) -> bool:
        """Whether there is an edge that payments go to."""
        return self._uplink.active is not None

    def started(self, now_us: int) -> None:
        """Watch what was open when the node stopped; released payments leave when an edge comes."""
        for payment in self._queue.open_payments():
            if not payment.released:
                self.watch(payment)

    def info(self, now_us: int) -> Mapping[str, Any]:
        """Return how much this phone does at once."""
        return {"mode": self._mode}

    def watch(self, payment: Payment) -> None:
        """Watch an unreleased payment's validity."""
        self._set(payment.number, self._watched.get(payment.number) or _Watch(0), payment.valid_until_ms * 1000)

    def take(self, payment: Payment) -> None:
        """Take a payment that was handed over as well: whoever meets an edge first brings it."""
        self._outgoing[payment.number] = payment

    def edge_changed(self, now_us: int) -> None:
        """Submit to a new edge what none has certified, and ask it for missing receipts."""
        for payment in self._queue.open_payments():
            if payment.released:
                if payment.status in (R1, R3):
                    self._sent(payment, now_us)
                else:
                    self._outgoing[payment.number] = payment
        for payment in self._queue.awaiting.values():
            self._set(payment.number, _Watch(0), now_us)

    def follow(self, now_us: int, accounts: Sequence[bytes]) -> None:
        """Take up what is open of accounts that were not known before."""
        for account in accounts:
            for payment in self._queue.lanes[account].all:
                if payment.released:
                    self._outgoing[payment.number] = payment
                else:
                    self.watch(payment)

    def command(self, now_us: int, token: int, request: Flush) -> None:
        """Let go what its owner has kept here, and submit everything that is released again."""
        self._queue.let_go()
        for payment in self._queue.open_payments():
            if payment.released:
                self._outgoing[payment.number] = payment
        edge = self._uplink.active
        opened = list(self._queue.open_payments())
        leaving = sum(1 for payment in opened if payment.raw)  # those not released yet are with this step's write
        self._books.answer(
            token,
            {
                "submitted": leaving if edge else 0,
                "open": len(opened),
                "edge": edge.hex() if edge else None,
            },
        )

    def settle(self, now_us: int) -> None:
        """Release what may go, and submit what is outgoing behind the write that it rests on."""
        edge = self._uplink.active
        if edge is not None and self._terms.is_settled and self._trust.believes(now_us):
            self._release(now_us)
        after = self._books.write(now_us)
        if edge is not None:
            self.flush(edge, now_us, after=after)
            self._sync.want(self._questions)
        self._questions.clear()

    def _release(self, now_us: int) -> None:
        """Release what may go and ask for receipts."""
        for payment in self._queue.take_awaiting():
            self._receipts[payment.id] = None
            self._set(payment.number, _Watch(0), now_us + RETRY_US)
        if not self._queue.pending:
            return
        in_flight = sum(len(lane.sent) for lane in self._queue.lanes.values())
        if in_flight < self._in_flight_max:
            for payment in self._queue.release(self._in_flight_max - in_flight, now_us // 1000):
                self._outgoing[payment.number] = payment
            for payment in self._queue.take_untimely():
                watch = self._watched.setdefault(payment.number, _Watch(0))
                if watch.sent_us + RETRY_US <= now_us:
                    watch.sent_us = now_us
                    self._questions[payment.account] = None
                self._set(payment.number, watch, watch.sent_us + RETRY_US)
            declined = self._queue.take_declined()
            if declined:
                self._uplink.prefer(self._terms.takers(declined))
            for payment in declined:
                self._set(payment.number, self._watched.setdefault(payment.number, _Watch(0)), now_us + RETRY_US)

    def tick(self, now_us: int) -> None:
        """Act on what is due; complain of an edge that leaves payments without news or without progress."""
        online, silent = self._uplink.active is not None, False
        while self._timers and self._timers[0][0] <= now_us:
            due_us, number = heapq.heappop(self._timers)
            watch = self._watched.get(number)
            if watch is None or watch.due_us != due_us:
                continue
            payment = self._queue.payments.get(number)
            if payment is None or payment.place == CLOSED:
                del self._watched[number]
            elif payment.place == AWAITING:
                if online:
                    self._receipts[payment.id] = None
                self._again(number, watch, now_us, RETRY_US)
            else:
                silent |= self._due(payment, watch, now_us, online, self._uplink.news_us)
        if silent:
            self._uplink.complain()

    def _due(self, payment: Payment, watch: _Watch, now_us: int, online: bool, news_us: int) -> bool:
        lane = self._queue.lanes[payment.account]
        doubted = lane.doubt is not None and lane.doubt.payment is payment
        if doubted or payment.valid_until_ms * 1000 <= now_us:
            # Submitting helps no more (or not yet); a newer proof decides.
            self._questions[payment.account] = None
            self._set(payment.number, watch, now_us + (ASK_US if online else RETRY_CLAIMED_US))
            return False
        if not payment.released:
            self.watch(payment)
            self._queue.pending[payment.account] = None  # it may be one that waits for a proof of chain time
            return False
        wait_us = (RETRY_US if payment.status == QUEUED else RETRY_CLAIMED_US) << min(watch.tries, BACKOFF_MAX // 2)
        moved_us = max(watch.sent_us, lane.progress_us)
        if now_us < moved_us + wait_us or not online:
            self._set(payment.number, watch, max(moved_us, now_us - wait_us + RETRY_US) + wait_us)
            return False
        watch.tries += 1
        self._outgoing[payment.number] = payment
        if payment.status in (R1, R3):
            self._questions[payment.account] = None
        # An edge may talk and yet keep a payment to itself: what it has acknowledged and does not bring forward, or
        # does not acknowledge when asked twice, goes to another edge.
        return news_us <= watch.sent_us or payment.status != QUEUED or watch.tries > 1

    def receive(self, now_us: int, peer: bytes, message: Status) -> None:
        """Take an edge's word on payments."""
        self._uplink.news(peer, now_us)
        for item in message.items:
            payment = self._queue.claim(item.transaction_id, item.level, item.reason, now_us)
            if payment is not None and item.level == LEVEL_REFUSED:
                self._refused(payment, now_us)
            if item.level in (LEVEL_REFUSED, LEVEL_EXPIRED) and self._queue.may_run(item.transaction_id, now_us):
                self._uplink.refused(peer)
            if item.level == LEVEL_EXPIRED:
                known = self._queue.find(item.transaction_id.hex())
                if known is not None:  # a proof decides
                    self._sync.want((known.account,))

    def _refused(self, payment: Payment, now_us: int) -> None:
        """A payment was refused by an edge: look again soon, once a proof or its predecessor may have come."""
        watch = self._watched.get(payment.number) or _Watch(0)
        lane = self._queue.lanes[payment.account]
        doubted = lane.doubt is not None and lane.doubt.payment is payment
        self._set(payment.number, watch, now_us + (ASK_US if doubted else RETRY_US))

    def flush(self, edge: bytes, now_us: int, *, after: int) -> None:
        """Send this step's submissions to `edge` once `after` is durable, per account in slot order."""
        if self._outgoing:
            live = [payment for payment in self._outgoing.values() if payment.place == LIVE]
            live.sort(key=lambda payment: (payment.account, payment.seq))
            self._outgoing = {}
            for start in range(0, len(live), FORWARD_MAX):
                part = live[start : start + FORWARD_MAX]
                self._outbox.send(edge, Submit(tuple(payment.raw for payment in part)), after=after)
            for payment in live:
                self._sent(payment, now_us)
        for transaction_id in self._receipts:
            self._outbox.send(edge, GetReceipt(transaction_id))
        self._receipts = {}

    def _sent(self, payment: Payment, now_us: int) -> None:
        watch = self._watched.get(payment.number) or _Watch(0)
        watch.sent_us = now_us
        self._set(payment.number, watch, min(now_us + RETRY_US, max(now_us + ASK_US, payment.valid_until_ms * 1000)))

    def _again(self, number: int, watch: _Watch, now_us: int, wait_us: int) -> None:
        watch.tries += 1
        self._set(number, watch, now_us + (wait_us << min(watch.tries, BACKOFF_MAX)))

    def _set(self, number: int, watch: _Watch, due_us: int) -> None:
        watch.due_us = due_us
        self._watched[number] = watch
        heapq.heappush(self._timers, (due_us, number))
        if len(self._timers) > 2 * len(self._watched) + TIMERS_SLACK:
            self._timers = [(item.due_us, watched) for watched, item in self._watched.items()]
            heapq.heapify(self._timers)
