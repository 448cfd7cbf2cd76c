"""SIGKILL at random moments while 200 payments join a queue of 500: nothing lost, nothing twice, one signature a slot.

A real phone on a real disk, an edge, a miner and a validator. The queue was filled while no edge was there; then the
edge comes, several askers pay at once, and the phone is killed in between, again and again. An asker that got no
answer asks again under the same key, as `supervm up` and the app do. The judge asks the phone nothing: it reads its
database after each kill, and what the validator has on disk of batches and receipts.
"""

from __future__ import annotations

import os
import random
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import trio
from process_network import ProcessNetwork, running

from supervm.common.up.layout import Counts
from supervm.common.up.payments import FUNDING_GRAIN
from supervm.protocol.base.codec import decode
from supervm.protocol.chain.batch import Batch
from supervm.protocol.money.execution import STATUS_EXECUTED, BlockReceipts
from supervm.protocol.money.transaction import parse_transaction

pytestmark = [pytest.mark.processes, pytest.mark.timeout(1_200)]

PHONE = "l4-0"
QUEUED, PAID, FEE = 500, 200, 3
ASKERS = 4
KILLS = int(os.environ.get("SUPERVM_KILLS", "6"))
SEED = int(os.environ.get("SUPERVM_KILLS_SEED", "10"))
Slot = tuple[int, bytes]


class Judge:
    """What must hold of what is on disk; a phone's slots are looked at after each kill."""

    def __init__(self, net: ProcessNetwork) -> None:
        self._net = net
        self._account = net.key("payer").public
        self.slots: dict[Slot, bytes] = {}
        """Slot -> the transaction that was released for it, as far as it was seen on the phone's disk."""
        self.acknowledged: dict[str, str] = {}
        """Key of a payment -> the id that its asker was told; the id may be told later than the key."""

    def _rows(self, node: str, query: str) -> Iterator[Any]:
        path = self._net.nodes[node].directory / "node.sqlite"
        with closing(sqlite3.connect(path)) as database:  # whoever was killed has left a write-ahead file behind
            yield from database.execute(query).fetchall()

    def phone(self) -> dict[str, tuple[str, str, bytes]]:
        """Look at the phone's rows; return key -> (status, result, transaction id)."""
        found: dict[str, tuple[str, str, bytes]] = {}
        for table in ("payments", "finished"):
            query = f"SELECT row_key, status, result, tx_id, seq, prev, released FROM {table} WHERE row_key != ''"
            for key, status, result, name, seq, prev, released in self._rows(PHONE, query):
                assert key not in found, f"{key} is on disk twice"
                found[key] = (status, result, name)
                if released:
                    known = self.slots.setdefault((seq, prev), name)
                    assert known == name, f"slot {seq} was released for two transactions"
        missing = [key for key in self.acknowledged if key not in found]
        assert missing == [], "payments that were acknowledged are lost"
        return found

    def chain(self) -> None:
        """Look at all that has reached the validator: one transaction for each slot, and each executed once."""
        signed: dict[Slot, bytes] = {}
        for (raw,) in self._rows("l1-0", "SELECT batch FROM batches"):
            for item in decode(Batch, raw, bytes_max=1 << 23).transactions:
                transaction = parse_transaction(item, self._net.chain.chain_id)
                body = transaction.body
                if body.sender == self._account:
                    assert signed.setdefault((body.seq, body.prev), transaction.id) == transaction.id
        executed: Counter[bytes] = Counter()
        for (raw,) in self._rows("l1-0", "SELECT receipts FROM receipts"):
            for receipt in decode(BlockReceipts, raw, bytes_max=1 << 23).receipts:
                assert receipt.status == STATUS_EXECUTED
                executed[receipt.transaction_id] += 1
        assert signed == self.slots
        assert set(executed.values()) == {1}
        assert set(self.slots.values()) == set(executed)


class Askers:
    """Those who pay, and ask again until they are answered."""

    def __init__(self, net: ProcessNetwork, judge: Judge) -> None:
        self._net, self._judge = net, judge
        self._to = net.layout.wallets["shop"].address
        self.answered = 0
        self.news = trio.Event()

    def row(self, number: int) -> dict[str, Any]:
        """Payment `number`; no two pay the same amount."""
        return {"to": self._to, "source": "payer", "amount": 1_000 + number, "fee": FEE, "key": f"n{number}"}

    async def fill(self) -> None:
        rows = [self.row(number) for number in range(QUEUED)]
        answers = (await self._net.call(PHONE, {"request": "pay_many", "rows": rows}))["payments"]
        assert [item["status"] for item in answers] == ["queued"] * QUEUED
        self._judge.acknowledged.update((f"n{number}", item["id"]) for number, item in enumerate(answers))

    async def pay(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            answer = await self._net.call(PHONE, {"request": "pay", "row": self.row(number)})
            self._judge.acknowledged[f"n{number}"] = answer["id"]
            self.answered += 1
            self.news.set()
            self.news = trio.Event()


async def kill_at_random(net: ProcessNetwork, judge: Judge, askers: Askers, rng: random.Random) -> None:
    for moment in sorted(rng.sample(range(PAID), KILLS)):
        while askers.answered < moment:
            await askers.news.wait()
        for _ in range(rng.randrange(40)):  # some steps of everybody else further
            await trio.lowlevel.checkpoint()
        await net.kill(PHONE)
        judge.phone()
        await net.start(PHONE)


async def test_kill_9_in_the_middle_of_payments(tmp_path: Path) -> None:
    net = ProcessNetwork(tmp_path, Counts(1, 1, 1, 1), ["payer", "shop"])
    judge = Judge(net)
    async with running(net):
        await net.until(PHONE, {"request": "info"}, lambda info: all(item["proved"] for item in info["accounts"]), 40)
        await net.kill("l3-0")
        askers = Askers(net, judge)
        await askers.fill()
        await net.start("l3-0")
        numbers = iter(range(QUEUED, QUEUED + PAID))
        with trio.fail_after(600):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(kill_at_random, net, judge, askers, random.Random(SEED))
                for _ in range(ASKERS):
                    nursery.start_soon(askers.pay, numbers)

        def settled(info: Any) -> bool:
            return all(item["open"] == 0 for item in info["accounts"])

        await net.until(PHONE, {"request": "info"}, settled, 120)
        amounts = sum(1_000 + number for number in range(QUEUED + PAID))
        assert await net.balance("payer") == FUNDING_GRAIN - amounts - FEE * (QUEUED + PAID)
        assert await net.balance("shop") == FUNDING_GRAIN + amounts
        await net.terminate()
    assert net.stopped_with[PHONE] == [-9] * KILLS + [0]
    found = judge.phone()
    assert {key: value[:2] for key, value in found.items()} == {
        f"n{number}": ("R4", "executed") for number in range(QUEUED + PAID)
    }
    assert {key: value[2].hex() for key, value in found.items() if judge.acknowledged[key]} == {
        key: name for key, name in judge.acknowledged.items() if name
    }
    judge.chain()
    assert net.complaints() == []
