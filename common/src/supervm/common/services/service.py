"""What a service is, and which there are.

A service is what runs beside a core in a node and is no part of the protocol: the control socket, housekeeping. A
distribution announces its services under the entry-point group ``supervm.services``; each value is an object with the
members of `Service`. A node runs those that its configuration wants, in the order of their names. A service sees the
node from outside: it may ask it, watch it and publish events, never step its core.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import trio

from ..installed import entry_points

if TYPE_CHECKING:
    from ..host.config import NodeConfig
    from ..host.node import Node

SERVICES_GROUP: Final = "supervm.services"
"""Entry points whose values are a `Service`."""


class Service(Protocol):
    """Something that runs beside a core.

    Attributes:
        name: for the log.
        vital: whether the node cannot be without it: its failure ends the node. One that is not vital is logged as
            ``service-failed`` and not started again, except that `StorageFailed` always ends the node.
    """

    @property
    def name(self) -> str:
        """For the log."""
        ...

    @property
    def vital(self) -> bool:
        """Whether the node cannot be without it."""
        ...

    def wanted(self, config: NodeConfig) -> bool:
        """Return whether a node that is configured so runs it."""
        ...

    async def run(self, node: Node, *, task_status: trio.TaskStatus[None]) -> None:
        """Run until cancelled; `task_status` hears when it is up, which the node waits for before it is ready."""
        ...


def find_services() -> tuple[list[Service], dict[str, str]]:
    """Return the installed services by name, and why others could not be loaded, by the name of their entry.

    One damaged distribution must not take a node down.
    """
    found: dict[str, Service] = {}
    damaged: dict[str, str] = {}
    for entry in entry_points(group=SERVICES_GROUP):
        try:
            service: Service = entry.load()
        except (ImportError, AttributeError) as error:
            damaged[entry.name] = str(error)
        else:
            found.setdefault(service.name, service)
    return [found[name] for name in sorted(found)], damaged
