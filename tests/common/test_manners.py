"""`Manners` and its buckets by table and by Hypothesis: what a peer may cost, when it is held, blamed, banned."""

from __future__ import annotations

import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervm.common.contract.core import HangUp, Hold, Outbox, PeerDown, PeerUp, Publish
from supervm.common.parts.buckets import DEBT_US_MAX, Bucket, Rate
from supervm.common.parts.costs import CLASSES, COSTS
from supervm.common.parts.manners import (
    BAN_US_MAX,
    BAN_US_MIN,
    FORGIVE_BAN_US,
    KEYS_BANNED,
    REMEMBERED_MAX,
    Budget,
    Manners,
    Rank,
    charged,
)
from supervm.common.parts.sources import source_of
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.wire.chain import GetBlocks
from supervm.protocol.wire.consensus import VoteMessage
from supervm.protocol.wire.link import Heartbeat
from supervm.protocol.wire.messages import AnyMessage

SECOND = 1_000_000
A, B, C = b"a" * 32, b"b" * 32, b"c" * 32
ASK = charged(GetBlocks(1))[1]
"""What one question for blocks costs."""
VOTES = VoteMessage(())
VOTE = charged(VOTES)[1]
BUDGETS = {
    Rank.MEMBER: Budget({"history": Rate(100 * ASK, 100 * ASK), "consensus": Rate(100 * VOTE, 100 * VOTE)}),
    Rank.NAMED: Budget({"history": Rate(10 * ASK, 10 * ASK), "consensus": Rate(10 * VOTE, 10 * VOTE)}),
    Rank.STRANGER: Budget({"history": Rate(2 * ASK, 4 * ASK)}, together=Rate(3 * ASK, 6 * ASK), peers_max=3),
}


class Bench:
    """Manners with an outbox, at a time."""

    def __init__(self, **options: Any) -> None:
        self.outbox = Outbox()
        self.manners = Manners(self.outbox, BUDGETS, **options)
        self.now_us = SECOND

    def up(self, peer: bytes, rank: Rank = Rank.STRANGER, remote: str = "192.0.2.1") -> bool:
        return self.manners.peer_up(self.now_us, PeerUp(peer, 1, (), 0, None, remote), rank)

    def down(self, peer: bytes, code: str = "", penalty: int = 0) -> None:
        self.manners.peer_down(self.now_us, PeerDown(peer, "gone", code, penalty))

    def ask(self, peer: bytes, times: int = 1) -> list[bool]:
        return [self.manners.admit(self.now_us, peer, GetBlocks(1)) for _ in range(times)]

    def vote(self, peer: bytes, times: int = 1) -> list[bool]:
        return [self.manners.admit(self.now_us, peer, VOTES) for _ in range(times)]

    def fault(self, peer: bytes, penalty: int, code: str = "malformed") -> bool:
        return self.manners.blame(self.now_us, peer, RemoteProtocolError("it is wrong", penalty=penalty, code=code))

    def effects(self, kind: type) -> list[Any]:
        return [effect for effect in self.outbox.drain() if isinstance(effect, kind)]


# --- buckets --------------------------------------------------------------------------------------------------------


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = Bucket(Rate(10, 25), 0)
    assert bucket.take(0, 100) == 25
    assert bucket.take(99_999, 1) == 0
    assert bucket.take(100_000, 9) == 1
    assert bucket.take(10**12, 100) == 25
    assert bucket.take(10**12 + SECOND, 5, each=4) == 2


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 50)), max_size=40))
def test_no_pattern_of_requests_gets_more_than_burst_plus_rate(steps: list[tuple[int, int]]) -> None:
    bucket, now_us, granted = Bucket(Rate(7, 20), 0), 0, 0
    for wait_us, count in steps:
        now_us += wait_us
        granted += bucket.take(now_us, count)
    assert granted <= 20 + 7 * now_us / SECOND


@given(st.lists(st.tuples(st.integers(0, 3 * 10**6), st.integers(1, 40)), max_size=60))
def test_whoever_waits_for_its_debt_costs_no_more_than_two_bursts_and_the_rate(steps: list[tuple[int, int]]) -> None:
    """Charges are never refused, but a sender that is held until `ready_us` stays within its budget all the same."""
    rate = Rate(7, 40)
    bucket, now_us, charged_units = Bucket(rate, 0), 0, 0
    for wait_us, units in steps:
        now_us = max(now_us + wait_us, bucket.ready_us(now_us))
        assert not bucket.is_short(now_us)
        charged_units += units
        within = bucket.charge(now_us, units)
        assert within == (not bucket.is_short(now_us))
        assert bucket.ready_us(now_us) <= now_us + DEBT_US_MAX + 1
    assert charged_units <= 2 * rate.burst + 40 + rate.per_s * now_us / SECOND + 1


def test_a_debt_is_bounded_and_a_refund_does_not_overflow() -> None:
    bucket = Bucket(Rate(1, 1), 0)
    bucket.charge(0, 10**9)
    assert bucket.ready_us(0) == DEBT_US_MAX
    bucket.refund(10**9)
    assert bucket.take(0, 10) == 1


# --- costs ----------------------------------------------------------------------------------------------------------


def test_every_message_has_a_cost_and_no_other_has() -> None:
    assert set(COSTS) == set(typing.get_args(AnyMessage))
    assert {cost.cost_class for cost in COSTS.values()} <= set(CLASSES)
    assert all(cost.message > 0 for cost in COSTS.values())


# --- budgets --------------------------------------------------------------------------------------------------------


def test_a_peer_beyond_its_budget_is_held_until_it_owes_nothing_and_nothing_is_lost() -> None:
    bench = Bench()
    assert bench.up(A, Rank.NAMED)
    assert bench.vote(A, 10) == [True] * 10
    assert bench.effects(Hold) == []
    assert bench.vote(A) == [True], "what has come is taken, and paid for later"
    assert bench.effects(Hold) == [Hold(A, SECOND + SECOND // 10)]
    bench.now_us += SECOND // 10
    assert bench.vote(A) == [True]
    assert bench.effects(Hold) == [Hold(A, bench.now_us + SECOND // 10)]


def test_whoever_comes_back_owing_is_read_when_it_has_paid() -> None:
    """It was read one message for each connection: reconnecting was cheaper than waiting."""
    bench = Bench()
    bench.up(A, Rank.NAMED)
    bench.vote(A, 15)
    [*_, held] = bench.effects(Hold)
    bench.down(A)
    bench.effects(Hold)
    bench.up(A, Rank.NAMED)
    assert bench.effects(Hold) == [held]
    bench.now_us = held.until_us
    bench.down(A)
    bench.up(A, Rank.NAMED)
    assert bench.effects(Hold) == []


def test_questions_for_history_wait_one_of_a_kind_while_the_rest_goes_on() -> None:
    bench = Bench()
    bench.up(A, Rank.NAMED)
    assert bench.ask(A, 30) == [True] * 11 + [False] * 19
    assert bench.vote(A, 5) == [True] * 5
    assert bench.effects(Hold) == []
    assert bench.manners.due(bench.now_us) == []
    assert bench.manners.deadline_us == bench.now_us + SECOND // 10
    bench.now_us += SECOND // 10
    assert bench.manners.due(bench.now_us) == [(A, GetBlocks(1))]
    assert (bench.manners.due(bench.now_us), bench.manners.deadline_us) == ([], None)
    assert bench.ask(A) == [False], "the one before it is not paid for yet"
    bench.down(A)
    assert bench.manners.due(bench.now_us + SECOND) == []


def test_even_questions_that_wait_have_a_price() -> None:
    bench = Bench()
    bench.up(A, Rank.MEMBER)
    bench.ask(A, 3_000)
    assert {hold.peer for hold in bench.effects(Hold)} == {A}


def test_members_have_more_and_one_peer_does_not_cost_another() -> None:
    bench = Bench()
    bench.up(A, Rank.MEMBER)
    bench.up(B, Rank.NAMED)
    bench.vote(B, 50)
    assert {hold.peer for hold in bench.effects(Hold)} == {B}
    bench.vote(A, 100)
    assert bench.effects(Hold) == []


def test_strangers_share_a_budget_whatever_their_number_and_members_do_not_notice() -> None:
    bench = Bench()
    for peer in (A, B, C):
        assert bench.up(peer)
    assert not bench.up(b"d" * 32), "and no more than so many are taken in"
    assert [hang.code for hang in bench.effects(HangUp)] == ["full"]
    taken = sum(sum(bench.ask(peer, 4)) for peer in (A, B, C))
    assert taken == 7, "the common burst of six, and one that made the debt"
    bench.up(b"m" * 32, Rank.MEMBER)
    assert bench.ask(b"m" * 32, 50) == [True] * 50
    bench.now_us += SECOND
    assert sum(sum(bench.ask(peer, 4)) for peer in (A, B, C)) <= 4


def test_coming_back_does_not_fill_the_bucket() -> None:
    bench = Bench()
    bench.up(A, Rank.NAMED)
    bench.vote(A, 30)
    bench.down(A)
    bench.up(A, Rank.NAMED)
    bench.outbox.drain()
    bench.vote(A)
    (hold,) = bench.effects(Hold)
    assert hold.until_us > bench.now_us + 2 * SECOND


def test_what_is_of_use_is_refunded_and_what_is_answered_is_charged() -> None:
    bench = Bench()
    bench.up(A, Rank.NAMED)
    for _ in range(100):
        bench.ask(A)
        bench.manners.refund(A, GetBlocks(1))
    assert bench.effects(Hold) == []
    assert bench.manners.can_afford(bench.now_us, A, "history")
    bench.manners.answered(bench.now_us, A, "history", 1 << 20)
    assert bench.ask(A) == [False]
    assert not bench.manners.can_afford(bench.now_us, A, "history")


def test_what_is_granted_by_number_counts_to_the_common_budget() -> None:
    bench = Bench()
    for peer in (A, B, C):
        bench.up(peer)
    assert [bench.manners.take(bench.now_us, peer, "history", 9, each=ASK) for peer in (A, B, C)] == [4, 2, 0]
    assert bench.manners.take(bench.now_us, b"?" * 32, "history", 1) == 0


def test_a_peer_that_is_not_up_is_not_looked_at() -> None:
    assert Bench().ask(A) == [False]


def test_another_rank_is_another_budget() -> None:
    bench = Bench()
    bench.up(A)
    bench.manners.rerank(bench.now_us, lambda _: Rank.MEMBER)
    assert bench.ask(A, 90) == [True] * 90
    assert bench.effects(Hold) == []


def test_votes_count_by_their_number_and_heartbeats_little() -> None:
    assert charged(Heartbeat(1, 0, 0, 0))[1] < 50
    assert charged(VoteMessage(()))[1] < 50


# --- faults ---------------------------------------------------------------------------------------------------------


def test_small_faults_add_up_and_time_forgives() -> None:
    bench = Bench()
    bench.up(A)
    assert [bench.fault(A, 20) for _ in range(4)] == [False] * 4
    bench.now_us += 5 * SECOND
    assert not bench.fault(A, 20)
    assert [bench.fault(A, 20) for _ in range(3)] == [False, False, True]
    (hang,) = bench.effects(HangUp)
    assert (hang.peer, hang.code) == (A, "malformed")
    assert not bench.manners.is_up(A)


def test_a_ban_outlives_the_connection_and_grows() -> None:
    bench = Bench()
    for number in range(4):
        assert bench.up(A, Rank.NAMED)
        assert bench.fault(A, 60)
        assert not bench.up(A, Rank.NAMED)
        codes = [hang.code for hang in bench.effects(HangUp)]
        assert codes == ["malformed", "banned"]
        bench.now_us += (BAN_US_MIN[Rank.NAMED] << number) - 1
        assert not bench.up(A, Rank.NAMED)
        bench.now_us += 1
        bench.outbox.drain()
    assert bench.up(A, Rank.NAMED)


def test_a_ban_is_forgiven_for_each_hour_without_another() -> None:
    bench = Bench()

    def banned_us() -> int:
        bench.up(A, Rank.NAMED)
        bench.fault(A, 60)
        began_us = bench.now_us
        while bench.manners.is_banned(bench.now_us, A):
            bench.now_us += BAN_US_MIN[Rank.NAMED]
        return bench.now_us - began_us

    first_us = BAN_US_MIN[Rank.NAMED]
    assert [banned_us() for _ in range(4)] == [first_us, 2 * first_us, 4 * first_us, 8 * first_us]
    bench.now_us += 2 * FORGIVE_BAN_US - 1  # one of the four is forgiven
    assert banned_us() == 8 * first_us
    bench.now_us += 100 * FORGIVE_BAN_US
    assert [banned_us() for _ in range(2)] == [first_us, 2 * first_us]


def test_who_is_banned_is_known_until_it_may_come_back() -> None:
    bench = Bench()
    bench.up(A, Rank.MEMBER)
    assert not bench.manners.is_banned(bench.now_us, A)
    bench.manners.blame(bench.now_us, A, RemoteProtocolError("it lied", penalty=100, code="lie"))
    assert bench.manners.is_banned(bench.now_us + BAN_US_MIN[Rank.MEMBER] - 1, A)
    assert not bench.manners.is_banned(bench.now_us + BAN_US_MIN[Rank.MEMBER], A)


def test_two_faults_in_one_message_are_one_ban_of_the_peers_own_rank() -> None:
    bench = Bench()
    bench.up(A, Rank.MEMBER)
    assert bench.fault(A, 50)
    assert bench.fault(A, 50)
    bench.now_us += BAN_US_MIN[Rank.MEMBER]
    assert bench.up(A, Rank.MEMBER)


def test_a_rule_of_the_link_that_the_driver_saw_broken_bans_too() -> None:
    bench = Bench()
    bench.up(A)
    bench.down(A, "direction", 100)
    assert not bench.up(A)
    assert [hang.code for hang in bench.effects(HangUp)] == ["direction", "banned"]


@pytest.mark.parametrize("rank", list(Rank))
def test_the_longest_ban_depends_on_who_it_is(rank: Rank) -> None:
    bench = Bench()
    for _ in range(20):
        bench.up(A, rank)
        bench.fault(A, 100)
        bench.now_us += BAN_US_MAX[rank]
    assert bench.up(A, rank)


def test_many_keys_of_one_address_are_banned_with_it_and_named_peers_there_are_not() -> None:
    bench = Bench()
    for number in range(KEYS_BANNED):
        peer = bytes([number]) * 32
        assert bench.up(peer)
        bench.fault(peer, 100)
    assert not bench.up(b"new" + bytes(29))
    assert bench.up(b"new" + bytes(29), remote="192.0.2.2")
    assert bench.up(A, Rank.NAMED)


def test_fresh_addresses_of_one_ipv6_network_are_one_source() -> None:
    """Whoever has one address there has 2**64 of them."""
    bench = Bench()
    for number in range(KEYS_BANNED):
        assert bench.up(bytes([number]) * 32, remote=f"2001:db8::{number:x}")
        bench.fault(bytes([number]) * 32, 100)
    assert not bench.up(A, remote="2001:db8::ffff:1")
    assert bench.up(A, remote="2001:db8:0:1::1")


@pytest.mark.parametrize(
    ("remote", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::1", "::1"),
        ("", ""),
        ("a pipe", "a pipe"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_whom_an_address_counts_for(remote: str, source: str) -> None:
    assert source_of(remote) == source


@pytest.mark.parametrize("remote", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "", "somewhere"])
def test_an_address_that_honest_nodes_share_is_not_banned(remote: str) -> None:
    bench = Bench()
    for number in range(3 * KEYS_BANNED):
        peer = bytes([number]) * 32
        assert bench.up(peer, remote=remote)
        bench.fault(peer, 100)


def test_a_flood_of_faults_is_a_line_a_second() -> None:
    bench = Bench()
    bench.up(A)
    for _ in range(1000):
        bench.fault(A, 0, "useless")
    bench.now_us += SECOND
    bench.fault(A, 0, "useless")
    assert [(effect.event.NAME, effect.event.fields["times"]) for effect in bench.effects(Publish)] == [
        ("peer-fault", 1),
        ("peer-fault", 1000),
    ]


def test_what_is_remembered_is_bounded() -> None:
    bench = Bench()
    for number in range(REMEMBERED_MAX + 50):
        peer = number.to_bytes(32, "big")
        bench.up(peer, Rank.NAMED)
        bench.fault(peer, 10)
        bench.down(peer)
    for held in (bench.manners._records, bench.manners._gone, bench.manners._reported):
        assert len(held) == REMEMBERED_MAX
