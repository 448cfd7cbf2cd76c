"""One value, one byte string: every agreed type round-trips, and nothing but its canonical bytes is read."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

import cbor2
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol_samples import agreed_samples
from protocol_vectors import protocol_vectors
from reach_samples import reach_agreed, reach_vectors

from supervm.protocol.base.codec import INT_MAX, Agreed, decode, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.chain.batch import Batch
from supervm.protocol.chain.finalized import FinalizedBlocks
from supervm.protocol.chain.genesis import Genesis, Parameters
from supervm.protocol.money.transfer import Transfer
from supervm.protocol.state.account import AccountLeaf

SAMPLES = agreed_samples() | reach_agreed()
EACH = pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
VECTORS = Path(__file__).parents[1] / "vectors"
FROZEN = json.loads((VECTORS / "protocol.json").read_text())
FROZEN_REACH = json.loads((VECTORS / "reach.json").read_text())
AGREED = FROZEN["agreed"] | FROZEN_REACH["agreed"]
LEAF = AccountLeaf(1, 5, 6, bytes(32), 0)


def agreed_types(root: type[Agreed] = Agreed) -> list[type[Agreed]]:
    kinds: list[type[Agreed]] = root.__subclasses__()
    return [found for kind in kinds for found in (kind, *agreed_types(kind))]


def raw_of(value: Agreed) -> list[Any]:
    """The value as the CBOR array that is written."""
    raw = cbor2.loads(encode(value))
    assert isinstance(raw, list)
    return raw


def refused(kind: type[Agreed], data: bytes) -> bool:
    """Whether `data` is refused, by the one error that peers may cause."""
    try:
        decode(kind, data)
    except RemoteProtocolError:
        return True
    return False


def test_there_is_a_sample_of_every_agreed_type() -> None:
    ours = {kind.__name__ for kind in agreed_types() if kind.__module__.startswith("supervm.protocol")}
    assert set(SAMPLES) == ours


def test_bytes_and_digests_are_the_frozen_ones() -> None:
    assert protocol_vectors() == FROZEN
    assert reach_vectors() == FROZEN_REACH


@pytest.mark.parametrize("name", AGREED)
def test_the_frozen_bytes_are_read_as_the_sample(name: str) -> None:
    assert decode(type(SAMPLES[name]), bytes.fromhex(AGREED[name]["cbor"])) == SAMPLES[name]


def test_kinds_and_versions_differ_in_the_first_two_elements() -> None:
    heads = {tuple(raw_of(sample)[:2]) for sample in SAMPLES.values()}
    assert len(heads) == len(SAMPLES)
    assert {kind for kind, _ in heads if isinstance(kind, int)} == {1, 2}  # transactions, by number
    assert {version for _, version in heads} == {1, 2}


@EACH
def test_round_trip(sample: Agreed) -> None:
    data = encode(sample)
    again = decode(type(sample), data)
    assert again == sample
    assert encode(again) == data


@EACH
def test_bytes_are_those_of_canonical_cbor(sample: Agreed) -> None:
    assert cbor2.dumps(cbor2.loads(encode(sample)), canonical=True) == encode(sample)


@EACH
def test_every_truncation_and_every_extension_is_refused(sample: Agreed) -> None:
    data, kind = encode(sample), type(sample)
    assert all(refused(kind, data[:length]) for length in range(len(data)))
    assert all(refused(kind, data + bytes([tail])) for tail in range(256))
    assert refused(kind, data + data)


@EACH
def test_every_changed_byte_is_refused_or_another_value(sample: Agreed) -> None:
    data, kind = encode(sample), type(sample)
    changes = [1 << bit for bit in range(8)] + [0xFF]
    for place in range(len(data)):
        for change in changes if len(data) < 1_000 else (1 << place % 8, 0xFF):
            mutated = data[:place] + bytes([data[place] ^ change]) + data[place + 1 :]
            try:
                other = decode(kind, mutated)
            except RemoteProtocolError:
                continue
            assert other != sample
            assert encode(other) == mutated


@EACH
def test_another_kind_version_or_number_of_fields_is_refused(sample: Agreed) -> None:
    raw, kind = raw_of(sample), type(sample)
    for other in (
        ["other", *raw[1:]],
        [raw[0], raw[1] + 1, *raw[2:]],
        [raw[0], 0, *raw[2:]],
        [raw[0], True, *raw[2:]],
        [raw[0], float(raw[1]), *raw[2:]],
        [raw[0], str(raw[1]), *raw[2:]],
        [23, *raw[1:]],
        raw[1:],
        raw[:-1],
        [*raw, 0],
        [],
        raw[0],
        None,
        dict(enumerate(raw)),
    ):
        assert refused(kind, cbor2.dumps(other)), other


def test_defaults_are_never_left_out() -> None:
    raw = raw_of(Parameters(2))
    assert len(raw) == 2 + len(msgspec.structs.fields(Parameters)) - 1
    assert all(refused(Parameters, cbor2.dumps(raw[:length])) for length in range(2, len(raw)))


ALTERNATIVES = {
    "array head of two bytes": lambda data: b"\x98" + bytes([data[0] & 0x1F]) + data[1:],
    "array head of nine bytes": lambda data: b"\x9b" + (data[0] & 0x1F).to_bytes(8, "big") + data[1:],
    "indefinite array": lambda data: b"\x9f" + data[1:] + b"\xff",
    "self-described": lambda data: b"\xd9\xd9\xf7" + data,
    "version in two bytes": lambda data: data.replace(b"account\x01", b"account\x18\x01"),
    "version as a float": lambda data: data.replace(b"account\x01", b"account\xf9\x3c\x00"),
    "version as a long integer": lambda data: data.replace(b"account\x01", b"account\xc2\x41\x01"),
    "version as true": lambda data: data.replace(b"account\x01", b"account\xf5"),
    "kind as bytes": lambda data: data.replace(b"\x67account", b"\x47account"),
    "kind in two bytes": lambda data: data.replace(b"\x67account", b"\x78\x07account"),
    "kind in chunks": lambda data: data.replace(b"\x67account", b"\x7f\x64acco\x63unt\xff"),
    "hash in three bytes of head": lambda data: data.replace(b"\x58\x20", b"\x59\x00\x20"),
    "hash as text": lambda data: data.replace(b"\x58\x20", b"\x78\x20"),
    "hash as an array": lambda data: data.replace(b"\x58\x20" + bytes(32), b"\x98\x20" + bytes(32)),
    "shared value": lambda data: b"\xd8\x1c" + data,
}


@pytest.mark.parametrize("change", ALTERNATIVES.values(), ids=ALTERNATIVES)
def test_other_ways_to_write_the_same_value_are_refused(change: Any) -> None:
    data = change(encode(LEAF))
    assert data != encode(LEAF)
    assert refused(AccountLeaf, data)


@pytest.mark.parametrize("number", [0, 1, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, INT_MAX])
def test_integers_up_to_the_bound(number: int) -> None:
    leaf = AccountLeaf(1, number, 0, bytes(32), 0)
    assert decode(AccountLeaf, encode(leaf)).balance == number


@pytest.mark.parametrize("number", [-1, -(2**63), INT_MAX + 1, 2**64 - 1, 2**64, 2**4_000])
def test_integers_outside_the_bound_are_refused(number: int) -> None:
    assert refused(AccountLeaf, cbor2.dumps(["account", 1, number, 0, bytes(32), 0]))


def test_the_size_is_checked_before_anything_else() -> None:
    data = encode(LEAF)
    assert decode(AccountLeaf, data, bytes_max=len(data)) == LEAF
    with pytest.raises(RemoteProtocolError, match=f"{len(data)} bytes; at most {len(data) - 1} are allowed"):
        decode(AccountLeaf, data, bytes_max=len(data) - 1)


STRANGE = st.one_of(
    st.none(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([-1, 23, 24, 255, 256, 65_535, 65_536, 2**32, 2**63, 2**64 - 1]),
    st.binary(max_size=300),
    st.text(max_size=20),
    st.lists(st.one_of(st.integers(-3, 300), st.binary(max_size=70)), max_size=3).map(tuple),
    st.sampled_from(list(SAMPLES.values())),
)


@settings(max_examples=400)
@given(st.data())
def test_the_writer_of_a_type_writes_what_the_general_writer_does(data: st.DataObject) -> None:
    """Whatever stands in a field, also what the type does not allow: who lies on purpose writes with it, too."""
    sample = data.draw(st.sampled_from(list(SAMPLES.values())))
    names = data.draw(st.lists(st.sampled_from(sample.__struct_fields__), max_size=2, unique=True))
    names = [name for name in names if type(getattr(sample, name)) is not bool]  # True is 1 to Python
    value = msgspec.structs.replace(sample, **{name: data.draw(STRANGE) for name in names})
    assert encode(value) == cbor2.dumps(msgspec.to_builtins(value, builtin_types=(bytes,)))


@given(st.binary(max_size=200), st.sampled_from(sorted(SAMPLES)))
def test_random_bytes_are_refused(data: bytes, name: str) -> None:
    assert refused(type(SAMPLES[name]), data)


CBOR_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary(max_size=70) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.integers() | st.text(max_size=4), inner, max_size=3),
    max_leaves=20,
)


def reference(kind: type[Agreed], data: bytes) -> Agreed | None:
    """Read as anybody would: into a tree, into the type, and back again. None: refused."""
    try:
        value = msgspec.convert(cbor2.loads(data), kind, strict=True, builtin_types=(bytes,))
    except (cbor2.CBORDecodeError, msgspec.ValidationError, ValueError, TypeError, OverflowError, RecursionError):
        return None
    return value if encode(value) == data else None


def read_or_none(kind: type[Agreed], data: bytes) -> Agreed | None:
    try:
        return decode(kind, data)
    except RemoteProtocolError:
        return None


@given(CBOR_VALUES, st.sampled_from(sorted(SAMPLES)))
def test_other_values_are_refused(value: Any, name: str) -> None:
    assert refused(type(SAMPLES[name]), cbor2.dumps(value))


@given(st.data())
@settings(max_examples=300)
def test_a_sample_with_one_foreign_element_is_refused_or_canonical(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(SAMPLES)))
    raw = raw_of(SAMPLES[name])
    node = raw
    while True:
        place = data.draw(st.integers(0, len(node) - 1))
        if isinstance(node[place], list) and node[place] and data.draw(st.booleans()):
            node = node[place]
            continue
        node[place] = data.draw(CBOR_VALUES)
        break
    written = cbor2.dumps(raw)
    assert read_or_none(type(SAMPLES[name]), written) == reference(type(SAMPLES[name]), written)


@given(st.binary(min_size=1, max_size=8), st.integers(0, 10_000), st.sampled_from(sorted(SAMPLES)))
def test_overwritten_bytes_raise_nothing_else(patch: bytes, place: int, name: str) -> None:
    data = encode(SAMPLES[name])
    place %= len(data)
    changed = data[:place] + patch + data[place + len(patch) :]
    assert read_or_none(type(SAMPLES[name]), changed) == reference(type(SAMPLES[name]), changed)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\x85" + encode(LEAF)[1:], "AccountLeaf at byte 0 must be an array that begins with 8667"),
        (encode(LEAF).replace(b"account\x01", b"account\xa0"), "must be an array that begins with"),
        (encode(LEAF)[:10] + b"\xa0" + encode(LEAF)[11:], "AccountLeaf.balance at byte 10 must be an integer of 0 to "),
        (encode(LEAF)[:-1] + b"\x20", "AccountLeaf.flags at byte 46 .* there is a negative integer \\(20\\)"),
        (encode(LEAF)[:-1] + b"\x19\x01\x00", "AccountLeaf.flags at byte 46 must be an integer of 0 to 255"),
        (encode(LEAF)[:-1], "its 46 bytes end too early"),
        (encode(LEAF)[:20], "its 20 bytes end too early"),
        (b"", "its 0 bytes end too early"),
        (encode(LEAF) + b"\x00\x00", "2 bytes are left over"),
    ],
)
def test_a_refusal_says_where_and_what_is_allowed(data: bytes, told: str) -> None:
    with pytest.raises(RemoteProtocolError, match=f"^AccountLeaf cannot be read: .*{told}"):
        decode(AccountLeaf, data)


def test_a_refusal_is_short_whatever_was_sent() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode(Batch, b"\x7a\x00\x10\x00\x00" + b"<" * (1 << 20))
    assert len(caught.value.reason) < 200


LONG_HEADS = {
    "array of 2**64-1": b"\x9b" + b"\xff" * 8,
    "array of 2**31": b"\x9a\x80\x00\x00\x00",
    "array of 2**28 in a sample": b"\x86\x67account\x9a\x10\x00\x00\x00",
    "bytes of 2**63": b"\x5b\x80" + bytes(7),
    "bytes of 2**31": b"\x5a\x80\x00\x00\x00",
    "text of 2**31": b"\x7a\x80\x00\x00\x00",
    "map of 2**31": b"\xba\x80\x00\x00\x00",
    "map of 2**64-1": b"\xbb" + b"\xff" * 8,
}


@pytest.mark.parametrize("data", LONG_HEADS.values(), ids=LONG_HEADS)
def test_a_long_head_allocates_nothing_to_speak_of(data: bytes) -> None:
    tracemalloc.start()
    try:
        assert refused(AccountLeaf, data)
        assert refused(Batch, data + bytes(100))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("head", [b"\x81", b"\x9f", b"\xa1\x00", b"\xc2", b"\xd8\x1c", b"\xd9\x01\x00", b"\x82\x00"])
def test_deep_nesting_is_refused(head: bytes) -> None:
    assert refused(FinalizedBlocks, head * ((1 << 20) // len(head)))


def long_integer(number: int) -> bytes:
    magnitude = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return b"\xc2" + cbor2.dumps(magnitude)


def test_work_is_bounded_whatever_the_reader_could_build() -> None:
    """Each of these took seconds to minutes per megabyte before the reader was fenced in."""
    modulus = 2**61 - 1  # integers that differ by a multiple of it share their Python hash
    colliding = b"".join(long_integer((place + 20) * modulus) + b"\x00" for place in range(20_000))
    small = b"".join(cbor2.dumps(place) + b"\x00" for place in range(20_000))
    fraction = long_integer(3**300_000) + long_integer(5**200_000)
    pattern = b"(a)|" * 60_000
    started = time.process_time()
    for data in (
        b"\xba" + (20_000).to_bytes(4, "big") + colliding,
        b"\xba" + (20_000).to_bytes(4, "big") + small,
        b"\xd9\x01\x02\x9a" + (20_000).to_bytes(4, "big") + small.replace(b"\x00", b""),
        b"\xd8\x1e\x82" + fraction,
        b"\xc4\x82\x1a\x7f\xff\xff\xff\x01",
        b"\xd8\x23\x7a" + len(pattern).to_bytes(4, "big") + pattern,
    ):
        assert refused(Batch, data)
    assert time.process_time() - started < 1.5


def test_no_tag_is_acted_on() -> None:
    for number in range(0x10000):
        head = b"\xd9" + number.to_bytes(2, "big")
        with pytest.raises(RemoteProtocolError, match=r"cannot be read: .*tag"):
            decode(AccountLeaf, head + b"\x00")
    assert refused(AccountLeaf, b"\xdb" + b"\xff" * 8 + b"\x00")


@given(st.binary(max_size=64))
def test_tagged_garbage_is_refused(tail: bytes) -> None:
    for number in (0, 2, 4, 5, 25, 28, 29, 30, 35, 36, 37, 54, 100, 256, 258):
        assert refused(Transfer, b"\xd9" + number.to_bytes(2, "big") + tail)


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_text_has_bounds(name: str) -> None:
    raw = raw_of(SAMPLES["Genesis"])
    raw[2] = name
    assert refused(Genesis, cbor2.dumps(raw))


def test_text_must_be_utf8() -> None:
    data = encode(SAMPLES["Genesis"])
    assert refused(Genesis, data.replace(b"\x64test", b"\x64te\xed\xa0"))
