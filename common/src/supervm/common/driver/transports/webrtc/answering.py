"""The answering end: takes offers, and hands on the pipes that come of them.

Each offer makes a connection before anybody has proven anything, so there are few at a time, and fewer of one client;
one that does not open in time is closed.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import trio

from supervm.protocol.base.errors import RemoteProtocolError

from ..contract import Admit
from .bridge import Bridge
from .http import PATH, SDP, Request, Response
from .pipe import ChannelPipe

OPENING_MAX: Final = 32
OPENING_PER_CLIENT_MAX: Final = 8
OPENING_S: Final = 8.0


class Answering:
    """Answers offers.

    Args:
        bridge: the asyncio thread.
        nursery: what waits for connections to open runs in it.
        admit: takes those that did.
        patience_s: how long the other end may be silent while it owes word.
    """

    def __init__(self, bridge: Bridge, nursery: trio.Nursery, admit: Admit, patience_s: float) -> None:
        self._bridge, self._nursery, self._admit = bridge, nursery, admit
        self._patience_s = patience_s
        self._opening: Counter[str] = Counter()

    async def answer(self, offer: str, remote: str, hosts: tuple[str, ...] | None, *, candidates: bool) -> str:
        """Return the answer to an offer; what comes of it is admitted when it is open.

        Args:
            offer: what the other end wants.
            remote: where it is, for logs and bounds.
            hosts: our addresses that lead to it; None: all but loopback may.
            candidates: whether to send to where it says that it is; only if somebody we trust carried the offer.

        Raises:
            RemoteProtocolError: it cannot be taken: code ``malformed``, or ``busy`` while too many are opening.
        """
        if self._opening.total() >= OPENING_MAX or self._opening[remote] >= OPENING_PER_CLIENT_MAX:
            raise RemoteProtocolError("too many connections are opening: try again in a while", penalty=0, code="busy")
        self._opening[remote] += 1
        pipe = ChannelPipe(self._bridge, remote, hosts, self._patience_s)
        try:
            answer = await self._bridge.call(_answer, pipe, offer, candidates)
        except BaseException:
            self._forget(remote)
            await pipe.end(orderly=False)
            raise
        self._nursery.start_soon(self._open, pipe)
        return answer

    async def handle(self, request: Request) -> Response:
        """Answer a request of HTTP."""
        if request.path.partition("?")[0] != PATH:
            return Response(404, body=b"there is nothing here\n")
        if request.method != "POST":
            return Response(405, body=b"an offer is to be sent by POST\n", headers=(("allow", "POST"),))
        if request.kind != SDP:
            return Response(415, body=f"an offer is of type {SDP}\n".encode())
        try:
            offer = request.body.decode("ascii")
            answer = await self.answer(offer, request.remote, (request.local,), candidates=False)
        except (RemoteProtocolError, UnicodeDecodeError) as error:
            busy = isinstance(error, RemoteProtocolError) and error.code == "busy"
            return Response(503 if busy else 400, body=f"{error}\n".encode())
        return Response(200, SDP, answer.encode("ascii"))

    async def _open(self, pipe: ChannelPipe) -> None:
        try:
            with trio.move_on_after(OPENING_S):
                await self._bridge.call(pipe.carrier.opened)
                if not pipe.carrier.failure:
                    self._admit(pipe)
                    return
            await pipe.end(orderly=False)
        except trio.Cancelled:
            await pipe.end(orderly=False)
            raise
        finally:
            self._forget(pipe.remote)

    def _forget(self, remote: str) -> None:
        self._opening[remote] -= 1
        if not self._opening[remote]:
            del self._opening[remote]


async def _answer(pipe: ChannelPipe, offer: str, candidates: bool) -> str:
    return await pipe.carrier.answer(offer, candidates=candidates)
