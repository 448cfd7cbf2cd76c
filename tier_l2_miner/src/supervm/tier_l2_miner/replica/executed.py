"""What was executed: the ids of the last blocks' transactions, and what the owner is told of blocks.

A repetition gets R3 and not a refusal. Receipts on disk tell of what was executed; ids are remembered for as many
blocks as a ledger remembers what may not be on disk yet.
"""

from __future__ import annotations

from collections import OrderedDict

from supervm.common.contract.core import Outbox
from supervm.common.parts.ledger import UNDO_HEIGHTS
from supervm.common.parts.part import Part

from .. import events as said
from .replica import Replica


class Executed(Part):
    """The transactions that were executed last.

    Args:
        replica: executes; knows older ones by their receipts.
        outbox: where events go.
    """

    events = (said.Executed, said.Solvency)

    def __init__(self, replica: Replica, outbox: Outbox) -> None:
        self._replica, self._outbox = replica, outbox
        self._ids: OrderedDict[bytes, int] = OrderedDict()  # -> height of its block

    def knows(self, transaction_id: bytes) -> bool:
        """Return whether a transaction is known to have been executed."""
        return transaction_id in self._ids or self._replica.knows_receipt(transaction_id)

    def settle(self, now_us: int) -> None:
        """Remember and tell what this step has executed, forgetting the ids of older blocks."""
        advance = self._replica.advance
        for applied in () if advance is None else advance.blocks:
            result, height = applied.result, applied.header.height
            self._ids.update(dict.fromkeys((receipt.transaction_id for receipt in result.receipts), height))
            while self._ids and next(iter(self._ids.values())) <= height - UNDO_HEIGHTS:
                self._ids.popitem(last=False)
            if result.failed:
                self._outbox.publish(said.Solvency(height, len(result.failed)))
            if result.receipts:
                self._outbox.publish(said.Executed(height, len(result.receipts)))
