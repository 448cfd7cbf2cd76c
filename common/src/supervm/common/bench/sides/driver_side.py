"""A side on our own link, through the whole of a driver at either end: queue, Noise, socket, decoding, a core's step.

Frames travel as pieces of bundles (`BundleData`), the wire's own kind for bytes that are nobody's business on the way.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from functools import lru_cache
from typing import Final

import msgspec
import trio

from supervm.protocol.base.keys import SigningKey
from supervm.protocol.wire.frames import encode_message
from supervm.protocol.wire.reach import BundleData
from supervm.protocol.wire.subject import Wire
from supervm.protocol.wire.subjects import REACH

from ...contract import core as c
from ...driver import Driver, Identity
from ...link.connection import LocalNode
from ...storage.memory import MemoryStore
from .talk import ECHO, FULL, LAST, QUICK, SMALL_BYTES, Sizes, connect_often, converse

CHAIN_ID: Final = bytes(32)
TIER: Final = 3
WINDOW_BYTES: Final = 1 << 20
"""Bytes that are handed to the driver between two looks at what waits: a quarter of what may wait for a peer."""


class _Say(msgspec.Struct, frozen=True):
    """Send a message."""

    message: BundleData


class _Core:
    """Answers as every side does, or keeps what comes for whoever waits for it."""

    deadline_us: int | None = None

    def __init__(self, *, answers: bool) -> None:
        self._outbox = c.Outbox()
        self._answers = answers
        self._peer = b""
        self.up, self.down, self.came = trio.Event(), trio.Event(), trio.Event()
        self.heard: deque[BundleData] = deque()

    def step(self, now_us: int, event: c.Input) -> list[c.Effect]:
        """Take an input."""
        match event:
            case c.Received(peer, BundleData() as message):
                if not self._answers:
                    self.heard.append(message)
                    self.came.set()
                elif message.data[:1] == ECHO:
                    self._outbox.send(peer, message)
                elif message.data[:1] == LAST:
                    self._outbox.send(peer, _piece(LAST))
            case c.Command(token, _Say(message)):
                self._outbox.send(self._peer, message)
                self._outbox.reply(token, None)
            case c.Command(token, c.Dial(address, peer)):
                self._outbox.dial(address, peer)
                self._outbox.reply(token, None)
            case c.Command(token, c.HangUp(peer, code, reason)):
                self._outbox.hang_up(peer, code, reason)
                self._outbox.reply(token, None)
            case c.PeerUp(peer):
                self._peer = peer
                self.up.set()
            case c.PeerDown():
                self.down.set()
        return self._outbox.drain()


class _Talking:
    """The side that has connected.

    Args:
        core: what its driver runs.
        driver: runs it.
    """

    def __init__(self, core: _Core, driver: Driver) -> None:
        self._core, self._driver = core, driver
        self._handed_bytes = 0

    async def say(self, frame: bytes) -> None:
        """Hand a frame to the driver, when there is room for it."""
        if self._handed_bytes >= WINDOW_BYTES:
            self._handed_bytes = 0
            while self._driver.metrics()["queued_bytes"] > WINDOW_BYTES:
                await trio.lowlevel.checkpoint()
        self._handed_bytes += len(frame)
        self._driver.command(_Say(_piece(frame)), _ignore)

    async def hear(self) -> bytes:
        """Return the next frame."""
        core = self._core
        while not core.heard:
            core.came = trio.Event()
            await core.came.wait()
        return core.heard.popleft().data


@lru_cache(maxsize=8)
def _piece(frame: bytes) -> BundleData:
    """Return the message for a frame; a small one is cut, so that it has `SMALL_BYTES` with all that is around it."""
    message = BundleData(bytes(32), 1 << 18, 1, 0, frame)
    spare = len(encode_message(message)) - len(frame)
    return msgspec.structs.replace(message, data=frame[:-spare]) if len(frame) == SMALL_BYTES else message


def _driver(core: _Core, listen: str | None) -> tuple[Driver, SigningKey]:
    key = SigningKey(os.urandom(32))
    driver = Driver(
        core,
        store=MemoryStore(()),
        identity=Identity(key, os.urandom(32), CHAIN_ID),
        local=LocalNode(TIER, wire=Wire(REACH)),
        listen=listen,
        threaded_commits=False,
    )
    return driver, key


async def serve() -> None:
    """Listen on loopback until standard input ends."""
    async with trio.open_nursery() as nursery:
        driver, key = _driver(_Core(answers=True), "127.0.0.1:0")
        (address,) = await nursery.start(driver.run)
        print(f"{key.public.hex()}@{address}", flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()


async def talk(where: str, sizes: Sizes) -> None:
    """Connect, talk, and print what that has shown."""
    node_id, _, address = where.partition("@")
    core = _Core(answers=False)
    driver, _ = _driver(core, None)
    async with trio.open_nursery() as nursery:
        await nursery.start(driver.run)
        peer = bytes.fromhex(node_id)

        async def connect() -> None:
            core.up = trio.Event()
            driver.command(c.Dial(address, peer), _ignore)
            await core.up.wait()

        async def end() -> None:
            core.down = trio.Event()
            driver.command(c.HangUp(peer, "done", "the benchmark connects again"), _ignore)
            await core.down.wait()

        connect_s = await connect_often(connect, end, sizes.connections)
        side = _Talking(core, driver)
        print((await converse(connect_s, side.say, side.hear, sizes)).line(), flush=True)
        nursery.cancel_scope.cancel()


def _ignore(_reply: c.Reply) -> None:
    """These cores refuse nothing."""


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        trio.run(serve)
    else:
        trio.run(talk, sys.argv[2], QUICK if "--quick" in sys.argv else FULL)
    os._exit(0)  # the thread that reads standard input would be waited for
