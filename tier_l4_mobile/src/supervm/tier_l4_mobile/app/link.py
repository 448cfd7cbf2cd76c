"""How the app talks to the node of its folder, whoever runs it.

Theory of operation. A directory has one owner process. If a node runs in it - a service, a `supervm l4 run` - the app
talks to it over DIR/node.sock. If none does, the app opens the node in its own event loop and talks to it over socket
pairs. On Android it first asks the system to run the node as a service (`android`), which outlives the window. All
ends speak the same lines, so nothing else in the app knows which it is.

Answers on one connection come in the order of the requests, and a question for a balance may take ten seconds. So each
request gets a connection of its own as long as it is under way; idle ones are kept and used again.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import trio

from supervm.common.host.config import NodeConfig
from supervm.common.services.client import ControlClient, EventStream, connect, watch_stream
from supervm.common.services.lines import SOCKET_FILE, NoOwner, RequestRefused

from ..messages import MobileRequest

IDLE_MAX: Final = 4
"""Connections that are kept while nobody uses them."""
BUSY_MAX: Final = 16
"""Requests under way at once; more wait for one of them."""


class NodeLink:
    """The node, as the app sees it; make one with `open_link`.

    Args:
        path: the node's socket, for errors.
        dial: makes a connection.
        is_own: whether the node runs in this program and ends with it.

    Attributes:
        is_own: likewise.
    """

    def __init__(self, path: Path, dial: Callable[[], Awaitable[trio.SocketStream]], *, is_own: bool) -> None:
        self._path = path
        self._dial = dial
        self._idle: list[ControlClient] = []
        self._room = trio.CapacityLimiter(BUSY_MAX)
        self.is_own = is_own

    async def call(self, request: MobileRequest) -> Any:
        """Ask the node; return the answer's value.

        Raises:
            RequestRefused: the node says what was wrong with the request.
            NoOwner: the node has gone.
        """
        async with self._room:
            client = self._idle.pop() if self._idle else ControlClient(self._path, await self._dial())
            is_whole = False
            try:
                answer = await client.call(request)
                is_whole = True
            except RequestRefused:
                is_whole = True
                raise
            finally:
                # a connection whose answer was not waited for would give it to the next request
                if is_whole and len(self._idle) < IDLE_MAX:
                    self._idle.append(client)
                else:
                    await trio.aclose_forcefully(client.stream)
            return answer

    @asynccontextmanager
    async def events(self) -> AsyncIterator[EventStream]:
        """Watch what the node publishes (`supervm.common.services.client.watch`).

        Raises:
            NoOwner: the node has gone.
        """
        async with watch_stream(self._path, await self._dial()) as events:
            yield events

    async def aclose(self) -> None:
        """Close the connections that are idle."""
        idle, self._idle = self._idle, []
        for client in idle:
            await client.aclose()


@asynccontextmanager
async def open_link(config: NodeConfig, *, passphrase: str | None = None) -> AsyncIterator[NodeLink]:
    """Talk to the node of a folder while the body runs: to the one that runs there, else to one that is opened here.

    Args:
        config: the node's configuration.
        passphrase: opens the wallet, where the node has to be opened here.

    Raises:
        InputError: no node answers and none can be opened: another process holds the folder, the passphrase does not
            open the wallet, or a file cannot be used.
        CommonError: what ended the node, as `supervm.common.host.open.open_node` says.
    """
    path = config.directory.joinpath(SOCKET_FILE)
    async with AsyncExitStack() as stack:
        link = await _running(path)
        if link is None and await _served(config):
            link = await _running(path)
        if link is None:
            link = await stack.enter_async_context(_own(config, path, passphrase))
        try:
            yield link
        finally:
            with trio.CancelScope(shield=True):
                await link.aclose()


async def _running(path: Path) -> NodeLink | None:
    """Return a link to the node that runs; None if none does."""

    async def dial() -> trio.SocketStream:
        return await connect(path)

    try:
        await (await dial()).aclose()
    except NoOwner:
        return None
    return NodeLink(path, dial, is_own=False)


async def _served(config: NodeConfig) -> bool:
    """Let the system run the node, where it runs any; return whether it does."""
    if sys.platform != "android":
        return False
    from .android.background import start_node

    return await start_node(config)


@asynccontextmanager
async def _own(config: NodeConfig, path: Path, passphrase: str | None) -> AsyncIterator[NodeLink]:
    from supervm.common.host.open import open_node  # what a node needs takes its time to be imported

    from ..profile import PROFILE

    async with open_node(config, passphrase=passphrase, profile=PROFILE) as node:

        async def dial() -> trio.SocketStream:
            return node.control_pair()

        yield NodeLink(path, dial, is_own=True)
