"""What a phone signs and lets go is valid for too long nowhere on its way, whichever of the clocks is behind."""

from __future__ import annotations

import pytest
from chain_tools import GENESIS_TIME_MS, test_key
from mobile_tools import SECOND_US, START_US, Network, Phone

from supervm.common.contract.core import Received
from supervm.protocol.base.address import encode_address
from supervm.protocol.wire.link import Heartbeat
from supervm.protocol.wire.payments import GetLeaves, Submit
from supervm.tier_l4_mobile.messages import Cancel, Pay, PaymentRow, ShowPayment
from supervm.tier_l4_mobile.wallet.validity import MARGIN_MS, is_timely, validity_ms_allowed

EDGE = b"\xe1" * 32
ALICE = test_key("alice").public
BOB_ADDRESS = encode_address(test_key("bob").public, test=False)
DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS  # what the chain of these tests allows


def online(now_us: int = START_US) -> Phone:
    phone = Phone(Network())
    phone.now_us = now_us
    phone.connect(EDGE)
    serve(phone)
    return phone


def serve(phone: Phone) -> None:
    """The edge answers every question that waits."""
    asked, phone.sent = phone.sent, []
    for peer, message in asked:
        if isinstance(message, Submit):
            phone.sent.append((peer, message))
        for answer in phone.network.answer(message):
            phone.step(Received(EDGE, answer))
    phone.disk()


def an_hour_without_a_proof(phone: Phone) -> None:
    """The edge is there, and its heartbeats are all that comes of it."""
    for _ in range(360):
        phone.wait(10 * SECOND_US)
        phone.receive(EDGE, Heartbeat(0, 0, 0, 0))
    phone.take()


def prove(phone: Phone) -> None:
    phone.step(Received(EDGE, phone.network.proofs([ALICE])))
    phone.disk()


def pay(phone: Phone, validity_ms: int | None = None) -> dict:
    return phone.call(Pay(PaymentRow(to=BOB_ADDRESS, amount=10, fee=1, validity_ms=validity_ms)))


@pytest.mark.parametrize("maximum", [0, 1_000, 60_000, DAY_MS, WEEK_MS, 365 * DAY_MS])
@pytest.mark.parametrize("proof_behind_ms", [0, 2_000, 30_000])
@pytest.mark.parametrize("node_behind_ms", [0, 2_000, 30_000])
def test_what_is_let_go_is_not_too_long_for_a_node_that_is_behind_the_proof(
    maximum: int, proof_behind_ms: int, node_behind_ms: int
) -> None:
    now_ms = 10**12
    valid_until_ms = now_ms + validity_ms_allowed(maximum)
    if maximum >= 8 * 2 * 30_000:
        assert is_timely(valid_until_ms, now_ms - proof_behind_ms, maximum)
    for proved_ms in range(now_ms - 10 * DAY_MS, now_ms, DAY_MS // 7):
        if is_timely(valid_until_ms, proved_ms, maximum) and maximum >= 8 * 2 * 30_000:
            assert valid_until_ms - (proved_ms - node_behind_ms) <= maximum


@pytest.mark.parametrize(
    ("validity_ms", "taken"),
    [
        (WEEK_MS, False),
        (WEEK_MS - MARGIN_MS + 1, False),
        (WEEK_MS - MARGIN_MS, True),
        (None, True),
        (5_000, True),
    ],
)
def test_a_validity_near_the_chains_bound_is_refused_before_it_is_signed(validity_ms: int | None, taken: bool) -> None:
    phone = online()
    token = phone.ask(Pay(PaymentRow(to=BOB_ADDRESS, amount=10, fee=1, validity_ms=validity_ms)))
    phone.disk()
    error = phone.replies[token].error
    assert (error is None) == taken
    if not taken:
        assert f"at most {WEEK_MS - MARGIN_MS} are allowed" in str(error)
    assert len(phone.submitted()) == taken


def test_after_hours_without_a_proof_the_longest_payment_leaves_once_a_proof_is_newer() -> None:
    phone = online()
    an_hour_without_a_proof(phone)
    payment = pay(phone, WEEK_MS - MARGIN_MS)
    assert phone.submitted() == []  # the edge may be asked only for a proof
    assert "network's time" in phone.call(ShowPayment(payment["id"]))["reason"]
    phone.network.seal(ts_ms=phone.now_us // 1000 - 1_000)
    phone.wait(4 * SECOND_US)
    serve(phone)
    assert len(phone.submitted()) == 1
    assert phone.call(ShowPayment(payment["id"]))["reason"] is None


def test_a_phone_whose_clock_is_days_ahead_lets_nothing_go_and_asks_slowly() -> None:
    phone = online(START_US + 5 * DAY_MS * 1000)
    payment = pay(phone)  # 96 h: 9 days after the chain's time
    asked = 0
    for _ in range(60):
        phone.wait(SECOND_US)
        assert not any(isinstance(message, Submit) for _, message in phone.sent)
        asked += len(phone.take(GetLeaves))
        prove(phone)  # pushed by the edge once a second
    assert 10 <= asked <= 30
    shown = phone.call(ShowPayment(payment["id"]))
    assert (shown["status"], shown["released"]) == ("queued", False)
    assert "this device's clock is ahead" in shown["reason"]
    phone.network.seal(ts_ms=GENESIS_TIME_MS + 5 * DAY_MS)
    prove(phone)
    assert len(phone.submitted()) == 1


def test_a_payment_that_waits_can_be_cancelled_and_its_successors_wait_too() -> None:
    phone = online()
    an_hour_without_a_proof(phone)
    first, second = pay(phone, WEEK_MS - MARGIN_MS), pay(phone, DAY_MS)
    assert phone.submitted() == []
    assert phone.call(Cancel(first["id"]))["status"] == "cancelled"
    phone.wait(SECOND_US)
    assert phone.call(ShowPayment(second["id"]))["status"] == "queued"
    assert len(phone.submitted()) == 1
