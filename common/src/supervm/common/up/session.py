"""One run of `supervm up`: start the network, send the payments, show how they fare, and say how it ended."""

from __future__ import annotations

import itertools
import re
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from supervm.common.cli.registry import COMMANDS_GROUP, PROFILES, offers
from supervm.common.errors import CommonError, InputError
from supervm.common.host.genesis_clock import genesis_problem
from supervm.common.storage.lock import DirectoryLock
from supervm.protocol.state.leaves import NATIVE_NAME

from ..services.client import call
from ..services.lines import NoOwner
from .layout import GENESIS_FILE, PASSPHRASE_FILE, Counts, Network, open_network
from .payments import NodeLost, PaymentRun
from .processes import NodeProcess, Processes
from .rows import PaymentsFile, read_payments
from .view import Picture, View

READY_TIMEOUT_S = 120.0
NO_OWNER_PAUSE_S = 0.05
"""How long a node that does not answer yet is left alone; to ask it takes a fifth of a millisecond."""
FRESH_TIMEOUT_S = 10.0
"""How long a balance may take to be proved at the height that the document names."""
PICTURE_S = 0.5
LINE_S = 2.0
LOOK_LINES = 3
"""Where there is no live picture, nodes are asked how they stand every so many lines."""


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What the user asked for."""

    counts: Counts | None
    directory: Path | None
    payments: Path | None
    exit_when_done: bool
    timeout_s: float | None
    quiet: bool
    send_new: bool = False


def check_profiles() -> None:
    """Raise `InputError` naming the first tier that is not installed."""
    found = offers(COMMANDS_GROUP, ())
    for tier, distribution in PROFILES.items():
        if tier not in found:
            raise InputError(f"supervm up needs all four tiers; {tier} is missing: install {distribution}")


def run_up(options: UpOptions) -> tuple[dict[str, Any], bool]:
    """Run a network; return the JSON document and whether every row has reached R4 or a stated refusal.

    Raises:
        InputError: options or files that are wrong.
        CommonError: a node cannot be kept running.
    """
    check_profiles()
    file = read_payments(options.payments)
    with _folder(options.directory) as directory, DirectoryLock(directory):
        network = open_network(directory, options.counts, file.names, file.assets)
        with View(quiet=options.quiet) as view:
            return trio.run(_Session(network, file, options, view).run)


@contextmanager
def _folder(directory: Path | None) -> Iterator[Path]:
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        yield directory.resolve()
        return
    temporary = Path(tempfile.mkdtemp(prefix="supervm-"))
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


class _Session:
    def __init__(self, network: Network, file: PaymentsFile, options: UpOptions, view: View) -> None:
        self._network, self._options, self._view = network, options, view
        self._processes = Processes(
            network.processes(),
            {4: ["--passphrase-file", str(network.directory / PASSPHRASE_FILE)]},
            say=view.say,
            on_lost=self._node_lost,
        )
        self._nodes: dict[str, NodeProcess] = {node.name: node for node in self._processes.nodes}
        self._names = file.names
        genesis = dict.fromkeys(network.genesis_names)
        self._run = PaymentRun(
            self._call,
            network.wallets,
            file,
            [name for name in file.names if name not in genesis],
            network.reserve,
            network.assets,
        )
        self._assets = file.assets
        self._started = time.monotonic()
        self._interrupted = False
        self._finished = False
        self._work = trio.CancelScope()
        self._problems: dict[str, str] = {}  # without their numbers -> what was said
        self._infos: dict[str, Mapping[str, Any]] = {}

    async def _call(self, name: str, request: Mapping[str, Any]) -> Any:
        """Ask a node; one that is being restarted is waited for."""
        while True:
            if self._nodes[name].lost:
                raise NodeLost(self._nodes[name].lost)
            try:
                return await call(self._nodes[name].socket, request)
            except NoOwner:
                await trio.sleep(NO_OWNER_PAUSE_S)

    def _node_lost(self, node: NodeProcess) -> None:
        """Go on without a node if that is possible, else end with the summary of what there is."""
        self._problems[node.name] = node.lost
        why = self._why_over()
        if why and not self._finished:
            self._view.say(f"the network cannot go on: {why}")
            self._work.cancel()

    def _why_over(self) -> str:
        """Return why the payments cannot go on without the nodes that are lost; empty if they can."""
        counts = self._network.counts
        lost = {tier: [name for name in counts.names(tier) if self._nodes[name].lost] for tier in range(1, 5)}
        if counts.l1 - len(lost[1]) < 2 * counts.l1 // 3 + 1:
            return f"{len(lost[1])} of {counts.l1} validators are lost, so there is no quorum"
        if len(lost[2]) == counts.l2:
            return "no miner is left"
        if len(lost[3]) == counts.l3:
            return "no edge is left"
        payers = {self._network.wallets[item.row.source].node for item in self._run.payments if not item.done}
        waiting = [name for name in lost[4] if name in payers]
        return f"{waiting[0]}, which pays, is lost" if waiting else ""

    async def run(self) -> tuple[dict[str, Any], bool]:
        """Run until done, interrupted or out of time."""
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            try:
                return await self._supervise(signals)
            except BaseExceptionGroup as group:  # not `except*`: some releases of Python 3.11 wrap what it raises
                known, other = group.split(CommonError)
                if known is None or other is not None:
                    raise
                raise _first(known) from None

    async def _supervise(self, signals: AsyncIterator[int]) -> tuple[dict[str, Any], bool]:
        counts = self._network.counts
        self._view.say(
            f"starting {counts.total} nodes in {self._network.directory}: {counts.l1} L1, {counts.l2} L2, "
            f"{counts.l3} L3, {counts.l4} L4"
        )
        document: dict[str, Any] = {}
        self._say_problem("this network", genesis_problem(self._network.directory / GENESIS_FILE))
        async with trio.open_nursery() as nursery:
            work = self._work
            if self._options.timeout_s:
                work.deadline = trio.current_time() + self._options.timeout_s
            nursery.start_soon(self._watch_signals, signals, work)
            try:
                with work:
                    await self._processes.run(nursery)
                    await self._wait_ready()
                    self._view.say(f"all nodes are up after {self._elapsed():.1f} s")
                    if not self._network.fresh:
                        before = await self._run.recall(send_new=self._options.send_new)
                        new = len(self._run.payments) - before
                        self._view.say(f"{before} rows were sent before and are not sent again; {new} are new")
                    nursery.start_soon(self._show)
                    await self._run.run()
                    self._finished = True
                    document = await self._document()
                    if not self._options.exit_when_done:
                        self._view.say("every payment has its fate; the network runs on, Ctrl-C ends it")
                        await trio.sleep_forever()
                if not document or self._interrupted:
                    with trio.move_on_after(20):
                        document = await self._document()
            finally:
                with trio.CancelScope(shield=True):
                    await self._processes.stop()
            nursery.cancel_scope.cancel()
        if not document:
            raise CommonError("the network gave no answer; see node.out in the node folders under --dir")
        ok = all(item.status in ("R4", "refused") for item in self._run.payments)
        return document, ok

    async def _watch_signals(self, signals: AsyncIterator[int], work: trio.CancelScope) -> None:
        async for _ in signals:
            self._interrupted = True
            work.cancel()

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    async def _wait_ready(self) -> None:
        with trio.move_on_after(READY_TIMEOUT_S) as limit:
            async with trio.open_nursery() as nursery:
                for name in self._nodes:
                    nursery.start_soon(self._info, name)
        if limit.cancelled_caught:
            waiting = [name for name in self._nodes if name not in self._infos]
            raise CommonError(f"{waiting[0]} did not start: {self._nodes[waiting[0]].last_line()}")

    async def _info(self, name: str) -> None:
        try:
            info = await self._call(name, {"request": "info"})
        except NodeLost:
            return
        self._infos[name] = info
        for text in info.get("problems", ()):
            self._say_problem(name, text)

    def _say_problem(self, name: str, text: str | None) -> None:
        """Say what a node has to tell its owner, once: nodes of one machine have the same clock."""
        if text is None:
            return
        kind = re.sub(r"[0-9]+", "#", text)
        if kind not in self._problems:
            self._view.say(f"{name}: {text}")
        self._problems[kind] = f"{name}: {text}"

    async def _look(self) -> None:
        """Ask every node how it stands, for a second at most."""
        with trio.move_on_after(1.0):
            async with trio.open_nursery() as nursery:
                for name in self._nodes:
                    nursery.start_soon(self._info, name)

    async def _show(self) -> None:
        pause = PICTURE_S if self._view.live else LINE_S
        for turn in itertools.count():
            if self._view.live or turn % LOOK_LINES == 0:
                await self._look()
            self._view.show(
                Picture(self._run.counts(), len(self._run.payments), sorted(self._infos.items()), self._elapsed())
            )
            if self._finished:
                return
            await trio.sleep(pause)

    async def _balance(self, name: str, asset: str, height: int) -> Mapping[str, Any]:
        """Ask a name's phone for its balance of an asset at `height` or later, with all that is proved by then.

        The edge of the payee may be a checkpoint behind that of the payer. An edge first answers from its cache; asked
        again, it asks its miner.
        """
        wallet = self._network.wallets[name]
        answer: Mapping[str, Any] = {"proof_verified": False}
        request = {"request": "balance", "address": wallet.address, "asset": self._network.asset_id(asset)}
        with trio.move_on_after(FRESH_TIMEOUT_S):
            for pause_s in itertools.chain((0.0, 0.0), itertools.repeat(0.1)):
                await trio.sleep(pause_s)
                try:
                    answer = await self._call(wallet.node, request)
                except NodeLost:
                    break
                if answer["proof_verified"] and answer["height"] >= height:
                    break
        return answer

    async def _document(self) -> dict[str, Any]:
        """The document of surface.md, its balances proved by the phones' light clients."""
        await self._look()
        validators = [self._infos[name] for name in self._network.counts.names(1) if name in self._infos]
        if not validators:
            raise CommonError("no validator answers; see node.out in the node folders under --dir")
        info = max(validators, key=lambda info: int(info["certified_height"]))
        balances: dict[tuple[str, str], int] = {}
        unproved: dict[str, None] = {}
        limiter = trio.CapacityLimiter(8)

        async def prove(name: str, asset: str) -> None:
            async with limiter:
                answer = await self._balance(name, asset, int(info["certified_height"]))
            if answer["proof_verified"]:
                balances[asset, name] = answer["balance"]
            else:
                unproved[name] = None

        async with trio.open_nursery() as nursery:
            for name in self._names:
                for asset in (NATIVE_NAME, *self._assets):
                    nursery.start_soon(prove, name, asset)

        def held(asset: str) -> dict[str, int]:
            return {name: balances[asset, name] for name in self._names if (asset, name) in balances}

        def fees(asset: str) -> dict[str, int]:
            parts = info["fees"].get(self._network.asset_id(asset), dict.fromkeys(("l1", "l2", "l3", "l4"), 0))
            return {**parts, "treasury": 0, "total": sum(parts.values())}

        document = {
            "network": self._network.counts.document(),
            "payments": [item.document() for item in self._run.payments],
            "balances": held(NATIVE_NAME),
            "fees": fees(NATIVE_NAME),
            "supply": info["supply"],
            "checkpoint": {
                "height": info["certified_height"],
                "state_root": info["certified_state_root"],
                "signers": info["signers"],
            },
        }
        if self._assets:
            document["assets"] = {
                asset: {"id": self._network.asset_id(asset), "balances": held(asset), "fees": fees(asset)}
                for asset in self._assets
            }
        if unproved:
            document["unproved"] = sorted(unproved)
        if self._problems:
            document["problems"] = list(self._problems.values())
        return document


def _first(group: BaseExceptionGroup[CommonError]) -> CommonError:
    """Return the first error of a group."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, CommonError) else CommonError(str(error))
