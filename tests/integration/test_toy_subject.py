"""A part with its own message, request, table, option and event is one line of one node (docs/adding-a-subject.md).

The guestbook of tests/tools goes through everything that a subject goes through: two cores stepped in memory, the
driver over real sockets, the simulator, and the shipped program as a process.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from chain_tools import GENESIS_TIME_MS, make_test_chain, test_key
from guestbook import GUESTBOOK, Guestbook, Note, NoteLeft, Notes, Sign, Visitor
from guestbook_tiers import environment

from supervm.common.contract import core as c
from supervm.common.contract.events import Event
from supervm.common.driver import Driver, Identity
from supervm.common.driver.events import MessageNotSent, PeerDown, PeerUp
from supervm.common.host.keyfile import make_key_file
from supervm.common.link.connection import LocalNode
from supervm.common.parts.events import PeerFault, Throttled
from supervm.common.parts.shell import wire_of
from supervm.common.services.client import call, watch
from supervm.common.storage.memory import MemoryStore
from supervm.common.testing.hand import BrokenContract, HandDriver
from supervm.protocol.base.codec import encode
from supervm.protocol.base.keys import verify
from supervm.protocol.wire.frames import encode_message
from supervm.sim.exact import Deployment
from supervm.tier_l3_edge.node import EdgeNode

CHAIN = make_test_chain().chain
EDGE, VISITOR = test_key("edge"), test_key("visitor")
NOW_US = GENESIS_TIME_MS * 1000 + 1_000_000


class EdgeWithGuestbook(EdgeNode):
    """The one line."""

    MORE = (Guestbook,)


def make_edge(reader: Any, **values: int) -> EdgeWithGuestbook:
    return EdgeWithGuestbook(
        chain=CHAIN,
        key=EDGE,
        payout=None,
        reader=reader,
        targets=(),
        rng=random.Random(1),
        verify=verify,
        values=values,
    )


def make_visitor(*targets: tuple[bytes | None, str]) -> Visitor:
    return Visitor(VISITOR.public, CHAIN.chain_id, targets, random.Random(2))


def make_store() -> MemoryStore:
    return MemoryStore(EdgeWithGuestbook.declared_tables())


# --- two ends in memory ---------------------------------------------------------------------------------------------


class Ends:
    """A visitor and an edge in a test's hands, and what travels between them as frames."""

    def __init__(self, store: MemoryStore, **values: int) -> None:
        self.edge = HandDriver(make_edge(store, **values), store, now_us=NOW_US)
        self.visitor = HandDriver(make_visitor(), MemoryStore(()), now_us=NOW_US)
        self.visitor.up(EDGE.public, 3, features=wire_of(self.edge.core).features)
        self.edge.up(VISITOR.public, 4, features=wire_of(self.visitor.core).features)

    def sign(self, text: str) -> None:
        assert self.visitor.call(Sign(text)) == 1
        for note in self.visitor.take(Note, EDGE.public):
            self.edge.receive(VISITOR.public, wire_of(self.edge.core).decode(encode_message(note)))

    def notes(self) -> list[tuple[int, str]]:
        return [(note["number"], note["text"]) for note in self.edge.call(Notes())]


def test_a_note_is_kept_told_and_still_there_after_a_restart() -> None:
    store = make_store()
    ends = Ends(store)
    ends.sign("was here")
    assert ends.edge.told(NoteLeft) == [NoteLeft(VISITOR.public.hex(), 1)]
    ends.sign("and here")
    assert ends.notes() == [(1, "was here"), (2, "and here")]
    again = Ends(store, notes_max=2)
    again.sign("again")
    assert again.notes() == [(2, "and here"), (3, "again")]
    assert store.count("notes") == 2


def test_the_edge_declares_what_the_guestbook_brings() -> None:
    told = EdgeWithGuestbook
    assert [table.name for table in told.declared_tables()] == [
        *(table.name for table in EdgeNode.declared_tables()),
        "notes",
    ]
    assert [*told.declared_options()] == [*EdgeNode.declared_options(), "notes_max"]
    assert told.declared_requests() == (*EdgeNode.declared_requests(), Notes)
    edge = make_edge(make_store())
    assert wire_of(edge).features == (GUESTBOOK.name,)
    assert told.declared_wire().features == (*EdgeNode.declared_wire().features, GUESTBOOK.name)
    (reply,) = edge.step(NOW_US, c.Command(1, Sign("no")))
    assert reply == c.Reply(1, None, "an L3 takes no request Sign; Info, Notes, Statistics are allowed")


def test_a_note_that_breaks_the_rule_is_blamed_on_its_sender_and_costs_it() -> None:
    ends = Ends(make_store())
    ends.sign("two\nlines")
    (fault,) = ends.edge.told(PeerFault)
    assert (fault.code, ends.notes()) == ("note", [])
    while not ends.edge.holds:
        ends.edge.receive(VISITOR.public, Note("again"))
    assert ends.edge.told(Throttled)


# --- the driver -----------------------------------------------------------------------------------------------------


class Running:
    """A core under the shipped driver."""

    def __init__(self, core: Any, key: Any, store: Any, tier: int, listen: str | None) -> None:
        self.seen: dict[type[Event], Event] = {}
        self._changed = trio.Event()
        self.driver = Driver(
            core,
            store=store,
            identity=Identity(key, bytes([tier]) * 32, CHAIN.chain_id),
            local=LocalNode(tier, wire=wire_of(core)),
            listen=listen,
            sink=self._sink,
        )

    def _sink(self, event: Event, /) -> None:
        self.seen.setdefault(type(event), event)
        self._changed.set()
        self._changed = trio.Event()

    async def until(self, kind: type[Event]) -> Event:
        with trio.fail_after(20):
            while kind not in self.seen:
                await self._changed.wait()
        return self.seen[kind]

    async def ask(self, request: Any) -> Any:
        replies: list[c.Reply] = []
        answered = trio.Event()
        self.driver.command(request, lambda reply: (replies.append(reply), answered.set()))
        with trio.fail_after(20):
            await answered.wait()
        return replies[0].value


async def test_a_note_travels_between_two_drivers(nursery: trio.Nursery) -> None:
    store = make_store()
    edge = Running(make_edge(store), EDGE, store, 3, "127.0.0.1:0")
    (address,) = await nursery.start(edge.driver.run)
    visitor = Running(make_visitor((EDGE.public, address)), VISITOR, MemoryStore(()), 4, None)
    await nursery.start(visitor.driver.run)
    await visitor.until(PeerUp)
    assert await visitor.ask(Sign("by wire")) == 1
    assert await edge.until(NoteLeft) == NoteLeft(VISITOR.public.hex(), 1)
    (note,) = await edge.ask(Notes())
    assert (note["number"], note["text"]) == (1, "by wire")
    await visitor.driver.stop()
    await edge.driver.stop()
    assert store.count("notes") == 1


def test_a_note_to_an_edge_without_a_guestbook_is_a_fault_of_whoever_sends_it() -> None:
    visitor = HandDriver(make_visitor(), MemoryStore(()), now_us=NOW_US)
    visitor.up(EDGE.public, 3)
    assert visitor.call(Sign("to whom?")) == 0
    visitor.core.outbox.send(EDGE.public, Note("a part that does not look"))  # type: ignore[arg-type]
    with pytest.raises(BrokenContract, match="may not send Note"):
        visitor.wait(30_000_000)


async def test_an_edge_without_a_guestbook_is_never_sent_a_note(nursery: trio.Nursery) -> None:
    store = MemoryStore(EdgeNode.declared_tables())
    plain = EdgeNode(chain=CHAIN, key=EDGE, payout=None, reader=store, targets=(), rng=random.Random(1), verify=verify)
    edge = Running(plain, EDGE, store, 3, "127.0.0.1:0")
    (address,) = await nursery.start(edge.driver.run)
    core = make_visitor((EDGE.public, address))
    visitor = Running(core, VISITOR, MemoryStore(()), 4, None)
    await nursery.start(visitor.driver.run)
    await visitor.until(PeerUp)
    assert await visitor.ask(Sign("to whom?")) == 0
    core.outbox.send(EDGE.public, Note("a part that does not look"))  # type: ignore[arg-type]
    await visitor.ask(Sign("step"))
    not_sent = await visitor.until(MessageNotSent)
    assert isinstance(not_sent, MessageNotSent)
    assert not_sent.kind == "Note"
    assert PeerDown not in edge.seen
    nursery.cancel_scope.cancel()


# --- the simulator --------------------------------------------------------------------------------------------------


def test_a_note_travels_in_the_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EdgeNode, "MORE", (Guestbook,))
    net = Deployment(l1=1, l2=1, l3=1, l4=0)
    edge = net.l3[0].public
    net.world.add(
        node_id=VISITOR.public,
        tier=4,
        address="visitor",
        tables=(),
        build=lambda _disk: make_visitor((edge, "l3-0")),
    )
    net.start()
    net.world.start(VISITOR.public)
    net.world.run(3_000_000)
    assert net.world.call(VISITOR.public, Sign("in virtual time")) == 1
    net.world.run(1_000_000)
    (note,) = net.world.call(edge, Notes())
    assert (note["author"], note["text"]) == (VISITOR.public.hex(), "in virtual time")


# --- the program ----------------------------------------------------------------------------------------------------


@pytest.mark.processes
async def test_the_program_needs_no_more_than_the_line(tmp_path: Path, nursery: trio.Nursery) -> None:
    folder = tmp_path / "edge"
    folder.mkdir(mode=0o700)
    (folder / "genesis.cbor").write_bytes(encode(CHAIN.genesis))
    make_key_file(folder / "node.key", bytes(31) + b"\x05")
    (folder / "config.toml").write_text('tier = 3\nlisten = "127.0.0.1:0"\n[l3]\nnotes_max = 1\n', encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "supervm.common.cli", "l3", "run", "--config", str(folder / "config.toml")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(tmp_path / "changed"),
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        visitor = Running(make_visitor((None, json.loads(line)["listen"])), VISITOR, MemoryStore(()), 4, None)
        await nursery.start(visitor.driver.run)
        await visitor.until(PeerUp)
        with trio.fail_after(20):
            async with watch(folder / "node.sock") as events:
                for text in ("one", "two"):
                    assert await visitor.ask(Sign(text)) == 1
                    async for event in events:
                        if event["event"] == "note":
                            break
        notes = await call(folder / "node.sock", {"request": "notes"})
        assert [(note["number"], note["text"]) for note in notes] == [(2, "two")]
        assert (await call(folder / "node.sock", {"request": "info"}))["peers"] == 1
        await visitor.driver.stop()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.communicate()
