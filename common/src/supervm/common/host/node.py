"""A running node: its driver and its services, and what whoever runs it may ask of it.

Theory of operation. `Node.run` is one task. In it are the driver and every service; it ends when the driver was stopped
or when something of the node failed, and takes the services down with it. While it starts it can be cancelled; from
then on it is shielded, because a node that is up is stopped in good order, whatever becomes of the program around it:
`close` does that, and `open` calls it.

A core that breaks off does so in the task that has just given it an input, which may be anybody's: a peer's link, a
connection of the control socket, a caller of `request`. Wherever it was, the node ends with that error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

import msgspec
import trio

from supervm.protocol.base.address import encode_node_id

from ..contract.core import Reply, Sensed
from ..contract.events import Event
from ..driver import Driver, Identity, StorageFailed
from ..driver.failures import single
from ..driver.limits import limits_for
from ..driver.parts import EventSink, ignore
from ..driver.transports.contract import Pipe, Traits
from ..link.connection import LocalNode
from ..parts.shell import wire_of
from ..services.control import Answer, Control, Events
from ..services.lines import SOCKET_FILE, NoOwner, read_answer
from ..services.service import Service
from ..storage.sql import SqlStore
from . import events as said
from .config import NodeConfig
from .ended import record_end
from .log import in_tasks_of
from .machine import agent, file_limit, resident_bytes
from .prepare import Prepared


class Node:
    """One running node; `supervm.common.host.open` makes it.

    Args:
        prepared: what it runs.
        sink: told every event, too.

    Attributes:
        config: its configuration.
        node_id: the 32 bytes that it proves on its links.
        chain_id: the network that it is of.
        name: the same as text, ``svmnode1...``.
        listens: addresses that it listens on, ``host:port``; empty before it runs, and if it only dials.
        store: what is durable, for services; to be read and kept up, never to be written.
        control: answers the requests of the control socket.
        about: what it said of itself when it was ready.
        ready: set when it is.
        failure: what ended it; None while it runs and after a clean stop.
    """

    def __init__(self, prepared: Prepared, sink: EventSink = ignore) -> None:
        context, profile = prepared.context, prepared.profile
        config, chain = context.config, context.chain
        self._prepared, self._sink = prepared, sink
        self._started_us = prepared.clock.now_us()
        self._events = Events()
        known = {member.node_id: 1 for member in chain.validators.members}
        known |= {miner.node_id: 2 for miner in chain.genesis.miners}
        self._driver = Driver(
            prepared.core,
            store=context.store,
            identity=Identity(context.node_key, os.urandom(32), chain.chain_id),
            local=LocalNode(config.tier, profile.features, agent(), known, wire_of(prepared.core)),
            listen=config.listen,
            workers=config.verify_workers,
            clock=prepared.clock,
            limits=limits_for(file_limit(), peers=len(config.peers)),
            sink=self.publish,
        )
        self._nursery: trio.Nursery | None = None
        self._asked: dict[Answer, None] = {}
        self._ended = trio.Event()
        self.config: NodeConfig = config
        self.node_id: bytes = context.node_key.public
        self.chain_id: bytes = chain.chain_id
        self.name: str = encode_node_id(self.node_id)
        self.listens: list[str] = []
        self.store: SqlStore = context.store
        self.control = Control(
            config.directory / SOCKET_FILE,
            requests=profile.requests,
            command=self.command,
            metrics=self.metrics,
            events=self._events,
        )
        self.about: Mapping[str, Any] = {}
        self.ready = trio.Event()
        self.failure: Exception | None = None

    # --- for the owner ------------------------------------------------------------------------------------------------

    async def request(self, request: msgspec.Struct | Mapping[str, Any]) -> Any:
        """Ask what the control socket takes; return what it would answer.

        Args:
            request: a request of the tier, or its JSON as a mapping.

        Raises:
            RequestRefused: the node says what was wrong with it.
            NoOwner: the node has stopped, maybe before it answered.
        """
        if self._nursery is None:
            raise NoOwner(f"the node in {self.config.directory} does not run")
        answer = self.control.ask(msgspec.json.encode(request))
        self._asked[answer] = None
        try:
            await answer.done.wait()
        finally:
            del self._asked[answer]
        if not answer.line:
            raise NoOwner(f"the node in {self.config.directory} stopped before it answered")
        return read_answer(answer.line)

    def events(self) -> AbstractContextManager[trio.MemoryReceiveChannel[dict[str, Any]]]:
        """Watch what the node publishes from now on, until it has stopped.

        Use it so: ``with node.events() as events: async for event in events``. Each is ``{"event", "level", "fields",
        "lost"}``, as the control socket's ``watch`` gives it, but with byte strings as they are. Whoever is too slow
        loses events, and `lost` counts them.
        """
        return self._events.watch()

    def metrics(self) -> Mapping[str, Any]:
        """Return the driver's counters, how long the node has been there and how large this process is."""
        return {
            **self._driver.metrics(),
            "uptime_s": (self._prepared.clock.now_us() - self._started_us) // 1_000_000,
            "rss_bytes": resident_bytes(),
        }

    def control_pair(self) -> trio.SocketStream:
        """Return one end of a new socket pair; at its other end the node answers as on its control socket.

        For whoever cannot share the event loop: its descriptor may go to another thread or process.

        Raises:
            NoOwner: the node does not run.
        """
        if self._nursery is None:
            raise NoOwner(f"the node in {self.config.directory} does not run")
        theirs, ours = trio.socket.socketpair(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
        self._nursery.start_soon(self.control.serve, trio.SocketStream(ours))
        return trio.SocketStream(theirs)

    async def close(self) -> None:
        """Stop in good order: take nothing more, finish writes under way, say goodbye; return when it has ended.

        That takes seconds at most, and cancelling it changes nothing: half a stop would never come to its end.
        """
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._driver.stop)
                await self._ended.wait()
                nursery.cancel_scope.cancel()

    def close_now(self) -> None:
        """Stop without waiting for anything; nothing that was promised is lost by it."""
        self._driver.stop_now()

    async def closed(self) -> None:
        """Return when the node has ended, in good order or not."""
        await self._ended.wait()

    # --- for services -------------------------------------------------------------------------------------------------

    def publish(self, event: Event, /) -> None:
        """Write an event to the log, and give it to whoever watches."""
        self._prepared.log(event)
        self._events(event)
        self._sink(event)

    def reopen_log(self) -> None:
        """Go on in a new file after the log was renamed."""
        self._prepared.log.reopen()

    def admit(self, pipe: Pipe, traits: Traits) -> None:
        """Take a pipe that somebody has dialled at a service, as one that was dialled where the node listens.

        Args:
            pipe: open, and nothing read from it.
            traits: of its medium.
        """
        self._driver.admit(pipe, traits)

    def command(self, request: Any, on_reply: Callable[[Reply], None]) -> None:
        """Give the core a request that has been read; its reply comes through `on_reply`, maybe at once.

        Raises:
            RuntimeError: the core broke off, and the node ends.
        """
        try:
            self._driver.command(request, on_reply)
        except Exception as error:
            bug = self._fail(error)
            raise bug from error

    def sense(self, facts: Sensed) -> None:
        """Tell the core what the machine says of itself.

        Raises:
            RuntimeError: the core broke off, and the node ends.
        """
        try:
            self._driver.sense(facts)
        except Exception as error:
            bug = self._fail(error)
            raise bug from error

    # --- its life -----------------------------------------------------------------------------------------------------

    async def run(
        self, services: Sequence[Service], *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Run until `close`, or until something of the node fails; `task_status` hears when it is ready.

        Raises:
            Halted: the core stopped the node.
            StorageFailed: a write failed.
            CommonError: an address cannot be listened on, or a service that the node cannot be without failed.
            RuntimeError: a bug; the log names it.
        """
        in_tasks_of(self._prepared.log)
        try:
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    self.listens = await nursery.start(self._drive, nursery)
                    for service in services:
                        await nursery.start(self._serve, service)
                    self._tell_ready()
                    scope.shield = True
                    task_status.started()
        except BaseExceptionGroup as group:
            error = single(group)
            if self.failure is None and isinstance(error, Exception):
                self._fail(error)
            if self.failure is None:
                raise
        finally:
            self._nursery = None
            if self.failure is None:
                self.publish(said.Stopped())
            self._end()
        if self.failure is not None:
            raise self.failure from self.failure.__cause__

    def _tell_ready(self) -> None:
        prepared = self._prepared
        about = prepared.profile.about
        ready = said.Ready(
            self.config.tier,
            self.name,
            self.listens[0] if self.listens else None,
            os.getpid(),
            {} if about is None else about(prepared.core),
        )
        self.about = ready.fields
        self.publish(ready)
        self.ready.set()

    async def _drive(self, nursery: trio.Nursery, *, task_status: trio.TaskStatus[list[str]]) -> None:
        await self._driver.run(task_status=task_status)
        nursery.cancel_scope.cancel()

    async def _serve(self, service: Service, *, task_status: trio.TaskStatus[None]) -> None:
        """Run a service; one that the node can be without may fail."""
        try:
            await service.run(self, task_status=task_status)
        except Exception as error:
            cause = single(error) if isinstance(error, ExceptionGroup) else error
            if service.vital or isinstance(cause, StorageFailed) or cause is self.failure:
                raise
            self.publish(said.ServiceFailed(service.name, str(cause)))
        with suppress(RuntimeError):  # it had said so before
            task_status.started()

    def _fail(self, error: Exception) -> Exception:
        """Note what ends the node, and end it; return what to raise."""
        if self.failure is None:
            self.failure = record_end(error, self.config, self._prepared.log)
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()
        return self.failure

    def _end(self) -> None:
        self._ended.set()
        self._events.close()
        for answer in self._asked:
            answer.done.set()
