"""Jobs beside the event loop, in chunks, with results in order (limits.md rule 1).

Theory of operation. `JobQueue` is pure: it keeps every `Work` in its lane, cuts chunks of up to 256 items by going
round the lanes - one with 10,000 signatures does not hold up another with one - and puts results together again. Small
works of many peers share a chunk, a large work is spread over many, and within a lane results come out in the order
the work came in, if the job's kind wants that. A chunk has items of one kind; kinds take turns. `JobRunner` runs the
chunks: in worker processes through trio-parallel, or inline, 64 items at a time with a pause for the loop between two
slices.

A chunk stays below the size of a pipe's buffer, so that handing it over never waits for the worker to read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import trio

from ..contract.jobs import Job, VerifySignatures
from ..errors import InputError
from .job_worker import run_items

if TYPE_CHECKING:
    from trio_parallel import WorkerContext  # type: ignore[import-untyped,unused-ignore]

CHUNK_ITEMS_MAX = 256
CHUNK_BYTES_MAX = 48 << 10
"""Bytes of items in one chunk: it stays below 64 KiB mostly, never far above."""
INLINE_ITEMS_MAX = 64
LANE_TURN_ITEMS = 64
"""What one lane may put into a chunk before the next lane has its turn."""
WORKER_DEATHS_MAX = 3
"""So often a chunk is given to another worker before it is done inline."""

Answer = tuple[int, list[Any]]
"""Token of a finished work, and its results."""


@dataclass(slots=True)
class _Asked:
    token: int
    lane: bytes
    job: Job
    results: list[Any]
    taken: int = 0
    done: int = 0


@dataclass(slots=True)
class Chunk:
    """Items of one kind to do together: `items`, and which part of which work they are."""

    kind: type[Job]
    items: list[Any] = field(default_factory=list)
    parts: list[tuple[_Asked, int, int]] = field(default_factory=list)


class JobQueue:
    """Works by lane, cut into chunks and put together again."""

    def __init__(self) -> None:
        self._open: dict[type[Job], dict[bytes, deque[_Asked]]] = {}  # lanes with items not taken yet, in turn
        self._lanes: dict[bytes, deque[_Asked]] = {}  # works not answered yet whose order matters
        self.outstanding = 0
        """Items that were asked for and not answered."""

    def add(self, token: int, lane: bytes, job: Job) -> list[Answer]:
        """Take a work; return answers, if it is empty and nothing of its lane is before it."""
        asked = _Asked(token, lane, job, [None] * len(job.items))
        self.outstanding += len(job.items)
        if job.IS_ORDERED:
            self._lanes.setdefault(lane, deque()).append(asked)
        if job.items:
            self._open.setdefault(type(job), {}).setdefault(lane, deque()).append(asked)
            return []
        return self._finished(asked)

    def take(self, items_max: int = CHUNK_ITEMS_MAX, bytes_max: int = CHUNK_BYTES_MAX) -> Chunk | None:
        """Return the next chunk, None when every item is taken."""
        if not self._open:
            return None
        kind, lanes = next(iter(self._open.items()))
        del self._open[kind]
        chunk = Chunk(kind)
        room = bytes_max
        while lanes and len(chunk.items) < items_max and room > 0:
            lane, works = next(iter(lanes.items()))
            del lanes[lane]
            asked = works[0]
            items = asked.job.items
            start = stop = asked.taken
            end = min(len(items), start + LANE_TURN_ITEMS, start + items_max - len(chunk.items))
            while stop < end and room > 0:
                room -= kind.item_bytes(items[stop])
                stop += 1
            chunk.items += items[start:stop]
            chunk.parts.append((asked, start, stop))
            asked.taken = stop
            if stop == len(items):
                works.popleft()
            if works:
                lanes[lane] = works  # to the end of the turn
        if lanes:
            self._open[kind] = lanes
        return chunk

    def finish(self, chunk: Chunk, results: list[Any]) -> list[Answer]:
        """Take a chunk's results, one per item; return the works that may be answered now, in order."""
        answers: list[Answer] = []
        at = 0
        for asked, start, stop in chunk.parts:
            asked.results[start:stop] = results[at : at + stop - start]
            at += stop - start
            asked.done += stop - start
            if asked.done == len(asked.results):
                answers += self._finished(asked)
        return answers

    def _finished(self, asked: _Asked) -> list[Answer]:
        if not asked.job.IS_ORDERED:
            self.outstanding -= len(asked.results)
            return [(asked.token, asked.results)]
        answers: list[Answer] = []
        works = self._lanes.get(asked.lane)
        while works and works[0].done == len(works[0].results):
            first = works.popleft()
            self.outstanding -= len(first.results)
            answers.append((first.token, first.results))
        if not works:
            self._lanes.pop(asked.lane, None)
        return answers


class JobRunner:
    """Runs the chunks.

    Args:
        workers: worker processes; 0 does everything inline.
        on_done: told token and result of each finished work, in order within a lane.
        outstanding_max: items under way above which `room` waits.

    Raises:
        InputError: there are to be worker processes, and trio-parallel is not installed.
    """

    def __init__(self, workers: int, on_done: Callable[[int, list[Any]], None], *, outstanding_max: int) -> None:
        if workers and find_spec("trio_parallel") is None:
            raise InputError(
                f"{workers} verification processes need trio-parallel, which is not installed here: install "
                "supervm-common[workers], or set verify_workers = 0 to check signatures in the node's own process"
            )
        self._workers = workers
        self._on_done = on_done
        self._outstanding_max = outstanding_max
        self._queue = JobQueue()
        self._wake = trio.Event()
        self._room = trio.Event()
        self._room.set()
        self.done = 0
        """Items done so far."""
        self.restarts = 0
        """Chunks that had to be given to another worker because theirs died."""

    @property
    def outstanding(self) -> int:
        """Items that are under way."""
        return self._queue.outstanding

    def add(self, token: int, lane: bytes, job: Job) -> None:
        """Take a work."""
        answers = self._queue.add(token, lane, job)
        if self._queue.outstanding > self._outstanding_max and self._room.is_set():
            self._room = trio.Event()
        self._wake.set()
        self._answer(answers)

    async def room(self) -> None:
        """Wait until there is room for more items."""
        while not self._room.is_set():
            await self._room.wait()

    async def run(self) -> None:
        """Run jobs for ever."""
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
            # were done elsewhere, and there is nothing left to clean up.
            await trio.lowlevel.checkpoint()

    async def _run_inline(self) -> None:
        while True:
            chunk = self._queue.take(items_max=INLINE_ITEMS_MAX, bytes_max=1 << 30)
            if chunk is None:
                await self._wait()
                continue
            if chunk.kind.IS_LOCAL:
                await self._run_local(chunk)
                continue
            self._finish(chunk, chunk.kind.run(chunk.items))
            await trio.lowlevel.checkpoint()

    async def _run_local(self, chunk: Chunk) -> None:
        """Do what must not leave this process beside the loop, since it takes long at one go."""
        self._finish(chunk, await trio.to_thread.run_sync(chunk.kind.run, chunk.items))

    async def _run_worker(self, context: WorkerContext) -> None:
        await self._run(context, Chunk(VerifySignatures))  # starts the process before there is work
        while True:
            chunk = self._queue.take()
            if chunk is None:
                await self._wait()
                continue
            if chunk.kind.IS_LOCAL:
                await self._run_local(chunk)
            else:
                self._finish(chunk, await self._run(context, chunk))

    async def _run(self, context: WorkerContext, chunk: Chunk) -> list[Any]:
        from trio_parallel import BrokenWorkerError

        limiter = trio.CapacityLimiter(1)
        for _ in range(WORKER_DEATHS_MAX):
            try:
                return list(await context.run_sync(run_items, chunk.kind, chunk.items, limiter=limiter))
            except BrokenWorkerError:  # killed, by hand or for memory: the next one does it
                self.restarts += 1
        await trio.lowlevel.checkpoint()
        return chunk.kind.run(chunk.items)  # workers cannot live here; slower, but right

    async def _wait(self) -> None:
        if self._wake.is_set():
            self._wake = trio.Event()
        await self._wake.wait()

    def _finish(self, chunk: Chunk, results: list[Any]) -> None:
        self.done += len(chunk.items)
        self._answer(self._queue.finish(chunk, results))

    def _answer(self, answers: list[Answer]) -> None:
        for token, result in answers:
            self._on_done(token, result)
        if self._queue.outstanding <= self._outstanding_max:
            self._room.set()
