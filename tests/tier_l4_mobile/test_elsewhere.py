"""One wallet, two devices: a restored one signs nothing before its head is proved, and neither misses the other."""

from __future__ import annotations

import pytest
from chain_tools import test_key
from mobile_tools import START_US, Network, Phone

from supervm.common.contract.core import Received
from supervm.protocol.base.address import encode_address
from supervm.protocol.money.transaction import sign_transfer
from supervm.protocol.wire.payments import Submit
from supervm.tier_l4_mobile.events import WalletUsedElsewhere
from supervm.tier_l4_mobile.messages import Info, Pay, PaymentRow, ShowPayment
from supervm.tier_l4_mobile.wallet.elsewhere import PROBLEM_MS

EDGE = test_key("edge").public
BOB = encode_address(test_key("bob").public, test=False)
ROW = PaymentRow(to=BOB, amount=5, fee=1)
DAY_MS = 86_400_000


@pytest.fixture
def network() -> Network:
    return Network()


def online(network: Network) -> Phone:
    phone = Phone(network)
    phone.disk_at_once = True
    phone.connect(EDGE)
    prove(phone)
    return phone


def prove(phone: Phone) -> None:
    phone.step(Received(EDGE, phone.network.proofs(phone.core.queue.lanes)))


def pay_elsewhere(network: Network) -> None:
    """The other device pays, and the network executes it."""
    account = network.proved(network.account("alice")).account
    raw = sign_transfer(
        network.key("alice"),
        chain_id=network.chain.chain_id,
        seq=account.next_seq,
        prev=account.head,
        to=network.account("bob"),
        amount=7,
        fee=1,
        valid_until_ms=START_US // 1000 + 3_600_000,
    ).raw
    network.seal([raw])


def problems(phone: Phone) -> list[str]:
    return [text for text in phone.call(Info())["problems"] if "another device" in text]


def test_a_restored_wallet_signs_nothing_until_its_head_is_proved(network):
    """The lost phone had paid twice; the new one begins with nothing but the words, and without an edge."""
    pay_elsewhere(network)
    pay_elsewhere(network)
    phone = Phone(network)
    phone.disk_at_once = True
    paid = phone.call(Pay(ROW))
    assert (paid["seq"], paid["id"]) == (None, "row-1")
    phone.crash()
    phone.connect(EDGE)
    assert phone.submitted() == []
    prove(phone)
    [raw] = phone.submitted()
    head = network.proved(network.account("alice")).account
    shown = phone.call(ShowPayment(paid["id"]))
    assert (shown["seq"], shown["id"]) == (2, network.parse(raw).id.hex())
    assert shown["seq"] == head.next_seq
    network.seal([raw])
    prove(phone)
    assert phone.call(ShowPayment(paid["id"]))["status"] == "R4"
    assert not phone.told(WalletUsedElsewhere), "what the words did before is no other device's"
    assert problems(phone) == []


def test_a_payment_of_another_device_is_told_once_and_stays_a_problem(network):
    phone = online(network)
    pay_elsewhere(network)
    prove(phone)
    [told] = phone.told(WalletUsedElsewhere)
    assert (told.account, told.payments, told.level) == (
        encode_address(network.account("alice"), test=False),
        1,
        "warning",
    )
    assert "another device that has the same words" in told.reason
    [text] = problems(phone)
    assert told.account in text
    prove(phone)
    assert len(phone.told(WalletUsedElsewhere)) == 1
    phone.crash()
    assert len(problems(phone)) == 1
    pay_elsewhere(network)
    phone.connect(EDGE)
    prove(phone)
    assert [event.payments for event in phone.told(WalletUsedElsewhere)] == [2]
    [text] = problems(phone)
    assert "after 2 payments" in text
    phone.now_us += (PROBLEM_MS + DAY_MS) * 1000
    assert problems(phone) == []


def test_own_payments_are_never_anothers_also_after_restarts(network):
    phone = online(network)
    for round_ in range(3):
        for _ in range(2):
            phone.call(Pay(ROW))
        network.seal(phone.submitted())
        if round_ == 1:
            phone.crash()
            phone.connect(EDGE)
        prove(phone)
        phone.crash()
        phone.connect(EDGE)
        prove(phone)
        phone.take(Submit)
    assert phone.call(Info())["payments"] == {"R4": 6}
    assert problems(phone) == []


def test_what_was_queued_here_moves_behind_the_other_devices_payment(network):
    phone = online(network)
    phone.down(EDGE)
    paid = phone.call(Pay(ROW))
    pay_elsewhere(network)
    phone.connect(EDGE)
    phone.take(Submit)
    prove(phone)
    assert len(problems(phone)) == 1
    shown = phone.call(ShowPayment(f"row-{paid['number']}"))
    assert "another device" in (shown["reason"] or "") or shown["seq"] == 1
