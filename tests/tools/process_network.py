"""A four-tier network of real processes, laid out as `supervm up` lays it out, that tests start, kill and start again.

Every node is ``supervm lN run`` with real sockets and databases on the loopback interface. Its standard output goes to
``node.out`` and its standard error to ``node.err`` in its folder. Nothing restarts a node but the test.
"""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import trio

from supervm.common.host.genesis_file import load_chain
from supervm.common.services.client import call, open_control, watch
from supervm.common.services.lines import NoOwner
from supervm.common.up.layout import PASSPHRASE_FILE, Counts, Network, open_network
from supervm.common.up.payments import PaymentRun
from supervm.common.up.rows import HEADER, parse_payments
from supervm.common.wallet import WALLET_FILE, unlock_wallet
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.chain.genesis import Chain

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
LAST_WORDS_S = 2.0


class ProcessNetwork:
    """The network of one folder; use `running`, which ends every process whatever happens.

    Args:
        directory: empty, or with a network of an earlier run.
        counts: nodes per tier.
        names: wallets with money at genesis, dealt out to the phones in turn.
    """

    def __init__(self, directory: Path, counts: Counts, names: Sequence[str]) -> None:
        self.layout: Network = open_network(directory, counts, names)
        self.directory = directory
        self.chain: Chain = load_chain(directory / "genesis.cbor")
        self.nodes = {node.name: node for node in self.layout.processes()}
        self.inside: dict[str, Sequence[str]] = {}
        """Name of a node -> what its command begins with, such as one that puts it into another network."""
        self.stopped_with: dict[str, list[int]] = {name: [] for name in self.nodes}
        self._ready: dict[str, trio.Event] = {name: trio.Event() for name in self.nodes}
        self._started = trio.Event()  # set, and replaced, whenever a node gets ready
        self._asked_to_end: list[trio.Process] = []
        self._fell_over = trio.Event()
        self._closing = False
        self._nursery: trio.Nursery | None = None

    # --- processes ----------------------------------------------------------------------------------------------------

    async def start(self, *names: str) -> None:
        """Start nodes (default: all) and wait until each takes requests."""
        chosen = names or tuple(self.nodes)
        for name in chosen:
            await self._spawn(name)
        with trio.fail_after(START_TIMEOUT_S):
            for name in chosen:
                await self._ready[name].wait()

    async def _spawn(self, name: str) -> None:
        assert self._nursery is not None
        node = self.nodes[name]
        extra = ["--passphrase-file", str(self.directory / PASSPHRASE_FILE)] if node.tier == 4 else []
        config = str(node.directory / "config.toml")
        command = [
            *self.inside.get(name, ()),
            sys.executable,
            "-m",
            "supervm.common.cli",
            f"l{node.tier}",
            "run",
            "--config",
            config,
            *extra,
        ]
        self._ready[name] = trio.Event()
        with (node.directory / "node.err").open("ab") as errors:
            node.process = await trio.lowlevel.open_process(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
            )
        self._nursery.start_soon(self._read_output, name, node.process)

    async def _read_output(self, name: str, process: trio.Process) -> None:
        stream, seen = process.stdout, b""
        assert stream is not None
        with (self.nodes[name].directory / "node.out").open("ab") as output:
            async for data in stream:
                output.write(data)
                output.flush()
                seen += data
                if b'"ready"' in seen and not self._ready[name].is_set() and process is self.nodes[name].process:
                    self._ready[name].set()
                    self._started.set()
                    self._started = trio.Event()
        code = await process.wait()
        self.stopped_with[name].append(code)
        if not self._closing and process not in self._asked_to_end:
            self._fell_over.set()
            errors = (self.nodes[name].directory / "node.err").read_text(errors="replace")
            raise AssertionError(f"{name} ended by itself with {code}: {errors[-3000:]}")

    async def kill(self, *names: str) -> None:
        """SIGKILL nodes and wait until they are gone."""
        await self._end(signal.SIGKILL, names)

    async def terminate(self, *names: str) -> None:
        """SIGTERM nodes (default: all that run) and wait until they have stopped in good order."""
        await self._end(signal.SIGTERM, names or tuple(name for name in self.nodes if self.is_running(name)))

    async def _end(self, number: int, names: Sequence[str]) -> None:
        processes = [self.nodes[name].process for name in names]
        for name, process in zip(names, processes, strict=True):
            assert process is not None
            self._ready[name] = trio.Event()  # from here on callers wait for the next start
            self._asked_to_end.append(process)
            process.send_signal(number)
        with trio.fail_after(STOP_TIMEOUT_S):
            for process in processes:
                assert process is not None
                await process.wait()

    def is_running(self, name: str) -> bool:
        """Whether the node's process is there."""
        process = self.nodes[name].process
        return process is not None and process.returncode is None

    def pid(self, name: str) -> int:
        """Process id of a running node."""
        process = self.nodes[name].process
        assert process is not None
        return process.pid

    # --- talking to nodes ---------------------------------------------------------------------------------------------

    async def call(self, name: str, request: Mapping[str, Any]) -> Any:
        """Ask a node; one that is down is waited for, and asked again."""
        while True:
            try:
                return await call(self.nodes[name].socket, request)
            except NoOwner:
                await self._until_back(name)

    async def _until_back(self, name: str) -> None:
        """Wait until a node that did not answer has been started again and is ready."""
        with trio.fail_after(START_TIMEOUT_S):
            await trio.lowlevel.checkpoint()
            while not (self.is_running(name) and self._ready[name].is_set()):
                await self._started.wait()

    async def metrics(self, name: str) -> dict[str, Any]:
        """A node's counters."""
        async with await open_control(self.nodes[name].socket) as client:
            return await client.metrics()

    async def until_event(self, name: str, wanted: Callable[[Mapping[str, Any]], bool], within_s: float = 60.0) -> None:
        """Wait for an event of a node."""
        with trio.fail_after(within_s):
            async with watch(self.nodes[name].socket) as events:
                async for event in events:
                    if wanted(event):
                        return
        raise AssertionError(f"{name} ended before the event came")

    async def until(self, name: str, request: Mapping[str, Any], done: Callable[[Any], bool], within_s: float) -> Any:
        """Ask a node again and again, at each event of an L1, until its answer is as wanted; return the answer."""
        last: Any = None
        with trio.move_on_after(within_s):
            async with watch(self.nodes[self.layout.counts.names(1)[0]].socket) as events:
                while not done(last := await self.call(name, request)):
                    await anext(events)
                return last
        raise AssertionError(f"not within {within_s:g} s: {name} {request} answers {last}")

    # --- money --------------------------------------------------------------------------------------------------------

    def payments(self, rows: Sequence[tuple[str, str, int, int]], call: Any = None) -> PaymentRun:
        """Rows (from, to, amount, fee) as `supervm up` sends and follows them."""
        text = "".join(f"{','.join(map(str, row))}\n" for row in [tuple(HEADER), *rows])
        file = parse_payments(text.encode(), "rows")
        return PaymentRun(call or self.call, self.layout.wallets, file, [], self.layout.reserve, self.layout.assets)

    def key(self, name: str) -> SigningKey:
        """The signing key of a name's account."""
        phone = self.layout.wallets[name].node
        passphrase = (self.directory / PASSPHRASE_FILE).read_text().strip()
        wallet = unlock_wallet(self.directory / phone / WALLET_FILE, passphrase)
        return wallet.account(self.layout.accounts[phone].index(name))

    async def balance(self, name: str) -> int:
        """A name's balance, proved by its own phone."""
        wallet = self.layout.wallets[name]
        answer = await self.call(wallet.node, {"request": "balance", "address": wallet.address})
        assert answer["proof_verified"], (name, answer)
        return int(answer["balance"])

    # --- what is left behind ------------------------------------------------------------------------------------------

    def headers(self, name: str) -> dict[int, tuple[bytes, bytes]]:
        """Height -> (checkpoint header, block header) as an L1 has them on disk; the node may be running or not."""
        path = self.nodes[name].directory / "node.sqlite"
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            rows = connection.execute("SELECT height, checkpoint, block FROM headers")
            return {height: (checkpoint, block) for height, checkpoint, block in rows}
        finally:
            connection.close()

    def complaints(self) -> list[str]:
        """Tracebacks and log lines of level error, of every node."""
        found = []
        for name, node in self.nodes.items():
            if node.process is None:
                continue
            errors = (node.directory / "node.err").read_text(errors="replace")
            if "Traceback" in errors:
                found.append(f"{name}: {errors[-3000:]}")
            for path in sorted(node.directory.glob("node.log*")):
                if path.suffix == ".gz":
                    continue
                for line in path.read_text(errors="replace").splitlines():
                    entry: dict[str, Any] = {}
                    with suppress(ValueError):  # the last line of a process that was killed
                        entry = json.loads(line)
                    if entry.get("level") == "error":
                        found.append(f"{name}: {line[:1000]}")
        return found

    # --- life ---------------------------------------------------------------------------------------------------------

    async def _kill_all(self) -> None:
        self._closing = True
        for node in self.nodes.values():
            if node.process is not None and node.process.returncode is None:
                node.process.kill()
                await node.process.wait()


@asynccontextmanager
async def running(network: ProcessNetwork, *names: str) -> AsyncIterator[ProcessNetwork]:
    """Start nodes (default: all); at the end, kill what still runs."""
    async with trio.open_nursery() as nursery:
        network._nursery = nursery
        try:
            await network.start(*names)
            yield network
        except BaseException:
            # a node that is just falling over may be the reason: let it say why before all others are killed
            with trio.CancelScope(shield=True, deadline=trio.current_time() + LAST_WORDS_S):
                await network._fell_over.wait()
            raise
        finally:
            with trio.CancelScope(shield=True):
                await network._kill_all()


def lose_network(folder: Path) -> None:
    """Take every edge out of a phone's configuration."""
    path = folder / "config.toml"
    path.write_text(re.sub(r"(?ms)^peers = \[.*?\]$", "peers = []", path.read_text()))
