"""Nodes of `reach_node` by name in the simulator."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chain_tools import GENESIS_TIME_MS, test_key
from reach_node import ReachNode

from supervm.sim.exact.choices import Choices
from supervm.sim.exact.host import Host
from supervm.sim.exact.world import ExactWorld

START_US = (GENESIS_TIME_MS + 1_000) * 1_000
SECOND_US = 1_000_000


class ReachWorld:
    """Nodes by name in a world."""

    def __init__(self, seed: int = 1) -> None:
        self.world = ExactWorld(start_us=START_US, choices=Choices(seed))
        self.names: list[str] = []

    def add(
        self,
        name: str,
        place: str,
        *targets: str,
        node: type[ReachNode] = ReachNode,
        endpoints: Iterable[str] | None = None,
    ) -> Host:
        """Add a node at an address, to dial others by theirs; it says that it can be dialled there."""
        key = test_key(name)
        told = (place,) if endpoints is None else tuple(endpoints)
        self.names.append(name)
        return self.world.add(
            node_id=key.public,
            tier=node.TIER,
            address=place,
            tables=node.declared_tables(),
            name=name,
            build=lambda disk: node(key, told, [(None, target) for target in targets], disk, self.world.verify),
        )

    def start(self, *names: str) -> None:
        """Switch some on, or all."""
        for name in names or self.names:
            self.world.start(test_key(name).public)

    def run(self, seconds: int) -> None:
        """Let time pass."""
        self.world.run(seconds * SECOND_US)

    def core(self, name: str) -> Any:
        """Return the core of a node that runs."""
        core = self.world.host(test_key(name).public).core
        assert core is not None, f"{name} is off"
        return core

    def chosen(self, name: str) -> list[bytes]:
        """Return whom a node has chosen and is connected to."""
        items = self.core(name).reach.neighbours.chosen.values()
        return [item.node_id for item in items if item.up_us is not None and not item.feeler]
