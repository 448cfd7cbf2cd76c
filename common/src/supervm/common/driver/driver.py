"""Runs one core on a real machine: sockets, time, disk, worker processes (architecture.md 2).

Theory of operation. Everything that happens becomes an input, and inputs are taken one after another: `feed` puts them
into a queue and, unless a step is under way further up the stack, works the queue off. A step's effects are carried out
before the next input is taken. Nothing in here waits: sends go to bounded queues with a writer task each, writes to the
committer, jobs to the workers, and what they have done comes back as an input. So the contract of core.py holds
by construction, and the loop is never held up by a peer, the disk or a signature.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import trio

from ..contract import core as c
from ..link.connection import LocalNode
from .clock import Clock, SystemClock
from .committer import Committer, Gate, Store
from .failures import Halted, ListenFailed, single
from .limits import Limits
from .links import Links
from .parts import EventSink, Identity, ignore
from .table import Node
from .transports.contract import Pipe, Traits, Transport, traits_of
from .transports.registry import Transports, installed
from .workers import JobRunner


class Driver:
    """Drives one core.

    Args:
        core: what is driven.
        store: where records become durable.
        identity: keys and network.
        local: what Hello says.
        listen: an address, such as ``host:port``, or None to take no connections; port 0 takes a free one.
        workers: processes that do jobs; 0 does them inline.
        clock: where `now_us` comes from; the system's by default.
        limits: bounds.
        sink: told every event.
        threaded_commits: write in a thread; False for stores in memory under a stepped clock.
        entropy: source of ephemeral keys.
        transports: what carries its links; by default those that are installed.
    """

    def __init__(
        self,
        core: c.Core,
        *,
        store: Store,
        identity: Identity,
        local: LocalNode,
        listen: str | None = None,
        workers: int = 0,
        clock: Clock | None = None,
        limits: Limits | None = None,
        sink: EventSink = ignore,
        threaded_commits: bool = True,
        entropy: Callable[[int], bytes] = os.urandom,
        transports: Sequence[Transport] | None = None,
    ) -> None:
        self._core = core
        self._listen = listen
        self._clock = clock or SystemClock()
        self._limits = limits or Limits()
        self._sink = sink
        self._committer = Committer(
            store, self._on_durable, records_max=self._limits.waiting_records_max, threaded=threaded_commits
        )
        self._jobs = JobRunner(workers, self._on_work, outstanding_max=self._limits.signatures_max)
        self._gate = Gate()
        self._transports = installed(self._limits) if transports is None else Transports(transports)
        self._links = Links(
            Node(identity, local, self._clock, self._limits, self.feed, self._gate.forget, sink),
            self._transports,
            self._room,
            entropy,
        )
        self._inputs: deque[c.Input] = deque()
        self._stepping = False
        self._now_us = 0
        self._steps = 0
        self._armed_us: int | None = None
        self._rearm = trio.Event()
        self._replies: dict[int, Callable[[c.Reply], None]] = {}
        self._next_command = 1
        self._nursery: trio.Nursery | None = None
        self._failure: Halted | None = None
        self._stopping = False
        self._serving = trio.CancelScope()

    async def run(self, *, task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until `stop`; `task_status` gets the addresses that are listened on.

        Raises:
            StorageFailed: a write failed.
            Halted: the core stopped the node.
            ListenFailed: the listening address cannot be used.
        """
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                listens = [] if self._listen is None else await nursery.start(self._serve, self._listen)
                nursery.start_soon(self._committer.run)
                nursery.start_soon(self._jobs.run)
                nursery.start_soon(self._run_timer)
                nursery.start_soon(self._links.watch)
                self.feed([c.Started()])
                task_status.started(listens)
        except BaseExceptionGroup as group:
            error = single(group)
            if error is group:
                raise
            raise error from error.__cause__
        finally:
            self._nursery = None
        if self._failure is not None:
            raise self._failure

    async def stop(self, reason: str = "the node is stopping") -> None:
        """End `run` in good order: take nothing more, finish writes under way, say goodbye."""
        nursery = self._nursery
        if nursery is None or self._stopping:
            return
        self._stopping = True
        self._serving.cancel()
        with trio.move_on_after(self._limits.drain_s):
            await self._committer.idle()
        await self._links.close(reason)
        nursery.cancel_scope.cancel()

    def stop_now(self) -> None:
        """End `run` without waiting; nothing that was promised is lost by it."""
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    def feed(self, events: Sequence[c.Input]) -> None:
        """Give the core inputs, and carry out what follows."""
        self._inputs.extend(events)
        if self._stepping:
            return
        self._stepping = True  # and so it stays if a step raises: a core that broke off midway is not stepped again
        while self._inputs:
            self._step(self._inputs.popleft())
        self._stepping = False
        deadline_us = self._core.deadline_us
        if deadline_us is not None and (self._armed_us is None or deadline_us < self._armed_us):
            self._rearm.set()

    def command(self, request: Any, on_reply: Callable[[c.Reply], None]) -> None:
        """Give the core a command; its reply comes through `on_reply`, possibly before this returns."""
        token = self._next_command
        self._next_command += 1
        self._replies[token] = on_reply
        self.feed([c.Command(token, request)])

    def admit(self, pipe: Pipe, traits: Traits) -> None:
        """Take a pipe that somebody has dialled, whoever listened for it; the node has to run."""
        if self._nursery is not None:
            self._nursery.start_soon(self._links.serve, pipe, traits)

    def sense(self, facts: c.Sensed) -> None:
        """Give the core what the machine says of itself."""
        self.feed([facts])

    def metrics(self) -> dict[str, int]:
        """Return counters and gauges: plain numbers by name."""
        return {
            "steps": self._steps,
            **self._links.metrics(),
            "commits": self._committer.commits,
            "persists": self._committer.persists,
            "waiting_records": self._committer.waiting_records,
            "verified": self._jobs.done,
            "verifying": self._jobs.outstanding,
            "worker_restarts": self._jobs.restarts,
        }

    def _step(self, event: c.Input) -> None:
        if self._failure is not None or (self._stopping and not isinstance(event, c.Durable | c.WorkDone)):
            return
        if isinstance(event, c.Received) and not self._links.is_up(event.peer):
            return  # its connection ended while the message stood in the queue
        self._now_us = max(self._now_us, self._clock.now_us())
        self._steps += 1
        effects = self._core.step(self._now_us, event)
        for effect in effects:
            if isinstance(effect, c.Persist):  # first, so that a send that stands before its write waits too
                self._gate.asked(effect.token)
        for effect in effects:
            self._carry_out(effect)
            if self._failure is not None:
                return

    def _carry_out(self, effect: c.Effect) -> None:
        if isinstance(effect, c.Send):
            if effect.after and self._links.is_up(effect.peer) and self._gate.hold_send(effect):
                return
            self._links.send(effect.peer, effect.message)
        elif isinstance(effect, c.Persist):
            self._committer.add(effect)
        elif isinstance(effect, c.Work):
            self._jobs.add(effect.token, effect.lane, effect.job)
        elif isinstance(effect, c.Publish):
            self._sink(effect.event)
        elif isinstance(effect, c.Reply):
            if not (effect.after and self._gate.hold_reply(effect)):
                self._reply(effect)
        elif isinstance(effect, c.Dial):
            if self._nursery is not None:
                self._nursery.start_soon(self._links.dial, effect.address, effect.peer)
        elif isinstance(effect, c.HangUp):
            self._links.hang_up(effect.peer, effect.code, effect.reason)
        elif isinstance(effect, c.Hold):
            self._links.hold(effect.peer, effect.until_us)
        else:
            self._failure = Halted(effect.reason)
            if self._nursery is not None:
                self._nursery.cancel_scope.cancel()

    def _on_durable(self, tokens: Sequence[int]) -> None:
        sends, replies = self._gate.durable(tokens)
        for send in sends:
            self._links.send(send.peer, send.message)
        for reply in replies:
            self._reply(reply)
        self.feed([c.Durable(token) for token in tokens])

    def _on_work(self, token: int, result: list[bool]) -> None:
        self.feed([c.WorkDone(token, result)])

    def _reply(self, reply: c.Reply) -> None:
        on_reply = self._replies.pop(reply.token, None)
        if on_reply is not None:
            on_reply(reply)

    async def _serve(self, address: str, *, task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED) -> None:
        """Take connections at an address until the node stops."""
        try:
            transport, rest = self._transports.of(address)
            traits = traits_of(transport, rest)
        except ValueError as error:  # `NoAddress` is one
            raise ListenFailed(f"cannot listen on {address}: {error}") from error

        with self._serving:
            await transport.serve(rest, lambda pipe: self.admit(pipe, traits), task_status=task_status)

    async def _room(self) -> None:
        await self._committer.room()
        await self._jobs.room()

    async def _run_timer(self) -> None:
        while True:
            deadline_us = self._core.deadline_us
            self._rearm = trio.Event()
            self._armed_us = deadline_us
            if deadline_us is None:
                await self._rearm.wait()
                continue
            wait_us = deadline_us - self._clock.now_us()
            if wait_us <= 0:
                self.feed([c.Tick()])
                await trio.lowlevel.checkpoint()
                continue
            with trio.move_on_after(wait_us / 1_000_000):
                await self._rearm.wait()
