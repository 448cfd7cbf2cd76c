"""Status messages on their way to clients, gathered per peer so that one step sends few large ones."""

from __future__ import annotations

from supervm.common.contract.core import Outbox
from supervm.common.parts.part import Part
from supervm.protocol.wire.fields import FORWARD_MAX
from supervm.protocol.wire.payments import LEVEL_REFUSED, Status, StatusItem

REASON_CHARACTERS_MAX = 256

BUSY = "busy"
"""Reason of a refusal that says nothing about the transaction: the edge is full or the peer too fast; try again."""
CLOCK = "clock"
"""Reason of a refusal because the peer's clock is too far from ours (network.md 3)."""


class News(Part):
    """What clients are told of their transactions, collected during a step.

    Args:
        outbox: where the messages go.
    """

    sends = frozenset({Status})

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._items: dict[tuple[bytes, int], list[StatusItem]] = {}

    def tell(self, peer: bytes, transaction_id: bytes, level: int, reason: str = "", *, after: int = 0) -> None:
        """Tell `peer` one transaction's level once the persist `after` (0: none) is durable."""
        item = StatusItem(transaction_id, level, reason[:REASON_CHARACTERS_MAX])
        self._items.setdefault((peer, after), []).append(item)

    def refuse(self, peer: bytes, transaction_id: bytes, reason: str) -> None:
        """Tell `peer` that a transaction is refused and why."""
        self.tell(peer, transaction_id, LEVEL_REFUSED, reason)

    def settle(self, now_us: int) -> None:
        """Send what was collected."""
        for (peer, after), items in self._items.items():
            for start in range(0, len(items), FORWARD_MAX):
                self._outbox.send(peer, Status(tuple(items[start : start + FORWARD_MAX])), after=after)
        self._items.clear()
