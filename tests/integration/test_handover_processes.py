"""Hand-over between two real phones, by the command line alone: one has no network, the other brings and proves.

The payer's phone was online once, so that its head is proved; from then on it runs without any edge in its
configuration. Files go between the two as they would on a memory card. Every node is a process of its own, and most of
them are killed on the way.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio
from hand_network import run
from process_network import ProcessNetwork, lose_network, running

from supervm.common.up.layout import Counts
from supervm.common.up.payments import FUNDING_GRAIN
from supervm.protocol.base.codec import decode
from supervm.tier_l4_mobile.handover.container import Container

pytestmark = [pytest.mark.processes, pytest.mark.timeout(280)]

PAYER, CARRIER = "l4-0", "l4-1"
AMOUNTS = (100, 200, 300)
FEE = 10


@dataclass
class Scene:
    """Two phones, and a place for files."""

    net: ProcessNetwork
    files: Path

    async def ask(self, phone: str, command: str, *arguments: object, status: int = 0) -> dict[str, Any]:
        """Run a command against a phone; its answer is one document."""
        folder = self.net.nodes[phone].directory
        words = (*command.split(), "--dir", folder, *arguments, "--json")
        done = await trio.to_thread.run_sync(lambda: run(*words))
        assert (done.returncode, done.stderr) == (status, ""), (command, done.stdout, done.stderr)
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    async def until(self, phone: str, command: str, good: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Ask again until the answer is good; each question is a whole process, so this is no tight loop."""
        with trio.fail_after(60):
            while True:
                answer = await self.ask(phone, command)
                if good(answer):
                    return answer

    async def pay(self, amount: int) -> str:
        to = self.net.layout.wallets["shop"].address
        paid = await self.ask(PAYER, "pay", "--to", to, "--amount", amount, "--fee", FEE, "--from", "payer")
        assert paid["status"] == "queued"
        return str(paid["id"])

    async def statuses(self) -> dict[str, str]:
        return {row["id"]: row["status"] for row in (await self.ask(PAYER, "queue list"))["payments"]}

    async def until_proved(self, ids: list[str]) -> None:
        def proved(answer: dict[str, Any]) -> bool:
            found = {row["id"]: (row["status"], row["result"]) for row in answer["taken"]}
            return all(found[name] == ("proved", "executed") for name in ids)

        await self.until(CARRIER, "handover list", proved)


async def there_and_back(scene: Scene) -> None:
    there, back = scene.files / "there.svmh", scene.files / "back.svmh"
    ids = [await scene.pay(amount) for amount in AMOUNTS]
    given = await scene.ask(PAYER, "handover export", ids[-1], "--file", there)
    assert [payment["id"] for payment in given["payments"]] == ids, "with those that come before it"
    await scene.net.kill(PAYER)
    await scene.net.start(PAYER)
    refused = await scene.ask(PAYER, "queue cancel", ids[0], status=1)
    assert refused["status"] is None, "what has left the phone is released, also after SIGKILL"

    taken = await scene.ask(CARRIER, "handover take", "--file", there)
    promised = [(item["id"], item["covered"], item["settled"]) for item in taken["promises"]]
    assert promised == [(name, True, False) for name in ids]
    await scene.until_proved(ids)
    assert set((await scene.statuses()).values()) == {"queued"}, "nothing has told the payer yet"
    await scene.ask(CARRIER, "handover export", *ids, "--file", back)

    for _ in range(2):  # twice is once
        moved = await scene.ask(PAYER, "handover take", "--file", back)
        assert moved["notes"] == []
        assert await scene.statuses() == dict.fromkeys(ids, "R4")
    spent = sum(AMOUNTS) + FEE * len(AMOUNTS)
    own = scene.net.layout.wallets["payer"].address
    balance = await scene.ask(PAYER, "balance", own)
    assert balance["balance"] == FUNDING_GRAIN - spent, "proved, and no edge was met"
    received = FUNDING_GRAIN + sum(AMOUNTS)
    await scene.until(CARRIER, "balance", lambda value: (value["balance"], value["proof_verified"]) == (received, True))


async def after_everybody_was_killed(scene: Scene) -> None:
    there, back = scene.files / "there.svmh", scene.files / "back.svmh"
    name = await scene.pay(400)
    await scene.ask(PAYER, "handover export", name, "--file", there)
    await scene.net.kill("l3-0")  # the carrier takes it, and has nobody to bring it to
    taken = await scene.ask(CARRIER, "handover take", "--file", there)
    assert taken["promises"][0]["status"] == "promised"
    await scene.net.kill(PAYER, CARRIER)
    await scene.net.start("l3-0", PAYER, CARRIER)
    await scene.until_proved([name])
    await scene.ask(CARRIER, "handover export", name, "--file", back)
    await scene.ask(PAYER, "handover take", "--file", back)
    assert (await scene.statuses())[name] == "R4"


async def changed_on_its_way(scene: Scene) -> None:
    """One sentence and exit status 1, and nothing of it is kept."""
    there = scene.files / "there.svmh"
    name = await scene.pay(500)
    await scene.ask(PAYER, "handover export", name, "--file", there)
    good = there.read_bytes()
    payment = decode(Container, good).transactions[-1]  # a proof that is older than what is known is not looked at
    start = good.index(payment)
    for position in range(start, start + len(payment), len(payment) // 3):
        there.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        refused = await scene.ask(CARRIER, "handover take", "--file", there, status=1)
        assert (refused["promises"], refused["payments"], len(refused["notes"])) == ([], [], 1)
    assert name not in {row["id"] for row in (await scene.ask(CARRIER, "handover list"))["taken"]}


async def test_two_phones_and_two_files(tmp_path: Path) -> None:
    directory = tmp_path / "net"
    directory.mkdir()
    network = ProcessNetwork(directory, Counts(1, 1, 1, 2), ["payer", "shop"])
    async with running(network):
        await network.until(
            PAYER, {"request": "info"}, lambda info: all(item["proved"] for item in info["accounts"]), 40
        )
        await network.terminate(PAYER)
        lose_network(network.nodes[PAYER].directory)
        await network.start(PAYER)
        assert (await network.call(PAYER, {"request": "info"}))["edge"] is None
        scene = Scene(network, tmp_path)
        await there_and_back(scene)
        await after_everybody_was_killed(scene)
        await changed_on_its_way(scene)
        await network.terminate(PAYER, CARRIER)
    assert network.complaints() == []
