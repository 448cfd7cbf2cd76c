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
from supervm.common.parts.light_memory import LightMemory
from supervm.protocol.base.address import encode_address
from supervm.protocol.light.client import ProvedAccount, account_answer
from supervm.protocol.money.execution import STATUS_EXECUTED
from supervm.protocol.wire.fields import FORWARD_MAX
from supervm.protocol.wire.payments import AccountProofs, GetAccounts, ReceiptAnswer, Subscribe

from ..wallet.queue import PaymentQueue
from .followers import SetFollower

ANSWER_US = 3_000_000
"""How long an edge may take for an account proof before it counts as silent."""
QUESTION_US_MAX = 10_000_000
"""How long a question for a balance waits in all."""


@dataclass(slots=True)
class _Question:
    ends_us: int
    asked: list[tuple[int, bool]] = field(default_factory=list)  # (command token, wants the answer's bytes)


class Sync:
    """Proofs of accounts and receipts.

    Args:
        outbox: where effects go.
        queue: takes what is proved of own accounts.
        memory: the light client that verifies.
        test_network: which addresses to print.
    """

    def __init__(self, outbox: Outbox, queue: PaymentQueue, memory: LightMemory, *, test_network: bool) -> None:
        self._outbox = outbox
        self._queue = queue
        self.client = memory.client
        self.followers = SetFollower(outbox, memory)
        self._test = test_network
        self._missing: dict[bytes, None] = {}
        self._ask_again_us = 0
        self._wanted: dict[bytes, None] = {}
        self._questions: dict[bytes, _Question] = {}
        self._problems: Callable[[int], list[str]] = lambda _now_us: []
        self.replies: list[tuple[int, dict[str, Any]]] = []
        """(command token, answer) for the node to send with this step's effects."""

    @property
    def deadline_us(self) -> int | None:
        """When `tick` has something to do."""
        times = [question.ends_us for question in self._questions.values()]
        if self._missing or self._questions:
            times.append(self._ask_again_us)
        if self.followers.deadline_us is not None:
            times.append(self.followers.deadline_us)
        return min(times, default=None)

    def edge_changed(self, edge: bytes, now_us: int) -> None:
        """Subscribe all own accounts at a new edge and ask it what is still open."""
        accounts = list(self._queue.lanes)
        for part in _parts(accounts):
            self._outbox.send(edge, Subscribe(part))
        self._missing = dict.fromkeys(accounts)
        self._ask_again_us = now_us + ANSWER_US
        self._wanted.update(dict.fromkeys(self._questions))

    def want(self, accounts: Iterable[bytes]) -> None:
        """Ask for proofs of `accounts` with this step's messages."""
        self._wanted.update(dict.fromkeys(accounts))

    def ask_balance(
        self, token: int, account: bytes, *, answer: bool, now_us: int, online: bool,
        problems: Callable[[int], list[str]],
    ) -> None:
        """Answer a `Balance` command once a proof is here, or when the time for it is over, then with `problems`."""
        self._problems = problems
        question = self._questions.get(account)
        if question is None:
            question = self._questions[account] = _Question(now_us + QUESTION_US_MAX)
            self._ask_again_us = max(self._ask_again_us, now_us + ANSWER_US)
        question.asked.append((token, answer))
        if online and self.client.is_trusting(now_us // 1000):
            self.want((account,))
        else:
            question.ends_us = now_us
            self.tick(now_us, online=online)

    def tick(self, now_us: int, *, online: bool) -> bool:
        """Repeat questions and give up old ones; return whether proofs are overdue."""
        overdue = False
        if (self._missing or self._questions) and self._ask_again_us <= now_us:
            self._ask_again_us = now_us + ANSWER_US
            if online and self.client.is_trusting(now_us // 1000):
                self.want(self._missing)
                self.want(self._questions)
                overdue = True
        for account in [key for key, question in self._questions.items() if question.ends_us <= now_us]:
            reason = self.client.doubt(now_us // 1000) or (
                "no edge answered in time" if online else "no edge is connected"
            )
            reason = "; ".join([reason, *self._problems(now_us)])
            for token, wants_answer in self._questions.pop(account).asked:
                if wants_answer:
                    self._outbox.refuse(token, f"{reason}, so there is no proof of {self._address(account)}")
                else:
                    self.replies.append((token, self._stale_balance(account, reason, now_us)))
        return overdue

    def flush(self, edge: bytes) -> None:
        """Send this step's questions."""
        for part in _parts(list(self._wanted)):
            self._outbox.send(edge, GetAccounts(part))
        self._wanted = {}

    def proofs(self, message: AccountProofs, now_us: int) -> tuple[int, int]:
        """Check the proofs of a message and take what they say.

        Returns how many there were of own accounts, and how many of those are of a newer header than the last.

        Raises:
            RemoteProtocolError: anything in it is wrong; what was checked before it stays.
        """
        now_ms = now_us // 1000
        header = self.client.accept_checkpoint(message.checkpoint, now_ms)
        own = news = 0
        for account, proof in message.proofs:
            question = self._questions.get(account)
            if account not in self._queue.lanes and question is None:
                continue
            proved = self.client.prove_account(header, account, proof)
            if account in self._queue.lanes:
                own += 1
                known = self._queue.lanes[account].proved
                news += known is None or known.height < header.height
                self._missing.pop(account, None)
                self._queue.prove(account, proved, now_us)
            if question is not None and now_ms - header.ts_ms <= self.client.max_age_ms:
                del self._questions[account]
                for token, wants_answer in question.asked:
                    value = self._balance(account, proved, now_us)
                    if wants_answer:
                        value["answer_hex"] = account_answer(
                            message.checkpoint, account, proof, self.client.changes
                        ).hex()
                    self.replies.append((token, value))
        return own, news

    def validators_changed(self) -> None:
        """Ask again for what could not be believed before."""
        self.want((*self._queue.lanes, *self._questions))

    def receipt(self, message: ReceiptAnswer, now_us: int) -> bool:
        """Check a receipt that a payment waits for; return whether one was settled.

        Raises:
            RemoteProtocolError: the receipt proves nothing.
        """
        if message.transfer_id not in self._queue.awaiting or not message.proof:
            return False  # "not known here" is a claim; the courier asks again
        receipt = self.client.check_receipt(message.proof, message.transfer_id, now_us // 1000)
        executed = receipt.status == STATUS_EXECUTED
        return self._queue.receipt(message.transfer_id, executed=executed, now_us=now_us) is not None

    def _address(self, account: bytes) -> str:
        return encode_address(account, test=self._test)

    def _balance(self, account: bytes, proved: ProvedAccount, now_us: int) -> dict[str, Any]:
        return {
            "address": self._address(account), "balance": proved.account.balance, "height": proved.header.height,
            "age_s": _age_s(proved.header.ts_ms, now_us), "proof_verified": True,
            "exists": proved.exists, "next_seq": proved.account.next_seq, "reason": None,
        }

    def _stale_balance(self, account: bytes, reason: str, now_us: int) -> dict[str, Any]:
        """Say what is known without an edge: of an own account the last proof, of another nothing."""
        lane = self._queue.lanes.get(account)
        proved = lane.proved if lane is not None else None
        if proved is None:
            return {
                "address": self._address(account), "balance": None, "height": None, "age_s": None,
                "proof_verified": False, "exists": None, "next_seq": None, "reason": reason,
            }
        old_ms = age_ms(proved.ts_ms, now_us)
        return {
            "address": self._address(account), "balance": proved.balance, "height": proved.height,
            "age_s": _age_s(proved.ts_ms, now_us), "exists": True,
            "proof_verified": (
                old_ms is not None and old_ms <= self.client.max_age_ms and self.client.is_trusting(now_us // 1000)
            ),
            "next_seq": proved.next_seq, "reason": f"{reason}; this is the last proof that was checked",
        }


def _age_s(ts_ms: int, now_us: int) -> float | None:
    """Return the age in seconds; None of what is dated ahead of our clock."""
    old_ms = age_ms(ts_ms, now_us)
    return None if old_ms is None else old_ms / 1000


def _parts(accounts: list[bytes]) -> list[tuple[bytes, ...]]:
    return [tuple(accounts[start:start + FORWARD_MAX]) for start in range(0, len(accounts), FORWARD_MAX)]


