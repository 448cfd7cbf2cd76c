"""Two devices with one wallet: found, kept and said.

A proof that an account has used slots, with a head that no payment in this log is, shows that another device signs with
the same words - or that this log is older than what was sent from here. Nobody is at fault, but payments of both can
take each other's slot, and then the later one is over. `fates` finds it; it stays a problem for as long as something
that was signed elsewhere may still execute.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from supervm.common.contract.core import Outbox
from supervm.common.parts.part import Part

from ..events import WalletUsedElsewhere
from .queue import PaymentQueue

PROBLEM_MS = 7 * 86_400_000
"""How long it is told after it was seen last: the longest validity of a payment (consensus.md 3.9)."""

_SAYS = (
    "was paid from by another device that has the same words (or this device's payments were restored from an old "
    "copy): payments of two devices take each other's place, so use one at a time"
)


class Elsewhere(Part):
    """Says that a wallet is used on another device, too.

    Args:
        outbox: where events go.
        queue: finds it.
        address: writes an account as text.
    """

    events = (WalletUsedElsewhere,)

    def __init__(self, outbox: Outbox, queue: PaymentQueue, address: Callable[[bytes], str]) -> None:
        self._outbox = outbox
        self._queue = queue
        self._address = address

    def settle(self, now_us: int) -> None:
        """Say what a proof of this step has shown."""
        for row in self._queue.take_elsewhere():
            address = self._address(row.account)
            self._outbox.publish(WalletUsedElsewhere(address, row.payments, row.height, f"{address} {_SAYS}"))

    def problems(self, now_us: int) -> Sequence[str]:
        """Say which accounts another device paid from lately."""
        return [
            f"{self._address(row.account)} {_SAYS}; last seen at height {row.height}, after {row.payments} payments"
            for row in self._queue.elsewhere.values()
            if now_us // 1000 <= row.ts_ms + PROBLEM_MS
        ]
