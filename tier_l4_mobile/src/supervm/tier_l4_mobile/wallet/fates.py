"""What becomes of payments: the chains of slots that they hold, what is heard of them, and what that makes of them.

`queue` says by which rules; here are those about what is heard. Everything an edge merely claims (R0, R1, R3, refused)
changes what is shown, never which slots are used. What is proved - an account's head and `next_seq` under a certified
header, or a receipt - decides every fate but `cancelled` and a refusal. A payment that loses its slot without ever
having left is signed again at the end of its account's chain.

Before an account is proved for the first time its payments wait unsigned; the first proof signs them in order. The same
goes for a payment in an asset of which nothing is proved yet: `holdings` says what a proof is needed of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from supervm.common.contract.records import Reader
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.chain.checkpoint import CheckpointHeader
from supervm.protocol.light.client import CLOCK_DRIFT_MS_MAX, ProvedAccount
from supervm.protocol.wire.payments import LEVEL_R0, LEVEL_R1, LEVEL_R3, LEVEL_REFUSED

from ..tables import (
    ELSEWHERE,
    FORMER_IDS,
    OWN_ACCOUNTS,
    PROVED,
    ElsewhereRow,
    FormerIdRow,
    OwnAccountRow,
    ProvedRow,
)
from .holdings import Holdings
from .income import Incomes
from .lane import Doubt, Lane, Proved
from .log import PaymentLog
from .payments import (
    AWAITING,
    EXECUTED,
    EXPIRED,
    FAILED,
    FATES,
    LIVE,
    PROGRESS,
    R0,
    R1,
    R3,
    REFUSED,
    Payment,
    printable,
)
from .signing import sign_payment
from .stored import check_open, check_proved
from .terms import UNKNOWN_TERMS, Terms

_STATUS_OF_LEVEL = {LEVEL_R0: R0, LEVEL_R1: R1, LEVEL_R3: R3}
_DEAD = "a payment before it can no longer execute, so this one never can"
_TAKEN = "its slot was used by a transaction that is not in this wallet's log: another device holds the same words"
_LOCKED = "it waits to be signed until the wallet is unlocked"
_UNKNOWN = "its slot is used; only its receipt can tell whether by this payment"


class PaymentFates(PaymentLog):
    """Payments in the chains of their accounts, with their signatures, and what is heard of them.

    Args:
        chain_id: the network.
        keys: account id -> key; none while the wallet is locked: the accounts are then those it had when it was open.
        reader: what is durable.

    Raises:
        LocalProtocolError: what is durable is not what was written.
    """

    def __init__(self, chain_id: bytes, keys: Mapping[bytes, SigningKey], reader: Reader) -> None:
        super().__init__(reader)
        check_open(self.payments.values(), chain_id)
        self._chain_id = chain_id
        self._reader = reader
        self._keys = keys
        known = list(keys) or [row.account for row in OWN_ACCOUNTS.rows(reader)]
        self.lanes = {account: Lane(account) for account in known}
        """Account id -> lane, in the order of the keys."""
        self.awaiting: dict[bytes, Payment] = {}
        """Transaction id -> payment whose receipt must tell its fate."""
        self.pending: dict[bytes, None] = {}
        """Accounts whose next payment may be ready to be released, in order."""
        self.incomes = Incomes(reader, lambda record: self._records.append(record))
        self.holdings = Holdings(self.lanes, reader, lambda record: self._records.append(record))
        """What is proved of other assets than the native one, and what a proof is needed of."""
        self.terms: Terms = UNKNOWN_TERMS
        """Of the edge that payments are signed for."""
        self.elsewhere = {row.account: row for row in ELSEWHERE.rows(reader)}
        """Account id -> what a proof last showed of another device that pays from it."""
        self._new_elsewhere: list[ElsewhereRow] = []
        self._new_awaiting: list[Payment] = []
        self.awaiting.update((payment.id, payment) for payment in self.payments.values() if payment.place == AWAITING)
        self._load(self.lanes)

    def _load(self, lanes: Mapping[bytes, Lane]) -> None:
        """Put into these lanes what is on disk of them."""
        for row in PROVED.rows(self._reader):
            if row.account in lanes:
                proved = Proved(row.balance, row.next_seq, row.head, row.flags, row.height, row.ts_ms)
                check_proved(proved)
                lanes[row.account].proved = proved
        chains: dict[bytes, list[Payment]] = {}
        for payment in self.payments.values():
            if payment.place == LIVE and payment.account in lanes:
                chains.setdefault(payment.account, []).append(payment)
        for account, chain in chains.items():
            lane = lanes[account]
            # by slot; rows that wait unsigned come last, in the order they were asked for
            for payment in sorted(chain, key=lambda item: (not item.raw, item.seq, item.number)):
                lane.append(payment)
                self.holdings.want(lane, payment.debits)
            self.pending[account] = None

    # --- the wallet's lock -------------------------------------------------------------------------------------------

    @property
    def is_locked(self) -> bool:
        """Whether nothing can be signed."""
        return not self._keys

    def keep_accounts(self) -> None:
        """Write which accounts the open wallet has, where that is not known yet."""
        known = [row.account for row in OWN_ACCOUNTS.rows(self._reader)]
        for number, account in enumerate(self._keys):
            if known[number : number + 1] != [account]:
                self._records.append(OWN_ACCOUNTS.put(OwnAccountRow(number, account)))
        self._records.extend(OWN_ACCOUNTS.delete(number) for number in range(len(self._keys), len(known)))

    def open(self, keys: Mapping[bytes, SigningKey]) -> list[bytes]:
        """Sign from now on, first what waits for it; return the accounts that were not known before."""
        fresh = {account: Lane(account) for account in keys if account not in self.lanes}
        self._keys = keys
        self.keep_accounts()
        self.lanes.update(fresh)
        self.holdings.load(fresh, self._reader)
        self._load(fresh)
        for lane in self.lanes.values():
            if lane.account in keys:
                self._sign_again(lane, lane.take_signable())
        return list(fresh)

    def lock(self) -> None:
        """Let the keys go; what is signed goes on its way."""
        self._keys = {}

    # --- what is heard -----------------------------------------------------------------------------------------------

    def claim(self, transaction_id: bytes, level: int, reason: str, now_us: int) -> Payment | None:
        """Take an edge's word on a transaction; return the payment if that said anything new."""
        payment = self._by_id.get(transaction_id)
        if payment is None or payment.id != transaction_id or payment.place != LIVE or not payment.released:
            return None
        if level == LEVEL_REFUSED:
            return self._claim_refused(payment, reason, now_us)
        status = _STATUS_OF_LEVEL.get(level)
        if status is None or payment.status in FATES or PROGRESS[status] <= PROGRESS[payment.status]:
            return None
        payment.reached(status, now_us)
        payment.reason = ""
        self._touch(payment, write=False)
        return payment

    def may_run(self, transaction_id: bytes, now_us: int) -> bool:
        """Return whether a released payment is the next of its account, and valid, for all that is known here."""
        payment = self._by_id.get(transaction_id)
        if payment is None or payment.id != transaction_id or payment.place != LIVE or not payment.released:
            return False
        proved = self.lanes[payment.account].proved
        is_next = proved is not None and payment.seq == proved.next_seq
        return is_next and PROGRESS.get(payment.status, 0) < PROGRESS[R1] and payment.valid_until_ms * 1000 > now_us

    def _claim_refused(self, payment: Payment, reason: str, now_us: int) -> Payment | None:
        lane = self.lanes[payment.account]
        if payment.status == REFUSED or PROGRESS[payment.status] >= PROGRESS[R1]:
            return None
        payment.reason = f"an edge refused it: {printable(reason)}"
        self._touch(payment, write=False)
        # Behind another payment a refusal only says "not yet"; at the front it counts once a newer proof shows that
        # the slot was not filled meanwhile.
        if lane.proved is not None and payment.seq == lane.proved.next_seq and lane.doubt is None:
            lane.doubt = Doubt(payment, payment.reason, now_us // 1000 + CLOCK_DRIFT_MS_MAX)
        return payment

    def prove(self, account: bytes, proof: ProvedAccount, now_us: int) -> bool:
        """Take a checked proof of an own account; return whether it was newer than what was known.

        Every fate but `cancelled` and a refusal is decided here.
        """
        lane = self.lanes[account]
        new, old = Proved.of(proof), lane.proved
        if old is not None and (new.height < old.height or new.next_seq < old.next_seq):
            return False
        lane.proved = new
        self.incomes.note(lane, old, new)
        if old is not None and new.next_seq > old.next_seq and self.get_by_id(new.head) is None:
            self._found_elsewhere(lane, new)
        if old is None or (old.balance, old.next_seq, old.head, old.flags) != (
            new.balance,
            new.next_seq,
            new.head,
            new.flags,
        ):
            row = ProvedRow(account, new.balance, new.next_seq, new.head, new.flags, new.height, new.ts_ms)
            self._records.append(PROVED.put(row))
        if old is None:
            self.holdings.forget(lane, new.height)
            self._replace(lane, lane.cut(0), _TAKEN)
        else:
            if lane.first is None and new.next_seq != old.next_seq:
                self.holdings.forget(lane, new.height)
            self._consume(lane, new, now_us)
            self._settle_doubt(lane, new)
            if lane.expires_ms is not None and lane.expires_ms < new.ts_ms:
                self._expire(lane, new)
        if lane.held:
            self.pending[account] = None
        return True

    def prove_holding(self, account: bytes, asset: bytes, amount: int, header: CheckpointHeader) -> bool:
        """Take a checked proof of what an own account has of an asset; return whether it was newer than what was known.

        Payments that waited for it are signed, or refused if it is not enough.
        """
        lane = self.lanes[account]
        known = lane.holdings.get(asset)
        if not self.holdings.take(lane, asset, amount, header):
            return False
        if account in self._keys:
            self._sign_again(lane, lane.take_signable())
        return known is None or known.height < header.height

    def receipt(self, transaction_id: bytes, *, executed: bool, now_us: int) -> Payment | None:
        """Take a checked receipt; return the payment whose fate it told."""
        payment = self.awaiting.pop(transaction_id, None)
        if payment is not None:
            self._finish(payment, EXECUTED if executed else FAILED, now_us)
        return payment

    def _consume(self, lane: Lane, proved: Proved, now_us: int) -> None:
        first = lane.first
        if first is None or first.seq > proved.next_seq:
            return
        passed = proved.next_seq - first.seq
        if passed:
            lane.progress_us = now_us
        if passed == 0:
            if first.prev != proved.head:
                self._replace(lane, lane.cut(0), _TAKEN)
            return
        head = self._by_id.get(proved.head)
        if (
            head is not None
            and head.id == proved.head
            and head.place == LIVE
            and head.account == lane.account
            and head.seq == proved.next_seq - 1
        ):
            # The proved head names its predecessor, and so on: the whole chain up to it was executed.
            for _ in range(passed):
                payment = lane.pop_first()
                self.holdings.spend(lane, payment.debits, proved.height)
                if proved.may_have_failed:
                    self._await_receipt(payment)
                else:
                    self._finish(payment, EXECUTED, now_us)
            return
        # Another device used slots of this account. The slot below the head is certainly not ours; what lies below it
        # may be, and only a receipt can tell.
        self.holdings.forget(lane, proved.height)
        dead: list[Payment] = []
        for payment in lane.cut(0):
            if payment.released and payment.seq < proved.next_seq - 1:
                self._await_receipt(payment)
            else:
                dead.append(payment)
        self._replace(lane, dead, _TAKEN)

    def _found_elsewhere(self, lane: Lane, proved: Proved) -> None:
        """Note that the head of an account is no payment of this log."""
        row = ElsewhereRow(lane.account, proved.next_seq, proved.height, proved.ts_ms)
        self.elsewhere[lane.account] = row
        self._new_elsewhere.append(row)
        self._records.append(ELSEWHERE.put(row))

    def take_elsewhere(self) -> list[ElsewhereRow]:
        """Return and forget the accounts that were newly found to be used by another device."""
        fresh, self._new_elsewhere = self._new_elsewhere, []
        return fresh

    def _settle_doubt(self, lane: Lane, proved: Proved) -> None:
        doubt = lane.doubt
        if doubt is None:
            return
        payment = doubt.payment
        if payment.place != LIVE or payment.status in (R1, R3):
            lane.doubt = None
        elif proved.ts_ms >= doubt.ts_ms:
            lane.doubt = None
            payment.reached(REFUSED, 0)
            payment.reason = doubt.reason
            self._touch(payment)

    def _expire(self, lane: Lane, proved: Proved) -> None:
        every = lane.all
        place = next((i for i, item in enumerate(every) if item.valid_until_ms < proved.ts_ms), None)
        if place is None:
            lane.expires_ms = min((item.valid_until_ms for item in every), default=None)
        else:
            self._replace(lane, lane.cut(place), _DEAD)

    def _replace(self, lane: Lane, payments: list[Payment], reason: str) -> None:
        """Settle payments taken out of the chain that can never execute as signed, for `reason`.

        Those past their validity expire; released ones are over too; the others are signed again.
        """
        assert lane.proved is not None
        again: list[Payment] = []
        for payment in payments:
            if payment.valid_until_ms < lane.proved.ts_ms:
                self._close(payment, EXPIRED, "its validity passed before it was executed")
            elif payment.released:
                self._close(payment, EXPIRED, reason)
            else:
                again.append(payment)
        self._sign_again(lane, again)

    def _await_receipt(self, payment: Payment) -> None:
        payment.place = AWAITING
        payment.reason = _UNKNOWN
        self.awaiting[payment.id] = payment
        self._new_awaiting.append(payment)
        self._touch(payment)

    def take_awaiting(self) -> list[Payment]:
        """Return and forget the payments that began to wait for their receipts."""
        fresh, self._new_awaiting = self._new_awaiting, []
        return fresh

    # --- signing and writing -----------------------------------------------------------------------------------------

    def _append(self, lane: Lane, payment: Payment) -> None:
        key = self._keys.get(lane.account)
        if key is not None and lane.knows(payment.debits):
            payment.seq, payment.prev = lane.slot
            payment.via = self.terms.payout
            payment.reason = "" if payment.reason == _LOCKED else payment.reason
            signed = sign_payment(key, self._chain_id, payment)
            payment.id, payment.raw = signed.id, signed.raw
            self._by_id[signed.id] = payment
        else:
            payment.seq, payment.prev, payment.via, payment.id, payment.raw = 0, ZERO_HASH, b"", b"", b""
            payment.reason = payment.reason if key is not None else _LOCKED
            self.holdings.want(lane, payment.debits)
        lane.append(payment)
        self.pending[lane.account] = None
        self._touch(payment)

    def _sign_again(self, lane: Lane, payments: list[Payment]) -> None:
        """Put payments that were never released at the end of the chain, each signed for its new slot."""
        for payment in payments:
            assert not payment.released
            problem = lane.overdraft(payment.debits)
            if payment.id:
                self._records.append(FORMER_IDS.put(FormerIdRow(payment.id, payment.number)))
                self._former.setdefault(payment.number, []).append(payment.id)
            else:  # an edge that comes later is another matter: see `release`
                problem = problem or self.terms.refusal(payment.fee_asset, payment.fee)
            if problem:
                self._close(payment, REFUSED, problem)
            else:
                self._append(lane, payment)

    def open_payments(self) -> Iterator[Payment]:
        """Yield the payments that are not over, account by account in slot order."""
        for lane in self.lanes.values():
            yield from lane.all
