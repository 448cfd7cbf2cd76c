"""A phone's queue: slots, releases and fates (consensus.md 3.8 T16, 3.9.4; decisions.md, Transactions)."""

from __future__ import annotations

from typing import Any

from supervm.protocol.wire.payments import LEVEL_EXPIRED
from supervm.tier_l4_mobile.sync import courier
from supervm.tier_l4_mobile.wallet import lane, payments, queue
from supervm.tier_l4_mobile.wallet import log as phone_log

from .switch import Patcher, mutation


@mutation("queue-key", "the same name never makes a second payment (N1)")
def _queue_key(patcher: Patcher) -> None:
    def index(original: Any, self: Any, payment: Any) -> None:
        original(self, payment)
        self._by_key.pop(payment.key, None)

    patcher.wrap(phone_log.PaymentLog, "_index", index)


@mutation(
    "release",
    "a released transaction is never replaced before it is provably dead (3.8 T16)",
    on=("loss", "slow", "cut", "partition"),
)
def _release(patcher: Patcher) -> None:
    def claim(original: Any, self: Any, transaction_id: bytes, level: int, reason: str, now_us: int) -> Any:
        payment = original(self, transaction_id, level, reason, now_us)
        found = self._by_id.get(transaction_id)
        if found is not None and found.released and found.place == 1:
            lane = self.lanes[found.account]
            after = lane.cut(0)
            for item in after:
                item.released, item.fee = False, item.fee + 1
            self._sign_again(lane, after)
            self.pending[found.account] = None
        return payment

    patcher.wrap(queue.PaymentQueue, "claim", claim)


@mutation("released-row", "a durable row precedes the first byte that leaves (T16)")
def _released_row(patcher: Patcher) -> None:
    patcher.wrap(
        courier.Courier, "flush", lambda original, self, edge, now_us, *, after: original(self, edge, now_us, after=0)
    )


@mutation(
    "wallet-overdraft",
    "a phone signs no more than is proved and free (decisions.md)",
    pay_ppm=350_000,
    chaos_ms=10_000,
    accounts=1,
)
def _overdraft(patcher: Patcher) -> None:
    patcher.set(lane.Lane, "available", lambda self, asset: 1 << 60)


@mutation(
    "refusal-doubt",
    "a refusal counts only after a newer proof shows the slot free (decisions.md)",
    on=("bad-edge",),
    actors=("refusing-edge",),
    l3=2,
)
def _doubt(patcher: Patcher) -> None:
    def refused(original: Any, self: Any, payment: Any, reason: str, now_us: int) -> Any:
        found = original(self, payment, reason, now_us)
        if found is not None:
            payment.reached(payments.REFUSED, now_us)
        return found

    patcher.wrap(queue.PaymentQueue, "_claim_refused", refused)


@mutation(
    "refused-holds",
    "a refused payment holds those behind it (decisions.md)",
    test="tests/tier_l4_mobile/test_node.py::"
    "test_a_refused_payment_is_a_fate_only_after_a_newer_proof_and_holds_its_successors",
    classes=("bad-edge",),
    actors=("refusing-edge",),
    l3=2,
    pay_ppm=350_000,
    accounts=1,
)
def _holds(patcher: Patcher) -> None:
    patcher.set(lane.Lane, "blocked", property(lambda self: False))


@mutation(
    "expired-claim",
    "an edge's word that a payment has expired is no proof (3.9.4)",
    on=("bad-edge",),
    actors=("refusing-edge",),
    l3=2,
)
def _expired_claim(patcher: Patcher) -> None:
    def claim(original: Any, self: Any, transaction_id: bytes, level: int, reason: str, now_us: int) -> Any:
        payment = self._by_id.get(transaction_id)
        if level == LEVEL_EXPIRED and payment is not None and payment.place == payments.LIVE and payment.released:
            _give_up(self, payment)
        return original(self, transaction_id, level, reason, now_us)

    patcher.wrap(queue.PaymentQueue, "claim", claim)


def _give_up(self: Any, payment: Any) -> None:
    lane_ = self.lanes[payment.account]
    chain = [*lane_.sent, *lane_.held]
    for item in lane_.cut(next(place for place, item in enumerate(chain) if item is payment)):
        self._close(item, payments.EXPIRED, "somebody says that it has expired")


@mutation(
    "expired-by-clock",
    "a payment expires by a certified header, not by the phone's clock (3.9.4)",
    on=("slow", "loss", "clock"),
    pay_ppm=350_000,
)
def _expired_by_clock(patcher: Patcher) -> None:
    def tick(original: Any, self: Any, now_us: int) -> None:
        for payment in list(self._queue.payments.values()):
            if payment.place == payments.LIVE and payment.released and payment.valid_until_ms * 1000 < now_us:
                _give_up(self._queue, payment)
        original(self, now_us)

    patcher.wrap(courier.Courier, "tick", tick)


@mutation(
    "expired-or-executed",
    "a payment whose slot is used by it has not expired (3.9.4)",
    on=("slow", "cut", "partition", "one-way"),
    pay_ppm=350_000,
    rate_ppm=60_000,
    chaos_ms=10_000,
    l4=3,
)
def _expired_or_executed(patcher: Patcher) -> None:
    def consume(original: Any, self: Any, lane_: Any, proved: Any, now_us: int) -> None:
        first = lane_.first
        if first is not None and first.valid_until_ms < proved.ts_ms:
            self._replace(lane_, lane_.cut(0), "its validity is over")
        original(self, lane_, proved, now_us)

    patcher.wrap(queue.PaymentQueue, "_consume", consume)


@mutation(
    "sign-again",
    "what never left is signed again when its slot is lost (decisions.md)",
    on=("same-wallet", "cut", "slow"),
    l4=2,
    accounts=1,
    pay_ppm=350_000,
)
def _sign_again(patcher: Patcher) -> None:
    def replace(original: Any, self: Any, lane_: Any, items: Any, reason: str) -> None:
        for payment in items:
            self._close(payment, payments.EXPIRED, reason)

    patcher.wrap(queue.PaymentQueue, "_replace", replace)


@mutation(
    "release-window",
    "a phone releases within the window only (decisions.md)",
    window=4,
    pay_ppm=350_000,
    accounts=1,
    on=("slow", "partition"),
)
def _window(patcher: Patcher) -> None:
    def init(original: Any, self: Any, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **{**options, "window": 1 << 30})

    patcher.wrap(queue.PaymentQueue, "__init__", init)


@mutation(
    "release-in-time",
    "what is past its validity is not released any more (decisions.md)",
    on=("cut", "partition", "crash"),
    pay_ppm=350_000,
    rate_ppm=60_000,
)
def _in_time(patcher: Patcher) -> None:
    patcher.wrap(queue.PaymentQueue, "release", lambda original, self, count_max, now_ms: original(self, count_max, 0))


@mutation(
    "submit-again",
    "a phone submits again what nobody acknowledges (3.9.5)",
    on=("loss", "cut", "crash"),
    rate_ppm=60_000,
    pay_ppm=350_000,
    calm_s=75,
    is_costly=True,
)
def _submit_again(patcher: Patcher) -> None:
    patcher.set(courier.Courier, "_due", lambda self, payment, watch, now_us, online, news_us: False)
