"""The accounts of the load: their keys, and the payments that each has signed, one behind the other.

A payment names the one before it of the same account, so an account's payments are signed in the order in which they
are sent. They are signed before a step begins, not while it runs: ten thousand phones sign on ten thousand machines.
What was signed and not sent is taken back (`unsend`), so that the account goes on behind what the network has seen.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.money.transaction import sign_transfer
from supervm.protocol.state.account import FLAG_FAILED, Account

from ...errors import CommonError

AMOUNT_MAX = 1_000_000
FEE_MAX = 2_000
VALIDITY_MS = 3_600_000


@dataclass(slots=True, eq=False)
class Payment:
    """One payment; times are of the clock of the load, in seconds.

    Attributes:
        owner: the account that pays.
        seq: its number there.
        id: of the transaction.
        raw: its signed bytes.
        prev: id of the account's payment before it.
        due_s: when it was to be sent.
        sent_s: when it was sent last.
        level: what the edge has said of it last; -1: nothing.
        proved_s: when its account was proved to have executed it; 0: not yet.
    """

    owner: Owner
    seq: int
    id: bytes
    raw: bytes
    prev: bytes
    due_s: float = 0.0
    sent_s: float = 0.0
    level: int = -1
    proved_s: float = 0.0


@dataclass(slots=True, eq=False)
class Owner:
    """One account of the load.

    Attributes:
        key: signs.
        client: number of the connection that it uses.
        seq: of its next payment.
        head: id of its last payment.
        open: payments that were sent and are not proved, in their order.
    """

    key: SigningKey
    client: int
    seq: int = 0
    head: bytes = ZERO_HASH
    open: deque[Payment] = field(default_factory=deque)

    @property
    def account(self) -> bytes:
        """Its id."""
        return self.key.public

    def prove(self, state: Account, now_s: float) -> list[Payment]:
        """Take what is proved of the account; return the payments that it shows to be executed.

        Raises:
            CommonError: the account has executed what was not signed here, or failed to execute what was.
        """
        if state.flags & FLAG_FAILED:
            raise CommonError("a payment of the load failed at execution, which needs more than f faults")
        done = []
        while self.open and self.open[0].seq < state.next_seq:
            payment = self.open.popleft()
            payment.proved_s = now_s
            done.append(payment)
        if done and done[-1].seq == state.next_seq - 1 and done[-1].id != state.head:
            raise CommonError("an account of the load has executed a payment that was not signed here")
        return done


class Owners:
    """All accounts of the load.

    Args:
        count: how many.
        clients: over how many connections they are spread.
        seed: of the keys and of who pays whom.
    """

    def __init__(self, count: int, clients: int, seed: int) -> None:
        self._rng = random.Random(seed)  # noqa: S311 - keys of a network that lasts minutes, and a workload
        self.all = [Owner(SigningKey(self._rng.randbytes(32)), number % clients) for number in range(count)]
        self.by_account = {owner.account: owner for owner in self.all}

    def of_client(self, client: int) -> list[Owner]:
        """Return the accounts that use a connection."""
        return [owner for owner in self.all if owner.client == client]

    def sign(self, count: int, *, chain_id: bytes, via: bytes, now_ms: int) -> list[Payment]:
        """Sign payments between accounts drawn at random.

        Args:
            count: how many.
            chain_id: the network.
            via: account of the edge that carries them.
            now_ms: the time, Unix ms.
        """
        draw, pick = self._rng.randrange, self._rng.sample
        payments = []
        for _ in range(count):
            owner, payee = pick(self.all, 2)
            made = sign_transfer(
                owner.key,
                chain_id=chain_id,
                seq=owner.seq,
                prev=owner.head,
                to=payee.account,
                amount=draw(1, AMOUNT_MAX),
                fee=draw(1, FEE_MAX),
                valid_until_ms=now_ms + VALIDITY_MS,
                via=via,
            )
            payments.append(Payment(owner, owner.seq, made.id, made.raw, owner.head))
            owner.seq, owner.head = owner.seq + 1, made.id
        return payments

    @staticmethod
    def unsend(payments: Sequence[Payment]) -> None:
        """Take back payments that were signed last and never sent."""
        for payment in reversed(payments):
            payment.owner.seq, payment.owner.head = payment.seq, payment.prev

    def open(self) -> Iterable[Payment]:
        """Return what was sent and is not proved."""
        return (payment for owner in self.all for payment in owner.open)
