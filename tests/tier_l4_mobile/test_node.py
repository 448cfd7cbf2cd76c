"""An L4's payments, from what is asked for to a proof; the edge is honest, and the chain behind it is a real ledger."""

from __future__ import annotations

import pytest
from chain_tools import test_key
from mobile_tools import SECOND_US, Network, Phone
from phone_scene import (
    ALICE,
    ALICE_LEAF,
    BOB,
    BOB_ADDRESS,
    EDGE,
    OTHER,
    edge_up,
    online,
    prove,
    row,
    serve,
    status,
    submitted_to,
    tell,
)

from supervm.common.contract.core import Command, PeerDown, Received
from supervm.protocol.base.address import encode_address
from supervm.protocol.wire.fields import FORWARD_MAX
from supervm.protocol.wire.payments import (
    LEVEL_EXPIRED,
    LEVEL_R0,
    LEVEL_R1,
    LEVEL_REFUSED,
    GetLeaves,
    GetReceipt,
    ReceiptAnswer,
    Submit,
)
from supervm.tier_l4_mobile.messages import (
    Cancel,
    Flush,
    Info,
    MobileRequest,
    Pay,
    PayMany,
    PaymentRow,
    PaymentsSince,
    QueueList,
    ShowPayment,
)


def test_a_payment_goes_up_is_claimed_and_is_proved():
    phone = online()
    payment = phone.call(Pay(row()))
    assert payment["status"] == "queued"
    [raw] = phone.submitted()
    phone.now_us += 1_000
    tell(phone, payment["id"], LEVEL_R0)
    assert status(phone, payment) == "R0"
    tell(phone, payment["id"], LEVEL_R1)
    assert status(phone, payment) == "R1"
    phone.now_us += 500_000
    phone.network.seal([raw])
    prove(phone)
    shown = phone.call(ShowPayment(payment["id"]))
    assert (shown["status"], shown["proof_verified"], shown["result"]) == ("R4", True, "executed")
    assert shown["latency_ms"] == {"r0": 1.0, "r1": 1.0, "r3": 501.0, "r4": 501.0}  # the proof says R3, too


def test_nothing_leaves_and_nothing_is_answered_before_the_disk_has_answered():
    phone = online()
    token = phone.ask(Pay(row()))
    assert phone.submitted() == []
    assert token not in phone.replies
    phone.disk()
    assert len(phone.submitted()) == 1
    assert phone.replies[token].error is None


def test_a_crash_before_the_write_loses_only_what_was_not_acknowledged():
    phone = online()
    first = phone.call(Pay(row(1)))
    phone.submitted()
    phone.ask(Pay(row(2)))
    phone.crash()
    assert phone.call(QueueList())["total"] == 1
    edge_up(phone)
    serve(phone)
    [raw] = phone.submitted()
    second = phone.call(Pay(row(3)))
    assert second["seq"] == first["seq"] + 1
    assert raw == phone.core.queue.payments[1].raw


def test_a_retry_on_another_edge_waits_for_the_write_of_the_release():
    phone = online()
    edge_up(phone, OTHER)
    phone.ask(Pay(row()))
    phone.step(PeerDown(EDGE, "gone"))
    assert phone.submitted() == []
    phone.disk()
    assert set(phone.submitted()) == {phone.core.queue.payments[1].raw}


def test_payments_made_offline_leave_in_order_when_an_edge_comes():
    phone = Phone(Network())
    payments = [phone.call(Pay(row(n))) for n in (1, 2, 3)]
    assert [p["id"] for p in payments] == ["row-1", "row-2", "row-3"]
    edge_up(phone)
    serve(phone)
    assert phone.submitted() == [p.raw for p in phone.core.queue.payments.values()]
    assert phone.call(ShowPayment("row-2"))["seq"] == 1


def test_kept_payments_wait_for_a_flush_also_over_a_restart():
    phone = online()
    phone.call(Pay(row(), offline=True))
    phone.call(Pay(row()))
    phone.crash()
    edge_up(phone)
    serve(phone)
    assert phone.submitted() == []
    phone.call(Flush())
    assert len(phone.submitted()) == 2


def test_a_cancelled_payment_never_leaves():
    phone = online()
    kept = phone.call(Pay(row(1), offline=True))
    after = phone.call(Pay(row(2)))
    assert phone.call(Cancel(kept["id"]))["status"] == "cancelled"
    [raw] = phone.submitted()
    now = phone.call(ShowPayment(after["id"]))
    assert (now["seq"], now["id"] != after["id"]) == (0, True)
    assert raw == phone.core.queue.payments[2].raw


def test_rows_of_one_request_are_one_write_and_a_key_pays_once():
    phone = online("alice", "bob")
    rows = tuple(row(1, source=("alice", "bob")[n % 2], key=f"h:{n}") for n in range(1_200))
    answer = phone.call(PayMany(rows))
    assert len({p["id"] for p in answer["payments"]}) == 1_200
    messages = phone.take(Submit)
    assert [len(m.transactions) for m in messages] == [FORWARD_MAX, FORWARD_MAX, 1_200 - 2 * FORWARD_MAX]
    again = phone.call(PayMany(rows))
    assert [p["id"] for p in again["payments"]] == [p["id"] for p in answer["payments"]]
    assert phone.submitted() == []
    phone.crash()
    assert phone.call(PayMany(rows))["payments"][7]["id"] == answer["payments"][7]["id"]


def test_a_row_that_is_refused_is_logged_once_and_the_others_go_on():
    phone = online()
    rows = (row(1, key="a"), row(10**9, key="b"), row(2, key="c"), PaymentRow(to="nonsense", amount=1, fee=1, key="d"))
    answer = phone.call(PayMany(rows))["payments"]
    assert [p["status"] for p in answer] == ["queued", "refused", "queued", "refused"]
    assert "overdraft" in answer[1]["reason"]
    assert "nonsense" in answer[3]["reason"]
    assert phone.call(PayMany(rows))["payments"][1]["number"] == answer[1]["number"]


def test_a_refused_row_that_no_log_can_hold_is_answered_and_stops_nothing():
    phone = online()
    rows = (
        row(10**30, key="a"),
        row(1, key="b\0"),
        row(1, key="c"),
        PaymentRow(to=BOB_ADDRESS, amount=10**30, fee=-(10**30)),
    )
    answer = phone.call(PayMany(rows))["payments"]
    assert [(p["status"], p["id"] is None) for p in answer] == [
        ("refused", True),
        ("refused", True),
        ("queued", False),
        ("refused", True),
    ]
    phone.crash()
    assert [p["key"] for p in phone.call(QueueList())["payments"]] == ["c"]


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        (Pay(PaymentRow(to=BOB_ADDRESS, amount=0, fee=1)), "amount"),
        (Pay(PaymentRow(to=BOB_ADDRESS, amount=1, fee=0)), "fee"),
        (Pay(PaymentRow(to=BOB_ADDRESS, amount=10**9, fee=1)), "overdraft"),
        (Pay(PaymentRow(to=encode_address(BOB, test=True), amount=1, fee=1)), "another network"),
        (Pay(PaymentRow(to=BOB_ADDRESS, amount=1, fee=1, source="bob")), "bob"),
        (Pay(PaymentRow(to=BOB_ADDRESS, amount=1, fee=1, source=BOB_ADDRESS)), "not an account of this wallet"),
        (Pay(PaymentRow(to=BOB_ADDRESS, amount=1, fee=1, payload_hex="xy")), "hex"),
        (Pay(PaymentRow(to=BOB_ADDRESS, amount=1, fee=1, validity_ms=8 * 86_400_000)), "validity"),
        (Cancel("ff" * 32), "no payment"),
        (ShowPayment("row-x"), "no payment"),
        (MobileRequest(), "takes no request MobileRequest"),
    ],
)
def test_wrong_requests_are_refused_with_the_reason(request_, word):
    phone = online()
    token = phone.ask(request_)
    phone.disk()
    assert word in str(phone.replies[token].error)


def test_a_refused_payment_is_a_fate_only_after_a_newer_proof_and_holds_its_successors():
    phone = online()
    payment = phone.call(Pay(row()))
    after = phone.call(Pay(row(11)))
    phone.submitted()
    tell(phone, payment["id"], LEVEL_REFUSED, "no")
    assert status(phone, payment) == "queued"
    phone.network.seal(ts_ms=phone.now_us // 1000 + 2_500)
    phone.wait(3 * SECOND_US)
    assert GetLeaves((ALICE_LEAF,)) in phone.take()
    prove(phone)
    shown = phone.call(ShowPayment(payment["id"]))
    assert (shown["status"], shown["proof_verified"]) == ("refused", False)
    assert status(phone, after) == "queued"
    phone.disk()
    phone.sent.clear()
    third = phone.call(Pay(row(12)))
    phone.disk()
    assert not phone.call(ShowPayment(third["id"]))["released"]
    assert submitted_to(phone, EDGE) == 0


def test_a_payment_past_its_validity_is_asked_about_until_a_proof_expires_it():
    phone = online()
    payment = phone.call(Pay(row(validity_ms=5_000)))
    tell(phone, payment["id"], LEVEL_EXPIRED)
    assert status(phone, payment) == "queued"
    phone.wait(6 * SECOND_US)
    assert GetLeaves((ALICE_LEAF,)) in phone.take()
    phone.network.seal(ts_ms=phone.now_us // 1000)
    phone.wait(2 * SECOND_US)
    serve(phone)
    assert status(phone, payment) == "expired"


def test_an_unreleased_payment_expires_too():
    phone = online()
    payment = phone.call(Pay(row(validity_ms=1_000), offline=True))
    phone.network.seal(ts_ms=phone.now_us // 1000 + 1_500)
    phone.wait(2 * SECOND_US)
    serve(phone)
    assert status(phone, payment) == "expired"


def test_after_a_failure_the_fate_is_what_the_receipt_says():
    phone = online()
    payment = phone.call(Pay(row()))
    [raw] = phone.submitted()
    accounts = phone.network.ledger.state.accounts
    accounts[ALICE] = accounts[ALICE]._replace(balance=0)
    phone.network.seal([raw])
    prove(phone)
    assert status(phone, payment) == "queued"
    assert GetReceipt(bytes.fromhex(payment["id"])) in phone.take()
    phone.wait(4 * SECOND_US)
    assert GetReceipt(bytes.fromhex(payment["id"])) in phone.take()
    identity = bytes.fromhex(payment["id"])
    phone.step(Received(EDGE, ReceiptAnswer(identity, b"")))
    assert status(phone, payment) == "queued"
    [answer] = phone.network.answer(GetReceipt(identity))
    phone.step(Received(EDGE, answer))
    phone.disk()
    shown = phone.call(ShowPayment(payment["id"]))
    assert (shown["status"], shown["result"]) == ("R4", "failed")


def test_changes_since_a_cursor_and_info_and_lists():
    phone = online("alice", "bob")
    phone.call(PayMany(tuple(row(1, source=name) for name in ("alice", "bob", "alice"))))
    answer = phone.call(PaymentsSince(0))
    assert sorted(p["number"] for p in answer["payments"]) == [1, 2, 3]
    assert phone.call(PaymentsSince(answer["cursor"]))["payments"] == []
    phone.network.seal(phone.submitted()[:1])
    prove(phone, ALICE, BOB)
    changed = phone.call(PaymentsSince(answer["cursor"]))["payments"]
    assert [p["status"] for p in changed] == ["R4"]
    info = phone.call(Info())
    assert (info["payments"], info["height"], info["edge"]) == ({"R4": 1, "queued": 2}, 1, EDGE.hex())
    assert [account["name"] for account in info["accounts"]] == ["alice", "bob"]
    assert phone.call(QueueList(statuses=("queued",), source="bob"))["total"] == 1
    before = answer["cursor"]
    phone.now_us += SECOND_US
    phone.crash()
    assert len(phone.call(PaymentsSince(before))["payments"]) == 3


def test_ten_thousand_payments_of_a_hundred_accounts_end_proved():
    names = [f"n{i}" for i in range(100)]
    phone = online(*names, funds=dict.fromkeys(names, 10**6))
    rows = tuple(row(1, source=names[n % 100], key=str(n)) for n in range(10_000))
    phone.call(PayMany(rows))
    sealed = 0
    while raws := phone.submitted():
        for start in range(0, len(raws), 2_000):
            phone.network.seal(raws[start : start + 2_000])
        sealed += len(raws)
        prove(phone, *(test_key(name).public for name in names))
    assert sealed == 10_000
    assert phone.call(Info())["payments"] == {"R4": 10_000}


def test_an_unknown_command_type_never_stops_the_node():
    phone = online()
    phone.step(Command(99, MobileRequest()))
    assert phone.replies[99].error is not None
