"""Quick-verify: what an edge checks before it accepts a transaction (architecture.md 3).

Cheap checks come first: form and chain, then accounts nobody may use, then what the proof cache knows, then the fee,
then the peer's rate and the room left, and the signature last. Signatures are checked at most `CHECK_MAX` in one step,
of each peer in turn, so that no peer's flood keeps the others waiting.

A refusal by the cache must be right, because a phone may take it for its payment's fate. So only a proof that is
current is used, and only for what it shows for certain: the slot was filled by another transaction, or the sender does
not own what it spends of an asset. A slot further back could have been filled by this very transaction; that is the
miner's to say. The fee is looked at after that, so that what was executed under other terms is not refused for them.

A check, a write, an answer and a message to a miner cost the same for one transaction and for many. So the first one is
checked at once, and those that come within 50 ms of a check wait for each other, unless they fill one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from supervm.common.contract.core import Outbox, PeerDown, PeerUp
from supervm.common.parts.costs import TRANSACTION
from supervm.common.parts.manners import Manners
from supervm.common.parts.part import Part
from supervm.common.parts.policy.policy import OPEN, Policy
from supervm.protocol.base.codec import INT_MAX
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.money.transaction import SignedTransaction, parse_transaction, signature_items, transaction_id
from supervm.protocol.money.transfer import Transfer
from supervm.protocol.state.account import POOL_ACCOUNTS, Account
from supervm.protocol.state.leaves import write_asset
from supervm.protocol.wire.payments import LEVEL_EXPIRED, LEVEL_R3, Submit

from ..options import TRANSACTION_OPTIONS
from ..proofs.proofs import Proofs
from ..relay.fees import Fees
from ..relay.relay import Relay
from ..relay.routes import Routes
from .news import BUSY, CLOCK, News

CHECK_MAX = 64
"""Most signatures in one step (decisions.md, `up`)."""
CHECK_INTERVAL_US = 50_000
"""Least time between two checks, of which the second is not full."""
UNCHECKED_MAX = 32_768
"""Most transactions of all peers that wait for their signature check."""
CLOCK_OFFSET_MS_MAX = 30_000
"""Beyond it a peer gets only headers and proofs."""
BAD_SIGNATURE_PENALTY = 20
"""Points for a transaction whose signature is not its sender's."""

Blame = Callable[[int, bytes, RemoteProtocolError], None]


class Intake(Part):
    """Submitted transactions: checks them and hands the good ones to the relay.

    Args:
        outbox: where signature checks are asked for.
        news: where refusals go.
        relay: where good transactions go, and how many it has room for.
        proofs: what is known of accounts.
        routes: who is no client.
        fees: which are taken.
        manners: how many transactions a peer may submit.
        blame: told of faults that show after the message.
        chain_id: the network.
    """

    takes = frozenset({Submit})
    options = TRANSACTION_OPTIONS

    def __init__(
        self,
        outbox: Outbox,
        news: News,
        relay: Relay,
        proofs: Proofs,
        routes: Routes,
        fees: Fees,
        manners: Manners,
        blame: Blame,
        *,
        chain_id: bytes,
    ) -> None:
        self._outbox = outbox
        self._news = news
        self._relay = relay
        self._proofs = proofs
        self._routes = routes
        self._fees = fees
        self._manners = manners
        self._blame = blame
        self._chain_id = chain_id
        self._clock_offsets_ms: dict[bytes, int] = {}
        self._waiting: dict[bytes, deque[SignedTransaction]] = {}  # peer -> transactions, peers in turn
        self._waiting_count = 0
        self._checking: tuple[int, list[tuple[bytes, SignedTransaction]]] | None = None
        self._next_us = 0  # when a check that is not full may begin
        self._policy = OPEN
        self.refused: dict[str, int] = {}
        """Refusals by the edge itself, by the first word of the reason."""

    def governed(self, policy: Policy) -> None:
        """Take only what the owner allows."""
        self._policy = policy

    @property
    def deadline_us(self) -> int | None:
        """When those that wait for each other are checked."""
        return self._next_us if self._waiting and self._checking is None else None

    def tick(self, now_us: int) -> None:
        """Check what has waited long enough."""
        self._check_next(now_us)

    def peer_up(self, now_us: int, event: PeerUp) -> None:
        """Note how far a peer's clock is from ours."""
        self._clock_offsets_ms[event.peer] = event.clock_offset_ms

    def peer_down(self, now_us: int, event: PeerDown) -> None:
        """Drop what a peer that is gone has not had checked; it was told nothing about it."""
        self._clock_offsets_ms.pop(event.peer, None)
        self._waiting_count -= len(self._waiting.pop(event.peer, ()))

    def receive(self, now_us: int, peer: bytes, message: Submit) -> None:
        """Take a client's transactions.

        Raises:
            RemoteProtocolError: some of them are such as no honest program sends.
        """
        self._routes.check_client(peer, message)
        penalty = self._submit(now_us, peer, message.transactions)
        if penalty:
            raise RemoteProtocolError("transactions that no wallet makes", penalty=penalty, code="bad-transactions")

    def _submit(self, now_us: int, peer: bytes, raws: Sequence[bytes]) -> int:
        """Take transactions from a peer; return the penalty."""
        if abs(self._clock_offsets_ms.get(peer, 0)) > CLOCK_OFFSET_MS_MAX:
            for raw in raws:
                self._refuse(peer, transaction_id(raw), CLOCK)
            return 0
        granted = self._manners.take(now_us, peer, "transactions", len(raws), each=TRANSACTION)
        for raw in raws[granted:]:
            self._refuse(peer, transaction_id(raw), BUSY)
        penalty = 0
        for raw in raws[:granted]:
            try:
                self._look_at(now_us, peer, parse_transaction(raw, self._chain_id))
            except RemoteProtocolError as error:
                self._refuse(peer, transaction_id(raw), f"{error.code}: {error.reason}")
                penalty += error.penalty
        self._check_next(now_us)
        return penalty

    def _look_at(self, now_us: int, peer: bytes, transaction: SignedTransaction) -> None:
        body = transaction.body
        _check(transaction)
        if self._relay.known(now_us, peer, transaction.id):
            return
        if self._proofs.newest_header.ts_ms > body.valid_until_ms:
            self._news.tell(peer, transaction.id, LEVEL_EXPIRED, "its validity has passed")
            return
        known = self._proofs.current.account(now_us, body.sender)
        if known is not None and known.head == transaction.id:
            self._news.tell(peer, transaction.id, LEVEL_R3)
            return
        reason = (None if known is None else self._misfit(now_us, transaction, known)) or self._fees.refusal(body)
        if reason is not None:
            self._refuse(peer, transaction.id, reason)
            return
        waiting = self._waiting.get(peer)
        queued = 0 if waiting is None else len(waiting)
        if self._relay.room(peer) <= queued or self._waiting_count >= UNCHECKED_MAX:
            self._refuse(peer, transaction.id, BUSY)
            return
        if waiting is None:
            waiting = self._waiting[peer] = deque()
        waiting.append(transaction)
        self._waiting_count += 1

    def _misfit(self, now_us: int, transaction: SignedTransaction, known: Account) -> str | None:
        """Return why a transaction can never be executed, seen from what is certain of its sender; None if it may."""
        body = transaction.body
        if known.next_seq == body.seq + 1:
            return "slot used: another transaction of the sender has this number"
        if known.next_seq == body.seq:
            for asset, debit in transaction.debits:
                owned = self._proofs.current.holding(now_us, body.sender, asset) if asset else known.balance
                if owned is not None and owned < debit:
                    return f"overdraft: {debit} of {write_asset(asset)} would be spent, the balance is {owned}"
        return None

    def work_done(self, now_us: int, token: int, result: Iterable[bool]) -> bool:
        """Take the answer of a signature check."""
        if self._checking is None or self._checking[0] != token:
            return False
        _, checked = self._checking
        self._checking = None
        bad: dict[bytes, int] = {}
        for (peer, transaction), good in zip(checked, result, strict=True):
            if not good:
                bad[peer] = bad.get(peer, 0) + 1
                self._refuse(peer, transaction.id, "bad signature: it is not the sender's")
            elif not self._relay.known(now_us, peer, transaction.id):
                self._accept(now_us, peer, transaction)
        self._check_next(now_us)
        for peer, count in bad.items():
            reason = f"{count} transactions with signatures that are not their senders'"
            penalty = BAD_SIGNATURE_PENALTY * count
            self._blame(now_us, peer, RemoteProtocolError(reason, penalty=penalty, code="bad-signature"))
        return True

    def _accept(self, now_us: int, peer: bytes, transaction: SignedTransaction) -> None:
        """Take a transaction that is as it should be, if there is room and the owner allows it.

        The owner's rules come last: what is no payment must not use up what they grant.
        """
        if self._relay.room(peer) <= 0:
            self._refuse(peer, transaction.id, BUSY)
            return
        decided = self._policy.write(now_us, is_reachable=bool(self._routes.up))
        if decided.goes_on:
            self._relay.accept(peer, transaction)
        else:
            self._refuse(peer, transaction.id, decided.refusal)

    def _check_next(self, now_us: int) -> None:
        if self._checking is not None or not self._waiting:
            return
        if self._waiting_count < CHECK_MAX and now_us < self._next_us:
            return
        self._next_us = now_us + CHECK_INTERVAL_US
        part: list[tuple[bytes, SignedTransaction]] = []
        while self._waiting and len(part) < CHECK_MAX:
            peer = next(iter(self._waiting))
            waiting = self._waiting.pop(peer)
            part.append((peer, waiting.popleft()))
            if waiting:
                self._waiting[peer] = waiting  # back to the end: the next peer's turn
        self._waiting_count -= len(part)
        items = signature_items([transaction for _, transaction in part])
        self._checking = (self._outbox.verify(b"", items), part)

    def _refuse(self, peer: bytes, identity: bytes, reason: str) -> None:
        word = reason.partition(":")[0]
        self.refused[word] = self.refused.get(word, 0) + 1
        self._news.refuse(peer, identity, reason)


def _check(transaction: SignedTransaction) -> None:
    """Raise `RemoteProtocolError` for what no state of the chain allows."""
    body = transaction.body
    if body.sender in POOL_ACCOUNTS or (isinstance(body, Transfer) and body.to in POOL_ACCOUNTS):
        raise RemoteProtocolError("a pool of the protocol neither pays nor is paid", code="pool")
    if any(debit > INT_MAX for _, debit in transaction.debits):
        raise RemoteProtocolError("amount and fee sum to more money than there is", code="overdraft")
