"""The parts of the exact engine, each against a plain model or a table."""

from __future__ import annotations

import heapq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervm.common.contract.records import Append, Prune
from supervm.common.contract.tables import PrimaryKey, Table, TableRow
from supervm.sim.errors import SimulationError
from supervm.sim.exact import (
    KEPT,
    LOST,
    REGIONS,
    RTT_MS_P50,
    RTT_MS_P90,
    TORN,
    WORLD,
    BucketQueue,
    Choice,
    Choices,
    DiskProfile,
    Geography,
    HostClock,
    Stream,
    VirtualDisk,
    fair_rates,
    one_way_us,
)


class Row(TableRow, frozen=True):
    key: PrimaryKey[int]
    value: bytes


TABLE = Table("rows", Row)


@given(st.lists(st.one_of(st.integers(0, 20), st.none()), max_size=200))
def test_the_queue_is_a_stable_priority_queue(script: list[int | None]) -> None:
    """A number pushes an item so much later than now, None pops: always the same as a heap of (time, number) pairs."""
    queue: BucketQueue[int] = BucketQueue()
    model: list[tuple[int, int]] = []
    for number, ahead in enumerate(script):
        if ahead is not None:
            queue.push(queue.now_us + ahead, number)
            heapq.heappush(model, (queue.now_us + ahead, number))
        elif model:
            assert queue.next_us() == model[0][0]
            assert queue.pop() == heapq.heappop(model)
        else:
            with pytest.raises(IndexError):
                queue.pop()
            queue.advance(queue.now_us + 3)
        assert len(queue) == len(model)
    assert [queue.pop() for _ in range(len(queue))] == [heapq.heappop(model) for _ in range(len(model))]


AHEAD = st.one_of(st.integers(0, 3), st.integers(0, 5_000))


@given(st.lists(st.tuples(st.lists(AHEAD, max_size=4), AHEAD, st.integers(0, 6)), max_size=40))
def test_the_queue_gives_what_is_due_while_more_is_asked_for(script: list[tuple[list[int], int, int]]) -> None:
    """As a world runs it: spans of time, items that ask for others when they come, and runs that stop half-way."""
    queue: BucketQueue[tuple[int, int]] = BucketQueue()
    model: list[tuple[int, int, int]] = []
    count = 0

    def ask(ahead: int, more: int) -> None:
        nonlocal count
        count += 1
        queue.push(queue.now_us + ahead, (count, more))
        heapq.heappush(model, (queue.now_us + ahead, count, more))

    for aheads, span_us, most in script:
        for ahead in aheads:
            ask(ahead, ahead)
        end_us = queue.now_us + span_us
        for taken, (number, more) in enumerate(queue.due(end_us)):
            assert (queue.now_us, number, more) == heapq.heappop(model)
            assert len(queue) == len(model)
            if more:
                ask(more // 2, more // 3)
            if taken == most:
                break
        else:
            assert not model or model[0][0] > end_us
            queue.advance(end_us)
        assert queue.next_us() == (model[0][0] if model else None)


def test_the_queue_refuses_the_past() -> None:
    """Neither an item nor the time itself goes back, and time does not pass over an item."""
    queue: BucketQueue[str] = BucketQueue()
    queue.push(5, "a")
    with pytest.raises(SimulationError):
        queue.advance(6)
    queue.advance(5)
    queue.push(5, "b")
    assert [queue.pop(), queue.pop()] == [(5, "a"), (5, "b")]
    with pytest.raises(SimulationError):
        queue.push(4, "c")


@pytest.mark.parametrize(
    ("flows", "up", "down", "rates"),
    [
        ([("a", "x")], {"a": 10}, {"x": 4}, [4]),
        ([("a", "x"), ("a", "y")], {"a": 10}, {"x": 100, "y": 100}, [5, 5]),
        ([("a", "x"), ("a", "y")], {"a": 10}, {"x": 2, "y": 100}, [2, 8]),
        ([("a", "x"), ("b", "x"), ("b", "y")], {"a": 10, "b": 10}, {"x": 6, "y": 100}, [3, 3, 7]),
        ([("a", "x"), ("b", "x")], {"a": 1, "b": 100}, {"x": 10}, [1, 9]),
        ([("a", "x")], {}, {}, [0]),
        ([("a", "x")], {"a": 7}, {}, [7]),
        ([("a", "x"), ("a", "y"), ("a", "z")], {"a": 2}, {}, [1, 1, 1]),
    ],
)
def test_bandwidth_is_shared_max_min_fair(
    flows: list[tuple[str, str]], up: dict[str, int], down: dict[str, int], rates: list[int]
) -> None:
    """Nobody gets more without somebody who has no more getting less."""
    assert fair_rates(flows, up, down) == rates


def test_a_round_trip_is_halved_in_one_place() -> None:
    """One way is half of the table's round trip; the tables are symmetric and have no empty diagonal."""
    assert one_way_us(64_000) == 32_000
    for a in range(len(REGIONS)):
        for b in range(len(REGIONS)):
            assert 2 * WORLD.delay_us(a, b) == 1_000 * RTT_MS_P50[a][b] == 1_000 * RTT_MS_P50[b][a] > 0
            assert 2 * WORLD.spread_us(a, b) == 1_000 * (RTT_MS_P90[a][b] - RTT_MS_P50[a][b])
    with pytest.raises(SimulationError):
        Geography([[2, 4], [5, 2]], [[2, 4], [5, 2]])


def test_streams_are_named_and_independent() -> None:
    """A stream depends on seed and name only, not on what was drawn from others."""
    one, other = Choices(1), Choices(1)
    other.stream("a").word()
    assert [one.stream("b").below(10) for _ in range(20)] == [other.stream("b").below(10) for _ in range(20)]
    assert Choices(1).stream("a").word() != Choices(2).stream("a").word()
    assert Stream(1234567).word() == 6457827717110365317  # SplitMix64's published first output for this seed


@given(st.lists(st.integers(0, 2), max_size=60), st.sets(st.integers(0, 59)))
def test_deleting_a_choice_shifts_no_other(subjects: list[int], deleted: set[int]) -> None:
    """A replay without some choices makes all the others as before, and those harmless."""

    def play(choices: Choices) -> list[int]:
        return [choices.fault("drop", str(subject), 0, lambda stream: stream.below(3)) for subject in subjects]

    first = Choices(7)
    values = play(first)
    kept = [choice for number, choice in enumerate(first.recorded) if number not in deleted]
    again = Choices(7, replay=kept)
    replayed = play(again)
    assert again.recorded == kept
    assert all(new in (0, old) for new, old in zip(replayed, values, strict=True))
    assert sum(map(bool, replayed)) == len(kept)
    with pytest.raises(SimulationError):
        Choices(1, replay=[Choice("a", "b", 0, 0, 1), Choice("a", "b", 0, 0, 2)])


@given(st.integers(-50_000_000, 50_000_000), st.integers(-200_000, 200_000), st.integers(0, 10**9))
def test_a_clock_is_turned_back_into_world_time(offset_us: int, drift_ppm: int, gone_us: int) -> None:
    """`when_us` is the first moment at which local time has come."""
    start_us = 10**12
    clock = HostClock(offset_us, drift_ppm, start_us=start_us)
    local_us = clock.raw_us(start_us + gone_us)
    when_us = clock.when_us(local_us)
    assert clock.raw_us(when_us) >= local_us > clock.raw_us(when_us - 1)


def test_a_clock_never_goes_back_within_a_life() -> None:
    """After a step backwards local time stands still until it has caught up; a new life starts from what is shown."""
    clock = HostClock(500)
    assert clock.local_us(1_000) == 1_500
    clock.step(1_000, -300)
    assert [clock.local_us(now_us) for now_us in (1_000, 1_200, 1_400)] == [1_500, 1_500, 1_600]
    clock.step(1_400, -1_000)
    clock.new_life()
    assert clock.local_us(1_400) == 600


def disk_with(*groups: bytes) -> VirtualDisk:
    """Return a disk whose log has one group per payload, and whose table has as many rows."""
    disk = VirtualDisk((TABLE,))
    for number, payload in enumerate(groups):
        disk.waiting.append((number + 1, (Append(payload), TABLE.put(Row(number, payload)))))
        disk.begin(None)
        disk.end()
    disk.crash()
    return disk


@pytest.mark.parametrize(
    ("outcome", "rows", "log", "told"), [(LOST, 1, [b"a"], 0), (TORN, 2, [b"a"], 0), (KEPT, 2, [b"a", b"b"], 1)]
)
def test_a_crash_in_the_middle_of_a_write(outcome: int, rows: int, log: list[bytes], told: int) -> None:
    """The group under way is lost, torn between tables and log, or there after all; what only waited is lost."""
    disk = disk_with(b"a")
    disk.waiting.append((2, (Append(b"b"), TABLE.put(Row(1, b"b")))))
    disk.begin(None)
    disk.waiting.append((3, (Append(b"c"),)))
    assert len(disk.lose_power(outcome)) == told
    assert (TABLE.count(disk), disk.log()) == (rows, log)
    assert not disk.waiting


@pytest.mark.parametrize("outcome", [LOST, TORN, KEPT])
def test_a_lost_log_begins_anew_with_the_write_that_asks_for_it(outcome: int) -> None:
    """Power lost before or between: the log stays lost; afterwards it holds what that write put there."""
    disk = disk_with(b"a", b"b")
    disk.lose_log()
    begin = (TABLE.put(Row(9, b"epoch")), Prune((b"kept",), begin=True), Append(b"vote"))
    disk.waiting.append((3, begin))
    disk.begin(None)
    assert disk.log_lost
    disk.lose_power(outcome)
    assert (disk.log_lost, TABLE.get(disk, 9) is None) == (outcome != KEPT, outcome == LOST)
    assert disk.log() == ([b"kept", b"vote"] if outcome == KEPT else [])


def test_writes_share_groups_and_take_their_time() -> None:
    """What is asked for during a write goes into the next one; size, factor and jitter count."""
    disk = VirtualDisk((TABLE,), DiskProfile(write_us=100, bytes_per_s=1_000_000))
    disk.waiting.append((1, (Append(bytes(68)),)))
    assert disk.begin(None) == 200
    with pytest.raises(SimulationError):
        disk.begin(None)
    disk.waiting += [(2, (Append(b""),)), (3, ())]
    disk.end()
    disk.slow(10)
    assert disk.begin(None) == 1_320
    assert [token for token, _ in disk.end()] == [2, 3]


@pytest.mark.parametrize(
    ("damage", "log", "lost"),
    [
        (lambda disk: disk.flip_bit(2), [b"a", b"b"], False),
        (lambda disk: disk.flip_bit(0), [], True),
        (lambda disk: disk.lose_log(), [], True),
        (lambda disk: disk.lose_suffix(2), [b"a"], False),
    ],
)
def test_damage_to_the_log(damage: object, log: list[bytes], lost: bool) -> None:
    """A flipped bit in the last group is a torn tail, anywhere else it makes an observer, as a lost log does."""
    disk = disk_with(b"a", b"b", b"c")
    damage(disk)  # type: ignore[operator]
    assert (disk.log(), disk.log_lost, TABLE.count(disk)) == (log, lost, 3)


def test_a_backup_brings_back_everything_and_shows_nothing() -> None:
    """After `restore` tables and log are those of the moment of the snapshot; pruning makes one group."""
    disk = disk_with(b"a", b"b")
    backup = disk.snapshot()
    disk.commit((Prune((b"z",)), TABLE.put(Row(9, b"z"))))
    disk.restore(backup)
    assert (disk.log(), TABLE.count(disk), disk.log_lost) == ([b"a", b"b"], 2, False)
