"""One connection of the load: a phone's side of the protocol for thousands of accounts, without a phone's journal.

It speaks to an edge as an L4 does: it subscribes its accounts, sends each payment in a message of its own, hears what
the edge says of it, and believes only proofs. A payment is through (R4) when a leaf of its account, under a checkpoint
that a quorum signed, shows it as executed; leaves of accounts that were paid are verified just the same. What a phone
does and this does not: unlocking a wallet, writing each payment to a disk before it leaves, choosing between edges.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from supervm.protocol.base.keys import SigningKey, verify
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.light.client import LightClient, anchor_of
from supervm.protocol.state.leaves import ACCOUNT, parse_leaf_id
from supervm.protocol.wire.fields import FORWARD_MAX
from supervm.protocol.wire.payments import (
    LEVEL_EXPIRED,
    LEVEL_REFUSED,
    FeeTerms,
    LeafProofs,
    Status,
    Submit,
    Subscribe,
)

from ...contract.core import Outbox, PeerDown, PeerUp
from ...parts.buckets import Rate
from ...parts.manners import Budget, Rank
from ...parts.part import Part
from ...parts.shell import Shell
from .accounts import Owner, Payment

_FREELY: Final = Rate(10**9, 10**12)
_BUDGETS: Final = {rank: Budget({"link": _FREELY, "answers": _FREELY}) for rank in Rank}
"""The load has one edge and takes whatever that sends."""


class Info(msgspec.Struct, frozen=True):
    """Nobody asks."""


class Send(msgspec.Struct, frozen=True):
    """Send payments now, each in a message of its own; answered at once."""

    payments: Sequence[Payment]


class Payer(Part):
    """The accounts of one connection.

    Args:
        outbox: where messages go.
        client: believes checkpoints.
        owners: account id -> account, of this connection's.
        clock_s: returns the time that latencies are taken by.
        on_proved: told of payments that are through, and of their number.
    """

    takes = frozenset({Status, LeafProofs, FeeTerms})
    sends = frozenset({Submit, Subscribe})
    answers = (Send,)

    def __init__(
        self,
        outbox: Outbox,
        client: LightClient,
        owners: dict[bytes, Owner],
        clock_s: Callable[[], float],
        on_proved: Callable[[list[Payment]], None],
    ) -> None:
        self._outbox, self._client, self._owners = outbox, client, owners
        self._clock_s, self._on_proved = clock_s, on_proved
        self._edge: bytes | None = None
        self._open: dict[bytes, Payment] = {}
        self.missing = set(owners)
        """Accounts of which nothing is proved yet."""
        self.terms: FeeTerms | None = None
        """What the edge takes, once it has said so."""
        self.refusals: dict[str, int] = {}
        """Refusals by their reason."""
        self.ready: Callable[[], None] = lambda: None
        """Called when something is known that was not."""

    def peer_up(self, now_us: int, event: PeerUp) -> None:
        """Subscribe all accounts."""
        self._edge = event.peer
        accounts = list(self._owners)
        for start in range(0, len(accounts), FORWARD_MAX):
            self._outbox.send(event.peer, Subscribe(tuple(accounts[start : start + FORWARD_MAX])))

    def peer_down(self, now_us: int, event: PeerDown) -> None:
        """Nothing can be sent until the edge is back."""
        self._edge = None

    def command(self, now_us: int, token: int, request: Send) -> None:
        """Send payments; while no edge is there, they count as sent and are repeated later."""
        now_s = self._clock_s()
        for payment in request.payments:
            payment.sent_s, payment.level = now_s, -1
            self._open[payment.id] = payment
            if self._edge is not None:
                self._outbox.send(self._edge, Submit((payment.raw,)))
        self._outbox.reply(token, None)

    def receive(self, now_us: int, peer: bytes, message: Status | LeafProofs | FeeTerms) -> None:
        """Take what the edge says and proves."""
        match message:
            case Status(items):
                for item in items:
                    self._heard(item.transaction_id, item.level, item.reason)
            case LeafProofs():
                self._proofs(now_us, message)
            case FeeTerms():
                self.terms = message
                self.ready()

    def _heard(self, transaction_id: bytes, level: int, reason: str) -> None:
        payment = self._open.get(transaction_id)
        if payment is not None:
            payment.level = level
        if level in (LEVEL_REFUSED, LEVEL_EXPIRED):
            self.refusals[reason] = self.refusals.get(reason, 0) + 1

    def _proofs(self, now_us: int, message: LeafProofs) -> None:
        header = self._client.accept_checkpoint(message.checkpoint, now_us // 1000)
        for leaf_id, proof in message.proofs:
            kind, account, _ = parse_leaf_id(leaf_id)
            owner = self._owners.get(account)
            if kind != ACCOUNT or owner is None:
                continue
            proved = self._client.prove_account(header, account, proof)
            if account in self.missing:
                self.missing.remove(account)
                if not self.missing:
                    self.ready()
            done = owner.prove(proved.account, self._clock_s())
            if done:
                for payment in done:
                    self._open.pop(payment.id, None)
                self._on_proved(done)


class LoadClient(Shell):
    """A core that is an L4 to an edge.

    Args:
        chain: the network.
        key: its node key.
        edge: node id and address of the edge.
        owners: its accounts.
        clock_s: as for `Payer`.
        on_proved: as for `Payer`.

    Attributes:
        payer: the accounts.
    """

    PARTS = (Payer,)
    TIER = 4
    INFO = Info

    def __init__(
        self,
        chain: Chain,
        key: SigningKey,
        *,
        edge: tuple[bytes, str],
        owners: Sequence[Owner],
        clock_s: Callable[[], float],
        on_proved: Callable[[list[Payment]], None],
    ) -> None:
        super().__init__(targets=[edge], rng=random.Random(1), budgets=_BUDGETS)  # noqa: S311 - jitter of a dial
        self.node_id, self.chain_id = key.public, chain.chain_id
        self._client = LightClient(anchor_of(chain), verify, trusting_period_ms=None)
        self.payer = Payer(self.outbox, self._client, {owner.account: owner for owner in owners}, clock_s, on_proved)
        self.compose((self.links, self.payer))

    @property
    def height(self) -> int:
        """The newest header that is believed."""
        return self._client.header.height

    def rank(self, event: PeerUp) -> Rank:
        """Its edge."""
        return Rank.NAMED
