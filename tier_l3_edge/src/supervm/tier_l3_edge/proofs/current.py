"""What the edge knows of an account for certain: proved, and outdated by no more than moments."""

from __future__ import annotations

from supervm.protocol.state.account import EMPTY_ACCOUNT, Account
from supervm.protocol.state.leaves import account_leaf_id, holding_leaf_id

from .cache import CachedProof
from .headers import Headers
from .source import Source
from .watched import Watch

CURRENT_MS_MAX = 2_000
"""Age up to which a header says what is, and not what was, of an account that is not subscribed."""
SOURCE_MS_MAX = 5_000
"""The same for a subscribed one: its source pushes every change, so only the source's own lag counts."""


class Current:
    """What is certain now.

    Args:
        watch: what is subscribed, and the cache.
        source: pushes changes of that.
        headers: knows the newest header.
    """

    def __init__(self, watch: Watch, source: Source, headers: Headers) -> None:
        self._watch = watch
        self._source = source
        self._headers = headers

    def account(self, now_us: int, account: bytes) -> Account | None:
        """Return an account's state, if it is certain."""
        entry = self._entry(now_us, account, account_leaf_id(account))
        if entry is None:
            return None
        return entry.leaf if isinstance(entry.leaf, Account) else EMPTY_ACCOUNT

    def holding(self, now_us: int, account: bytes, asset: bytes) -> int | None:
        """Return what an account holds of an asset that is not the native one, if it and the account are certain.

        None also if it is newer than what is known of the account itself: what has reduced it may be the very
        transaction that somebody asks about.
        """
        own = self._entry(now_us, account, account_leaf_id(account))
        held = self._entry(now_us, account, holding_leaf_id(account, asset))
        if own is None or held is None or held.height > own.height:
            return None
        return held.leaf if isinstance(held.leaf, int) else 0

    def _entry(self, now_us: int, account: bytes, leaf_id: bytes) -> CachedProof | None:
        entry = self._watch.cache.peek(leaf_id)
        if entry is None:
            return None
        now_ms = now_us // 1000
        if now_ms - entry.checkpoint.header.ts_ms <= CURRENT_MS_MAX:
            return entry
        is_pushed = self._source.miner is not None and self._watch.is_pushed(account, leaf_id)
        return entry if is_pushed and now_ms - self._headers.newest_header.ts_ms <= SOURCE_MS_MAX else None
