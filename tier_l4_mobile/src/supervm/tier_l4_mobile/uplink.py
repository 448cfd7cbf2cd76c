"""Which L3 this phone works with: one at a time, another one when it is gone, silent or caught lying."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

LEFT_US: Final = 15_000_000
"""An edge that was left because it refused a payment is not taken for another one's refusal for so long."""


class Uplink:
    """The choice among the edges that are up."""

    def __init__(self) -> None:
        self.active: bytes | None = None
        """The edge in use, or None."""
        self.news_us = 0
        """When it last told anything about payments or accounts, or was chosen."""
        self._last: bytes | None = None
        self._distrust: dict[bytes, int] = {}
        self._left_us: dict[bytes, int] = {}

    def choose(self, edges: Sequence[bytes], now_us: int) -> bool:
        """Keep the active edge while it is up, else take the most trusted; return whether it changed to another."""
        if self.active is not None and self.active in edges:
            return False
        before = self.active
        self.active = min(edges, key=lambda edge: self._distrust.get(edge, 0)) if edges else None
        self.news_us = now_us
        return self.active is not None or before is not None

    def rotate(self, edges: Sequence[bytes], now_us: int) -> bool:
        """Take the next edge, because the active one gives no news; return whether there is another."""
        if self.active is None or len(edges) < 2:
            return False
        others = [edge for edge in edges if edge != self.active]
        place = edges.index(self.active) if self.active in edges else 0
        after = [*edges[place + 1:], *edges[:place]] or others
        self.active = min(after, key=lambda edge: self._distrust.get(edge, 0))
        self.news_us = now_us
        return True

    def leave(self, edges: Sequence[bytes], now_us: int) -> bool:
        """Take another edge, because the active one refuses what may be executed; return whether there is one.

        All in flight goes to the new edge, so each edge is left in this way once in `LEFT_US`: where all of them
        refuse, the payment waits.
        """
        if self.active is None:
            return False
        self._left_us[self.active] = now_us
        others = [edge for edge in edges if self._left_us.get(edge, -LEFT_US) + LEFT_US <= now_us]
        if not others:
            return False
        self.active = min(others, key=lambda edge: self._distrust.get(edge, 0))
        self.news_us = now_us
        return True

    def news(self, edge: bytes, now_us: int) -> None:
        """Note that `edge` told something."""
        if edge == self.active:
            self.news_us = now_us

    def punish(self, edge: bytes, penalty: int) -> None:
        """Trust an edge less; `penalty` is that of the rule it broke."""
        self._distrust[edge] = self._distrust.get(edge, 0) + penalty
