"""The chain of one account's payments that still hold a slot, and what is proved about the account.

A lane is the payments of one account in slot order: first `sent`, whose bytes may have left the phone, then `held`,
which nobody else has seen. Each names the one before as its predecessor, and the first names the account's proved head.
Payments that wait for a proof of what they would spend are `unsigned`: they have no slot, so they hold up no other.

Theory of operation of the balances. The native balance stands in the account's leaf beside `next_seq`, so it is always
of the same block as the chain. A holding is a leaf of its own and may have been proved earlier than the account was.
What this account has sent between the two proofs is then missing from it, so that much is kept as `spent` until a newer
proof of the holding comes. Others can only have added to it. What another device has sent is not known here: then the
holding is forgotten and asked for again. So what is called available is never more than there is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from supervm.protocol.light.client import ProvedAccount
from supervm.protocol.money.transaction import Debits
from supervm.protocol.state.account import FLAG_FAILED

from .payments import REFUSED, Payment, in_words

HOLDINGS_MAX: Final = 256
"""Assets of one account that are kept unasked: anybody can send an account a thousand of them."""


@dataclass(frozen=True, slots=True)
class Proved:
    """An own account as last proved: its leaf, and the height and chain time of the header it was proved under."""

    balance: int
    next_seq: int
    head: bytes
    flags: int
    height: int
    ts_ms: int

    @classmethod
    def of(cls, proof: ProvedAccount) -> Proved:
        """Return what a checked proof says."""
        return cls(*proof.account, proof.header.height, proof.header.ts_ms)

    @property
    def may_have_failed(self) -> bool:
        """Whether a transaction of this account ever failed, so that only receipts tell which (consensus.md 3.5)."""
        return bool(self.flags & FLAG_FAILED)


@dataclass(frozen=True, slots=True)
class Holding:
    """What an own account has of an asset, as last proved.

    Attributes:
        amount: what the proof says.
        spent: at most so much of it went with own payments that were executed after that proof.
        height: of the header that it was proved under.
        ts_ms: its chain time.
    """

    amount: int
    spent: int
    height: int
    ts_ms: int


@dataclass(slots=True)
class Doubt:
    """An edge's refusal that is believed only when a header of `ts_ms` or later shows the slot still free.

    Without this rule the refusal of a transaction that has executed meanwhile would look like the refusal of a payment.
    """

    payment: Payment
    reason: str
    ts_ms: int


@dataclass(slots=True)
class Lane:
    """One account.

    Attributes:
        account: its id.
        proved: what was proved last, or None before the first proof.
        sent, held: the chain.
        unsigned: payments that get a slot once what they spend is proved, in the order they were asked for.
        debits: asset -> what all payments here take of it.
        holdings: asset -> what was proved of it last; the native one is in `proved`.
        doubt: a refusal that is not believed yet.
        expires_ms: a lower bound of the chain's validities, None for an empty chain.
        progress_us: when a proof last showed that slots of the chain were used.
    """

    account: bytes
    proved: Proved | None = None
    sent: deque[Payment] = field(default_factory=deque)
    held: deque[Payment] = field(default_factory=deque)
    unsigned: deque[Payment] = field(default_factory=deque)
    debits: dict[bytes, int] = field(default_factory=dict)
    holdings: dict[bytes, Holding] = field(default_factory=dict)
    doubt: Doubt | None = None
    expires_ms: int | None = None
    progress_us: int = 0

    @property
    def first(self) -> Payment | None:
        """The payment whose slot comes next."""
        return self.sent[0] if self.sent else self.held[0] if self.held else None

    @property
    def slot(self) -> tuple[int, bytes]:
        """The slot after the chain: (seq, prev). The account must be proved."""
        tail = self.held[-1] if self.held else self.sent[-1] if self.sent else None
        if tail is not None:
            return tail.seq + 1, tail.id
        assert self.proved is not None
        return self.proved.next_seq, self.proved.head

    @property
    def all(self) -> list[Payment]:
        """Every payment, those with a slot first."""
        return [*self.sent, *self.held, *self.unsigned]

    @property
    def blocked(self) -> bool:
        """Whether a refused payment at the front holds back the ones behind it (decisions.md, Transactions)."""
        return bool(self.sent) and self.sent[0].status == REFUSED

    # --- payments ----------------------------------------------------------------------------------------------------

    def append(self, payment: Payment) -> None:
        """Put a payment at the end of those like it."""
        (self.sent if payment.released else self.held if payment.raw else self.unsigned).append(payment)
        for asset, debit in payment.debits:
            self.debits[asset] = self.debits.get(asset, 0) + debit
        if self.expires_ms is None or payment.valid_until_ms < self.expires_ms:
            self.expires_ms = payment.valid_until_ms

    def pop_first(self) -> Payment:
        """Take the first payment out."""
        payment = self.sent.popleft() if self.sent else self.held.popleft()
        self._no_debit(payment)
        return payment

    def cut(self, place: int) -> list[Payment]:
        """Take out and return the payments from the one at `place` of `all` on (0: all), and recompute what follows."""
        every = self.all
        kept, removed = every[:place], every[place:]
        self.sent, self.held, self.unsigned = deque(), deque(), deque()
        self.debits, self.expires_ms = {}, None
        for payment in kept:
            self.append(payment)
        return removed

    def take_signable(self) -> list[Payment]:
        """Take out and return the unsigned payments whose assets are all proved by now."""
        found = [payment for payment in self.unsigned if self.knows(payment.debits)]
        if found:
            self.unsigned = deque(payment for payment in self.unsigned if not self.knows(payment.debits))
            for payment in found:
                self._no_debit(payment)
        return found

    def _no_debit(self, payment: Payment) -> None:
        for asset, debit in payment.debits:
            self.debits[asset] -= debit
            if not self.debits[asset]:
                del self.debits[asset]

    # --- balances ----------------------------------------------------------------------------------------------------

    def balance(self, asset: bytes) -> int | None:
        """Return what was proved of an asset last, or None if nothing was."""
        if asset:
            holding = self.holdings.get(asset)
            return None if holding is None else holding.amount
        return None if self.proved is None else self.proved.balance

    def available(self, asset: bytes) -> int:
        """Return what may still be promised: the proved balance less all debits; 0 before the first proof."""
        balance = self.balance(asset)
        return 0 if balance is None else balance - self._promised(asset)

    def _promised(self, asset: bytes) -> int:
        holding = self.holdings.get(asset)
        return self.debits.get(asset, 0) + (0 if holding is None else holding.spent)

    def knows(self, debits: Debits) -> bool:
        """Return whether the account and all that would be taken of it are proved."""
        return self.proved is not None and all(not asset or asset in self.holdings for asset, _ in debits)

    def overdraft(self, debits: Debits) -> str:
        """Say why debits are too much for what is proved; empty if they are not, or where nothing is proved yet."""
        for asset, debit in debits:
            balance = self.balance(asset)
            if balance is None or debit <= self.available(asset):
                continue
            proof = self.holdings[asset] if asset else self.proved
            assert proof is not None
            return (
                f"overdraft: it needs {in_words(debit, asset)}, {max(0, self.available(asset))} are free ({balance} "
                f"proved at height {proof.height}, {self._promised(asset)} of them in payments on their way; income "
                "counts once it is proved)"
            )
        return ""

    def hold(self, asset: bytes, holding: Holding) -> bool:
        """Take what is proved of an asset; return whether that says anything new.

        An asset that no payment here is about is kept only if the account has any of it, and at most `HOLDINGS_MAX`
        of them are.
        """
        before = self.holdings.get(asset)
        if before is None and asset not in self.debits and (not holding.amount or len(self.holdings) >= HOLDINGS_MAX):
            return False
        self.holdings[asset] = holding
        return before is None or (before.amount, before.spent) != (holding.amount, holding.spent)

    def spend(self, debits: Debits, height: int) -> Iterator[bytes]:
        """Note that an own payment was executed by `height`; yield the assets whose proof is older."""
        for asset, debit in debits:
            holding = self.holdings.get(asset)
            if holding is not None and holding.height < height:
                self.holdings[asset] = replace(holding, spent=holding.spent + debit)
                yield asset

    def forget(self, height: int) -> list[bytes]:
        """Forget what was proved of assets below `height`; return these assets."""
        found = [asset for asset, holding in self.holdings.items() if holding.height < height]
        for asset in found:
            del self.holdings[asset]
        return found
