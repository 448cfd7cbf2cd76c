"""Whatever peers do and in whatever order: the core never raises, and no acknowledged transaction is lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from supervm.protocol.wire.chain import CheckpointMessage
from supervm.protocol.wire.link import Goodbye, Heartbeat
from supervm.protocol.wire.payments import (
    AccountProofs,
    EdgeRegistration,
    GetAccounts,
    GetReceipt,
    ReceiptAnswer,
    Status,
    StatusItem,
    Submit,
    Subscribe,
    Unsubscribe,
)
from supervm.tier_l3_edge.tables import PENDING

KEYS = st.sampled_from([bytes([number]) * 32 for number in range(4)])
ACCOUNTS = st.lists(KEYS, max_size=4).map(tuple)
ITEMS = st.lists(st.builds(StatusItem, KEYS, st.integers(0, 20), st.sampled_from(["", "busy", "x" * 256])), max_size=3)
MESSAGES = st.one_of(
    st.builds(Submit, st.lists(st.binary(max_size=640), max_size=3).map(tuple)),
    st.builds(Status, ITEMS.map(tuple)),
    st.builds(Subscribe, ACCOUNTS),
    st.builds(Unsubscribe, ACCOUNTS),
    st.builds(GetAccounts, ACCOUNTS),
    st.builds(AccountProofs, st.binary(max_size=64), st.lists(st.tuples(KEYS, st.binary(max_size=64))).map(tuple)),
    st.builds(GetReceipt, KEYS),
    st.builds(ReceiptAnswer, KEYS, st.binary(max_size=8)),
    st.builds(EdgeRegistration, st.binary(max_size=8)),
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
