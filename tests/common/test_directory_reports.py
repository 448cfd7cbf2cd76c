"""What those above are told of nodes below, and which of those above are asked."""

from __future__ import annotations

import random

from chain_tools import test_key
from hypothesis import given
from hypothesis import strategies as st
from reach_samples import sample_record

from supervm.common.parts.directory.distances import ANYBODY, SAME_US, Distances
from supervm.common.parts.directory.reporting import AT_ONCE_MAX, MORE_US, REPORT_US, Reports
from supervm.common.parts.directory.table import RecordTable
from supervm.protocol.base.codec import encode
from supervm.protocol.reach.record import NodeRecord

NODES = [test_key(f"edge{number}").public for number in range(AT_ONCE_MAX + 10)]
RECORDS: list[NodeRecord] = [sample_record(f"edge{number}") for number in range(len(NODES))]
ROOT, OTHER = b"r" * 32, b"o" * 32


def reports(count: int = len(NODES)) -> tuple[Reports, RecordTable]:
    table = RecordTable(test_key("me").public, 1_000)
    for record in RECORDS[:count]:
        table.put(record, encode(record), "1.2.0.0/16")
    return Reports(table), table


def raws(*numbers: int) -> list[bytes]:
    return [encode(RECORDS[number]) for number in numbers]


def test_news_wait_for_more_and_are_told_once() -> None:
    told, _ = reports()
    told.tell(0, [ROOT])
    assert told.deadline_us is None
    told.note(5, NODES[0])
    told.note(9, NODES[1])
    assert told.deadline_us == 5 + REPORT_US
    assert told.take(5 + REPORT_US) == [(ROOT, raws(0, 1))]
    assert told.deadline_us is None
    told.note(REPORT_US * 2, NODES[0])
    assert told.take(REPORT_US * 3) == [(ROOT, raws(0))]


def test_more_than_may_be_told_at_once_follows_a_second_later() -> None:
    told, _ = reports()
    told.tell(0, [ROOT])
    for node_id in NODES:
        told.note(0, node_id)
    assert told.take(REPORT_US) == [(ROOT, raws(*range(AT_ONCE_MAX)))]
    assert told.deadline_us == REPORT_US + MORE_US
    assert told.take(REPORT_US + MORE_US) == [(ROOT, raws(*range(AT_ONCE_MAX, len(NODES))))]
    assert told.deadline_us is None


def test_who_comes_later_or_again_is_told_all_there_is() -> None:
    told, _ = reports()
    for number in range(3):
        told.note(0, NODES[number])
    assert told.deadline_us is None, "there is nobody to be told"
    told.tell(7, [ROOT])
    assert told.deadline_us == 7 + REPORT_US
    told.take(7 + REPORT_US)
    told.tell(8, [ROOT, OTHER])
    assert told.take(8 + REPORT_US) == [(OTHER, raws(0, 1, 2))]
    told.tell(9, [OTHER])
    told.tell(10, [ROOT, OTHER])
    assert told.take(10 + REPORT_US) == [(ROOT, raws(0, 1, 2))]


def test_nobody_is_told_of_a_node_that_was_forgotten() -> None:
    told, _ = reports()
    told.tell(0, [ROOT])
    told.note(0, NODES[0])
    told.note(0, NODES[1])
    told.forget([NODES[0], NODES[5]])
    assert told.take(REPORT_US) == [(ROOT, raws(1))]


@given(st.lists(st.tuples(st.sampled_from(["note", "forget", "take"]), st.integers(0, len(NODES) - 1)), max_size=300))
def test_whatever_happens_every_news_is_told_and_nothing_is_kept_twice(steps: list[tuple[str, int]]) -> None:
    told, _ = reports()
    told.tell(0, [ROOT])
    now_us, waiting = 0, dict[bytes, None]()
    for step, number in steps:
        if step == "note":
            waiting.pop(NODES[number], None)
            waiting[NODES[number]] = None
            told.note(now_us, NODES[number])
        elif step == "forget":
            waiting.pop(NODES[number], None)
            told.forget([NODES[number]])
        else:
            now_us += REPORT_US
            records = [raw for _, taken in told.take(now_us) for raw in taken]
            first = list(waiting)[:AT_ONCE_MAX]
            assert records == [encode(RECORDS[NODES.index(node_id)]) for node_id in first]
            for node_id in first:
                del waiting[node_id]
            assert (told.deadline_us is None) == (not waiting)
        assert len(told) <= len(NODES)


def test_a_node_that_has_news_all_the_time_takes_no_more_room() -> None:
    told, _ = reports(1)
    told.tell(0, [ROOT])
    for _ in range(10_000):
        told.note(0, NODES[0])
    assert len(told) == 1
    assert len(told._numbers) < 2_000
    assert told.take(REPORT_US) == [(ROOT, raws(0))]


def test_the_nearest_are_asked_after_everybody_was_once() -> None:
    distances, rng = Distances(), random.Random(1)
    peers = [b"near", b"same", b"far"]
    assert distances.nearest(peers, rng) == peers
    distances.note(b"near", 10_000)
    distances.note(b"far", 300_000)
    assert distances.nearest(peers, rng) == [b"same"]
    distances.note(b"same", 10_000 + SAME_US)
    asked = [tuple(distances.nearest(peers, rng)) for _ in range(40 * ANYBODY)]
    assert set(asked) == {(b"near", b"same"), tuple(peers)}
    assert 10 < asked.count(tuple(peers)) < 120, "one in so many goes to anybody"


def test_a_shorter_time_is_believed_at_once_a_longer_one_by_and_by() -> None:
    distances = Distances()
    distances.note(b"peer", 100_000)
    distances.note(b"peer", 900_000)
    assert distances.of(b"peer") == 200_000
    distances.note(b"peer", 50_000)
    assert distances.of(b"peer") == 50_000
    distances.forget(b"peer")
    assert distances.of(b"peer") == 0
