"""What is known of other nodes: networks, buckets that nobody can fill alone, draws, scores, questions."""

from __future__ import annotations

import random
from typing import Any

import pytest
from chain_tools import GENESIS_TIME_MS, test_key
from reach_samples import phone_record, sample_record

from supervm.common.parts.reach.known import (
    BUCKET_NODES,
    FAILURES_MAX,
    HIDDEN_MAX,
    PAUSE_US,
    PROVEN_OF_GROUP,
    UNPROVEN_BUCKETS,
    UNPROVEN_OF_SOURCE,
    Known,
    KnownNodes,
)
from supervm.common.parts.reach.score import HOUR_US, score_of
from supervm.common.parts.reach.spots import Scope, spot_of
from supervm.protocol.base.codec import encode
from supervm.protocol.reach.record import NAT_SYMMETRIC, NodeRecord

NOW_MS = GENESIS_TIME_MS + 1_000
NOW_US = NOW_MS * 1_000
SECOND_US = 1_000_000
EDGES = (3,)


def address(number: int) -> str:
    return f"{20 + number // 250}.{number % 250}.0.1:7003"


def edge(number: int, **changes: Any) -> NodeRecord:
    return sample_record(f"edge{number}", **{"endpoints": (address(number),)} | changes)


def nodes(scope: Scope = Scope.WORLD) -> KnownNodes:
    return KnownNodes(test_key("self").public, scope, random.Random(3))


def hear(known: KnownNodes, record: NodeRecord, source: str = "teller") -> Known | None:
    return known.hear(NOW_US, record, encode(record), source)


def draw(known: KnownNodes, *, proven: bool = False, now_us: int = NOW_US, **without: Any) -> Known | None:
    how = {"tiers": EDGES, "without": (), "groups": ()} | without
    return known.draw(now_us, proven=proven, **how)


# --- networks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "group", "scope"),
    [
        ("20.1.2.3:7000", "20.1.0.0/16", Scope.WORLD),
        ("20.1.200.9:1", "20.1.0.0/16", Scope.WORLD),
        ("[2a00:1450:4001::5]:443", "2a00:1450::/32", Scope.WORLD),
        ("[::ffff:20.1.2.3]:7000", "20.1.0.0/16", Scope.WORLD),
        ("192.168.1.7:7000", "192.168.1.7", Scope.SITE),
        ("[fd00::7]:7000", "fd00::7", Scope.SITE),
        ("100.64.3.2:7000", "100.64.3.2", Scope.SITE),
        ("127.0.0.1:7000", "127.0.0.1:7000", Scope.MACHINE),
        ("[::1]:7000", "[::1]:7000", Scope.MACHINE),
    ],
)
def test_an_address_counts_for_its_network(endpoint: str, group: str, scope: Scope) -> None:
    spot = spot_of(endpoint)
    assert spot is not None
    assert (spot.endpoint, spot.group, spot.scope) == (endpoint, group, scope)


@pytest.mark.parametrize(
    "endpoint",
    [
        "example.org:7000",
        "serial:/dev/ttyUSB0",
        "20.1.2.3",
        "20.1.2.3:0",
        "20.1.2.3:65536",
        "20.1.2.3:+7",
        "20.1.2.3:٧",
        "20.1.2.3:0007000",
        "2a00::5:7000",
        "[20.1.2.3]:7000",
        "0.0.0.0:7000",
        "224.0.0.1:7000",
        "169.254.1.1:7000",
        "[fe80::1%eth0]:7000",
        "240.0.0.1:7000",
        "1.2.3:7000",
    ],
)
def test_what_is_no_ip_address_of_one_node_is_not_dialled_on_hearsay(endpoint: str) -> None:
    assert spot_of(endpoint) is None


# --- learning ---------------------------------------------------------------------------------------------------------


def test_of_two_records_the_one_with_the_higher_counter_holds() -> None:
    known = nodes()
    first, second = edge(1, load_percent=10), edge(1, load_percent=20, counter=GENESIS_TIME_MS + 1)
    for record in (second, first, second):
        found = hear(known, record)
        assert found is not None
        assert found.record == second
    assert len(known) == 1
    assert hear(known, sample_record("self")) is None, "of ourselves we know more"


def test_a_node_that_moves_keeps_the_history_of_addresses_that_it_keeps() -> None:
    known = nodes()
    hear(known, edge(1))
    assert known.prove(NOW_US, test_key("edge1").public, address(1)) is not None
    more = hear(known, edge(1, endpoints=(address(9), address(1)), counter=GENESIS_TIME_MS + 1))
    assert more is not None
    assert [place.proven_us for place in more.places] == [0, NOW_US]
    assert more.best().spot.endpoint == address(1)
    assert draw(known, proven=True) is more
    moved = hear(known, edge(1, endpoints=(address(9),), counter=GENESIS_TIME_MS + 2))
    assert moved is not None
    assert not moved.proven
    assert draw(known, proven=True) is None
    assert draw(known) is moved
    assert known.forgotten == [test_key("edge1").public]


def test_addresses_that_are_nearer_than_our_own_are_none() -> None:
    for scope, count in ((Scope.WORLD, 1), (Scope.SITE, 2), (Scope.MACHINE, 3)):
        found = hear(nodes(scope), edge(1, endpoints=(address(1), "10.0.0.1:1", "127.0.0.1:1")))
        assert found is not None
        assert len(found.places) == count


def test_one_teller_fills_an_eighth_whatever_it_tells() -> None:
    """A thousand nodes in a thousand networks, told by one; then another's get in all the same."""
    known = nodes()
    for number in range(1_000):
        hear(known, edge(number), "liar")
    assert len(known) <= UNPROVEN_OF_SOURCE * BUCKET_NODES == UNPROVEN_BUCKETS * BUCKET_NODES // 8
    got = [hear(known, edge(number), f"teller{number}") for number in range(1_000, 1_060)]
    assert sum(found is not None for found in got) > 45


def test_one_network_never_fills_what_is_proven() -> None:
    known = nodes()
    for number in range(200):
        record = edge(number, endpoints=(f"20.1.{number}.1:7003",))
        if hear(known, record, f"teller{number}") is not None:
            known.prove(NOW_US, record.node_id, record.endpoints[0])
    assert sum(item.proven for item in known) <= PROVEN_OF_GROUP * BUCKET_NODES


def test_who_answers_is_not_pushed_out_by_who_is_said_to_exist() -> None:
    known = nodes()
    honest = [edge(number) for number in range(40)]
    for record in honest:
        assert hear(known, record, f"teller{record.node_id[0]}") is not None
        known.prove(NOW_US, record.node_id, record.endpoints[0])
    for number in range(1_000, 2_000):
        hear(known, edge(number), f"liar{number % 8}")
    assert all((found := known.get(record.node_id)) is not None and found.proven for record in honest)


def test_who_does_not_answer_gives_way() -> None:
    known = nodes()
    for number in range(300):
        hear(known, edge(number), "teller")
    full = {item.node_id for item in known}
    refused = next(record for number in range(300) if (record := edge(number)).node_id not in full)
    for item in list(known):
        for _ in range(FAILURES_MAX):
            known.failed(item.node_id, item.places[0].spot.endpoint)
    assert hear(known, refused, "teller") is not None
    assert len(known) == len(full)


def test_phones_are_remembered_apart_the_newest_of_them() -> None:
    known = nodes()
    for number in range(HIDDEN_MAX + 5):
        hear(known, phone_record(f"phone{number}"))
    assert len(known) == HIDDEN_MAX
    assert known.get(test_key("phone4").public) is None
    assert draw(known, tiers=(4,)) is None


# --- choosing ---------------------------------------------------------------------------------------------------------


def test_a_draw_keeps_to_what_it_is_told() -> None:
    known = nodes()
    for number in range(5):
        hear(known, edge(number))
    ids = [test_key(f"edge{number}").public for number in range(5)]
    networks = [f"20.{number}.0.0/16" for number in range(5)]
    found = draw(known, without=ids[:3], groups=networks[4:])
    assert found is not None
    assert found.node_id == ids[3]
    assert draw(known, without=ids) is draw(known, groups=networks) is draw(known, tiers=(1, 2, 4)) is None
    assert draw(known, proven=True) is None


def test_a_node_that_was_tried_rests_longer_each_time() -> None:
    known = nodes()
    record = edge(1)
    hear(known, record)
    now_us = NOW_US
    for failures in range(4):
        known.tried(now_us, record.node_id, address(1))
        if failures:
            known.failed(record.node_id, address(1))
        pause_us = PAUSE_US << failures
        assert draw(known, now_us=now_us + pause_us - 1) is None
        assert draw(known, now_us=now_us + pause_us) is not None
        now_us += pause_us


def test_every_network_is_drawn_about_as_often_and_a_good_score_does_not_decide() -> None:
    known, drawn = nodes(), dict.fromkeys(range(6), 0)
    for number in range(6):
        hear(known, edge(number, load_percent=0 if number < 5 else 100), f"teller{number}")
    for _ in range(600):
        found = draw(known)
        assert found is not None
        drawn[int(found.places[0].spot.group.split(".")[1])] += 1
    assert min(drawn[number] for number in range(5)) > 40
    assert drawn[5] < min(drawn[number] for number in range(5))


def test_scores_go_down_with_load_and_failures_and_up_with_time() -> None:
    good = score_of(edge(1, load_percent=0), 0, 0)
    assert good == 1_100
    assert score_of(edge(1, load_percent=0, nat=NAT_SYMMETRIC), 0, 0) == 1_020
    assert score_of(edge(1, load_percent=40), 0, 0) == good - 200
    assert score_of(edge(1, load_percent=0), 2, 0) == good - 400
    assert score_of(edge(1, load_percent=0), 0, 3 * HOUR_US) == good + 150
    assert score_of(edge(1, load_percent=0), 0, 300 * HOUR_US) == good + 400


# --- questions --------------------------------------------------------------------------------------------------------
