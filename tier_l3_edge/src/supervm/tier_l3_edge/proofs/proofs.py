"""Proofs of leaves for attached clients: subscriptions, questions, and the push of what changed.

Theory of operation. The edge subscribes the union of its clients' accounts at one miner (`source`), and learns of each
account's holdings from it (`watched`). Every proof that arrives is verified here before it is cached or passed on
(consensus.md 5): a miner can be slow or stale, never believed. Watchers are sent a proof when it arrives; a question is
answered from the cache while the proof's own header is at most `max_age` old, else from a miner, with one question in
flight per leaf whoever asks. Absence is proved and cached like presence.

Everything is bounded: accounts per peer and in all, holdings told of each, questions, askers. What is lost when a bound
is reached is a question, which the client asks again. A client pays for each proof that it asks for, and for those of
holdings that a subscription brings it at first; what a block touches later costs it nothing, as others can do that.
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
from supervm.protocol.state.leaves import HOLDING, LeafName, account_leaf_id, parse_leaf_id
from supervm.protocol.wire.chain import CheckpointMessage
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.payments import GetLeaves, LeafProofs, Subscribe, Unsubscribe, ValidatorChanges

from ..options import PROOF_OPTIONS, EdgeOptions
from ..relay.routes import Routes
from ..trust.trust import Trust
from .cache import CachedProof, SharedCheckpoint
from .clients import Clients
from .current import Current
from .headers import Headers
from .questions import Questions
from .source import Source, send_in_parts
from .watched import HOLDINGS_MAX, Watch

WATCHED_MAX = 100_000
"""Most accounts that all peers together subscribe."""
BARE_US = 5_000_000
"""Time between checkpoints without proofs to a client that subscribes something."""


class Proofs(Part):
    """The edge's read side.

    Args:
        outbox: where effects go.
        manners: how many accounts a peer may ask for.
        routes: the miners.
        trust: verifies.
        clock: shown what miners say is the time, where nothing else explains it.
        options: bounds.
        idle_us: the beat of an idle chain.

    Attributes:
        cache: the proofs that are kept.
        source: the miner that pushes the clients' accounts.
        current: what is certain of accounts.
    """

    takes = frozenset({Subscribe, Unsubscribe, GetLeaves, LeafProofs, CheckpointMessage})
    # a client may be sent a bare checkpoint as a message of its own, too; this release sends it as no account's proofs
    sends = frozenset({Subscribe, Unsubscribe, GetLeaves, LeafProofs, CheckpointMessage})
    options = PROOF_OPTIONS

    def __init__(
        self,
        outbox: Outbox,
        manners: Manners,
        routes: Routes,
        trust: Trust,
        clock: ClockWatch,
        options: EdgeOptions,
        idle_us: int,
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
        self._watch = Watch(options.cache_bytes_max)
        self._questions = Questions(routes, self._ask)
        self._bare_us = 0
        self.cache = self._watch.cache
        self.source = Source(outbox, routes, self._watch, idle_us)
        self.current = Current(self._watch, self.source, self._headers)

    # --- what the edge itself knows ----------------------------------------------------------------------------------

    @property
    def newest_header(self) -> CheckpointHeader:
        """The highest header seen, or the anchor's."""
        return self._headers.newest_header

    @property
    def watched(self) -> int:
        """How many accounts are subscribed."""
        return len(self._watch)

    def info(self, now_us: int) -> Mapping[str, Any]:
        """Return how much is cached."""
        return {"proofs_cached": len(self.cache)}

    def receive(self, now_us: int, peer: bytes, message: Message) -> None:
        """Take a miner's proofs or a client's questions."""
        match message:
            case LeafProofs() | CheckpointMessage():
                self._routes.check_miner(peer, message)
                self._from_miner(now_us, peer, message)
            case Unsubscribe(accounts):
                self._routes.check_client(peer, message)
                self._unsubscribe(peer, accounts)
            case Subscribe(accounts):
                self._routes.check_client(peer, message)
                self._subscribe(now_us, peer, accounts[: self._grant(now_us, peer, len(accounts))])
            case GetLeaves(leaf_ids):
                self._routes.check_client(peer, message)
                for leaf_id in leaf_ids:
                    parse_leaf_id(leaf_id)
                self._get(now_us, peer, leaf_ids[: self._grant(now_us, peer, len(leaf_ids))])

    # --- from clients ------------------------------------------------------------------------------------------------

    def _grant(self, now_us: int, peer: bytes, count: int) -> int:
        return self._manners.take(now_us, peer, "accounts", count, each=ACCOUNT)

    def _subscribe(self, now_us: int, peer: bytes, accounts: Iterable[bytes]) -> None:
        """Send `peer` proofs of `accounts` and of what they hold, now and whenever they change.

        Raises:
            RemoteProtocolError: it subscribes more than is allowed.
        """
        client = self._clients.meet(peer)
        fresh: list[bytes] = []
        known: list[bytes] = []
        for account in accounts:
            if account not in client.accounts:
                if len(client.accounts) >= self._subscriptions_max or (
                    self._watch.get(account) is None and len(self._watch) >= WATCHED_MAX
                ):
                    raise RemoteProtocolError(
                        f"more than {self._subscriptions_max} subscribed accounts, or the edge is full",
                        penalty=100,
                        code="too-many",
                    )
                client.accounts[account] = HOLDINGS_MAX
            (fresh if self._watch.add(now_us, peer, account) else known).append(account)
        self.source.add(now_us, fresh + self._watch.thin(now_us, known))
        if known:
            self._get(now_us, peer, [leaf_id for account in known for leaf_id in self._told(now_us, peer, account)])

    def _told(self, now_us: int, peer: bytes, account: bytes) -> list[bytes]:
        """Return the leaves that a client is told of an account that is watched: as many holdings as it can pay for."""
        client, watched = self._clients.meet(peer), self._watch.get(account)
        holdings = [] if watched is None else list(watched.holdings)
        granted = self._grant(now_us, peer, len(holdings))
        client.accounts[account] = max(0, client.accounts[account] - granted)
        return [account_leaf_id(account), *holdings[len(holdings) - granted :]]

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
            if self._watch.end(peer, account):
                gone.append(account)
        self.source.end(gone)

    def _get(self, now_us: int, peer: bytes, leaf_ids: Sequence[bytes]) -> None:
        """Answer `peer` from the cache, or ask a miner; no leaves ask for the newest checkpoint alone."""
        if not self._light.is_trusting(now_us // 1000):
            return  # nobody knows whether what is cached is the network's
        client = self._clients.meet(peer)
        newest = self._headers.newest
        if not leaf_ids and newest is not None and newest.header.height >= client.floor:
            client.floor = newest.header.height
            self._outbox.send(peer, LeafProofs(newest.data, ()))
        oldest_ms = max(0, now_us // 1000 - self._light.max_age_ms)
        for leaf_id in leaf_ids:
            entry = self.cache.get(leaf_id, oldest_ms=oldest_ms, lowest=client.floor)
            if entry is None or self._clients.serve(now_us, peer, client, leaf_id, entry):
                self._questions.ask(now_us, peer, leaf_id, first=self.source.miner)

    # --- from miners -------------------------------------------------------------------------------------------------

    def _from_miner(self, now_us: int, miner: bytes, message: LeafProofs | CheckpointMessage) -> None:
        try:
            if isinstance(message, LeafProofs):
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

    def _proofs(self, now_us: int, miner: bytes, message: LeafProofs) -> None:
        """Verify proofs, keep them and pass them to whom they concern.

        Raises:
            RemoteProtocolError: one proves nothing; those before it are kept.
        """
        shared = self._checkpoint(now_us, miner, message.checkpoint)
        if shared is None:
            return
        for leaf_id, proof in message.proofs:
            name = parse_leaf_id(leaf_id)
            watched, is_asked = self._watch.get(name.account), leaf_id in self._questions
            if watched is None and not is_asked:
                continue  # nobody asked: a miner must not fill the cache
            entry = self._headers.prove(shared, name, proof)
            self._watch.shown(leaf_id, name, entry, is_asked=is_asked)
            for peer in self._questions.answered(leaf_id):
                self._clients.give(peer, leaf_id, entry)
            for peer in () if watched is None else watched.peers:
                self._push(now_us, peer, leaf_id, name, entry)

    def _push(self, now_us: int, peer: bytes, leaf_id: bytes, name: LeafName, entry: CachedProof) -> None:
        """Send a client a leaf of an account that it subscribes; the first holdings are its own to pay for."""
        client = self._clients.get(peer)
        if client is None:
            return
        if name.kind == HOLDING and client.accounts[name.account]:
            client.accounts[name.account] -= 1
            self._manners.spend(now_us, peer, "accounts", ACCOUNT)
        self._clients.give(peer, leaf_id, entry)

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
        self.source.flush()
        self._watch.start(now_us)
        self._questions.flush()
        self._clients.flush()

    def _ask(self, miner: bytes, leaf_ids: list[bytes]) -> None:
        send_in_parts(self._outbox, miner, leaf_ids, GetLeaves)
