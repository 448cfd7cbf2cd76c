"""What an L1 node tells its operator: whether it has a seat, whether its clock fits, and who approves whom."""

from __future__ import annotations

import random
import re
from typing import Any

import msgspec
import pytest
from epoch_tools import EpochChain

from supervm.common.contract import core as c
from supervm.common.storage.memory import MemoryStore
from supervm.common.testing.hand import HandDriver
from supervm.protocol.base.codec import encode
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.chain.validators import Validator, ValidatorList
from supervm.tier_l1_super.cli import _approvable
from supervm.tier_l1_super.messages import Approve, GetEpoch, Info
from supervm.tier_l1_super.node import StartUp, ValidatorNode
from supervm.tier_l1_super.tables import TABLES

SECOND_US = 1_000_000


class Operator(HandDriver[ValidatorNode]):
    """One node and what its operator sees."""

    def __init__(
        self, chain: EpochChain, node: int = 0, *, key: SigningKey | None, observer: bool = False, behind_us: int = 0
    ) -> None:
        store = MemoryStore(TABLES)
        core = ValidatorNode(
            chain=chain.chain,
            node_id=chain.node_id(node),
            key=key,
            reader=store,
            targets=(),
            rng=random.Random(1),
            start=StartUp(observer=observer),
        )
        super().__init__(core, store, now_us=chain.chain.genesis.time_ms * 1000 - behind_us)

    def answer(self, request: msgspec.Struct) -> c.Reply:
        return self.replies[self.ask(request)]

    def warnings(self) -> list[str]:
        return [event.NAME for event in self.events if event.level == "warning"]


CHAIN = EpochChain(4)


@pytest.mark.parametrize(
    ("node", "key", "observer", "why"),
    [
        (0, CHAIN.key(0), False, None),
        (0, None, False, "its validator.key is gone: it is validator 0"),
        (7, None, False, "it has no validator.key, and the validators of this epoch do not list its node"),
        (7, CHAIN.key(7), False, "the validators of this epoch do not list its node"),
        (0, CHAIN.key(0), True, "its promises.log is lost or damaged"),
    ],
)
def test_a_node_without_a_seat_says_so_at_its_start_and_in_info(
    node: int, key: SigningKey | None, observer: bool, why: str | None
) -> None:
    operator = Operator(CHAIN, node, key=key, observer=observer)
    said = operator.core.about_seat()
    info: Any = operator.answer(Info()).value
    assert (info["validator"], info["no_seat"]) == (said["validator"], said["no_seat"])
    if why is None:
        assert said == {"validator": 0, "no_seat": None}
        assert (operator.warnings(), info["problems"]) == ([], [])
    else:
        assert said["validator"] is None
        assert why in str(said["no_seat"])
        assert operator.warnings() == ["no-seat"]
        assert info["problems"] == [f"this node has no seat and only follows: {said['no_seat']}"]


def test_a_genesis_ahead_of_the_clock_is_said_at_the_start_and_in_info() -> None:
    operator = Operator(CHAIN, key=CHAIN.key(0), behind_us=3_600 * SECOND_US)
    assert operator.warnings() == ["clock-behind"]
    info: Any = operator.answer(Info()).value
    assert ["3600 s behind the genesis file" in text for text in info["problems"]] == [True]
    operator.now_us += 3_600 * SECOND_US
    assert operator.answer(Info()).value["problems"] == []  # type: ignore[index]


def listed(*members: Validator) -> Approve:
    """As `supervm l1 approve` asks for a list in this order."""
    return Approve(_approvable(members, CHAIN.rules.validators))


def test_one_list_in_two_orders_is_one_approval_and_is_shown_with_its_weight() -> None:
    members = CHAIN.members(0, 1, 2, 6)
    wishes = []
    for order in (members, members[::-1]):
        operator = Operator(CHAIN, key=CHAIN.key(0))
        info: Any = operator.answer(listed(*order)).value
        wishes.append(info["wish"])
        shown: Any = operator.answer(GetEpoch()).value
        assert (
            shown["approvals"]
            == [{"validators_hash": info["wish"], "weight": 1, "validators": [0], "own": True}]
            == info["approvals"]
        )
        assert shown["quorum"] == 3
    assert wishes[0] == wishes[1]


def test_the_present_validators_in_another_order_are_no_change() -> None:
    operator = Operator(CHAIN, key=CHAIN.key(0))
    info: Any = operator.answer(listed(*CHAIN.members(3, 1, 0, 2))).value
    assert info["wish"] == info["validators_hash"]
    assert info["approvals"] == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"key": bytes(32)}, "the key of validator .* no usable"),
        ({"node_id": b"\x01" + bytes(31)}, "the node id of validator .* no usable"),
        ({"payout": b"\x02" + bytes(31)}, "the payout of validator .* no usable"),
        ({"node_id": CHAIN.chain.genesis.miners[0].node_id}, "the node id of miner .* is the node id of validator"),
    ],
)
def test_a_list_with_keys_that_cannot_vote_is_refused_by_the_node_too(change: dict[str, Any], said: str) -> None:
    wrong = msgspec.structs.replace(CHAIN.member(6), **change)
    raw = encode(ValidatorList(1, (*CHAIN.members(0, 1, 2), wrong)))
    reply = Operator(CHAIN, key=CHAIN.key(0)).answer(Approve(raw))
    assert reply.value is None
    assert reply.error is not None
    assert re.search(said, reply.error)
