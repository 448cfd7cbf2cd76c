"""A phone whose only way to an edge is a serial line: shipped nodes as processes, on pseudo-terminals."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from process_network import ProcessNetwork, running
from serial_cable import cable

from supervm.common.up.layout import Counts

pytestmark = pytest.mark.processes
pytest.importorskip("serial", reason="pyserial, the extra `serial` of supervm-common, is not installed")
if not hasattr(os, "openpty"):
    pytest.skip("this system has no pseudo-terminals", allow_module_level=True)


def change(network: ProcessNetwork, name: str, wanted: str, new: Callable[[str], str]) -> None:
    """Change the first line of a node's configuration that has this in it; below, the same word has other meanings."""
    path = network.nodes[name].directory / "config.toml"
    text = path.read_text()
    old = next(line for line in text.splitlines() if wanted in line)
    path.write_text(text.replace(old, new(old), 1))


async def until(network: ProcessNetwork, name: str, request: dict[str, Any], done: Callable[[Any], object]) -> Any:
    while not done(answer := await network.call(name, request)):
        await trio.sleep(0.05)
    return answer


async def test_a_phone_pays_over_a_serial_line_that_loses_a_hundredth(tmp_path: Path) -> None:
    network, rng = ProcessNetwork(tmp_path, Counts(1, 1, 1, 1), ["alice", "bob"]), random.Random(3)
    wallets = network.layout.wallets
    row = {"to": wallets["bob"].address, "amount": 5, "fee": 10, "source": wallets["alice"].address, "key": "line"}
    async with cable(lambda piece: b"" if rng.randrange(100) == 0 else piece) as ends:
        query = "?baud=115200"
        change(network, "l3-0", "listen = ", lambda _line: f'listen = "serial:{ends.one}{query}"')
        change(network, "l4-0", "@127.0.0.1:", lambda line: f'{line.partition("@")[0]}@serial:{ends.two}{query}"')
        with trio.fail_after(90):
            async with running(network, "l1-0", "l2-0", "l3-0", "l4-0"):
                balance = {"request": "balance", "address": row["source"]}
                await until(network, "l4-0", balance, lambda answer: answer["proof_verified"])
                paid = await network.call("l4-0", {"request": "pay", "row": row})
                payment = {"request": "payment", "id": f"row-{paid['number']}"}
                await until(network, "l4-0", payment, lambda answer: answer["status"] == "R4")
    assert not network.complaints()
