"""The records that a node keeps for others: bounds, sources, attached nodes, places, and which of them are chosen."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from chain_tools import GENESIS_TIME_MS, test_key
from hypothesis import given
from hypothesis import strategies as st
from reach_samples import sample_record

from supervm.common.parts.directory.choosing import best_of, fits, score_of, seed_of
from supervm.common.parts.directory.directory import phone_capacity
from supervm.common.parts.directory.table import ASKED, SCAN_MAX, Entry, RecordTable
from supervm.protocol.base.codec import encode
from supervm.protocol.reach.record import NAT_PUBLIC, NAT_SYMMETRIC, Ability, NodeRecord
from supervm.protocol.wire.reach import Wanted

NOW_MS = GENESIS_TIME_MS
OWN = test_key("me").public
RECORDS: dict[int, NodeRecord] = {}


def record(number: int, **changes: Any) -> NodeRecord:
    if changes:
        return sample_record(f"edge{number}", **changes)
    if number not in RECORDS:
        RECORDS[number] = sample_record(f"edge{number}")
    return RECORDS[number]


def put(table: RecordTable, number: int, source: str = ASKED, **changes: Any) -> Entry | None:
    made = record(number, **changes)
    return table.put(made, encode(made), source)


def ids(*numbers: int) -> list[bytes]:
    return [test_key(f"edge{number}").public for number in numbers]


def test_the_record_that_was_used_least_recently_goes_first() -> None:
    table = RecordTable(OWN, 3)
    for number in (1, 2, 3):
        put(table, number)
    assert table.get(ids(1)[0], NOW_MS) is not None
    put(table, 4)
    assert [entry.node_id for entry in table] == ids(3, 1, 4)
    assert table.forgotten == ids(2)


def test_an_attached_node_stays_and_half_of_the_table_is_for_others() -> None:
    table = RecordTable(OWN, 4)
    for number in range(4):
        put(table, number)
        table.attach(ids(number)[0])
    for number in range(4, 12):
        put(table, number)
    assert [entry.attached for entry in table].count(True) == 2
    assert {*ids(0, 1)} <= {entry.node_id for entry in table}
    assert len(table) == 4
    table.detach(ids(0)[0])
    for number in range(12, 16):
        put(table, number)
    assert ids(0)[0] not in {entry.node_id for entry in table}


def test_one_network_that_brings_records_fills_a_quarter() -> None:
    table = RecordTable(OWN, 40)
    for number in range(8):
        put(table, number, "honest")
    for number in range(100, 200):
        put(table, number, "flooder")
    by_source = [entry.source for entry in table]
    assert (by_source.count("honest"), by_source.count("flooder")) == (8, 10)


def test_of_one_node_the_newest_record_holds_and_none_of_our_own_is_kept() -> None:
    table = RecordTable(OWN, 4)
    put(table, 1, counter=NOW_MS + 5)
    assert put(table, 1, counter=NOW_MS + 4) is None
    assert put(table, 1, counter=NOW_MS + 6, region="us-west") is not None
    assert [entry.record.region for entry in table] == ["us-west"]
    mine = sample_record("me")
    assert table.put(mine, encode(mine), ASKED) is None


def test_a_record_that_has_ended_is_no_answer() -> None:
    table = RecordTable(OWN, 4)
    put(table, 1, expires_ms=NOW_MS + 10)
    assert table.get(ids(1)[0], NOW_MS + 9) is not None
    assert table.get(ids(1)[0], NOW_MS + 10) is None
    assert len(table) == 0


def test_a_question_for_any_goes_through_so_many_and_begins_elsewhere_each_time() -> None:
    table = RecordTable(OWN, 2_000)
    base = record(1)
    for number in range(1_500):
        made = msgspec.structs.replace(base, node_id=number.to_bytes(32, "big"))
        table.put(made, b"", ASKED)
    seen = [{entry.node_id for entry in table.candidates(Wanted(), first)} for first in (0, 700, 1_400)]
    assert [len(some) for some in seen] == [SCAN_MAX] * 3
    assert len(set.union(*seen)) > 1_100


@given(st.lists(st.tuples(st.sampled_from(["put", "get", "attach", "detach"]), st.integers(0, 12), st.integers(0, 2))))
def test_whatever_happens_the_bounds_hold_and_every_index_names_the_same(steps: list[tuple[str, int, int]]) -> None:
    table = RecordTable(OWN, 8)
    for what, number, source in steps:
        if what == "put":
            put(table, number, (ASKED, "one", "other")[source])
        elif what == "get":
            table.get(ids(number)[0], NOW_MS)
        elif what == "attach":
            table.attach(ids(number)[0])
        else:
            table.detach(ids(number)[0])
        entries = list(table)
        assert len(entries) <= 8
        assert sum(entry.attached for entry in entries) <= 4
        for name in ("one", "other"):
            unattached = [entry for entry in entries if entry.source == name and not entry.attached]
            assert len(unattached) <= 4
        found = list(table.candidates(Wanted(), 0))
        assert sorted(entry.node_id for entry in found) == sorted(entry.node_id for entry in entries)


# --- choosing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "is_fit"),
    [
        (Wanted(), True),
        (Wanted(tiers=(2, 3)), True),
        (Wanted(tiers=(1,)), False),
        (Wanted(region="eu-west"), True),
        (Wanted(region="us-east"), False),
        (Wanted(features=("reach1",)), True),
        (Wanted(features=("reach1", "other1")), False),
        (Wanted(task=3), True),
        (Wanted(task=2), False),
        (Wanted(load_percent_max=90), True),
        (Wanted(load_percent_max=84), False),
        (Wanted(cores_min=8, memory_gib_min=16), True),
        (Wanted(cores_min=9), False),
        (Wanted(memory_gib_min=17), False),
        (Wanted(gpus_min=1), False),
    ],
)
def test_a_record_fits_what_is_wanted(wanted: Wanted, is_fit: bool) -> None:
    busy = wanted.load_percent_max != 100
    assert fits(record(1, load_percent=85 if busy else 37, ability=Ability(1, 8, 16, 0, 0, 0)), wanted) is is_fit


def test_a_busy_node_takes_no_task() -> None:
    assert fits(record(1, load_percent=80), Wanted(task=4))
    assert not fits(record(1, load_percent=81), Wanted(task=4))


def entry_of(number: int, *, latency_ms: int = 0, attached: bool = False, **changes: Any) -> Entry:
    made = record(number, **{"load_percent": 0, **changes})
    return Entry(made, encode(made), ASKED, latency_ms=latency_ms, attached=attached)


@pytest.mark.parametrize(
    ("entry", "wanted", "score"),
    [
        (entry_of(1, nat=NAT_PUBLIC), Wanted(), 1_100),
        (entry_of(1, nat=NAT_SYMMETRIC, load_percent=30), Wanted(), 870),
        (entry_of(1, latency_ms=40), Wanted(), 1_060),
        (entry_of(1, attached=True), Wanted(), 1_200),
        (entry_of(1, ability=Ability(1, 64, 16, 0, 0, 1)), Wanted(), 1_100),
        (entry_of(1, ability=Ability(1, 64, 16, 0, 0, 1)), Wanted(cores_min=2), 1_150),
        (entry_of(1, ability=Ability(1, 63, 16, 0, 0, 1)), Wanted(cores_min=2, gpus_min=1), 1_200),
    ],
)
def test_the_score_of_a_node(entry: Entry, wanted: Wanted, score: int) -> None:
    assert score_of(entry, wanted) == score


def test_the_best_come_first_and_equal_ones_are_spread_over_those_who_ask() -> None:
    entries = [entry_of(number, load_percent=10 * (number > 8)) for number in range(12)]
    first = []
    for asker in range(40):
        found = best_of(entries, Wanted(), 3, seed_of(Wanted(), bytes([asker])), NOW_MS)
        assert all(entry.record.load_percent == 0 for entry in found)
        assert found == best_of(entries[::-1], Wanted(), 3, seed_of(Wanted(), bytes([asker])), NOW_MS)
        first.append(found[0].node_id)
    assert len(set(first)) >= 6


def test_who_wants_somebody_near_gets_nobody_of_unknown_distance() -> None:
    entries = [entry_of(1), entry_of(2, latency_ms=20), entry_of(3, latency_ms=60)]
    found = best_of(entries, Wanted(latency_ms_max=50), 5, b"", NOW_MS)
    assert [entry.node_id for entry in found] == ids(2)


@pytest.mark.parametrize(
    ("memory_mib", "capacity"), [(256, 50), (512, 100), (1_023, 100), (1_024, 200), (2_048, 300), (4_096, 500)]
)
def test_a_phone_keeps_what_its_memory_is_good_for(memory_mib: int, capacity: int) -> None:
    assert phone_capacity(memory_mib << 20) == capacity
