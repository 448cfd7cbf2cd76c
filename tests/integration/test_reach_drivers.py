"""Edges under the shipped driver, over real sockets on this machine: who knows one address finds the others."""

from __future__ import annotations

import random
import socket
from typing import Any

import trio
from chain_tools import make_test_chain, test_key

from supervm.common.contract.events import Event
from supervm.common.driver import Driver, Identity
from supervm.common.driver.events import MessageNotSent, PeerDown, PeerUp
from supervm.common.link.connection import LocalNode
from supervm.common.parts.events import PeerFault
from supervm.common.parts.reach.tables import PROVEN
from supervm.common.parts.shell import wire_of
from supervm.common.storage.memory import MemoryStore
from supervm.protocol.base.address import encode_node_id
from supervm.protocol.base.keys import verify
from supervm.tier_l3_edge.node import EdgeNode
from supervm.tier_l3_edge.options import EdgeOptions

CHAIN = make_test_chain().chain


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


class Running:
    """An edge that finds its peers."""

    def __init__(self, name: str, *targets: str) -> None:
        self.key, self.address = test_key(name), free_address()
        self.store = MemoryStore(EdgeNode.declared_tables())
        self.core = EdgeNode(
            chain=CHAIN,
            key=self.key,
            payout=None,
            reader=self.store,
            targets=[(None, target) for target in targets],
            rng=random.Random(name),
            verify=verify,
            options=EdgeOptions(find_peers=True, endpoints=(self.address,)),
        )
        self.seen: list[Event] = []
        self._changed = trio.Event()
        self.driver = Driver(
            self.core,
            store=self.store,
            identity=Identity(self.key, bytes(31) + name[-1:].encode(), CHAIN.chain_id),
            local=LocalNode(3, wire=wire_of(self.core)),
            listen=self.address,
            sink=self._sink,
        )

    def _sink(self, event: Event, /) -> None:
        self.seen.append(event)
        self._changed.set()
        self._changed = trio.Event()

    def of(self, *kinds: type[Any]) -> list[Any]:
        return [event for event in self.seen if isinstance(event, kinds)]

    async def until_up(self, *others: Running) -> None:
        wanted = {encode_node_id(other.key.public) for other in others}
        with trio.fail_after(20):
            while not wanted <= {event.peer for event in self.of(PeerUp)}:
                await self._changed.wait()


async def test_who_knows_one_address_finds_the_others(nursery: trio.Nursery) -> None:
    first = Running("edge1")
    second, third, fourth = (Running(f"edge{number}", first.address) for number in (2, 3, 4))
    edges = (first, second, third, fourth)
    for edge in edges:
        await nursery.start(edge.driver.run)
    for edge in edges:
        await edge.until_up(*(other for other in edges if other is not edge))
    assert [event for edge in edges for event in edge.of(MessageNotSent, PeerFault, PeerDown)] == []
    assert {row.node_id for row in PROVEN.rows(second.store)} >= {first.key.public}
    for edge in edges:
        await edge.driver.stop()
