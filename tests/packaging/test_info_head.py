"""What every node's answer to ``info`` begins with: one declaration, one page, four tiers that keep to it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from supervm.common.contract.info import InfoHead
from supervm.protocol.base.address import encode_node_id
from supervm.sim.exact import Deployment
from supervm.tier_l1_super.messages import Info as ValidatorInfo
from supervm.tier_l2_miner.messages import Info as MinerInfo
from supervm.tier_l3_edge.messages import Info as EdgeInfo
from supervm.tier_l4_mobile.messages import Info as MobileInfo

REQUESTS = {1: ValidatorInfo, 2: MinerInfo, 3: EdgeInfo, 4: MobileInfo}
HEAD = InfoHead.__struct_fields__


@pytest.fixture(scope="module")
def network() -> Deployment:
    made = Deployment(l1=4, l2=1, l3=1, l4=1)
    made.start()
    return made


@pytest.mark.parametrize("tier", sorted(REQUESTS))
def test_every_tier_begins_with_the_head(network: Deployment, tier: int) -> None:
    node_id = network.id_of(f"l{tier}-0")
    answer: dict[str, Any] = network.world.call(node_id, REQUESTS[tier]())
    assert tuple(answer)[: len(HEAD)] == HEAD
    assert (answer["tier"], answer["node_id"]) == (tier, encode_node_id(node_id))
    assert answer["chain_id"] == network.chain.chain_id.hex()
    assert answer["height"] >= 0
    assert answer["peers"] == {1: 4, 2: 5, 3: 2, 4: 1}[tier]
    assert answer["problems"] == []


def test_the_page_lists_it() -> None:
    text = (Path(__file__).parents[2] / "docs" / "messages.md").read_text()
    _, _, table = text.partition("The answer to `info` begins with")
    assert tuple(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == HEAD
