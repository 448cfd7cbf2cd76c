"""What edges take: known before anything is signed, kept over restarts, and named in what is signed."""

from __future__ import annotations

from typing import Any

import pytest
from chain_tools import test_key
from mobile_tools import SECOND_US, Network, Phone

from supervm.common.contract.core import PeerDown, Persist, Received
from supervm.protocol.base.address import encode_address
from supervm.protocol.chain.genesis import genesis_asset_id
from supervm.protocol.money.transaction import sign_transfer
from supervm.protocol.state.leaves import NATIVE, account_leaf_id
from supervm.protocol.wire.link import Heartbeat
from supervm.protocol.wire.payments import LEVEL_R0, FeeTerms, Status, StatusItem, Submit
from supervm.tier_l4_mobile.events import EdgeChanged
from supervm.tier_l4_mobile.messages import Cancel, Flush, Info, Issue, IssueRow, Pay, PayMany, PaymentRow, ShowPayment
from supervm.tier_l4_mobile.sync.terms import EDGES_MAX
from supervm.tier_l4_mobile.tables import EDGE_TERMS

EDGE, OTHER = b"\xe1" * 32, b"\xe2" * 32
ALICE = test_key("alice").public
BOB_ADDRESS = encode_address(test_key("bob").public, test=False)
GOLD = genesis_asset_id("gold")
ONE, TWO = b"\xa1" * 32, b"\xa2" * 32
"""Accounts that the two edges are paid to."""


def terms(payout: bytes = ONE, **least: int) -> FeeTerms:
    names = {"svm": NATIVE, "gold": GOLD}
    return FeeTerms(payout, tuple(sorted((names[name], fee) for name, fee in (least or {"svm": 1}).items())))


def row(amount: int = 10, fee: int = 1, fee_asset: str = "svm", **more: Any) -> PaymentRow:
    return PaymentRow(to=BOB_ADDRESS, amount=amount, fee=fee, fee_asset=fee_asset, **more)


def make() -> Phone:
    return Phone(Network(assets={"gold": {"alice": 100}}), peers=2)


def serve(phone: Phone) -> None:
    asked, phone.sent = phone.sent, []
    for peer, message in asked:
        if isinstance(message, Submit):
            phone.sent.append((peer, message))
        else:
            for answer in phone.network.answer(message):
                phone.step(Received(peer, answer))
    phone.disk()


def online(said: FeeTerms | None = None) -> Phone:
    phone = make()
    phone.connect(EDGE, terms=said or terms())
    serve(phone)
    return phone


def other_comes(phone: Phone, said: FeeTerms) -> None:
    phone.connect(OTHER, "127.0.0.1:9001", terms=said)
    phone.disk()


def say(phone: Phone, said: FeeTerms, edge: bytes = EDGE) -> None:
    phone.step(Received(edge, said))
    phone.disk()


def bodies(phone: Phone, edge: bytes | None = None) -> list[Any]:
    return [phone.network.parse(raw).body for message in phone.take(Submit, edge) for raw in message.transactions]


def refused(phone: Phone, request: Any) -> str:
    token = phone.ask(request)
    phone.disk()
    return str(phone.replies[token].error)


# --- before anything is signed ----------------------------------------------------------------------------------------


def test_the_edge_in_use_is_named_in_what_is_signed():
    phone = online()
    phone.call(Pay(row()))
    phone.call(Issue(IssueRow(supply=5, fee=1)))
    assert [body.via for body in bodies(phone)] == [ONE, ONE]
    assert phone.call(Info())["terms"] == {"payout": ONE.hex(), "fees": {"svm": 1}}


@pytest.mark.parametrize(
    ("said", "fee", "fee_asset", "why"),
    [
        (terms(svm=5), 4, "svm", "the fee is 4 grain; the edge takes at least 5 of svm"),
        (terms(svm=5), 50, "gold", f"the fee is 50 of {GOLD.hex()}; the edge takes at least 5 of svm"),
        (terms(gold=3), 9, "svm", f"the edge takes at least 3 of {GOLD.hex()}"),
        (terms(svm=5, gold=3), 2, "gold", f"takes at least 5 of svm or 3 of {GOLD.hex()}"),
        (FeeTerms(ONE, ()), 9, "svm", "the edge takes no fees now"),
    ],
)
def test_a_fee_that_the_edge_does_not_take_is_refused_before_it_is_signed(said, fee, fee_asset, why):
    phone = online(said)
    name = GOLD.hex() if fee_asset == "gold" else fee_asset
    reason = refused(phone, Pay(row(fee=fee, fee_asset=name)))
    assert reason.startswith("fee-not-taken: ")
    assert why in reason
    assert why in refused(phone, Issue(IssueRow(supply=1, fee=fee, fee_asset=name)))
    [logged] = phone.call(PayMany((row(fee=fee, fee_asset=name, key="k"),)))["payments"]
    assert (logged["status"], why in logged["reason"]) == ("refused", True)
    assert phone.submitted() == []
    assert all(not payment.raw for payment in phone.core.queue.payments.values())


def test_a_fee_that_is_taken_in_another_asset_goes():
    phone = online(terms(gold=3))
    phone.call(Pay(row(fee=3, fee_asset=GOLD.hex())))
    assert [(body.fee, body.fee_asset, body.via) for body in bodies(phone)] == [(3, GOLD, ONE)]


def test_a_payment_that_waited_for_its_first_proof_is_refused_if_its_fee_is_not_taken_then():
    phone = make()
    cheap, dear = phone.call(Pay(row(fee=1))), phone.call(Pay(row(fee=9)))
    phone.connect(EDGE, terms=terms(svm=5))
    serve(phone)
    told = phone.call(ShowPayment(f"row-{cheap['number']}"))
    assert (told["status"], "takes at least 5 of svm" in told["reason"]) == ("refused", True)
    assert [(body.fee, body.seq) for body in bodies(phone)] == [(9, 0)]
    assert phone.call(ShowPayment(f"row-{dear['number']}"))["seq"] == 0


# --- without a link ---------------------------------------------------------------------------------------------------


def test_a_phone_without_a_link_signs_for_the_edge_that_it_used_last():
    phone = online(terms(svm=5))
    other_comes(phone, terms(TWO, svm=2))
    phone.step(PeerDown(EDGE, "gone"))
    phone.disk()
    assert phone.core.uplink.active == OTHER
    phone.crash()
    assert phone.call(Info())["terms"] == {"payout": TWO.hex(), "fees": {"svm": 2}}
    assert "takes at least 2 of svm" in refused(phone, Pay(row(fee=1)))
    payment = phone.call(Pay(row(fee=2), offline=True))
    signed = phone.core.queue.payments[payment["number"]]
    assert phone.network.parse(signed.raw).body.via == TWO


def test_what_was_signed_without_a_link_leaves_as_it_is_if_that_edge_comes():
    phone = online()
    phone.crash()
    payment = phone.call(Pay(row()))
    phone.connect(EDGE, terms=terms())
    phone.disk()
    [raw] = phone.submitted()
    assert phone.network.parse(raw).id.hex() == payment["id"]


def test_what_was_signed_for_an_edge_is_signed_again_for_the_one_that_comes():
    phone = online()
    phone.crash()
    payments = [phone.call(Pay(row(amount))) for amount in (1, 2, 3)]
    other_comes(phone, terms(TWO))
    sent = bodies(phone)
    assert [(body.via, body.seq, body.amount) for body in sent] == [(TWO, 0, 1), (TWO, 1, 2), (TWO, 2, 3)]
    for payment in payments:
        now = phone.call(ShowPayment(payment["id"]))
        assert (now["number"], now["id"] != payment["id"]) == (payment["number"], True)


def test_nothing_leaves_before_the_edge_has_said_what_it_takes_now():
    phone = online()
    phone.crash()
    phone.call(Pay(row()))
    phone.connect(EDGE, terms=None)
    phone.disk()
    assert phone.submitted() == []
    say(phone, terms(TWO, svm=1))
    assert [body.via for body in bodies(phone)] == [TWO]


def test_an_edge_that_never_says_what_it_takes_costs_three_seconds():
    phone = make()
    phone.connect(EDGE, terms=None)
    serve(phone)
    phone.call(Pay(row()))
    assert phone.submitted() == []
    phone.wait(3 * SECOND_US - 1)
    assert phone.submitted() == []
    phone.wait(1)
    phone.disk()
    assert [body.via for body in bodies(phone)] == [b""]
    assert phone.call(Info())["terms"] == {"payout": None, "fees": None}


# --- another edge -----------------------------------------------------------------------------------------------------


def test_on_a_new_head_what_was_kept_here_is_signed_for_the_edge_in_use_then():
    """Another device has used the slot, and meanwhile another edge is in use."""
    phone = online()
    kept = phone.call(Pay(row(amount=7), offline=True))
    phone.step(PeerDown(EDGE, "gone"))
    other_comes(phone, terms(TWO))
    other = sign_transfer(
        test_key("alice"),
        chain_id=phone.network.chain.chain_id,
        seq=0,
        prev=bytes(32),
        to=test_key("bob").public,
        amount=1,
        fee=1,
        valid_until_ms=phone.now_us // 1000 + 10**6,
    )
    phone.network.seal([other])
    phone.step(Received(OTHER, phone.network.leaf_proofs([account_leaf_id(ALICE)])))
    phone.disk()
    now = phone.core.queue.payments[kept["number"]]
    body = phone.network.parse(now.raw).body
    assert (body.seq, body.prev, body.via, now.via) == (1, other.id, TWO, TWO)
    phone.crash()
    assert phone.core.queue.payments[kept["number"]].via == TWO


def test_what_was_released_stays_as_it_is_on_every_edge():
    phone = online()
    payment = phone.call(Pay(row()))
    [first] = phone.submitted()
    phone.step(PeerDown(EDGE, "gone"))
    other_comes(phone, terms(TWO, svm=9))
    assert phone.submitted() == [first]
    assert phone.call(ShowPayment(payment["id"]))["status"] == "queued"


def test_a_kept_payment_whose_fee_the_edge_has_raised_waits_and_says_so_until_it_is_lowered():
    phone = online()
    payment, after = phone.call(Pay(row(), offline=True)), phone.call(Pay(row(fee=9)))
    say(phone, terms(svm=5))
    phone.call(Flush())
    assert phone.submitted() == []
    told = phone.call(ShowPayment(payment["id"]))
    assert (told["status"], told["released"]) == ("queued", False)
    assert told["reason"].startswith("it waits for an edge that takes its fee: fee-not-taken: the fee is 1 grain")
    phone.wait(9 * SECOND_US)
    assert phone.submitted() == []
    say(phone, terms(svm=1))
    assert [body.fee for body in bodies(phone)] == [1, 9]
    assert phone.call(ShowPayment(payment["id"]))["reason"] is None
    assert after["seq"] == 1


def test_a_waiting_payment_can_be_cancelled_and_what_comes_after_it_goes():
    phone = online()
    payment = phone.call(Pay(row(), offline=True))
    phone.call(Pay(row(fee=9)))
    say(phone, terms(svm=5))
    phone.call(Flush())
    assert phone.submitted() == []
    phone.call(Cancel(payment["id"]))
    assert [(body.fee, body.seq) for body in bodies(phone)] == [(9, 0)]


def test_a_payment_that_the_edge_in_use_does_not_take_goes_to_one_that_does():
    phone = online()
    phone.call(Pay(row(), offline=True))
    other_comes(phone, terms(TWO))
    say(phone, terms(svm=5))
    phone.call(Flush())
    assert phone.core.uplink.active == OTHER
    assert [event.reason for event in phone.told(EdgeChanged)] == ["the one before does not take the fee of a payment"]
    assert [body.via for body in bodies(phone, OTHER)] == [TWO]


def test_edges_that_all_ask_for_more_are_not_taken_in_turn():
    phone = online()
    phone.call(Pay(row(), offline=True))
    other_comes(phone, terms(TWO, svm=7))
    say(phone, terms(svm=5))
    phone.call(Flush())
    for _ in range(20):
        phone.wait(3 * SECOND_US)
        for edge in (EDGE, OTHER):
            phone.receive(edge, Heartbeat(0, 0, 0, 0))
        serve(phone)
    assert phone.told(EdgeChanged) == []
    assert phone.core.uplink.active == EDGE


def test_terms_of_an_edge_that_is_not_in_use_change_nothing_for_now():
    phone = online()
    other_comes(phone, terms(TWO, svm=9))
    phone.call(Pay(row()))
    assert [body.via for body in bodies(phone)] == [ONE]


# --- what is kept -----------------------------------------------------------------------------------------------------


def test_terms_that_are_known_write_nothing():
    phone = online()
    before = list(EDGE_TERMS.rows(phone.store))
    for _ in range(5):
        effects = phone.step(Received(EDGE, terms()))
        assert not any(isinstance(effect, Persist) for effect in effects)
    assert list(EDGE_TERMS.rows(phone.store)) == before
    assert len(before) == 1


def test_the_terms_of_the_last_edges_are_kept_and_no_more():
    phone = make()
    for number in range(EDGES_MAX + 10):
        edge = number.to_bytes(32, "big")
        phone.connect(edge, f"127.0.0.1:{9000 + number}", terms=terms(edge))
        phone.step(PeerDown(edge, "gone"))
        phone.disk()
    kept = sorted(EDGE_TERMS.rows(phone.store), key=lambda kept: kept.turn)
    assert [int.from_bytes(kept.edge, "big") for kept in kept] == list(range(10, EDGES_MAX + 10))
    phone.crash()
    assert phone.call(Info())["terms"]["payout"] == (EDGES_MAX + 9).to_bytes(32, "big").hex()


@pytest.mark.parametrize(
    "bad",
    [
        FeeTerms(b"\x01", ((NATIVE, 1),)),
        FeeTerms(ONE, ((b"\x01", 1),)),
        FeeTerms(ONE, ((GOLD, 1), (NATIVE, 1))),
        FeeTerms(ONE, ((GOLD, 1), (GOLD, 2))),
    ],
)
def test_terms_that_are_none_cost_the_edge_its_link(bad):
    phone = online()
    phone.step(Received(EDGE, bad))
    assert list(phone.hung_up) == [EDGE]
    assert phone.call(Info())["terms"]["payout"] == ONE.hex()


def test_a_claim_about_an_id_that_a_payment_had_for_another_edge_says_nothing():
    phone = online()
    phone.crash()
    payment = phone.call(Pay(row()))
    other_comes(phone, terms(TWO))
    phone.submitted()
    phone.step(Received(OTHER, Status((StatusItem(bytes.fromhex(payment["id"]), LEVEL_R0, ""),))))
    assert phone.call(ShowPayment(payment["id"]))["status"] == "queued"
