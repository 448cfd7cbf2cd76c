"""The chain of one account's payments that still hold a slot, and what is proved about the account.

A lane is the payments of one account in slot order: first `sent`, whose bytes may have left the phone, then `held`,
which nobody else has seen. Each names the one before as its predecessor, and the first names the account's proved head.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from supervm.protocol.light.client import ProvedAccount
from supervm.protocol.state.account import FLAG_FAILED

from .payments import REFUSED, Payment


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
        debit: grain that the chain takes in all.
        doubt: a refusal that is not believed yet.
        expires_ms: a lower bound of the chain's validities, None for an empty chain.
        progress_us: when a proof last showed that slots of the chain were used.
    """

    account: bytes
    proved: Proved | None = None
    sent: deque[Payment] = field(default_factory=deque)
    held: deque[Payment] = field(default_factory=deque)
    debit: int = 0
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
    def available(self) -> int:
        """Grain that may still be promised: the proved balance less the chain's debits; 0 before the first proof."""
        return 0 if self.proved is None else self.proved.balance - self.debit

    @property
    def blocked(self) -> bool:
        """Whether a refused payment at the front holds back the ones behind it (decisions.md, Transactions)."""
        return bool(self.sent) and self.sent[0].status == REFUSED

    def overdraft(self, debit: int) -> str:
        """Say why `debit` grain are too much; the account must be proved."""
        assert self.proved is not None
        return (
            f"overdraft: it needs {debit} grain, {max(0, self.available)} are free ({self.proved.balance} proved at "
            f"height {self.proved.height}, {self.debit} of them in payments on their way; income counts once it is "
            "proved)"
        )

    def append(self, payment: Payment) -> None:
        """Put a payment at the end of the chain."""
        (self.sent if payment.released else self.held).append(payment)
        self.debit += payment.debit
        if self.expires_ms is None or payment.valid_until_ms < self.expires_ms:
            self.expires_ms = payment.valid_until_ms

    def pop_first(self) -> Payment:
        """Take the first payment out."""
        payment = self.sent.popleft() if self.sent else self.held.popleft()
        self.debit -= payment.debit
        return payment

    def cut(self, place: int) -> list[Payment]:
        """Take out and return the payments from the one at `place` on (0: all), and recompute what follows."""
        chain = [*self.sent, *self.held]
        kept, removed = chain[:place], chain[place:]
        self.sent, self.held = deque(), deque()
        self.debit, self.expires_ms = 0, None
        for payment in kept:
            self.append(payment)
        return removed
