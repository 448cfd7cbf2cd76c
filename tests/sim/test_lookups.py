"""Which tier had the answer to a look-up is seen from the messages."""

from __future__ import annotations

from typing import Any

import pytest

from supervm.common.parts.directory.messages import FindNodes, wanted_of
from supervm.common.parts.directory.questions import Sought
from supervm.protocol.base.address import encode_node_id
from supervm.sim.exact import Deployment, FindingDeployment, key
from supervm.sim.report.lookups import Lookups

SECOND_US = 1_000_000


class Searching:
    """Two phones at an edge each, both edges at a miner each."""

    def __init__(self) -> None:
        self.net = FindingDeployment(l1=4, l2=2, l3=2, l4=2, uplinks={2: 0, 3: 1, 4: 1})
        self.lookups = Lookups(self.net)
        self.net.start(60 * SECOND_US)

    def ask(self, phone: str, node: str) -> None:
        node_id = self.net.id_of(node)
        token = self.net.world.command(self.net.id_of(phone), FindNodes(nodes=(encode_node_id(node_id),)))
        self.lookups.ask(self.net.host(phone), token, Sought(node_id))

    def tiers(self) -> list[tuple[int, bool]]:
        """How the look-ups since the last time ended: the tier, and whether a node was found."""
        self.net.world.run(5 * SECOND_US)
        ended, self.lookups.answers = [(one.tier, one.found) for one in self.lookups.answers], []
        return ended


@pytest.fixture(scope="module")
def searching() -> Searching:
    return Searching()


def test_what_a_phone_knows_takes_no_time(searching: Searching) -> None:
    searching.ask("l4-0", "l3-0")
    assert [(one.took_us, one.tier, one.found) for one in searching.lookups.answers] == [(0, 4, True)]
    assert searching.tiers() == [(4, True)]


def test_the_tier_that_has_the_answer_is_told_and_then_those_on_the_way_have_it(searching: Searching) -> None:
    searching.ask("l4-0", "l1-2")
    assert searching.tiers() == [(2, True)], "a miner knows all validators"
    searching.ask("l4-0", "l1-2")
    assert searching.tiers() == [(4, True)]
    searching.ask("l4-1", "l1-2")
    assert searching.tiers()[0][1]


def test_two_who_ask_for_the_same_at_once_end_at_the_same_tier(searching: Searching) -> None:
    searching.ask("l4-0", "l1-3")
    searching.ask("l4-0", "l1-3")
    assert searching.tiers() == [(2, True), (2, True)]


def test_what_nobody_knows_is_asked_for_up_to_the_root(searching: Searching) -> None:
    node_id = key(999_999).public
    token = searching.net.world.command(searching.net.id_of("l4-0"), FindNodes(nodes=(encode_node_id(node_id),)))
    searching.lookups.ask(searching.net.host("l4-0"), token, Sought(node_id))
    assert searching.tiers() == [(1, False)]
    summary = searching.lookups.summary()
    assert summary["lookups_open"] == 0


def test_questions_for_any_are_followed_too(searching: Searching) -> None:
    question: Any = FindNodes(tiers=(1,), limit=10)
    token = searching.net.world.command(searching.net.id_of("l4-1"), question)
    searching.lookups.ask(searching.net.host("l4-1"), token, Sought(b"", wanted_of(question), 10))
    assert searching.tiers() == [(1, True)], "there are four, and somebody might know ten"


def test_every_node_is_at_every_root(searching: Searching) -> None:
    everybody = {searching.net.id_of(name) for tier in (1, 2, 3, 4) for name in searching.net.names(tier)}
    for name in searching.net.names(1):
        core: Any = searching.net.host(name).core
        (table,) = [part.directory.table for part in core.parts if hasattr(part, "directory")]
        known = {entry.node_id for entry in table} | {core.node_id}
        assert known == everybody, name


def test_figures_of_no_look_ups_are_none() -> None:
    summary = Lookups(Deployment(l1=1, l2=1, l3=1, l4=1)).summary()
    assert summary["lookups"] == 0
    assert summary["lookup_ms_mean"] is summary["lookups_l4_percent"] is None
