"""A core that does what a test tells it and remembers what it was given, and a driver around it."""

from collections.abc import Callable, Sequence
from typing import Any

import trio

from supervm.common.contract import core as c
from supervm.common.contract.events import Event
from supervm.common.driver import Driver, Identity, Limits
from supervm.common.link import LinkSession
from supervm.common.link.connection import Connection, LocalNode
from supervm.protocol.base.keys import SigningKey

CHAIN_ID = b"c" * 32


class ScriptCore:
    """Calls `on` for every input; `on` fills the outbox."""

    def __init__(self, on: Callable[["ScriptCore", int, c.Input], None] | None = None) -> None:
        self.outbox = c.Outbox()
        self.events: list[c.Input] = []
        self.times_us: list[int] = []
        self.deadline_us: int | None = None
        self.changed = trio.Event()
        self._on = on

    def step(self, now_us: int, event: c.Input) -> list[c.Effect]:
        self.events.append(event)
        self.times_us.append(now_us)
        if self._on is not None:
            self._on(self, now_us, event)
        self.notify()
        return self.outbox.drain()

    def notify(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, done: Callable[[], Any]) -> Any:
        """Wait for something to be true; whatever the core or its driver does is a reason to look again."""
        with trio.fail_after(20):
            while not (result := done()):
                await self.changed.wait()
        return result


class ListStore:
    """Remembers commits; `before` may block or fail."""

    def __init__(self, before: Callable[[Sequence[Any]], None] | None = None) -> None:
        self.commits: list[list[Any]] = []
        self._before = before

    def commit(self, records: Sequence[Any]) -> None:
        if self._before is not None:
            self._before(records)
        self.commits.append(list(records))


class Node:
    """A core under a driver."""

    def __init__(
        self,
        number: int,
        tier: int,
        on: Callable[[ScriptCore, int, c.Input], None] | None = None,
        *,
        store: Any = None,
        listen: bool | str = True,
        limits: Limits | None = None,
        **driver: Any,
    ) -> None:
        self.key = SigningKey(bytes([number]) * 32)
        self.id = self.key.public
        self.core = ScriptCore(on)
        self.store = store or ListStore()
        self.published: list[Event] = []
        self.address = ""
        self.driver = Driver(
            self.core,
            store=self.store,
            identity=Identity(self.key, bytes([number + 100]) * 32, CHAIN_ID),
            local=LocalNode(tier),
            listen=("127.0.0.1:0" if listen else None) if isinstance(listen, bool) else listen,
            limits=limits or Limits(),
            sink=self._sink,
            **driver,
        )

    def _sink(self, event: Event, /) -> None:
        self.published.append(event)
        self.core.notify()

    async def start(self, nursery: trio.Nursery) -> "Node":
        listens = await nursery.start(self.driver.run)
        self.address = listens[0] if listens else ""
        return self

    def do(self, act: Callable[[c.Outbox], object]) -> None:
        """Let the core do something now, as if the owner had asked."""
        was = self.core._on

        def once(core: ScriptCore, _now_us: int, _event: c.Input) -> None:
            act(core.outbox)

        self.core._on = once
        try:
            self.driver.command(None, lambda _reply: None)
        finally:
            self.core._on = was

    async def connect(self, other: "Node") -> None:
        self.do(lambda outbox: outbox.dial(other.address, other.id))
        await self.core.until(lambda: self.driver._links.is_up(other.id))
        await other.core.until(lambda: other.driver._links.is_up(self.id))


class RawPeer:
    """A test's own end of a connection: real TCP, and whatever bytes or frames the test wants."""

    def __init__(self, stream: trio.SocketStream, node: Node, tier: int, now_us: int, number: int = 77) -> None:
        self.stream = stream
        self.now_us = now_us
        self.session = LinkSession(
            initiator=True,
            static_private=b"\x31" * 32,
            ephemeral_private=b"\x32" * 32,
            node_key=SigningKey(bytes([number]) * 32),
            chain_id=CHAIN_ID,
            expected_peer=node.id,
            not_after_ms=now_us // 1000 + 10**6,
            now_ms=now_us // 1000,
        )
        self.connection = Connection(self.session, LocalNode(tier), dialled=True, opened_us=now_us)

    async def shake(self) -> "RawPeer":
        await self.flush()
        while self.connection.state in ("handshake", "hello"):
            await self.receive()
            await self.flush()
        return self

    async def flush(self) -> None:
        data = self.connection.bytes_to_send(self.now_us)
        if data:
            await self.stream.send_all(data)

    async def send(self, *frames: bytes) -> None:
        for frame in frames:
            self.session.send_frame(frame)
        await self.flush()

    async def receive(self) -> list[Any]:
        data = await self.stream.receive_some(65536)
        if not data:
            raise EOFError("closed")
        return list(self.connection.receive(data, self.now_us))

    async def until_closed(self) -> None:
        try:
            while self.connection.parting is None:
                await self.receive()
        except (EOFError, trio.BrokenResourceError):
            return
