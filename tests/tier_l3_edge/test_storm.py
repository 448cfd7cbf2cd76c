"""Whatever peers do and in whatever order: the core never raises, and no acknowledged transaction is lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from supervm.common.parts.fee_policy import FeePolicy
from supervm.protocol.wire.chain import CheckpointMessage
from supervm.protocol.wire.link import Goodbye, Heartbeat
from supervm.protocol.wire.payments import (
    FeeTerms,
    GetLeaves,
    GetReceipt,
    LeafProofs,
    ReceiptAnswer,
    Status,
    StatusItem,
    Submit,
    Subscribe,
    Unsubscribe,
)
from supervm.tier_l3_edge.options import EdgeOptions
from supervm.tier_l3_edge.tables import PENDING

KEYS = st.sampled_from([bytes([number]) * 32 for number in range(4)])
ASSET = bytes([9]) * 32
ASSETS = st.sampled_from([b"", b"short", bytes([8]) * 32, bytes([9]) * 32])
LEAVES = st.one_of(
    KEYS.map(lambda key: b"\x01" + key), KEYS.map(lambda key: b"\x02" + key + key), st.binary(min_size=33, max_size=65)
)
ACCOUNTS = st.lists(KEYS, max_size=4).map(tuple)
ITEMS = st.lists(st.builds(StatusItem, KEYS, st.integers(0, 20), st.sampled_from(["", "busy", "x" * 256])), max_size=3)
MESSAGES = st.one_of(
    st.builds(Submit, st.lists(st.binary(max_size=640), max_size=3).map(tuple)),
    st.builds(Status, ITEMS.map(tuple)),
    st.builds(Subscribe, ACCOUNTS),
    st.builds(Unsubscribe, ACCOUNTS),
    st.builds(GetLeaves, st.lists(LEAVES, max_size=4).map(tuple)),
    st.builds(LeafProofs, st.binary(max_size=64), st.lists(st.tuples(LEAVES, st.binary(max_size=64))).map(tuple)),
    st.builds(GetReceipt, KEYS),
    st.builds(ReceiptAnswer, KEYS, st.binary(max_size=8)),
    st.builds(FeeTerms, st.binary(max_size=32), st.lists(st.tuples(ASSETS, st.integers(1, 9)), max_size=3).map(tuple)),
    st.builds(CheckpointMessage, st.binary(max_size=64)),
    st.builds(Heartbeat, st.integers(0, 2**63 - 1), st.integers(0, 100), st.integers(0, 2**63 - 1), st.just(0)),
    st.builds(Goodbye, st.just("x"), st.just("y")),
)
QUIET = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUIET
@given(st.lists(st.tuples(st.integers(0, 3), MESSAGES, st.integers(0, 5_000_000)), max_size=25))
def test_no_message_makes_the_core_raise(world: Any, make: Any, steps: list[tuple[int, Any, int]]) -> None:
    driver = make()
    peers = [*world.miners, world.phone, bytes(32)]
    for peer, message, wait_us in steps:
        driver.receive(peers[peer], message)
        driver.wait(wait_us)


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["submit", "status", "up", "down", "wait", "restart", "write"]),
        st.integers(0, 11),
        st.sampled_from([0, 1, 1, 3, 10, 11]),
    ),
    max_size=60,
)


@pytest.mark.parametrize("durable_at_once", [True, False])
@QUIET
@given(actions=ACTIONS)
@example(actions=[("submit", 0, 0), ("write", 0, 0), ("restart", 0, 0), ("status", 0, 3)])
def test_what_was_acknowledged_is_kept_and_delivered(
    world: Any, make: Any, durable_at_once: bool, actions: list[tuple[str, int, int]]
) -> None:
    transactions = [*world.chain_of(6, 0), *world.chain_of(6, 1)]
    driver = make()
    driver.disk_at_once = durable_at_once
    acknowledged: dict[bytes, bytes] = {}
    ended: dict[bytes, bytes] = {}  # by a miner; after a restart nobody asked to be told, and it leaves the disk later

    def listen() -> None:
        for identity, level, _ in driver.statuses(world.phone):
            if level in (0, 1):
                acknowledged[identity] = next(item.raw for item in transactions if item.id == identity)
                ended.pop(identity, None)
            else:
                acknowledged.pop(identity, None)

    def on_disk() -> set[bytes]:
        stored = {row.raw for row in PENDING.rows(driver.store)}
        for identity, raw in ended.items():
            if raw not in stored:
                acknowledged.pop(identity, None)
        return stored

    for action, which, level in actions:
        miner = world.miners[which % 2]
        if action == "submit":
            driver.receive(world.phone, Submit((transactions[which].raw, transactions[-which].raw)))
        elif action == "status":
            reason = ("overdraft", "busy", "predecessor unknown")[which % 3]
            driver.receive(miner, Status((StatusItem(transactions[which].id, level, reason),)))
        elif action == "up":
            driver.up(miner, 2)
        elif action == "down":
            driver.down(miner)
        elif action == "wait":
            driver.wait(1_000_000 * which)
        elif action == "write":
            driver.disk()
        else:
            listen()
            driver = make(driver.store)
            driver.disk_at_once = durable_at_once
        listen()
        if action == "status" and level >= 3:
            ended[transactions[which].id] = transactions[which].raw
        stored = on_disk()
        if durable_at_once:
            assert stored == set(acknowledged.values())
        else:
            assert stored >= set(acknowledged.values())
    driver.disk_at_once = True
    driver.disk()
    listen()
    on_disk()
    for miner in world.miners:
        driver.down(miner)
    driver.sent.clear()
    driver.up(world.miners[0], 2)
    got = [raw for message in driver.take(Submit, world.miners[0]) for raw in message.transactions]
    assert set(got) >= set(acknowledged.values())
    assert len(set(got)) == len(got)


TERMS_ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["submit", "status", "terms", "up", "down", "wait"]),
        st.integers(0, 11),
        st.sampled_from([1, 10, 10, 10]),
    ),
    max_size=60,
)


@QUIET
@given(actions=TERMS_ACTIONS)
@example(actions=[("submit", 0, 0), ("terms", 2, 0), ("down", 1, 0), ("wait", 11, 0), ("terms", 4, 0)])
def test_whatever_miners_take_and_refuse_an_acknowledged_transaction_is_kept_or_its_phone_is_told(
    world: Any, make: Any, actions: list[tuple[str, int, int]]
) -> None:
    transactions = [
        *(world.transaction(0, 0, fee=fee) for fee in (1, 2, 3)),
        *(world.transaction(1, seq, fee=3, fee_asset=ASSET) for seq in (0, 1, 2)),
    ]
    driver = make(options=EdgeOptions(fees=FeePolicy({b"": 1, ASSET: 1})))
    acknowledged: dict[bytes, bytes] = {}
    for action, which, level in actions:
        miner = world.miners[which % 2]
        if action == "submit":
            driver.receive(world.phone, Submit((transactions[which % 6].raw, transactions[-which % 6].raw)))
        elif action == "status":
            reason = ("fee-not-taken: 9 of svm", "busy", "predecessor unknown")[which % 3]
            driver.receive(miner, Status((StatusItem(transactions[which % 6].id, level, reason),)))
        elif action == "terms":
            listed = (((b"", 2),), ((b"", 3), (ASSET, 1)), ((ASSET, 3),), ())[which % 4]
            driver.receive(miner, FeeTerms(b"", listed))
        elif action == "up":
            driver.up(miner, 2)
        elif action == "down":
            driver.down(miner)
        else:
            for _ in range(which):
                driver.wait(1_000_000)
                driver.receive(world.phone, Heartbeat(1, 0, 0, 0))
        for identity, told, _ in driver.statuses(world.phone):
            if told in (0, 1):
                acknowledged[identity] = next(item.raw for item in transactions if item.id == identity)
            else:
                acknowledged.pop(identity, None)
        assert {row.raw for row in PENDING.rows(driver.store)} == set(acknowledged.values())
    for miner in world.miners:
        driver.down(miner)
    driver.sent.clear()
    driver.up(world.miners[0], 2)
    driver.receive(world.miners[0], FeeTerms(b"", ((b"", 1), (ASSET, 1))))
    got = [raw for message in driver.take(Submit, world.miners[0]) for raw in message.transactions]
    told = {item.id for item in transactions if item.raw in acknowledged.values()}
    declined = {identity for identity in told if world.miners[0] in driver.core.store.get(identity).declined}
    assert set(got) >= {acknowledged[identity] for identity in told - declined}
