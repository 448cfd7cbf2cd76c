"""What reading costs at most: 4 times the input in memory and 30 ms per MiB, for every type and whatever the bytes are.

Time is counted in turns of a loop that is timed beside it, so that a slow or busy machine changes nothing: `TURN_NS` is
what a turn takes where 30 ms per MiB are promised, and twice as much is allowed here.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeVar, get_args

import msgspec
import pytest
from hostile_bytes import (
    cbor_places,
    cbor_shapes,
    crammed_cbor,
    crammed_msgpack,
    msgpack_array_head,
    msgpack_shapes,
)
from msgspec import inspect

import supervm.common.link.identity
import supervm.common.wallet.store
import supervm.tier_l1_super.consensus.simplex.promises  # noqa: F401 - each of these has agreed types of its own
from supervm.protocol.base.codec import INT_MAX, Agreed, decode, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.reading import bytes_bounds, reader_of
from supervm.protocol.chain.batch import Batch
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint
from supervm.protocol.light.client import ANSWER_BYTES_MAX, AccountAnswer
from supervm.protocol.light.snapshot import SNAPSHOT_START_BYTES_MAX, SnapshotStart
from supervm.protocol.money.execution import BlockReceipts
from supervm.protocol.state.trie_proof import PROOF_BYTES_MAX, TrieProof
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.frames import FRAME_BYTES_MAX
from supervm.protocol.wire.messages import AnyMessage
from supervm.protocol.wire.payments import Status
from supervm.protocol.wire.subject import Wire
from supervm.protocol.wire.subjects import REACH

T = TypeVar("T")
KINDS = sorted(
    (kind for kind in Agreed.__subclasses__() if kind.__module__.startswith("supervm.")), key=lambda kind: kind.__name__
)
EACH = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
MESSAGES: tuple[type[Message], ...] = (*get_args(AnyMessage), *REACH.directions)
EACH_MESSAGE = pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
decode_message = Wire(REACH).decode

FACTOR = 4
FACTOR_OF = {BlockReceipts: 5}
"""A block's receipts are mostly short numbers. Nobody brings them: a node reads its own from its database."""
SPARE_BYTES = 4 << 10
SPARE_BYTES_OF: dict[type, int] = {Status: 24 << 10}
"""What the factor does not cover where a type bounds the number of strings but not how short they are: the 2,000
entries of a batch, the 512 transactions or reasons of a message may be of two bytes each, and take 52."""
SHAPE_BYTES = 8 << 10
CRAMMED_BYTES = 20 << 10
MIB_MS = 30
TURN_NS = 45

STYLES = {
    "the least of everything": {},
    "integers that are objects": {"integer": 1_000},
    "short strings": {"string_bytes": 2},
    "both": {"integer": 1_000, "string_bytes": 2},
    "long integers": {"integer": INT_MAX, "string_bytes": 3},
    "wide texts": {"string_bytes": 300, "text": "\U0001f600"},
}
MOST = crammed_cbor(integer=INT_MAX, string_bytes=1 << 20, text="\U0001f600")


@pytest.fixture(autouse=True)
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def peak_of(read: Callable[[bytes], T], data: bytes) -> tuple[T | None, int]:
    """Return what was read, None if it was refused, and what that took in memory at most."""
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    value = None
    with suppress(RemoteProtocolError):
        value = read(data)
    return value, tracemalloc.get_traced_memory()[1] - before


def reader(kind: type[Agreed]) -> Callable[[bytes], Agreed]:
    reader_of(kind)  # what is made once is nobody's input
    return lambda data: decode(kind, data, bytes_max=1 << 30)


def assert_cheap(peak: int, data: bytes, kind: type[msgspec.Struct]) -> None:
    allowed = FACTOR_OF.get(kind, FACTOR) * len(data) + SPARE_BYTES_OF.get(kind, SPARE_BYTES)
    assert peak <= allowed, f"{peak} bytes for {len(data)}"


# --- agreed bytes ---------------------------------------------------------------------------------------------------

SHAPES = cbor_shapes(SHAPE_BYTES)


@EACH
def test_what_no_type_asks_for_builds_nothing(kind: type[Agreed]) -> None:
    """Every shape in every place of a short object: alone, instead of a field, and in a list."""
    read, longest = reader(kind), bytes_bounds(kind)[1]
    short = crammed_cbor(integer=1_000).of(kind, 600)
    places = cbor_places(short)
    for place in {*places[:4], *places[:: 1 + len(places) // 8]}:
        for name, shape in SHAPES.items():
            data = (short[:place] + shape)[:longest]
            value, peak = peak_of(read, data)
            assert value is None
            assert peak <= len(data) + 4_096, f"{name} at byte {place}: {peak} bytes for {len(data)}"


@EACH
def test_what_a_type_allows_costs_what_its_length_says(kind: type[Agreed]) -> None:
    read = reader(kind)
    for data in {crammed_cbor(**style).of(kind, CRAMMED_BYTES) for style in STYLES.values()}:
        value, peak = peak_of(read, data)
        assert_cheap(peak, data, kind)
        assert value is not None
        assert encode(value) == data
        value, peak = peak_of(read, data[:-1])
        assert_cheap(peak, data, kind)
        assert value is None


@EACH
def test_a_type_has_bounds_and_its_longest_object_fits(kind: type[Agreed]) -> None:
    shortest, longest = bytes_bounds(kind)
    assert 0 < len(crammed_cbor().of(kind, 0)) == shortest <= longest
    if longest <= 256 << 10:
        data = MOST.longest(kind)
        assert len(data) == longest
        assert encode(decode(kind, data, bytes_max=longest)) == data
    with pytest.raises(RemoteProtocolError, match=f"at most {longest} are allowed"):
        decode(kind, Endless(longest + 1), bytes_max=longest + 1)  # type: ignore[arg-type]


class Endless:
    """Something of a length that must not be looked at."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size


def test_bounds_that_are_written_down_hold_what_a_type_can_be() -> None:
    assert bytes_bounds(SnapshotStart)[1] <= SNAPSHOT_START_BYTES_MAX
    assert bytes_bounds(TrieProof)[1] <= PROOF_BYTES_MAX
    assert bytes_bounds(CertifiedCheckpoint)[1] <= FRAME_BYTES_MAX


class Unbounded(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    items: tuple[int, ...]


class Loose(msgspec.Struct):
    number: int


@pytest.mark.parametrize("kind", [Unbounded, Loose])
def test_a_type_without_bounds_is_not_read(kind: type[msgspec.Struct]) -> None:
    with pytest.raises(TypeError, match="not without bounds"):
        decode(kind, b"\x81\x80")


@pytest.mark.parametrize(
    "kind_and_size",
    [
        (CertifiedCheckpoint, 1 << 20),
        (Batch, 4 << 20),
        (AccountAnswer, 16 << 20),
    ],
    ids=lambda both: both[0].__name__,
)
def test_the_inputs_that_were_found(kind_and_size: tuple[type[Agreed], int]) -> None:
    """They cost 0.2 s, 1.2 s and 6 s, and 64 times their size in memory."""
    kind, size = kind_and_size
    reader_of(kind)
    short = crammed_cbor().of(kind, 0)
    flood = b"\x9a" + size.to_bytes(4, "big") + b"\x80" * size
    for place in cbor_places(short)[::7]:
        data = short[:place] + flood
        started = time.process_time()
        value, peak = peak_of(lambda data: decode(kind, data, bytes_max=ANSWER_BYTES_MAX), data)
        assert value is None
        assert peak < 16_384
        assert time.process_time() - started < 0.05


# --- messages -------------------------------------------------------------------------------------------------------

FRAME_SHAPES = msgpack_shapes(SHAPE_BYTES)


@EACH_MESSAGE
def test_no_frame_builds_more_than_its_length_says(kind: type[Message]) -> None:
    fields = inspect.type_info(kind).fields  # type: ignore[attr-defined]
    frame = msgpack_array_head(len(fields) + 1) + msgspec.msgpack.encode(kind.__struct_config__.tag)
    one = crammed_msgpack(string_bytes=2)
    for field in fields:
        for name, shape in FRAME_SHAPES.items():
            _, peak = peak_of(decode_message, frame + shape)
            assert peak <= 2 * len(frame + shape) + 4_096, f"{name} as {field.name}: {peak} bytes"
        frame += one.write(field.type, 0, 0)
    for style in STYLES.values():
        frame = crammed_msgpack(**style).of(kind, CRAMMED_BYTES)
        message, peak = peak_of(decode_message, frame)
        assert_cheap(peak, frame, kind)
        assert isinstance(message, kind)


# --- time -----------------------------------------------------------------------------------------------------------


def spent_s(action: Callable[[], object]) -> float:
    started = time.process_time()
    action()
    return time.process_time() - started


def turns(count: int = 20_000) -> int:
    total = 0
    for number in range(count):
        total += number & 3
    return total


def mib_ms(read: Callable[[bytes], object], data: bytes) -> float:
    """Milliseconds per MiB where a turn takes `TURN_NS`: the best of some rounds, each beside a timed loop."""
    repeats = max(1, CRAMMED_BYTES // (4 * len(data)))
    best = min(spent_s(lambda: [read(data) for _ in range(repeats)]) / spent_s(turns) for _ in range(3))
    return best * 20_000 * TURN_NS * 1e-6 / repeats / len(data) * (1 << 20)


@pytest.mark.parametrize("style", ["the least of everything", "integers that are objects", "long integers"])
def test_time_per_byte_is_bounded(style: str) -> None:
    tracemalloc.stop()
    slow = {}
    for kinds, written, read in (
        (KINDS, crammed_cbor(**STYLES[style]), reader),
        (MESSAGES, crammed_msgpack(**STYLES[style]), lambda _: decode_message),
    ):
        for kind in kinds:
            data = written.of(kind, CRAMMED_BYTES)
            if len(data) >= 4_096 and (taken := mib_ms(read(kind), data)) > 2 * MIB_MS:
                slow[kind.__name__] = taken
    assert not slow
