"""The accounts that clients subscribe: by whom, which holdings the edge knows of each, and what it is not sure of.

Theory of operation. A client names accounts and is told of their holdings, too. Which there are the edge learns from
the miner where it subscribes the account: the answer has the account's own leaf and its holdings, and later comes every
leaf that a block touches. What is known of an account is what the cache has, so the cache's bound in bytes bounds it,
whoever sends an account how many assets. An account of which the cache has pushed a holding out is *thin*: the next
client that subscribes it makes the edge ask the source anew.

A leaf is *in doubt* from when a source is to be asked for its account until that source shows the leaf. A source that
is new shows what is there and is silent about what is gone, so what it has not shown after a while is asked for by id,
once: the holding is then proved absent, passed on, and forgotten.

A source is not asked for all accounts at once: its answer to ten thousand would be longer than what a connection may
have waiting, and would end the connection, each time anew. So accounts wait for their turn, and the next are asked for
when leaves of those before have come.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from supervm.protocol.state.leaves import HOLDING, LeafName, account_leaf_id, parse_leaf_id

from .cache import CachedProof, ProofCache

HOLDINGS_MAX = 64
"""Most holdings of an account that are told unasked, as a miner tells them (`ledger.HOLDINGS_TOLD_MAX`)."""
DOUBT_US = 3_000_000
"""Time that a source has for its answer before what it has not shown is asked for by id."""
THIN_US = 10_000_000
"""Least time between two subscriptions of a thin account."""
AWAITED_MAX = 512
"""While so many leaves of subscriptions are not shown yet, no further account is asked for."""

_WAITS, _ASKED, _BY_ID = range(
    3
)  # why a leaf is in doubt: its account is to be asked for, or is; it was asked for itself


@dataclass(slots=True)
class Watched:
    """One account.

    Attributes:
        peers: the clients that subscribe it.
        holdings: ids of its holdings that are cached, the one shown last at the end.
        asked_us: when the source was asked for it because it was thin, or a client came first.
        is_thin: whether the cache has pushed one of them out.
    """

    asked_us: int
    peers: dict[bytes, None] = field(default_factory=dict)
    holdings: dict[bytes, None] = field(default_factory=dict)
    is_thin: bool = False


class Watch:
    """The accounts by id.

    Args:
        cache_bytes_max: bound of the cache.

    Attributes:
        cache: the proofs that are kept.
    """

    def __init__(self, cache_bytes_max: int) -> None:
        self.cache = ProofCache(cache_bytes_max, self._evicted)
        self._accounts: dict[bytes, Watched] = {}
        self._doubtful: dict[bytes, int] = {}  # leaf id -> why
        self._waiting: dict[bytes, None] = {}  # accounts to be asked for
        self._awaited = 0  # leaves in doubt that are asked for with their accounts
        self._is_new = False  # something came into doubt since `start`
        self._ask_us = 0

    def __len__(self) -> int:
        return len(self._accounts)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._accounts)

    def get(self, account: bytes) -> Watched | None:
        """Return what is known of an account; None if nobody subscribes it."""
        return self._accounts.get(account)

    def is_pushed(self, account: bytes, leaf_id: bytes) -> bool:
        """Return whether what is cached of a leaf is what the source last said of it."""
        watched = self._accounts.get(account)
        if watched is None or leaf_id in self._doubtful:
            return False
        return leaf_id in watched.holdings or leaf_id == account_leaf_id(account)

    # --- clients ------------------------------------------------------------------------------------------------------

    def add(self, now_us: int, peer: bytes, account: bytes) -> bool:
        """Note that a client subscribes an account; return whether it is the first."""
        watched = self._accounts.get(account)
        is_first = watched is None
        if watched is None:
            watched = self._accounts[account] = Watched(now_us)
        watched.peers[peer] = None
        return is_first

    def end(self, peer: bytes, account: bytes) -> bool:
        """Note that a client, which subscribes the account, does so no more; return whether it was the last."""
        watched = self._accounts[account]
        del watched.peers[peer]
        if watched.peers:
            return False
        for leaf_id in (account_leaf_id(account), *watched.holdings):
            self._trust(leaf_id)
        self._waiting.pop(account, None)
        del self._accounts[account]
        return True

    def thin(self, now_us: int, accounts: Iterable[bytes]) -> list[bytes]:
        """Return those of the accounts that the source is to be asked for anew, which the caller does."""
        again = []
        for account in accounts:
            watched = self._accounts[account]
            if watched.is_thin and now_us - watched.asked_us >= THIN_US:
                watched.asked_us, watched.is_thin = now_us, False
                again.append(account)
        return again

    # --- miners -------------------------------------------------------------------------------------------------------

    def shown(self, leaf_id: bytes, name: LeafName, entry: CachedProof, *, is_asked: bool) -> None:
        """Keep what a miner has proved of a leaf; what is gone only if somebody asked for just that."""
        before = self.cache.peek(leaf_id)
        if name.account not in self._waiting:  # else whoever shows it does not tell us when it changes
            self._trust(leaf_id)
        if before is not None and before.height > entry.height:
            return
        watched = self._accounts.get(name.account)
        is_gone = name.kind == HOLDING and entry.leaf is None
        if is_gone and not is_asked:
            self.cache.drop(leaf_id)
        else:
            is_kept = self.cache.put(leaf_id, entry)
            is_gone = is_gone or not is_kept
        if watched is not None and name.kind == HOLDING:
            watched.holdings.pop(leaf_id, None)
            if not is_gone:
                watched.holdings[leaf_id] = None
                if len(watched.holdings) > HOLDINGS_MAX:
                    self._forget(watched, next(iter(watched.holdings)))

    def _forget(self, watched: Watched, leaf_id: bytes) -> None:
        del watched.holdings[leaf_id]
        self._trust(leaf_id)
        self.cache.drop(leaf_id)

    def _evicted(self, leaf_id: bytes) -> None:
        name = parse_leaf_id(leaf_id)
        watched = self._accounts.get(name.account)
        if watched is not None and leaf_id in watched.holdings:
            del watched.holdings[leaf_id]
            self._trust(leaf_id)
            watched.is_thin = True

    # --- doubt --------------------------------------------------------------------------------------------------------

    @property
    def deadline_us(self) -> int | None:
        """When `due` has something to ask."""
        return self._ask_us or None if self._doubtful else None

    def doubt(self, accounts: Iterable[bytes]) -> None:
        """A source is to be asked for these accounts: what is known of them may not be so any more."""
        for account in accounts:
            self._waiting[account] = None
            for leaf_id in (account_leaf_id(account), *self._accounts[account].holdings):
                self._trust(leaf_id)
                self._doubtful[leaf_id] = _WAITS

    def next_accounts(self, count: int) -> list[bytes]:
        """Return up to `count` accounts that the source is to be asked for now, which the caller does; maybe none."""
        if not self._waiting or self._awaited >= AWAITED_MAX:
            return []
        accounts = list(islice(self._waiting, count))
        for account in accounts:
            del self._waiting[account]
            for leaf_id in (account_leaf_id(account), *self._accounts[account].holdings):
                self._trust(leaf_id)
                self._doubtful[leaf_id] = _ASKED
                self._awaited += 1
        self._is_new = True
        return accounts

    def due(self, now_us: int) -> list[bytes]:
        """Return what is to be asked for by id now, as it was not shown in time."""
        if not self._ask_us or now_us < self._ask_us:
            return []
        self._ask_us = 0
        asked = [leaf_id for leaf_id, why in self._doubtful.items() if why == _ASKED]
        self._doubtful.update(dict.fromkeys(asked, _BY_ID))
        self._awaited = 0
        return asked

    def start(self, now_us: int) -> None:
        """Begin the time of what came into doubt in this step."""
        if self._is_new:
            self._is_new = False
            self._ask_us = self._ask_us or now_us + DOUBT_US

    def _trust(self, leaf_id: bytes) -> None:
        """A leaf is in doubt no more."""
        if self._doubtful.pop(leaf_id, None) == _ASKED:
            self._awaited -= 1
