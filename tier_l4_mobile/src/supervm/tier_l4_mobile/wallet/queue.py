"""The durable queue of payments: the only allocator of an account's slots (consensus.md 3.8 T16, decisions.md).

Theory of operation. Every payment of an own account is a row here. Asking for a payment allocates the account's next
slot (seq, prev), signs, and marks the row to be written, all in one step; nothing else ever signs with these keys. A
row's bytes may leave the phone only after `release` marked it and that mark is durable. So a transaction that was
never released can be replaced freely - cancelling re-signs what came after it - and one that was released can be
replaced only when a proof says that it can never execute:

* its slot was taken by another transaction, seen as the proved head of the account;
* a certified header is past its validity and the proved `next_seq` has not passed its slot (3.9.4);
* its predecessor is one of these: the head can then never be what it names.

What is heard, and which fate follows from it, is in `fates`; here is what the owner asks for, and what is released.
The queue is pure: it returns nothing to send and writes nothing; `books` takes `take_records()` and writes them.
"""

from __future__ import annotations

from collections.abc import Mapping

from supervm.common.contract.records import Reader
from supervm.protocol.base.codec import INT_MAX
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.money.kinds import TRANSFER
from supervm.protocol.state.leaves import NATIVE

from ..errors import PaymentError
from .fates import PaymentFates
from .lane import Lane
from .payments import CANCELLED, CLOSED, LIVE, QUEUED, REFUSED, Payment, check_request
from .validity import is_timely

LOCKED = "the wallet is locked, and a payment needs its key: unlock it (supervm wallet unlock)"
"""What is said to whoever asks for what needs a key."""
_UNTIMELY = (
    "it waits for a proof of the network's time that is near enough to its validity; if that stays so, this device's "
    "clock is ahead"
)
_DECLINED = "it waits for an edge that takes its fee: "
_HANDED = "it was handed over, and whoever meets an edge first brings it; nothing is settled before it is proved"


class PaymentQueue(PaymentFates):
    """Payments of the accounts whose keys are given: their slots, their signatures and their fates.

    Args:
        chain_id: the network.
        keys: account id -> key.
        reader: what is durable.
        window: most slots ahead of the proved one that may be released (decisions.md, Numbers).
        validity_ms_max: longest validity that the chain allows.
        queue_max: most payments that may be on their way at once; what is asked for beyond that is refused.
    """

    def __init__(
        self,
        chain_id: bytes,
        keys: Mapping[bytes, SigningKey],
        reader: Reader,
        *,
        window: int,
        validity_ms_max: int = INT_MAX,
        queue_max: int = INT_MAX,
    ) -> None:
        super().__init__(chain_id, keys, reader)
        self._window = window
        self._validity_ms_max = validity_ms_max
        self._queue_max = queue_max
        self._untimely: list[Payment] = []
        self._declined: list[Payment] = []

    # --- what is asked for -------------------------------------------------------------------------------------------

    def add(
        self,
        now_us: int,
        account: bytes,
        to: bytes,
        *,
        amount: int,
        fee: int,
        valid_until_ms: int,
        payload: bytes = b"",
        key: str = "",
        kept: bool = False,
        kind: int = TRANSFER,
        asset: bytes = NATIVE,
        fee_asset: bytes = NATIVE,
    ) -> Payment:
        """Queue a payment: allocate its slot, sign, and mark its row to be written.

        A `key` that was used before returns the payment that it made. Of an issue `amount` is the supply, and `to` is
        not looked at.

        Raises:
            PaymentError: the wallet is locked, a field is out of its bounds, the queue is full, the proved balances do
                not cover it, or the edge that it would be signed for does not take its fee.
        """
        known = self.by_key(key) if key else None
        if known is not None:
            return known
        lane = self.lanes.get(account)
        if lane is None:
            raise PaymentError(f"account {account.hex()} is not in this wallet")
        if account not in self._keys:
            raise PaymentError(LOCKED)
        payment = Payment(
            self.next_number,
            account,
            to,
            amount,
            fee,
            payload,
            valid_until_ms,
            key,
            now_us,
            kept=kept,
            kind=kind,
            asset=asset,
            fee_asset=fee_asset,
        )
        check_request(payment)
        problem = self._full() or self.terms.refusal(fee_asset, fee) or lane.overdraft(payment.debits)
        if problem:
            raise PaymentError(problem)
        self._append(lane, payment)
        self._index(payment)
        return payment

    def _full(self) -> str:
        """Say that the queue takes no more; empty while it does."""
        if len(self.payments) < self._queue_max:  # with those that are over and not written yet, so this is enough
            return ""
        count = sum(payment.place != CLOSED for payment in self.payments.values())
        if count < self._queue_max:
            return ""
        return (
            f"the queue is full: {count} payments are on their way, and at most {self._queue_max} may be (queue_max); "
            "wait until some are proved, or cancel what has not left this device"
        )

    def add_refused(
        self,
        now_us: int,
        account: bytes,
        to: bytes,
        *,
        amount: int,
        fee: int,
        reason: str,
        key: str,
        asset: bytes = NATIVE,
        fee_asset: bytes = NATIVE,
    ) -> Payment:
        """Log a payment that was refused before it was signed, so that its `key` is never tried again."""
        payment = Payment(
            self.next_number,
            account,
            to,
            amount,
            fee,
            b"",
            0,
            key,
            now_us,
            place=CLOSED,
            status=REFUSED,
            reason=reason,
            asset=asset,
            fee_asset=fee_asset,
        )
        self._index(payment)
        self._finished.ended(payment)
        self._touch(payment)
        return payment

    def cancel(self, payment: Payment) -> None:
        """Cancel a payment that was never released; the ones after it are signed again on the new chain.

        Raises:
            PaymentError: it was released, or is over.
        """
        if payment.place != LIVE:
            raise PaymentError(f"payment {payment.label} is {payment.status} and cannot be cancelled")
        if payment.released:
            raise PaymentError(
                f"payment {payment.label} was released to the network; only what never left this device can be "
                "cancelled"
            )
        lane = self.lanes[payment.account]
        place = next(i for i, item in enumerate(lane.all) if item is payment)
        _, *after = lane.cut(place)
        self._close(payment, CANCELLED, "cancelled before its release")
        self._sign_again(lane, after)

    def let_go(self) -> None:
        """Let the payments go that were kept on this device."""
        for lane in self.lanes.values():
            for payment in (*lane.held, *lane.unsigned):
                if payment.kept:
                    payment.kept = False
                    self._touch(payment)
            if lane.held:
                self.pending[lane.account] = None

    # --- release -----------------------------------------------------------------------------------------------------

    def release(self, count_max: int, now_ms: int) -> list[Payment]:
        """Mark up to `count_max` payments as released, in slot order per account; they may leave once that is durable.

        A payment past its validity is left for a proof to expire, and one that chain time is not near enough for yet
        (`validity.is_timely`) for a newer proof; `take_untimely` tells which. One whose fee the edge in use does not
        take waits for another edge; `take_declined` tells which. One that names another edge than that is signed
        again first, and so is what comes after it; where the wallet is locked it leaves as it is, and the edge that it
        names has its share.
        """
        released: list[Payment] = []
        for account in list(self.pending):
            lane = self.lanes[account]
            while lane.held and not lane.blocked and lane.proved is not None:
                payment = lane.held[0]
                if (
                    len(released) >= count_max
                    or payment.seq >= lane.proved.next_seq + self._window
                    or payment.valid_until_ms <= now_ms
                    or payment.kept
                ):
                    break
                if self._must_wait(payment, lane.proved.ts_ms):
                    break
                if self.terms.fees is not None and payment.via != self.terms.payout and account in self._keys:
                    self._sign_again(lane, lane.cut(len(lane.sent)))
                    continue
                payment.reason = ""
                lane.sent.append(lane.held.popleft())
                payment.released = True
                self._touch(payment)
                released.append(payment)
            if len(released) >= count_max:
                break
            del self.pending[account]  # comes back with the next payment or proof of the account
        return released

    def chain_to(self, payment: Payment, now_ms: int) -> list[Payment]:
        """Return a payment that may be handed over, with all before it that hold a slot, in slot order.

        It cannot be executed without them. Nothing is released by this: see `hand_over`.

        Raises:
            PaymentError: it is over, is not signed, or may not leave now.
        """
        if payment.place != LIVE:
            raise PaymentError(f"payment {payment.label} is {payment.status}; only what is open can be handed over")
        lane = self.lanes.get(payment.account)
        if lane is None or lane.proved is None or not payment.raw:
            raise PaymentError(
                f"payment {payment.label} is not signed: this phone has to have proved its account once, and what it "
                "spends"
            )
        every = [*lane.sent, *lane.held]
        chain = every[: 1 + next(i for i, item in enumerate(every) if item is payment)]
        for item in chain:
            problem = self._cannot_leave(item, lane, now_ms)
            if problem:
                raise PaymentError(f"payment {item.label} cannot be handed over: {problem}")
        return chain

    def hand_over(self, chain: list[Payment]) -> None:
        """Release what `chain_to` returned, without an edge; it may leave once that is durable."""
        for item in chain:
            if not item.released:
                lane = self.lanes[item.account]
                lane.sent.append(lane.held.popleft())
                item.released, item.kept = True, False
            if item.status == QUEUED:
                item.reason = _HANDED
            self._touch(item)

    def _cannot_leave(self, payment: Payment, lane: Lane, now_ms: int) -> str:
        """Say why a payment may not be handed over; empty if it may."""
        assert lane.proved is not None
        if payment.status == REFUSED:
            return payment.reason
        if payment.valid_until_ms <= now_ms:
            return "its validity has passed"
        if payment.released:
            return ""
        if payment.seq >= lane.proved.next_seq + self._window:
            return f"more than {self._window} payments before it are not proved yet"
        if not is_timely(payment.valid_until_ms, lane.proved.ts_ms, self._validity_ms_max):
            return _UNTIMELY
        return ""

    def _must_wait(self, payment: Payment, proved_ms: int) -> bool:
        """Return whether a payment that is next has to wait, and say for what."""
        if not is_timely(payment.valid_until_ms, proved_ms, self._validity_ms_max):
            reason, waiting = _UNTIMELY, self._untimely
        elif refusal := self.terms.refusal(payment.fee_asset, payment.fee):
            reason, waiting = _DECLINED + refusal, self._declined
        else:
            return False
        waiting.append(payment)
        if payment.reason != reason:
            payment.reason = reason
            self._touch(payment, write=False)
        return True

    def take_untimely(self) -> list[Payment]:
        """Return and forget the payments that a newer proof of chain time is needed for."""
        found, self._untimely = self._untimely, []
        return found

    def take_declined(self) -> list[Payment]:
        """Return and forget the payments that wait for an edge that takes their fee."""
        found, self._declined = self._declined, []
        return found
