"""What the owner keeps and looks up: contacts, watched addresses, history; and the bound of the queue."""

from __future__ import annotations

import pytest
from chain_tools import test_key
from hypothesis import given
from hypothesis import strategies as st
from mobile_tools import Network, Phone

from supervm.common.contract.core import Received
from supervm.common.parts.participation import PASSIVE
from supervm.common.parts.policy.policy import Policy
from supervm.common.parts.policy.rules import Rules
from supervm.common.testing.hand import BrokenContract
from supervm.protocol.base.address import encode_address
from supervm.tier_l4_mobile.messages import (
    Cancel,
    ContactList,
    Info,
    Pay,
    PayMany,
    PaymentRow,
    PutContact,
    RemoveContact,
    SearchPayments,
    ShowPayment,
)
from supervm.tier_l4_mobile.owner import contacts, history

BOB, CAROL, DAVE = (encode_address(test_key(name).public, test=False) for name in ("bob", "carol", "dave"))
NETWORK = Network()
EDGE = b"\xe1" * 32


def refused(phone: Phone, request: object) -> str:
    with pytest.raises(BrokenContract) as told:
        phone.call(request)
    return str(told.value)


# --- contacts ---------------------------------------------------------------------------------------------------------


def test_contacts_are_kept_changed_listed_by_name_and_forgotten() -> None:
    phone = Phone(NETWORK)
    phone.call(PutContact(CAROL, "carol", "the baker", True))
    assert phone.call(PutContact(BOB, " Bob "))["name"] == "Bob"
    phone.crash()
    assert [item["name"] for item in phone.call(ContactList())["contacts"]] == ["Bob", "carol"]
    assert phone.call(PutContact(BOB, "Robert"))["note"] == ""
    shown = {"address": CAROL, "name": "carol", "note": "the baker", "watched": True}
    assert phone.call(RemoveContact(CAROL)) == shown
    phone.crash()
    assert [item["address"] for item in phone.call(ContactList())["contacts"]] == [BOB]
    assert phone.call(Info())["contacts"] == 1
    assert "is no contact" in refused(phone, RemoveContact(CAROL))


def test_a_contact_is_answered_only_when_it_is_durable() -> None:
    phone = Phone(NETWORK)
    token = phone.ask(PutContact(BOB, "Bob"))
    assert token not in phone.replies
    phone.disk()
    assert phone.replies[token].value["name"] == "Bob"


@pytest.mark.parametrize(
    ("request_", "match"),
    [
        (PutContact("svm1nonsense", "x"), "is not an address"),
        (PutContact(encode_address(test_key("bob").public, test=True), "x"), "another network's"),
        (PutContact(CAROL, "  "), "needs a name"),
        (PutContact(CAROL, "a\nb"), "cannot be printed"),
        (PutContact(CAROL, "c", "\x1b[2J"), "cannot be printed"),
        (PutContact(CAROL, "BOB"), "another contact is called Bob: svm1"),
    ],
)
def test_what_is_no_contact_is_refused_with_the_reason(request_: PutContact, match: str) -> None:
    phone = Phone(NETWORK)
    phone.call(PutContact(BOB, "Bob"))
    assert match in refused(phone, request_)
    assert len(phone.call(ContactList())["contacts"]) == 1


def test_contacts_and_watched_addresses_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contacts, "CONTACTS_MAX", 2)
    monkeypatch.setattr(contacts, "WATCHED_MAX", 1)
    phone = Phone(NETWORK)
    phone.call(PutContact(BOB, "b", watched=True))
    assert "watched already" in refused(phone, PutContact(CAROL, "c", watched=True))
    phone.call(PutContact(CAROL, "c"))
    assert "at most 2" in refused(phone, PutContact(DAVE, "d"))
    phone.call(PutContact(BOB, "still there", watched=True))


# --- history ----------------------------------------------------------------------------------------------------------


def phone_with(count: int) -> Phone:
    phone = Phone(NETWORK)
    rows = [
        PaymentRow(to=(BOB, CAROL)[number % 2], amount=1_000 + number, fee=1, key=f"Order-{number}")
        for number in range(1, count + 1)
    ]
    phone.call(PayMany(tuple(rows)))
    return phone


def pages(phone: Phone, **more: object) -> tuple[list[int], int]:
    """The numbers that all pages give, and how many pages there were."""
    found, asked, before = [], 0, None
    while True:
        page = phone.call(SearchPayments(before=before, **more))
        found += [payment["number"] for payment in page["payments"]]
        asked, before = asked + 1, page["before"]
        if before is None:
            return found, asked


def test_history_goes_back_page_by_page_and_ends() -> None:
    phone = phone_with(7)
    assert pages(phone, limit=3) == ([7, 6, 5, 4, 3, 2, 1], 3)
    assert pages(Phone(NETWORK)) == ([], 1)
    phone.call(Cancel("row-7"))  # finished ones are looked at as well
    phone.crash()
    assert pages(phone, limit=50)[0] == [7, 6, 5, 4, 3, 2, 1]
    assert pages(phone, statuses=("cancelled",))[0] == [7]


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({"text": "order-3"}, [3]),
        ({"text": "1005"}, [5]),
        ({"text": "ROW-4"}, [4]),
        ({"text": CAROL[-12:]}, [5, 3, 1]),
        ({"receivers": (BOB,)}, [4, 2]),
        ({"receivers": (BOB,), "text": "order-2"}, [2]),
        ({"source": "alice"}, [5, 4, 3, 2, 1]),
        ({"text": "nothing like it"}, []),
    ],
)
def test_history_is_searched(asked: dict[str, object], numbers: list[int]) -> None:
    assert pages(phone_with(5), **asked)[0] == numbers


def test_a_page_looks_at_few_payments_however_rare_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "LOOKED_MAX", 4)
    phone = phone_with(10)
    assert phone.call(SearchPayments("order-1"))["payments"][0]["number"] == 10
    assert pages(phone, text="order-2") == ([2], 3)
    for request in (SearchPayments(source="nobody"), SearchPayments(receivers=("nobody",))):
        assert "is not an address" in refused(phone, request)


@given(limit=st.integers(1, 5), looked=st.integers(1, 5))
def test_no_page_loses_or_repeats_a_payment(limit: int, looked: int) -> None:
    phone = phone_with(11)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "LOOKED_MAX", looked)
        assert pages(phone, limit=limit)[0] == list(range(11, 0, -1))


# --- the bound of the queue -------------------------------------------------------------------------------------------


def test_a_full_queue_refuses_and_takes_again_once_there_is_room() -> None:
    phone = Phone(NETWORK, queue_max=2)
    for number in (1, 2):
        phone.call(Pay(PaymentRow(to=BOB, amount=number, fee=1, key=f"k{number}")))
    told = refused(phone, Pay(PaymentRow(to=BOB, amount=3, fee=1)))
    assert "the queue is full: 2 payments are on their way, and at most 2 may be (queue_max)" in told
    assert phone.call(Pay(PaymentRow(to=BOB, amount=1, fee=1, key="k1")))["number"] == 1  # nothing new
    [shown] = phone.call(PayMany((PaymentRow(to=BOB, amount=3, fee=1, key="k3"),)))["payments"]
    assert (shown["status"], "queue is full" in shown["reason"]) == ("refused", True)
    phone.call(Cancel("row-1"))
    assert phone.call(Pay(PaymentRow(to=BOB, amount=3, fee=1)))["status"] == "queued"
    assert phone.call(ShowPayment("row-2"))["status"] == "queued"


def test_refused_rows_of_one_request_leave_room_for_the_others() -> None:
    phone = Phone(NETWORK, queue_max=2)
    bad, good = PaymentRow(to=BOB, amount=0, fee=1), PaymentRow(to=BOB, amount=1, fee=1)
    shown = phone.call(PayMany((bad, bad, bad, good, good, good)))["payments"]
    assert [payment["status"] for payment in shown] == ["refused"] * 3 + ["queued"] * 2 + ["refused"]


# --- the owner's policy -----------------------------------------------------------------------------------------------


def test_a_payment_that_the_policy_forbids_is_an_error_with_the_rules_name() -> None:
    phone = Phone(Network())
    phone.core.govern(Policy(Rules(writes_per_minute=1, writes_burst=1)))
    one = PaymentRow(to=BOB, amount=1, fee=1, key="one")
    assert phone.call(Pay(one))["status"] == "queued"  # nobody can be reached: it waits
    told = refused(phone, Pay(PaymentRow(to=BOB, amount=1, fee=1)))
    assert told.endswith(" is refused: policy.writes_per_minute: 1 a minute and 1 at once are taken")
    assert phone.call(Pay(one))["number"] == 1  # the same one again is no other


def test_a_phone_that_reaches_no_edge_takes_nothing_if_its_policy_says_so() -> None:
    phone = Phone(Network())
    phone.core.govern(Policy(Rules(read_only=True)))
    assert "policy.when_unreachable" in refused(phone, Pay(PaymentRow(to=BOB, amount=1, fee=1)))
    phone.connect(EDGE)
    assert phone.call(Pay(PaymentRow(to=BOB, amount=1, fee=1)))["status"] == "queued"


# --- a passive phone --------------------------------------------------------------------------------------------------


def test_a_passive_phone_has_few_payments_in_flight_and_brings_all_of_them_through() -> None:
    network = Network()
    phone = Phone(network, mode=PASSIVE)
    assert phone.call(Info())["mode"] == PASSIVE
    phone.call(PayMany(tuple(PaymentRow(to=BOB, amount=1, fee=1) for _ in range(150))))
    phone.connect(EDGE)
    sizes = []
    for _ in range(4):
        phone.disk()
        raws = phone.submitted()
        for message in phone.take():
            for answer in network.answer(message):
                phone.step(Received(EDGE, answer))
            phone.disk()
        raws += phone.submitted()
        sizes.append(len(raws))
        network.seal(raws)
        phone.step(Received(EDGE, network.proofs([network.account("alice")])))
    assert sizes == [64, 64, 22, 0]
    phone.disk()
    assert phone.call(Info())["payments"] == {"R4": 150}
