"""What each edge takes, and for which edge payments are signed (economics.md 1).

Theory of operation. An edge says its terms right after Hello and when they change. They are kept by edge, on disk, too,
so that a phone without any link signs for the edge that it used last. Payments are signed for the edge in use: a fee
that it does not take is refused before it is signed, and its payout is named as `via`. What was signed for another edge
and has not left yet is signed again before it is released, so nothing is released before the edge in use has said its
terms on this link, or `SAY_US` have passed without.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from supervm.common.contract.core import Outbox, PeerDown
from supervm.common.contract.records import Reader, Record
from supervm.common.parts.fee_policy import read_terms
from supervm.common.parts.part import Part
from supervm.protocol.state.leaves import write_asset
from supervm.protocol.wire.frames import decode_message, encode_message
from supervm.protocol.wire.payments import FeeTerms

from ..tables import EDGE_TERMS, TermsRow
from ..wallet.payments import Payment
from ..wallet.queue import PaymentQueue
from ..wallet.terms import UNKNOWN_TERMS, Terms
from .uplink import Uplink

SAY_US: Final = 3_000_000
"""How long payments wait for an edge to say its terms."""
EDGES_MAX: Final = 64
"""Edges whose terms are kept: those that were in use last."""


class EdgeTerms(Part):
    """Terms of the edges.

    Args:
        outbox: where rows go.
        queue: is told for whom it signs.
        uplink: the edge in use.
        reader: what is durable.
        fee_shares_bps: how the network splits every fee over the tiers.
    """

    takes = frozenset({FeeTerms})
    tables = (EDGE_TERMS,)

    def __init__(
        self, outbox: Outbox, queue: PaymentQueue, uplink: Uplink, reader: Reader, *, fee_shares_bps: Sequence[int]
    ) -> None:
        self._outbox = outbox
        self._queue = queue
        self._uplink = uplink
        self._shares_bps = list(fee_shares_bps)
        self._rows = {row.edge: row for row in sorted(EDGE_TERMS.rows(reader), key=lambda row: row.turn)}
        self._terms = {edge: _read(row.terms) for edge, row in self._rows.items()}
        self._said: dict[bytes, None] = {}  # edges that said them on the link that is up
        self._since_us = 0
        self._waits = False
        self._sign_for(self._newest())

    @property
    def deadline_us(self) -> int | None:
        """When the edge in use has had its time to say its terms."""
        return self._since_us + SAY_US if self._waits else None

    def receive(self, now_us: int, peer: bytes, message: FeeTerms) -> None:
        """Take what an edge says of itself.

        Raises:
            RemoteProtocolError: they are no terms.
        """
        self._terms[peer] = Terms(message.payout, read_terms(message))
        self._said[peer] = None
        self._remember(peer, encode_message(message))
        if peer == self._uplink.active:
            self._waits = False
            self._sign_for(peer)

    def peer_down(self, now_us: int, event: PeerDown) -> None:
        """What an edge has said counts as said until its link is gone."""
        self._said.pop(event.peer, None)
        if event.peer not in self._rows:
            self._terms.pop(event.peer, None)

    def edge_changed(self, now_us: int) -> None:
        """Sign for the edge that is in use now; for the last one if there is none."""
        edge = self._uplink.active
        self._waits = edge is not None and edge not in self._said
        self._since_us = now_us
        row = self._rows.get(edge or b"")
        if row is not None:
            self._remember(row.edge, row.terms)
        self._sign_for(edge)

    def tick(self, now_us: int) -> None:
        """Go on without terms that are not said."""
        if self._waits and now_us >= self._since_us + SAY_US:
            self._waits = False

    @property
    def is_settled(self) -> bool:
        """Whether it is known for whom payments are to be signed, as far as it can be."""
        return not self._waits

    def takers(self, payments: Iterable[Payment]) -> list[bytes]:
        """Return the edges that are up and take the fee of at least one of `payments`."""
        wanted = list(payments)
        return [
            edge
            for edge in self._uplink.edges()
            if edge in self._said
            and any(not self._terms[edge].refusal(payment.fee_asset, payment.fee) for payment in wanted)
        ]

    def info(self, now_us: int) -> Mapping[str, Any]:
        """Return what the edge takes that payments are signed for, whom it lets be paid, and how fees are split."""
        terms = self._queue.terms
        fees = None if terms.fees is None else {write_asset(asset): fee for asset, fee in terms.fees.least.items()}
        return {"terms": {"payout": terms.payout.hex() or None, "fees": fees}, "fee_shares_bps": self._shares_bps}

    # --- rows --------------------------------------------------------------------------------------------------------

    def _newest(self) -> bytes | None:
        return max(self._rows.values(), key=lambda row: row.turn).edge if self._rows else None

    def _remember(self, edge: bytes, frame: bytes) -> None:
        """Keep the terms of an edge, and that it is the one in use if it is."""
        row = self._rows.get(edge)
        turn = 0 if row is None else row.turn
        if edge == self._uplink.active:
            turn = max(turn, 1 + max((other.turn for other in self._rows.values() if other.edge != edge), default=0))
        new = TermsRow(edge, frame, turn)
        if new == row:
            return
        self._rows[edge] = new
        records: list[Record] = [EDGE_TERMS.put(new)]
        if len(self._rows) > EDGES_MAX:
            oldest = min(self._rows.values(), key=lambda known: (known.turn, known.edge)).edge
            del self._rows[oldest]
            if oldest not in self._said:
                del self._terms[oldest]
            records.append(EDGE_TERMS.delete(oldest))
        self._outbox.persist(*records)

    def _sign_for(self, edge: bytes | None) -> None:
        terms = UNKNOWN_TERMS if edge is None else self._terms.get(edge, UNKNOWN_TERMS)
        if terms != self._queue.terms:
            self._queue.terms = terms
            self._queue.pending.update((account, None) for account, lane in self._queue.lanes.items() if lane.held)


def _read(frame: bytes) -> Terms:
    message = decode_message(frame)
    assert isinstance(message, FeeTerms)
    return Terms(message.payout, read_terms(message))
