"""Two ends of a link in memory: what arrives is what was sent, or the link dies with a reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervm.common.link import (
    RECORD_PLAINTEXT_BYTES_MAX,
    FrameReader,
    HandshakeState,
    LinkSession,
    RecordReader,
    RecordWriter,
    StaticKeyProof,
    public_key,
    static_key_statement,
)
from supervm.common.link.cipher import CipherState
from supervm.common.link.session import PROLOGUE
from supervm.protocol.base.codec import encode
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.base.keys import SigningKey

CHAIN = b"c" * 32
NOW_MS = 1_000_000
DIALLER, ANSWERER, STRANGER = (SigningKey(bytes([number]) * 32) for number in (1, 2, 3))


def dialler(**changes: Any) -> LinkSession:
    arguments: dict[str, Any] = {
        "initiator": True,
        "static_private": b"\x11" * 32,
        "ephemeral_private": b"\x12" * 32,
        "node_key": DIALLER,
        "chain_id": CHAIN,
        "expected_peer": ANSWERER.public,
        "not_after_ms": NOW_MS + 5,
        "now_ms": NOW_MS,
    }
    return LinkSession(**(arguments | changes))


def answerer(**changes: Any) -> LinkSession:
    arguments: dict[str, Any] = {
        "initiator": False,
        "static_private": b"\x21" * 32,
        "ephemeral_private": b"\x22" * 32,
        "node_key": ANSWERER,
        "chain_id": CHAIN,
        "expected_peer": None,
        "not_after_ms": NOW_MS + 9,
        "now_ms": NOW_MS,
    }
    return LinkSession(**(arguments | changes))


def shake(left: LinkSession, right: LinkSession) -> None:
    right.receive(left.bytes_to_send(), 0)
    left.receive(right.bytes_to_send(), 0)
    right.receive(left.bytes_to_send(), 0)


def pair(**changes: Any) -> tuple[LinkSession, LinkSession]:
    left, right = dialler(**changes), answerer(**changes)
    shake(left, right)
    assert left.established
    assert right.established
    return left, right


def send(session: LinkSession, *frames: bytes, now_us: int | None = None) -> bytes:
    for frame in frames:
        session.send_frame(frame)
    return session.bytes_to_send(now_us)


def refused(session: LinkSession, data: bytes, code: str, match: str | None = None) -> None:
    """The bytes are refused with this code, and the session is dead and silent afterwards."""
    with pytest.raises(RemoteProtocolError, match=match) as caught:
        session.receive(data, 0)
    assert caught.value.code == code
    assert session.failed
    assert not session.established
    assert session.bytes_to_send() == b""
    with pytest.raises(RemoteProtocolError) as again:
        session.receive(b"x", 0)
    assert (again.value.reason, again.value.penalty) == (caught.value.reason, 0)
    with pytest.raises(LocalProtocolError, match="dead"):
        session.send_frame(b"x")
    assert session.bytes_to_send() == b""


def flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_both_ends_learn_the_other_node_and_share_one_session_name() -> None:
    left, right = dialler(), answerer()
    assert (left.peer_id, left.handshake_hash, left.established) == (None, None, False)
    shake(left, right)
    assert (left.peer_id, right.peer_id) == (ANSWERER.public, DIALLER.public)
    assert (left.peer_not_after_ms, right.peer_not_after_ms) == (NOW_MS + 9, NOW_MS + 5)
    assert left.handshake_hash == right.handshake_hash
    assert len(left.handshake_hash or b"") == 64
    other, _ = pair(ephemeral_private=b"\x55" * 32)
    assert other.handshake_hash != left.handshake_hash


def test_handshake_bytes_do_not_show_who_dialled() -> None:
    left, right = dialler(), answerer()
    first = left.bytes_to_send()
    right.receive(first, 0)
    second = right.bytes_to_send()
    left.receive(second, 0)
    wire = first + second + left.bytes_to_send()
    for secret in (DIALLER.public, ANSWERER.public, public_key(b"\x11" * 32), public_key(b"\x21" * 32)):
        assert secret not in wire


FRAMES = [b"a", b"b" * 200, b"c" * 70_000, b"d" * 65_515, b"e" * 65_519, b"f" * 300_000] + [b"g" * 200] * 700


@pytest.mark.parametrize("chunk", [1, 2, 7, 65_537, 1 << 30])
def test_frames_arrive_in_order_however_the_bytes_are_cut(chunk: int) -> None:
    left, right = dialler(), answerer()
    for frame in FRAMES:  # queued before the handshake: they wait for it
        left.send_frame(frame)
    got: list[bytes] = []
    for _ in range(3):
        for source, sink in ((left, right), (right, left)):
            data = source.bytes_to_send()
            for start in range(0, len(data), chunk):
                got += sink.receive(data[start : start + chunk], 0)
    assert got == FRAMES
    assert right.receive(b"", 0) == []


@given(
    frames=st.lists(st.binary(min_size=1, max_size=400), max_size=30),
    cuts=st.lists(st.integers(1, 300), min_size=1),
    record_bytes_max=st.integers(1, 600),
    flush=st.integers(1, 10),
)
@settings(max_examples=60, deadline=None)
def test_any_frames_any_records_any_cuts(
    frames: list[bytes], cuts: list[int], record_bytes_max: int, flush: int
) -> None:
    left, right = pair(record_bytes_max=record_bytes_max, rekey_records=3)
    wire = b"".join(send(left, *frames[start : start + flush]) for start in range(0, len(frames), flush))
    got: list[bytes] = []
    turn = 0
    while wire:
        size = cuts[turn % len(cuts)]
        got += right.receive(bytearray(wire[:size]), 0)
        wire, turn = wire[size:], turn + 1
    assert got == frames


def test_many_small_frames_share_a_record_and_a_record_never_passes_its_limit() -> None:
    left, right = pair()
    small = send(left, *[b"x" * 200] * 64)
    assert len(small) == 2 + 64 * 204 + 16
    large = send(left, b"y" * 200_000)
    sizes = []
    offset = 0
    while offset < len(large):
        sizes.append(int.from_bytes(large[offset : offset + 2], "big"))
        offset += 2 + sizes[-1]
    assert sizes == [65_535] * 3 + [200_004 - 3 * RECORD_PLAINTEXT_BYTES_MAX + 16]
    assert right.receive(small + large, 0) == [b"x" * 200] * 64 + [b"y" * 200_000]
    assert left.bytes_to_send() == b""


def test_every_flipped_bit_of_the_handshake_keeps_the_link_from_standing() -> None:
    left, right = dialler(), answerer()
    first = left.bytes_to_send()
    right.receive(first, 0)
    second = right.bytes_to_send()
    left.receive(second, 0)
    third = left.bytes_to_send()

    def run(messages: list[bytes]) -> bool:
        one, two = dialler(), answerer()
        try:
            assert one.bytes_to_send() == first
            two.receive(messages[0], 0)
            answer = two.bytes_to_send()
            one.receive(messages[1] if answer == second else answer, 0)
            two.receive(messages[2] if one.established else b"", 0)
        except RemoteProtocolError:
            return False
        return one.established and two.established

    assert run([first, second, third])
    for place, message in enumerate((first, second, third)):
        for bit in range(0, len(message) * 8, 3):
            changed = [first, second, third]
            changed[place] = flip(message, bit)
            assert not run(changed), (place, bit)


def test_every_flipped_bit_of_a_record_is_refused_or_delivers_nothing() -> None:
    left, _ = pair()
    wire = send(left, b"pay alice 10")
    for bit in range(len(wire) * 8):
        _, right = pair()
        changed = flip(wire, bit)
        if int.from_bytes(changed[:2], "big") > len(wire) - 2:
            assert right.receive(changed, 0) == []  # waits for a longer record, which cannot authenticate
            changed = bytes(70_000)
        refused(right, changed, "decrypt")


@pytest.mark.parametrize("order", [[0, 0], [1], [0, 2], [0, 1, 0]])
def test_replayed_dropped_and_reordered_records_are_refused(order: list[int]) -> None:
    left, right = pair()
    records = [send(left, bytes([number])) for number in (1, 2, 3)]
    for number in order[:-1]:
        assert right.receive(records[number], 0) == [bytes([number + 1])]
    refused(right, records[order[-1]], "decrypt")


def test_records_of_the_other_direction_or_another_session_are_refused() -> None:
    left, _ = pair()
    wire = send(left, b"x")
    refused(left, wire, "decrypt")
    _, elsewhere = pair(ephemeral_private=b"\x55" * 32)
    refused(elsewhere, wire, "decrypt")


@pytest.mark.parametrize(
    ("left_changes", "right_changes"),
    [({"chain_id": b"d" * 32}, {}), ({"prologue_extra": b"one"}, {"prologue_extra": b"two"})],
)
def test_another_chain_or_another_carrier_is_refused(
    left_changes: dict[str, Any], right_changes: dict[str, Any]
) -> None:
    left, right = dialler(**left_changes), answerer(**right_changes)
    right.receive(left.bytes_to_send(), 0)
    refused(left, right.bytes_to_send(), "handshake", "another chain")


def test_a_dialled_id_that_is_not_the_proven_id_is_refused() -> None:
    left, right = dialler(expected_peer=STRANGER.public), answerer()
    right.receive(left.bytes_to_send(), 0)
    refused(left, right.bytes_to_send(), "wrong-peer", ANSWERER.public.hex())
    left, right = dialler(), answerer(expected_peer=STRANGER.public)
    right.receive(left.bytes_to_send(), 0)
    left.receive(right.bytes_to_send(), 0)
    refused(right, left.bytes_to_send(), "wrong-peer")


def test_a_node_does_not_talk_to_itself() -> None:
    left, right = dialler(expected_peer=None), answerer(node_key=DIALLER)
    right.receive(left.bytes_to_send(), 0)
    refused(left, right.bytes_to_send(), "self-dial")


@pytest.mark.parametrize(("late_ms", "stands"), [(8, True), (9, False), (10, False)])
def test_a_proof_ends_at_its_date(late_ms: int, stands: bool) -> None:
    left = dialler(now_ms=NOW_MS + late_ms, not_after_ms=NOW_MS + 99)
    right = answerer()  # signed until NOW_MS + 9
    right.receive(left.bytes_to_send(), 0)
    second = right.bytes_to_send()
    if stands:
        left.receive(second, 0)
        assert left.established
    else:
        refused(left, second, "expired", "sign a new one")


def test_a_recorded_handshake_is_worth_nothing() -> None:
    left, right = dialler(), answerer()
    first = left.bytes_to_send()
    right.receive(first, 0)
    second = right.bytes_to_send()
    left.receive(second, 0)
    third = left.bytes_to_send()
    victim = answerer(ephemeral_private=b"\x66" * 32)
    victim.receive(first, 0)
    victim.bytes_to_send()
    refused(victim, third, "handshake")
    again = dialler(ephemeral_private=b"\x77" * 32)
    again.bytes_to_send()
    refused(again, second, "handshake")


def test_a_zero_diffie_hellman_point_is_refused() -> None:
    refused(answerer(), b"\x00\x20" + bytes(32), "handshake", "low-order")
    left = dialler()
    left.bytes_to_send()
    refused(left, b"\x00\x70" + bytes(112), "handshake", "low-order")


@pytest.mark.parametrize("size", [0, 31, 33, 1_024, 65_535])
def test_message_one_has_exactly_32_bytes(size: int) -> None:
    refused(answerer(), size.to_bytes(2, "big"), "handshake", "exactly 32")


@pytest.mark.parametrize("size", [0, 31, 95])
def test_a_short_answer_is_refused(size: int) -> None:
    left = dialler()
    left.bytes_to_send()
    refused(left, size.to_bytes(2, "big") + b"\x09" * size, "handshake")


def test_a_long_answer_is_refused_at_its_length() -> None:
    left = dialler()
    left.bytes_to_send()
    refused(left, (1_025).to_bytes(2, "big"), "handshake", "at most 1024")


def strange_answer(payload: bytes) -> tuple[LinkSession, bytes]:
    """A dialler, and an answer that authenticates and carries this payload."""
    left = dialler(expected_peer=None)
    noise = HandshakeState(
        initiator=False, prologue=PROLOGUE + CHAIN, static_private=b"\x21" * 32, ephemeral_private=b"\x22" * 32
    )
    noise.read_message(left.bytes_to_send()[2:])
    message = noise.write_message(payload)
    return left, len(message).to_bytes(2, "big") + message


def proof(**changes: Any) -> StaticKeyProof:
    fields: dict[str, Any] = {
        "chain_id": CHAIN,
        "static_public": public_key(b"\x21" * 32),
        "not_after_ms": NOW_MS + 1,
        "signer": STRANGER,
        "node_key": STRANGER.public,
    }
    fields |= changes
    statement = static_key_statement(fields["chain_id"], fields["static_public"], fields["not_after_ms"])
    return StaticKeyProof(1, fields["node_key"], NOW_MS + 1, fields["signer"].sign(statement))


@pytest.mark.parametrize(
    "changes",
    [
        {"chain_id": b"d" * 32},
        {"static_public": b"s" * 32},
        {"not_after_ms": NOW_MS + 2},
        {"signer": ANSWERER},
        {"node_key": ANSWERER.public},
    ],
    ids=["chain", "static key", "date", "signer", "node"],
)
def test_a_proof_that_the_node_did_not_sign_for_exactly_this_is_refused(changes: dict[str, Any]) -> None:
    left, answer = strange_answer(encode(proof()))
    left.receive(answer, 0)
    assert left.peer_id == STRANGER.public
    left, answer = strange_answer(encode(proof(**changes)))
    refused(left, answer, "bad-signature")
    assert left.peer_id is None


MALFORMED: list[Callable[[bytes], bytes]] = [
    lambda raw: b"",
    lambda raw: raw[:-1],
    lambda raw: raw + b"\x00",
    lambda raw: cbor2.dumps({"node": raw}),
    lambda raw: cbor2.dumps([*cbor2.loads(raw), 1]),
    lambda raw: cbor2.dumps(["linkkey", 2, *cbor2.loads(raw)[2:]]),
    lambda raw: cbor2.dumps(["transaction", *cbor2.loads(raw)[1:]]),
    lambda raw: cbor2.dumps([*cbor2.loads(raw)[:3], -1, cbor2.loads(raw)[4]]),
    lambda raw: cbor2.dumps([*cbor2.loads(raw)[:3], 1.5, cbor2.loads(raw)[4]]),
    lambda raw: b"\x98\x05" + raw[1:],
]


@pytest.mark.parametrize("change", MALFORMED)
def test_a_proof_that_is_not_canonical_is_refused(change: Callable[[bytes], bytes]) -> None:
    left, answer = strange_answer(change(encode(proof())))
    refused(left, answer, "malformed")


@given(payload=st.binary(max_size=400))
@settings(deadline=None)
def test_no_payload_of_an_authentic_stranger_gets_through_by_luck(payload: bytes) -> None:
    left, answer = strange_answer(payload)
    refused(left, answer, "malformed")


@given(chunks=st.lists(st.binary(max_size=120), max_size=8), begun=st.booleans())
@settings(deadline=None)
def test_garbage_in_the_handshake_is_waited_on_or_refused(chunks: list[bytes], begun: bool) -> None:
    for session in (dialler(), answerer()):
        if begun and session.bytes_to_send() == b"":
            session.receive(dialler().bytes_to_send(), 0)
        try:
            for chunk in chunks:
                assert session.receive(chunk, 0) == []
        except RemoteProtocolError:
            assert session.failed
        assert not session.established


@given(chunks=st.lists(st.binary(min_size=1, max_size=120), min_size=1, max_size=8))
@settings(deadline=None)
def test_garbage_after_the_handshake_is_waited_on_or_refused(chunks: list[bytes]) -> None:
    for session in pair():
        try:
            for chunk in chunks:
                assert session.receive(chunk, 0) == []
        except RemoteProtocolError:
            assert session.failed


@given(stream=st.binary(max_size=60), cut=st.integers(0, 60))
def test_any_plaintext_parses_or_is_refused_alike_however_cut(stream: bytes, cut: int) -> None:
    def read(parts: list[bytes]) -> tuple[list[bytes], str]:
        reader, frames = FrameReader(40), list[bytes]()
        try:
            for part in parts:
                frames += reader.feed(part)
        except RemoteProtocolError as error:
            return [], error.code
        return frames, ""

    assert read([stream]) == read([stream[:cut], stream[cut:]]) == read([bytes([byte]) for byte in stream])


def test_an_oversized_frame_is_refused_at_its_header_before_anything_is_kept() -> None:
    left, right = pair(frame_bytes_max=1_000)
    assert right.receive(send(left, b"x" * 1_000), 0) == [b"x" * 1_000]
    left.set_frame_bytes_max(2_000)
    refused(right, send(left, b"x" * 1_001), "oversized", "at most 1000")
    for cut in range(5):
        reader = FrameReader(1_000)
        header = (2**32 - 1).to_bytes(4, "big") + b"x"
        with pytest.raises(RemoteProtocolError, match="4294967295"):
            assert reader.feed(header[:cut]) == reader.feed(header[cut:])
        assert reader.buffered_bytes <= 4


def test_a_raised_limit_holds_for_what_comes_after() -> None:
    left, right = pair(frame_bytes_max=1_000)
    for session in (left, right):
        session.set_frame_bytes_max(4 << 20)
    big = bytes(4 << 20)
    assert right.receive(send(left, big), 0) == [big]
    with pytest.raises(LocalProtocolError, match="frame_bytes_max"):
        left.set_frame_bytes_max(0)


def test_an_empty_frame_is_refused_on_both_sides() -> None:
    left, _ = pair()
    with pytest.raises(LocalProtocolError, match="1 to"):
        left.send_frame(b"")
    with pytest.raises(RemoteProtocolError, match="0 bytes"):
        FrameReader().feed(bytes(4))
    reader = FrameReader()
    assert reader.feed(bytes(2)) == []
    with pytest.raises(RemoteProtocolError, match="0 bytes"):
        reader.feed(bytes(2))


def test_the_queue_is_bounded_before_and_after_the_handshake() -> None:
    left, right = dialler(queue_bytes_max=100), answerer()
    left.send_frame(b"x" * 60)
    assert left.queued_bytes == 64
    with pytest.raises(LocalProtocolError, match="queue"):
        left.send_frame(b"x" * 33)
    left.send_frame(b"x" * 32)
    shake(left, right)
    assert left.queued_bytes == 0
    left.send_frame(b"x" * 96)
    with pytest.raises(LocalProtocolError, match="queue"):
        left.send_frame(b"x")
    with pytest.raises(LocalProtocolError, match="on this link"):
        left.send_frame(bytes((1 << 20) + 1))


def test_frames_queued_by_the_answerer_wait_for_the_dialler_to_be_proven() -> None:
    left, right = dialler(), answerer()
    right.send_frame(b"secret")
    right.receive(left.bytes_to_send(), 0)
    second = right.bytes_to_send()
    left.receive(second, 0)
    assert right.bytes_to_send() == b""
    right.receive(left.bytes_to_send(), 0)
    assert left.receive(right.bytes_to_send(), 0) == [b"secret"]


def test_both_ends_rekey_after_the_agreed_number_of_records() -> None:
    left, right = pair(rekey_records=4)
    other_left, other_right = pair(rekey_records=5)
    for number in range(1, 20):
        frame = bytes([number])
        wire, other = send(left, frame), send(other_left, frame)
        rekeys, other_rekeys = (number - 1) // 4, (number - 1) // 5
        assert (wire == other) is (rekeys == other_rekeys)  # alike under the same key and number only
        assert right.receive(wire, 0) == [frame]
        assert other_right.receive(other, 0) == [frame]


def test_ends_that_count_differently_part_at_the_first_rekey() -> None:
    left, right = dialler(rekey_records=3), answerer(rekey_records=4)
    shake(left, right)
    for _ in range(3):
        assert right.receive(send(left, b"x"), 0) == [b"x"]
    refused(right, send(left, b"x"), "decrypt")


def test_an_old_key_is_replaced_by_a_marker_that_both_ends_follow() -> None:
    left, right = pair(rekey_us=1_000)
    assert right.receive(send(left, b"a", now_us=999), 0) == [b"a"]
    wire = send(left, b"b", now_us=1_000)
    assert wire[:2] == b"\x00\x10"  # an empty record: the tag alone
    assert right.receive(wire, 0) == [b"b"]
    late = send(left, b"c", now_us=1_999)
    assert late[:2] != b"\x00\x10"
    assert right.receive(late + send(left, b"d", now_us=2_000), 0) == [b"c", b"d"]
    assert left.bytes_to_send(9_999) == b""  # nothing to carry, nothing to replace


def test_the_age_of_a_key_is_seen_from_received_times_too() -> None:
    left, right = pair(rekey_us=1_000)
    right.receive(send(left, b"a"), 0)
    left.receive(send(right, b"b"), 5_000)
    wire = send(left, b"c")
    assert wire[:2] == b"\x00\x10"
    assert right.receive(wire, 0) == [b"c"]


def test_a_marker_can_neither_be_left_out_nor_made_up() -> None:
    left, right = pair(rekey_us=1_000)
    right.receive(send(left, b"a"), 0)
    refused(right, send(left, b"b", now_us=1_000)[18:], "decrypt")
    _, right = pair()
    refused(right, b"\x00\x10" + bytes(16), "decrypt")


def test_markers_without_data_between_them_are_refused() -> None:
    sender, reader = CipherState(b"k" * 32), RecordReader(CipherState(b"k" * 32), FrameReader())
    with pytest.raises(RemoteProtocolError, match="carried nothing"):
        reader.feed(b"\x00\x10" + sender.encrypt(b""))


@pytest.mark.parametrize(
    "changes",
    [
        {"chain_id": b"short"},
        {"static_private": b"short"},
        {"ephemeral_private": b"short"},
        {"now_ms": NOW_MS + 5},
        {"not_after_ms": 1 << 63},
        {"record_bytes_max": 0},
        {"record_bytes_max": 65_520},
        {"rekey_records": 0},
        {"frame_bytes_max": 0},
        {"frame_bytes_max": 1 << 32},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_wrong_arguments_are_our_own_fault(changes: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        dialler(**changes)


def test_a_writer_with_nothing_writes_nothing() -> None:
    assert RecordWriter(CipherState(b"k" * 32), now_us=0).seal(b"", 1 << 60) == b""


def test_the_wire_bytes_are_frozen() -> None:
    # Fixed keys make the whole conversation fixed: a change here is a change of the wire format.
    frozen = json.loads((Path(__file__).parent.parent / "vectors/link.json").read_text())
    left, right = dialler(rekey_us=1_000), answerer()
    wire = {}
    wire["message_1"] = left.bytes_to_send()
    right.receive(wire["message_1"], 0)
    wire["message_2"] = right.bytes_to_send()
    left.receive(wire["message_2"], 0)
    wire["message_3"] = left.bytes_to_send()
    right.receive(wire["message_3"], 0)
    wire["two_frames"] = send(left, b"one", b"two")
    wire["marker_and_frame"] = send(left, b"three", now_us=1_000)
    wire["answer"] = send(right, b"four")
    assert {name: data.hex() for name, data in wire.items()} == frozen
