"""A network of `supervm up` that runs while it is measured: its processes, and what each of them has used so far."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from supervm.protocol.chain.allocations import Allocation

from ...errors import CommonError
from ...host.genesis_file import load_chain
from ...services.client import open_control
from ...services.lines import NoOwner
from ...up.layout import GENESIS_FILE, HOST, PASSPHRASE_FILE, Counts, Network, open_network
from ...up.processes import NodeProcess, Processes
from ..procfs import Memory, Usage, folder_bytes, memory_of, usage_of

READY_S = 120.0
ASK_S = 0.1


@dataclass(frozen=True, slots=True)
class Sample:
    """How a network stands at one time.

    Attributes:
        at_s: of the loop's clock.
        used: node -> what its process has used.
        sent_bytes: node -> bytes that it has sent over its links.
        height: of the newest block that a validator has executed and that a quorum has signed.
        disk_bytes: node -> bytes of the files in its folder.
    """

    at_s: float
    used: dict[str, Usage]
    sent_bytes: dict[str, int]
    height: int
    disk_bytes: dict[str, int]


@dataclass(slots=True)
class RunningNetwork:
    """The processes of one network.

    Attributes:
        network: its folder.
        nodes: its processes by name.
    """

    network: Network
    nodes: dict[str, NodeProcess]
    said: list[str] = field(default_factory=list)

    @property
    def chain_file(self) -> Path:
        """Its genesis file."""
        return self.network.directory / GENESIS_FILE

    def load_chain(self) -> Any:
        """Return its `Chain`."""
        return load_chain(self.chain_file)

    def edge(self) -> tuple[bytes, str]:
        """Return node id and address of its first edge."""
        node = self.network.nodes[self.network.counts.names(3)[0]]
        return bytes.fromhex(node["node_id"]), f"{HOST}:{node['port']}"

    async def sample(self) -> Sample:
        """Look at every process, at the heights and at the disk."""
        used = {name: usage_of(self._pid(name)) for name in self.nodes}
        sent, heights = {}, [0]
        for name, node in self.nodes.items():
            async with await open_control(node.socket) as control:
                sent[name] = int((await control.metrics())["sent_bytes"])
                if node.tier == 1:
                    heights.append(int((await control.call({"request": "info"}))["certified_height"]))
        disk = {name: folder_bytes(node.directory) for name, node in self.nodes.items()}
        return Sample(trio.current_time(), used, sent, max(heights), disk)

    def memory(self) -> dict[str, Memory]:
        """Return the memory of every process."""
        return {name: memory_of(self._pid(name)) for name in self.nodes}

    def tier(self, name: str) -> int:
        """Return the tier of a node."""
        return self.nodes[name].tier

    def _pid(self, name: str) -> int:
        process = self.nodes[name].process
        if process is None or process.returncode is not None or self.nodes[name].restarts:
            raise CommonError(f"{name} has ended while it was measured: {self.nodes[name].last_line()}")
        return process.pid

    async def wait_ready(self) -> None:
        """Wait until every node answers its owner.

        Raises:
            CommonError: one of them does not in time.
        """
        with trio.move_on_after(READY_S):
            for node in self.nodes.values():
                await _answers(node)
            return
        raise CommonError(f"the network did not start: {'; '.join(self.said[-3:]) or 'no node says why'}")


async def _answers(node: NodeProcess) -> None:
    while True:
        try:
            async with await open_control(node.socket) as control:
                await control.call({"request": "info"})
                return
        except NoOwner:
            await trio.sleep(ASK_S)


@asynccontextmanager
async def running_network(
    directory: Path, counts: Counts, strangers: Iterable[Allocation]
) -> AsyncIterator[RunningNetwork]:
    """Make a network in an empty folder and run it while the body runs.

    Args:
        directory: where; it is left there.
        counts: how many nodes of each tier.
        strangers: who owns what in it, beside its phones.

    Raises:
        CommonError: it does not start.
    """
    network = open_network(directory, counts, [], (), strangers)
    nodes = network.processes()
    found = RunningNetwork(network, {node.name: node for node in nodes})
    processes = Processes(
        nodes,
        {4: ["--passphrase-file", str(directory / PASSPHRASE_FILE)]},
        say=found.said.append,
        on_lost=lambda node: found.said.append(node.lost),
    )
    async with trio.open_nursery() as nursery:
        try:
            await processes.run(nursery)
            await found.wait_ready()
            yield found
        finally:
            with trio.CancelScope(shield=True):
                await processes.stop()
        nursery.cancel_scope.cancel()
