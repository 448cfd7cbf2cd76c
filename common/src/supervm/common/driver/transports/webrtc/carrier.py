"""One WebRTC connection in the asyncio thread: offer or answer, its one channel, its end.

Theory of operation. Everything here runs in the asyncio thread, except that the node's loop looks at what has come and
takes it (`take`). Both ends make the one channel themselves, number 0, so nothing has to be negotiated about it, and a
channel that a peer opens besides ends the connection. aiortc's callbacks only note what happened and wake the node's
loop: an exception in one of them would end the transport behind it, and nobody would hear of it.

aiortc takes addresses of this machine from a function of aioice that knows no choice; `hosts` gives it one, per
connection. Only what a signal names as our side is offered: a phone's other networks are nobody's business, and
loopback, which aioice never offers, joins two nodes of one machine.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from supervm.protocol.base.errors import RemoteProtocolError

from .description import cut_down, fingerprint_of
from .flow import END, MESSAGE_BYTES_MAX, PROBE, WINDOW_BYTES, Flow

if TYPE_CHECKING:
    from aiortc import RTCDataChannel, RTCPeerConnection

LABEL: Final = "supervm"
CHANNEL: Final = 0
LINGER_S: Final = 1.0
"""How long an end in good order may take."""
CLOSE_S: Final = 2.0
_BUFFERED_MAX: Final = WINDOW_BYTES + (64 << 10)
"""Beyond it a peer asks more than it listens."""
_hosts: ContextVar[tuple[str, ...] | None] = ContextVar("hosts", default=None)


class Carrier:
    """One connection.

    Args:
        hosts: the addresses of this machine that it uses; None: all but loopback.
        wake: tells the node's loop to look; called in the asyncio thread.

    Attributes:
        flow: what is under way.
        prologue_extra: both fingerprints, the offering end's first; empty before they are known.
        failure: why it can carry nothing any more; empty as long as it can.
        waiting: messages that the window holds back.
    """

    def __init__(self, hosts: tuple[str, ...] | None, wake: Callable[[], None]) -> None:
        self._our_hosts = hosts
        self._wake = wake
        self._connection: RTCPeerConnection | None = None
        self._channel: RTCDataChannel | None = None
        self._inbox = bytearray()
        self._changed = asyncio.Event()
        self.flow = Flow()
        self.prologue_extra = b""
        self.failure = ""
        self.waiting: deque[bytes] = deque()

    # --- coming up ----------------------------------------------------------------------------------------------------

    async def offer(self) -> str:
        """Begin as the offering end; return the offer."""
        connection = self._make()
        await connection.setLocalDescription(await connection.createOffer())
        return connection.localDescription.sdp

    async def accept(self, answer: str) -> None:
        """Take the answer to our offer.

        Raises:
            RemoteProtocolError: it cannot be taken.
        """
        connection = self._connection
        assert connection is not None
        await self._take_description(connection, answer, "answer", candidates=True)
        self._note_keys(connection.localDescription.sdp, answer)

    async def answer(self, offer: str, *, candidates: bool) -> str:
        """Begin as the answering end; return the answer.

        Args:
            offer: what the other end wants.
            candidates: whether to send to where it says it may be reached; else it has to show itself.

        Raises:
            RemoteProtocolError: it cannot be taken.
        """
        connection = self._make()
        await self._take_description(connection, offer, "offer", candidates=candidates)
        try:
            await connection.setLocalDescription(await connection.createAnswer())
        except Exception as error:  # as in `_take_description`: what was taken may show to be of no use only now
            raise _useless("offer", error) from error
        answer = connection.localDescription.sdp
        self._note_keys(offer, answer)
        return answer

    async def opened(self) -> None:
        """Return when the channel is open, or has failed."""
        while not self.failure and (self._channel is None or self._channel.readyState != "open"):
            await self._change()

    def _make(self) -> RTCPeerConnection:
        from aiortc import RTCConfiguration, RTCPeerConnection

        _choose_hosts()
        _hosts.set(self._our_hosts)
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))  # by default it would ask somebody's server
        channel = connection.createDataChannel(LABEL, negotiated=True, id=CHANNEL)
        channel.on("open", self._notify)
        channel.on("message", self._receive)
        channel.on("close", lambda: self.fail("the peer's end is gone"))
        connection.on("datachannel", lambda _: self.fail("the peer opens another channel"))
        connection.on("connectionstatechange", self._look)
        self._connection, self._channel = connection, channel
        return connection

    async def _take_description(self, connection: RTCPeerConnection, text: str, kind: str, *, candidates: bool) -> None:
        from aiortc import RTCSessionDescription

        cut = cut_down(text, candidates=candidates)
        try:
            await connection.setRemoteDescription(RTCSessionDescription(cut, kind))
        except Exception as error:  # aiortc reads a stranger's text, and anything may come of it
            raise _useless(kind, error) from error

    def _note_keys(self, offer: str, answer: str) -> None:
        self.prologue_extra = fingerprint_of(offer) + fingerprint_of(answer)

    def _look(self) -> None:
        connection = self._connection
        if connection is not None and connection.connectionState in ("failed", "closed"):
            self.fail("no way to the peer" if not self.flow.heard else "the way to the peer is lost")

    # --- the stream ---------------------------------------------------------------------------------------------------

    def _receive(self, message: bytes | str) -> None:
        try:
            data, answer = self.flow.receive(message)
        except RemoteProtocolError as error:
            self.fail(error.reason)
            return
        self._inbox += data
        if answer:
            self._say(answer)
        self.pump()
        self._notify()

    def pump(self) -> None:
        """Send what waits, as far as the window goes."""
        channel, flow, waiting = self._channel, self.flow, self.waiting
        sent = False
        while waiting and channel is not None and channel.readyState == "open" and flow.room >= len(waiting[0]):
            message = waiting.popleft()
            flow.send(len(message))
            channel.send(message)
            sent = True
        if sent:
            self._notify()

    def note_taken(self, count: int) -> None:
        """Tell the other end that bytes were read here."""
        self._say(self.flow.take(count))

    def probe(self) -> None:
        """Ask the other end whether it is there."""
        self._say(PROBE)

    def take(self, bytes_max: int) -> bytes:
        """Return what has come, at most that much; in the node's loop."""
        data = self._inbox[:bytes_max]  # no view of it: the other thread could not add to it meanwhile
        del self._inbox[: len(data)]
        return bytes(data)

    def _say(self, text: str) -> None:
        channel = self._channel
        if channel is None or channel.readyState != "open":
            return
        if channel.bufferedAmount > _BUFFERED_MAX:
            self.fail("the peer asks more than it listens")
        else:
            channel.send(text)

    # --- the end ------------------------------------------------------------------------------------------------------

    def fail(self, reason: str) -> None:
        """Carry nothing any more; the first reason counts."""
        self.failure = self.failure or reason
        self._notify()

    async def close(self, *, orderly: bool) -> None:
        """End it; in good order, the other end first gets all that was sent, and says so, for `LINGER_S` at most."""
        if orderly and not self.failure and self._channel is not None and self._channel.readyState == "open":
            self._say(END)
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGER_S):
                    while not self.flow.end_arrived and not self.failure:
                        await self._change()
        self.fail("this end is closed")
        if self._connection is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await self._connection.close()

    def _notify(self) -> None:
        self._changed.set()
        self._wake()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


def _useless(kind: str, error: Exception) -> RemoteProtocolError:
    return RemoteProtocolError(f"the {kind} cannot be taken: {type(error).__name__}", penalty=0, code="malformed")


def split(data: bytes) -> list[bytes]:
    """Cut bytes into messages."""
    if len(data) <= MESSAGE_BYTES_MAX:
        return [bytes(data)]
    return [bytes(data[at : at + MESSAGE_BYTES_MAX]) for at in range(0, len(data), MESSAGE_BYTES_MAX)]


def _choose_hosts() -> None:
    """Let aioice use the addresses that a connection names, once per process."""
    from aioice import ice

    every = ice.get_host_addresses
    if getattr(every, "chosen", False):
        return

    def chosen(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        hosts = _hosts.get()
        return every(use_ipv4, use_ipv6) if hosts is None else list(hosts)

    chosen.chosen = True  # type: ignore[attr-defined]
    ice.get_host_addresses = chosen


async def load() -> None:
    """Load aiortc, in the asyncio thread: it takes most of a second.

    Raises:
        ImportError: it is not installed.
    """
    import aiortc  # noqa: F401
