"""What the messages of `reach1` cost their receiver (docs/messages.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from supervm.protocol.wire import reach
from supervm.protocol.wire.fields import Message

from ..costs import SIGNATURE, Cost

SCAN: Final = 1_500
"""A question for any nodes: as many records as one question may are gone through."""
RECORD: Final = SIGNATURE + 30
"""A record: read and checked."""


def _each(cost_class: Any, message: int, item: int, field: str) -> Cost:
    return Cost(cost_class, message, item=item, items=lambda received: len(getattr(received, field)))


REACH_COSTS: Final[Mapping[type[Message], Cost]] = {
    reach.Observed: Cost("link", 20),
    reach.RecordPut: _each("answers", 10, RECORD, "records"),
    reach.Find: Cost("link", 60, item=SCAN, items=lambda received: not received.nodes),  # type: ignore[attr-defined]
    reach.Found: _each("answers", 10, RECORD, "items"),
    reach.PunchAsk: Cost("link", 100),
    reach.PunchGo: Cost("link", 100),
    reach.BundleOffer: _each("link", 20, 10, "items"),
    reach.BundleWant: _each("link", 20, 10, "items"),
    reach.BundleData: Cost("link", 50, kib=60, size=lambda received: len(received.data)),  # type: ignore[attr-defined]
    reach.BundleTaken: _each("link", 20, 10, "items"),
    reach.RelayCount: _each("link", 20, SIGNATURE + 10, "receipts"),
}
