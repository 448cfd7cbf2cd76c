"""The service ``lan``, for nodes whose owner has set the option; what it takes is imported when it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from ...errors import InputError

if TYPE_CHECKING:
    from ...host.config import NodeConfig
    from ...host.node import Node


class LanService:
    """Looks for others on the LAN, and lets a node that listens be found. A node can be without it."""

    name: Final = "lan"
    vital: Final = False

    def wanted(self, config: NodeConfig) -> bool:
        """Return whether the tier's table says ``lan = true``."""
        return bool(config.tier_options.get("lan", False))

    async def run(self, node: Node, *, task_status: trio.TaskStatus[None]) -> None:
        """Run until cancelled.

        Raises:
            InputError: zeroconf is not installed.
        """
        task_status.started()
        await node.ready.wait()  # what it needs takes its time to be imported, and nobody should wait for it
        try:
            from .zeroconf_lan import run_lan
        except ImportError as error:
            raise InputError(
                f"lan = true needs zeroconf, which is not installed here ({error}): install supervm-common[lan]"
            ) from None
        await run_lan(node)


LAN: Final = LanService()
"""The service."""
