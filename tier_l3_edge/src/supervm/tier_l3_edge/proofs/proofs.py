"""Account proofs for attached clients: subscriptions, questions, receipts, and the push of what changed.

Theory of operation. The edge subscribes the union of its clients' accounts at one miner, its *source*, and moves when
the source is down, silent or caught lying. Every proof that arrives is verified here before it is cached or passed on
(consensus.md 5): a miner can be slow or stale, never believed. Watchers are sent a proof when it arrives; a question
is answered from the cache while the proof's own header is at most `max_age` old, else from a miner, with one question
in flight per account whoever asks. Absence is proved and cached like presence.

A client never goes below the highest header it has seen, so per connection nothing is sent under a lower height than
was sent before. A client may have seen a higher one elsewhere; one that asks again for what it was just sent gets the
cached answer and a fresh one after it.

Everything is bounded: accounts per peer and in all, questions, receipts, askers. What is lost when a bound is reached
is a question, which the client asks again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from supervm.common.contract.core import Outbox, earliest
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.light.client import LightClient
from supervm.protocol.state.account import Account
from supervm.protocol.wire.fields import FORWARD_MAX
from supervm.protocol.wire.payments import (
    AccountProofs,
    GetAccounts,
    GetReceipt,
    ReceiptAnswer,
    Subscribe,
    Unsubscribe,
    ValidatorChanges,
)

from ..relay.routes import NEWS_US_MAX, Routes
from .cache import CachedProof, ProofCache, SharedCheckpoint
from .headers import Headers
from .questions import Questions

WATCHED_MAX = 100_000
"""Most accounts that all peers together subscribe."""
BARE_US = 5_000_000
"""Time between checkpoints without proofs to a client that subscribes something."""
PATIENCE_US_MAX = 60_000_000
"""A source without news is left after 3 s, doubling to this while nothing helps."""
CURRENT_MS_MAX = 2_000
"""Age up to which a header says what is, and not what was, of an account that is not subscribed."""
SOURCE_MS_MAX = 5_000
"""The same for a subscribed one: its source pushes every change, so only the source's own lag counts."""
ANSWER_BYTES_MAX = 512 * 1024
"""Most bytes of proofs in one message."""
AGAIN_US = 10_000_000
"""A question repeated within this time says that the cached answer did not help."""


@dataclass(slots=True)
class _Client:
    """What is known of one client connection."""

    accounts: dict[bytes, None] = field(default_factory=dict)
    served: dict[bytes, int] = field(default_factory=dict)  # account -> when it was last answered from the cache
    floor: int = 0  # highest height it was sent
    out: dict[bytes, CachedProof] = field(default_factory=dict)  # what this step sends it


class Proofs:
    """The edge's read side.

    Args:
        outbox: where effects go.
        routes: the miners.
        light: verifies proofs.
        headers: verifies checkpoints.
        cache: keeps proofs.
        subscriptions_max: most accounts that one peer may subscribe.
    """

    def __init__(
        self,
        outbox: Outbox,
        routes: Routes,
        light: LightClient,
        headers: Headers,
        cache: ProofCache,
        *,
        subscriptions_max: int,
    ) -> None:
        self._outbox = outbox
        self._routes = routes
        self._light = light
        self._headers = headers
        self._cache = cache
        self._subscriptions_max = subscriptions_max
        self._clients: dict[bytes, _Client] = {}
        self._watchers: dict[bytes, dict[bytes, None]] = {}
        self._questions = Questions(routes, self._ask_accounts)
        self._receipts = Questions(routes, self._ask_receipts)
        self._answered: dict[bytes, None] = {}  # clients with something in `out`
        self._bare_us = 0
        self.source: bytes | None = None
        """The miner that pushes the clients' accounts."""
        self._source_news_us = 0
        self._patience_us = NEWS_US_MAX

    # --- what the edge itself knows ----------------------------------------------------------------------------------

    @property
    def chain_time_ms(self) -> int:
        """Time of the newest header."""
        return self._headers.newest_header.ts_ms

    @property
    def watched(self) -> int:
        """How many accounts are subscribed."""
        return len(self._watchers)

    def current(self, now_us: int, account: bytes) -> Account | None:
        """Return an account's state if it is proved and certainly not outdated by more than moments."""
        entry = self._cache.peek(account)
        if entry is None:
            return None
        now_ms = now_us // 1000
        if now_ms - entry.checkpoint.header.ts_ms <= CURRENT_MS_MAX:
            return entry.account
        if account in self._watchers and self.source is not None and now_ms - self.chain_time_ms <= SOURCE_MS_MAX:
            return entry.account
        return None

    # --- from clients ------------------------------------------------------------------------------------------------

    def subscribe(self, now_us: int, peer: bytes, accounts: Iterable[bytes]) -> None:
        """Send `peer` proofs of `accounts` now and whenever they change.

        Raises:
            RemoteProtocolError: it subscribes more than is allowed.
        """
        client = self._client(peer)
        fresh: list[bytes] = []
        known: list[bytes] = []
        for account in accounts:
            watchers = self._watchers.get(account)
            if account not in client.accounts:
                if len(client.accounts) >= self._subscriptions_max or (
                    watchers is None and len(self._watchers) >= WATCHED_MAX
                ):
                    raise RemoteProtocolError(
                        f"more than {self._subscriptions_max} subscribed accounts, or the edge is full",
                        penalty=100,
                        code="too-many",
                    )
                client.accounts[account] = None
            if watchers is None:
                watchers = self._watchers[account] = {}
                fresh.append(account)
            else:
                known.append(account)
            watchers[peer] = None
        if self.source is None:
            self._choose_source(now_us)
        elif fresh:
            self._send_accounts(self.source, fresh, Subscribe)
        if known:
            self.get(now_us, peer, known)

    def unsubscribe(self, peer: bytes, accounts: Iterable[bytes]) -> None:
        """End subscriptions of `peer`; the last one for an account ends the edge's own."""
        client = self._clients.get(peer)
        if client is None:
            return
        gone: list[bytes] = []
        for account in accounts:
            if account not in client.accounts:
                continue
            del client.accounts[account]
            watchers = self._watchers[account]
            del watchers[peer]
            if not watchers:
                del self._watchers[account]
                gone.append(account)
        if self.source is not None:
            self._send_accounts(self.source, gone, Unsubscribe)

    def get(self, now_us: int, peer: bytes, accounts: Sequence[bytes]) -> None:
        """Answer `peer` from the cache, or ask a miner; no accounts ask for the newest checkpoint alone."""
        if not self._light.is_trusting(now_us // 1000):
            return  # nobody knows whether what is cached is the network's
        client = self._client(peer)
        newest = self._headers.newest
        if not accounts and newest is not None and newest.header.height >= client.floor:
            client.floor = newest.header.height
            self._outbox.send(peer, AccountProofs(newest.data, ()))
        oldest_ms = max(0, now_us // 1000 - self._light.max_age_ms)
        for account in accounts:
            entry = self._cache.get(account, oldest_ms=oldest_ms, lowest=client.floor)
            if entry is not None:
                client.out[account] = entry
                self._answered[peer] = None
                before_us = client.served.pop(account, None)
                client.served[account] = now_us
                if len(client.served) > FORWARD_MAX:
                    del client.served[next(iter(client.served))]
                if before_us is None or now_us - before_us > AGAIN_US:
                    continue
            self._questions.ask(now_us, peer, account, first=self.source)

    def get_receipt(self, now_us: int, peer: bytes, transfer_id: bytes) -> None:
        """Ask a miner for a receipt on behalf of `peer`."""
        if not self._receipts.ask(now_us, peer, transfer_id, first=self.source):
            self._outbox.send(peer, ReceiptAnswer(transfer_id, b""))

    def client_down(self, peer: bytes) -> None:
        """A connection ended, and its subscriptions with it."""
        client = self._clients.get(peer)
        if client is not None:
            self.unsubscribe(peer, list(client.accounts))
            del self._clients[peer]

    # --- from miners -------------------------------------------------------------------------------------------------

    def checkpoint(self, now_us: int, miner: bytes, data: bytes) -> SharedCheckpoint | None:
        """Take a checkpoint; return it, or None if it is genuine but too old to be of use.

        Raises:
            RemoteProtocolError: it is not what it claims.
        """
        before = self._headers.newest_header.height
        try:
            shared = self._headers.accept(data, now_us // 1000)
        except RemoteProtocolError as error:
            if error.code in ("stale", "too-old"):
                return None
            raise
        if shared.header.height > before and not self._bare_us:
            self._bare_us = now_us + BARE_US
        if shared.header.height >= before:
            self._routes.news(now_us, miner)
            if miner == self.source:
                self._source_news_us = now_us
                self._patience_us = NEWS_US_MAX
        return shared

    def proofs(self, now_us: int, miner: bytes, message: AccountProofs) -> None:
        """Verify proofs, keep them and pass them to whom they concern.

        Raises:
            RemoteProtocolError: one proves nothing; those before it are kept.
        """
        shared = self.checkpoint(now_us, miner, message.checkpoint)
        if shared is None:
            return
        for account, proof in message.proofs:
            watchers = self._watchers.get(account)
            if watchers is None and account not in self._questions:
                continue  # nobody asked: a miner must not fill the cache
            proved = self._light.prove_account(shared.header, account, proof)
            entry = CachedProof(shared, proof, proved.account, proved.exists)
            self._cache.put(account, entry)
            for peer in self._questions.answered(account):
                self._give(peer, account, entry)
            for peer in watchers or ():
                self._give(peer, account, entry)

    def validators_changed(self, change: ValidatorChanges) -> None:
        """The validators are others now: tell the clients, and ask for the proofs that may have been refused before."""
        for peer in self._clients:
            self._outbox.send(peer, change)
        if self.source is not None:
            self._send_accounts(self.source, list(self._watchers), Subscribe)

    def receipt(self, message: ReceiptAnswer) -> None:
        """Pass a receipt to those who asked; they verify it, as it is theirs to believe."""
        for peer in self._receipts.answered(message.transfer_id):
            self._outbox.send(peer, message)

    def miner_up(self, now_us: int) -> None:
        """A miner came up."""
        if self.source is None:
            self._choose_source(now_us)
        self._questions.reassign(now_us, None)
        self._receipts.reassign(now_us, None)

    def miner_down(self, now_us: int, miner: bytes) -> None:
        """A miner went down; its questions go to another one at once."""
        if miner == self.source:
            self.source = None
            self._choose_source(now_us)
        self._questions.reassign(now_us, miner)
        self._receipts.reassign(now_us, miner)

    def _choose_source(self, now_us: int, *, but: tuple[bytes, ...] = ()) -> None:
        if not self._watchers:
            return
        miner = self._routes.best(now_us, but=but)
        if miner is None:
            return
        if self.source is not None:
            self._send_accounts(self.source, list(self._watchers), Unsubscribe)
        self.source = miner
        self._source_news_us = now_us
        self._send_accounts(miner, list(self._watchers), Subscribe)

    # --- time --------------------------------------------------------------------------------------------------------

    @property
    def deadline_us(self) -> int | None:
        """When `tick` has something to do."""
        return earliest(
            self._source_news_us + self._patience_us if self._can_move() else None,
            self._bare_us or None,
            self._questions.deadline_us,
            self._receipts.deadline_us,
        )

    def _can_move(self) -> bool:
        return self.source is not None and len(self._routes.up) > 1 and bool(self._watchers)

    def tick(self, now_us: int) -> None:
        """Put questions again, leave a silent source, send bare checkpoints."""
        if self._can_move() and self._source_news_us + self._patience_us <= now_us:
            assert self.source is not None, "there is one to leave"
            # perhaps the chain itself stands still: then the others are as silent, and moving must not repeat fast
            self._patience_us = min(2 * self._patience_us, PATIENCE_US_MAX)
            self._choose_source(now_us, but=(self.source,))
        self._questions.tick(now_us)
        for transfer_id, askers in self._receipts.tick(now_us):
            for peer in askers:
                self._outbox.send(peer, ReceiptAnswer(transfer_id, b""))
        if self._bare_us and self._bare_us <= now_us:
            self._bare_us = 0
            if self._light.is_trusting(now_us // 1000):
                self._send_bare()

    def _send_bare(self) -> None:
        newest = self._headers.newest
        if newest is None:
            return
        for peer, client in self._clients.items():
            if client.accounts and client.floor < newest.header.height:
                client.floor = newest.header.height
                self._outbox.send(peer, AccountProofs(newest.data, ()))

    # --- out ---------------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Send this step's questions and answers."""
        self._questions.flush()
        self._receipts.flush()
        for peer in self._answered:
            client = self._clients.get(peer)
            if client is not None and client.out:
                self._send_out(peer, client)
        self._answered.clear()

    def _give(self, peer: bytes, account: bytes, entry: CachedProof) -> None:
        client = self._clients.get(peer)
        if client is not None:
            client.out[account] = entry
            self._answered[peer] = None

    def _client(self, peer: bytes) -> _Client:
        client = self._clients.get(peer)
        if client is None:
            client = self._clients[peer] = _Client()
        return client

    def _send_out(self, peer: bytes, client: _Client) -> None:
        """Send a client's answers, one checkpoint after the other, lowest first and none below what it has seen."""
        by_checkpoint: dict[bytes, list[tuple[bytes, bytes]]] = {}
        entries = sorted(client.out.items(), key=lambda item: item[1].checkpoint.header.height)
        client.out = {}
        for account, entry in entries:
            if entry.checkpoint.header.height >= client.floor:
                client.floor = entry.checkpoint.header.height
                by_checkpoint.setdefault(entry.checkpoint.data, []).append((account, entry.proof))
        for data, proofs in by_checkpoint.items():
            part: list[tuple[bytes, bytes]] = []
            size = 0
            for account, proof in proofs:
                if len(part) == FORWARD_MAX or size + len(proof) > ANSWER_BYTES_MAX:
                    self._outbox.send(peer, AccountProofs(data, tuple(part)))
                    part, size = [], 0
                part.append((account, proof))
                size += len(proof)
            self._outbox.send(peer, AccountProofs(data, tuple(part)))

    def _send_accounts(
        self, miner: bytes, accounts: list[bytes], kind: type[Subscribe] | type[Unsubscribe] | type[GetAccounts]
    ) -> None:
        for start in range(0, len(accounts), FORWARD_MAX):
            self._outbox.send(miner, kind(tuple(accounts[start : start + FORWARD_MAX])))

    def _ask_accounts(self, miner: bytes, accounts: list[bytes]) -> None:
        self._send_accounts(miner, accounts, GetAccounts)

    def _ask_receipts(self, miner: bytes, transfer_ids: list[bytes]) -> None:
        for transfer_id in transfer_ids:
            self._outbox.send(miner, GetReceipt(transfer_id))
