"""Proofs for those below: subscriptions, proofs of leaves, receipts, fresh checkpoints (decisions.md, Who does what).

Everything is served under the newest checkpoint that is certified *and* executed here, so whoever receives it can check
it alone. A subscription is of accounts: it is answered at once with the leaves of each that are known here - its own
and what it holds of other assets - and again with every leaf of it that a block touches, also one that is new or gone.
What blocks touch is gathered until a checkpoint certifies them, then pushed, at most once per `push_interval_us`, each
leaf proved once for all who want it. Whoever is subscribed, and every L3, also gets the bare checkpoint every two
seconds, so that an untouched leaf's proof can be renewed without asking.

Proofs are made under the certified height while the state is some blocks ahead. So the changes of those blocks are kept
whole, not those of today's subscribers alone: who subscribes in between hears of them when they are certified.
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
from supervm.protocol.state.leaves import account_leaf_id, holding_leaf_id, parse_leaf_id
from supervm.protocol.state.state import StateChange
from supervm.protocol.wire.fields import FORWARD_MAX
from supervm.protocol.wire.frames import FRAME_BYTES_MAX
from supervm.protocol.wire.payments import (
    GetLeaves,
    GetReceipt,
    LeafProofs,
    ReceiptAnswer,
    Subscribe,
    Unsubscribe,
)

from ..options import SERVING_OPTIONS, MinerOptions
from .advance import Advance
from .replica import Replica

EDGE_TIER = 3
PUSH_LEAVES_MAX = 1_024
"""Leaves proved for one client per push, or at once when it subscribes; the others follow with the next."""
_ENVELOPE_BYTES = 4_096
_PROOF_ENVELOPE_BYTES = 80
"""The leaf's id, and what the wire puts around id and proof."""


@dataclass(slots=True)
class _Client:
    is_edge: bool
    accounts: dict[bytes, None] = field(default_factory=dict)
    due: dict[bytes, None] = field(default_factory=dict)  # leaf ids
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

    takes = frozenset({GetLeaves, GetReceipt, Subscribe, Unsubscribe})
    sends = frozenset({LeafProofs, ReceiptAnswer})
    options = SERVING_OPTIONS

    def __init__(self, replica: Replica, options: MinerOptions, outbox: Outbox, manners: Manners) -> None:
        self._manners = manners
        self._replica = replica
        self._options = options
        self._outbox = outbox
        self._clients: dict[bytes, _Client] = {}
        self._subscribers: dict[bytes, dict[bytes, None]] = {}
        self._uncertified: deque[tuple[int, StateChange]] = deque()
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

    def receive(self, now_us: int, peer: bytes, message: Subscribe | Unsubscribe | GetLeaves | GetReceipt) -> None:
        """Take a question, or what a client wants to be told of.

        Raises:
            RemoteProtocolError: more accounts than one connection may subscribe (code ``subscriptions``), or what is
                no id of a leaf (code ``bad-leaf``).
        """
        match message:
            case Subscribe(accounts):
                self._subscribe(now_us, peer, accounts)
            case Unsubscribe(accounts):
                self._unsubscribe(peer, accounts)
            case GetLeaves(leaf_ids):
                self._answer(now_us, peer, leaf_ids)
            case GetReceipt(transaction_id):
                self._receipt(now_us, peer, transaction_id)

    def _subscribe(self, now_us: int, peer: bytes, accounts: Sequence[bytes]) -> None:
        """Add subscriptions and send the proofs of what is known of these accounts."""
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
        leaf_ids = self._leaves_of(dict.fromkeys(accounts))
        is_short = len(leaf_ids) <= PUSH_LEAVES_MAX  # more than that at once, and the connection's queue overflows
        if is_short and self._is_servable() and self._granted(now_us, peer, len(leaf_ids)) == len(leaf_ids):
            self._send(now_us, peer, client, leaf_ids)
        else:
            client.due.update(dict.fromkeys(leaf_ids))
            self._is_due = True

    def _leaves_of(self, accounts: Iterable[bytes]) -> list[bytes]:
        ledger = self._replica.ledger
        return [leaf_id for account in accounts for leaf_id in ledger.leaf_ids_of(account)]

    def _granted(self, now_us: int, peer: bytes, count: int) -> int:
        return self._manners.take(now_us, peer, "accounts", count, each=ACCOUNT)

    def _unsubscribe(self, peer: bytes, accounts: Iterable[bytes]) -> None:
        """End subscriptions."""
        client = self._clients[peer]
        gone = [account for account in dict.fromkeys(accounts) if account in client.accounts]
        self._changed = True
        for account in gone:
            del client.accounts[account]
        if gone and client.due:
            client.due = {leaf_id: None for leaf_id in client.due if parse_leaf_id(leaf_id).account in client.accounts}
        self._unlink(peer, gone)

    def _unlink(self, peer: bytes, accounts: Iterable[bytes]) -> None:
        for account in accounts:
            peers = self._subscribers[account]
            del peers[peer]
            if not peers:
                del self._subscribers[account]

    def _answer(self, now_us: int, peer: bytes, leaf_ids: Sequence[bytes]) -> None:
        """Answer a request for proofs; an empty one asks for the newest checkpoint alone.

        What exceeds the peer's share stays unanswered: it asks again.
        """
        for leaf_id in leaf_ids:
            parse_leaf_id(leaf_id)
        client = self._clients[peer]
        granted = self._granted(now_us, peer, max(1, len(leaf_ids)))
        if granted and self._is_servable():
            self._send(now_us, peer, client, list(dict.fromkeys(leaf_ids[:granted])))

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
        if advance is not None:
            self._follow(advance)
        if height != self._height:
            self._certify(height)
        self._push_due(now_us)

    def _follow(self, advance: Advance) -> None:
        """Note what the state has become."""
        if advance.changed is None:  # another state took its place: what was subscribed is told anew
            self._uncertified.clear()
            for client in self._clients.values():
                client.due.update(dict.fromkeys(self._leaves_of(client.accounts)))
                self._is_due = self._is_due or bool(client.due)
        for applied in advance.blocks:
            change = applied.result.change
            if change.accounts or change.holdings:
                self._uncertified.append((applied.header.height, change))

    def _certify(self, height: int) -> None:
        """Follow the newest certified height: what was touched up to it becomes due."""
        self._height = height
        self._changed = True
        while self._uncertified and self._uncertified[0][0] <= height:
            change, subscribers = self._uncertified.popleft()[1], self._subscribers
            for account in change.accounts:
                if account in subscribers:
                    self._touched(account, account_leaf_id(account))
            for account, asset in change.holdings:
                if account in subscribers:
                    self._touched(account, holding_leaf_id(account, asset))

    def _touched(self, account: bytes, leaf_id: bytes) -> None:
        for peer in self._subscribers[account]:
            self._clients[peer].due[leaf_id] = None
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
        leaf_ids = list(islice(client.due, PUSH_LEAVES_MAX))
        for leaf_id in leaf_ids:
            del client.due[leaf_id]
        self._is_due = self._is_due or bool(client.due)
        self._send(now_us, peer, client, leaf_ids)

    def _send(self, now_us: int, peer: bytes, client: _Client, leaf_ids: list[bytes]) -> None:
        checkpoint = self._replica.certified.raw
        client.sent_height, client.sent_us = self._replica.certified_height, now_us
        self._changed = True
        chunk: list[tuple[bytes, bytes]] = []
        room = FRAME_BYTES_MAX - len(checkpoint) - _ENVELOPE_BYTES
        left = room
        for item in self._prove(leaf_ids):
            size = len(item[1]) + _PROOF_ENVELOPE_BYTES
            if chunk and (size > left or len(chunk) == FORWARD_MAX):
                self._outbox.send(peer, LeafProofs(checkpoint, tuple(chunk)))
                chunk, left = [], room
            chunk.append(item)
            left -= size
        self._outbox.send(peer, LeafProofs(checkpoint, tuple(chunk)))

    def _prove(self, leaf_ids: list[bytes]) -> list[tuple[bytes, bytes]]:
        height = self._replica.certified_height
        if height != self._proofs_height:
            self._proofs, self._proofs_height = {}, height
        known = self._proofs
        missing = [leaf_id for leaf_id in leaf_ids if leaf_id not in known]
        if missing:
            known.update(self._replica.ledger.prove_leaves(height, missing) or ())
        return [(leaf_id, known[leaf_id]) for leaf_id in leaf_ids]
