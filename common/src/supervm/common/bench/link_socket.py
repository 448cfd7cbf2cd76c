"""A link through the whole driver: two drivers, a real socket between them, and messages as payments are sent.

Both ends run in this process, in one loop, so the figures are of one core that does the work of both: encoding, the
queue, sealing, the kernel's loopback, opening, decoding with all checks, and one step of a core for each message.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

import msgspec
import trio

from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.money.transaction import sign_transfer
from supervm.protocol.wire.fields import FORWARD_MAX, Message
from supervm.protocol.wire.payments import Submit

from ..contract import core as c
from ..driver import Driver, Identity
from ..link.connection import LocalNode
from ..storage.memory import MemoryStore

CHAIN_ID = bytes(32)
WINDOW_BYTES = 256 << 10
"""Bytes that are on their way at once; less than what a driver lets wait for a peer."""
CONNECT_S = 20.0


class _Send(msgspec.Struct, frozen=True):
    """Send messages."""

    messages: Sequence[Message]


class _End:
    """A core that sends what it is told and counts what it gets."""

    deadline_us: int | None = None

    def __init__(self) -> None:
        self._outbox = c.Outbox()
        self._peer = b""
        self.up = trio.Event()
        self.got = 0
        self.on_got: Callable[[], None] = lambda: None

    def step(self, now_us: int, event: c.Input) -> list[c.Effect]:
        """Take an input."""
        match event:
            case c.Received():
                self.got += 1
                self.on_got()
            case c.PeerUp(peer):
                self._peer = peer
                self.up.set()
            case c.Command(token, _Send(messages)):
                for message in messages:
                    self._outbox.send(self._peer, message)
                self._outbox.reply(token, None)
            case c.Command(token, c.Dial(address, peer)):
                self._outbox.dial(address, peer)
                self._outbox.reply(token, None)
        return self._outbox.drain()


def _driver(core: _End, tier: int, listen: str | None) -> tuple[Driver, SigningKey]:
    key = SigningKey(os.urandom(32))
    driver = Driver(
        core,
        store=MemoryStore(()),
        identity=Identity(key, os.urandom(32), CHAIN_ID),
        local=LocalNode(tier),
        listen=listen,
        threaded_commits=False,
    )
    return driver, key


def payments(count: int, messages: int) -> list[Submit]:
    """Return so many messages of so many signed payments each; all differ, since a driver encodes equal ones once."""
    key = SigningKey(bytes(32))
    raws = [
        sign_transfer(
            key,
            chain_id=CHAIN_ID,
            seq=seq,
            prev=ZERO_HASH,
            to=bytes(range(32)),
            amount=10**9,
            fee=1_000,
            valid_until_ms=1_700_000_000_000,
        ).raw
        for seq in range(count + messages)
    ]
    return [Submit(tuple(raws[number : number + count])) for number in range(messages)]


class SocketPair:
    """A phone's driver and an edge's, connected over loopback.

    Use it so: ``async with trio.open_nursery() as nursery: pair = await SocketPair.start(nursery)``; then `rate`, and
    cancel the nursery.
    """

    def __init__(self) -> None:
        self._phone, self._edge = _End(), _End()
        self._dialling, _ = _driver(self._phone, 4, None)
        self._listening, self._edge_key = _driver(self._edge, 3, "127.0.0.1:0")

    @classmethod
    async def start(cls, nursery: trio.Nursery) -> SocketPair:
        """Start both and wait until they are connected."""
        pair = cls()
        (address,) = await nursery.start(pair._listening.run)
        await nursery.start(pair._dialling.run)
        pair._dialling.command(c.Dial(address, pair._edge_key.public), _ignore)
        with trio.fail_after(CONNECT_S):
            await pair._phone.up.wait()
            await pair._edge.up.wait()
        return pair

    async def rate(self, messages: Sequence[Message], size_bytes: int, count: int) -> float:
        """Return messages per second from the phone to the edge, those given in turn; each of about `size_bytes`."""
        window = max(2, min(count, WINDOW_BYTES // size_bytes))
        start, sent, changed = self._edge.got, 0, trio.Event()

        def got() -> None:
            if (sent - (self._edge.got - start)) * 2 <= window:
                changed.set()

        self._edge.on_got = got
        began_s = time.perf_counter()
        while self._edge.got - start < count:
            more = min(window - (sent - (self._edge.got - start)), count - sent)
            if more:
                part = [messages[number % len(messages)] for number in range(sent, sent + more)]
                self._dialling.command(_Send(part), _ignore)
            sent += more
            changed = trio.Event()
            if self._edge.got - start < count:
                await changed.wait()
        return count / (time.perf_counter() - began_s)


def _ignore(_reply: c.Reply) -> None:
    """These cores refuse nothing."""


LARGE = FORWARD_MAX
"""Payments in the largest message of them."""
