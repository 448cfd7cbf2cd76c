"""A phone that reaches its edge by nothing but WebRTC pays, and finds it again after it was killed: real processes."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from process_network import ProcessNetwork, running

from supervm.common.up.layout import Counts

pytest.importorskip("aiortc", reason="needs supervm-common[webrtc]")
pytestmark = pytest.mark.processes


async def test_a_phone_pays_over_a_data_channel(tmp_path: Path) -> None:
    network = ProcessNetwork(tmp_path, Counts(1, 1, 1, 1), ["alice", "bob"])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = int(taken.getsockname()[1])
    edge = network.nodes["l3-0"].directory / "config.toml"
    edge.write_text(edge.read_text().replace('# listen = ""', f'listen = "127.0.0.1:{port}"'))
    phone = network.nodes["l4-0"].directory / "config.toml"
    text, count = re.subn(r'(svmnode1\w+)@127\.0\.0\.1:\d+"', rf'\1@webrtc:127.0.0.1:{port}"', phone.read_text())
    assert count == 1
    phone.write_text(text)

    async with running(network):
        # a phone is ready before it has an edge, and loading what a data channel needs takes a while
        await network.until("l4-0", {"request": "balance"}, lambda answer: answer["proof_verified"], 60)
        before = await network.balance("alice")
        bob, due = network.layout.wallets["bob"], await network.balance("bob")
        for kill in (False, True):
            if kill:
                await network.kill("l3-0")
            due += 1_000
            row = {"to": bob.address, "amount": 1_000, "fee": 100, "source": network.layout.wallets["alice"].address}
            await network.call("l4-0", {"request": "pay", "row": row})
            if kill:
                await network.start("l3-0")

            asked = {"request": "balance", "address": bob.address}
            await network.until("l4-0", asked, lambda answer, due=due: answer["balance"] == due, 60)
        assert await network.balance("alice") == before - 2 * 1_100
        log = (network.nodes["l4-0"].directory / "node.log").read_text()
        assert log.count('"event":"peer-up"') >= 2
