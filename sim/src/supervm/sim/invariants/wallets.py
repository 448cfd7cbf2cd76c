"""Phones: what leaves them, what they believe, and what becomes of their payments (T16, S15, N1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from supervm.common.contract.core import Received, Reply
from supervm.common.contract.records import Put
from supervm.protocol.base.address import decode_address
from supervm.protocol.base.codec import encode
from supervm.protocol.chain.checkpoint import CheckpointHeader
from supervm.protocol.light.trust import CLOCK_DRIFT_MS_MAX
from supervm.protocol.money.transaction import parse_transaction
from supervm.protocol.state.leaves import NATIVE, NATIVE_NAME, read_asset, write_asset
from supervm.protocol.wire.payments import LeafProofs, ReceiptAnswer, Submit, ValidatorChanges
from supervm.tier_l4_mobile.node import MobileNode
from supervm.tier_l4_mobile.tables import FINISHED, PAYMENTS, PROMISES, PromiseRow, StoredPayment, read_payment
from supervm.tier_l4_mobile.wallet.lane import Holding
from supervm.tier_l4_mobile.wallet.payments import AWAITING, CLOSED, EXECUTED, FATES, R4, Payment

from ..exact import Host, Persisted, Sent, Stepped
from .facts import Facts
from .queues import QueueWatch
from .reference import Reference


class WalletWatch:
    """Watches phones.

    Args:
        facts: shared knowledge.
        reference: true balances.
        queues: told which balances a phone calls proved.
    """

    def __init__(self, facts: Facts, reference: Reference, queues: QueueWatch) -> None:
        self._facts, self._reference, self._queues = facts, reference, queues
        self._released: dict[str, dict[bytes, None]] = {}
        self._slots: dict[str, dict[tuple[bytes, int, bytes], tuple[bytes, int]]] = {}
        self.fates: dict[tuple[str, int], tuple[str, str]] = {}
        self._believed: dict[str, Any] = {}
        self._headers: list[tuple[str, CheckpointHeader]] = []
        self._balances: list[tuple[str, bytes, bytes, int, int, int | None]] = []
        self._receipts: list[tuple[str, bytes, str]] = []
        self.acknowledged: dict[tuple[str, str], None] = {}
        """(phone, key) of payments that a phone has told its owner it holds."""

    # --- what leaves --------------------------------------------------------------------------------------------------

    def persisted(self, event: Persisted) -> None:
        """Look at rows that are durable from now on."""
        for record in event.records:
            if type(record) is Put and isinstance(record.row, StoredPayment):
                self._row(event.host.name, read_payment(record.row))
            elif type(record) is Put and isinstance(record.row, PromiseRow):
                # somebody else's payment, which this phone brings: it may leave once its row is durable
                self._released.setdefault(event.host.name, {})[record.row.raw] = None

    def started(self, host: Host) -> None:
        """Look at what a phone finds on its disk: a write that a crash caught may be there and nobody was told."""
        for table in (PAYMENTS, FINISHED):
            for row in table.rows(host.disk):
                self._row(host.name, read_payment(row))
        for promise in PROMISES.rows(host.disk):
            self._released.setdefault(host.name, {})[promise.raw] = None

    def _row(self, name: str, payment: Payment) -> None:
        if payment.released:
            self._released.setdefault(name, {})[payment.raw] = None
        if payment.place == CLOSED and payment.status in FATES:
            fate = (payment.status, payment.result)
            if self.fates.setdefault((name, payment.number), fate) != fate:
                self._facts.book.note(
                    "N1", f"{name}: payment {payment.number} was {self.fates[name, payment.number]} and is {fate}"
                )

    def sent(self, event: Sent) -> None:
        """Look at transactions that leave a phone."""
        message = event.message
        if type(message) is not Submit:
            return
        facts, name = self._facts, event.sender.name
        released = self._released.setdefault(name, {})
        slots = self._slots.setdefault(name, {})
        for raw in message.transactions:
            if raw not in released:
                facts.book.note("T16", f"{name}: a transaction leaves before its release is durable")
            transaction = parse_transaction(raw, facts.chain_id)
            body = transaction.body
            slot = (body.sender, body.seq, body.prev)
            earlier = slots.setdefault(slot, (transaction.id, body.valid_until_ms))
            if earlier[0] != transaction.id:
                if earlier[1] >= facts.certified_ts_ms:
                    facts.book.note(
                        "T16",
                        f"{name}: two transactions for slot {body.seq} of {body.sender.hex()[:16]} leave, and the "
                        "first is not provably expired",
                    )
                slots[slot] = (transaction.id, body.valid_until_ms)

    # --- what is believed ---------------------------------------------------------------------------------------------

    def stepped(self, event: Stepped) -> None:
        """Look at what a phone believes after an answer, and at what it tells its owner."""
        host = event.host
        core = host.core
        if not isinstance(core, MobileNode):
            return
        given = event.input
        if type(given) is Received and type(given.message) in (LeafProofs, ReceiptAnswer, ValidatorChanges):
            header = core.client.header
            believed = self._believed.get(host.name)
            if believed is not header:
                self._believed[host.name] = header
                self._headers.append((host.name, header))
                self._in_time(event, believed, header)
            for account, lane in core.queue.lanes.items():
                proved = lane.proved
                key = f"{host.name}/{account.hex()}"
                if proved is not None and self._believed.get(key) is not proved:
                    self._believed[key] = proved
                    self._balances.append((host.name, account, NATIVE, proved.height, proved.balance, proved.next_seq))
                for asset, holding in lane.holdings.items():
                    key = f"{host.name}/{account.hex()}/{asset.hex()}"
                    before = self._believed.get(key)
                    if not isinstance(before, Holding) or before.height != holding.height:
                        self._believed[key] = holding
                        self._balances.append((host.name, account, asset, holding.height, holding.amount, None))
            self.judge()
        for effect in event.effects:
            if type(effect) is Reply and isinstance(effect.value, dict) and effect.value.get("proof_verified"):
                self._told(host, effect.value, event.local_us)

    def _in_time(self, event: Stepped, before: CheckpointHeader | None, header: CheckpointHeader) -> None:
        """A header that is new to the phone is not ahead of its clock; one from its disk may be."""
        ahead_ms = header.ts_ms - event.local_us // 1000
        if ahead_ms > CLOCK_DRIFT_MS_MAX and before is not None and header.height > before.height:
            self._facts.book.note(
                "S15", f"{event.host.name} accepted header {header.height}, {ahead_ms} ms ahead of its clock"
            )

    def _told(self, host: Host, value: Mapping[str, Any], local_us: int) -> None:
        if value.get("height") is None or "balance" not in value:
            return
        self._queues.told(host, value, local_us)
        account, _ = decode_address(str(value["address"]))
        asset = read_asset(str(value.get("asset", NATIVE_NAME)))
        self._balances.append((host.name, account, asset, value["height"], value["balance"], value["next_seq"]))

    def judge(self) -> None:
        """Compare what phones believe with what is known by now."""
        facts, reference = self._facts, self._reference
        headers, self._headers = self._headers, []
        for name, header in headers:
            known = facts.headers.get(header.height)
            if known is None:
                self._headers.append((name, header))
            elif known != encode(header):
                facts.book.note("S15", f"{name} accepted a header of height {header.height} that is not the chain's")
        balances, self._balances = self._balances, []
        for item in balances:
            name, account, asset, height, balance, next_seq = item
            if height > reference.height:
                self._balances.append(item)
                continue
            true = reference.balance_at(account, asset, height)
            true_seq = None if next_seq is None else reference.account_at(account, height).next_seq
            if (true, true_seq) != (balance, next_seq):
                facts.book.note(
                    "S15",
                    f"{name} believes that {account.hex()[:16]} has {balance} of {write_asset(asset)[:16]}, {next_seq} "
                    f"transactions at height {height}; it has {true} and {true_seq}",
                )

    # --- the end ------------------------------------------------------------------------------------------------------

    def finish(self, *, settled: bool) -> None:
        """Compare every payment's fate with the chain.

        Args:
            settled: whether every payment had the time and the means to get its fate.
        """
        self.judge()
        facts = self._facts
        top = max(facts.headers)
        for name, header in self._headers:
            facts.book.note("S15", f"{name} accepted a header of height {header.height}; the chain ends at {top}")
        for host in facts.world.hosts.values():
            core = host.core
            if host.tier == 4 and facts.is_honest(host) and isinstance(core, MobileNode):
                self._phone(host.name, core, settled)

    def _phone(self, name: str, core: MobileNode, settled: bool) -> None:
        note = self._facts.book.note
        payments = list(core.queue.every())
        keys: dict[str, int] = {}
        for payment in payments:
            if payment.key and keys.setdefault(payment.key, payment.number) != payment.number:
                note("N1", f"{name}: payments {keys[payment.key]} and {payment.number} were asked for as one")
        for phone, key in self.acknowledged:
            if phone == name and key not in keys:
                note("N1", f"{name}: payment {key!r} was acknowledged and is lost")
        done = {payment.id for payment in payments if payment.status == R4}
        for payment in payments:
            where = f"{name}: payment {payment.number} ({payment.status})"
            at_height = self._reference.executed_at.get(payment.id) if payment.id else None
            if payment.status == R4:
                failed = payment.id in self._reference.failed
                if at_height is None or failed == (payment.result == EXECUTED):
                    note("N1", f"{where} is said to be {payment.result}; the chain says otherwise")
            elif at_height is not None and payment.place == CLOSED and payment.id not in done:
                note("N1", f"{where} was executed at height {at_height}")
            if settled and payment.status not in FATES and not _untellable(payment):
                note("L3", f"{where} has no fate: {payment.reason or 'nothing is known of it'}")


def _untellable(payment: Payment) -> bool:
    """A second device filled its slot, so only a receipt could tell, and what never executed has none."""
    return payment.place == AWAITING
