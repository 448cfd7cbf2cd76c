"""A node inside another program: no signals, nothing on standard output or error, any number in one trio loop.

``async with open_node(config) as node`` runs a node for as long as the body does. When the body ends - returns, raises
or is cancelled - the node is stopped in good order before the block is left. When the node fails, the body is
cancelled, and the block raises what ended the node. What the body raises comes out of the block as it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import trio

from ..driver.failures import single
from ..driver.parts import EventSink, ignore
from ..services.service import Service, find_services
from .config import NodeConfig
from .events import ServiceFailed
from .node import Node
from .prepare import Prepared, prepared
from .profile import Profile, find_profile

__all__ = ["Node", "open_node", "run_prepared"]


@asynccontextmanager
async def open_node(
    config: NodeConfig,
    *,
    passphrase: str | None = None,
    profile: Profile[Any] | None = None,
    services: Sequence[Service] | None = None,
    sink: EventSink = ignore,
) -> AsyncIterator[Node]:
    """Run a node while the body runs.

    What takes long at a start - reading the database, unlocking a wallet - happens in a thread.

    Args:
        config: the node's configuration; its folder must have been made (`supervm init`).
        passphrase: of the wallet, for an L4; it is not taken from the environment.
        profile: the tier; by default the installed one that the configuration names.
        services: what runs beside the core; by default those that are installed and that the configuration wants.
        sink: told every event (`supervm.common.contract.events`), besides the node's log; called in the event loop,
            so it must not block or raise.

    Raises:
        InputError: the folder, a file in it or an address cannot be used, or the tier is not installed.
        Halted: the core stopped the node: starting again would not help, a person has to look.
        StorageFailed: the disk or the database failed; the text says what its owner can do.
        RuntimeError: the core or the driver broke off, which is a bug; the log names it.
    """
    chosen = find_profile(config.tier) if profile is None else profile
    with ExitStack() as stack:
        made = await trio.to_thread.run_sync(stack.enter_context, prepared(config, chosen, passphrase=passphrase))
        async with run_prepared(made, services=services, sink=sink) as node:
            yield node


@asynccontextmanager
async def run_prepared(
    made: Prepared, *, services: Sequence[Service] | None = None, sink: EventSink = ignore
) -> AsyncIterator[Node]:
    """Run a node that is ready to run; arguments and errors as `open_node`."""
    node = Node(made, sink)
    of_body: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(node.run, _chosen(node) if services is None else services)
            try:
                yield node
            except BaseException as error:
                of_body = error
                raise
            finally:
                with trio.CancelScope(shield=True):
                    await node.close()
    except BaseExceptionGroup as group:
        # the node's failure, or else what the body raised; cancellation is trio's to sort out
        reason = node.failure or (of_body if isinstance(of_body, Exception) else single(group))
        if reason is group:
            raise
        raise reason from reason.__cause__


def _chosen(node: Node) -> list[Service]:
    found, damaged = find_services()
    for name, reason in damaged.items():
        node.publish(ServiceFailed(name, reason))
    return [service for service in found if service.wanted(node.config)]
