"""News of transactions, gathered during a step: each peer hears in few messages what became of its transactions."""

from __future__ import annotations

from collections.abc import Iterable

from supervm.common.contract.core import Outbox
from supervm.common.parts.part import Part
from supervm.common.parts.peering import Peering
from supervm.protocol.base.codec import Hash
from supervm.protocol.wire.fields import FORWARD_MAX
from supervm.protocol.wire.payments import Status, StatusItem


class StatusLines(Part):
    """The news of one step, by peer; it settles last.

    Args:
        outbox: where effects go.
        peering: who is there.
    """

    sends = frozenset({Status})

    def __init__(self, outbox: Outbox, peering: Peering) -> None:
        self._outbox, self._peering = outbox, peering
        self._items: dict[bytes, list[StatusItem]] = {}

    def tell(self, peers: Iterable[bytes], transaction: Hash, level: int, reason: str) -> None:
        """Note one piece of news for `peers`."""
        item = StatusItem(transaction, level, reason)
        for peer in peers:
            items = self._items.get(peer)
            if items is None:
                self._items[peer] = [item]
            else:
                items.append(item)

    def settle(self, now_us: int) -> None:
        """Send what was noted to the peers that are still there."""
        if not self._items:
            return
        for peer, items in self._items.items():
            if peer in self._peering.up:
                for start in range(0, len(items), FORWARD_MAX):
                    self._outbox.send(peer, Status(tuple(items[start : start + FORWARD_MAX])))
        self._items = {}
