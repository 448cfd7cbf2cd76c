"""A data channel as a `Pipe` of the node's own loop."""

from __future__ import annotations

import trio

from .bridge import Bridge
from .carrier import Carrier, split
from .flow import CREDIT_BYTES, Patience


class ChannelPipe:
    """One data channel; it uses the asyncio thread until it is closed.

    Args:
        bridge: the asyncio thread.
        remote: who is at the other end, for logs and bans.
        hosts: the addresses of this machine that it uses; None: all but loopback.
        patience_s: how long the other end may be silent while it owes word.

    Attributes:
        carrier: the connection itself, in the asyncio thread.
    """

    simultaneous = False

    def __init__(self, bridge: Bridge, remote: str, hosts: tuple[str, ...] | None, patience_s: float) -> None:
        bridge.enter()
        self._bridge = bridge
        self._patience = Patience(patience_s)
        self._posted = self._closed = False
        self._untold = 0
        self._changed = trio.Event()
        self.carrier = Carrier(hosts, self._wake)
        self.remote = remote
        self.admission_key: str | None = remote or None
        self.awaits_word = False

    @property
    def prologue_extra(self) -> bytes:
        """Both ends' fingerprints, 64 bytes."""
        return self.carrier.prologue_extra

    async def receive_some(self, bytes_max: int) -> bytes:
        """Return what has come, at most that much; empty at the end.

        Raises:
            trio.BrokenResourceError: the connection is lost.
            trio.ClosedResourceError: this end is closed.
        """
        await trio.lowlevel.checkpoint()
        carrier = self.carrier
        while True:
            if self._closed:
                raise trio.ClosedResourceError("this end is closed")
            data = carrier.take(bytes_max)
            if data:
                self._untold += len(data)
                if self._untold >= CREDIT_BYTES:
                    self._bridge.soon(carrier.note_taken, self._untold)
                    self._untold = 0
                return data
            if carrier.flow.ended:
                return b""
            if carrier.failure:
                raise trio.BrokenResourceError(carrier.failure)
            await self._changed.wait()

    async def send_all(self, data: bytes) -> None:
        """Send everything, waiting while the window is full.

        Raises:
            trio.BrokenResourceError: the connection is lost.
            trio.ClosedResourceError: this end is closed.
        """
        await trio.lowlevel.checkpoint()
        carrier = self.carrier
        self._check()
        if not data:
            return
        carrier.waiting.extend(split(data))
        self._bridge.soon(carrier.pump)
        while carrier.waiting:
            await self._changed.wait()
            self._check()

    def lost(self, now_s: float) -> str:
        """Return that the other end says nothing although it owes word; asks it for some."""
        flow = self.carrier.flow
        self.awaits_word = flow.sent > flow.acknowledged
        if self.awaits_word:
            self._bridge.soon(self.carrier.probe)
        return "the peer answers nothing" if self._patience.is_lost(now_s, flow) else ""

    async def aclose(self) -> None:
        """Close it; what was sent arrives, unless the other end is gone."""
        await self.end(orderly=True)

    async def end(self, *, orderly: bool) -> None:
        """Close it, with or without waiting for the other end; cancelling does not help."""
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._closed = True
        self._notify()
        with trio.CancelScope(shield=True):
            try:
                await self._bridge.call(_close, self.carrier, orderly)
            finally:
                await self._bridge.leave()

    def _check(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this end is closed")
        if self.carrier.failure:
            raise trio.BrokenResourceError(self.carrier.failure)

    def _wake(self) -> None:
        """Let the node's loop look; in the asyncio thread. Many reasons make one look."""
        if not self._posted:
            self._posted = True
            self._bridge.post(self._woken)

    def _woken(self) -> None:
        self._posted = False
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


async def _close(carrier: Carrier, orderly: bool) -> None:
    await carrier.close(orderly=orderly)
