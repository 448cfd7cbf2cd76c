"""Nodes on the same LAN: what the part does about who is found there, and what is said and heard of whom."""

from __future__ import annotations

import random

import msgspec
import pytest
from chain_tools import GENESIS_TIME_MS, test_key
from hypothesis import given
from hypothesis import strategies as st
from reach_node import CHAIN_ID, RATE, About

from supervm.common.contract import core as c
from supervm.common.contract.core import PeerUp
from supervm.common.contract.options import OptionValue
from supervm.common.parts.costs import CLASSES
from supervm.common.parts.manners import Budget, Rank
from supervm.common.parts.part import Part
from supervm.common.parts.reach.finders import FINDERS, finders
from supervm.common.parts.reach.lan import (
    DIALS_MAX,
    GIVE_UP_US,
    LINKS_MAX,
    RETRY_US,
    RETRY_US_MAX,
    LanPeers,
    is_on_lan,
    lan_parts,
)
from supervm.common.parts.reach.lan_found import NODES_MAX, LanFound, LanNode
from supervm.common.parts.reach.own import OwnNode
from supervm.common.parts.shell import Clock, Shell
from supervm.common.services.lan.words import announced, chain_word, instance_name, read_node, words_of
from supervm.common.storage.memory import MemoryStore
from supervm.common.testing.hand import HandDriver
from supervm.protocol.base.keys import verify

NOW_US = (GENESIS_TIME_MS + 1_000) * 1_000


class LanEdge(Shell):
    """An edge that does nothing but look at its LAN."""

    PARTS = (LanPeers,)
    TIER = 3
    INFO = About

    def __init__(self, store: MemoryStore, values: dict[str, OptionValue]) -> None:
        budget = Budget(dict.fromkeys(CLASSES, RATE))
        super().__init__(
            targets=(), rng=random.Random(1), budgets=dict.fromkeys(Rank, budget), reader=store, values=values
        )
        self.node_id, self.chain_id = test_key("me").public, CHAIN_ID
        self.compose([Clock(self.clock, lambda: (0, 0)), self.links, *self.finders(), *lan_parts(self)])

    def finders(self) -> tuple[Part, ...]:
        return ()

    @property
    def height(self) -> int:
        return 0

    def rank(self, event: PeerUp) -> Rank:
        return Rank.STRANGER


class LanPhone(LanEdge):
    TIER = 4


class Hand:
    """A node in a test's hands."""

    def __init__(self, kind: type[LanEdge] = LanPhone, *, lan: bool = True) -> None:
        store = MemoryStore(kind.declared_tables())
        self.node = HandDriver(kind(store, {"lan": lan}), store, now_us=NOW_US)

    def found(self, *nodes: LanNode) -> None:
        self.node.call(LanFound(nodes))
        self.node.wait(0)

    def dials(self) -> list[str]:
        """Whom it has dialled since it was asked last."""
        dials, self.node.dials = [dial.address for dial in self.node.dials], []
        return dials

    def wait(self, us: int) -> list[str]:
        self.node.wait(us)
        return self.dials()

    def info(self) -> tuple[int, int]:
        told = self.node.call(About())
        return told["lan_found"], told["lan_up"]


def at(number: int, tier: int = 3) -> LanNode:
    return LanNode(tier, (address(number),))


def address(number: int) -> str:
    return f"192.168.1.{number}:4301"


def peer(number: int) -> bytes:
    return test_key(f"peer{number}").public


def test_who_is_found_is_dialled_a_few_at_a_time_and_whoever_answers_is_a_peer() -> None:
    hand = Hand()
    hand.found(*(at(number) for number in range(1, 6)))
    assert hand.dials() == [address(1), address(2)]
    assert DIALS_MAX == 2
    hand.node.up(peer(1), 3, address=address(1))
    assert hand.wait(0) == [address(3)]
    hand.node.step(c.DialFailed(address(2), "nobody"))
    assert hand.wait(0) == [address(4)]
    assert hand.info() == (5, 1)


def test_an_address_that_fails_is_left_alone_twice_as_long_each_time() -> None:
    hand = Hand()
    hand.found(at(1))
    waits = []
    for _ in range(9):
        assert hand.dials() == [address(1)]
        hand.node.step(c.DialFailed(address(1), "nobody"))
        failed_us = hand.node.now_us
        while not hand.node.dials:
            hand.node.wait(RETRY_US)
        waits.append(hand.node.now_us - failed_us)
    assert waits[:4] == [RETRY_US, 2 * RETRY_US, 4 * RETRY_US, 8 * RETRY_US]
    assert waits[-1] == RETRY_US_MAX


def test_a_dial_of_which_nothing_is_heard_makes_room_for_others() -> None:
    hand = Hand()
    hand.found(at(1), at(2), at(3))
    assert hand.dials() == [address(1), address(2)]
    assert hand.wait(GIVE_UP_US) == [address(3)]


def test_a_lan_full_of_announcements_gets_so_many_links_and_no_more() -> None:
    hand = Hand()
    hand.found(*(at(number) for number in range(1, NODES_MAX + 1)))
    for number in range(1, LINKS_MAX + 1):
        hand.node.up(peer(number), 3, address=address(number))
        hand.node.wait(0)
    hand.dials()
    assert hand.wait(GIVE_UP_US) == []
    assert hand.info() == (NODES_MAX, LINKS_MAX)
    hand.node.down(peer(1))
    assert len(hand.wait(2_000_000)) == 1
    too_many = {"request": "lan_found", "nodes": [{"tier": 3, "addresses": []}] * (NODES_MAX + 1)}
    with pytest.raises(msgspec.ValidationError, match="length <= 64"):
        msgspec.convert(too_many, LanFound)


def test_a_link_that_ends_is_dialled_again_as_long_as_the_node_is_there() -> None:
    hand = Hand()
    hand.found(at(1))
    hand.node.up(peer(1), 3, address=address(1))
    hand.dials()
    hand.node.down(peer(1))
    assert hand.wait(2_000_000) == [address(1)]
    hand.node.up(peer(1), 3, address=address(1))
    hand.found()
    hand.node.down(peer(1))
    assert hand.wait(60_000_000) == []


def test_who_is_a_peer_already_is_not_dialled_again() -> None:
    """It dialled us, or the link that was there was kept: the driver says who answered."""
    hand = Hand()
    hand.node.up(peer(1), 3)
    hand.found(at(1))
    assert hand.dials() == [address(1)]
    hand.node.step(c.DialFailed(address(1), "the other link is kept", peer(1)))
    assert hand.wait(GIVE_UP_US) == []
    assert hand.info() == (1, 1)


def test_a_peer_that_goes_on_over_the_lan_counts_as_one_of_it() -> None:
    hand = Hand()
    hand.node.up(peer(1), 3, address="20.1.2.3:4301")
    hand.found(at(1))
    hand.node.step(c.PeerMoved(peer(1), address(1)))
    assert hand.info() == (1, 1)


class Finder(LanEdge):
    PARTS = (LanPeers, *FINDERS[4])

    def finders(self) -> tuple[Part, ...]:
        own = OwnNode(test_key("me"))
        return finders(self, own, verify, random.Random(2))


class PhoneFinder(Finder):
    TIER = 4


@pytest.mark.parametrize(("kind", "tiers"), [(LanEdge, []), (LanPhone, [3]), (Finder, [3]), (PhoneFinder, [3, 4])])
def test_phones_dial_edges_and_who_finds_its_peers_dials_its_own_tier_too(
    kind: type[LanEdge], tiers: list[int]
) -> None:
    hand, dialled = Hand(kind), []
    for tier in (1, 2, 3, 4):
        hand.found(at(tier, tier))
        dialled += hand.dials()
    assert dialled == [address(tier) for tier in tiers]


def test_a_node_whose_owner_wants_no_lan_refuses_to_hear_of_it_and_dials_nobody() -> None:
    hand = Hand(lan=False)
    token = hand.node.ask(LanFound((at(1),)))
    assert "takes no request LanFound" in (hand.node.replies[token].error or "")
    assert hand.wait(60_000_000) == []
    assert LanEdge.declared_options()["lan"].default is False


@pytest.mark.parametrize(
    ("text", "is_there"),
    [
        ("192.168.1.2:4301", True),
        ("169.254.1.2:4301", True),
        ("127.0.0.1:4301", True),
        ("[fd00::1]:4301", True),
        ("[fe80::1%eth0]:4301", True),
        ("[fe80::1]:4301", False),  # of which interface?
        ("fe80::1%eth0:4301", False),
        ("[192.168.1.2]:4301", False),
        ("224.0.0.251:5353", False),
        ("0.0.0.0:4301", False),
        ("[ff02::fb]:5353", False),
        ("printer.local:80", False),
        ("192.168.1.2:0", False),
        ("192.168.1.2:65536", False),
        ("192.168.1.2", False),
        ("tcp:192.168.1.2:80", False),
        ("", False),
    ],
)
def test_an_address_of_a_lan_is_an_ip_address_of_one_node_and_a_port(text: str, is_there: bool) -> None:
    assert is_on_lan(text) is is_there


# --- words ------------------------------------------------------------------------------------------------------------


def test_nothing_on_the_air_is_the_nodes_own_but_its_address() -> None:
    """The name is another one for each network, day and start; the words are the same for all nodes of a tier."""
    names = {
        instance_name(secret, chain, day)
        for secret in (b"a" * 32, b"b" * 32)
        for chain in (CHAIN_ID, b"d" * 32)
        for day in (20_000, 20_001)
    }
    assert len(names) == 8
    assert all(len(name) == 16 for name in names)
    assert words_of(CHAIN_ID, 4) == {b"c": chain_word(CHAIN_ID), b"t": b"4"}
    assert len(chain_word(CHAIN_ID)) == 8


def test_a_node_of_our_network_is_read_and_others_are_passed_over() -> None:
    words = words_of(CHAIN_ID, 3)
    hosts = ["192.168.1.5", "fe80::1", "fe80::1%2", "fd00::5", "192.168.1.5"]
    assert read_node(words, hosts, 4301, CHAIN_ID) == LanNode(
        3, ("192.168.1.5:4301", "[fe80::1%2]:4301", "[fd00::5]:4301")
    )
    assert read_node(words, hosts, 4301, b"d" * 32) is None
    assert read_node({**words, b"t": b"9"}, hosts, 4301, CHAIN_ID) is None
    assert read_node(words, ["fe80::1"], 4301, CHAIN_ID) is None
    assert read_node(words, hosts, None, CHAIN_ID) is None


@given(st.dictionaries(st.binary(max_size=3), st.none() | st.binary(max_size=9)), st.lists(st.text(max_size=9)))
def test_any_words_of_strangers_harm_nothing(words: dict[bytes, bytes | None], hosts: list[str]) -> None:
    known = {b"c": chain_word(CHAIN_ID), b"t": b"3"}
    found = read_node({**known, **words}, hosts, 1, CHAIN_ID)
    assert found is None or len(found.addresses) <= 8


OWN = ("10.0.0.7", "127.0.0.1", "169.254.3.4", "::1", "fd00::7", "fe80::7")


@pytest.mark.parametrize(
    ("listens", "port", "hosts"),
    [
        (["0.0.0.0:4301"], 4301, ("10.0.0.7", "169.254.3.4")),
        (["[::]:4301"], 4301, ("fd00::7", "fe80::7")),
        (["10.0.0.7:9"], 9, ("10.0.0.7",)),
        (["127.0.0.1:9"], 9, ("127.0.0.1",)),
        (["serial:/dev/ttyUSB0", "[fd00::7]:9"], 9, ("fd00::7",)),
        (["serial:/dev/ttyUSB0"], None, ()),
        ([], None, ()),
    ],
)
def test_a_node_is_announced_where_it_listens(listens: list[str], port: int | None, hosts: tuple[str, ...]) -> None:
    assert announced(listens, OWN) == (port, hosts)
