"""Messages: the bytes of msgpack, typed and bounded; whatever else arrives raises one error (network.md 7)."""

from __future__ import annotations

import json
import tracemalloc
import typing
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol_samples import message_samples
from reach_samples import reach_messages

from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.money.transaction import TRANSACTION_BYTES_MAX, TRANSACTION_BYTES_MIN
from supervm.protocol.reach.bundle import BUNDLE_BYTES_MAX
from supervm.protocol.reach.record import RECORD_BYTES_MAX
from supervm.protocol.reach.relay_receipt import RELAY_RECEIPT_BYTES_MAX
from supervm.protocol.wire import chain, consensus, fields, link, messages, payments, reach
from supervm.protocol.wire.frames import (
    FRAME_BYTES_MAX,
    FRAME_BYTES_MAX_CORE,
    FRAME_BYTES_MAX_HELLO,
    PROTOCOL_VERSION,
    agree_on_version,
    decode_message,
    encode_message,
)
from supervm.protocol.wire.subject import Wire
from supervm.protocol.wire.subjects import REACH

STANDARD_SAMPLES = message_samples()
SAMPLES = STANDARD_SAMPLES | reach_messages()
EACH = pytest.mark.parametrize("message", SAMPLES.values(), ids=SAMPLES)
VECTORS = Path(__file__).parents[1] / "vectors"
FROZEN = {
    name: frame
    for file in ("protocol.json", "reach.json")
    for name, frame in json.loads((VECTORS / file).read_text())["messages"].items()
}
WIRE = Wire(REACH)
"""Reads the messages that every node knows and those of the subjects of this release."""


def refused(frame: bytes) -> bool:
    """Whether `frame` is refused, by the one error that peers may cause."""
    try:
        WIRE.decode(frame)
    except RemoteProtocolError:
        return True
    return False


def raw_of(message: fields.Message) -> list[Any]:
    raw = msgpack.unpackb(encode_message(message))
    assert isinstance(raw, list)
    return raw


def test_there_is_a_sample_of_every_message() -> None:
    assert {kind.__name__ for kind in typing.get_args(messages.AnyMessage)} == set(STANDARD_SAMPLES)
    shipped = [kind for kind in fields.Message.__subclasses__() if kind.__module__.startswith("supervm.")]
    assert {kind.__name__ for kind in shipped} == set(SAMPLES)


def test_every_message_has_its_own_number() -> None:
    numbers = [raw_of(message)[0] for message in SAMPLES.values()]
    assert len(dict.fromkeys(numbers)) == len(numbers)


@pytest.mark.parametrize("name", FROZEN)
def test_the_frozen_frames_are_read_as_the_samples(name: str) -> None:
    assert WIRE.decode(bytes.fromhex(FROZEN[name])) == SAMPLES[name]
    assert encode_message(SAMPLES[name]).hex() == FROZEN[name]


@EACH
def test_round_trip(message: fields.Message) -> None:
    assert WIRE.decode(encode_message(message)) == message


@EACH
def test_the_bytes_are_those_of_the_reference_msgpack(message: fields.Message) -> None:
    frame = encode_message(message)
    assert msgpack.packb(msgpack.unpackb(frame), use_bin_type=True) == frame


@EACH
def test_every_truncation_and_every_extension_is_refused(message: fields.Message) -> None:
    frame = encode_message(message)
    assert all(refused(frame[:length]) for length in range(len(frame)))
    assert all(refused(frame + bytes([tail])) for tail in range(256))
    assert refused(frame + frame)


@EACH
def test_every_changed_byte_is_refused_or_another_message(message: fields.Message) -> None:
    frame = encode_message(message)
    step = max(1, len(frame) // 400)
    for place in [*range(min(len(frame), 60)), *range(60, len(frame), step)]:
        for bit in range(8):
            mutated = frame[:place] + bytes([frame[place] ^ 1 << bit]) + frame[place + 1 :]
            if not refused(mutated):
                assert WIRE.decode(mutated) != message


@EACH
def test_another_number_of_fields_is_refused(message: fields.Message) -> None:
    raw = raw_of(message)
    for other in (raw[:-1], [*raw, 0], [[*raw]], raw[1:], [], raw[0], dict(enumerate(raw)), [*raw, *raw]):
        assert refused(msgpack.packb(other)), other


@pytest.mark.parametrize(
    "number", [0, 4, 9, 18, 23, 40, 49, 55, 59, 71, 79, 80, 255, 2**32, -1, 1.0, "1", b"\x01", None, True, [1]]
)
def test_unknown_numbers_are_refused(number: object) -> None:
    assert refused(msgpack.packb([number, 1, 1, 1, [], 0, ""]))


INT_OVER = 2**63
BOUNDS: list[tuple[str, int, object]] = [
    ("Hello", 1, -1),
    ("Hello", 2, 65_536),
    ("Hello", 3, 5),
    ("Hello", 4, ["x"] * 33),
    ("Hello", 4, ["x" * 33]),
    ("Hello", 5, INT_OVER),
    ("Hello", 6, "x" * 33),
    ("Hello", 6, b"bytes"),
    ("Heartbeat", 2, 101),
    ("Heartbeat", 1, -1),
    ("Goodbye", 1, "x" * 33),
    ("Goodbye", 2, "x" * 257),
    ("Submit", 1, [bytes(TRANSACTION_BYTES_MAX + 1)]),
    ("Submit", 1, [bytes(TRANSACTION_BYTES_MIN - 1)]),
    ("Submit", 1, [bytes(TRANSACTION_BYTES_MIN)] * (fields.FORWARD_MAX + 1)),
    ("Submit", 1, ["text"]),
    ("Submit", 1, b""),
    ("Status", 1, [[bytes(32), 21, ""]]),
    ("Status", 1, [[bytes(31), 0, ""]]),
    ("Status", 1, [[bytes(32), 0, "", 0]]),
    ("Status", 1, [[bytes(32), 0]]),
    ("Subscribe", 1, [bytes(33)]),
    ("Subscribe", 1, [bytes(32)] * (fields.FORWARD_MAX + 1)),
    ("Unsubscribe", 1, [bytes(32)] * (fields.FORWARD_MAX + 1)),
    ("GetLeaves", 1, [bytes(33)] * (fields.FORWARD_MAX + 1)),
    ("GetLeaves", 1, [bytes(32)]),
    ("GetLeaves", 1, [bytes(66)]),
    ("LeafProofs", 1, bytes((1 << 20) + 1)),
    ("LeafProofs", 2, [[bytes(33), b"", b""]]),
    ("LeafProofs", 2, [[bytes(32), b""]]),
    ("FeeTerms", 1, bytes(33)),
    ("FeeTerms", 2, [[bytes(33), 1]]),
    ("FeeTerms", 2, [[b"", 0]]),
    ("FeeTerms", 2, [[b"", 1]] * (payments.FEE_ASSETS_MAX + 1)),
    ("GetReceipt", 1, bytes(31)),
    ("BatchMessage", 1, bytes((4 << 20) + 1)),
    ("GetBatches", 1, [bytes(32)] * 65),
    ("GetBlocks", 1, INT_OVER),
    ("GetBlocks", 1, 1.5),
    ("GetBlocks", 1, "1"),
    ("GetBlocks", 1, True),
    ("GetBlock", 2, b""),
    ("GetSnapshot", 1, -1),
    ("GetSnapshot", 2, bytes(31)),
    ("GetSnapshot", 3, -1),
    ("SnapshotChunk", 3, bytes((1 << 20) + 1)),
    ("SnapshotChunk", 4, bytes((1 << 20) + 1)),
    ("VoteMessage", 1, [raw_of(SAMPLES["VoteMessage"])[1][0]] * 1_021),
    ("VoteMessage", 1, [raw_of(SAMPLES["CertificateMessage"])[1][0]]),
    ("CertificateMessage", 1, [raw_of(SAMPLES["CertificateMessage"])[1][0]] * 256),
    ("ConsensusStatus", 4, -(2**63)),
    ("Observed", 1, "x"),
    ("Observed", 1, "x" * 97),
    ("RecordPut", 1, []),
    ("RecordPut", 1, [b""]),
    ("RecordPut", 1, [bytes(RECORD_BYTES_MAX + 1)]),
    ("RecordPut", 1, [b"x"] * (reach.RECORDS_MAX + 1)),
    ("Find", 1, 2**32),
    ("Find", 2, [bytes(32)] * (reach.FOUND_MAX + 1)),
    ("Find", 2, [bytes(31)]),
    ("Find", 3, [[5], "", [], 0, 100, 0, 0, 0, 0]),
    ("Find", 3, [[], "x" * 17, [], 0, 100, 0, 0, 0, 0]),
    ("Find", 3, [[], "", ["x"] * 5, 0, 100, 0, 0, 0, 0]),
    ("Find", 3, [[], "", [], 5, 100, 0, 0, 0, 0]),
    ("Find", 3, [[], "", [], 0, 101, 0, 0, 0, 0]),
    ("Find", 3, [[], "", [], 0, 100, 65_536, 0, 0, 0]),
    ("Find", 3, [[], "", [], 0, 100, 0, 0, 0, 0, 0]),
    ("Find", 3, None),
    ("Find", 4, 0),
    ("Find", 4, reach.FOUND_MAX + 1),
    ("Found", 2, [[b"x", 0, b""]] * (reach.FOUND_MAX + 1)),
    ("Found", 2, [[bytes(RECORD_BYTES_MAX + 1), 0, b""]]),
    ("Found", 2, [[b"x", 65_536, b""]]),
    ("Found", 2, [[b"x", 0, bytes(33)]]),
    ("PunchAsk", 2, b""),
    ("PunchAsk", 3, ["1.2.3.4:5"] * 7),
    ("PunchAsk", 4, 6),
    ("PunchGo", 5, reach.PUNCH_DELAY_MS_MAX + 1),
    ("PunchGo", 5, -1),
    ("PunchGo", 6, "x" * 33),
    ("BundleOffer", 1, []),
    ("BundleOffer", 1, [[bytes(32), bytes(32), 1, 0, 0, 0]] * (reach.BUNDLES_MAX + 1)),
    ("BundleOffer", 1, [[bytes(32), bytes(32), BUNDLE_BYTES_MAX + 1, 0, 0, 0]]),
    ("BundleOffer", 1, [[bytes(32), bytes(32), 0, 0, 0, 0]]),
    ("BundleOffer", 1, [[bytes(32), bytes(32), 1, 4, 0, 0]]),
    ("BundleOffer", 1, [[bytes(32), bytes(32), 1, 0, 256, 0]]),
    ("BundleWant", 1, [[bytes(32), BUNDLE_BYTES_MAX]]),
    ("BundleWant", 1, [[bytes(32), 0]] * (reach.BUNDLES_MAX + 1)),
    ("BundleData", 2, 0),
    ("BundleData", 5, b""),
    ("BundleData", 5, bytes(reach.PIECE_BYTES_MAX + 1)),
    ("BundleTaken", 1, [[bytes(32), 4]]),
    ("BundleTaken", 1, []),
    ("RelayCount", 1, [bytes(RELAY_RECEIPT_BYTES_MAX + 1)]),
    ("RelayCount", 1, [b"x"] * (reach.RELAY_RECEIPTS_MAX + 1)),
]


@pytest.mark.parametrize(("name", "place", "value"), BOUNDS)
def test_fields_out_of_bounds_are_refused(name: str, place: int, value: object) -> None:
    raw = raw_of(SAMPLES[name])
    raw[place] = value
    assert refused(msgpack.packb(raw))


def test_bounds_themselves_are_allowed() -> None:
    for message in (
        payments.Submit((bytes(TRANSACTION_BYTES_MAX),) * fields.FORWARD_MAX),
        chain.GetBlocks(INT_OVER - 1),
        link.Goodbye("x" * 32, "ü" * 256),
        chain.BatchMessage(bytes(4 << 20)),
    ):
        assert WIRE.decode(encode_message(message)) == message


def test_the_largest_contents_fit_the_frames_they_travel_in() -> None:
    assert len(encode_message(chain.BatchMessage(bytes(4 << 20)))) <= FRAME_BYTES_MAX_CORE
    assert len(encode_message(payments.Submit((bytes(TRANSACTION_BYTES_MAX),) * fields.FORWARD_MAX))) <= FRAME_BYTES_MAX
    assert len(encode_message(link.Hello(1, 1, 4, ("ü" * 32,) * 32, INT_OVER - 1, "ü" * 32))) <= FRAME_BYTES_MAX_HELLO


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(frame: bytes) -> None:
    assert refused(frame)


MSGPACK_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.binary(max_size=70)
    | st.text(max_size=20)
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=8))
    | st.builds(msgpack.Timestamp, st.integers(0, 2**33), st.integers(0, 10**9 - 1)),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=15,
)


@given(MSGPACK_VALUES)
def test_wild_values_raise_nothing_else(value: Any) -> None:
    frame = msgpack.packb(value)
    if not refused(frame):
        assert msgpack.unpackb(frame)[0] in {raw_of(message)[0] for message in SAMPLES.values()}


@given(st.sampled_from(sorted(SAMPLES)), st.data())
@settings(max_examples=300)
def test_a_wild_value_in_a_field_raises_nothing_else(name: str, data: st.DataObject) -> None:
    raw = raw_of(SAMPLES[name])
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(MSGPACK_VALUES)
    refused(msgpack.packb(raw))


@given(st.sampled_from(sorted(SAMPLES)), st.integers(0, 10_000), st.binary(min_size=1, max_size=8))
def test_overwritten_bytes_raise_nothing_else(name: str, place: int, patch: bytes) -> None:
    frame = encode_message(SAMPLES[name])
    place %= len(frame)
    refused(frame[:place] + patch + frame[place + len(patch) :])


LONG_HEADS = {
    "array of 2**32-1": b"\xdd\xff\xff\xff\xff",
    "array of 2**32-1 in Submit": b"\x92\x0a\xdd\xff\xff\xff\xff",
    "array of 2**32-1 in Status": b"\x92\x0b\xdd\xff\xff\xff\xff",
    "array of 2**31 in Hello": b"\x97\x01\x01\x01\x01\xdd\x80\x00\x00\x00",
    "array of 2**28 in VoteMessage": b"\x92\x33\xdd\x10\x00\x00\x00" + bytes(40),
    "bytes of 2**32-1": b"\xc6\xff\xff\xff\xff",
    "bytes of 2**32-1 in BatchMessage": b"\x92\x1e\xc6\xff\xff\xff\xff" + bytes(100),
    "text of 2**32-1 in Goodbye": b"\x93\x03\xdb\xff\xff\xff\xff",
    "map of 2**32-1": b"\xdf\xff\xff\xff\xff",
    "extension of 2**32-1": b"\xc9\xff\xff\xff\xff\x01",
}


@pytest.mark.parametrize("frame", LONG_HEADS.values(), ids=LONG_HEADS)
def test_a_long_head_allocates_nothing_to_speak_of(frame: bytes) -> None:
    tracemalloc.start()
    try:
        assert refused(frame)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("head", [b"\x91", b"\x81\xa0", b"\x92\x0a", b"\xdd\x00\x00\x00\x01", b"\x92\x0a\x91"])
def test_deep_nesting_is_refused(head: bytes) -> None:
    assert refused(head * ((1 << 20) // len(head)))


def test_a_refused_frame_costs_the_connection() -> None:
    with pytest.raises(RemoteProtocolError, match="a frame of 3 bytes cannot be read") as caught:
        decode_message(b"abc")
    assert caught.value.penalty == 100


def test_messages_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        SAMPLES["GetBlocks"].from_height = 5  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("low", "high", "agreed"), [(2, 2, True), (0, 9, True), (3, 9, False), (0, 1, False), (3, 2, False)]
)
def test_version_negotiation(low: int, high: int, agreed: bool) -> None:
    if agreed:
        assert agree_on_version(low, high) == PROTOCOL_VERSION
    else:
        with pytest.raises(RemoteProtocolError, match="this node speaks 2") as caught:
            agree_on_version(low, high)
        assert (caught.value.code, caught.value.penalty) == ("version", 0)


def test_each_subject_keeps_to_its_own_range_of_numbers() -> None:
    subjects = (link, payments, chain, consensus, reach)
    for kind in (*typing.get_args(messages.AnyMessage), *REACH.directions):
        subject = next(module for module in subjects if module.__name__ == kind.__module__)
        assert kind.__struct_config__.tag in subject.TAGS, kind.__name__
    numbers = [number for subject in subjects for number in subject.TAGS]
    assert len(numbers) == len(set(numbers))
