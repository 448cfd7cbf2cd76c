"""A serial line's core: framing, check sums, selective repeat and the share of an hour, in virtual time."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervm.common.link.serial import core as core_module
from supervm.common.link.serial.core import PATIENCE_US, LineCore, State
from supervm.common.link.serial.frame import NUMBERS, OVERHEAD_BYTES, Frame, Kind, read_frame, write_frame
from supervm.common.link.serial.kiss import FEND, FESC, KissReader, write_kiss
from supervm.common.link.serial.pace import HOUR_US, Line, Pace
from supervm.common.link.serial.receiving import Receiver
from supervm.common.link.serial.sending import SEND_BYTES_MAX, Sender
from supervm.common.link.serial.units import UNIT_BYTES_MAX, Confirmed, Unit, UnitReader, write_confirmed, write_unit
from supervm.protocol.base.errors import RemoteProtocolError

S = 1_000_000
CABLE = Line(9_600, frame_bytes_max=100)
RADIO = Line(1_200)

# --- frames -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=8), st.lists(st.integers(0, 500), max_size=20))
def test_frames_come_out_of_kiss_as_they_went_in_however_they_are_cut(frames: list[bytes], cuts: list[int]) -> None:
    line = b"".join(map(write_kiss, frames))
    reader, found, last = KissReader(200), [], 0
    for cut in sorted(cuts):
        found += reader.push(line[last:cut])
        last = max(last, cut)
    assert found + reader.push(line[last:]) == frames
    assert reader.broken == 0


@given(st.binary(max_size=300), st.binary(min_size=1, max_size=60))
def test_after_any_noise_the_next_frame_but_one_is_found_and_nothing_grows(noise: bytes, frame: bytes) -> None:
    reader = KissReader(130)
    reader.push(noise)
    found = reader.push(write_kiss(frame) + write_kiss(frame))
    assert frame in found
    assert len(reader._begun) <= 130


@pytest.mark.parametrize(
    "line",
    [
        FEND + b"\x00" + b"a" * 201 + FEND,
        FEND + b"\x00a" + FESC + b"a" + FEND,
        FEND + b"\x00a" + FESC + FEND,
        FEND + b"\x01a" + FEND,  # how long a modem is to wait before it sends
        FEND * 3,
    ],
)
def test_what_is_no_frame_of_data_is_passed_over(line: bytes) -> None:
    assert KissReader(200).push(line) == []


@given(
    st.sampled_from(Kind), st.integers(1, NUMBERS - 1), st.integers(0, NUMBERS - 1), st.binary(min_size=1, max_size=99)
)
def test_a_frame_is_read_as_it_was_written_and_not_at_all_with_a_bit_changed(
    kind: Kind, stream: int, number: int, data: bytes
) -> None:
    frame = Frame(kind, stream, number, 7, 5, data if kind is Kind.DATA else b"")
    raw = write_frame(frame)
    assert len(raw) == OVERHEAD_BYTES + len(frame.data)
    assert read_frame(raw) == frame
    bit = random.Random(number).randrange(8 * len(raw))
    assert (
        read_frame(bytes(byte ^ (1 << bit % 8 if place == bit // 8 else 0) for place, byte in enumerate(raw))) is None
    )
    assert read_frame(raw[:-1]) is None


# --- two ends and what is between them --------------------------------------------------------------------------------


@dataclass
class Between:
    """A line in virtual time: two cores, and a function that says what becomes of each piece that one of them sends."""

    line: Line
    mangle: Callable[[bytes], list[tuple[int, bytes]]]
    both_open: bool = False
    seed: int = 1
    now_us: int = 0
    air_us: list[int] = field(default_factory=lambda: [0, 0])
    sent: list[list[tuple[int, int]]] = field(default_factory=lambda: [[], []])

    def __post_init__(self) -> None:
        rng = random.Random(self.seed)
        self.paces = [Pace(self.line), Pace(self.line)]
        self.rng = rng
        self.ends = [
            LineCore(self.line, self.paces[0], rng, opens=True),
            LineCore(self.line, self.paces[1], rng, opens=self.both_open),
        ]
        self.way: list[tuple[int, int, int, bytes]] = []
        self.count = 0

    def step(self) -> bool:
        """Do what is due, and go on to when something is due again; False: never."""
        for place, end in enumerate(self.ends):
            while out := end.next_bytes(self.now_us):
                air_us = self.line.air_us(len(out))
                self.sent[place].append((self.now_us, air_us))
                for late_us, piece in self.mangle(out):
                    self.count += 1
                    self.way.append((self.now_us + air_us + late_us, self.count, 1 - place, piece))
        dues = [due for end in self.ends if (due := end.deadline_us(self.now_us)) is not None]
        dues += [at_us for at_us, *_ in self.way]
        if not dues:
            return False
        self.now_us = max(self.now_us, min(dues))
        self.way.sort()
        while self.way and self.way[0][0] <= self.now_us:
            _, _, place, piece = self.way.pop(0)
            self.ends[place].receive(self.now_us, piece)
        return True

    def until(self, done: Callable[[], object], *, limit_s: float) -> None:
        while not done():
            assert self.step() or done(), "nothing is due any more"
            assert self.now_us <= limit_s * S, f"not done after {limit_s} s"

    def carry(self, there: bytes, back: bytes = b"", *, limit_s: float) -> tuple[bytes, bytes]:
        """Send both at once, end both directions, and return what came."""
        rest, came = [there, back], [b"", b""]
        ended = [False, False]

        def move() -> bool:
            for place, end in enumerate(self.ends):
                some = rest[place][: end.room_bytes]
                end.put(some)
                rest[place] = rest[place][len(some) :]
                came[1 - place] += self.ends[1 - place].take(5_000)
                if not rest[place] and not ended[place]:
                    ended[place] = True
                    end._sender.end()
            return all(end.state is State.OPEN and end._sender.is_done for end in self.ends)

        self.until(move, limit_s=limit_s)
        return came[1], came[0]


def clean(piece: bytes) -> list[tuple[int, bytes]]:
    return [(0, piece)]


def lossy(rng: random.Random, percent: int) -> Callable[[bytes], list[tuple[int, bytes]]]:
    return lambda piece: [] if rng.randrange(100) < percent else [(0, piece)]


def hostile(rng: random.Random) -> Callable[[bytes], list[tuple[int, bytes]]]:
    """Lose, double, delay and damage, a tenth each."""

    def mangle(piece: bytes) -> list[tuple[int, bytes]]:
        dice = rng.randrange(10)
        if dice == 0:
            return []
        if dice == 1:
            return [(0, piece), (rng.randrange(3 * S), piece)]
        if dice == 2:
            return [(rng.randrange(3 * S), piece)]
        if dice == 3:
            at = rng.randrange(len(piece))
            return [(0, piece[:at] + rng.randbytes(rng.randrange(3)) + piece[at + 1 :])]
        return [(0, piece)]

    return mangle


@given(st.binary(max_size=6_000), st.binary(max_size=2_000), st.integers(0, 2**32), st.booleans())
def test_both_streams_come_whole_and_in_order_through_loss_doubles_delay_and_damage(
    there: bytes, back: bytes, seed: int, both_open: bool
) -> None:
    between = Between(CABLE, hostile(random.Random(seed)), both_open=both_open, seed=seed)
    assert between.carry(there, back, limit_s=3_600) == (there, back)


def test_a_clean_line_repeats_nothing_and_is_busy_all_the_time() -> None:
    between = Between(CABLE, clean)
    data = random.Random(1).randbytes(SEND_BYTES_MAX)
    assert between.carry(data, limit_s=60)[0] == data
    assert between.ends[0].repeats == 0
    assert sum(air_us for _, air_us in between.sent[0]) > 0.95 * between.now_us


@pytest.mark.parametrize("size_bytes", [1_024, 2_048])
def test_a_bundle_takes_less_than_a_minute_at_1200_bits_with_a_tenth_lost(size_bytes: int) -> None:
    """Virtual time, 100 lines: from the first OPEN until the last byte has come."""
    times_s = []
    for seed in range(100):
        rng = random.Random(seed)
        between = Between(RADIO, lossy(rng, 10), seed=seed)
        data, came = rng.randbytes(size_bytes), bytearray()
        between.ends[0].put(data)

        def done(between: Between = between, came: bytearray = came) -> bool:
            came.extend(between.ends[1].take(5_000))
            return len(came) == size_bytes

        between.until(done, limit_s=60)
        assert came == data
        times_s.append(between.now_us / S)
    assert sorted(times_s)[50] < 1.5 * size_bytes * 8 / 1_200  # the median: half as long again as the bare bytes


def test_only_what_was_lost_is_sent_again() -> None:
    rng = random.Random(5)
    between = Between(CABLE, lossy(rng, 10))
    data = rng.randbytes(SEND_BYTES_MAX)
    assert between.carry(data, limit_s=120)[0] == data
    frames = len(data) // (CABLE.frame_bytes_max - OVERHEAD_BYTES)
    assert between.ends[0].repeats < 0.15 * frames


def test_a_reader_that_takes_nothing_costs_bounded_memory_and_loses_nothing() -> None:
    between = Between(Line(1_000_000), clean)
    data = random.Random(3).randbytes(200_000)
    rest = data

    def push() -> bool:
        nonlocal rest
        some = rest[: between.ends[0].room_bytes]
        between.ends[0].put(some)
        rest = rest[len(some) :]
        return between.now_us > 30 * S

    between.until(push, limit_s=200)
    assert len(between.ends[1]._receiver._stream) < (64 << 10) + 16 * 200
    came = b""

    def pull() -> bool:
        nonlocal came
        push()
        came += between.ends[1].take(5_000)
        return came == data

    between.until(pull, limit_s=300)


# --- streams begin and end --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("both_open", [False, True])
@pytest.mark.parametrize("lost", range(6))
def test_both_ends_agree_on_the_stream_and_on_who_asked_whichever_frame_is_lost(lost: int, both_open: bool) -> None:
    count = 0

    def mangle(piece: bytes) -> list[tuple[int, bytes]]:
        nonlocal count
        count += 1
        return [] if count - 1 == lost else [(0, piece)]

    between = Between(CABLE, mangle, both_open=both_open)
    between.until(lambda: all(end.state is State.OPEN for end in between.ends), limit_s=20)
    first, second = between.ends
    assert first._stream == second._stream
    assert first.simultaneous == second.simultaneous == both_open
    first.put(b"there")
    between.until(lambda: second.take(9) == b"there", limit_s=40)


def opened(line: Line = CABLE) -> Between:
    between = Between(line, clean)
    between.until(lambda: all(end.state is State.OPEN for end in between.ends), limit_s=60)
    return between


def test_an_end_that_was_started_anew_is_noticed_by_the_first_frame() -> None:
    between = opened()
    between.ends[1] = LineCore(CABLE, between.paces[1], between.rng, opens=False)
    between.ends[0].put(b"are you there?")
    between.until(lambda: between.ends[0].state is State.ENDED, limit_s=between.now_us / S + 5)
    assert "knows nothing of this link" in between.ends[0].reason


def test_who_asks_anew_gets_a_new_stream_and_nothing_of_the_old_one() -> None:
    between = opened()
    between.ends[0].put(b"old")
    between.ends[0] = LineCore(CABLE, between.paces[0], between.rng, opens=True)
    between.until(lambda: between.ends[1].state is State.ENDED, limit_s=60)
    assert between.ends[1].reason == "the other end of the line has begun anew"
    asked = between.ends[1].asked
    between.ends[1] = LineCore(CABLE, between.paces[1], between.rng, opens=False, asked=asked)
    between.until(lambda: between.ends[0].state is State.OPEN, limit_s=60)
    between.ends[0].put(b"new")
    between.until(lambda: between.ends[1].take(9) == b"new", limit_s=90)


def test_a_line_that_is_down_is_given_up_after_its_patience_and_costs_few_repeats() -> None:
    between = opened(RADIO)
    between.mangle = lambda _piece: []
    began_us = between.now_us
    between.ends[0].put(b"x" * 1_000)
    between.until(lambda: between.ends[0].state is State.ENDED, limit_s=1_000)
    took_us = between.now_us - began_us
    assert PATIENCE_US < took_us < 3 * PATIENCE_US
    assert between.ends[0].reason.startswith("no word from the other end of the line for ")
    assert between.ends[0].repeats <= 8


def test_an_echo_of_its_own_frames_opens_nothing() -> None:
    core = LineCore(CABLE, Pace(CABLE), random.Random(1), opens=True)
    core.receive(0, core.next_bytes(0))
    assert core.state is State.OPENING


@given(st.binary(max_size=400), st.booleans())
def test_any_bytes_from_the_line_harm_nothing(noise: bytes, opens: bool) -> None:
    core = LineCore(CABLE, Pace(CABLE), random.Random(1), opens=opens)
    core.receive(0, noise)
    frames = [write_kiss(noise[place : place + 40]) for place in range(0, len(noise), 40)]
    core.receive(1, b"".join(frames))
    assert core.take(100) == b""


@given(st.lists(st.tuples(st.sampled_from(Kind), st.sampled_from([1, 2]), *[st.integers(0, NUMBERS - 1)] * 3)))
def test_any_proper_frames_harm_nothing_and_nothing_grows(
    frames: list[tuple[Kind, int, int, int, int]],
) -> None:
    """Whoever can send on a line can make frames: they break the stream at most."""
    core = LineCore(CABLE, Pace(CABLE), random.Random(1), opens=False)
    core.receive(0, write_kiss(write_frame(Frame(Kind.OPEN, 1))))
    core.put(b"a" * 500)
    now_us = 0
    for kind, stream, number, awaited, beyond in frames:
        now_us += S
        data = b"d" * 80 if kind is Kind.DATA else b""
        core.receive(now_us, write_kiss(write_frame(Frame(kind, stream, number, awaited, beyond, data))))
        core.next_bytes(now_us)
    assert len(core._answers) <= 8
    assert len(core._receiver._early) <= 16


# --- the share of an hour ---------------------------------------------------------------------------------------------


@given(st.integers(0, 2**32))
def test_no_hour_has_more_of_the_air_than_its_share(seed: int) -> None:
    rng = random.Random(seed)
    line = Line(1_200, duty_ppm=10_000)
    pace, now_us, sent = Pace(line), 0, []
    while now_us < 3 * HOUR_US:
        size_bytes = rng.randrange(20, 200)
        free_us = pace.free_us(now_us, size_bytes)
        if free_us > now_us:
            now_us = free_us
        assert pace.free_us(now_us, size_bytes) <= now_us
        left_us = pace.sent(now_us, size_bytes)
        sent.append((left_us - line.air_us(size_bytes), left_us))
        now_us = left_us + rng.choice([0, 0, rng.randrange(120 * S)])
    for _, end_us in sent:
        inside = [
            min(end, end_us) - max(begin, end_us - HOUR_US)
            for begin, end in sent
            if end > end_us - HOUR_US and begin < end_us
        ]
        assert sum(inside) <= HOUR_US // 100


def test_a_bundle_of_8_kib_comes_over_a_line_with_one_percent_of_the_time() -> None:
    """Virtual time: 55 s of air, a tenth of it lost, at 36 s an hour: it is there in the second hour."""
    rng = random.Random(2)
    line = Line(1_200, duty_ppm=10_000)
    between = Between(line, lossy(rng, 10), seed=2)
    data = rng.randbytes(8_192)
    assert between.carry(data, limit_s=4 * 3_600)[0] == data
    assert between.now_us > HOUR_US
    for place in (0, 1):
        for at_us, _ in between.sent[place]:
            hour = sum(air_us for other_us, air_us in between.sent[place] if at_us - HOUR_US < other_us <= at_us)
            assert hour <= HOUR_US // 100


# --- units ------------------------------------------------------------------------------------------------------------


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=6), st.integers(1, 20))
def test_units_and_confirmations_come_out_as_they_went_in(units: list[bytes], cut: int) -> None:
    line = b"".join(write_unit(number, data) + write_confirmed(number) for number, data in enumerate(units))
    reader, found = UnitReader(), []
    for place in range(0, len(line), cut):
        found += reader.push(line[place : place + cut])
    assert found == [item for number, data in enumerate(units) for item in (Unit(number, data), Confirmed(number))]


@pytest.mark.parametrize(
    "line",
    [b"\x07" + bytes(8), b"\x01" + bytes(4) + (UNIT_BYTES_MAX + 1).to_bytes(4, "big"), b"\x02" + bytes(7) + b"\x01"],
)
def test_a_stream_that_is_none_of_units_is_refused(line: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="neither a unit of at most"):
        UnitReader().push(line)


# --- planted faults: what the tests above would let pass if it were wrong ---------------------------------------------


def carries() -> None:
    rng = random.Random(9)
    between = Between(CABLE, hostile(rng), seed=9)
    data = rng.randbytes(6_000)
    assert between.carry(data, limit_s=900)[0] == data


def keeps_the_share() -> None:
    line, now_us, sent = Line(1_200, duty_ppm=10_000), HOUR_US - 120 * S, []
    pace = Pace(line)
    while now_us < 3 * HOUR_US:
        while pace.free_us(now_us, 200) > now_us:
            now_us += 10 * S
        sent.append(now_us)
        now_us = pace.sent(now_us, 200)
    for at_us in sent:
        assert sum(at_us - HOUR_US < other <= at_us for other in sent) * line.air_us(200) <= HOUR_US // 100


def believes_any_sum(raw: bytes) -> Frame | None:
    return read_frame(raw[:-4] + crc32(raw[:-4]).to_bytes(4, "big"))


def takes_doubles(receiver: Receiver, now_us: int, frame: Frame) -> None:
    receiver._stream += frame.data
    receiver._next = frame.number + 1
    receiver.word_us = now_us


def forgets_what_was_lost(sender: Sender, now_us: int, awaited: int, beyond: int) -> None:
    if beyond or awaited != next(iter(sender._window), 0):
        sender._window.clear()


def never_repeats(sender: Sender, now_us: int) -> int | None:
    return now_us if len(sender._window) < 16 and (sender._waiting or sender._ending) else None


def counts_by_the_clock(pace: Pace, now_us: int) -> None:
    while pace._slots and pace._slots[0][0] // HOUR_US < now_us // HOUR_US:
        pace._spent_us -= pace._slots.popleft()[1]


@pytest.mark.parametrize(
    ("place", "name", "fault", "noticed_by"),
    [
        (core_module, "read_frame", believes_any_sum, carries),
        (Receiver, "heard", takes_doubles, carries),
        (Sender, "heard", forgets_what_was_lost, carries),
        (Sender, "due_us", never_repeats, carries),
        (Pace, "_drop", counts_by_the_clock, keeps_the_share),
    ],
)
def test_a_planted_fault_is_noticed(
    place: object,
    name: str,
    fault: Callable[..., object],
    noticed_by: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noticed_by()
    monkeypatch.setattr(place, name, fault)
    with pytest.raises(AssertionError):
        noticed_by()
