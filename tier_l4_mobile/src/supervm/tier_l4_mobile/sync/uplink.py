"""Which L3 this phone works with: one at a time, another one when it is gone, silent or caught lying.

Parts that see that the edge in use gives no news `complain`, and call `refused` for one that refuses what may run; at
the end of the step the next edge is taken, and whoever must tell a new edge what the one before knew - `users` - is
called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from supervm.common.contract.core import Outbox
from supervm.common.link.connection import CLOCK_OFFSET_MS_MAX
from supervm.common.parts.asking import after
from supervm.common.parts.manners import Manners
from supervm.common.parts.part import Part
from supervm.common.parts.peering import Peering
from supervm.protocol.base.address import encode_node_id

from ..events import EdgeChanged

EDGE_TIER = 3
LEFT_US: Final = 15_000_000
"""An edge that was left because it refused a payment is not taken for another one's refusal for so long."""
LIED_SHOWN_US: Final = 600_000_000
"""How long the owner is told of an edge that lied."""


class Uplink(Part):
    """The choice among the edges that are up.

    Args:
        outbox: where events go.
        peering: who is up.
        manners: who of them is not about to be hung up on.
    """

    events = (EdgeChanged,)

    def __init__(self, outbox: Outbox, peering: Peering, manners: Manners) -> None:
        self._outbox = outbox
        self._peering = peering
        self._manners = manners
        self.active: bytes | None = None
        """The edge in use, or None."""
        self.news_us = 0
        """When it last told anything about payments or accounts, or was chosen."""
        self.users: tuple[Callable[[int], None], ...] = ()
        """Called with the time, in this order, when another edge is in use."""
        self._asked_us = 0  # since when a question for a proof is open at the active edge
        self._answer_ms: int | None = None
        self._is_silent = self._has_refused = False
        self._takers: Sequence[bytes] = ()
        self._distrust: dict[bytes, int] = {}
        self._left_us: dict[bytes, int] = {}
        self._liar: tuple[bytes, int] | None = None  # who sent a proof last that does not hold, and when

    def edges(self) -> list[bytes]:
        """Return the edges that are up, in the order they came."""
        return [edge for edge in self._peering.of_tier(EDGE_TIER) if self._manners.is_up(edge)]

    def settle(self, now_us: int) -> None:
        """Leave an edge that is gone, gives no news or refuses."""
        edges = self.edges()
        takers = [edge for edge in edges if edge in self._takers]
        is_new = (
            (self._has_refused and self._leave(edges, now_us, "the one before refused a payment"))
            or (bool(takers) and self._leave(takers, now_us, "the one before does not take the fee of a payment"))
            or (self._is_silent and self._rotate(edges, now_us))
        )
        self._is_silent, self._has_refused, self._takers = False, False, ()
        if (is_new or self._choose(edges, now_us)) and self.active is not None:
            self._asked_us, self._answer_ms = 0, None
            for edge_changed in self.users:
                edge_changed(now_us)

    def _choose(self, edges: Sequence[bytes], now_us: int) -> bool:
        """Keep the active edge while it is up, else take the most trusted; return whether it changed to another."""
        if self.active is not None and self.active in edges:
            return False
        before = self.active
        self.active = min(edges, key=lambda edge: self._distrust.get(edge, 0)) if edges else None
        self.news_us = now_us
        return self.active is not None or before is not None

    def _rotate(self, edges: Sequence[bytes], now_us: int) -> bool:
        """Take the next edge, because the active one gives no news; return whether there is another."""
        if self.active is None or len(edges) < 2:
            return False
        others = [edge for edge in after(edges, self.active) if edge != self.active]
        self.active = min(others, key=lambda edge: self._distrust.get(edge, 0))
        self.news_us = now_us
        self._outbox.publish(EdgeChanged(encode_node_id(self.active), "the one before gave no news"))
        return True

    def _leave(self, edges: Sequence[bytes], now_us: int, reason: str) -> bool:
        """Take one of `edges`, because the active one refuses what may be executed; return whether there is one.

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
        self._outbox.publish(EdgeChanged(encode_node_id(self.active), reason))
        return True

    # --- what other parts have to say of edges ------------------------------------------------------------------------

    def news(self, edge: bytes, now_us: int) -> None:
        """Note that `edge` told something."""
        if edge == self.active:
            self.news_us = now_us

    def asked(self, now_us: int) -> None:
        """Note that the active edge was asked for a proof."""
        if not self._asked_us:
            self._asked_us = now_us

    def answered(self, edge: bytes, now_us: int) -> None:
        """Note that `edge` gave a proof."""
        if edge == self.active and self._asked_us:
            self._answer_ms = (now_us - self._asked_us) // 1000
            self._asked_us = 0

    def complain(self) -> None:
        """Say that the active edge leaves something without news; another one is taken with this step's end."""
        self._is_silent = True

    def refused(self, edge: bytes) -> None:
        """Say that an edge refuses a payment that may run; if it is the active one, another is taken likewise."""
        self._has_refused |= edge == self.active

    def prefer(self, edges: Sequence[bytes]) -> None:
        """Say that payments wait for one of `edges`, because the active one does not take their fees."""
        self._takers = edges

    def lied(self, edge: bytes, now_us: int) -> None:
        """Note that what an edge proved does not hold, for the owner; the shell sees to it that it is blamed."""
        self._liar = edge, now_us

    def report(self, height: int) -> None:
        """Let heartbeats say that this height is the newest that was proved."""
        self._peering.height = height

    def peer_blamed(self, now_us: int, peer: bytes, penalty: int) -> None:
        """Trust an edge less that broke a rule."""
        self._distrust[peer] = self._distrust.get(peer, 0) + penalty

    def clock_offset_ms(self) -> int | None:
        """Return how far the clock of the edge in use was ahead of ours when it came; None: there is none."""
        edge = self._peering.up.get(self.active or b"")
        return None if edge is None else edge.clock_offset_ms

    # --- the owner ----------------------------------------------------------------------------------------------------

    def info(self, now_us: int) -> Mapping[str, Any]:
        """Return which edge is in use, over what, and how long its last answer took."""
        edge = self._peering.up.get(self.active or b"")
        return {
            "edge": self.active.hex() if self.active else None,
            "link": None
            if edge is None
            else {
                "node_id": encode_node_id(edge.node_id),
                "address": edge.address,
                "answer_ms": self._answer_ms,
                "clock_offset_ms": edge.clock_offset_ms,
            },
        }

    def problems(self, now_us: int) -> Iterable[str]:
        """Return who lied of late, and whether the edge's clock is too far off for payments to go (network.md 3)."""
        if self._liar is not None and now_us < self._liar[1] + LIED_SHOWN_US:
            yield (
                f"the edge {encode_node_id(self._liar[0])} sent a proof that does not hold: nothing in it was "
                "believed, and the edge is left alone for a while"
            )
        edge = self._peering.up.get(self.active or b"")
        if edge is not None and abs(edge.clock_offset_ms) > CLOCK_OFFSET_MS_MAX:
            side = "behind" if edge.clock_offset_ms > 0 else "ahead of"
            yield (
                f"this machine's clock is {abs(edge.clock_offset_ms) / 1000:.0f} s {side} the edge's: payments and "
                "proofs wait until the wrong one of the two is set"
            )
