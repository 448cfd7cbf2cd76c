"""The services that come with every node: control socket, housekeeping, a door for browsers, a phone's sensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from ..host.config import NodeConfig
    from ..host.node import Node


_PHONE: Final = 4
_SENSE_S: Final = 60
"""Between two looks at memory and power."""
_SCHEDULER_TIER_MAX: Final = 2
"""Edges and phones keep house without APScheduler also where it is installed: it would be a tenth of their memory."""


class ControlSocket:
    """Answers on DIR/node.sock. A node that nobody could talk to is of no use, so its failure is the node's."""

    name: Final = "control"
    vital: Final = True

    def wanted(self, _config: NodeConfig) -> bool:
        """Return True."""
        return True

    async def run(self, node: Node, *, task_status: trio.TaskStatus[None]) -> None:
        """Serve until cancelled.

        Raises:
            InputError: the socket cannot be made.
        """
        await node.control.run(task_status=task_status)


class Housekeeping:
    """Keeps a node's database, backups and log in order (`housekeeping`)."""

    name: Final = "housekeeping"
    vital: Final = False

    def wanted(self, config: NodeConfig) -> bool:
        """Return whether ``[housekeeping] enabled`` is true."""
        return bool(config.housekeeping_value("enabled"))

    async def run(self, node: Node, *, task_status: trio.TaskStatus[None]) -> None:
        """Run until cancelled.

        Raises:
            StorageFailed: upkeep found the database failed.
        """
        task_status.started()
        await node.ready.wait()  # what it needs takes its time to be imported, and nobody should wait for it
        from .housekeeping import HousekeepingConfig, run_housekeeping

        def option(name: str) -> int:
            return int(node.config.housekeeping_value(name))

        config = HousekeepingConfig(
            maintenance_interval_s=option("optimize_s"),
            backup_interval_s=option("backup_s"),
            keep=option("backups_kept"),
            metrics_interval_s=option("metrics_s"),
            log_bytes_max=option("log_bytes_max"),
            logs_kept=max(1, option("logs_kept")),
            retention_days=int(node.config.policy.get("retention_days", 0)),
        )
        await run_housekeeping(
            config,
            node.config.directory,
            store=node.store,
            metrics=node.metrics,
            reopen_log=node.reopen_log,
            plain=node.config.tier > _SCHEDULER_TIER_MAX,
        )


class Browsers:
    """Lets browsers connect (`browsers`); a node that nobody's browser reaches is a node all the same."""

    name: Final = "browsers"
    vital: Final = False

    def wanted(self, config: NodeConfig) -> bool:
        """Return whether ``[browsers] listen`` names an address."""
        return bool(config.browsers.get("listen"))

    async def run(self, node: Node, *, task_status: trio.TaskStatus[None]) -> None:
        """Serve until cancelled.

        Raises:
            CommonError: the address or the page cannot be served, or what is needed is not installed.
        """
        from .browsers import serve_browsers

        page = str(node.config.browsers.get("page", ""))
        await serve_browsers(
            str(node.config.browsers["listen"]),
            node.config.directory / page if page else None,
            node.admit,
            task_status=task_status,
        )


BROWSERS: Final = Browsers()
"""Where browsers connect."""


class Sensors:
    """Tells a phone that does something for others how its machine stands, once a minute."""

    name: Final = "sensors"
    vital: Final = False

    def wanted(self, config: NodeConfig) -> bool:
        """Return whether it is a phone that finds peers."""
        return config.tier == _PHONE and bool(config.tier_options.get("find_peers"))

    async def run(self, node: Node, *, task_status: trio.TaskStatus[None]) -> None:
        """Run until cancelled."""
        from ..host.sensors import read_sensed

        task_status.started()
        await node.ready.wait()
        while True:
            node.sense(await trio.to_thread.run_sync(read_sensed))
            await trio.sleep(_SENSE_S)


CONTROL: Final = ControlSocket()
"""The control socket."""
HOUSEKEEPING: Final = Housekeeping()
"""Database upkeep, backups, metrics to a file, rotation of the log."""
SENSORS: Final = Sensors()
"""How a phone's machine stands."""
