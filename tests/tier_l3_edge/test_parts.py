"""What the parts of an edge declare is what an edge has to do with the outside, all of it and nothing else."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from supervm.common.contract.core import Command, PeerUp
from supervm.common.parts.directory.messages import FindNodes, ListPeers
from supervm.common.parts.fee_policy import FEES_OPTION, read_policy
from supervm.common.parts.reach.lan_found import LanFound
from supervm.common.text.options import defaults
from supervm.protocol.wire.chain import CheckpointMessage
from supervm.protocol.wire.directions import ACCEPTS
from supervm.protocol.wire.fields import Message
from supervm.protocol.wire.payments import (
    FeeTerms,
    LeafProofs,
    ReceiptAnswer,
    Status,
    Submit,
    Subscribe,
    ValidatorChanges,
)
from supervm.protocol.wire.subjects import REACH
from supervm.tier_l3_edge.messages import Info, Request, Statistics
from supervm.tier_l3_edge.node import EdgeNode
from supervm.tier_l3_edge.options import OPTIONS, EdgeOptions
from supervm.tier_l3_edge.tables import TABLES

KINDS = EdgeNode.kinds_of_parts()
FINDING = frozenset(REACH.directions)
"""Of an edge that finds its peers; others do not name the word."""


def test_the_messages_are_those_of_the_table_of_directions() -> None:
    taken = frozenset[type[Message]]().union(*(kind.takes for kind in KINDS))
    sent = frozenset[type[Message]]().union(*(kind.sends for kind in KINDS))
    assert taken - FINDING == frozenset[type[Message]]().union(*(ACCEPTS[way] for way in ACCEPTS if way[1] == 3))
    assert sent - FINDING == frozenset[type[Message]]().union(*(ACCEPTS[way] for way in ACCEPTS if way[0] == 3))
    assert taken >= FINDING


def test_tables_requests_and_options_are_those_of_the_parts() -> None:
    assert sorted(EdgeNode.declared_tables(), key=lambda table: table.name) == sorted(
        TABLES, key=lambda table: table.name
    )
    requests = {Info, Statistics, FindNodes, ListPeers, LanFound}
    assert set(EdgeNode.declared_requests()) == requests == set(get_args(Request))
    values, options = defaults(OPTIONS), EdgeOptions()
    assert options.fees == read_policy(str(FEES_OPTION.default))
    assert list(OPTIONS) == list(EdgeNode.declared_options())
    assert values == {
        "cache_bytes_max": options.cache_bytes_max,
        "store_max": options.store_max,
        "subscriptions_max": options.subscriptions_max,
        "fees": FEES_OPTION.default,
        "carry_unpaid": options.carry_unpaid,
        "anchor": "",
        "find_peers": options.find_peers,
        "directory_nodes": options.directory_nodes,
        "region": options.region,
        "endpoints": ",".join(options.endpoints),
        "lan": False,
        **{f"{kind}_per_s": rate.per_s for kind, rate in options.rates.items()},
        **{f"{kind}_burst": rate.burst for kind, rate in options.rates.items()},
    }


@pytest.mark.parametrize(
    "message",
    [
        Status(()),
        LeafProofs(b"", ()),
        CheckpointMessage(b""),
        ReceiptAnswer(bytes(32), b""),
        ValidatorChanges(()),
        FeeTerms(b"", ()),
    ],
)
def test_what_only_a_miner_may_say_costs_anybody_else_the_link(world: Any, make: Any, message: Message) -> None:
    driver = make(miners=1)
    driver.receive(world.phone, message)
    assert driver.hung_up == {world.phone: "direction"}


@pytest.mark.parametrize("message", [Submit(()), Subscribe(())])
def test_a_miner_is_no_client(world: Any, make: Any, message: Message) -> None:
    driver = make(miners=1)
    driver.receive(world.miners[0], message)
    assert driver.hung_up == {world.miners[0]: "direction"}


def test_a_miner_is_only_whom_genesis_names(world: Any, make: Any) -> None:
    driver = make(miners=1)
    driver.step(PeerUp(bytes(32), 2, (), 0, None))
    (reply,) = driver.core.step(driver.now_us, Command(1, Info()))
    assert len(reply.value["miners"]) == 1
    assert reply.value["peers"] == 3
