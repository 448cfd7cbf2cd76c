"""Make before break (network.md 3): traffic moves to a second connection without loss, or both cores are told."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trio
import trio.testing

from supervm.common.contract import core as c
from supervm.common.driver.replacing import MOVE_S_MAX, SILENCE_S
from supervm.common.driver.transports.memory import MemoryNet, MemoryPipe
from supervm.protocol.wire.payments import GetReceipt, Status, StatusItem


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


transports: Any = load("test_transports")
memory_node, running = transports.memory_node, transports.running


class Scene:
    """An edge and a phone that send each other numbered messages, and a second dial in the middle.

    Args:
        dialler: who dials the second time, "phone" or "edge".
        count: messages each way.
        turns: turns of the loop between two hundreds of them.
    """

    def __init__(self, dialler: str, count: int, turns: int = 1) -> None:
        self.turns = turns
        self.net = MemoryNet()
        self.edge, self.phone = memory_node(self.net, 1, 3), memory_node(self.net, 2, 4)
        self.dialler, self.answerer = (self.phone, self.edge) if dialler == "phone" else (self.edge, self.phone)
        self.count = count

    async def play(self) -> None:
        """Connect, send, dial again half-way, and wait until nothing happens any more."""
        async with running(self.edge, self.phone):
            await self.phone.connect(self.edge)
            await trio.sleep(5)  # so that the two connections were not made at the same time
            for start in range(0, self.count, 100):
                for node, other, make in (
                    (self.phone, self.edge, lambda n: GetReceipt(n.to_bytes(32, "big"))),
                    (self.edge, self.phone, lambda n: Status((StatusItem(n.to_bytes(32, "big"), 0, ""),))),
                ):
                    node.do(
                        lambda outbox, to=other, make=make, start=start: [
                            outbox.send(to.id, make(number)) for number in range(start, start + 100)
                        ]
                    )
                if start == self.count // 2:
                    self.dialler.do(lambda outbox: outbox.dial(self.answerer.address, self.answerer.id))
                for _ in range(self.turns):
                    await trio.lowlevel.checkpoint()
            await trio.sleep(60)
            self._ends = {node: len(node.core.events) for node in (self.edge, self.phone)}
            self.up = self.edge.driver._links.is_up(self.phone.id), self.phone.driver._links.is_up(self.edge.id)
            self.connections = [node.driver.metrics()["connections"] for node in (self.edge, self.phone)]

    def numbers(self, node: Any) -> list[int]:
        """Return the numbers of the messages that a core was given, in that order."""
        messages = [event.message for event in node.core.of(c.Received)]
        return [
            int.from_bytes(item.items[0].transaction_id if isinstance(item, Status) else item.transaction_id, "big")
            for item in messages
        ]

    def heard(self, node: Any) -> list[str]:
        """Return what a core was told of its peer, in that order."""
        return [
            type(event).__name__
            for event in node.core.events[: self._ends[node]]
            if isinstance(event, c.PeerUp | c.PeerMoved | c.PeerDown)
        ]


@pytest.mark.parametrize("dialler", ["phone", "edge"])
async def test_twenty_thousand_messages_move_to_a_second_connection(
    dialler: str, autojump_clock: trio.testing.MockClock
) -> None:
    scene = Scene(dialler, 20_000)
    await scene.play()
    for node in (scene.edge, scene.phone):
        assert scene.numbers(node) == list(range(20_000))
        assert scene.heard(node) == ["PeerUp", "PeerMoved"]
    assert scene.connections == [1, 1]
    (moved,) = scene.dialler.core.of(c.PeerMoved)
    assert moved == c.PeerMoved(scene.answerer.id, scene.answerer.address, "1" if dialler == "phone" else "2")
    assert scene.answerer.core.of(c.PeerMoved)[0].address is None
    # the core was given the last message of the old connection, was told, and was given the first of the new one
    events = scene.answerer.core.events
    at = events.index(scene.answerer.core.of(c.PeerMoved)[0])
    assert any(isinstance(event, c.Received) for event in events[:at])
    assert any(isinstance(event, c.Received) for event in events[at:])


class Killer:
    """Kills one of the two connections before the nth send over it since the second dial.

    Args:
        which: 0: the old one; 1: the new one.
        at: n, from 0.
    """

    def __init__(self, net: MemoryNet, which: int, at: int) -> None:
        self.left, self.killed, self._net, self._which = at, False, net, which
        net.on_pair = self._made

    def _made(self, pipe: MemoryPipe) -> None:
        if len(self._net.pipes) == 2:
            victim = self._net.pipes[self._which]
            victim.on_send = victim.other.on_send = self._sent

    def _sent(self, pipe: MemoryPipe) -> None:
        if not self.left:
            self.killed = True
            pipe.kill()
        self.left -= 1


@pytest.mark.parametrize("dialler", ["phone", "edge"])
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("at", range(20))
async def test_whichever_connection_is_killed_nothing_is_lost_unnoticed(
    dialler: str, which: int, at: int, autojump_clock: trio.testing.MockClock
) -> None:
    scene = Scene(dialler, 2_000, turns=8)
    killer = Killer(scene.net, which, at)
    await scene.play()
    nodes = (scene.edge, scene.phone)
    heard = [scene.heard(node) for node in nodes]
    for node, words in zip(nodes, heard, strict=True):
        numbers = scene.numbers(node)
        assert numbers == sorted(set(numbers)), "nothing is doubled or overtaken"
        assert words[0] == "PeerUp"
        if numbers != list(range(2_000)):
            assert "PeerDown" in words
    assert ("PeerDown" in heard[0]) == ("PeerDown" in heard[1]), (killer.killed, heard)
    assert scene.up[0] == scene.up[1]
    assert scene.connections == [int(up) for up in scene.up]
    if "PeerDown" not in heard[0]:
        assert heard[0] == heard[1]
        assert heard[0] in (["PeerUp"], ["PeerUp", "PeerMoved"])
    if which == 1 and len(scene.net.pipes) == 2 and at < 4:  # it never came up at both ends
        assert heard[0] == ["PeerUp"]


async def test_a_silent_old_connection_is_given_up_after_two_seconds_and_both_cores_are_told(
    autojump_clock: trio.testing.MockClock,
) -> None:
    net = MemoryNet()
    edge, phone = memory_node(net, 1, 3), memory_node(net, 2, 4)
    async with running(edge, phone):
        await phone.connect(edge)
        await trio.sleep(5)
        net.pipes[0].silent = net.pipes[0].other.silent = True
        began_s = trio.current_time()
        phone.do(lambda outbox: outbox.dial(edge.address, edge.id))
        phone.do(lambda outbox: outbox.send(edge.id, GetReceipt(bytes(32))))  # lost on the old one
        for node in (edge, phone):
            await node.core.until(lambda node=node: len(node.core.of(c.PeerUp)) == 2)
            assert trio.current_time() - began_s == pytest.approx(SILENCE_S, abs=0.1)
            assert not node.core.of(c.PeerMoved)
            assert [event.code for event in node.core.of(c.PeerDown)] == [""], "it is not the peer who said so"
        phone.do(lambda outbox: outbox.send(edge.id, GetReceipt(bytes(32))))
        await edge.core.until(lambda: edge.core.of(c.Received))
        await trio.sleep(5)
        assert edge.driver.metrics()["connections"] == phone.driver.metrics()["connections"] == 1


async def test_a_second_machine_with_the_same_key_pushes_the_first_one_out(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It has no old connection to say goodbye on; the first machine is told, as before, that it is a duplicate."""
    net = MemoryNet()
    edge, one = memory_node(net, 1, 3), memory_node(net, 2, 4)
    two = transports.tools.Node(
        2,
        4,
        listen=False,
        clock=transports.TrioClock(10**15),
        threaded_commits=False,
        transports=[transports.MemoryTransport(net)],
    )
    async with running(edge, one, two):
        await one.connect(edge)
        await trio.sleep(5)
        two.do(lambda outbox: outbox.dial(edge.address, edge.id))
        with trio.move_on_after(MOVE_S_MAX * 2):
            while True:  # the first one goes on speaking, and would never be silent
                one.do(lambda outbox: outbox.send(edge.id, GetReceipt(bytes(32))))
                await trio.sleep(0.7)
        assert [event.code for event in one.core.of(c.PeerDown)] == ["duplicate"]
        assert len(two.core.of(c.PeerUp)) == 1
        assert not two.core.of(c.PeerDown)
        assert [type(event).__name__ for event in edge.core.events if not isinstance(event, c.Received)] == [
            "Started",
            "PeerUp",
            "PeerDown",
            "PeerUp",
        ]


async def test_a_core_that_hangs_up_in_the_middle_hears_nothing_more(autojump_clock: trio.testing.MockClock) -> None:
    net = MemoryNet()
    edge, phone = memory_node(net, 1, 3), memory_node(net, 2, 4)
    async with running(edge, phone):
        await phone.connect(edge)
        await trio.sleep(5)
        net.pipes[0].silent = net.pipes[0].other.silent = True
        phone.do(lambda outbox: outbox.dial(edge.address, edge.id))
        await trio.sleep(0.5)
        assert phone.driver.metrics()["connections"] == 2
        phone.do(lambda outbox: outbox.hang_up(edge.id, "silent", "no message"))
        await trio.sleep(5)
        assert [type(event).__name__ for event in phone.core.events if not isinstance(event, c.Command)] == [
            "Started",
            "PeerUp",
            "PeerDown",
        ]
        assert phone.driver.metrics()["connections"] == 0
        assert edge.driver.metrics()["connections"] == 0


async def test_a_hold_goes_along_to_the_new_connection(autojump_clock: trio.testing.MockClock) -> None:
    scene = Scene("phone", 1_000)
    seen_s: list[float] = []

    def on(core: Any, now_us: int, event: c.Input) -> None:
        if isinstance(event, c.Received):
            seen_s.append(trio.current_time())
            if len(core.of(c.Received)) == 300:
                core.outbox.hold(scene.phone.id, now_us + 1_500_000)

    scene.edge.core._on = on
    await scene.play()
    assert scene.numbers(scene.edge) == list(range(1_000))
    assert scene.heard(scene.edge) == ["PeerUp", "PeerMoved"]
    assert seen_s[300] - seen_s[299] == pytest.approx(1.5, abs=0.01)
