"""Group commit: every write that is asked for while one is under way goes into the next one (limits.md rule 5).

`Gate` is the pure half: it numbers writes, remembers what waits for which, and says what may leave once a write is
durable. `Committer` is the task that writes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import trio

from ..contract.core import Persist, Reply, Send
from ..contract.records import Record
from .failures import StorageFailed


class Store(Protocol):
    """Where records become durable."""

    def commit(self, records: Sequence[Record]) -> None:
        """Make all records durable, or none and raise."""


class Gate:
    """What waits for which write (rule P0 of core.py).

    Writes are numbered in the order they were asked for, which is the order they become durable. Of one peer's waiting
    sends none overtakes another.
    """

    def __init__(self) -> None:
        self._asked = 0
        self._durable = 0
        self._number_of_token: dict[int, int] = {}
        self._sends: dict[bytes, deque[tuple[int, Send]]] = {}
        self._replies: deque[tuple[int, Reply]] = deque()

    def asked(self, token: int) -> None:
        """Note a write that was asked for."""
        self._asked += 1
        self._number_of_token[token] = self._asked

    def hold_send(self, send: Send) -> bool:
        """Keep a send back if its write is not durable yet; return whether it is kept."""
        number = self._number_of_token.get(send.after)
        if number is None:
            return False
        self._sends.setdefault(send.peer, deque()).append((number, send))
        return True

    def hold_reply(self, reply: Reply) -> bool:
        """Keep a reply back if its write is not durable yet; return whether it is kept."""
        number = self._number_of_token.get(reply.after)
        if number is None:
            return False
        self._replies.append((number, reply))
        return True

    def forget(self, peer: bytes) -> None:
        """Drop what waits for a peer that is gone."""
        self._sends.pop(peer, None)

    def durable(self, tokens: Sequence[int]) -> tuple[list[Send], list[Reply]]:
        """Note writes that are durable, oldest first; return the sends and replies that may leave now, in order."""
        for token in tokens:
            self._durable = self._number_of_token.pop(token)
        sends: list[Send] = []
        for peer in list(self._sends):
            waiting = self._sends[peer]
            while waiting and waiting[0][0] <= self._durable:
                sends.append(waiting.popleft()[1])
            if not waiting:
                del self._sends[peer]
        replies: list[Reply] = []
        kept: deque[tuple[int, Reply]] = deque()
        for number, reply in self._replies:
            if number <= self._durable:
                replies.append(reply)
            else:
                kept.append((number, reply))
        self._replies = kept
        return sends, replies


class Committer:
    """The one task that writes to the store.

    Args:
        store: where records go.
        on_durable: told the tokens of each finished write, in the order they were asked for.
        records_max: waiting records above which `room` waits.
        threaded: write in a worker thread, so that the loop goes on meanwhile; False for stores in memory under
            a stepped clock.
    """

    def __init__(
        self, store: Store, on_durable: Callable[[Sequence[int]], None], *, records_max: int, threaded: bool = True
    ) -> None:
        self._store = store
        self._on_durable = on_durable
        self._threaded = threaded
        self._waiting: list[Persist] = []
        self._wake = trio.Event()
        self._room = trio.Event()
        self._room.set()
        self._idle = trio.Event()
        self._idle.set()
        self._records_max = records_max
        self._limiter = trio.CapacityLimiter(1)
        self.waiting_records = 0
        """Records that are not durable yet."""
        self.commits = 0
        """Writes that were made."""
        self.persists = 0
        """Writes that were asked for."""

    def add(self, persist: Persist) -> None:
        """Take a write."""
        self.persists += 1
        self._waiting.append(persist)
        self.waiting_records += len(persist.records)
        if self.waiting_records > self._records_max and self._room.is_set():
            self._room = trio.Event()
        if self._idle.is_set():
            self._idle = trio.Event()
        self._wake.set()

    async def room(self) -> None:
        """Wait until the disk has caught up."""
        while not self._room.is_set():
            await self._room.wait()

    async def idle(self) -> None:
        """Wait until everything asked for is durable and told."""
        while not self._idle.is_set():
            await self._idle.wait()

    async def run(self) -> None:
        """Write for ever.

        Raises:
            StorageFailed: a write failed; nothing that waited for it has left.
        """
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            group, self._waiting = self._waiting, []
            records = [record for persist in group for record in persist.records]
            try:
                if self._threaded:
                    await trio.to_thread.run_sync(self._store.commit, records, limiter=self._limiter)
                else:
                    self._store.commit(records)
                    await trio.lowlevel.checkpoint()
            except StorageFailed:
                raise
            except Exception as error:
                raise StorageFailed(
                    f"{len(records)} records could not be written: {type(error).__name__}: {error}"
                ) from error
            self.commits += 1
            self.waiting_records -= len(records)
            if self.waiting_records <= self._records_max:
                self._room.set()
            self._on_durable([persist.token for persist in group])
            if not self._waiting:
                self._idle.set()
