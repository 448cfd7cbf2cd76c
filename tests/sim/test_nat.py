"""What NATs do, held against RFC 4787's words; and which pairs can be joined, held against NATs at work."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervm.sim.errors import SimulationError
from supervm.sim.net.nat import (
    FULL_CONE,
    KINDS,
    PORT_RESTRICTED,
    SYMMETRIC,
    UDP_BLOCKED,
    Behaviour,
    Nat,
    Path,
    Row,
    direct_opens,
    pairs,
    path_of,
    punch_opens,
    strict,
)
from supervm.sim.net.realms import DEPTH_MAX, Realms
from supervm.sim.net.translator import PORTS_END, PORTS_FROM, Endpoint, Translator

INNER, OTHER = Endpoint("10.0.1.1", 4401), Endpoint("10.0.1.2", 4401)
EDGE, STRANGER = Endpoint("198.18.0.1", 7003), Endpoint("198.18.0.2", 7003)
NEIGHBOUR = Endpoint("198.18.0.1", 7004)
"""At the edge's address, from another port."""
OUTER = "198.18.0.9"
SECOND_US = 1_000_000

BEHAVIOURS = st.sampled_from(list(Behaviour))
NATS = st.builds(
    Nat,
    mapping=BEHAVIOURS,
    filtering=BEHAVIOURS,
    tcp_filtering=st.none() | BEHAVIOURS,
    hairpin=st.booleans(),
    udp_blocked=st.booleans(),
)
ROWS = st.lists(NATS, max_size=DEPTH_MAX).map(tuple)

# --- one NAT ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mapping", "same_address", "same_everywhere"),
    [
        (Behaviour.INDEPENDENT, True, True),
        (Behaviour.ADDRESS, True, False),
        (Behaviour.ADDRESS_AND_PORT, False, False),
    ],
)
def test_which_destinations_share_a_mapping(mapping: Behaviour, same_address: bool, same_everywhere: bool) -> None:
    nat = Translator(Nat(mapping), OUTER)
    first = nat.outward(INNER, EDGE, 0)
    assert first == nat.outward(INNER, EDGE, 1), "the same destination always does"
    assert (nat.outward(INNER, NEIGHBOUR, 2) == first) is same_address
    assert (nat.outward(INNER, STRANGER, 3) == first) is same_everywhere
    assert nat.outward(OTHER, EDGE, 4) != first, "two inner endpoints never do"


@pytest.mark.parametrize(
    ("filtering", "neighbour", "stranger"),
    [
        (Behaviour.INDEPENDENT, True, True),
        (Behaviour.ADDRESS, True, False),
        (Behaviour.ADDRESS_AND_PORT, False, False),
    ],
)
def test_who_is_let_in(filtering: Behaviour, neighbour: bool, stranger: bool) -> None:
    nat = Translator(Nat(filtering=filtering), OUTER)
    seen = nat.outward(INNER, EDGE, 0)
    assert seen is not None
    assert nat.inward(seen.port, EDGE, 1) == INNER
    assert (nat.inward(seen.port, NEIGHBOUR, 1) == INNER) is neighbour
    assert (nat.inward(seen.port, STRANGER, 1) == INNER) is stranger
    assert nat.inward(seen.port + 1, EDGE, 1) is None, "nobody has that port"


@pytest.mark.parametrize(("udp", "expiry_us"), [(True, 120 * SECOND_US), (False, 7_440 * SECOND_US)])
def test_a_mapping_ends_when_nothing_has_gone_out_for_so_long(udp: bool, expiry_us: int) -> None:
    nat = Translator(PORT_RESTRICTED, OUTER, udp=udp)
    seen = nat.outward(INNER, EDGE, 0)
    assert seen is not None
    assert nat.inward(seen.port, EDGE, expiry_us) == INNER
    later_us = 2 * expiry_us
    assert (nat.inward(seen.port, EDGE, later_us) == INNER) is not udp, "only TCP's are kept up from outside"
    assert nat.inward(seen.port, EDGE, 4 * expiry_us) is None
    assert nat.outward(INNER, EDGE, 4 * expiry_us) != seen, "the next one has another port"


def test_a_filter_forgets_whom_the_node_has_sent_to_although_the_mapping_lasts() -> None:
    nat = Translator(PORT_RESTRICTED, OUTER, udp=True)
    seen = nat.outward(INNER, EDGE, 0)
    assert seen is not None
    assert nat.outward(INNER, STRANGER, 100 * SECOND_US) == seen
    assert nat.inward(seen.port, STRANGER, 130 * SECOND_US) == INNER
    assert nat.inward(seen.port, EDGE, 130 * SECOND_US) is None


def test_ports_run_out_and_come_back() -> None:
    nat = Translator(SYMMETRIC, OUTER, udp=True)
    for number in range(PORTS_END - PORTS_FROM):
        assert nat.outward(INNER, Endpoint(f"h{number}", 1), 0) is not None
    assert nat.outward(INNER, EDGE, 1) is None
    assert nat.outward(INNER, EDGE, 121 * SECOND_US) is not None


def test_udp_is_blocked_and_tcp_is_not() -> None:
    assert Translator(UDP_BLOCKED, OUTER, udp=True).outward(INNER, EDGE, 0) is None
    assert Translator(UDP_BLOCKED, OUTER).outward(INNER, EDGE, 0) is not None


def test_a_router_that_was_off_has_no_mappings() -> None:
    nat = Translator(FULL_CONE, OUTER)
    seen = nat.outward(INNER, EDGE, 0)
    assert seen is not None
    nat.forget()
    assert nat.inward(seen.port, EDGE, 0) is None


# --- pairs ------------------------------------------------------------------------------------------------------------

FULL, ADDR, PORT, SYM, TCP = "full-cone", "address-restricted", "port-restricted", "symmetric", "udp-blocked"
RELAYED = {(PORT, SYM), (SYM, SYM), (SYM, TCP)}


def test_the_path_of_each_of_the_21_pairs() -> None:
    assert len(pairs()) == 21
    for pair in pairs():
        expected = Path.RELAYED if pair in RELAYED else Path.PUNCHED
        if {"public", FULL} & set(pair):
            expected = Path.DIRECT
        assert path_of(KINDS[pair[0]], KINDS[pair[1]]) is expected, pair


def test_the_path_where_nats_follow_the_state_of_tcp() -> None:
    """As Linux does: TCP comes in by endpoint only, so what joins a symmetric NAT is UDP, or a relay."""
    found: dict[Path, set[tuple[str, str]]] = {}
    for pair in pairs():
        found.setdefault(path_of(*(strict(KINDS[name]) for name in pair)), set()).add(pair)
    assert found[Path.DIRECT] == {pair for pair in pairs() if "public" in pair}
    assert found[Path.WEBRTC] == {(FULL, SYM), (ADDR, SYM)}
    assert found[Path.RELAYED] == RELAYED
    assert len(found[Path.PUNCHED]) == 10


def test_without_webrtc_a_relay_joins_what_only_udp_would() -> None:
    assert path_of(strict(KINDS[FULL]), strict(KINDS[SYM]), webrtc=False) is Path.RELAYED


class Pair:
    """Two nodes behind NATs, and the edge to which both are linked."""

    def __init__(self, a: Row, b: Row, *, udp: bool) -> None:
        self.realms, self.udp = Realms(), udp
        for name, row in (("edge", ()), ("a", a), ("b", b)):
            self.realms.place(name, self.realms.add(row), 7_000)
        self.told = {name: self.realms.told(name, "edge", 0, udp=udp) for name in ("a", "b")}

    def send(self, name: str, other: str) -> bool:
        to = self.told[other]
        arrival = None if to is None else self.realms.send(name, to, 1, udp=self.udp)
        return arrival is not None and arrival.name == other


@given(a=ROWS, b=ROWS, udp=st.booleans())
def test_the_rules_say_what_packets_through_nats_do(a: Row, b: Row, udp: bool) -> None:
    assert (Pair(a, b, udp=udp).send("a", "b") or Pair(a, b, udp=udp).send("b", "a")) is direct_opens(a, b, udp=udp)
    pair = Pair(a, b, udp=udp)
    tried = [pair.send(one, other) for one, other in [("a", "b"), ("b", "a")] * 2]
    assert any(tried) is punch_opens(a, b, udp=udp)


def test_all_pairs_of_single_nats_in_packets() -> None:
    every = [Nat(mapping, filtering) for mapping, filtering in product(Behaviour, Behaviour)]
    for one, other in product(every, every):
        pair = Pair((one,), (other,), udp=False)
        tried = [pair.send(a, b) for a, b in [("a", "b"), ("b", "a")] * 2]
        assert any(tried) is punch_opens((one,), (other,)), (one, other)


# --- realms -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hairpin", [False, True])
def test_two_nodes_of_one_carrier_meet_only_over_a_hairpin(hairpin: bool) -> None:
    realms = Realms()
    carrier = realms.behind(Nat(hairpin=hairpin), realms.internet)
    realms.place("edge", realms.internet, 7_003)
    for name in ("a", "b"):
        realms.place(name, realms.behind(Nat(), carrier), 4_401)
    told = realms.told("b", "edge", 0)
    assert told is not None
    arrival = realms.send("a", told, 1)
    assert (arrival is not None and arrival.name == "b") is hairpin


def test_on_one_lan_addresses_are_there_for_each_other_only() -> None:
    realms = Realms()
    flat = realms.add((SYMMETRIC,))
    here = realms.place("a", flat, 4_401)
    realms.place("b", flat, 4_401)
    realms.place("far", realms.add((SYMMETRIC,)), 4_401)
    realms.place("public", realms.internet, 4_401)
    assert realms.send("b", here, 0) == ("a", realms.where("b")[1])
    assert realms.send("far", here, 0) is None
    assert realms.send("public", here, 0) is None
    assert realms.send("b", Endpoint(here.address, 1), 0) is None, "nobody listens at that port"


def test_whoever_moves_has_another_address_and_leaves_the_old_one() -> None:
    realms = Realms()
    realms.place("edge", realms.internet, 7_003)
    old = realms.place("a", realms.internet, 4_401)
    realms.place("a", realms.add((FULL_CONE,)), 4_401)
    assert realms.send("edge", old, 0) is None
    told = realms.told("a", "edge", 1)
    assert told is not None
    assert told.address != old.address
    realms.remove("a")
    assert realms.send("edge", told, 2) is None
    with pytest.raises(SimulationError, match="a is in no network"):
        realms.where("a")


def test_there_are_not_more_nats_in_a_row_than_allowed() -> None:
    with pytest.raises(SimulationError, match="5 NATs in a row; at most 4"):
        Realms().add((FULL_CONE,) * 5)
