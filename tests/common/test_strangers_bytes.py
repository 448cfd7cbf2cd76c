"""What reads bytes of strangers stands any bytes: one error and nothing else, no 50 ms for one input, bounded memory.

A stranger is whoever has not been told apart from anybody else: the other end of a handshake, of a Hello, and who has
made a key a moment ago and sends messages of `reach1`, or records, bundles and receipts that it says are somebody's.

SUPERVM_STRANGE_INPUTS says how many inputs each decoder gets, with a new seed each time if it is given
(`./run test long`: a million). Inputs are mostly mutants of what is right, since noise never gets past the first byte.
"""

from __future__ import annotations

import os
import random
import resource
import sys
import time
import tracemalloc
from collections.abc import Callable

import pytest
from chain_tools import GENESIS_TIME_MS
from protocol_samples import message_samples, sample_chain
from reach_samples import phone_record, reach_messages, sample_bundle, sample_record, sample_relay_receipt

from supervm.common.link import FrameReader, LinkSession, RecordReader
from supervm.common.link.cipher import CipherState
from supervm.common.link.identity import check_proof, make_proof
from supervm.common.link.serial.core import LineCore
from supervm.common.link.serial.frame import Frame, Kind, read_frame, write_frame
from supervm.common.link.serial.kiss import write_kiss
from supervm.common.link.serial.pace import Line, Pace
from supervm.common.link.serial.units import UnitReader, write_confirmed, write_unit
from supervm.protocol.base.codec import encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.keys import SigningKey, verify
from supervm.protocol.reach.bundle import check_bundle
from supervm.protocol.reach.record import check_record
from supervm.protocol.reach.relay_receipt import check_relay_receipt
from supervm.protocol.wire.frames import FRAME_BYTES_MAX_HELLO, encode_message
from supervm.protocol.wire.subject import STANDARD, Wire
from supervm.protocol.wire.subjects import REACH

INPUTS = int(os.environ.get("SUPERVM_STRANGE_INPUTS", "0"))
SHORT = 2_000
SEED = random.SystemRandom().getrandbits(64) if INPUTS else 11
HANG_NS = 50_000_000
PEAK_BYTES_MAX = 2 << 20
GROWTH_BYTES_MAX = 48 << 20
TRACED = 500
"""Inputs whose peak of memory is looked at; that costs more than reading them."""

CHAIN_ID = sample_chain().chain_id
NOW_MS = GENESIS_TIME_MS + 1_000
ONE, OTHER = SigningKey(b"\x01" * 32), SigningKey(b"\x02" * 32)
STATIC = b"\x21" * 32
HEADS = (
    b"\x80",
    b"\x9f",
    b"\xdd\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\x9b" + b"\xff" * 8,
)
"""Openings of lists, strings and maps, as long as there can be, in both encodings."""

Read = Callable[[bytes], object]


def session(key: SigningKey, *, initiator: bool) -> LinkSession:
    return LinkSession(
        initiator=initiator,
        static_private=STATIC if initiator else b"\x11" * 32,
        ephemeral_private=b"\x12" * 32 if initiator else b"\x22" * 32,
        node_key=key,
        chain_id=CHAIN_ID,
        expected_peer=None,
        not_after_ms=NOW_MS + 5_000,
        now_ms=NOW_MS,
    )


def handshake() -> tuple[bytes, bytes, bytes]:
    """The three messages of a good one."""
    left, right = session(ONE, initiator=True), session(OTHER, initiator=False)
    first = left.bytes_to_send()
    right.receive(first, 0)
    second = right.bytes_to_send()
    left.receive(second, 0)
    return first, second, left.bytes_to_send()


FIRST, SECOND, THIRD = handshake()


def answers_first(data: bytes) -> object:
    return session(OTHER, initiator=False).receive(data, 0)


def dialler_takes_second(data: bytes) -> object:
    left = session(ONE, initiator=True)
    left.bytes_to_send()
    return left.receive(data, 0)


def answerer_takes_third(data: bytes) -> object:
    right = session(OTHER, initiator=False)
    right.receive(FIRST, 0)
    return right.receive(data, 0)


def reads_proof(data: bytes) -> object:
    return check_proof(
        data, chain_id=CHAIN_ID, static_public=STATIC, own_id=OTHER.public, expected_peer=None, now_ms=NOW_MS
    )


def opens_records(data: bytes) -> object:
    return RecordReader(CipherState(b"\x07" * 32), FrameReader(FRAME_BYTES_MAX_HELLO)).feed(data)


def cuts_frames(data: bytes) -> object:
    return FrameReader(FRAME_BYTES_MAX_HELLO).feed(data)


def hears_line(data: bytes) -> object:
    """The whole of a line's core; bytes in which nothing is a frame count as refused, as on a line they are."""
    line = Line(9_600)
    core = LineCore(line, Pace(line), random.Random(1), opens=False)
    core.receive(0, OPEN)
    core.receive(1, data)
    if core.damaged or not core.take(1):
        raise RemoteProtocolError("nothing of it was a frame of data", code="line")
    return core.next_bytes(2)


def reads_line_frame(data: bytes) -> object:
    frame = read_frame(data)
    if frame is None:
        raise RemoteProtocolError("no frame", code="line")
    return frame


def reads_units(data: bytes) -> object:
    found = UnitReader().push(data)
    if not found:
        raise RemoteProtocolError("nothing that is whole", code="line")
    return found


OPEN = write_kiss(write_frame(Frame(Kind.OPEN, 7)))
LINE_DATA = write_frame(Frame(Kind.DATA, 7, 0, 0, 0, bytes(range(180, 230))))


def sealed(plain: bytes) -> bytes:
    data = CipherState(b"\x07" * 32).encrypt(plain)
    return len(data).to_bytes(2, "big") + data


HELLO = encode_message(message_samples()["Hello"])
FRAMED = len(HELLO).to_bytes(4, "big") + HELLO
PROOF = make_proof(ONE, chain_id=CHAIN_ID, static_public=STATIC, not_after_ms=NOW_MS + 5_000)
WIRE = Wire(REACH)
STRANGERS: dict[str, tuple[Read, list[bytes]]] = {
    "handshake message 1": (answers_first, [FIRST]),
    "handshake message 2": (dialler_takes_second, [SECOND]),
    "handshake message 3": (answerer_takes_third, [THIRD]),
    "static key proof": (reads_proof, [PROOF]),
    "records": (opens_records, [sealed(FRAMED), sealed(FRAMED)[:-1], b"\x00\x10" + bytes(16)]),
    "frames": (cuts_frames, [FRAMED, FRAMED * 3]),
    "first frame": (STANDARD.decode, [encode_message(message) for message in message_samples().values()][:3]),
    **{name: (WIRE.decode, [encode_message(message)]) for name, message in reach_messages().items()},
    "serial line": (hears_line, [write_kiss(LINE_DATA), OPEN + write_kiss(LINE_DATA)]),
    "frame of a serial line": (reads_line_frame, [LINE_DATA, LINE_DATA[:9] + LINE_DATA[9:20]]),
    "units of a slow medium": (reads_units, [write_unit(1, b"bundle"), write_confirmed(1)]),
    "node record": (
        lambda data: check_record(data, chain_id=CHAIN_ID, now_ms=NOW_MS, verify=verify),
        [encode(sample_record()), encode(phone_record())],
    ),
    "bundle": (
        lambda data: check_bundle(data, chain_id=CHAIN_ID, now_ms=NOW_MS, verify=verify),
        [encode(sample_bundle())],
    ),
    "relay receipt": (
        lambda data: check_relay_receipt(data, chain_id=CHAIN_ID, verify=verify),
        [encode(sample_relay_receipt())],
    ),
}


def mutant(rng: random.Random, good: list[bytes]) -> bytes:
    """Return one input: something good with a few changes, or noise."""
    data = bytearray(rng.choice(good))
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        place = rng.randrange(len(data) + 1)
        match rng.randrange(8):
            case 0 | 1 if place < len(data):
                data[place] ^= 1 << rng.randrange(8)
            case 2 if place < len(data):
                data[place] = rng.choice((0, 1, 0x17, 0x18, 0x7F, 0x80, 0xFF))
            case 3:
                del data[place:]
            case 4:
                data[place:place] = rng.choice(HEADS)
            case 5:
                data[place : place + rng.randrange(1, 9)] = rng.randbytes(rng.randrange(9))
            case 6:
                other = rng.choice(good)
                data[place:] = other[rng.randrange(len(other)) :]
            case _:
                data += rng.randbytes(rng.choice((1, 4, 64)))
    return bytes(data) if rng.random() < 0.98 else rng.randbytes(rng.choice((0, 1, 34, 300, 4_096)))


@pytest.mark.timeout(7_200 if INPUTS else 120)
@pytest.mark.parametrize("name", STRANGERS)
def test_any_bytes_are_read_or_refused_at_once_and_cost_no_memory(name: str) -> None:
    read, good = STRANGERS[name]
    for data in good:
        outcome(read, data)  # what is made once is nobody's input
    rng = random.Random(f"{SEED} {name}")
    peak = peak_bytes(read, [mutant(rng, good) for _ in range(TRACED)])
    assert peak <= PEAK_BYTES_MAX, f"seed {SEED}: {peak} bytes"
    before, clock, refused = rss_bytes(), time.thread_time_ns, 0
    for count in range(INPUTS or SHORT):
        data = mutant(rng, good)
        since_ns = clock()
        refused += outcome(read, data)
        spent_ns = clock() - since_ns
        assert spent_ns < HANG_NS, f"seed {SEED}, input {count}: {spent_ns} ns for {data.hex()}"
    assert rss_bytes() - before <= GROWTH_BYTES_MAX
    assert refused > (INPUTS or SHORT) // 3, "these are no mutants"


def outcome(read: Read, data: bytes) -> bool:
    """Return whether the bytes are refused; any other error than the one for that fails the test."""
    try:
        read(data)
    except RemoteProtocolError:
        return True
    return False


def peak_bytes(read: Read, inputs: list[bytes]) -> int:
    """Return what reading the costliest of these inputs takes at most."""
    tracemalloc.start()
    try:
        most = 0
        for data in inputs:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            outcome(read, data)
            most = max(most, tracemalloc.get_traced_memory()[1] - before)
        return most
    finally:
        tracemalloc.stop()


def rss_bytes() -> int:
    """Return the most memory that this process ever had."""
    most: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most << 10


def test_what_is_right_is_read() -> None:
    """Else the mutants would be mutants of nothing."""
    for name, (read, good) in STRANGERS.items():
        assert not outcome(read, good[0]), name
