"""Bringing payments of others to an edge, and finding out what becomes of them (transactions.md 8).

Theory of operation. Promises go to the edge in use as own payments do, and to a new one when it changes; an edge that
knows one already takes it once more. Each is looked after again after `RETRY_US`, later and later while nothing is
heard of it: what may still be executed is submitted, the payer's account is asked for, and once that shows that the
slot is used, the receipt. Nothing of it touches own lanes, and a refusal of a stranger's payment says nothing about
the edge.

The part also keeps the newest proofs of own accounts as bytes, for containers of this phone's own (`kept`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from supervm.common.contract.core import Outbox
from supervm.common.parts.part import Part
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.light.client import ProvedBalance
from supervm.protocol.money.execution import STATUS_EXECUTED
from supervm.protocol.state.leaves import ACCOUNT, HOLDING, NATIVE, account_leaf_id, parse_leaf_id
from supervm.protocol.wire.fields import FORWARD_MAX
from supervm.protocol.wire.payments import (
    LEVEL_EXPIRED,
    LEVEL_R0,
    LEVEL_R1,
    LEVEL_R3,
    LEVEL_REFUSED,
    GetLeaves,
    GetReceipt,
    LeafProofs,
    ReceiptAnswer,
    Status,
    Submit,
)

from ..events import PromiseChanged
from ..options import HANDOVER_OPTIONS
from ..sync.trust import Trust
from ..sync.uplink import Uplink
from ..tables import HANDOVER_TABLES
from ..wallet.books import Books
from ..wallet.payments import printable
from ..wallet.queue import PaymentQueue
from .kept import KeptProof
from .promises import ACCEPTED, CERTIFIED, FINAL, Promise, Promises

RETRY_US: Final = 3_000_000
"""A promise is looked after again after this, and then later and later."""
SOON_US: Final = 1_000_000
"""The same once an edge says that it is in a finalized block."""
DOUBLINGS_MAX: Final = 5
"""The waits double up to this many times."""

_STATUS: Final = {LEVEL_R0: ACCEPTED, LEVEL_R1: CERTIFIED, LEVEL_R3: FINAL}


@dataclass(slots=True)
class _Watch:
    due_us: int
    tries: int = 0


class Carrier(Part):
    """Promises on their way.

    Args:
        outbox: where messages and events go.
        queue: which accounts are this wallet's, and what is proved of them.
        promises: payments of others.
        trust: the light client; while nothing is believed nothing is submitted.
        uplink: the edge in use.
        books: what is submitted rests on rows that it writes.
    """

    takes = frozenset({Status, LeafProofs, ReceiptAnswer})
    sends = frozenset({Submit, GetLeaves, GetReceipt})
    tables = HANDOVER_TABLES
    options = HANDOVER_OPTIONS
    events = (PromiseChanged,)

    def __init__(
        self, outbox: Outbox, queue: PaymentQueue, promises: Promises, trust: Trust, uplink: Uplink, books: Books
    ) -> None:
        self._outbox = outbox
        self._queue = queue
        self._promises = promises
        self._kept = promises.kept
        self._trust = trust
        self._uplink = uplink
        self._books = books
        self._watched: dict[bytes, _Watch] = {}
        self._next_us = 0  # no promise is due before

    @property
    def deadline_us(self) -> int | None:
        """When the next promise is looked after."""
        return self._next_us if self._watched and self._uplink.active is not None else None

    def started(self, now_us: int) -> None:
        """Go on with what was open when the node stopped."""
        self.edge_changed(now_us)

    def edge_changed(self, now_us: int) -> None:
        """Bring everything to a new edge."""
        self._watched = {promise.transaction.id: _Watch(now_us) for promise in self._promises.open()}
        self._next_us = now_us

    def watch(self, now_us: int, promise: Promise) -> None:
        """Look after a promise from now on."""
        self._look(promise.transaction.id, now_us)

    def _look(self, transaction_id: bytes, due_us: int) -> None:
        self._watched[transaction_id] = _Watch(due_us)
        self._next_us = min(self._next_us, due_us) if len(self._watched) > 1 else due_us

    # --- what is heard ------------------------------------------------------------------------------------------------

    def receive(self, now_us: int, peer: bytes, message: Status | LeafProofs | ReceiptAnswer) -> None:
        """Take what an edge says or proves of promises.

        Raises:
            RemoteProtocolError: a proof does not hold.
        """
        try:
            match message:
                case Status():
                    self._claims(now_us, message)
                case LeafProofs():
                    self._proofs(now_us, message)
                case ReceiptAnswer():
                    self._receipt(now_us, message)
        except RemoteProtocolError as error:
            if not self._trust.excuses(now_us, peer, error, message):
                raise

    def _claims(self, now_us: int, message: Status) -> None:
        if not self._watched:
            return
        for item in message.items:
            if item.transaction_id not in self._watched:
                continue
            if item.level in (LEVEL_REFUSED, LEVEL_EXPIRED):
                self._promises.claim(item.transaction_id, "", f"an edge says: {printable(item.reason)}")
            elif item.level in _STATUS and self._promises.claim(item.transaction_id, _STATUS[item.level], ""):
                self._look(item.transaction_id, now_us + (SOON_US if item.level == LEVEL_R3 else RETRY_US))

    def _proofs(self, now_us: int, message: LeafProofs) -> None:
        wanted = [
            (name.account, name.asset, proof)
            for leaf_id, proof in message.proofs
            if (name := parse_leaf_id(leaf_id)).kind in (ACCOUNT, HOLDING)
            and (name.account in self._queue.lanes or self._promises.is_payer(name.account))
        ]
        if not wanted:
            return
        client = self._trust.client
        header = client.accept_checkpoint(message.checkpoint, now_us // 1000)
        for account, asset, proof in wanted:
            if account in self._queue.lanes:
                self._keep_own(account, asset, header.height, message.checkpoint, proof)
                continue
            known = self._kept.get(account, asset)
            if known is not None and known.height >= header.height:
                continue
            if asset:
                amount = client.prove_holding(header, account, asset, proof)
                holding = ProvedBalance(account, asset, amount, amount > 0, None, header)
                self.take_proof(now_us, KeptProof.of(holding, message.checkpoint, proof))
                continue
            state = client.prove_account(header, account, proof)
            proved = ProvedBalance(account, NATIVE, state.account.balance, state.exists, state.account, header)
            self.take_proof(now_us, KeptProof.of(proved, message.checkpoint, proof))

    def _keep_own(self, account: bytes, asset: bytes, height: int, checkpoint: bytes, proof: bytes) -> None:
        """Keep the bytes of a proof of an own account, which `Sync` has checked in this step and taken."""
        lane = self._queue.lanes[account]
        if asset:
            holding = lane.holdings.get(asset)
            if holding is not None and holding.height == height:
                self._kept.put(
                    KeptProof(account, asset, checkpoint, proof, holding.amount, 0, bytes(32), height, holding.ts_ms)
                )
        elif lane.proved is not None and lane.proved.height == height:
            has = lane.proved
            self._kept.put(
                KeptProof(account, asset, checkpoint, proof, has.balance, has.next_seq, has.head, height, has.ts_ms)
            )

    def take_proof(self, now_us: int, proof: KeptProof) -> None:
        """Take a checked proof of somebody else's balance; receipts that it makes due are asked for at once."""
        known = self._kept.get(proof.account, proof.asset)
        if not self._kept.put(proof) or proof.asset:
            return
        self._promises.prove(proof.account, now_us)
        if known is None or known.next_seq != proof.next_seq:
            for promise in self._promises.of_payer(proof.account):
                if self._promises.waits_for_receipt(promise):
                    self.watch(now_us, promise)

    def _receipt(self, now_us: int, message: ReceiptAnswer) -> None:
        promise = self._promises.get(message.transaction_id)
        if promise is not None and promise.is_open and message.proof:
            self.settle_promise(now_us, message.transaction_id, message.proof)

    def settle_promise(self, now_us: int, transaction_id: bytes, proof: bytes) -> bool:
        """Check a receipt of a promise and settle it; return whether that was news.

        Raises:
            RemoteProtocolError: the receipt does not hold.
        """
        receipt = self._trust.client.check_receipt(proof, transaction_id, now_us // 1000)
        executed = receipt.status == STATUS_EXECUTED
        return self._promises.receipt(transaction_id, proof, executed=executed, now_us=now_us) is not None

    # --- what goes out ------------------------------------------------------------------------------------------------

    def settle(self, now_us: int) -> None:
        """Tell of what has changed, and bring what is due to the edge once all rows are durable."""
        changed, self._promises.changed = self._promises.changed, {}
        for transaction_id in changed:
            promise = self._promises.get(transaction_id)
            if promise is not None:
                self._outbox.publish(PromiseChanged(transaction_id.hex(), promise.status, promise.reason))
        edge = self._uplink.active
        if edge is None or not self._watched or self._next_us > now_us:
            return
        if self._trust.believes(now_us):
            self._bring(edge, now_us)
        else:
            self._next_us = now_us + RETRY_US

    def _bring(self, edge: bytes, now_us: int) -> None:
        raws: list[bytes] = []
        leaves: dict[bytes, None] = {}
        still: dict[bytes, _Watch] = {}
        for promise in self._promises.open():
            transaction_id = promise.transaction.id
            watch = still[transaction_id] = self._watched.get(transaction_id) or _Watch(now_us)
            if watch.due_us > now_us:
                continue
            if self._promises.waits_for_receipt(promise):
                self._outbox.send(edge, GetReceipt(transaction_id))
            elif promise.transaction.body.valid_until_ms * 1000 > now_us:
                raws.append(promise.transaction.raw)
            leaves[account_leaf_id(promise.transaction.body.sender)] = None
            watch.due_us = now_us + (RETRY_US << min(watch.tries, DOUBLINGS_MAX))
            watch.tries += 1
        self._watched = still
        self._next_us = min((watch.due_us for watch in still.values()), default=now_us)
        after = self._books.write(now_us)
        for part in _parts(raws):
            self._outbox.send(edge, Submit(part), after=after)
        for part in _parts(list(leaves)):
            self._outbox.send(edge, GetLeaves(part))

    def info(self, now_us: int) -> dict[str, Any]:
        """Return how many payments of others are kept, and how many of them have no fate yet."""
        return {"promises": {"kept": len(self._promises), "open": len(self._promises.open())}}


def _parts(items: list[bytes]) -> list[tuple[bytes, ...]]:
    return [tuple(items[start : start + FORWARD_MAX]) for start in range(0, len(items), FORWARD_MAX)]
