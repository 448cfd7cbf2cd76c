"""Two ends of a connection in memory: handshake, Hello, directions, clocks, limits."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervm.common.link import LinkSession
from supervm.common.link.connection import CLOCK_OFFSET_MS_MAX, Connection, LocalNode, goodbye
from supervm.protocol.base.codec import Uint
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.money.transaction import TRANSACTION_BYTES_MIN
from supervm.protocol.wire.chain import BatchMessage
from supervm.protocol.wire.consensus import VoteMessage
from supervm.protocol.wire.directions import ACCEPTS, ANY_LINK, DESPITE_CLOCK, accepted_kinds
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.frames import (
    FRAME_BYTES_MAX,
    FRAME_BYTES_MAX_CORE,
    FRAME_BYTES_MAX_HELLO,
    PROTOCOL_VERSION,
    encode_message,
)
from supervm.protocol.wire.link import Goodbye, Heartbeat, Hello
from supervm.protocol.wire.messages import AnyMessage
from supervm.protocol.wire.payments import Status, Submit
from supervm.protocol.wire.subject import STANDARD, Subject, Wire

DIALLER, ANSWERER = SigningKey(b"\x01" * 32), SigningKey(b"\x02" * 32)
NOW_US = 1_000_000_000
BEAT = Heartbeat(1, 2, 3, 4)
SUBMIT = Submit((bytes(TRANSACTION_BYTES_MIN),))


class Own(Message, frozen=True, tag=210):
    """A kind that only some nodes know."""

    number: Uint


OWN = Wire(Subject("own1", range(210, 220), {Own: frozenset({(4, 3)})}))


def end(*, dialled: bool, tier: int, now_us: int = NOW_US, **local: Any) -> Connection:
    session = LinkSession(
        initiator=dialled,
        static_private=b"\x11" * 32 if dialled else b"\x21" * 32,
        ephemeral_private=b"\x12" * 32 if dialled else b"\x22" * 32,
        node_key=DIALLER if dialled else ANSWERER,
        chain_id=b"c" * 32,
        expected_peer=ANSWERER.public if dialled else None,
        not_after_ms=now_us // 1000 + 10**9,
        now_ms=now_us // 1000,
    )
    return Connection(session, LocalNode(tier, **local), dialled=dialled, opened_us=now_us)


class Pair:
    """A dialler and an answerer with their clocks."""

    def __init__(self, tier: int, other_tier: int, *, ahead_ms: int = 0, **local: Any) -> None:
        self.left = end(dialled=True, tier=tier)
        self.right = end(dialled=False, tier=other_tier, now_us=NOW_US + ahead_ms * 1000, **local)
        self.now_us = {self.left: NOW_US, self.right: NOW_US + ahead_ms * 1000}

    def move(self, source: Connection) -> list[AnyMessage]:
        target = self.right if source is self.left else self.left
        data = source.bytes_to_send(self.now_us[source])
        return target.receive(data, self.now_us[target]) if data else []

    def shake(self) -> "Pair":
        for source in (self.left, self.right, self.left, self.right):
            assert self.move(source) == []
        return self

    def send(self, source: Connection, *messages: Message) -> list[AnyMessage]:
        for message in messages:
            source.send_frame(encode_message(message))
        return self.move(source)


def test_both_sides_are_up_after_one_hello_each_and_know_each_other() -> None:
    pair = Pair(4, 3, features=("cache",), agent="edge/1").shake()
    left, right = pair.left, pair.right
    assert (left.state, right.state) == ("up", "up")
    assert (left.peer_tier, right.peer_tier) == (3, 4)
    assert (left.peer_id, right.peer_id) == (ANSWERER.public, DIALLER.public)
    assert left.peer_hello is not None
    assert (left.peer_hello.features, left.peer_hello.agent) == (("cache",), "edge/1")
    assert pair.send(left, BEAT, SUBMIT) == [BEAT, SUBMIT]
    assert pair.send(right, BEAT, Status(())) == [BEAT, Status(())]


def test_the_dialler_says_hello_first_and_the_answerer_only_after_it() -> None:
    pair = Pair(2, 1)
    states = []
    for source in (pair.left, pair.right, pair.left, pair.right):
        pair.move(source)
        states.append((pair.left.state, pair.right.state))
    assert states == [("handshake", "handshake"), ("hello", "handshake"), ("hello", "up"), ("up", "up")]


def test_a_batch_right_behind_the_answerers_hello_is_no_race() -> None:
    pair = Pair(2, 1)
    for source in (pair.left, pair.right, pair.left):
        pair.move(source)
    big = BatchMessage(bytes(4 << 20))
    assert pair.send(pair.right, big) == [big]


@pytest.mark.parametrize(
    ("tiers", "limit"),
    [
        ((1, 1), FRAME_BYTES_MAX_CORE),
        ((2, 1), FRAME_BYTES_MAX_CORE),
        ((3, 2), FRAME_BYTES_MAX),
        ((4, 3), FRAME_BYTES_MAX),
        ((0, 3), FRAME_BYTES_MAX),
    ],
)
def test_frame_limits_follow_the_tiers(tiers: tuple[int, int], limit: int) -> None:
    pair = Pair(*tiers)
    assert pair.right.frame_bytes_max == FRAME_BYTES_MAX_HELLO
    pair.shake()
    assert pair.left.frame_bytes_max == pair.right.frame_bytes_max == limit
    with pytest.raises(LocalProtocolError):
        pair.left.send_frame(bytes(limit + 1))


@pytest.mark.parametrize("size", [FRAME_BYTES_MAX_HELLO + 1, 1 << 20, 1 << 31])
def test_a_stranger_cannot_announce_a_frame_beyond_the_hello_limit(size: int) -> None:
    pair = Pair(1, 1)
    pair.left._session.set_frame_bytes_max((1 << 32) - 1)
    for source in (pair.left, pair.right):
        pair.move(source)
    # instead of Hello: the header of a long frame, sealed as the peer would seal it
    pair.left._session._queue = [size.to_bytes(4, "big")]
    with pytest.raises(RemoteProtocolError) as caught:
        pair.move(pair.left)
    assert caught.value.code == "oversized"
    assert not pair.right.alive


def refused(pair: Pair, source: Connection, code: str) -> RemoteProtocolError:
    """What `source` has to send is refused by the other side, which can still say why."""
    target = pair.right if source is pair.left else pair.left
    with pytest.raises(RemoteProtocolError) as caught:
        pair.move(source)
    assert caught.value.code == code
    target.refuse(caught.value.code, caught.value.reason)
    assert target.state == "closed"
    assert pair.move(target) == []
    assert source.parting == Goodbye(code, caught.value.reason[:256])
    assert source.state == "closed"
    return caught.value


@pytest.mark.parametrize(("low", "high"), [(PROTOCOL_VERSION + 1, 9), (1, PROTOCOL_VERSION - 1)])
def test_versions_that_do_not_meet_end_in_a_clear_error_on_both_sides(low: int, high: int) -> None:
    pair = Pair(4, 3)
    pair.move(pair.left)
    pair.move(pair.right)
    pair.left._session._queue.clear()
    pair.left.send_frame(encode_message(Hello(low, high, 4, (), NOW_US // 1000, "other")))
    said = str(refused(pair, pair.left, "version"))
    assert f"versions {low} to {high}" in said
    assert f"speaks {PROTOCOL_VERSION}" in said


def test_the_first_message_has_to_be_hello() -> None:
    pair = Pair(4, 3)
    pair.move(pair.left)
    pair.move(pair.right)
    pair.left._session._queue.clear()
    pair.left.send_frame(encode_message(BEAT))
    refused(pair, pair.left, "direction")


@pytest.mark.parametrize("tier", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("known", [None, 1, 2])
def test_the_nodes_that_genesis_names_are_of_their_tier_and_no_other_is_an_l2(tier: int, known: int | None) -> None:
    pair = Pair(tier, 2, known_tiers={DIALLER.public: known} if known else {})
    pair.move(pair.left)
    pair.move(pair.right)
    if tier == known or (known is None and tier != 2):
        pair.move(pair.left)
        assert pair.right.state == "up"
    else:
        refused(pair, pair.left, "tier")


@pytest.mark.parametrize("ahead_ms", [CLOCK_OFFSET_MS_MAX + 1, -CLOCK_OFFSET_MS_MAX - 1, 3_600_000])
def test_core_links_refuse_a_wrong_clock_and_both_sides_are_told_the_offset(ahead_ms: int) -> None:
    pair = Pair(2, 1, ahead_ms=ahead_ms)
    pair.move(pair.left)
    pair.move(pair.right)
    with pytest.raises(RemoteProtocolError) as caught:
        pair.move(pair.left)
    assert caught.value.code == "clock"
    assert str(-ahead_ms) in caught.value.reason
    pair.right.refuse("clock", caught.value.reason)
    with pytest.raises(RemoteProtocolError) as caught:
        pair.move(pair.right)
    assert pair.left.clock_offset_ms == ahead_ms
    assert pair.right.clock_offset_ms == -ahead_ms


def test_clocks_within_thirty_seconds_are_right() -> None:
    pair = Pair(2, 1, ahead_ms=CLOCK_OFFSET_MS_MAX).shake()
    assert pair.left.clock_offset_ms == CLOCK_OFFSET_MS_MAX
    assert not pair.left.clock_wrong


def test_with_an_l4_a_wrong_clock_leaves_news_and_proofs_and_drops_transactions_on_both_sides() -> None:
    pair = Pair(4, 3, ahead_ms=60_000).shake()
    assert pair.left.clock_wrong
    assert pair.right.clock_wrong
    assert not pair.left.may_send(SUBMIT)
    assert pair.left.left_out == 1
    assert pair.send(pair.left, SUBMIT, BEAT) == [BEAT]  # a peer that sends it all the same loses only that
    assert pair.right.left_out == 1
    assert pair.right.may_send(Status(()))
    assert pair.send(pair.right, Status(())) == [Status(())]
    with pytest.raises(RemoteProtocolError) as caught:  # what it may never send is still its fault
        pair.send(pair.left, VoteMessage(()))
    assert caught.value.code == "direction"


@pytest.mark.parametrize("sender", range(5))
@pytest.mark.parametrize("receiver", range(5))
def test_every_kind_travels_only_where_the_table_says(sender: int, receiver: int) -> None:
    kinds = accepted_kinds(sender, receiver)
    assert kinds >= ANY_LINK
    assert Hello not in kinds
    if (sender, receiver) not in ACCEPTS:
        assert kinds == ANY_LINK
    for message in (Submit(()), VoteMessage(()), Status(()), BEAT):
        pair = Pair(sender, receiver).shake()
        assert pair.left.may_send(message) == (type(message) in kinds)
        if type(message) in kinds:
            assert pair.send(pair.left, message) == [message]
        else:  # from a peer that sends it all the same
            with pytest.raises(RemoteProtocolError, match=f"L{sender} may not send") as caught:
                pair.send(pair.left, message)
            assert (caught.value.code, caught.value.penalty) == ("direction", 100)
    if {sender, receiver} == {1, 2}:
        assert Submit not in kinds
    assert (VoteMessage in kinds) == (sender == receiver == 1)
    assert Submit not in DESPITE_CLOCK


def test_a_second_hello_and_what_the_tier_may_not_send_are_refused() -> None:
    for message in (Hello(1, 1, 4, (), 0, "x"), VoteMessage(()), Status(())):
        pair = Pair(4, 3).shake()
        pair.left.send_frame(encode_message(message))
        refused(pair, pair.left, "direction")


@pytest.mark.parametrize("knows", [True, False])
def test_a_subject_of_its_own_travels_between_nodes_that_both_name_it(knows: bool) -> None:
    pair = Pair(4, 3, wire=OWN if knows else STANDARD)
    pair.left = end(dialled=True, tier=4, wire=OWN, features=("cache",))
    pair.now_us[pair.left] = NOW_US
    pair.shake()
    assert pair.right.peer_hello is not None
    assert pair.right.peer_hello.features == ("cache", "own1")
    assert pair.left.may_send(Own(7)) is knows
    assert not pair.right.may_send(Own(7))  # not in this direction
    if knows:
        assert pair.send(pair.left, Own(7), BEAT) == [Own(7), BEAT]
        pair.right.send_frame(encode_message(Own(7)))
        refused(pair, pair.right, "direction")
    else:
        pair.left.send_frame(encode_message(Own(7)))
        refused(pair, pair.left, "malformed")


def test_a_peer_that_does_not_name_a_subject_may_not_send_it() -> None:
    pair = Pair(4, 3, wire=OWN).shake()
    pair.left.send_frame(encode_message(Own(7)))
    refused(pair, pair.left, "direction")


def test_goodbye_closes_and_what_follows_it_means_nothing() -> None:
    pair = Pair(4, 3).shake()
    assert pair.send(pair.left, BEAT, goodbye("done", "bye"), BEAT, VoteMessage(())) == [BEAT]
    assert pair.right.parting == Goodbye("done", "bye")
    assert pair.right.state == "closed"


def test_goodbye_texts_are_cut_to_their_bounds() -> None:
    message = goodbye("c" * 99, "r" * 999)
    assert (len(message.code), len(message.reason)) == (32, 256)


@given(st.binary(max_size=300), st.integers(0, 2))
def test_random_bytes_raise_nothing_but_remote_errors_at_any_stage(data: bytes, moves: int) -> None:
    pair = Pair(4, 3)
    for source in (pair.left, pair.right)[:moves]:
        pair.move(source)
    for connection in (pair.left, pair.right):
        try:
            assert connection.receive(data, NOW_US) == []
        except RemoteProtocolError as error:
            connection.refuse(error.code, error.reason)
            assert connection.state == "closed"


@given(st.binary(min_size=1, max_size=300))
def test_random_frames_of_an_authenticated_peer_raise_nothing_but_remote_errors(frame: bytes) -> None:
    pair = Pair(4, 3).shake()
    pair.left.send_frame(frame)
    try:
        pair.move(pair.left)
    except RemoteProtocolError as error:
        pair.right.refuse(error.code, error.reason)
        assert pair.move(pair.right) == []
        assert pair.left.parting is not None
