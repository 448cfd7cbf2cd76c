"""A node that does not name `reach1` is never sent a message of it, and a node that names it takes all of it."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from chain_tools import test_key
from reach_samples import reach_messages
from talker import Heard, PlainNode, Say, Talk, TalkingNode, tiered

from supervm.common.contract import core as c
from supervm.common.contract.events import Event
from supervm.common.driver import Driver, Identity
from supervm.common.driver.clock import TrioClock
from supervm.common.driver.events import MessageNotSent, PeerDown, PeerUp
from supervm.common.driver.transports.memory import MemoryNet, MemoryTransport
from supervm.common.link.connection import LocalNode
from supervm.common.parts.shell import wire_of
from supervm.common.storage.memory import MemoryStore
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.wire.subjects import REACH

CHAIN_ID = b"c" * 32
KINDS = [kind.__name__ for kind in REACH.directions]


class Running:
    """A node under the shipped driver, found in memory at its name."""

    def __init__(self, net: MemoryNet, name: str, node: type[PlainNode], *targets: str) -> None:
        self.key = test_key(name)
        self.core = node(self.key.public, CHAIN_ID, [(None, f"memory:{target}") for target in targets])
        self.seen: list[Event] = []
        self._changed = trio.Event()
        self.driver = Driver(
            self.core,
            store=MemoryStore(()),
            identity=Identity(self.key, bytes(31) + name[:1].encode(), CHAIN_ID),
            local=LocalNode(node.TIER, wire=wire_of(self.core)),
            listen=f"memory:{name}",
            sink=self._sink,
            clock=TrioClock(10**15),
            threaded_commits=False,
            transports=[MemoryTransport(net)],
        )

    def _sink(self, event: Event, /) -> None:
        self.seen.append(event)
        self._changed.set()
        self._changed = trio.Event()

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.seen if isinstance(event, kind)]

    async def until(self, kind: type[Event], count: int = 1) -> None:
        with trio.fail_after(20):
            while len(self.of(kind)) < count:
                await self._changed.wait()

    async def ask(self, request: Any) -> Any:
        replies: list[c.Reply] = []
        self.driver.command(request, replies.append)
        return replies[0].value


async def start(nursery: trio.Nursery, *nodes: Running) -> None:
    for node in nodes:
        await nursery.start(node.driver.run)


async def test_nodes_with_the_word_say_everything_to_each_other(
    nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    net = MemoryNet()
    one, two = Running(net, "one", TalkingNode), Running(net, "two", TalkingNode, "one")
    await start(nursery, one, two)
    await two.until(PeerUp)
    assert await two.ask(Say()) == 1
    await trio.sleep(1)
    assert await one.ask(Heard()) == KINDS
    assert not one.of(PeerDown)
    assert not two.of(MessageNotSent)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("tier", [1, 2, 3, 4])
async def test_a_node_without_the_word_is_never_sent_one(
    tier: int, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    """Whatever its tier, and even if a part does not look: the link leaves every kind out, and stays up."""
    net = MemoryNet()
    plain, talker = Running(net, "plain", tiered(PlainNode, tier)), Running(net, "talker", TalkingNode, "plain")
    await start(nursery, plain, talker)
    await talker.until(PeerUp)
    (up,) = talker.core.peering.up.values()
    assert REACH.name not in up.features
    assert await talker.ask(Say()) == 1
    await trio.sleep(1)
    assert [event.kind for event in talker.of(MessageNotSent)] == KINDS
    assert not plain.of(PeerDown)
    assert len(plain.core.peering.up) == 1
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("own", "other", "carries"), [(4, 4, True), (3, 3, True), (4, 3, True), (3, 1, False)])
async def test_kinds_travel_in_the_directions_of_the_subject(
    own: int, other: int, carries: bool, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    net = MemoryNet()
    there, here = Running(net, "x", tiered(TalkingNode, other)), Running(net, "y", tiered(TalkingNode, own), "x")
    await start(nursery, there, here)
    await here.until(PeerUp)
    await here.ask(Say())
    await trio.sleep(1)
    heard = await there.ask(Heard())
    assert heard == [kind for kind in KINDS if (own, other) in REACH.directions[type(reach_messages()[kind])]]
    assert ("BundleData" in heard) == carries
    assert {"RecordPut", "Find", "Found"} <= set(heard)
    assert not there.of(PeerDown)
    nursery.cancel_scope.cancel()


class Half(Talk):
    """Takes all but two kinds."""

    takes = frozenset(list(REACH.directions)[2:])


class HalfNode(PlainNode):
    """A node whose word would not be true."""

    MORE = (Half,)


def test_a_node_that_names_the_word_has_a_part_for_every_kind_of_it() -> None:
    with pytest.raises(LocalProtocolError, match=r"names reach1 has to take all of it; no part takes Observed, Record"):
        HalfNode(bytes(32), CHAIN_ID)
    assert wire_of(PlainNode(bytes(32), CHAIN_ID)).features == ()
    assert wire_of(TalkingNode(bytes(32), CHAIN_ID)).features == ("reach1",)


class Rest(Talk):
    """The two kinds that `Half` leaves out."""

    takes = frozenset(list(REACH.directions)[:2])
    answers = ()


class SharedNode(PlainNode):
    """A node with the word, by two parts together."""

    MORE = (Half, Rest)


def test_parts_may_share_a_subject() -> None:
    assert wire_of(SharedNode(bytes(32), CHAIN_ID)).features == ("reach1",)
