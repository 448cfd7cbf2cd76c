"""Signature checks beside the event loop, in chunks, with results in order (limits.md rule 1).

Theory of operation. `VerifyQueue` is pure: it keeps every `Work` in its lane, cuts chunks of up to 256 signatures by
going round the lanes - one with 10,000 signatures does not hold up another with one - and puts results together again.
Small works of many peers share a chunk, a large work is spread over many, and within a lane results come out in the
order the work came in. `Verifier` runs the chunks: in worker processes through trio-parallel, or inline, 64 at a time
with a pause for the loop between two slices.

A chunk stays below the size of a pipe's buffer, so that handing it over never waits for the worker to read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from .verify_worker import check

if TYPE_CHECKING:
    from trio_parallel import WorkerContext  # type: ignore[import-untyped,unused-ignore]

Item = tuple[bytes, bytes, bytes]

CHUNK_ITEMS_MAX = 256
CHUNK_BYTES_MAX = 48 << 10
"""Bytes of messages in one chunk; with keys, signatures and packing it stays below 64 KiB mostly, never far above."""
INLINE_ITEMS_MAX = 64
LANE_TURN_ITEMS = 64
"""What one lane may put into a chunk before the next lane has its turn."""
ITEM_OVERHEAD_BYTES = 110
WORKER_DEATHS_MAX = 3
"""So often a chunk is given to another worker before it is checked inline."""


@dataclass(slots=True)
class _Job:
    token: int
    lane: bytes
    items: Sequence[Item]
    results: bytearray
    taken: int = 0
    done: int = 0


@dataclass(slots=True)
class Chunk:
    """Signatures to check together: `items`, and which part of which work they are."""

    items: list[Item] = field(default_factory=list)
    parts: list[tuple[_Job, int, int]] = field(default_factory=list)


class VerifyQueue:
    """Works by lane, cut into chunks and put together again."""

    def __init__(self) -> None:
        self._open: dict[bytes, deque[_Job]] = {}  # lanes with items not taken yet, in turn
        self._lanes: dict[bytes, deque[_Job]] = {}  # works not answered yet
        self.outstanding = 0
        """Signatures that were asked for and not answered."""

    def add(self, token: int, lane: bytes, items: Sequence[Item]) -> list[tuple[int, list[bool]]]:
        """Take a work; return answers, if it is empty and nothing of its lane is before it."""
        job = _Job(token, lane, items, bytearray(len(items)))
        self.outstanding += len(items)
        self._lanes.setdefault(lane, deque()).append(job)
        if items:
            self._open.setdefault(lane, deque()).append(job)
            return []
        return self._finished(lane)

    def take(self, items_max: int = CHUNK_ITEMS_MAX, bytes_max: int = CHUNK_BYTES_MAX) -> Chunk | None:
        """Return the next chunk, None when every signature is taken."""
        if not self._open:
            return None
        chunk = Chunk()
        room = bytes_max
        while self._open and len(chunk.items) < items_max and room > 0:
            lane, jobs = next(iter(self._open.items()))
            del self._open[lane]
            job = jobs[0]
            start = stop = job.taken
            end = min(len(job.items), start + LANE_TURN_ITEMS, start + items_max - len(chunk.items))
            while stop < end and room > 0:
                room -= len(job.items[stop][1]) + ITEM_OVERHEAD_BYTES
                stop += 1
            chunk.items += job.items[start:stop]
            chunk.parts.append((job, start, stop))
            job.taken = stop
            if stop == len(job.items):
                jobs.popleft()
            if jobs:
                self._open[lane] = jobs  # to the end of the turn
        return chunk

    def finish(self, chunk: Chunk, results: bytes) -> list[tuple[int, list[bool]]]:
        """Take a chunk's results, one byte per item; return the works that may be answered now, in order."""
        answers: list[tuple[int, list[bool]]] = []
        at = 0
        for job, start, stop in chunk.parts:
            job.results[start:stop] = results[at:at + stop - start]
            at += stop - start
            job.done += stop - start
            if job.done == len(job.items):
                answers += self._finished(job.lane)
        return answers

    def _finished(self, lane: bytes) -> list[tuple[int, list[bool]]]:
        answers: list[tuple[int, list[bool]]] = []
        jobs = self._lanes.get(lane)
        while jobs and jobs[0].done == len(jobs[0].items):
            job = jobs.popleft()
            self.outstanding -= len(job.items)
            answers.append((job.token, [one == 1 for one in job.results]))
        if not jobs:
            self._lanes.pop(lane, None)
        return answers


class Verifier:
    """Runs the chunks.

    Args:
        workers: worker processes; 0 checks inline.
        on_done: told token and result of each finished work, in order within a lane.
        outstanding_max: signatures under way above which `room` waits.
    """

    def __init__(
        self, workers: int, on_done: Callable[[int, list[bool]], None], *, outstanding_max: int
    ) -> None:
        self._workers = workers
        self._on_done = on_done
        self._outstanding_max = outstanding_max
        self._queue = VerifyQueue()
        self._wake = trio.Event()
        self._room = trio.Event()
        self._room.set()
        self.verified = 0
        """Signatures checked so far."""
        self.restarts = 0
        """Chunks that had to be given to another worker because theirs died."""

    @property
    def outstanding(self) -> int:
        """Signatures that are under way."""
        return self._queue.outstanding

    def add(self, token: int, lane: bytes, items: Sequence[Item]) -> None:
        """Take a work."""
        answers = self._queue.add(token, lane, items)
        if self._queue.outstanding > self._outstanding_max and self._room.is_set():
            self._room = trio.Event()
        self._wake.set()
        self._answer(answers)

    async def room(self) -> None:
        """Wait until there is room for more signatures."""
        while not self._room.is_set():
            await self._room.wait()

    async def run(self) -> None:
        """Check for ever."""
        if not self._workers:
            await self._run_inline()
            return
        from trio_parallel import BrokenWorkerError, open_worker_context  # heavy: L3 and L4 run without

        try:
            async with (
                open_worker_context(idle_timeout=float("inf"), grace_period=5.0) as context,
                trio.open_nursery() as nursery,
            ):
                for _ in range(self._workers):
                    nursery.start_soon(self._run_worker, context)
        except BrokenWorkerError:
            # Raised when the context closes: a worker was killed along with us, or before. All its chunks
            # were checked elsewhere, and there is nothing left to clean up.
            await trio.lowlevel.checkpoint()

    async def _run_inline(self) -> None:
        while True:
            chunk = self._queue.take(items_max=INLINE_ITEMS_MAX, bytes_max=1 << 30)
            if chunk is None:
                await self._wait()
                continue
            self._finish(chunk, check(chunk.items))
            await trio.lowlevel.checkpoint()

    async def _run_worker(self, context: WorkerContext) -> None:
        await self._check(context, [])  # starts the process before there is work
        while True:
            chunk = self._queue.take()
            if chunk is None:
                await self._wait()
                continue
            self._finish(chunk, await self._check(context, chunk.items))

    async def _check(self, context: WorkerContext, items: list[Item]) -> bytes:
        from trio_parallel import BrokenWorkerError

        limiter = trio.CapacityLimiter(1)
        for _ in range(WORKER_DEATHS_MAX):
            try:
                return bytes(await context.run_sync(check, items, limiter=limiter))
            except BrokenWorkerError:  # killed, by hand or for memory: the next one does it
                self.restarts += 1
        await trio.lowlevel.checkpoint()
        return check(items)  # workers cannot live here; slower, but right

    async def _wait(self) -> None:
        if self._wake.is_set():
            self._wake = trio.Event()
        await self._wake.wait()

    def _finish(self, chunk: Chunk, results: bytes) -> None:
        self.verified += len(chunk.items)
        self._answer(self._queue.finish(chunk, results))

    def _answer(self, answers: list[tuple[int, list[bool]]]) -> None:
        for token, result in answers:
            self._on_done(token, result)
        if self._queue.outstanding <= self._outstanding_max:
            self._room.set()
