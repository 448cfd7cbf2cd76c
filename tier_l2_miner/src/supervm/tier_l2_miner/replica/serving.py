"""Proofs for those below: subscriptions, account proofs, receipts, and fresh checkpoints (decisions.md, Who does what).

Everything is served under the newest checkpoint that is certified *and* executed here, so whoever receives it can check
it alone. A subscription is answered at once and again whenever a block touches one of its accounts: what the blocks
touch is gathered until a checkpoint certifies them, then pushed, at most once per `push_interval_us`, each account
proved once for all who want it. Whoever is subscribed, and every L3, also gets the bare checkpoint every two seconds,
so that an untouched account's proof can be renewed without asking.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from supervm.common.contract.core import Outbox, PeerDown, PeerUp, earliest
from supervm.common.parts.costs import ACCOUNT, RECEIPT
from supervm.common.parts.manners import Manners
from supervm.common.parts.part import Part
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.wire.fields import FORWARD_MAX
from supervm.protocol.wire.frames import FRAME_BYTES_MAX
from supervm.protocol.wire.payments import (
    AccountProofs,
    GetAccounts,
    GetReceipt,
    ReceiptAnswer,
    Subscribe,
    Unsubscribe,
)

from ..options import SERVING_OPTIONS, MinerOptions
from .replica import Replica

EDGE_TIER = 3
PUSH_ACCOUNTS_MAX = 1_024
"""Accounts proved for one client per push; the others follow with the next."""
_ENVELOPE_BYTES = 4_096
_PROOF_ENVELOPE_BYTES = 40


@dataclass(slots=True)
class _Client:
    is_edge: bool
    accounts: dict[bytes, None] = field(default_factory=dict)
    due: dict[bytes, None] = field(default_factory=dict)
    sent_height: int = 0
    sent_us: int = 0


class Serving(Part):
    """What one miner's clients are sent.

    Args:
        replica: state and the newest certified checkpoint.
        options: bounds.
        outbox: where effects go.
        manners: how much a client may ask for.
    """

    takes = frozenset({GetAccounts, GetReceipt, Subscribe, Unsubscribe})
    sends = frozenset({AccountProofs, ReceiptAnswer})
    options = SERVING_OPTIONS

    def __init__(self, replica: Replica, options: MinerOptions, outbox: Outbox, manners: Manners) -> None:
        self._manners = manners
        self._replica = replica
        self._options = options
        self._outbox = outbox
        self._clients: dict[bytes, _Client] = {}
        self._subscribers: dict[bytes, dict[bytes, None]] = {}
        self._touched: deque[tuple[int, tuple[bytes, ...]]] = deque()
        self._is_due = False
        self._height = 0
        self._changed = True
        self._stale_us: int | None = None
        self._pushed_us = 0
        self._proofs: dict[bytes, bytes] = {}
        self._proofs_height = -1

    @property
    def deadline_us(self) -> int | None:
        """When something is to be pushed."""
        if not self._is_servable():
            return None
        push_us = self._pushed_us + self._options.push_interval_us if self._is_due else None
        return earliest(self._stale_at_us(), push_us)

    def _stale_at_us(self) -> int | None:
        """Return when the next client is to have the bare checkpoint; looked for only after something has changed."""
        if self._changed:
            self._changed = False
            self._stale_us = min(
                (
                    client.sent_us + self._options.checkpoint_interval_us
                    for client in self._clients.values()
                    if client.sent_height < self._height and (client.is_edge or client.accounts)
                ),
                default=None,
            )
        return self._stale_us

    # --- clients ------------------------------------------------------------------------------------------------

    def peer_up(self, now_us: int, event: PeerUp) -> None:
        """Note a peer that may ask; an L3 is sent checkpoints without asking."""
        self._forget(event.peer)  # a connection that replaces another starts without subscriptions
        self._clients[event.peer] = _Client(event.tier == EDGE_TIER, sent_us=now_us)

    def peer_down(self, now_us: int, event: PeerDown) -> None:
        """Forget a peer and its subscriptions."""
        self._forget(event.peer)

    def _forget(self, peer: bytes) -> None:
        client = self._clients.pop(peer, None)
        self._changed = True
        if client is not None:
            self._unlink(peer, client.accounts)

    @property
    def listeners(self) -> list[bytes]:
        """Those who verify what comes from here: edges, and whoever is subscribed."""
        return [peer for peer, client in self._clients.items() if client.is_edge or client.accounts]

    def receive(self, now_us: int, peer: bytes, message: Subscribe | Unsubscribe | GetAccounts | GetReceipt) -> None:
        """Take a question, or what a client wants to be told of.

        Raises:
            RemoteProtocolError: more accounts than one connection may subscribe (code ``subscriptions``).
        """
        match message:
            case Subscribe(accounts):
                self._subscribe(now_us, peer, accounts)
            case Unsubscribe(accounts):
                self._unsubscribe(peer, accounts)
            case GetAccounts(accounts):
                self._answer(now_us, peer, accounts)
            case GetReceipt(transaction_id):
                self._receipt(now_us, peer, transaction_id)

    def _subscribe(self, now_us: int, peer: bytes, accounts: Sequence[bytes]) -> None:
        """Add subscriptions and send the proofs of these accounts."""
        client = self._clients[peer]
        new = [account for account in dict.fromkeys(accounts) if account not in client.accounts]
        if len(client.accounts) + len(new) > self._options.subscriptions_max:
            raise RemoteProtocolError(
                f"a connection may subscribe at most {self._options.subscriptions_max} accounts",
                penalty=50,
                code="subscriptions",
            )
        self._changed = True
        for account in new:
            client.accounts[account] = None
            self._subscribers.setdefault(account, {})[peer] = None
        if self._is_servable() and self._granted(now_us, peer, len(accounts)) == len(accounts):
            self._send(now_us, peer, client, list(dict.fromkeys(accounts)))
        else:
            client.due.update(dict.fromkeys(accounts))
            self._is_due = True

    def _granted(self, now_us: int, peer: bytes, count: int) -> int:
        return self._manners.take(now_us, peer, "accounts", count, each=ACCOUNT)

    def _unsubscribe(self, peer: bytes, accounts: Iterable[bytes]) -> None:
        """End subscriptions."""
        client = self._clients[peer]
        gone = [account for account in dict.fromkeys(accounts) if account in client.accounts]
        self._changed = True
        for account in gone:
            del client.accounts[account]
            client.due.pop(account, None)
        self._unlink(peer, gone)

    def _unlink(self, peer: bytes, accounts: Iterable[bytes]) -> None:
        for account in accounts:
            peers = self._subscribers[account]
            del peers[peer]
            if not peers:
                del self._subscribers[account]

    def _answer(self, now_us: int, peer: bytes, accounts: Sequence[bytes]) -> None:
        """Answer a request for proofs; an empty one asks for the newest checkpoint alone.

        What exceeds the peer's share stays unanswered: it asks again.
        """
        client = self._clients[peer]
        granted = self._granted(now_us, peer, max(1, len(accounts)))
        if granted and self._is_servable():
            self._send(now_us, peer, client, list(dict.fromkeys(accounts[:granted])))

    def _receipt(self, now_us: int, peer: bytes, transaction_id: bytes) -> None:
        """Answer a request for a receipt; beyond the peer's share it stays unanswered."""
        checkpoint = self._replica.certified.newest
        if not self._manners.take(now_us, peer, "receipts", 1, each=RECEIPT):
            return
        proof = None if checkpoint is None else self._replica.ledger.prove_receipt(transaction_id, checkpoint)
        self._outbox.send(peer, ReceiptAnswer(transaction_id, proof or b""))

    # --- pushes -------------------------------------------------------------------------------------------------

    def settle(self, now_us: int) -> None:
        """Note what this step has executed and certified; push what is due."""
        advance, height = self._replica.advance, self._replica.certified_height
        for applied in () if advance is None else advance.blocks:
            self._touch(applied.header.height, applied.result.changes)
        if height != self._height:
            self._certify(height)
        self._push_due(now_us)

    def _touch(self, height: int, accounts: Iterable[bytes]) -> None:
        """Note the accounts that the block at `height` changed."""
        subscribers = self._subscribers
        wanted = tuple(account for account in accounts if account in subscribers)
        if wanted:
            self._touched.append((height, wanted))

    def _certify(self, height: int) -> None:
        """Follow the newest certified height: what was touched up to it becomes due."""
        self._height = height
        self._changed = True
        while self._touched and self._touched[0][0] <= height:
            for account in self._touched.popleft()[1]:
                for peer in self._subscribers.get(account, ()):
                    self._clients[peer].due[account] = None
                    self._is_due = True

    def _push_due(self, now_us: int) -> None:
        """Push what is due, and the bare checkpoint to those who have not had one for a while."""
        if not self._is_servable():
            return
        if self._is_due and self._pushed_us + self._options.push_interval_us <= now_us:
            self._is_due = False
            self._pushed_us = now_us
            for peer, client in self._clients.items():
                if client.due:
                    self._push(now_us, peer, client)
        stale_us = self._stale_at_us()
        if stale_us is None or stale_us > now_us:
            return
        for peer, client in self._clients.items():
            if (
                client.sent_height < self._height
                and client.sent_us + self._options.checkpoint_interval_us <= now_us
                and (client.is_edge or client.accounts)
            ):
                self._send(now_us, peer, client, [])

    def _is_servable(self) -> bool:
        certified = self._replica.certified.newest
        return certified is not None and self._replica.ledger.view(certified.header.height) is not None

    def _push(self, now_us: int, peer: bytes, client: _Client) -> None:
        accounts = list(islice(client.due, PUSH_ACCOUNTS_MAX))
        for account in accounts:
            del client.due[account]
        self._is_due = self._is_due or bool(client.due)
        self._send(now_us, peer, client, accounts)

    def _send(self, now_us: int, peer: bytes, client: _Client, accounts: list[bytes]) -> None:
        checkpoint = self._replica.certified.raw
        client.sent_height, client.sent_us = self._replica.certified_height, now_us
        self._changed = True
        chunk: list[tuple[bytes, bytes]] = []
        room = FRAME_BYTES_MAX - len(checkpoint) - _ENVELOPE_BYTES
        left = room
        for item in self._prove(accounts):
            size = len(item[1]) + _PROOF_ENVELOPE_BYTES
            if chunk and (size > left or len(chunk) == FORWARD_MAX):
                self._outbox.send(peer, AccountProofs(checkpoint, tuple(chunk)))
                chunk, left = [], room
            chunk.append(item)
            left -= size
        self._outbox.send(peer, AccountProofs(checkpoint, tuple(chunk)))

    def _prove(self, accounts: list[bytes]) -> list[tuple[bytes, bytes]]:
        height = self._replica.certified_height
        if height != self._proofs_height:
            self._proofs, self._proofs_height = {}, height
        known = self._proofs
        missing = [account for account in accounts if account not in known]
        if missing:
            known.update(self._replica.ledger.prove_accounts(height, missing) or ())
        return [(account, known[account]) for account in accounts]
