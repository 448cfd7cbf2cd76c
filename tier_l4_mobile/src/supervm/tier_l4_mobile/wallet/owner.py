"""The owner's requests, answered: everything that may be asked of an L4 (`messages`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from supervm.common.contract.core import Outbox
from supervm.common.link.connection import CLOCK_OFFSET_MS_MAX
from supervm.common.parts.chain_clock import ClockWatch
from supervm.common.parts.light_memory import LightMemory
from supervm.common.parts.peering import Peering
from supervm.protocol.base.address import decode_address, encode_address
from supervm.protocol.base.codec import encode
from supervm.protocol.base.errors import LocalProtocolError

from ..errors import PaymentError
from ..messages import (
    Balance,
    Cancel,
    Flush,
    Info,
    NewestAnchor,
    Pay,
    PayMany,
    PaymentRow,
    PaymentsSince,
    QueueList,
    ShowPayment,
)
from ..sync.courier import Courier
from ..sync.sync import Sync
from ..sync.uplink import Uplink
from .payments import CLOSED, R4, Payment, check_logged, printable
from .queue import PaymentQueue
from .validity import validity_ms_allowed

VALIDITY_MS = 96 * 3_600_000
"""How long a payment may execute unless its owner says otherwise (consensus.md 3.9.1)."""


class Commands:
    """Answers requests; replies that promise something wait in `replies` until the node knows what they wait for.

    Args:
        outbox: where refusals go.
        queue, courier, sync, memory, uplink, peering, clock: the node's parts.
        names: names that the configuration gives own accounts.
        test_network: which addresses are this network's.
        validity_ms: default validity of a payment; the longest that may be signed, if that is less.
        validity_ms_max: longest validity that the network allows.
    """

    def __init__(
        self, outbox: Outbox, queue: PaymentQueue, courier: Courier, sync: Sync, memory: LightMemory, uplink: Uplink,
        peering: Peering, clock: ClockWatch, *,
        names: Mapping[str, bytes], test_network: bool, validity_ms: int, validity_ms_max: int,
    ) -> None:
        self._outbox = outbox
        self._queue = queue
        self._courier = courier
        self._sync = sync
        self._memory = memory
        self._doubt = ""  # why nothing is believed at the moment of the request
        self._uplink = uplink
        self._peering = peering
        self._clock = clock
        self._names = dict(names)
        self._name_of = {account: name for name, account in names.items()}
        self._test = test_network
        self._validity_ms_max = validity_ms_allowed(validity_ms_max)
        self._validity_ms = min(validity_ms, self._validity_ms_max)
        self.replies: list[tuple[int, Any]] = []
        """(command token, answer) for the node to send with this step's effects."""

    def handle(self, now_us: int, token: int, request: msgspec.Struct) -> None:
        """Do what `request` asks and answer `token` now or later."""
        self._doubt = self._memory.client.doubt(now_us // 1000)
        try:
            value = self._answer(now_us, token, request)
        except (PaymentError, LocalProtocolError) as error:
            self._outbox.refuse(token, str(error))
        else:
            if value is not None:
                self.replies.append((token, value))

    def _answer(self, now_us: int, token: int, request: msgspec.Struct) -> dict[str, Any] | None:
        match request:
            case Pay(row, offline):
                return self._show(self._pay(now_us, row, kept=offline))
            case PayMany(rows):
                return {"payments": [self._show(self._pay_or_log(now_us, row)) for row in rows]}
            case PaymentsSince(cursor, limit):
                changed, after = self._queue.changed_since(cursor, limit)
                return {"payments": [self._show(payment) for payment in changed], "cursor": after}
            case QueueList():
                return self._list(request)
            case ShowPayment(identity):
                return self._show(self._find(identity))
            case Cancel(identity):
                payment = self._find(identity)
                self._queue.cancel(payment)
                return self._show(payment)
            case Flush():
                return self._flush()
            case Balance(address, answer):
                account = self._account(address) if address else self._source("")
                self._sync.ask_balance(
                    token, account, answer=answer, now_us=now_us, online=self._uplink.active is not None,
                    problems=self._problems,
                )
                return None
            case Info():
                return self._info(now_us)
            case NewestAnchor():
                return self._anchor()
            case _:
                raise PaymentError(f"an L4 does not know the request {type(request).__name__}")

    def _pay(self, now_us: int, row: PaymentRow, *, kept: bool = False) -> Payment:
        known = self._queue.by_key(row.key) if row.key else None
        if known is not None:
            return known
        validity_ms = self._validity_ms if row.validity_ms is None else row.validity_ms
        if validity_ms > self._validity_ms_max:
            raise PaymentError(
                f"the validity is {validity_ms} ms; at most {self._validity_ms_max} are allowed, so that no node whose "
                "clock is behind calls it too long"
            )
        try:
            payload = bytes.fromhex(row.payload_hex)
        except ValueError:
            raise PaymentError(f"the payload {row.payload_hex!r:.40} is not hex") from None
        payment = self._queue.add(
            now_us, self._source(row.source), self._receiver(row.to), amount=row.amount, fee=row.fee,
            valid_until_ms=now_us // 1000 + validity_ms, payload=payload, key=row.key, kept=kept,
        )
        self._courier.watch(payment)
        return payment

    def _pay_or_log(self, now_us: int, row: PaymentRow) -> Payment | dict[str, Any]:
        try:
            return self._pay(now_us, row)
        except (PaymentError, LocalProtocolError) as error:
            reason = printable(str(error))
            try:
                check_logged(row.amount, row.fee, row.key)
                source, receiver = self._source(row.source), self._receiver(row.to)
                return self._queue.add_refused(
                    now_us, source, receiver, amount=row.amount, fee=row.fee, reason=reason, key=row.key
                )
            except (PaymentError, LocalProtocolError):  # not even who pays whom is known: there is no row to log
                return {"id": None, "status": "refused", "reason": reason, "key": row.key or None}

    def _flush(self) -> dict[str, Any]:
        self._queue.let_go()
        released = [payment for payment in self._queue.open_payments() if payment.released]
        self._courier.submit_all(released)
        edge = self._uplink.active
        opened = list(self._queue.open_payments())
        leaving = sum(1 for payment in opened if payment.raw)  # those not released yet are with this step's write
        return {
            "submitted": leaving if edge else 0, "open": len(opened), "edge": edge.hex() if edge else None,
        }

    def _list(self, request: QueueList) -> dict[str, Any]:
        account = self._source(request.source) if request.source else None
        found = [
            payment for payment in self._queue.payments.values()
            if (not request.statuses or payment.status in request.statuses)
            and (account is None or payment.account == account)
        ]
        return {"payments": [self._show(payment) for payment in found[-request.limit:]], "total": len(found)}

    def _anchor(self) -> dict[str, Any]:
        if self._doubt:
            raise PaymentError(f"this node has no anchor to give: {self._doubt}")
        anchor = self._memory.client.newest_anchor()
        return {
            "anchor_hex": encode(anchor).hex(), "chain_id": anchor.header.chain_id.hex(),
            "height": anchor.header.height, "ts_ms": anchor.header.ts_ms,
        }

    def _problems(self, now_us: int) -> list[str]:
        """Return what the owner should know and do something about."""
        found = [self._clock.problem(now_us), *self._peering.problems(now_us)]
        edge = self._peering.up.get(self._uplink.active or b"")
        if edge is not None and abs(edge.clock_offset_ms) > CLOCK_OFFSET_MS_MAX:
            side = "behind" if edge.clock_offset_ms > 0 else "ahead of"
            found.append(
                f"this machine's clock is {abs(edge.clock_offset_ms) / 1000:.0f} s {side} the edge's: payments and "
                "proofs wait until the wrong one of the two is set"
            )
        return [text for text in found if text is not None]

    def _info(self, now_us: int) -> dict[str, Any]:
        counts = Counter(payment.status for payment in self._queue.payments.values())
        edge = self._uplink.active
        return {
            "tier": 4,
            "peers": len(self._peering.up),
            "edge": edge.hex() if edge else None,
            "height": self._sync.client.header.height,
            "trust": self._memory.info(now_us // 1000),
            "problems": self._problems(now_us),
            "payments": dict(sorted(counts.items())),
            "accounts": [
                {
                    "name": self._name_of.get(account), "address": encode_address(account, test=self._test),
                    "proved": lane.proved is not None,
                    "balance": lane.proved.balance if lane.proved else None,
                    "available": lane.available if lane.proved else None,
                    "height": lane.proved.height if lane.proved else None,
                    "open": len(lane.sent) + len(lane.held),
                }
                for account, lane in self._queue.lanes.items()
            ],
        }

    def _show(self, payment: Payment | dict[str, Any]) -> dict[str, Any]:
        if isinstance(payment, dict):
            return payment
        shown = payment.show(test_network=self._test)
        if self._memory.client.fork is not None and payment.status == R4:
            # it was proved under one of two histories, and nobody knows which is the network's
            shown["proof_verified"] = False
            shown["reason"] = self._doubt
        elif self._doubt and payment.place != CLOSED and shown["reason"] is None:
            shown["reason"] = self._doubt
        return shown

    def _find(self, identity: str) -> Payment:
        payment = self._queue.find(identity)
        if payment is None:
            raise PaymentError(f"there is no payment {printable(identity)} in this queue")
        return payment

    def _source(self, text: str) -> bytes:
        if not text:
            if not self._queue.lanes:
                raise PaymentError("this node has no account")
            return next(iter(self._queue.lanes))
        account = self._account(text)
        if account not in self._queue.lanes:
            raise PaymentError(f"{printable(text)} is not an account of this wallet")
        return account

    def _account(self, text: str) -> bytes:
        named = self._names.get(text)
        return named if named is not None else self._receiver(text)

    def _receiver(self, text: str) -> bytes:
        account, test = decode_address(text)
        if test != self._test:
            kind = "a test network" if self._test else "the main network"
            raise PaymentError(f"the address {text} is another network's; this node is on {kind}")
        return account


__all__ = ["VALIDITY_MS", "Commands"]
