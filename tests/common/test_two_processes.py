"""Two processes exchange 10^5 messages exactly once through kills of either; the same under a stepped clock."""

import importlib.util
import random
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from supervm.common.contract import core as c
from supervm.common.contract.records import Record
from supervm.common.driver.committer import Gate
from supervm.common.storage.memory import MemoryStore
from supervm.common.storage.sql import SqlStore

NODE = Path(__file__).with_name("exchange_node.py")


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("exchange_node", NODE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["exchange_node"] = module
    spec.loader.exec_module(module)
    return module


exchange: Any = load()


class Process:
    """One node process; its lines are read as they come."""

    def __init__(self, role: str, directory: Path, address: str, total: int) -> None:
        self._command = [sys.executable, str(NODE), role, str(directory), address, str(total)]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for line in self.lines():
            if line[0] == "ready":
                self.address = line[1] if len(line) > 1 else ""
                return
        pytest.fail(f"did not start: {self.process.communicate()[1]}")

    def lines(self) -> Iterator[list[str]]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield line.split()

    def end(self, number: int) -> tuple[int, str]:
        self.process.send_signal(number)
        errors = self.process.communicate(timeout=30)[1]
        return self.process.returncode, errors


@pytest.mark.processes
def test_a_hundred_thousand_messages_are_applied_exactly_once_through_kills_of_either_side(tmp_path: Path) -> None:
    total = 100_000
    receiver = Process("receiver", tmp_path, "127.0.0.1:0", total)
    address = receiver.address
    receiver._command[4] = address
    sender = Process("sender", tmp_path, address, total)
    kills = deque(
        [
            (8_000, "receiver"),
            (20_000, "sender"),
            (33_000, "receiver"),
            (47_000, "both"),
            (60_000, "sender"),
            (75_000, "receiver"),
            (90_000, "both"),
        ]
    )
    try:
        while True:
            done = False
            for line in sender.lines():
                done = line[0] == "done"
                if done or (line[0] == "acked" and kills and int(line[1]) >= kills[0][0]):
                    break
            if done:
                break
            assert kills, sender.end(signal.SIGKILL)
            victim = kills.popleft()[1]
            if victim in ("receiver", "both"):
                assert receiver.end(signal.SIGKILL) == (-signal.SIGKILL, "")
                receiver.start()
            if victim in ("sender", "both"):
                assert sender.end(signal.SIGKILL) == (-signal.SIGKILL, "")
                sender.start()
        assert not kills
        assert sender.end(signal.SIGTERM) == (0, "")
        assert receiver.end(signal.SIGTERM) == (0, "")
    finally:
        for process in (sender.process, receiver.process):
            process.kill()
            process.communicate()
    with closing(SqlStore(tmp_path / "sender.sqlite", exchange.TABLES)) as store:
        assert exchange.standing(store) == total
    with closing(SqlStore(tmp_path / "receiver.sqlite", exchange.TABLES)) as store:
        assert exchange.standing(store) == total
        rows = list(exchange.APPLIED.rows(store))
    assert rows == [exchange.AppliedRow(n, exchange.payload(n)) for n in range(total)]


class Stepped:
    """A core, its store and its gate, carried on by hand: the contract without an event loop."""

    def __init__(self, make: Any, node_id: bytes) -> None:
        self._make = make
        self.node_id = node_id
        self.store = MemoryStore(exchange.TABLES)
        self.start()

    def start(self) -> None:
        self.core: c.Core = self._make(self.store)
        self.gate = Gate()
        self.tokens: deque[int] = deque()
        self.sent: deque[Any] = deque()
        self.dials = 0

    def step(self, now_us: int, event: c.Input) -> None:
        for effect in self.core.step(now_us, event):
            if isinstance(effect, c.Persist):
                self.gate.asked(effect.token)
                records: tuple[Record, ...] = effect.records
                self.store.stage(records)
                self.tokens.append(effect.token)
            elif isinstance(effect, c.Send):
                if not (effect.after and self.gate.hold_send(effect)):
                    self.sent.append(effect.message)
            elif isinstance(effect, c.Dial):
                self.dials += 1

    def flush(self, now_us: int, groups: int) -> None:
        tokens = [self.tokens.popleft() for _ in range(min(groups, len(self.tokens)))]
        self.store.flush(len(tokens))
        self.sent.extend(send.message for send in self.gate.durable(tokens)[0])
        for token in tokens:
            self.step(now_us, c.Durable(token))


@pytest.mark.parametrize("seed", range(3))
def test_the_same_cores_run_under_a_hand_stepped_clock_with_crashes_at_any_point(seed: int) -> None:
    rng, total, now_us = random.Random(seed), 5_000, 1_000_000
    sender = Stepped(lambda store: exchange.Sender(store, [(b"r" * 32, "r:1")], total), b"s" * 32)
    receiver = Stepped(lambda store: exchange.Receiver(store, []), b"r" * 32)
    crashes, linked = 0, False
    for _ in range(100_000):
        now_us += rng.randrange(1, 2_000)
        if linked and crashes < 60 and rng.random() < 0.06:
            crashes += 1
            victim = rng.choice((sender, receiver))
            victim.store.crash(between=rng.random() < 0.5)
            victim.start()
            other = receiver if victim is sender else sender
            other.step(now_us, c.PeerDown(victim.node_id, "gone"))
            other.gate.forget(victim.node_id)
            other.sent.clear()
            linked = False
        if not linked:
            sender.dials = 0
            deadline_us = sender.core.deadline_us
            assert deadline_us is not None
            now_us = max(now_us, deadline_us)
            sender.step(now_us, c.Tick())
            if sender.dials:
                linked = True
                sender.step(now_us, c.PeerUp(receiver.node_id, 3, (), 0, "r:1"))
                receiver.step(now_us, c.PeerUp(sender.node_id, 4, (), 0, None))
        for one, other in ((sender, receiver), (receiver, sender)):
            for _ in range(min(len(one.sent), rng.randrange(60))):
                other.step(now_us, c.Received(one.node_id, one.sent.popleft()))
            one.flush(now_us, rng.randrange(40))
        if exchange.standing(sender.store) == total:
            break
    assert exchange.standing(sender.store) == exchange.standing(receiver.store) == total
    assert crashes > 3
    rows = list(exchange.APPLIED.rows(receiver.store))
    assert rows == [exchange.AppliedRow(n, exchange.payload(n)) for n in range(total)]
