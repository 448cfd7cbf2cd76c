"""The owner's questions for balances (`messages.Balance`), from when they are asked until they are answered.

A question is about an account and one asset, or about everything that the account has. For one asset the leaf that says
it is asked for, and proved to be there or not. Everything is what an edge tells of an account that is subscribed: each
of these leaves is proved, and nothing proves that there are no others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from supervm.common.contract.core import Outbox
from supervm.common.parts.chain_clock import age_ms
from supervm.protocol.light.client import ProvedBalance, account_answer
from supervm.protocol.state.leaves import NATIVE, write_asset

from ..wallet.accounts import Accounts
from ..wallet.books import Books
from ..wallet.lane import Holding
from ..wallet.queue import PaymentQueue
from .trust import Trust

QUESTION_US_MAX = 10_000_000
"""How long a question for a balance waits in all."""

Key = tuple[bytes, bytes | None]
"""What a question is about: an account, and an asset or, as None, everything that it has."""


@dataclass(slots=True)
class _Question:
    ends_us: int
    asked: list[tuple[int, bool]] = field(default_factory=list)  # (command token, wants the answer's bytes)
    holdings: dict[bytes, ProvedBalance] = field(default_factory=dict)  # of an account that is not this wallet's
    answer: tuple[ProvedBalance, bytes] | None = None  # and its proof


class Questions:
    """Questions that wait for an answer.

    Args:
        outbox: where refusals go.
        queue: what is proved of own accounts.
        accounts: which addresses to print.
        trust: the light client, and whether anything is believed.
        books: takes the answers.
    """

    def __init__(self, outbox: Outbox, queue: PaymentQueue, accounts: Accounts, trust: Trust, books: Books) -> None:
        self._outbox = outbox
        self._lanes = queue.lanes
        self._accounts = accounts
        self._trust = trust
        self._books = books
        self._open: dict[Key, _Question] = {}

    def __iter__(self) -> Iterator[Key]:
        return iter(self._open)

    def __len__(self) -> int:
        return len(self._open)

    @property
    def ends_us(self) -> int | None:
        """When the first of them is given up."""
        return min((question.ends_us for question in self._open.values()), default=None)

    def add(self, now_us: int, key: Key, token: int, *, wants_answer: bool) -> None:
        """Note who asks; an answer answers all who ask the same."""
        question = self._open.setdefault(key, _Question(now_us + QUESTION_US_MAX))
        question.asked.append((token, wants_answer))

    def end(self, now_us: int, key: Key) -> None:
        """Let a question end with the next look at the time."""
        self._open[key].ends_us = now_us

    def over(self, now_us: int) -> list[Key]:
        """Return those that are to be given up."""
        return [key for key, question in self._open.items() if question.ends_us <= now_us]

    def about(self, account: bytes, asset: bytes) -> list[Key]:
        """Return those that a leaf helps to answer."""
        return [key for key in ((account, asset), (account, None)) if key in self._open]

    def take(self, keys: list[Key], proved: ProvedBalance, proof: bytes) -> None:
        """Take a checked proof that is young enough."""
        for key in keys:
            if key[1] == proved.asset or (key[1] is None and not proved.asset):
                self._open[key].answer = proved, proof
            else:
                self._open[key].holdings[proved.asset] = proved

    def answer(self, checkpoint: bytes, now_us: int) -> list[Key]:
        """Answer what can be once a whole message is taken, proved under `checkpoint`; return what that was."""
        found = [key for key, question in self._open.items() if question.answer is not None]
        for key in found:
            question = self._open.pop(key)
            assert question.answer is not None
            proved, proof = question.answer
            for token, wants_answer in question.asked:
                value = self._fresh(proved, now_us)
                if key[1] is None:
                    value["holdings"] = self._holdings(proved.account, question.holdings)
                if wants_answer:
                    value["answer_hex"] = account_answer(
                        checkpoint, proved.account, proved.asset, proof, self._trust.client.changes
                    ).hex()
                self._books.answer(token, value)
        return found

    def give_up(self, key: Key, reason: str, now_us: int) -> None:
        """Answer with the last proof of an own account, if there is one, and with why there is none now."""
        account, asset = key
        for token, wants_answer in self._open.pop(key).asked:
            if wants_answer:
                self._outbox.refuse(token, f"{reason}, so there is no proof of {self._accounts.address(account)}")
            else:
                self._books.answer(token, self._stale(account, asset, reason, now_us))

    # --- what is told ------------------------------------------------------------------------------------------------

    def _fresh(self, proved: ProvedBalance, now_us: int) -> dict[str, Any]:
        return {
            "address": self._accounts.address(proved.account),
            "asset": write_asset(proved.asset),
            "balance": proved.amount,
            "height": proved.header.height,
            "age_s": _age_s(proved.header.ts_ms, now_us),
            "proof_verified": True,
            "exists": proved.exists,
            "next_seq": None if proved.state is None else proved.state.next_seq,
            "reason": None,
        }

    def _holdings(self, account: bytes, told: dict[bytes, ProvedBalance]) -> list[dict[str, Any]]:
        lane = self._lanes.get(account)
        if lane is None:
            found = {asset: (proved.amount, proved.header.height) for asset, proved in told.items()}
        else:
            found = {asset: (holding.amount, holding.height) for asset, holding in lane.holdings.items()}
        return [
            {"asset": write_asset(asset), "balance": amount, "height": height}
            for asset, (amount, height) in sorted(found.items())
            if amount
        ]

    def _stale(self, account: bytes, asset: bytes | None, reason: str, now_us: int) -> dict[str, Any]:
        lane = self._lanes.get(account)
        value: dict[str, Any] = {
            "address": self._accounts.address(account),
            "asset": write_asset(asset or NATIVE),
            "balance": None,
            "height": None,
            "age_s": None,
            "proof_verified": False,
            "exists": None,
            "next_seq": None,
            "reason": reason,
        }
        if asset is None:
            value["holdings"] = self._holdings(account, {})
        proved = None if lane is None else lane.holdings.get(asset) if asset else lane.proved
        if proved is None:
            return value
        old_ms = age_ms(proved.ts_ms, now_us)
        is_young = old_ms is not None and old_ms <= self._trust.client.max_age_ms
        return value | {
            "balance": proved.amount if isinstance(proved, Holding) else proved.balance,
            "height": proved.height,
            "age_s": _age_s(proved.ts_ms, now_us),
            "exists": not isinstance(proved, Holding) or proved.amount > 0,
            "proof_verified": is_young and self._trust.believes(now_us),
            "next_seq": None if isinstance(proved, Holding) else proved.next_seq,
            "reason": f"{reason}; this is the last proof that was checked",
        }


def _age_s(ts_ms: int, now_us: int) -> float | None:
    """Return the age in seconds; None of what is dated ahead of our clock."""
    old_ms = age_ms(ts_ms, now_us)
    return None if old_ms is None else old_ms / 1000
