"""What the parts of a phone declare, held against the wire, the tables and the options."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import pytest

from supervm.common.contract.checking import by_name
from supervm.protocol.wire.directions import ACCEPTS
from supervm.protocol.wire.subjects import REACH
from supervm.tier_l4_mobile import messages
from supervm.tier_l4_mobile.handover.carrier import Carrier
from supervm.tier_l4_mobile.node import MobileNode
from supervm.tier_l4_mobile.options import OPTIONS
from supervm.tier_l4_mobile.tables import TABLES

EDGE_TIER, TIER = 3, 4


def test_what_is_taken_and_sent_is_what_the_wire_lets_through():
    kinds = MobileNode.kinds_of_parts()
    finding = frozenset(REACH.directions)  # of a phone that finds edges itself; others do not name the word
    taken = frozenset().union(*(kind.takes for kind in kinds))
    assert taken - finding == ACCEPTS[EDGE_TIER, TIER]
    assert finding < taken
    assert frozenset().union(*(kind.sends for kind in kinds)) - finding == ACCEPTS[TIER, EDGE_TIER]


@pytest.mark.parametrize(
    "declared",
    [
        [kind for part in MobileNode.kinds_of_parts() if part is not Carrier for kind in part.takes],
        [option for part in MobileNode.kinds_of_parts() for option in part.options],
        [event for part in MobileNode.kinds_of_parts() for event in part.events],
    ],
    ids=["messages", "options", "events"],
)
def test_nothing_has_two_parts(declared):
    """But news and proofs, which are also about payments of others: the part that brings those hears them last."""
    assert [item for item, count in Counter(declared).items() if count > 1] == []


def test_requests_tables_and_options_are_those_of_the_parts():
    assert Counter(MobileNode.declared_requests()) == Counter(get_args(messages.Request))
    assert by_name(MobileNode.declared_tables()) == by_name(TABLES)
    assert MobileNode.declared_options() == OPTIONS
