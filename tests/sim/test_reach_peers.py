"""Nodes find their peers from one address, replace lost ones in three seconds, and nobody surrounds them."""

from __future__ import annotations

from typing import Any

import pytest
from chain_tools import test_key
from reach_node import CHAIN_ID, PhoneNode, ReachNode, address
from reach_samples import sample_record
from reach_world import SECOND_US, START_US, ReachWorld

from supervm.common.contract.core import PeerUp
from supervm.common.parts.reach.known import BUCKET_NODES, UNPROVEN_OF_SOURCE
from supervm.common.parts.reach.neighbours import Neighbours
from supervm.common.parts.reach.spots import spot_of
from supervm.common.parts.reach.tables import PROVEN
from supervm.protocol.base.codec import encode
from supervm.protocol.wire.reach import RECORDS_MAX, RecordPut

EDGES, COUNT, OF_PHONE = 24, 8, 4


def region(edges: int = EDGES, seed: int = 1) -> ReachWorld:
    """Edges that all know the first one's address and nothing else."""
    world = ReachWorld(seed)
    world.add("e0", address(0))
    for number in range(1, edges):
        world.add(f"e{number}", address(number), address(0))
    return world


def groups(world: ReachWorld, name: str) -> list[str]:
    return [item.group for item in world.core(name).reach.neighbours.chosen.values()]


def proven_rows(world: ReachWorld, name: str) -> list[Any]:
    return list(PROVEN.rows(world.world.host(test_key(name).public).disk))


def test_from_one_address_every_node_finds_its_peers() -> None:
    world = region()
    for number in range(3):
        world.add(f"p{number}", f"203.0.113.{number + 1}:7004", address(0), node=PhoneNode)
    world.start()
    world.run(2)
    for name in world.names:
        chosen = world.chosen(name)
        assert len(chosen) == (OF_PHONE if name.startswith("p") else COUNT), name
        assert len(set(groups(world, name))) == len(groups(world, name))
        assert test_key(name).public not in chosen
        assert {world.world.host(peer).tier for peer in chosen} == {3}
    world.add("late", address(EDGES), address(5))
    world.start("late")
    world.run(3)
    assert len(world.chosen("late")) == COUNT


def test_the_network_holds_together_without_the_first_address() -> None:
    world = region()
    world.start()
    world.run(30)
    world.world.crash(test_key("e0").public)
    world.run(5)
    assert all(len(world.chosen(name)) == COUNT for name in world.names[1:])


def test_a_lost_neighbour_is_replaced_within_three_seconds() -> None:
    """Also when a third of all nodes goes at once, so that much of what is known is out of date."""
    world = region()
    world.start()
    world.run(60)
    gone = [f"e{number}" for number in range(1, EDGES, 3)]
    left = [name for name in world.names if name not in gone]
    lost = {test_key(name).public for name in gone}
    assert all(lost & {*world.chosen(name)} for name in left), "everybody loses somebody"
    for name in gone:
        world.world.crash(test_key(name).public)
    world.run(3)
    for name in left:
        assert len(world.chosen(name)) == COUNT, name
        assert not lost & {*world.chosen(name)}


def test_a_neighbour_that_falls_silent_is_replaced_within_three_seconds_of_notice() -> None:
    world = region()
    world.start()
    world.run(60)
    silent = world.chosen("e1")[0]
    others = [test_key(name).public for name in world.names if test_key(name).public != silent]
    world.world.cut([silent], others)
    core = world.core("e1")
    assert world.world.run(60 * SECOND_US, until=lambda: silent not in core.peering.up)
    world.run(3)
    assert len(world.chosen("e1")) == COUNT
    assert silent not in world.chosen("e1")


def test_after_a_restart_the_oldest_peers_come_first_and_only_proven_ones_are_on_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = region()
    world.start()
    world.run(900)
    oldest = world.core("e1").reach.neighbours.oldest(world.world.now_us)
    rows = proven_rows(world, "e1")
    assert [row.node_id for row in rows if row.anchor] == sorted(oldest)
    assert {row.node_id for row in rows} == {known.node_id for known in world.core("e1").reach.nodes if known.proven}
    assert len(oldest) == 2 <= len(rows) < EDGES - 1, "whom nobody dialled is not on disk"
    world.world.crash(test_key("e1").public)
    world.world.crash(test_key("e0").public)  # nobody to ask
    dialled: list[bytes] = []
    choose = Neighbours._choose
    monkeypatch.setattr(
        Neighbours,
        "_choose",
        lambda self, now_us, known, **how: (dialled.append(known.node_id), choose(self, now_us, known, **how))[1],
    )
    world.start("e1")
    world.world.run(1_000)
    assert sorted(dialled[:2]) == sorted(oldest)
    world.run(3)
    assert len(world.chosen("e1")) == COUNT


def test_feelers_find_out_who_else_is_there() -> None:
    world = region()
    world.start()
    world.run(60)
    before = len(proven_rows(world, "e2"))
    world.run(1_800)
    assert len(proven_rows(world, "e2")) > before + 5
    assert len(world.chosen("e2")) == COUNT


def test_the_same_seed_gives_the_same_run() -> None:
    def digest(seed: int) -> bytes:
        world = region(12, seed)
        world.start()
        world.run(200)
        return world.world.digest

    assert digest(5) == digest(5)


# --- an attacker ------------------------------------------------------------------------------------------------------

RECORDS = 1_000
NETWORKS = 4
ANSWERING = 24
"""Nodes of the attacker that really are there, so many in each of its networks that they are a tenth of each."""


def sybil(number: int) -> tuple[str, str]:
    """Name and address of one of the attacker's nodes, which are all in a few networks."""
    return f"sybil{number}", f"{200 + number % NETWORKS}.7.{number // 200}.{1 + number % 200}:7003"


def made_up(number: int) -> bytes:
    """A record of the attacker: its nodes are there, all others are in networks that it does not have."""
    name, place = sybil(number)
    if number >= ANSWERING:
        place = f"{60 + number // 200}.{number % 200}.0.1:7003"
    return encode(
        sample_record(
            name,
            chain_id=CHAIN_ID,
            endpoints=(place,),
            counter=START_US // 1_000,
            expires_ms=START_US // 1_000 + 7_200_000,
        )
    )


class Liar(ReachNode):
    """A node that tells whoever comes of a thousand others, again and again."""

    FLOOD = tuple(made_up(number) for number in range(RECORDS))

    def _peer_up(self, now_us: int, event: PeerUp) -> None:
        super()._peer_up(now_us, event)
        for first in range(0, RECORDS, RECORDS_MAX):
            self.outbox.send(event.peer, RecordPut(self.FLOOD[first : first + RECORDS_MAX]))


def under_attack() -> ReachWorld:
    """Three of the attacker's nodes, each in a network of its own, are at the victim before anybody else is."""
    world = region(20)
    world.add("victim", address(150), address(0))
    for number in range(ANSWERING):
        name, place = sybil(number)
        node = Liar if number < 3 else ReachNode
        world.add(name, place, *([address(150)] if number < 3 else []), node=node)
    return world


OF_THE_ATTACKER = frozenset(test_key(sybil(number)[0]).public for number in range(RECORDS))


def honest(world: ReachWorld) -> int:
    return len({*world.chosen("victim")} - OF_THE_ATTACKER)


def test_a_thousand_records_do_not_surround_a_node() -> None:
    """What an attacker gets is one place for each network that it has; and a restart gives it no more."""
    world = under_attack()
    liars = [sybil(number)[0] for number in range(ANSWERING)]
    world.start("victim", *liars)
    world.run(120)
    assert honest(world) == 0, "the first on the place has it, while there is nobody else"
    assert len(world.chosen("victim")) <= NETWORKS
    world.start(*(name for name in world.names if name.startswith("e")))
    world.run(400)
    assert len(world.chosen("victim")) == COUNT
    assert honest(world) >= COUNT - NETWORKS
    told = [known for known in world.core("victim").reach.nodes if known.node_id in OF_THE_ATTACKER]
    sources = len({known.source for known in told})
    assert len(told) <= sources * UNPROVEN_OF_SOURCE * BUCKET_NODES
    for _ in range(2):
        world.world.crash(test_key("victim").public)
        world.run(5)
        world.start("victim")
        world.run(120)
        assert len(world.chosen("victim")) == COUNT
        assert honest(world) >= COUNT - NETWORKS
        networks = [spot_of(item.endpoint) for item in world.core("victim").reach.neighbours.chosen.values()]
        assert len({spot.group for spot in networks if spot is not None}) == len(networks)


def test_a_node_that_has_peers_does_not_lose_them_to_a_thousand_records() -> None:
    world = under_attack()
    world.start("victim", *(name for name in world.names if name.startswith("e")))
    world.run(120)
    before = world.chosen("victim")
    world.start(*(sybil(number)[0] for number in range(ANSWERING)))
    world.run(900)
    assert world.chosen("victim") == before
    assert honest(world) == COUNT
