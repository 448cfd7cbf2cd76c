"""What the phone asks of an edge and how it checks the answers (consensus.md 5).

Every account proof is verified under a checkpoint that a quorum signed; an edge can be slow or stale, never believed.
Own accounts are subscribed at the active edge, which then sends a proof at once and whenever a block touches them;
other people's balances are asked for once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from supervm.common.contract.core import Outbox
from supervm.common.parts.chain_clock import age_ms
from supervm.common.parts.manners import Manners
from supervm.common.parts.part import Part
from supervm.common.parts.shell import unexpected
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.light.client import ProvedAccount, account_answer
from supervm.protocol.money.execution import STATUS_EXECUTED
from supervm.protocol.wire.chain import CheckpointMessage
from supervm.protocol.wire.fields import FORWARD_MAX
from supervm.protocol.wire.payments import AccountProofs, GetAccounts, ReceiptAnswer, Subscribe, Unsubscribe

from ..errors import PaymentError
from ..messages import Balance
from ..wallet.accounts import Accounts
from ..wallet.books import Books
from ..wallet.queue import PaymentQueue
from .trust import Trust
from .uplink import Uplink

ANSWER_US = 3_000_000
"""How long an edge may take for an account proof before it counts as silent."""
QUESTION_US_MAX = 10_000_000
"""How long a question for a balance waits in all."""


@dataclass(slots=True)
class _Question:
    ends_us: int
    asked: list[tuple[int, bool]] = field(default_factory=list)  # (command token, wants the answer's bytes)


class Sync(Part):
    """Proofs of accounts and receipts, and the balances that the owner asks for.

    Args:
        outbox: where effects go.
        queue: takes what is proved of own accounts.
        accounts: whom the owner means, and which addresses to print.
        trust: the light client that verifies, and whose fault it is if that fails.
        uplink: the edge.
        books: takes the answers for the owner.
        manners: gives back what proofs cost that were news.
        problems: returns what is wrong with this node, for whoever gets no proof.
    """

    # The table of directions also lets a phone unsubscribe, which the end of a link does for it, and be sent bare
    # checkpoints, which it has no use for.
    takes = frozenset({AccountProofs, ReceiptAnswer, CheckpointMessage})
    sends = frozenset({Subscribe, Unsubscribe, GetAccounts})
    answers = (Balance,)

    def __init__(
        self,
        outbox: Outbox,
        queue: PaymentQueue,
        accounts: Accounts,
        trust: Trust,
        uplink: Uplink,
        books: Books,
        manners: Manners,
        problems: Callable[[int], list[str]],
    ) -> None:
        self._outbox = outbox
        self._queue = queue
        self._accounts = accounts
        self._trust = trust
        self._client = trust.client
        self._uplink = uplink
        self._books = books
        self._manners = manners
        self._problems = problems
        self._missing: dict[bytes, None] = {}
        self._ask_again_us = 0
        self._wanted: dict[bytes, None] = {}
        self._questions: dict[bytes, _Question] = {}

    @property
    def deadline_us(self) -> int | None:
        """When `tick` has something to do."""
        times = [question.ends_us for question in self._questions.values()]
        if self._missing or self._questions:
            times.append(self._ask_again_us)
        return min(times, default=None)

    def edge_changed(self, now_us: int) -> None:
        """Subscribe all own accounts at a new edge and ask it what is still open."""
        accounts, edge = list(self._queue.lanes), self._uplink.active
        if edge is not None:
            for part in _parts(accounts):
                self._outbox.send(edge, Subscribe(part))
        self._missing = dict.fromkeys(accounts)
        self._ask_again_us = now_us + ANSWER_US
        self._wanted.update(dict.fromkeys(self._questions))

    def want(self, accounts: Iterable[bytes]) -> None:
        """Ask for proofs of `accounts` with this step's messages."""
        self._wanted.update(dict.fromkeys(accounts))

    def command(self, now_us: int, token: int, request: Balance) -> None:
        """Answer once a proof is here, or when the time for it is over, then with what is wrong."""
        try:
            account = (self._accounts.account if request.address else self._accounts.payer)(request.address)
        except (PaymentError, LocalProtocolError) as error:
            self._outbox.refuse(token, str(error))
            return
        question = self._questions.get(account)
        if question is None:
            question = self._questions[account] = _Question(now_us + QUESTION_US_MAX)
            self._ask_again_us = max(self._ask_again_us, now_us + ANSWER_US)
        question.asked.append((token, request.answer))
        if self._uplink.active is not None and self._trust.believes(now_us):
            self.want((account,))
        else:
            question.ends_us = now_us
            self.tick(now_us)

    def tick(self, now_us: int) -> None:
        """Repeat questions, complain of an edge whose proofs are overdue, and give up old questions."""
        if (self._missing or self._questions) and self._ask_again_us <= now_us:
            self._ask_again_us = now_us + ANSWER_US
            if self._uplink.active is not None and self._trust.believes(now_us):
                self.want(self._missing)
                self.want(self._questions)
                self._uplink.complain()
        for account in [key for key, question in self._questions.items() if question.ends_us <= now_us]:
            reason = self._trust.doubt(now_us) or (
                "no edge is connected" if self._uplink.active is None else "no edge answered in time"
            )
            reason = "; ".join([reason, *self._problems(now_us)])
            for token, wants_answer in self._questions.pop(account).asked:
                if wants_answer:
                    self._outbox.refuse(token, f"{reason}, so there is no proof of {self._accounts.address(account)}")
                else:
                    self._books.answer(token, self._stale_balance(account, reason, now_us))

    def settle(self, now_us: int) -> None:
        """Send this step's questions."""
        if self._uplink.active is not None:
            for part in _parts(list(self._wanted)):
                self._outbox.send(self._uplink.active, GetAccounts(part))
            self._wanted = {}

    def receive(self, now_us: int, peer: bytes, message: AccountProofs | ReceiptAnswer | CheckpointMessage) -> None:
        """Check what an edge proves.

        Raises:
            RemoteProtocolError: anything in it is wrong; what was checked before it stays.
        """
        try:
            match message:
                case AccountProofs():
                    self._proofs(now_us, peer, message)
                case ReceiptAnswer():
                    if self._receipt(message, now_us):
                        self._uplink.news(peer, now_us)
                case CheckpointMessage():
                    raise unexpected(4, message)
        except RemoteProtocolError as error:
            if not self._trust.excuses(now_us, peer, error, message):
                raise

    def _proofs(self, now_us: int, peer: bytes, message: AccountProofs) -> None:
        own, news = self._take(message, now_us)
        if own:
            self._uplink.news(peer, now_us)
            # a phone may have thousands of accounts that each block touches
            self._manners.refund(peer, message, part=news, of=len(message.proofs))
        self._uplink.report(self._client.header.height)

    def _take(self, message: AccountProofs, now_us: int) -> tuple[int, int]:
        """Check the proofs of a message and take what they say.

        Returns how many there were of own accounts, and how many of those are of a newer header than the last.
        """
        now_ms = now_us // 1000
        header = self._client.accept_checkpoint(message.checkpoint, now_ms)
        own = news = 0
        for account, proof in message.proofs:
            question = self._questions.get(account)
            if account not in self._queue.lanes and question is None:
                continue
            proved = self._client.prove_account(header, account, proof)
            if account in self._queue.lanes:
                own += 1
                known = self._queue.lanes[account].proved
                news += known is None or known.height < header.height
                self._missing.pop(account, None)
                self._queue.prove(account, proved, now_us)
            if question is not None and now_ms - header.ts_ms <= self._client.max_age_ms:
                del self._questions[account]
                for token, wants_answer in question.asked:
                    value = self._balance(account, proved, now_us)
                    if wants_answer:
                        value["answer_hex"] = account_answer(
                            message.checkpoint, account, proof, self._client.changes
                        ).hex()
                    self._books.answer(token, value)
        return own, news

    def ask_again(self) -> None:
        """Ask for what could not be believed before: the validators are others now."""
        self.want((*self._queue.lanes, *self._questions))

    def _receipt(self, message: ReceiptAnswer, now_us: int) -> bool:
        """Check a receipt that a payment waits for; return whether one was settled."""
        if message.transaction_id not in self._queue.awaiting or not message.proof:
            return False  # "not known here" is a claim; the courier asks again
        receipt = self._client.check_receipt(message.proof, message.transaction_id, now_us // 1000)
        executed = receipt.status == STATUS_EXECUTED
        return self._queue.receipt(message.transaction_id, executed=executed, now_us=now_us) is not None

    def _balance(self, account: bytes, proved: ProvedAccount, now_us: int) -> dict[str, Any]:
        return {
            "address": self._accounts.address(account),
            "balance": proved.account.balance,
            "height": proved.header.height,
            "age_s": _age_s(proved.header.ts_ms, now_us),
            "proof_verified": True,
            "exists": proved.exists,
            "next_seq": proved.account.next_seq,
            "reason": None,
        }

    def _stale_balance(self, account: bytes, reason: str, now_us: int) -> dict[str, Any]:
        """Say what is known without an edge: of an own account the last proof, of another nothing."""
        lane = self._queue.lanes.get(account)
        proved = lane.proved if lane is not None else None
        if proved is None:
            return {
                "address": self._accounts.address(account),
                "balance": None,
                "height": None,
                "age_s": None,
                "proof_verified": False,
                "exists": None,
                "next_seq": None,
                "reason": reason,
            }
        old_ms = age_ms(proved.ts_ms, now_us)
        return {
            "address": self._accounts.address(account),
            "balance": proved.balance,
            "height": proved.height,
            "age_s": _age_s(proved.ts_ms, now_us),
            "exists": True,
            "proof_verified": (
                old_ms is not None and old_ms <= self._client.max_age_ms and self._trust.believes(now_us)
            ),
            "next_seq": proved.next_seq,
            "reason": f"{reason}; this is the last proof that was checked",
        }


def _age_s(ts_ms: int, now_us: int) -> float | None:
    """Return the age in seconds; None of what is dated ahead of our clock."""
    old_ms = age_ms(ts_ms, now_us)
    return None if old_ms is None else old_ms / 1000


def _parts(accounts: list[bytes]) -> list[tuple[bytes, ...]]:
    return [tuple(accounts[start : start + FORWARD_MAX]) for start in range(0, len(accounts), FORWARD_MAX)]
