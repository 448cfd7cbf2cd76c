"""One sender's transactions in the mempool, and what they take from it of each asset (consensus.md 3.2).

A sender's transactions are one chain, whatever they move. Its debits are summed per asset, so one that lacks money of
some asset holds up itself and its successors, and nobody else. Only money that was executed counts: what a transaction
of the chain will bring its own sender, an issue's supply for example, is there when its block is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from supervm.protocol.money.transaction import SignedTransaction

from .offers import QUEUED, Entry

Balance = Callable[[bytes, bytes], int]
"""(account, asset) -> what it has."""

_NOTHING: Final[Mapping[bytes, int]] = {}


@dataclass(slots=True, eq=False)
class Lane:
    """What the mempool holds of one sender.

    Attributes:
        base: the slot that the first of `chain` fills.
        chain: transactions for consecutive slots, each of which names the one before.
        parked: those that cannot be placed yet, by slot.
        owed: asset -> what the transactions of `chain` take of it together; no zeros.
        is_poor: whether the account does not cover the first parked transaction.
        cursor: place of the first QUEUED one in the chain, or its length.
    """

    base: int
    chain: list[Entry] = field(default_factory=list)
    parked: dict[int, Entry] = field(default_factory=dict)
    owed: dict[bytes, int] = field(default_factory=dict)
    is_poor: bool = False
    cursor: int = 0

    def take_on(self, entry: Entry) -> None:
        """Put a transaction at the end of the chain."""
        self.chain.append(entry)
        for asset, amount in entry.transaction.debits:
            self.owed[asset] = self.owed.get(asset, 0) + amount

    def release(self, transaction: SignedTransaction) -> None:
        """Owe no more what a transaction takes that leaves the chain."""
        for asset, amount in transaction.debits:
            left = self.owed[asset] - amount
            if left:
                self.owed[asset] = left
            else:
                del self.owed[asset]

    def advance(self) -> None:
        """Move the cursor to the first QUEUED transaction from where it stands."""
        chain, cursor = self.chain, self.cursor
        while cursor < len(chain) and chain[cursor].state != QUEUED:
            cursor += 1
        self.cursor = cursor


def lacks_money(lane: Lane | None, transaction: SignedTransaction, balance: Balance) -> bool:
    """Return whether the sender has too little of some asset for a transaction after the chain of its lane."""
    sender = transaction.body.sender
    owed = _NOTHING if lane is None else lane.owed
    for asset, amount in transaction.debits:  # noqa: SIM110 - a generator is twice as slow
        if balance(sender, asset) - owed.get(asset, 0) < amount:
            return True
    return False
