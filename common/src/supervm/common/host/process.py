"""``supervm lN run``: a process around one node (`open`): signals, the line ``ready``, exit statuses."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import trio

from ..driver.failures import Halted, StorageFailed
from ..exit_status import EXIT_HALTED, EXIT_STORAGE
from .config import NodeConfig
from .events import ReadyNotPrinted, Stopping
from .machine import raise_file_limit
from .node import Node
from .open import run_prepared
from .parent import parent_gone, parent_to_follow
from .prepare import Prepared, prepared
from .profile import Profile
from .streams import point_to_null


def run_node(config: NodeConfig, profile: Profile[Any], *, passphrase: str | None = None) -> int:
    """Run a node until SIGINT or SIGTERM; return its exit status.

    Prints one line of JSON when it is ready: ``{"event": "ready", "tier", "node_id", "listen", "pid"}`` and what the
    profile says about the node. What ends it is in ``node.log`` in any case, since a node may have been started without
    anybody who reads standard error.

    Args:
        config: the node's configuration.
        profile: its tier.
        passphrase: of the wallet, for tiers that have one.

    Returns:
        0 after a clean stop, `EXIT_HALTED` or `EXIT_STORAGE`.

    Raises:
        InputError: the folder, a file in it, or an address cannot be used.
        RuntimeError: the core or the driver broke off, which is a bug; the log names it.
    """
    try:
        with prepared(config, profile, passphrase=passphrase, alone=True) as made:
            raise_file_limit()
            gc.collect(1)  # a look at everything took 15 ms and found next to nothing
            gc.freeze()  # what was loaded at start stays; the collector need not look at it again
            trio.run(_run, made)
    except Halted:
        return EXIT_HALTED
    except StorageFailed:
        return EXIT_STORAGE
    except KeyboardInterrupt:
        return 0  # before the signal handler stood: nothing was promised yet
    return 0


async def _run(made: Prepared) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with run_prepared(made) as node, trio.open_nursery() as nursery:
            nursery.start_soon(_stop_on_signals, node, signals)
            if (parent := parent_to_follow()) is not None:
                nursery.start_soon(_end_with, node, parent)
            _tell_ready(node)
            await node.closed()
            nursery.cancel_scope.cancel()


def _tell_ready(node: Node) -> None:
    try:
        sys.stdout.write(msgspec.json.encode({"event": "ready", **node.about}).decode() + "\n")
        sys.stdout.flush()
    except OSError as error:  # whoever wanted to read it has gone, or its disk is full: no reason to end
        node.publish(ReadyNotPrinted(str(error.strerror or error)))
        point_to_null(sys.stdout)


async def _stop_on_signals(node: Node, signals: AsyncIterator[int]) -> None:
    """The first signal stops in good order; a second one does not wait for it."""
    async with trio.open_nursery() as nursery:
        asked = False
        async for number in signals:
            node.publish(Stopping(signal=signal.Signals(number).name))
            if asked:
                node.close_now()
            else:
                nursery.start_soon(node.close)
            asked = True


async def _end_with(node: Node, parent: int) -> None:
    await parent_gone(parent)
    node.publish(Stopping(parent=parent))
    await node.close()
