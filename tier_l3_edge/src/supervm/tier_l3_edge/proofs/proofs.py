"""Account proofs for attached clients: subscriptions, questions, and the push of what changed.

Theory of operation. The edge subscribes the union of its clients' accounts at one miner (`source`). Every proof that
arrives is verified here before it is cached or passed on (consensus.md 5): a miner can be slow or stale, never
believed. Watchers are sent a proof when it arrives; a question is answered from the cache while the proof's own header
is at most `max_age` old, else from a miner, with one question in flight per account whoever asks. Absence is proved and
cached like presence.

Everything is bounded: accounts per peer and in all, questions, askers. What is lost when a bound is reached is a
question, which the client asks again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from supervm.common.contract.core import Outbox, PeerDown, PeerUp, earliest
from supervm.common.parts.chain_clock import ClockWatch
from supervm.common.parts.costs import ACCOUNT
from supervm.common.parts.manners import SCORE_MAX, Manners
from supervm.common.parts.part import Part
from supervm.protocol.base.codec import decode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint, CheckpointHeader
from supervm.protocol.state.account import Account
from supervm.protocol.wire.chain import CheckpointMessage
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.payments import AccountProofs, GetAccounts, Subscribe, Unsubscribe, ValidatorChanges

from ..options import PROOF_OPTIONS, EdgeOptions
from ..relay.routes import Routes
from ..trust.trust import Trust
from .cache import CachedProof, ProofCache, SharedCheckpoint
from .clients import Clients
from .headers import Headers
from .questions import Questions
from .source import Source, send_accounts

WATCHED_MAX = 100_000
"""Most accounts that all peers together subscribe."""
BARE_US = 5_000_000
"""Time between checkpoints without proofs to a client that subscribes something."""
CURRENT_MS_MAX = 2_000
"""Age up to which a header says what is, and not what was, of an account that is not subscribed."""
SOURCE_MS_MAX = 5_000
"""The same for a subscribed one: its source pushes every change, so only the source's own lag counts."""


class Proofs(Part):
    """The edge's read side.

    Args:
        outbox: where effects go.
        manners: how many accounts a peer may ask for.
        routes: the miners.
        trust: verifies.
        clock: shown what miners say is the time, where nothing else explains it.
        options: bounds.

    Attributes:
        cache: the proofs that are kept.
        source: the miner that pushes the clients' accounts.
    """

    takes = frozenset({Subscribe, Unsubscribe, GetAccounts, AccountProofs, CheckpointMessage})
    # a client may be sent a bare checkpoint as a message of its own, too; this release sends it as no account's proofs
    sends = frozenset({Subscribe, Unsubscribe, GetAccounts, AccountProofs, CheckpointMessage})
    options = PROOF_OPTIONS

    def __init__(
        self, outbox: Outbox, manners: Manners, routes: Routes, trust: Trust, clock: ClockWatch, options: EdgeOptions
    ) -> None:
        self._outbox = outbox
        self._manners = manners
        self._routes = routes
        self._trust = trust
        self._light = trust.light
        self._clock = clock
        self._headers = Headers(trust.light)
        self._subscriptions_max = options.subscriptions_max
        self._clients = Clients(outbox)
        self._watchers: dict[bytes, dict[bytes, None]] = {}
        self._questions = Questions(routes, self._ask)
        self._bare_us = 0
        self.cache = ProofCache(options.cache_bytes_max)
        self.source = Source(outbox, routes, self._watchers)

    # --- what the edge itself knows ----------------------------------------------------------------------------------

    @property
    def newest_header(self) -> CheckpointHeader:
        """The highest header seen, or the anchor's."""
        return self._headers.newest_header

    @property
    def watched(self) -> int:
        """How many accounts are subscribed."""
        return len(self._watchers)

    def current(self, now_us: int, account: bytes) -> Account | None:
        """Return an account's state if it is proved and certainly not outdated by more than moments."""
        entry = self.cache.peek(account)
        if entry is None:
            return None
        now_ms = now_us // 1000
        if now_ms - entry.checkpoint.header.ts_ms <= CURRENT_MS_MAX:
            return entry.account
        is_pushed = account in self._watchers and self.source.miner is not None
        return entry.account if is_pushed and now_ms - self.newest_header.ts_ms <= SOURCE_MS_MAX else None

    def info(self, now_us: int) -> Mapping[str, Any]:
        """Return how much is cached."""
        return {"proofs_cached": len(self.cache)}

    def receive(self, now_us: int, peer: bytes, message: Message) -> None:
        """Take a miner's proofs or a client's questions."""
        match message:
            case AccountProofs() | CheckpointMessage():
                self._routes.check_miner(peer, message)
                self._from_miner(now_us, peer, message)
            case Unsubscribe(accounts):
                self._routes.check_client(peer, message)
                self._unsubscribe(peer, accounts)
            case Subscribe(accounts) | GetAccounts(accounts):
                self._routes.check_client(peer, message)
                granted = self._manners.take(now_us, peer, "accounts", len(accounts), each=ACCOUNT)
                answer = self._subscribe if isinstance(message, Subscribe) else self._get
                answer(now_us, peer, accounts[:granted])

    # --- from clients ------------------------------------------------------------------------------------------------

    def _subscribe(self, now_us: int, peer: bytes, accounts: Iterable[bytes]) -> None:
        """Send `peer` proofs of `accounts` now and whenever they change.

        Raises:
            RemoteProtocolError: it subscribes more than is allowed.
        """
        client = self._clients.meet(peer)
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
        self.source.add(now_us, fresh)
        if known:
            self._get(now_us, peer, known)

    def _unsubscribe(self, peer: bytes, accounts: Iterable[bytes]) -> None:
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
        self.source.end(gone)

    def _get(self, now_us: int, peer: bytes, accounts: Sequence[bytes]) -> None:
        """Answer `peer` from the cache, or ask a miner; no accounts ask for the newest checkpoint alone."""
        if not self._light.is_trusting(now_us // 1000):
            return  # nobody knows whether what is cached is the network's
        client = self._clients.meet(peer)
        newest = self._headers.newest
        if not accounts and newest is not None and newest.header.height >= client.floor:
            client.floor = newest.header.height
            self._outbox.send(peer, AccountProofs(newest.data, ()))
        oldest_ms = max(0, now_us // 1000 - self._light.max_age_ms)
        for account in accounts:
            entry = self.cache.get(account, oldest_ms=oldest_ms, lowest=client.floor)
            if entry is None or self._clients.serve(now_us, peer, client, account, entry):
                self._questions.ask(now_us, peer, account, first=self.source.miner)

    # --- from miners -------------------------------------------------------------------------------------------------

    def _from_miner(self, now_us: int, miner: bytes, message: AccountProofs | CheckpointMessage) -> None:
        try:
            if isinstance(message, AccountProofs):
                self._proofs(now_us, miner, message)
            else:
                self._checkpoint(now_us, miner, message.checkpoint)
        except RemoteProtocolError as error:
            if error.code == "unknown-set":
                self._trust.memory.follower.ask_who(now_us, miner)
            elif error.code == "future":  # the one fault that may be our own clock's: nobody is blamed for it
                header = decode(CertifiedCheckpoint, message.checkpoint, bytes_max=1 << 20).header
                self._clock.look(now_us, header.height, header.ts_ms)
                return
            elif error.code not in ("fork", "expired"):  # whoever brings these may be right
                self._routes.lied(miner)
                error.penalty = SCORE_MAX
            raise

    def _checkpoint(self, now_us: int, miner: bytes, data: bytes) -> SharedCheckpoint | None:
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
            self.source.news(now_us, miner)
        return shared

    def _proofs(self, now_us: int, miner: bytes, message: AccountProofs) -> None:
        """Verify proofs, keep them and pass them to whom they concern.

        Raises:
            RemoteProtocolError: one proves nothing; those before it are kept.
        """
        shared = self._checkpoint(now_us, miner, message.checkpoint)
        if shared is None:
            return
        for account, proof in message.proofs:
            watchers = self._watchers.get(account)
            if watchers is None and account not in self._questions:
                continue  # nobody asked: a miner must not fill the cache
            proved = self._light.prove_account(shared.header, account, proof)
            entry = CachedProof(shared, proof, proved.account, proved.exists)
            self.cache.put(account, entry)
            for peer in self._questions.answered(account):
                self._clients.give(peer, account, entry)
            for peer in watchers or ():
                self._clients.give(peer, account, entry)

    def validators_changed(self, change: ValidatorChanges) -> None:
        """The validators are others now: tell the clients, and ask for the proofs that may have been refused before."""
        self._clients.tell(change)
        self.source.again()

    def peer_up(self, now_us: int, event: PeerUp) -> None:
        """Use a miner that comes as the source, if there is none, and for what nobody was there to be asked for."""
        if self._routes.is_miner(event.peer, event.tier):
            if self.source.miner is None:
                self.source.choose(now_us)
            self._questions.reassign(now_us, None)

    def peer_down(self, now_us: int, event: PeerDown) -> None:
        """End the subscriptions of a client, or put what a miner was asked to another one at once."""
        client = self._clients.get(event.peer)
        if client is not None:
            self._unsubscribe(event.peer, list(client.accounts))
            self._clients.forget(event.peer)
        if self._routes.is_named(event.peer):
            self.source.lose(now_us, event.peer)
            self._questions.reassign(now_us, event.peer)

    # --- time --------------------------------------------------------------------------------------------------------

    @property
    def deadline_us(self) -> int | None:
        """When `tick` has something to do."""
        return earliest(self.source.deadline_us, self._bare_us or None, self._questions.deadline_us)

    def tick(self, now_us: int) -> None:
        """Put questions again, leave a silent source, send bare checkpoints."""
        self.source.tick(now_us)
        self._questions.tick(now_us)
        if self._bare_us and self._bare_us <= now_us:
            self._bare_us = 0
            newest = self._headers.newest
            if newest is not None and self._light.is_trusting(now_us // 1000):
                self._clients.send_bare(newest)

    # --- out ---------------------------------------------------------------------------------------------------------

    def settle(self, now_us: int) -> None:
        """Send this step's questions and answers."""
        self._questions.flush()
        self._clients.flush()

    def _ask(self, miner: bytes, accounts: list[bytes]) -> None:
        send_accounts(self._outbox, miner, accounts, GetAccounts)
