"""What came in: exact where this phone's own payments are known, at least so much where they are not, and no payer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from app_tools import AppScene
from chain_tools import test_key
from handover_tools import FUNDS, online, row, serve, transfer
from hypothesis import given, settings
from hypothesis import strategies as st
from mobile_tools import Network, Phone

from supervm.common.contract.core import Received
from supervm.protocol.base.address import encode_address
from supervm.tier_l4_mobile.app.language import Language
from supervm.tier_l4_mobile.messages import IncomeList, Info, Pay
from supervm.tier_l4_mobile.tables import INCOME, IncomeRow
from supervm.tier_l4_mobile.wallet import income as income_module

EDGE = b"\xe1" * 32
ALICE = test_key("alice").public
ALICE_ADDRESS = encode_address(ALICE, test=False)
EN = Language("en")


def proved(phone: Phone) -> None:
    """The edge proves the account."""
    phone.step(Received(EDGE, phone.network.proofs([phone.network.account("alice")])))
    phone.disk()


def incomes(phone: Phone, **more: Any) -> list[tuple[int, bool]]:
    return [(item["amount"], item["is_exact"]) for item in phone.call(IncomeList(**more))["income"]]


def test_what_others_pay_is_income_once_it_is_proved_and_what_was_there_before_is_not() -> None:
    network = Network(**FUNDS)
    alice = online(network, "alice")
    assert incomes(alice) == []
    network.seal([transfer(network, "bob", to=ALICE, amount=70), transfer(network, "carol", to=ALICE, amount=5)])
    assert incomes(alice) == []
    proved(alice)
    [item] = alice.call(IncomeList())["income"]
    assert item == {
        "number": 1, "to": ALICE_ADDRESS, "asset": "svm", "amount": 75, "is_exact": True, "since_height": 0,
        "height": 1, "ts_ms": network.ledger.header.ts_ms,
    }  # fmt: skip
    proved(alice)  # the same again
    assert alice.call(Info())["income"] == 1
    alice.crash()
    assert incomes(alice) == [(75, True)]


def test_own_payments_in_between_are_counted_back() -> None:
    network = Network(**FUNDS)
    alice = online(network, "alice")
    alice.call(Pay(row(100)))
    alice.call(Pay(row(200)))
    network.seal([*serve(alice), transfer(network, "bob", to=ALICE, amount=42)])
    proved(alice)
    assert incomes(alice) == [(42, True)]
    alice.call(Pay(row(300)))
    network.seal(serve(alice))
    proved(alice)
    assert incomes(alice) == [(42, True)]  # paying is no income


def test_where_another_device_has_paid_only_the_least_is_told() -> None:
    network = Network(**FUNDS)
    alice = online(network, "alice")
    network.seal([transfer(network, "alice", amount=10), transfer(network, "bob", to=ALICE, amount=50)])
    proved(alice)
    assert incomes(alice) == [(39, False)]  # 50 came in, 10 and a fee of 1 went from elsewhere
    network.seal([transfer(network, "alice", amount=100), transfer(network, "bob", to=ALICE, amount=50)])
    proved(alice)
    assert incomes(alice) == [(39, False)]


def test_pages_and_bounds(monkeypatch) -> None:
    monkeypatch.setattr(income_module, "KEPT_MAX", 7)
    network = Network(**FUNDS)
    alice = online(network, "alice")
    for amount in range(1, 11):
        network.seal([transfer(network, "bob", to=ALICE, amount=amount)])
        proved(alice)
    assert incomes(alice) == [(amount, True) for amount in range(10, 3, -1)]
    answer = alice.call(IncomeList(limit=4))
    assert ([item["amount"] for item in answer["income"]], answer["before"]) == ([10, 9, 8, 7], 7)
    answer = alice.call(IncomeList(before=7, limit=4))
    assert ([item["amount"] for item in answer["income"]], answer["before"]) == ([6, 5, 4], None)
    alice.crash()
    assert len(incomes(alice)) == 7


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.integers(1, 1_000), max_size=3), st.lists(st.integers(1, 1_000), max_size=3)), max_size=5
    ),
    st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_incomes_sum_to_what_others_paid(blocks: list[tuple[list[int], list[int]]], looks: list[bool]) -> None:
    """Whatever is paid both ways, and however seldom the phone looks."""
    network = Network(**FUNDS)
    alice = online(network, "alice")
    for (inward, outward), looked in zip(blocks, looks, strict=False):
        for amount in outward:
            alice.call(Pay(row(amount)))
        raws = serve(alice)
        network.seal([*raws, *(transfer(network, "bob", to=ALICE, amount=amount) for amount in inward[:1])])
        for amount in inward[1:]:
            network.seal([transfer(network, "bob", to=ALICE, amount=amount)])
        if looked:
            proved(alice)
            serve(alice)
    proved(alice)
    shown = incomes(alice)
    assert all(exact for _, exact in shown)
    assert sum(amount for amount, _ in shown) == sum(sum(inward) for inward, _ in blocks)


# --- in the app -------------------------------------------------------------------------------------------------------


async def test_activity_shows_what_came_in_among_what_was_paid() -> None:
    scene = AppScene(network=Network(**FUNDS))
    await scene.session.refresh()
    assert await scene.session.more_activity() is None
    assert scene.models.activity.rows() == []
    scene.network.seal([transfer(scene.network, "bob", to=ALICE, amount=500)], ts_ms=scene.now_ms)
    proved(scene.phone)
    await scene.session.refresh()
    [shown] = scene.models.activity.rows()
    assert (EN.write(shown.amount), EN.write(shown.status)) == ("+0.0000005 SVM", "Came in, proved at height 1")
    assert (shown.is_income, shown.is_paid, shown.to) == (True, True, ALICE_ADDRESS)
    scene.phone.now_us += 5_000_000
    await scene.ask(Pay(row(10)))
    await scene.session.refresh()
    assert [item.is_income for item in scene.models.activity.rows()] == [False, True]
    scene.models.activity.search("svm1")
    await scene.session.more_activity()
    assert [item.is_income for item in scene.models.activity.rows()] == [False]
    scene.models.activity.search("")
    await scene.session.more_activity()
    assert len(scene.models.activity.rows()) == 2


async def test_much_that_came_in_is_read_page_by_page_and_in_order() -> None:
    scene = AppScene(network=Network(**FUNDS))
    for amount in range(1, 121):
        transaction = transfer(scene.network, "bob", to=ALICE, amount=amount)
        scene.network.seal([transaction], ts_ms=scene.now_ms)
        scene.phone.now_us += 1_000_000
        proved(scene.phone)
        if amount % 40 == 0:
            await scene.ask(Pay(row(amount)))
    await scene.session.refresh()
    counts = []
    for _ in range(3):
        await scene.session.more_activity()
        counts.append(len(scene.models.activity.rows(most=1_000)))
    assert counts[-1] == 123
    assert counts == sorted(counts)
    times = [item.when.ms for item in scene.models.activity.rows(most=1_000)]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize(
    ("column", "wrong"),
    [
        (column, wrong)
        for column, kind in IncomeRow.__annotations__.items()
        for wrong in ((b"", b"\xff" * 7, b"x" * 5_000) if kind == "bytes" else (-(2**63), -1, 0, 3, 2**62, 2**63 - 1))
    ],
)
def test_a_row_that_the_disk_gives_back_changed_stops_nothing(column: str, wrong: Any) -> None:
    network = Network(**FUNDS)
    alice = online(network, "alice")
    for amount in (70, 5):
        network.seal([transfer(network, "bob", to=ALICE, amount=amount)])
        proved(alice)
    written = list(INCOME.rows(alice.store))
    assert len(written) == 2
    changed = msgspec.structs.replace(written[0], **{column: wrong})
    alice.store.commit([INCOME.delete(written[0].number), INCOME.put(changed)])
    alice.crash()
    assert len(alice.call(IncomeList())["income"]) <= 2
    alice.call(IncomeList(before=1))
    network.seal([transfer(network, "carol", to=ALICE, amount=9)])
    proved(alice)
    assert alice.call(Info())["accounts"][0]["proved"]
