"""The parts of `reach1` in a node: greeting, asking, believing, refusing, keeping, and taking no part."""

from __future__ import annotations

from typing import Any

import pytest
from chain_tools import GENESIS_TIME_MS, test_key
from reach_node import CHAIN_ID, PhoneNode, ReachNode, RootNode, address
from reach_samples import reach_messages, sample_record

from supervm.common.contract import core as c
from supervm.common.parts.events import PeerFault
from supervm.common.parts.reach.neighbours import ANCHOR_US, FEELER_US, GIVE_UP_US, IMPATIENT_US, PENDING_MAX
from supervm.common.parts.reach.own import CHANGE_US, LIFETIME_US, REFRESH_US, RESERVED
from supervm.common.parts.reach.part import ASK_IDLE_US, ASK_US
from supervm.common.parts.reach.tables import COUNTER, PROVEN
from supervm.common.parts.shell import wire_of
from supervm.common.storage.memory import MemoryStore
from supervm.common.testing.hand import HandDriver
from supervm.protocol.base.codec import encode
from supervm.protocol.base.keys import verify
from supervm.protocol.reach.record import NodeRecord, check_record
from supervm.protocol.wire.link import Heartbeat
from supervm.protocol.wire.reach import (
    BundleWant,
    Find,
    Found,
    FoundItem,
    Observed,
    PunchGo,
    RecordPut,
    Wanted,
)

NOW_US = (GENESIS_TIME_MS + 1_000) * 1_000
ME = test_key("me")
WORD = ("reach1",)


def id_of(number: int) -> bytes:
    return test_key(f"edge{number}").public


def record(number: int, **changes: Any) -> bytes:
    known: dict[str, Any] = {
        "chain_id": CHAIN_ID,
        "endpoints": (address(number),),
        "expires_ms": GENESIS_TIME_MS + 3 * 3_600_000,
    }
    return encode(sample_record(f"edge{number}", **known | changes))


class Hand:
    """A node in a test's hands."""

    def __init__(self, store: MemoryStore | None = None, *, node: type[ReachNode] = ReachNode) -> None:
        self.store = store or MemoryStore(node.declared_tables())
        core = node(ME, (address(100),), (), self.store)
        self.reach = core.reach
        self.node = HandDriver(core, self.store, now_us=NOW_US)
        self.node.step(c.Started())

    def up(self, number: int, *, dialled: bool = False, word: bool = True, say: bool = True) -> bytes:
        """Node `number` comes up, and says its record."""
        peer = id_of(number)
        self.node.up(peer, 3, features=WORD if word else (), address=address(number) if dialled else None)
        if say and word:
            self.node.receive(peer, RecordPut((record(number),)))
        return peer

    def wait(self, us: int) -> None:
        """Let time pass while everybody who is up gives signs of life."""
        end_us = self.node.now_us + us
        while self.node.now_us < end_us:
            self.node.wait(min(5_000_000, end_us - self.node.now_us))
            for peer in list(self.node.peers):
                self.node.receive(peer, Heartbeat(1, 0, self.node.now_us // 1_000, 0))

    def dials(self) -> list[bytes | None]:
        """Whom it has dialled since it was asked last."""
        self.node.wait(1)
        dials, self.node.dials = [dial.peer for dial in self.node.dials], []
        return dials

    def faults(self) -> list[str]:
        return [fault.code for fault in self.node.told(PeerFault)]

    def own_records(self, peer: bytes) -> list[NodeRecord]:
        return [
            check_record(raw, chain_id=CHAIN_ID, now_ms=self.node.now_us // 1_000, verify=verify)
            for put in self.node.take(RecordPut, peer)
            for raw in put.records
        ]

    def told(self, *numbers: int) -> None:
        """Somebody who was asked tells of others."""
        peer = next(iter(self.node.peers))
        (find,) = self.node.take(Find, peer)
        self.node.receive(peer, Found(find.number, tuple(FoundItem(record(number), 0, b"") for number in numbers)))


# --- greeting and asking ----------------------------------------------------------------------------------------------


def test_a_peer_with_the_word_is_greeted_and_asked() -> None:
    hand = Hand()
    assert wire_of(hand.node.core).features == WORD
    peer = hand.up(1)
    (own,) = hand.own_records(peer)
    assert (own.node_id, own.tier, own.endpoints, own.features) == (ME.public, 3, (address(100),), WORD)
    assert own.expires_ms == (NOW_US + LIFETIME_US) // 1_000
    assert hand.node.take(Find, peer) == [Find(1, (), Wanted(tiers=(3,)), 10)]


def test_a_peer_without_the_word_is_told_nothing() -> None:
    hand = Hand()
    peer = hand.up(1, word=False)
    hand.wait(300_000_000)
    kinds = {type(message).__name__ for message in hand.node.take(peer=peer)}
    assert kinds == {"Heartbeat"}


def test_somebody_is_asked_again_and_again_while_peers_are_missing_and_rarely_later() -> None:
    hand = Hand()
    for number in range(1, 4):
        hand.up(number)
    hand.node.take(Find)
    for number in range(1, 4):
        hand.node.receive(id_of(number), Found(number, ()))
    hand.wait(ASK_US)
    assert len(hand.node.take(Find)) == 1
    hand.wait(10 * ASK_US)
    assert len(hand.node.take(Find)) == 2, "not who still owes an answer"
    for number in range(4, 12):
        hand.up(number, dialled=True)
    hand.wait(60 * ASK_US)
    assert hand.reach.neighbours.missing == 0
    for peer in hand.node.peers:
        for find in hand.node.take(Find, peer):
            hand.node.receive(peer, Found(find.number, ()))
    hand.wait(ASK_IDLE_US)
    assert len(hand.node.take(Find)) == 1


def test_a_question_is_answered_from_what_is_known() -> None:
    hand = Hand()
    for number in (1, 2, 3):
        hand.up(number)
    hand.node.take()
    hand.node.receive(id_of(1), Find(77, (), Wanted(tiers=(3,)), 10))
    (found,) = hand.node.take(Found, id_of(1))
    assert found.number == 77
    assert {item.record for item in found.items} == {record(2), record(3)}


def test_where_neighbours_see_us_is_shown() -> None:
    hand = Hand()
    peer = hand.up(1)
    assert not hand.node.take(Observed), "a peer without an address is seen nowhere"
    hand.node.step(c.PeerUp(id_of(2), 3, WORD, 0, None, "20.9.8.7"))
    assert hand.node.take(Observed, id_of(2)) == [Observed("20.9.8.7:0")]
    hand.node.receive(peer, Observed("20.1.2.3:0"))
    hand.node.wait(1)
    told = {"nodes_known": 1, "neighbours": 1, "seen_at": ["20.1.2.3:0"]}
    assert hand.reach.info(NOW_US) == {**told, "directory": {"records": 1, "answered_here": 0, "asked_above": 0}}
    hand.node.down(peer)
    assert hand.reach.info(NOW_US)["seen_at"] == []


# --- believing --------------------------------------------------------------------------------------------------------

FAULTY: dict[str, Any] = {
    "of another network": (lambda: RecordPut((record(5, chain_id=bytes(32)),)), "bad-record"),
    "not signed": (lambda: RecordPut((record(5)[:-1] + b"\0",)), "bad-signature"),
    "no record": (lambda: RecordPut((b"x",)), "malformed"),
    "an answer to nothing": (lambda: Found(9, (FoundItem(record(5), 0, b""),)), "unasked"),
}


@pytest.mark.parametrize(("message", "code"), FAULTY.values(), ids=FAULTY)
def test_what_fails_a_check_is_blamed_and_changes_nothing(message: Any, code: str) -> None:
    hand = Hand()
    peer = hand.up(1)
    known = len(hand.reach.nodes)
    hand.node.receive(peer, message())
    assert hand.faults() == [code]
    assert len(hand.reach.nodes) == known


def test_a_record_that_has_ended_is_passed_over() -> None:
    hand = Hand()
    peer = hand.up(1)
    hand.node.receive(peer, RecordPut((record(5, expires_ms=NOW_US // 1_000), record(6))))
    assert hand.reach.nodes.get(id_of(5)) is None
    assert hand.reach.nodes.get(id_of(6)) is not None
    assert hand.faults() == []


def test_a_thousand_records_cost_their_sender_the_link() -> None:
    hand = Hand()
    peer = hand.up(1)
    sent = 0
    while not hand.node.holds and sent < 1_000:
        batch = tuple(record(1_000 + sent + place) for place in range(16))
        hand.node.receive(peer, RecordPut(batch))
        sent += 16
    assert sent < 300


# --- choosing ---------------------------------------------------------------------------------------------------------


def test_who_is_told_of_is_dialled_one_for_each_that_is_missing() -> None:
    hand = Hand()
    hand.up(1)
    hand.told(*range(2, 12))
    dials = hand.dials()
    assert len(dials) == len(set(dials)) == 8
    assert id_of(1) not in dials, "who dialled us is taken only if there is nobody else"


def test_one_more_is_dialled_each_half_second_until_somebody_is_there() -> None:
    hand = Hand()
    for number in range(1, 8):
        hand.up(number, dialled=True)
    hand.node.wait(1)
    assert hand.reach.neighbours.missing == 1
    hand.told(*range(11, 21))
    first = hand.dials()
    assert len(first) == 1
    for _ in range(PENDING_MAX + 2):
        hand.node.wait(IMPATIENT_US)
    assert len(hand.dials()) == PENDING_MAX - 1
    hand.node.wait(GIVE_UP_US)
    assert len(hand.dials()) >= 2, "those that never answered are given up"


def test_a_neighbour_that_goes_is_replaced_at_once() -> None:
    hand = Hand()
    hand.up(1)
    hand.told(*range(2, 12))
    for peer in hand.dials():
        assert peer is not None
        hand.node.up(peer, 3, features=WORD, address=hand.reach.neighbours.chosen[peer].endpoint)
    assert hand.reach.neighbours.missing == 0
    lost = next(iter(hand.reach.neighbours.chosen))
    hand.node.down(lost)
    (instead,) = hand.dials()
    assert instead is not None
    assert instead != lost
    failed = hand.reach.neighbours.chosen[instead].endpoint
    hand.node.step(c.DialFailed(failed, "connection refused"))
    (third,) = hand.dials()
    assert third not in (lost, instead)


def test_one_too_many_is_let_go() -> None:
    hand = Hand()
    for number in range(1, 8):
        hand.up(number, dialled=True)
    hand.node.wait(1)
    hand.told(*range(11, 21))
    one = hand.dials()
    hand.node.wait(IMPATIENT_US)
    both = [*one, *hand.dials()]
    assert len(both) == 2
    for peer in reversed(both):
        assert peer is not None
        hand.node.up(peer, 3, features=WORD, address=hand.reach.neighbours.chosen[peer].endpoint)
    assert hand.node.hung_up == {both[0]: "enough"}
    assert hand.reach.neighbours.missing == 0


def test_a_feeler_only_looks() -> None:
    hand = Hand()
    for number in range(1, 9):
        hand.up(number, dialled=True)
    hand.node.wait(1)
    peer = id_of(1)
    hand.node.receive(peer, RecordPut((record(50),)))
    assert hand.dials() == []
    for _ in range(2 * FEELER_US // 5_000_000):
        hand.wait(5_000_000)
        if hand.node.dials:
            break
    assert hand.dials() == [id_of(50)]
    hand.node.take()
    hand.node.up(id_of(50), 3, features=WORD, address=address(50))
    assert hand.node.hung_up == {id_of(50): "feeler"}
    assert PROVEN.get(hand.store, id_of(50)) is not None
    assert len(hand.reach.neighbours.chosen) == 8


def test_a_datacentre_keeps_records_and_answers_and_chooses_nobody() -> None:
    hand = Hand(node=RootNode)
    for number in (1, 2):
        hand.up(number)
    assert hand.dials() == []
    hand.wait(60_000_000)
    assert not hand.node.take(Find)
    hand.node.receive(id_of(1), Find(5, (), Wanted(), 10))
    assert [item.record for item in hand.node.take(Found, id_of(1))[0].items] == [record(2)]


# --- what is kept -----------------------------------------------------------------------------------------------------


def test_only_who_was_dialled_is_on_disk_and_comes_back_with_its_anchors() -> None:
    store = MemoryStore(ReachNode.declared_tables())
    hand = Hand(store)
    hand.up(1, dialled=True)
    hand.up(2)
    hand.node.receive(id_of(1), RecordPut((record(3),)))
    assert [row.node_id for row in PROVEN.rows(store)] == [id_of(1)]
    hand.wait(ANCHOR_US)
    row = PROVEN.get(store, id_of(1))
    assert row is not None
    assert (row.endpoint, row.anchor, row.record) == (address(1), 1, record(1))
    again = Hand(store)
    assert again.reach.nodes.get(id_of(1)).proven
    assert again.reach.nodes.get(id_of(2)) is None
    assert again.dials() == [id_of(1)]


def test_a_row_of_which_nobody_can_make_anything_is_deleted() -> None:
    store = MemoryStore(ReachNode.declared_tables())
    hand = Hand(store)
    hand.up(1, dialled=True)
    row = PROVEN.get(store, id_of(1))
    assert row is not None
    store.commit([PROVEN.put(type(row)(b"\x01" * 32, "not an address", 1, 0, 0, b"not a record"))])
    Hand(store)
    assert [row.node_id for row in PROVEN.rows(store)] == [id_of(1)]


def test_a_peer_that_says_something_new_all_the_time_costs_no_write_each_time() -> None:
    hand = Hand()
    peer = hand.up(1, dialled=True)
    writes: list[c.Persist] = []
    for number in range(1, 20):
        hand.node.wait(1_000_000)
        news = RecordPut((record(1, counter=GENESIS_TIME_MS + number, load_percent=number),))
        writes += [effect for effect in hand.node.receive(peer, news) if isinstance(effect, c.Persist)]
    assert hand.reach.nodes.get(peer).record.load_percent == 19
    assert writes == []


def test_counters_go_on_after_a_restart_even_if_the_clock_went_back() -> None:
    store = MemoryStore(ReachNode.declared_tables())
    hand = Hand(store)
    peer = hand.up(1)
    (first,) = hand.own_records(peer)
    assert first.counter == NOW_US // 1_000
    row = COUNTER.get(store, 0)
    assert row is not None
    assert row.reserved == first.counter + RESERVED
    again = Hand(store)
    again.node.now_us -= 600_000_000
    (second,) = again.own_records(again.up(1))
    assert second.counter > row.reserved


def test_a_record_leaves_only_when_its_counter_is_on_disk() -> None:
    store = MemoryStore(ReachNode.declared_tables())
    core = ReachNode(ME, (address(100),), (), store)
    node = HandDriver(core, store, now_us=NOW_US, disk_at_once=False)
    node.step(c.Started())
    node.up(id_of(1), 3, features=WORD)
    assert not node.take(RecordPut)
    node.disk()
    assert len(node.take(RecordPut)) == 1


def test_a_new_record_is_said_before_the_old_one_ends() -> None:
    hand = Hand()
    peer = hand.up(1)
    hand.own_records(peer)
    hand.wait(REFRESH_US)
    (new,) = hand.own_records(peer)
    assert new.counter == (NOW_US + REFRESH_US) // 1_000


def test_a_phone_says_little_and_names_the_edges_that_it_is_at() -> None:
    hand = Hand(node=PhoneNode)
    peer = hand.up(1, dialled=True)
    (own,) = hand.own_records(peer)
    assert (own.tier, own.endpoints, own.home_edges) == (4, (), ())
    hand.node.wait(1)
    hand.wait(2 * CHANGE_US)
    assert hand.own_records(peer)[-1].home_edges == (id_of(1),)
    hand.up(2, dialled=True)
    hand.node.down(peer)
    hand.wait(2 * CHANGE_US)
    assert hand.own_records(id_of(2))[-1].home_edges == (id_of(2),)


# --- taking no part ---------------------------------------------------------------------------------------------------


def test_an_abstaining_node_declines_what_it_is_asked() -> None:
    hand = Hand()
    peer = hand.up(1)
    hand.node.take()
    samples = reach_messages()
    hand.node.receive(peer, samples["PunchAsk"])
    (answer,) = hand.node.take(PunchGo, peer)
    assert (answer.number, answer.refusal, answer.endpoints) == (7, "abstains", ())
    hand.node.receive(peer, samples["BundleOffer"])
    assert hand.node.take(BundleWant, peer) == [BundleWant(())]
    assert hand.faults() == []


@pytest.mark.parametrize("name", ["PunchGo", "BundleWant", "BundleData", "BundleTaken", "RelayCount"])
def test_an_abstaining_node_refuses_what_it_never_asked_for(name: str) -> None:
    hand = Hand()
    peer = hand.up(1)
    hand.node.receive(peer, reach_messages()[name])
    assert hand.faults() == ["unasked"]
