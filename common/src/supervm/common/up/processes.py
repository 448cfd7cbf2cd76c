"""The node processes of a network on this machine: start, watch, stop.

Each node is ``supervm lN run --config FILE`` in a process group of its own, with its output in ``node.out`` beside its
configuration. A node that ends by itself is started again, as an init system would do, a few times, and each time that
is said; one that keeps ending, or ends in a way that a new start cannot mend, is lost. What a lost node means for the
network is for whoever runs it to judge.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio

from supervm.common.exit_status import EXIT_HALTED, EXIT_STORAGE
from supervm.common.host.parent import PARENT_VARIABLE

RESTARTS_MAX = 5
STOP_TIMEOUT_S = 15.0
RESTART_PAUSE_S = 0.5
LAST_LINE_CHARS_MAX = 800


@dataclass
class NodeProcess:
    """One node: its name (``l1-0``), tier and folder, and its process while it runs."""

    name: str
    tier: int
    directory: Path
    process: trio.Process | None = None
    restarts: int = 0
    ready: trio.Event = field(default_factory=trio.Event)
    lost: str = ""
    """Why it is not started again; empty while it runs or will."""

    @property
    def socket(self) -> Path:
        """Its control socket."""
        return self.directory / "node.sock"

    def last_line(self) -> str:
        """The last line of its output, for error messages."""
        try:
            lines = (self.directory / "node.out").read_text(errors="replace").splitlines()
        except OSError:
            return "no output"
        return _reason(lines[-1])[:LAST_LINE_CHARS_MAX] if lines else "no output"


class Processes:
    """All nodes of one network.

    Args:
        nodes: in the order to start them.
        extra: tier -> further arguments of its nodes.
        say: told what happens to nodes, for people.
        on_lost: told of a node that is not started again.
    """

    def __init__(
        self,
        nodes: Sequence[NodeProcess],
        extra: Mapping[int, Sequence[str]],
        *,
        say: Callable[[str], None],
        on_lost: Callable[[NodeProcess], None],
    ) -> None:
        self.nodes = list(nodes)
        self._extra = extra
        self._say = say
        self._on_lost = on_lost
        self._stopping = False

    async def run(self, nursery: trio.Nursery) -> None:
        """Start every node and keep it running until `stop`."""
        for node in self.nodes:
            await self._spawn(node)
            nursery.start_soon(self._watch, node)

    async def _spawn(self, node: NodeProcess) -> None:
        command = [
            sys.executable,
            "-m",
            "supervm.common.cli",
            f"l{node.tier}",
            "run",
            "--config",
            str(node.directory / "config.toml"),
            *self._extra.get(node.tier, ()),
        ]
        with (node.directory / "node.out").open("ab") as output:
            node.process = await trio.lowlevel.open_process(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**os.environ, PARENT_VARIABLE: str(os.getpid())},
            )

    async def _watch(self, node: NodeProcess) -> None:
        while True:
            process = node.process
            if process is None:
                return
            code = await process.wait()
            if self._stopping:
                return
            node.restarts += 1
            last_line = node.last_line()
            if node.restarts > RESTARTS_MAX:
                node.lost = f"{node.name} ended {node.restarts} times, last with {code}: {last_line}"
            elif code in (EXIT_HALTED, EXIT_STORAGE):
                node.lost = f"{node.name} ended with {code}, which a new start cannot mend: {last_line}"
            if node.lost:
                self._say(node.lost)
                self._on_lost(node)
                return
            self._say(f"{node.name} ended with {code} and is started again: {last_line}")
            await trio.sleep(RESTART_PAUSE_S)
            if self._stopping:
                return
            await self._spawn(node)

    async def stop(self) -> None:
        """Ask every node to stop, wait, and kill what does not."""
        self._stopping = True
        running = [node.process for node in self.nodes if node.process is not None and node.process.returncode is None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        with trio.move_on_after(STOP_TIMEOUT_S):
            for process in running:
                await process.wait()
        for process in running:
            if process.returncode is None:
                process.kill()
                await process.wait()


def _reason(line: str) -> str:
    """Return what a line of output says: of an event of a node's log, its reason."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return line
    return str(event.get("reason", line)) if isinstance(event, dict) else line
