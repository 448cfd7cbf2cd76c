"""An edge and a phone inside one trio program, which pays through them to a network of processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from process_network import ProcessNetwork, running

from supervm.common.host.config import load_any_config
from supervm.common.host.node import Node
from supervm.common.host.open import open_node
from supervm.common.up.layout import PASSPHRASE_FILE, Counts

pytestmark = pytest.mark.processes


async def test_a_program_that_embeds_an_edge_and_a_phone_pays_and_proves(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    network = ProcessNetwork(tmp_path, Counts(1, 1, 1, 1), ["alice", "bob"])
    edge_config, phone_config = (
        load_any_config(network.nodes[name].directory / "config.toml") for name in ("l3-0", "l4-0")
    )
    passphrase = (tmp_path / PASSPHRASE_FILE).read_text().strip()
    wallets = network.layout.wallets
    row = {
        "to": wallets["bob"].address,
        "amount": 5,
        "fee": 10,
        "source": wallets["alice"].address,
        "key": "embedded",
    }
    with trio.fail_after(90):
        async with (
            running(network, "l1-0", "l2-0"),
            open_node(edge_config) as edge,
            open_node(phone_config, passphrase=passphrase) as phone,
        ):
            before = await until(phone, {"request": "balance", "address": row["source"]}, "proof_verified", True)
            paid = await phone.request({"request": "pay", "row": row})
            await until(phone, {"request": "payment", "id": f"row-{paid['number']}"}, "status", "R4")
            after = await until(phone, {"request": "balance", "address": row["source"]}, "proof_verified", True)
            assert after["balance"] == before["balance"] - 15
            assert (await phone.request({"request": "info"}))["edge"] == edge.node_id.hex()
            asked = await network.call("l3-0", {"request": "info"})  # over its control socket
            assert asked.keys() == (await edge.request({"request": "info"})).keys()
    assert capfd.readouterr().out == ""
    assert not network.complaints()


async def until(node: Node, request: dict[str, Any], field: str, wanted: object) -> dict[str, Any]:
    """Ask a node again at each of its events, and now and then, until a field of its answer is as wanted."""
    with node.events() as events:
        while True:
            answer: dict[str, Any] = await node.request(request)
            if answer[field] == wanted:
                return answer
            with trio.move_on_after(0.1):
                await events.receive()
