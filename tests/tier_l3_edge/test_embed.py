"""The example of docs/embedding.md: an edge inside another trio program, with nothing but this member installed."""

from __future__ import annotations

import ast
import json
import runpy
from pathlib import Path

import pytest
import trio
from chain_tools import make_test_chain
from raw_client import RawClient

from supervm.common.host.config import CONFIG_FILE, NodeConfig
from supervm.common.host.config_writer import write_config
from supervm.common.host.keyfile import NODE_KEY_FILE, make_key_file
from supervm.protocol.base.codec import encode
from supervm.protocol.base.keys import SigningKey
from supervm.tier_l3_edge.options import OPTIONS

EXAMPLE = Path(__file__).parents[2] / "examples" / "embed_edge.py"
LINES_MAX = 15


def lines_of_code(tree: ast.Module) -> int:
    """Count lines with something other than blanks, comments and docstrings."""
    statements = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt) and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]
    return len(
        {
            line
            for node in statements
            for line in (
                node.lineno,
                *([] if hasattr(node, "body") else range(node.lineno, (node.end_lineno or node.lineno) + 1)),
            )
        }
    )


def test_the_example_is_short() -> None:
    assert lines_of_code(ast.parse(EXAMPLE.read_text())) <= LINES_MAX


async def test_the_example_serves_whoever_comes_and_stops_in_good_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tools = make_test_chain(4)
    (tmp_path / "genesis.cbor").write_bytes(encode(tools.chain.genesis))
    make_key_file(tmp_path / NODE_KEY_FILE, bytes(range(32)))
    config = NodeConfig(tier=3, directory=tmp_path, genesis=tmp_path / "genesis.cbor", listen="127.0.0.1:0")
    write_config(tmp_path / CONFIG_FILE, config, OPTIONS, test_network=True)
    main = runpy.run_path(str(EXAMPLE))["main"]
    said = ""

    async def until(text: str) -> str:
        nonlocal said
        while text not in said:
            await trio.lowlevel.checkpoint()
            said += capsys.readouterr().out
        return next(line for line in said.splitlines() if text in line)

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(main, str(tmp_path / CONFIG_FILE))
            listening = await until("listens on 127.0.0.1:")
            await until("problems: [")
            port = int(listening.rpartition(":")[2])
            async with await RawClient.connect(port, tools.chain, tier=4, key=SigningKey(b"\x07" * 32)) as phone:
                assert "'tier': 4" in await until("info peer-up")
                nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True):
                    await phone.until_closed()
                    assert phone.parting is not None
    assert capsys.readouterr().err == ""
    events = [json.loads(line)["event"] for line in (tmp_path / "node.log").read_text().splitlines()]
    assert "ready" in events
    assert events[-1] == "stopped"
