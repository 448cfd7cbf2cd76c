"""Payments of others that this phone was handed, and what becomes of them.

Theory of operation. A promise is a signed transaction of an account that is not this wallet's. Nobody here signs for
it, and no lane knows of it; the phone keeps its bytes, brings them to an edge, and looks on. What an edge says of it
raises what is shown and no more, as with own payments. Fates are proved: a receipt under a certified header says what
came of it, and a newer proof of its payer's account that it can never be executed - its validity is over and its slot
is free, another transaction took its slot, or one before it is dead. It is called `UNKNOWN` in the end if its slot was
used and no edge shows its receipt until a day after its validity.

Rows are written when a promise is taken and when it has its fate; what lies between is heard again after a restart.
At most `most` are kept. To make room the finished ones go first, oldest first; open ones never go by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from supervm.common.contract.records import Reader, Record
from supervm.protocol.base.address import encode_address
from supervm.protocol.base.codec import decode
from supervm.protocol.light.client import ReceiptProof
from supervm.protocol.money.transaction import SignedTransaction, parse_transaction
from supervm.protocol.money.transfer import Transfer
from supervm.protocol.state.leaves import write_asset

from ..tables import PROMISES, PromiseRow
from .kept import KeptProof, KeptProofs

PROMISED, ACCEPTED, CERTIFIED, FINAL = "promised", "accepted", "certified", "final"
PROVED, EXPIRED, UNKNOWN = "proved", "expired", "unknown"
ON_THE_WAY: Final = (PROMISED, ACCEPTED, CERTIFIED, FINAL)
"""How far one is that has no fate yet, in order; all but the first are an edge's word."""
GIVE_UP_MS: Final = 86_400_000
"""How long after its validity the receipt of one is asked for whose slot was used."""

_PAST = "its validity passed before it was executed"
_TAKEN = "another payment of the payer took its place"
_BEHIND = "a payment of the payer before it can no longer execute, so this one never can"
_NO_RECEIPT = "its place was used, and no edge shows by what; if by this payment, only the payer's phone may know"


@dataclass(slots=True)
class Promise:
    """A payment of somebody else.

    Attributes:
        number: 1, 2, ... in the order in which they were taken.
        transaction: what was signed.
        status: one of `ON_THE_WAY`, `PROVED`, `EXPIRED`, `UNKNOWN`.
        result: ``executed`` or ``failed`` once it is proved, else empty.
        reason: why it is over, or what an edge says against it; else empty.
        taken_us: when it was handed over.
        done_us: when it got its fate; 0 before.
        receipt: the bytes of its `ReceiptProof`; empty before it is proved.
        executed_ms, executed_height: of the block that executed it; 0 before it is proved.
    """

    number: int
    transaction: SignedTransaction
    status: str
    result: str
    reason: str
    taken_us: int
    done_us: int = 0
    receipt: bytes = b""
    executed_ms: int = 0
    executed_height: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it has no fate yet."""
        return self.status in ON_THE_WAY

    @property
    def slot(self) -> tuple[bytes, int, bytes]:
        """Sender, `seq` and `prev`."""
        body = self.transaction.body
        return body.sender, body.seq, body.prev


class Promises:
    """The promises, by transaction id.

    Args:
        reader: what is durable.
        chain_id: the network.
        kept: the proofs of their payers.
        most: how many are kept.
    """

    def __init__(self, reader: Reader, chain_id: bytes, kept: KeptProofs, most: int) -> None:
        self.most = most
        self.kept = kept
        self._all: dict[bytes, Promise] = {}
        self._slots: dict[tuple[bytes, int, bytes], Promise] = {}  # of open ones
        self._payers: dict[bytes, dict[bytes, Promise]] = {}  # payer -> id -> open one
        self._dirty: dict[bytes, None] = {}
        self.changed: dict[bytes, None] = {}
        """Ids of those whose status has changed since somebody looked."""
        for row in sorted(PROMISES.rows(reader), key=lambda row: row.number):
            transaction = parse_transaction(row.raw, chain_id)
            promise = Promise(
                row.number, transaction, row.status, row.result, row.reason, row.taken_us, row.done_us, row.receipt
            )
            if row.receipt:
                _date(promise)
            self._add(promise)
        self._last = max((promise.number for promise in self._all.values()), default=0)

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Promise]:
        return iter(self._all.values())

    def get(self, transaction_id: bytes) -> Promise | None:
        """Return the promise of an id, or None."""
        return self._all.get(transaction_id)

    def open(self) -> list[Promise]:
        """Return those without a fate, by payer and slot: the order in which an edge can use them."""
        return sorted(self._slots.values(), key=lambda promise: promise.slot)

    def rival(self, transaction: SignedTransaction) -> Promise | None:
        """Return an open promise of the same slot that is another transaction."""
        body = transaction.body
        known = self._slots.get((body.sender, body.seq, body.prev))
        return known if known is not None and known.transaction.id != transaction.id else None

    def is_payer(self, account: bytes) -> bool:
        """Return whether a promise of this account is open."""
        return account in self._payers

    def of_payer(self, account: bytes) -> list[Promise]:
        """Return the open promises of an account, in slot order."""
        return sorted(self._payers.get(account, {}).values(), key=lambda promise: promise.slot)

    # --- what is handed over ------------------------------------------------------------------------------------------

    def room(self) -> int:
        """Return how many more can be taken."""
        return max(0, self.most - len(self._slots))

    def take(self, transaction: SignedTransaction, now_us: int) -> Promise:
        """Keep a payment; there must be `room`."""
        if len(self._all) >= self.most:
            oldest = next(promise for promise in self._all.values() if not promise.is_open)
            self.drop(oldest)
        self._last += 1
        promise = Promise(self._last, transaction, PROMISED, "", "", now_us)
        self._add(promise)
        self._dirty[transaction.id] = None
        return promise

    def drop(self, promise: Promise) -> None:
        """Forget a promise, and what is proved of its payer if no other needs it."""
        account = promise.transaction.body.sender
        del self._all[promise.transaction.id]
        self._close(promise)
        self._dirty[promise.transaction.id] = None
        if not any(other.transaction.body.sender == account for other in self._all.values()):
            self.kept.forget(account)

    def _add(self, promise: Promise) -> None:
        self._all[promise.transaction.id] = promise
        if promise.is_open:
            self._slots[promise.slot] = promise
            self._payers.setdefault(promise.slot[0], {})[promise.transaction.id] = promise

    def _close(self, promise: Promise) -> None:
        """Take it out of those that are open, if it is one."""
        if self._slots.get(promise.slot) is promise:
            del self._slots[promise.slot]
        payer = self._payers.get(promise.slot[0])
        if payer is not None and payer.pop(promise.transaction.id, None) is not None and not payer:
            del self._payers[promise.slot[0]]

    # --- what is heard and proved -------------------------------------------------------------------------------------

    def claim(self, transaction_id: bytes, status: str, reason: str) -> Promise | None:
        """Take an edge's word; return the promise if that says anything new. An empty status only says a reason."""
        promise = self._all.get(transaction_id)
        if promise is None or not promise.is_open:
            return None
        if not status:
            promise.reason = reason
            return promise
        if ON_THE_WAY.index(status) <= ON_THE_WAY.index(promise.status):
            return None
        promise.status, promise.reason = status, ""
        self.changed[transaction_id] = None
        return promise

    def receipt(self, transaction_id: bytes, proof: bytes, *, executed: bool, now_us: int) -> Promise | None:
        """Take a checked receipt; return the promise whose fate it told."""
        promise = self._all.get(transaction_id)
        if promise is None or promise.status == PROVED:
            return None
        promise.receipt, promise.result = proof, "executed" if executed else "failed"
        _date(promise)
        self._end(promise, PROVED, "" if executed else "the chain refused it at execution: too little money", now_us)
        return promise

    def prove(self, account: bytes, now_us: int) -> None:
        """Look at the promises of an account after a newer proof of it, which `kept` has."""
        proof = self.kept.get(account, b"")
        if proof is None:
            return
        dead: dict[bytes, None] = {}
        for promise in self.of_payer(account):
            reason = _death(promise, proof, dead)
            if reason:
                if reason != _NO_RECEIPT:
                    dead[promise.transaction.id] = None
                self._end(promise, UNKNOWN if reason == _NO_RECEIPT else EXPIRED, reason, now_us)

    def waits_for_receipt(self, promise: Promise) -> bool:
        """Return whether the slot of an open promise is proved to be used, so that its receipt tells by what."""
        proof = self.kept.get(promise.slot[0], b"")
        return proof is not None and promise.slot[1] < proof.next_seq

    def _end(self, promise: Promise, status: str, reason: str, now_us: int) -> None:
        promise.status, promise.reason, promise.done_us = status, reason, now_us
        self._close(promise)
        self._dirty[promise.transaction.id] = None
        self.changed[promise.transaction.id] = None

    # --- rows ---------------------------------------------------------------------------------------------------------

    def take_records(self) -> list[Record]:
        """Return what must be written, and start anew."""
        records: list[Record] = []
        for transaction_id in self._dirty:
            promise = self._all.get(transaction_id)
            if promise is None:
                records.append(PROMISES.delete(transaction_id))
                continue
            status = PROMISED if promise.is_open else promise.status
            records.append(
                PROMISES.put(
                    PromiseRow(
                        transaction_id,
                        promise.number,
                        promise.transaction.raw,
                        status,
                        promise.result,
                        promise.reason,
                        promise.taken_us,
                        promise.done_us,
                        promise.receipt,
                    )
                )
            )
        self._dirty = {}
        return records


def _death(promise: Promise, proof: KeptProof, dead: dict[bytes, None]) -> str:
    """Say why a promise can never be executed, seen from a proof of its payer; empty while it may be, or was."""
    body = promise.transaction.body
    if body.prev in dead:
        return _BEHIND
    if body.seq < proof.next_seq:
        if body.seq == proof.next_seq - 1 and proof.head != promise.transaction.id:
            return _TAKEN
        return _NO_RECEIPT if body.valid_until_ms + GIVE_UP_MS < proof.ts_ms else ""
    if body.seq == proof.next_seq and body.prev != proof.head:
        return _TAKEN
    return _PAST if body.valid_until_ms < proof.ts_ms else ""


def _date(promise: Promise) -> None:
    """Read from a checked receipt which block executed the promise."""
    header = decode(ReceiptProof, promise.receipt).header
    promise.executed_ms, promise.executed_height = header.ts_ms, header.height


def show_promise(
    promise: Promise, kept: KeptProof | None, covered: bool | None, *, test_network: bool
) -> dict[str, Any]:
    """Return what the control socket and ``--json`` say of a promise.

    Args:
        promise: which.
        kept: what is proved of the payer's balance in the asset that is paid, or None.
        covered: whether that covers it and what comes before it; None if nothing is proved.
        test_network: which addresses are shown.
    """
    body = promise.transaction.body
    is_transfer = isinstance(body, Transfer)
    return {
        "id": promise.transaction.id.hex(),
        "from": encode_address(body.sender, test=test_network),
        "to": encode_address(body.to, test=test_network) if isinstance(body, Transfer) else None,
        "kind": "transfer" if is_transfer else "issue",
        "asset": write_asset(body.asset) if isinstance(body, Transfer) else promise.transaction.id.hex(),
        "amount": body.amount if isinstance(body, Transfer) else body.supply,
        "status": promise.status,
        "result": promise.result or None,
        "reason": promise.reason or None,
        "settled": promise.status == PROVED and promise.result == "executed",
        "seq": body.seq,
        "valid_until_ms": body.valid_until_ms,
        "balance": None if kept is None else kept.amount,
        "balance_height": None if kept is None else kept.height,
        "balance_ms": None if kept is None else kept.ts_ms,
        "covered": covered,
        "height": promise.executed_height or None,
        "was_settled_before": bool(promise.executed_ms) and promise.executed_ms * 1000 < promise.taken_us,
        "taken_us": promise.taken_us,
    }
