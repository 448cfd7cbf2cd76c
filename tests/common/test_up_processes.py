"""Nodes of `supervm up` that end: started again and said, or lost, and what that means for the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from supervm.common.host.process import EXIT_STORAGE
from supervm.common.up.layout import Counts, Network
from supervm.common.up.payments import Wallet
from supervm.common.up.processes import RESTARTS_MAX, NodeProcess, Processes
from supervm.common.up.rows import parse_payments
from supervm.common.up.session import UpOptions, _Session
from supervm.common.up.view import View


class Ended:
    """A process that ended at once."""

    def __init__(self, code: int) -> None:
        self.returncode = code

    async def wait(self) -> int:
        return self.returncode


@pytest.mark.parametrize(("code", "starts"), [(2, RESTARTS_MAX + 1), (EXIT_STORAGE, 1), (3, 1)])
async def test_a_node_is_started_again_only_where_that_may_help_and_each_time_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock, code: int, starts: int
) -> None:
    node = NodeProcess("l2-0", 2, tmp_path)
    (tmp_path / "node.out").write_text('{"event": "ready"}\n{"event": "storage-failed", "reason": "it is damaged"}\n')
    said: list[str] = []
    lost: list[str] = []
    processes = Processes([node], {}, say=said.append, on_lost=lambda node: lost.append(node.lost))
    count = 0

    async def spawn(_self: Processes, node: Any) -> None:
        nonlocal count
        count += 1
        node.process = Ended(code)

    monkeypatch.setattr(Processes, "_spawn", spawn)
    async with trio.open_nursery() as nursery:
        await processes.run(nursery)
    assert count == starts
    assert len(said) == starts
    assert all("it is damaged" in line for line in said)
    assert lost == [node.lost] == said[-1:]


@pytest.mark.parametrize(
    ("lost", "over"),
    [
        (["l1-3"], ""),
        (["l1-2", "l1-3"], "2 of 4 validators are lost"),
        (["l2-0"], ""),
        (["l2-0", "l2-1"], "no miner"),
        (["l3-0"], "no edge"),
        (["l4-0"], "l4-0, which pays, is lost"),
        (["l4-1"], ""),
    ],
)
async def test_a_run_goes_on_without_what_it_can_spare(tmp_path: Path, lost: list[str], over: str) -> None:
    counts = Counts(l1=4, l2=2, l3=1, l4=2)
    wallets = {"alice": Wallet("l4-0", "a"), "bob": Wallet("l4-1", "b"), "_reserve": Wallet("l4-0", "r")}
    network = Network(tmp_path, counts, wallets, {}, ["alice", "bob"], fresh=True)
    file = parse_payments(b"from,to,amount,fee\nalice,bob,1,1\n", "the file")
    session = _Session(network, file, UpOptions(counts, tmp_path, None, True, None, quiet=True), View(quiet=True))
    for node in session._processes.nodes:
        if node.name in lost:
            node.lost = f"{node.name} is lost"
            session._node_lost(node)
    assert session._why_over().startswith(over)
    assert bool(session._why_over()) is bool(over)
    assert session._work.cancel_called is bool(over)
