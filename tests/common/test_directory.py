"""Looking for nodes up the four tiers: caches, one question for all who ask, what is not known, and lies."""

from __future__ import annotations

from typing import Any

import pytest
from chain_tools import GENESIS_TIME_MS, test_key
from reach_node import CHAIN_ID, HubNode, PhoneNode, ReachNode, RootNode
from reach_samples import phone_record, sample_record

from supervm.common.contract import core as c
from supervm.common.parts.directory.messages import FindNodes, ListPeers
from supervm.common.parts.directory.questions import ASK_US, UNKNOWN_US
from supervm.common.parts.directory.reporting import REPORT_US
from supervm.common.parts.directory.root import DIRECTORY
from supervm.common.parts.events import PeerFault
from supervm.common.storage.memory import MemoryStore
from supervm.common.testing.hand import HandDriver
from supervm.protocol.base.address import encode_node_id
from supervm.protocol.base.codec import encode
from supervm.protocol.reach.record import read_record
from supervm.protocol.wire.link import Heartbeat
from supervm.protocol.wire.reach import Find, Found, FoundItem, RecordPut, Wanted

NOW_US = (GENESIS_TIME_MS + 1_000) * 1_000
WORD = ("reach1",)
TIERS: dict[int, type[ReachNode]] = {1: RootNode, 2: HubNode, 3: ReachNode, 4: PhoneNode}


class Net:
    """Nodes by name, whose messages go to each other at once; the first letter says the tier."""

    def __init__(self, *names: str) -> None:
        self.stores = {name: MemoryStore(TIERS[int(name[0])].declared_tables()) for name in names}
        self.nodes: dict[str, HandDriver[ReachNode]] = {}
        self.finds: list[tuple[str, str, Find]] = []
        self.mute: set[str] = set()
        for name in names:
            self.start(name)

    def start(self, name: str, now_us: int = NOW_US) -> None:
        core = TIERS[int(name[0])](test_key(name), (), (), self.stores[name])
        self.nodes[name] = HandDriver(core, self.stores[name], now_us=now_us)
        self.nodes[name].step(c.Started())

    def join(self, *pairs: tuple[str, str]) -> None:
        for one, other in pairs:
            for name, peer in ((one, other), (other, one)):
                self.nodes[name].up(test_key(peer).public, int(peer[0]), features=WORD)
        self.carry()

    def part(self, one: str, other: str) -> None:
        self.nodes[one].down(test_key(other).public)
        self.nodes[other].down(test_key(one).public)
        self.carry()

    def carry(self) -> None:
        """Deliver everything that was sent, and what follows of it."""
        by_id = {test_key(name).public: name for name in self.nodes}
        moved = True
        while moved:
            moved = False
            for name, node in self.nodes.items():
                sent, node.sent = node.sent, []
                for to, message in sent:
                    if to not in by_id or isinstance(message, Heartbeat):
                        continue
                    moved = True
                    if isinstance(message, Find) and (message.nodes or message.wanted.tiers != (3,)):
                        self.finds.append((name, by_id[to], message))
                    if by_id[to] not in self.mute:
                        self.nodes[by_id[to]].receive(test_key(name).public, message)

    def wait(self, us: int) -> None:
        for step in range(0, us, 1_000_000):
            for node in self.nodes.values():
                node.wait(min(1_000_000, us - step))
                for peer in list(node.peers):
                    node.receive(peer, Heartbeat(1, 0, node.now_us // 1_000, 0))
            self.carry()

    def find(self, name: str, *nodes: str, **wanted: Any) -> list[str] | None:
        """The owner of a node looks for others; None: the answer is not there yet."""
        node = self.nodes[name]
        token = node.ask(FindNodes(nodes=tuple(encode_node_id(test_key(one).public) for one in nodes), **wanted))
        self.carry()
        return self.answer(name, token)

    def answer(self, name: str, token: int) -> list[str] | None:
        reply = self.nodes[name].replies.pop(token, None)
        names = {encode_node_id(test_key(one).public): one for one in [*self.nodes, "4gone"]}
        return None if reply is None else [names[document["node"]] for document in reply.value]

    def asked(self) -> list[tuple[str, str]]:
        asked, self.finds = [(one, other) for one, other, _ in self.finds], []
        return asked


@pytest.fixture
def net() -> Net:
    """Two phones at two edges at two miners at one validator."""
    net = Net("1v", "2a", "2b", "3a", "3b", "4a", "4b")
    net.join(("1v", "2a"), ("1v", "2b"), ("2a", "3a"), ("2b", "3b"), ("3a", "4a"), ("3b", "4b"))
    net.wait(4 * REPORT_US)
    net.finds.clear()
    return net


def test_records_of_phones_and_edges_come_up_to_the_root_and_name_the_edge(net: Net) -> None:
    known = {entry.node_id for entry in net.nodes["1v"].core.directory.table}
    assert known == {test_key(name).public for name in ("2a", "2b", "3a", "3b", "4a", "4b")}
    assert {entry.node_id for entry in net.nodes["2a"].core.directory.table} >= {
        test_key(name).public for name in ("1v", "3a", "4a")
    }
    token = net.nodes["4a"].ask(FindNodes(nodes=(encode_node_id(test_key("4b").public),)))
    net.carry()
    (document,) = net.nodes["4a"].replies[token].value
    assert (document["tier"], document["via"]) == (4, None), "a phone that has chosen no edge names none"
    token = net.nodes["3b"].ask(FindNodes(nodes=(encode_node_id(test_key("4b").public),)))
    assert net.nodes["3b"].replies[token].value[0]["node"] == encode_node_id(test_key("4b").public)


def test_a_node_is_looked_for_up_the_tiers_once_and_then_known_on_the_way(net: Net) -> None:
    assert net.find("4a", "4b") == ["4b"]
    assert net.asked() == [("4a", "3a"), ("3a", "2a"), ("2a", "1v")]
    assert net.find("4a", "4b") == ["4b"]
    assert net.find("3a", "4b") == ["4b"]
    assert net.asked() == []


def test_who_asks_at_the_same_time_shares_one_question(net: Net) -> None:
    net.mute = {"1v"}
    tokens = [net.nodes["4a"].ask(FindNodes(nodes=(encode_node_id(test_key("4b").public),))) for _ in range(5)]
    net.carry()
    asker = test_key("9").public
    net.nodes["3a"].up(asker, 4, features=WORD)
    net.nodes["3a"].receive(asker, Find(7, (test_key("4b").public,), Wanted(), 1))
    net.carry()
    assert net.asked() == [("4a", "3a"), ("3a", "2a"), ("2a", "1v")]
    net.mute = set()
    net.wait(2 * ASK_US)
    assert [net.answer("4a", token) for token in tokens] == [["4b"]] * 5


def test_what_nobody_knows_is_not_asked_for_again_for_a_while(net: Net) -> None:
    assert net.find("4a", "4gone") == []
    assert net.asked() == [("4a", "3a"), ("3a", "2a"), ("2a", "1v")]
    assert net.find("4a", "4gone") == []
    assert net.asked() == []
    net.wait(UNKNOWN_US)
    assert net.find("4a", "4gone") == []
    assert net.asked() == [("4a", "3a"), ("3a", "2a"), ("2a", "1v")]


def test_nodes_are_found_by_what_they_can_do(net: Net) -> None:
    assert net.find("4a", tiers=(2,)) is not None
    assert sorted(net.find("4a", tiers=(2,), limit=2) or []) == ["2a", "2b"]
    assert net.find("4a", tiers=(1,), limit=1) == ["1v"]
    assert net.find("4a", task=1, limit=1) == ["1v"]
    assert net.find("4a", region="nowhere") == []
    assert net.find("4a", cores_min=1) == []


def test_the_distance_of_a_node_is_that_of_who_answers_and_from_there_on() -> None:
    net = Net("2a", "3a")
    net.join(("2a", "3a"))
    net.mute = {"2a"}
    asker, far = net.nodes["3a"], sample_record("4gone", chain_id=CHAIN_ID)
    token = asker.ask(FindNodes(nodes=(encode_node_id(far.node_id),)))
    (question,) = [message for _, message in asker.sent if isinstance(message, Find)]
    asker.wait(30_000)
    asker.receive(test_key("2a").public, Found(question.number, (FoundItem(encode(far), 70, b""),)))
    assert asker.replies[token].value[0]["latency_ms"] == 100
    assert [row["node"] for row in asker.call(FindNodes(tiers=(3,), latency_ms_max=100, limit=1))] == [
        encode_node_id(far.node_id)
    ]


class Neighbourly(PhoneNode):
    """A phone that asks phones before edges."""

    ASK_PHONES = True


def test_a_phone_may_ask_a_phone_first_and_goes_on_with_what_that_does_not_know(net: Net) -> None:
    store = net.stores["4c"] = MemoryStore(Neighbourly.declared_tables())
    net.nodes["4c"] = HandDriver(Neighbourly(test_key("4c"), (), (), store), store, now_us=net.nodes["4a"].now_us)
    net.join(("3b", "4c"), ("4a", "4c"))
    net.finds.clear()
    assert net.find("4a", "2b") == ["2b"]
    assert net.asked() == [("4a", "3a"), ("3a", "2a"), ("2a", "1v")]
    assert net.find("4c", "2b") == ["2b"]
    assert net.asked() == [("4c", "4a")]
    assert net.find("4c", "1v", "3a") == ["1v", "3a"]
    assert net.asked() == [("4c", "4a"), ("4c", "3b"), ("3b", "2b")], "the other phone knows its own edge alone"
    assert net.find("4c", "4gone") == []
    assert net.asked() == [("4c", "4a"), ("4c", "3b"), ("3b", "2b"), ("2b", "1v")]
    net.part("3b", "4c")
    assert net.find("4c", "4d") == []
    assert net.asked() == [("4c", "4a")]


def test_a_question_is_never_put_to_a_tier_beside_or_below(net: Net) -> None:
    net.join(("3a", "3b"))
    net.part("3a", "2a")
    net.finds.clear()
    assert net.find("3a", "4gone") == []
    assert net.find("1v", "4gone") == []
    assert net.asked() == []


def test_a_silent_node_above_costs_a_second_and_then_what_is_known_has_to_do(net: Net) -> None:
    net.mute = {"2a"}
    token = net.nodes["3a"].ask(FindNodes(nodes=tuple(encode_node_id(test_key(n).public) for n in ("4a", "4gone"))))
    net.carry()
    assert net.answer("3a", token) is None
    net.wait(3 * ASK_US)
    assert net.answer("3a", token) == ["4a"]


def test_what_was_asked_of_a_node_that_goes_is_put_to_another_one(net: Net) -> None:
    net.join(("3a", "2b"))
    net.mute = {"2a", "2b"}
    token = net.nodes["3a"].ask(FindNodes(nodes=(encode_node_id(test_key("4b").public),)))
    net.carry()
    ((_, first),) = [pair for pair in net.asked() if pair[0] == "3a"]
    net.mute = set()
    net.part("3a", first)
    assert net.answer("3a", token) == ["4b"]


def test_every_validator_is_a_root_also_one_that_comes_later() -> None:
    net = Net("1u", "1v", "2a", "3a", "4a")
    net.join(("1v", "2a"), ("2a", "3a"), ("3a", "4a"))
    net.wait(4 * REPORT_US)
    net.join(("1u", "2a"))
    net.wait(2 * REPORT_US)
    for name in ("1u", "1v"):
        known = {entry.node_id for entry in net.nodes[name].core.directory.table}
        assert known == {test_key(below).public for below in ("2a", "3a", "4a")}, name


def test_of_two_validators_the_one_that_answers_sooner_is_asked() -> None:
    net = Net("1u", "1v", "2a")
    net.join(("1u", "2a"), ("1v", "2a"))
    net.mute = {"1u", "1v"}
    asker = net.nodes["2a"]
    for number in range(12):
        asker.ask(FindNodes(nodes=(encode_node_id(test_key(f"4{number}").public),)))
        (question,) = [(to, message) for to, message in asker.sent if isinstance(message, Find)]
        asker.sent.clear()
        asker.wait(300_000 if question[0] == test_key("1u").public else 20_000)
        asker.receive(question[0], Found(question[1].number, ()))
        if number > 1:
            assert question[0] == test_key("1v").public


def test_the_root_knows_after_a_restart_what_it_was_told(net: Net) -> None:
    assert DIRECTORY.get(net.stores["1v"], test_key("4b").public) is not None
    now_us = net.nodes["1v"].now_us
    net.start("1v", now_us)
    assert net.find("1v", "4b") == ["4b"]
    net.start("1v", now_us + 80 * 3_600_000_000)
    assert DIRECTORY.get(net.stores["1v"], test_key("4b").public) is None


def test_a_node_that_says_something_all_the_time_is_written_down_rarely() -> None:
    net = Net("1v")
    node, peer = net.nodes["1v"], test_key("2a").public
    node.up(peer, 2, features=WORD)
    writes = 0
    for number in range(50):
        made = sample_record("2a", chain_id=CHAIN_ID, tier=2, counter=GENESIS_TIME_MS + number, load_percent=number)
        before = DIRECTORY.get(node.store, peer)
        node.receive(peer, RecordPut((encode(made),)))
        writes += DIRECTORY.get(node.store, peer) != before
    assert writes == 1


LIES: dict[str, Any] = {
    "another node than was asked for": lambda find: Found(find.number, (item("3z"),)),
    "a record with a wrong signature": lambda find: Found(
        find.number, (FoundItem(encode(sample_record("4gone", chain_id=CHAIN_ID))[:-1] + b"x", 0, b""),)
    ),
    "no question": lambda find: Found(find.number + 1, ()),
}


def item(name: str) -> FoundItem:
    made = (phone_record if name[0] == "4" else sample_record)(name, chain_id=CHAIN_ID)
    return FoundItem(encode(made), 0, b"")


@pytest.mark.parametrize("lie", LIES)
def test_an_answer_that_is_a_lie_is_blamed_and_changes_nothing(lie: str) -> None:
    net = Net("3a")
    node, above = net.nodes["3a"], test_key("2a").public
    node.up(above, 2, features=WORD)
    node.take()
    node.ask(FindNodes(nodes=(encode_node_id(test_key("4gone").public),)))
    (find,) = node.take(Find, above)
    node.receive(above, LIES[lie](find))
    assert len(node.told(PeerFault)) == 1
    assert node.core.directory.table.peek(test_key("4gone").public) is None


def test_the_owner_sees_who_is_connected(net: Net) -> None:
    peers: list[dict[str, Any]] = net.nodes["3a"].call(ListPeers())
    assert {peer["tier"] for peer in peers} == {2, 4}
    assert all(peer["record"] is not None for peer in peers)
    token = net.nodes["3a"].ask(FindNodes(nodes=("svmnode1nonsense",)))
    assert "no node id" in (net.nodes["3a"].replies[token].error or "")


def test_answers_are_no_more_than_was_asked_for_and_never_who_asks(net: Net) -> None:
    edge, phone = net.nodes["3a"], test_key("4a").public
    edge.receive(phone, Find(5, (), Wanted(tiers=(2, 3, 4)), 3))
    net.nodes["3a"].wait(3 * ASK_US)
    (found,) = edge.take(Found, phone)
    assert len(found.items) <= 3
    assert phone not in {read_record(item.record).node_id for item in found.items}
