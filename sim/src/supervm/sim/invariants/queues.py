"""The rules of a phone's queue and of its light client, step by step (decisions.md, Transactions; consensus.md 5).

`wallets` judges what leaves a phone and how payments end; this module looks at each step of the phone's core: what it
has released, on which grounds a payment got its fate, and whether the phone goes below a height that it has seen. What
the grounds are is read from the queue; whether they are good is judged here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from supervm.common.contract.core import Received
from supervm.common.parts.light_tables import CERTIFIED
from supervm.protocol.light.client import CLOCK_DRIFT_MS_MAX
from supervm.protocol.state.leaves import write_asset
from supervm.protocol.wire.payments import LEVEL_REFUSED, LeafProofs, Status
from supervm.tier_l4_mobile.node import MobileNode
from supervm.tier_l4_mobile.wallet.lane import Lane
from supervm.tier_l4_mobile.wallet.payments import CANCELLED, CLOSED, EXPIRED, REFUSED, Payment

from ..exact import Host, Stepped
from .facts import Facts

AGE_MS_MAX = 30_000
"""Age up to which a balance may be called current, on a chain whose beat is not slower than a third of this."""


@dataclass
class _Seen:
    """What was known of one phone after its step before."""

    released: dict[int, None] = field(default_factory=dict)
    statuses: dict[int, str] = field(default_factory=dict)
    blocked_by: dict[bytes, int] = field(default_factory=dict)
    refused_ms: dict[bytes, int] = field(default_factory=dict)
    """Transaction -> the phone's time when an edge first refused it."""
    height: int = 0
    cursor: int = 0


class QueueWatch:
    """Watches the steps of phones.

    Args:
        facts: shared knowledge.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._seen: dict[str, _Seen] = {}

    def started(self, host: Host) -> None:
        """Begin anew: what was not on the disk is forgotten."""
        self._seen.pop(host.name, None)

    def stepped(self, event: Stepped) -> None:
        """Look at one step of an honest phone."""
        core, name = event.host.core, event.host.name
        if not isinstance(core, MobileNode):
            return
        now_ms = event.local_us // 1000
        seen = self._seen.get(name)
        if seen is None:
            seen = self._seen[name] = _Seen()
            for payment in core.queue.every():
                seen.statuses[payment.number] = payment.status
                if payment.released:
                    seen.released[payment.number] = None
            seen.height = _stored_height(event.host)
        given = event.input
        if type(given) is Received and type(given.message) is Status:
            for item in given.message.items:
                if item.level == LEVEL_REFUSED:
                    seen.refused_ms.setdefault(item.transaction_id, now_ms)
        self._header(name, core, seen, now_ms, event)
        numbers, seen.cursor = core.queue.changes.since(seen.cursor, 1 << 30)
        for number in numbers:
            changed = core.queue.get(number)
            assert changed is not None
            self._payment(name, core, seen, changed, now_ms)
        for account, lane in core.queue.lanes.items():
            seen.blocked_by[account] = lane.sent[0].number if lane.sent and lane.sent[0].status == REFUSED else 0

    # --- the light client ---------------------------------------------------------------------------------------------

    def _header(self, name: str, core: MobileNode, seen: _Seen, now_ms: int, event: Stepped) -> None:
        header, given = core.client.header, event.input
        if header.height < seen.height:
            self._facts.book.note("S15", f"{name} goes back from height {seen.height} to {header.height}")
        elif header.height > seen.height and type(given) is Received and type(given.message) is LeafProofs:
            ahead_ms = header.ts_ms - now_ms
            if ahead_ms > CLOCK_DRIFT_MS_MAX:
                self._facts.book.note("S15", f"{name} accepts a header that is {ahead_ms} ms ahead of its clock")
        seen.height = header.height

    def told(self, host: Host, value: Mapping[str, Any], local_us: int) -> None:
        """Look at a balance that a phone calls proved."""
        height = int(value["height"])
        core, seen = host.core, self._seen.get(host.name)
        if not isinstance(core, MobileNode):
            return
        if seen is not None and height < seen.height and value["reason"] is None:
            self._facts.book.note("S15", f"{host.name} answers with height {height}; it has seen height {seen.height}")
        raw = self._facts.headers.get(height)
        if raw is not None:
            age_ms = local_us // 1000 - self._facts.checkpoint_header(raw).ts_ms
            if age_ms > max(AGE_MS_MAX, 3 * self._facts.chain.parameters.idle_interval_ms):
                self._facts.book.note("S15", f"{host.name} calls a balance current that is {age_ms} ms old")

    # --- the queue ----------------------------------------------------------------------------------------------------

    def _payment(self, name: str, core: MobileNode, seen: _Seen, payment: Payment, now_ms: int) -> None:
        lane = core.queue.lanes.get(payment.account)
        before = seen.statuses.get(payment.number)
        if payment.released and payment.number not in seen.released and lane is not None:
            seen.released[payment.number] = None
            reason = self._released(seen, lane, payment, now_ms)
            if reason:
                self._facts.book.note("QUEUE", f"{name}: payment {payment.number} is released {reason}")
        if payment.status != before:
            seen.statuses[payment.number] = payment.status
            reason = ""
            if lane is not None and payment.status == REFUSED and payment.released:
                reason = self._refused(seen, lane, payment)
            elif lane is not None and payment.status == EXPIRED:
                reason = self._expired(core, lane, payment)
            if reason:
                self._facts.book.note("N1", f"{name}: payment {payment.number} counts as {payment.status} {reason}")

    def _released(self, seen: _Seen, lane: Lane, payment: Payment, now_ms: int) -> str:
        if lane.proved is None:
            return "before its account is proved"
        if payment.seq >= lane.proved.next_seq + self._facts.chain.parameters.window:
            return f"beyond the window of {self._facts.chain.parameters.window}"
        if payment.valid_until_ms <= now_ms:
            return "after its validity"
        if payment.kept:
            return "although its owner keeps it"
        first = lane.sent[0] if lane.sent else None
        if first is not None and first.status == REFUSED and seen.blocked_by.get(lane.account) == first.number:
            return "behind one that is refused"
        spent: dict[bytes, int] = {}
        for item in lane.sent:
            for asset, amount in item.debits:
                spent[asset] = spent.get(asset, 0) + amount
        for asset, amount in spent.items():
            proved = lane.balance(asset) or 0
            if amount > proved:
                return f"with {amount} of {write_asset(asset)[:16]} in all, {proved} are proved"
        return ""

    def _refused(self, seen: _Seen, lane: Lane, payment: Payment) -> str:
        said_ms = seen.refused_ms.get(payment.id)
        if said_ms is None:
            return "and nobody refused it"
        if lane.proved is None or lane.proved.ts_ms < said_ms:
            return "before a newer proof shows its slot free"
        return "" if lane.proved.next_seq <= payment.seq else "although its slot is used"

    def _expired(self, core: MobileNode, lane: Lane, payment: Payment) -> str:
        proved = lane.proved
        if proved is None:
            return "without any proof"
        if payment.valid_until_ms < proved.ts_ms:
            return ""  # whether it was executed before that is judged at the end of the run
        if not payment.released:
            return "although it never left and is still valid"
        if proved.next_seq > payment.seq or (proved.next_seq == payment.seq and proved.head != payment.prev):
            return ""  # another transaction has its slot, as far as the proof tells; the end of the run judges that
        return "" if self._is_lost(core, payment) else "although it may still execute"

    def _is_lost(self, core: MobileNode, payment: Payment) -> bool:
        """Return whether the payment that it follows can never execute."""
        return any(
            other.id == payment.prev and other.place == CLOSED and other.status in (EXPIRED, REFUSED, CANCELLED)
            for other in core.queue.every()
        )


def _stored_height(host: Host) -> int:
    """Return the height of the newest checkpoint on a phone's disk, 0 if there is none."""
    return max((row.height for row in CERTIFIED.rows(host.disk)), default=0)
