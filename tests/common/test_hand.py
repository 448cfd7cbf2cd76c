"""The hand driver keeps the rules of the contract, and says where a core breaks them."""

from __future__ import annotations

import random
from typing import Any, ClassVar

import msgspec
import pytest

from supervm.common.contract import core as c
from supervm.common.contract.events import Event
from supervm.common.contract.records import Append
from supervm.common.contract.tables import PrimaryKey, Table, TableRow
from supervm.common.parts.buckets import Rate
from supervm.common.parts.manners import Budget, Rank
from supervm.common.parts.part import Part
from supervm.common.parts.shell import Clock, Shell
from supervm.common.storage.memory import MemoryStore
from supervm.common.testing.hand import TICKS_MAX, BrokenContract, HandDriver
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.wire.chain import BatchMessage
from supervm.protocol.wire.link import Heartbeat
from supervm.protocol.wire.payments import GetReceipt, Submit

PEER, OTHER = b"p" * 32, b"o" * 32


class Row(TableRow, frozen=True):
    number: PrimaryKey[int]
    text: str


class Spam(Event, frozen=True):
    NAME = "spam"

    peer: str


class Ticked(Event, frozen=True):
    NAME = "tick"

    now_us: int


ROWS = Table("rows", Row)
KEY = SigningKey(bytes(32))


class Write(msgspec.Struct, frozen=True):
    """Write a row, tell a peer when it is there, and answer then."""

    text: str


class Check(msgspec.Struct, frozen=True):
    """Check a signature, and answer what came out."""


class Ask(msgspec.Struct, frozen=True):
    """How many rows there are."""


class Bare:
    """A core that is no shell: what is done by hand, one effect for each input."""

    deadline_us: int | None = None

    def __init__(self, store: MemoryStore) -> None:
        self.outbox, self.store = c.Outbox(), store
        self.inputs: list[c.Input] = []
        self.asked: dict[int, int] = {}

    def step(self, now_us: int, event: c.Input) -> list[c.Effect]:
        self.inputs.append(event)
        out = self.outbox
        match event:
            case c.Command(token, Write(text)):
                written = out.persist(ROWS.put(Row(ROWS.count(self.store), text)), Append(text.encode()))
                out.send(PEER, GetReceipt(bytes(32)), after=written)
                out.send(PEER, Heartbeat(1, 0, 0, 0))
                out.reply(token, text, after=written)
            case c.Command(token, Check()):
                items = [(KEY.public, b"m", KEY.sign(b"m")), (KEY.public, b"m", bytes(64))]
                self.asked[out.verify(b"lane", items)] = token
            case c.Command(token, Ask()):
                out.reply(token, ROWS.count(self.store))
            case c.Command(token, _):
                out.refuse(token, "no such request")
            case c.WorkDone(token, result):
                out.reply(self.asked.pop(token), result)
            case c.Received(peer, Submit()):
                out.hang_up(peer, "spam", "no")
                out.publish(Spam(peer.hex()))
            case c.Received(peer, GetReceipt()):
                out.hold(peer, now_us + 1)
                out.dial("host:1", None)
            case c.Received(_, BatchMessage()):
                out.halt("enough")
        return out.drain()


def bare(**how: bool) -> HandDriver[Bare]:
    store = MemoryStore([ROWS])
    driver = HandDriver(Bare(store), store, now_us=1_000, **how)
    driver.up(PEER, 3)
    return driver


def test_disk_and_workers_answer_at_once_unless_the_test_wants_to() -> None:
    driver = bare()
    assert driver.call(Write("a")) == "a"
    assert [type(message).__name__ for _, message in driver.sent] == ["GetReceipt", "Heartbeat"]
    assert driver.call(Check()) == [True, False]
    assert driver.call(Ask()) == 1
    assert c.Durable(1) in driver.core.inputs


def test_what_rests_on_a_write_waits_for_the_disk_and_nothing_else_does() -> None:
    driver = bare(disk_at_once=False)
    token = driver.ask(Write("a"))
    assert (driver.take(GetReceipt), len(driver.take(Heartbeat)), driver.replies) == ([], 1, {})
    assert driver.call(Ask()) == 0, "answered before the disk was"
    assert driver.call(Ask()) == 1, "call lets the disk answer"
    assert (len(driver.take(GetReceipt, PEER)), driver.replies[token].value) == (1, "a")


def test_a_loss_of_power_takes_what_was_not_durable() -> None:
    driver = bare(disk_at_once=False)
    driver.call(Write("a"))
    driver.ask(Write("b"))
    driver.restart(Bare)
    assert (driver.peers, driver.sent, driver.waiting, driver.disk()) == ({}, [], [], [])
    assert list(ROWS.rows(driver.store)) == [Row(0, "a")]
    assert driver.store.log() == [b"a"]
    assert isinstance(driver.core.inputs[0], c.Started)


def test_jobs_wait_for_the_test_if_it_says_so() -> None:
    driver = bare(work_at_once=False)
    token = driver.ask(Check())
    assert (len(driver.works), driver.replies) == (1, {})
    driver.work()
    assert (driver.works, driver.replies[token].value) == ([], [True, False])
    assert driver.call(Check()) == [True, False], "call lets the workers answer"


def test_whom_the_core_hangs_up_on_is_gone_and_not_heard_again() -> None:
    driver = bare()
    driver.receive(PEER, Submit(()))
    assert (driver.hung_up, driver.peers, len(driver.told(Spam))) == ({PEER: "spam"}, {}, 1)
    assert driver.core.inputs[-1] == c.PeerDown(PEER, "spam: no")
    assert driver.receive(PEER, Submit(())) == []
    assert driver.down(PEER) == []
    driver.call(Write("to nobody"))
    assert driver.sent == []
    driver.up(PEER, 3)
    assert driver.receive(PEER, GetReceipt(bytes(32))) == [c.Hold(PEER, 1_001), c.Dial("host:1", None)]
    assert (driver.holds, driver.dials) == ([c.Hold(PEER, 1_001)], [c.Dial("host:1", None)])


def test_a_core_that_has_halted_is_stepped_no_more() -> None:
    driver = bare()
    driver.receive(PEER, BatchMessage(b""))
    assert driver.halted == "enough"
    seen = len(driver.core.inputs)
    driver.receive(PEER, Submit(()))
    driver.wait(1)
    assert len(driver.core.inputs) == seen


def test_a_request_that_is_refused_or_not_answered_says_so() -> None:
    driver = bare()
    with pytest.raises(BrokenContract, match="refused: no such request"):
        driver.call(c.Tick())
    driver.core.step = lambda now_us, event: []  # type: ignore[method-assign]
    with pytest.raises(BrokenContract, match="not answered"):
        driver.call(Ask())


def test_a_deadline_that_does_not_move_is_found() -> None:
    driver = bare()
    driver.core.deadline_us = 1_500
    with pytest.raises(BrokenContract, match=f"stays at 1500 us after {TICKS_MAX + 1} ticks"):
        driver.wait(1_000)


def test_time_passes_by_deadlines() -> None:
    class Ticking(Bare):
        def step(self, now_us: int, event: c.Input) -> list[c.Effect]:
            self.deadline_us = now_us + 400
            return [c.Publish(Ticked(now_us))] if isinstance(event, c.Tick) else []

    driver = HandDriver(Ticking(MemoryStore([ROWS])), MemoryStore([ROWS]), now_us=0)
    driver.wait(1_000)
    assert ([event.now_us for event in driver.told(Ticked)], driver.now_us) == ([400, 800], 1_000)


class Info(msgspec.Struct, frozen=True):
    """How the node stands."""


class Loud(Part):
    """Says what it is given to say."""

    sends: ClassVar[Any] = frozenset({GetReceipt, Submit, BatchMessage})

    def __init__(self, outbox: c.Outbox) -> None:
        self.outbox = outbox


class LoudNode(Shell):
    """An L4 with nothing but that."""

    PARTS = (Loud,)
    TIER = 4
    INFO = Info

    def __init__(self) -> None:
        anybody = Budget({"link": Rate(20_000, 200_000)})
        super().__init__(targets=(), rng=random.Random(1), budgets=dict.fromkeys(Rank, anybody))
        self.node_id, self.chain_id = bytes(32), bytes(32)
        self.compose([Clock(self.clock, lambda: (0, 0)), self.links, Loud(self.outbox)])

    @property
    def height(self) -> int:
        return 0

    def rank(self, event: c.PeerUp) -> Rank:
        return Rank.NAMED


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (BatchMessage(b""), r"an L4 may not send BatchMessage to an L3"),
        (Submit((bytes(600),) * 2_000), r"a Submit of \d+ bytes; a frame to an L3 has at most 1048576"),
    ],
    ids=["direction", "size"],
)
def test_what_no_link_carries_is_a_fault_of_the_core(message: Any, said: str) -> None:
    driver = HandDriver(LoudNode(), MemoryStore([]), now_us=0)
    driver.up(PEER, 3)
    driver.core.outbox.send(PEER, GetReceipt(bytes(32)))
    driver.core.outbox.send(OTHER, message)  # nobody is there
    driver.call(Info())
    assert driver.take() == [GetReceipt(bytes(32))]
    driver.core.outbox.send(PEER, message)
    with pytest.raises(BrokenContract, match=said):
        driver.call(Info())
