"""WebRTC as a `Transport`: addresses are ``host:port`` of whoever takes offers there over HTTP, or what a signal knows.

Imports of what does the work stand inside the functions: a node that has no such address loads none of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import trio

from ...failures import ListenFailed, NoAddress
from ...limits import Limits
from ..contract import Admit, Traits
from ..tcp import BACKLOG, join_address, split_address

if TYPE_CHECKING:
    from .answering import Answering
    from .bridge import Bridge
    from .pipe import ChannelPipe
    from .signal import Signal

MTU_BYTES: Final = 16_366
"""Plaintext of a record that one message of 16 KiB carries whole, with its length and tag."""
PATIENCE_FACTOR: Final = 2
"""How much longer than TCP's a peer may be silent: its program answers here, not its machine."""
_MISSING: Final = "WebRTC needs aiortc and h11, and they are not installed: install supervm-common[webrtc]"


class WebRtcTransport:
    """Data channels.

    Args:
        limits: those of the driver.
        signal: carries offers; by default to ``host:port`` over HTTP.
    """

    scheme = "webrtc"
    traits = Traits(mtu_bytes=MTU_BYTES)

    def __init__(self, limits: Limits, signal: Signal | None = None) -> None:
        self._patience_s = limits.unacknowledged_s * PATIENCE_FACTOR
        self._signal = signal
        self._made: Bridge | None = None

    @property
    def bridge(self) -> Bridge:
        """The asyncio thread of all its connections.

        Raises:
            OSError: what is needed is not installed.
        """
        if self._made is None:
            try:
                import h11  # noqa: F401 - aiortc is loaded in its thread, because that takes most of a second

                from .bridge import Bridge
            except ImportError as error:
                raise OSError(_MISSING) from error
            self._made = Bridge()
        return self._made

    def can_dial(self, address: str) -> bool:
        """Return whether it is ``host:port``; with a signal of somebody's own, whether it is anything."""
        if self._signal is not None:
            return bool(address)
        try:
            split_address(address)
        except NoAddress:
            return False
        return True

    async def dial(self, address: str) -> ChannelPipe:
        """Offer a connection to an address; return when it is open.

        Raises:
            OSError: nobody answers there, no way leads there, or what is needed is not installed.
            NoAddress: it is none.
        """
        bridge = self.bridge
        from supervm.protocol.base.errors import RemoteProtocolError

        from .http import by_http
        from .pipe import ChannelPipe

        async with (self._signal or by_http)(address) as exchange:
            pipe = ChannelPipe(bridge, exchange.remote, exchange.hosts, self._patience_s)
            carrier = pipe.carrier
            try:
                answer = await exchange.answer(await bridge.call(carrier.offer))
                await bridge.call(carrier.accept, answer)
                await bridge.call(carrier.opened)
                if carrier.failure:
                    raise OSError(carrier.failure)
            except RemoteProtocolError as error:
                await pipe.end(orderly=False)
                raise OSError(error.reason) from error
            except ImportError as error:
                await pipe.end(orderly=False)
                raise OSError(_MISSING) from error
            except BaseException:
                await pipe.end(orderly=False)
                raise
        return pipe

    async def serve(
        self, address: str, admit: Admit, *, task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Take offers over HTTP on ``host:port``; port 0 takes a free one, and `task_status` gets which.

        Raises:
            ListenFailed: not an address, in use, or what is needed is not installed.
        """
        try:
            bridge = await self._loaded()
        except OSError as error:
            raise ListenFailed(f"cannot listen on {self.scheme}:{address}: {error}") from error
        from .http import serve_http

        try:
            try:
                host, port = split_address(address)
                listeners = list(await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG))
            except (OSError, NoAddress) as error:
                raise ListenFailed(f"cannot listen on {self.scheme}:{address}: {error}") from error
            async with self.answering(admit) as answering, trio.open_nursery() as nursery:
                await nursery.start(serve_http, listeners, answering.handle)
                names = [join_address(listener.socket.getsockname()) for listener in listeners]
                task_status.started([f"{self.scheme}:{name}" for name in names])
        finally:
            with trio.CancelScope(shield=True):
                await bridge.leave()

    @asynccontextmanager
    async def answering(self, admit: Admit) -> AsyncIterator[Answering]:
        """Be able to answer offers while the body runs, whoever carries them.

        Raises:
            OSError: what is needed is not installed.
        """
        bridge = await self._loaded()
        from .answering import Answering

        try:
            async with trio.open_nursery() as nursery:
                yield Answering(bridge, nursery, admit, self._patience_s)
                nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                await bridge.leave()

    async def _loaded(self) -> Bridge:
        """Return the asyncio thread, entered, with aiortc in it.

        Raises:
            OSError: what is needed is not installed.
        """
        bridge = self.bridge
        from .carrier import load

        bridge.enter()
        try:
            await bridge.call(load)
        except BaseException as error:
            with trio.CancelScope(shield=True):
                await bridge.leave()
            if isinstance(error, ImportError):
                raise OSError(_MISSING) from error
            raise
        return bridge


def make(limits: Limits) -> WebRtcTransport:
    """Return the transport of a node."""
    return WebRtcTransport(limits)
