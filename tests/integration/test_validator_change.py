"""Validators join, leave and change weight while payments go on, all by the commands that operators use.

Five L1 nodes, of which genesis names four. The operators approve another set: one leaves, the fifth joins, one counts
double. It takes over at the end of an epoch; the phone follows it, a stranger checks the phone's answer from genesis
on, and the one that left is switched off for good. Killed nodes come back into the epoch that stands by then.
"""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hand_network import Nodes, ask, run, until

from supervm.common.services.lines import SOCKET_FILE
from supervm.common.services.once import call_sync

pytestmark = [pytest.mark.processes, pytest.mark.timeout(280)]

EPOCH_MS = 3_000
NEXT = {"one-4": 1, "one-1": 2, "one-2": 1, "one-3": 1}


def info(nodes: Nodes, name: str) -> dict[str, Any]:
    answer: dict[str, Any] = call_sync(nodes.folder(name) / SOCKET_FILE, {"request": "info"})
    return answer


def statuses(nodes: Nodes) -> dict[int, str]:
    return {row["amount"]: row["status"] for row in ask("queue", "--dir", nodes.folder("phone"), "list")["payments"]}


def test_another_set_takes_over_and_everybody_follows(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path)
    nodes.set_up(4, candidates=1, params=(f"epoch_ms={EPOCH_MS}", "view_timeout_ms=200"))
    phone, to = nodes.folder("phone"), nodes.addresses["other"]
    config = nodes.folder("one-0") / "config.toml"
    nodes.start(*nodes.names, "phone")
    try:
        ask("pay", "--dir", phone, "--to", to, "--amount", 1, "--fee", 10)
        assert info(nodes, "one-4")["validator"] is None
        (tmp_path / "next.csv").write_text(nodes.validators(NEXT))
        wish = ask("l1", "approve", tmp_path / "next.csv", "--config", config)["wish"]
        assert ask("l1", "approve", "--withdraw", "--config", config)["wish"] is None
        for name in ("one-1", "one-2", "one-3"):
            shown = ask("l1", "approve", tmp_path / "next.csv", "--config", nodes.folder(name) / "config.toml")
            assert shown["wish"] == wish
        # a wish and a validator survive SIGKILL
        nodes.stop("one-1", number=signal.SIGKILL)
        nodes.start("one-1")
        for amount in (2, 3):
            ask("pay", "--dir", phone, "--to", to, "--amount", amount, "--fee", 10)
        until(lambda: info(nodes, "one-4"), lambda it: it["validators_hash"] == wish and it["validator"] in range(5))
        until(lambda: info(nodes, "one-0"), lambda it: it["validators_hash"] == wish and it["validator"] is None)
        nodes.stop("one-0")
        ask("pay", "--dir", phone, "--to", to, "--amount", 4, "--fee", 10)
        until(lambda: statuses(nodes), lambda it: set(it.values()) == {"R4"} and len(it) == 4)
        _strangers_follow(nodes, tmp_path, wish)
        nodes.stop("one-4", "miner", "edge", "phone", number=signal.SIGKILL)
        nodes.start("one-4", "miner", "edge", "phone")
        ask("pay", "--dir", phone, "--to", to, "--amount", 5, "--fee", 10)
        until(lambda: statuses(nodes), lambda it: it.get(5) == "R4")
        said = [json.loads(line) for path in tmp_path.glob("*/errors") for line in path.read_text().splitlines()]
        # the one that is to join and the one that has left: they follow, and their operators are told so
        assert {event["event"] for event in said} <= {"no-seat"}, said
    finally:
        nodes.stop(number=signal.SIGKILL)


def _strangers_follow(nodes: Nodes, directory: Path, wish: str) -> None:
    """An answer proves itself from genesis on, over the change; the record of the epoch says who votes in it."""
    answer = directory / "answer"
    ask("balance", "--dir", nodes.folder("phone"), "--answer", answer)
    assert ask("verify", answer, "--anchor", directory / "genesis.cbor")["valid"]
    record = directory / "epoch.cbor"
    shown = ask("l1", "epoch", "--config", nodes.folder("one-1") / "config.toml", "--out", record)
    assert (shown["validators_hash"], shown["quorum"]) == (wish, 4)
    assert sorted(item["weight"] for item in shown["validators"]) == sorted(NEXT.values())
    done: subprocess.CompletedProcess[str] = run(
        "l1", "epoch", "--number", 10**6, "--config", nodes.folder("one-1") / "config.toml"
    )
    assert (done.returncode, "has not begun" in done.stderr) == (2, True), done
