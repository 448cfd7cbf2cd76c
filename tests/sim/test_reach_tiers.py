"""Shipped edges and phones that find their peers: payments go on as ever, and who does not want it is left in peace."""

from __future__ import annotations

import random

import pytest

from supervm.common.parts.reach.own import OwnNode
from supervm.common.parts.reach.part import NEIGHBOURS_OF, Reach
from supervm.protocol.base.keys import SigningKey
from supervm.sim.exact import Deployment
from supervm.sim.exact.disk import VirtualDisk
from supervm.tier_l3_edge.node import EdgeNode
from supervm.tier_l3_edge.options import EdgeOptions
from supervm.tier_l4_mobile.node import MobileNode, Settings

EDGES = 12
OF_PHONE, OF_EDGE = NEIGHBOURS_OF[4][0], NEIGHBOURS_OF[3][0]


def edge_address(number: int) -> str:
    return f"{20 + number}.1.0.1:4301"


class Finding:
    """A network of shipped nodes, with more edges that know the first of them and a phone that knows the last."""

    def __init__(self, *, plain: int = 0) -> None:
        self.net = Deployment(l1=4, l2=1, l3=1, l4=2)
        self.edges = [SigningKey(bytes([7, number]) * 16) for number in range(EDGES)]
        self.phone = SigningKey(b"\x09" * 32)
        miner = (self.net.l2[0].public, "l2-0")
        for number, key in enumerate(self.edges):
            others = [] if number == 0 else [(self.edges[number - 1].public, edge_address(number - 1))]
            finds = number < EDGES - plain
            self.add_edge(number, key, [miner, *others], finds=finds)
        last = (self.edges[EDGES - 1 - plain].public, edge_address(EDGES - 1 - plain))
        self.net.world.add(
            node_id=self.phone.public,
            tier=4,
            address="phone",
            tables=MobileNode.declared_tables(),
            build=lambda disk: MobileNode(
                self.net.chain,
                {key.public: key for key in self.net.wallets[1]},
                node_id=self.phone.public,
                peers=[last],
                reader=disk,
                verify=self.net.verify,
                rng=random.Random(5),
                settings=Settings(told=OwnNode(self.phone, targets=(last[1],))),
            ),
        )

    def add_edge(self, number: int, key: SigningKey, targets: list[tuple[bytes, str]], *, finds: bool) -> None:
        def build(disk: VirtualDisk) -> EdgeNode:
            return EdgeNode(
                chain=self.net.chain,
                key=key,
                payout=None,
                reader=disk,
                targets=targets,
                rng=random.Random(number),
                verify=self.net.verify,
                options=EdgeOptions(find_peers=finds, region="eu", endpoints=(edge_address(number),)),
            )

        self.net.world.add(
            node_id=key.public,
            tier=3,
            address=edge_address(number),
            tables=EdgeNode.declared_tables(),
            build=build,
        )

    def start(self) -> None:
        self.net.start()
        for key in (*self.edges, self.phone):
            self.net.world.start(key.public)

    def core(self, key: SigningKey) -> EdgeNode | MobileNode:
        core = self.net.world.host(key.public).core
        assert isinstance(core, EdgeNode | MobileNode)
        return core

    def neighbours(self, key: SigningKey) -> int:
        return int(self.core(key).info(self.net.world.now_us)["neighbours"])


def test_shipped_nodes_find_their_peers_and_say_nothing_that_is_not_taken() -> None:
    world = Finding()
    world.start()
    world.net.world.run(60_000_000)
    assert {world.neighbours(key) for key in world.edges} == {OF_EDGE}
    assert world.neighbours(world.phone) == OF_PHONE
    assert world.net.world.not_sent == 0
    faults = [
        event for host in world.net.world.hosts.values() for _, event in host.events if "fault" in event.event.NAME
    ]
    assert faults == []
    assert world.core(world.phone).features == ("reach1",)
    (reach,) = [part for part in world.core(world.edges[0]).parts if isinstance(part, Reach)]
    known = reach.nodes.get(world.edges[5].public)
    assert known is not None
    record = known.record
    assert (record.region, record.endpoints) == ("eu", (edge_address(5),))
    assert record.fees == ((b"", 1),)


def test_nodes_without_the_word_take_part_in_nothing() -> None:
    world = Finding(plain=4)
    world.start()
    world.net.world.run(60_000_000)
    finding, plain = world.edges[:-4], world.edges[-4:]
    assert {world.neighbours(key) for key in finding} == {len(finding) - 1}
    for key in plain:
        assert world.core(key).features == ()
        assert "neighbours" not in world.core(key).info(world.net.world.now_us)
    assert world.net.world.not_sent == 0


@pytest.mark.parametrize("lost", [1, 3])
def test_a_phone_that_loses_its_edges_has_others_before_it_would_have_dialled_again(lost: int) -> None:
    world = Finding()
    world.start()
    world.net.world.run(60_000_000)
    phone = world.core(world.phone)
    edges = [key.public for key in world.edges]
    for peer in [peer for peer in phone.peering.up if peer in edges][:lost]:
        world.net.world.crash(peer)
    world.net.world.run(3_000_000)
    assert world.neighbours(world.phone) == OF_PHONE
