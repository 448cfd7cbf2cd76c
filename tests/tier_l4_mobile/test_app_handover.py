"""What the screens about hand-overs show, over two real phones: promised until it is proved, and never before."""

from __future__ import annotations

import random
from itertools import islice
from typing import Any

import pytest
from app_tools import AppScene
from chain_tools import make_test_chain, test_key
from handover_tools import FUNDS, bring
from hypothesis import given
from hypothesis import strategies as st
from mobile_tools import Network

from supervm.common.host.anchor_file import anchor_text
from supervm.protocol.base.address import encode_address, encode_node_id
from supervm.protocol.chain.genesis import Parameters
from supervm.protocol.light.client import anchor_of
from supervm.protocol.money.fees import split_fee
from supervm.tier_l4_mobile.app.language import Language
from supervm.tier_l4_mobile.app.models.handover import HandoverModel, promise_certainty, promise_status
from supervm.tier_l4_mobile.app.models.scan import ScanModel, ToPay, ToTake
from supervm.tier_l4_mobile.app.values import Amount, say
from supervm.tier_l4_mobile.handover.frames import frames_of
from supervm.tier_l4_mobile.messages import PaymentRow, ShowPayment

ALICE, BOB, SHOP = (encode_address(test_key(name).public, test=False) for name in ("alice", "bob", "shop"))
EN = Language("en")


async def two(**more: Any) -> tuple[AppScene, AppScene]:
    """Alice's phone, which has met an edge once, and Bob's, which has one."""
    network = Network(**FUNDS, **more)
    alice, bob = AppScene(network=network), AppScene(network=network, name="bob")
    alice.disconnect()
    for scene in (alice, bob):
        assert await scene.session.refresh() is None
    return alice, bob


async def pay(scene: AppScene, to: str = BOB, amount: str = "0.0000005") -> str:
    form = scene.models.pay
    form.clear()
    form.to, form.amount = to, amount
    assert form.problems() == []
    assert await scene.session.pay() is None
    assert form.shown_id is not None
    return form.shown_id


async def hand_over(giver: AppScene, taker: AppScene, *ids: str) -> None:
    assert await giver.session.hand_over(ids) is None
    assert giver.models.handover.given is not None
    assert await taker.session.take_handover(giver.models.handover.given.container) is None


async def test_a_payment_that_was_handed_over_is_promised_until_it_is_proved_and_the_proof_goes_back() -> None:
    alice, bob = await two()
    await hand_over(alice, bob, await pay(alice))
    [told] = bob.models.handover.told
    assert EN.write(told) == "0.0000005 SVM: Promised, not settled"
    [line] = bob.models.handover.promises()
    assert (line.source, line.to, line.is_mine, line.is_settled) == (ALICE, BOB, True, False)
    assert EN.write(line.certainty) == "The payer's balance, proved at height 0, covers it"
    [coming] = bob.models.home.view(bob.now_ms).coming_in
    assert EN.write(coming) == "0.0000005 SVM promised, not settled; the payer's balance is proved at height 0"
    # what an edge says of it is no proof
    bob.serve()
    bob.accept()
    await bob.session.refresh()
    [line] = bob.models.handover.promises()
    assert (line.status.key, line.is_settled) == ("promise.accepted", False)
    assert bob.models.home.promised == {"svm": (500, 0)}
    bob.bring()
    await bob.session.refresh()
    [line] = bob.models.handover.promises()
    assert (line.status.key, line.is_settled, line.is_open) == ("promise.settled", True, False)
    assert EN.write(line.certainty) == "Executed, as is proved at height 1"
    assert bob.models.home.view(bob.now_ms).coming_in == ()
    # and back, to a phone that still has no network
    await hand_over(bob, alice, line.id)
    assert [EN.write(text) for text in alice.models.handover.told] == ["Your payment of 0.0000005 SVM: Paid and proved"]
    assert alice.models.pay.is_paid
    [given_line] = alice.models.handover.handed()
    assert (given_line.is_paid, given_line.to) == (True, BOB)


async def test_what_is_only_brought_is_nobodys_income() -> None:
    alice, bob = await two()
    await hand_over(alice, bob, await pay(alice, SHOP))
    await bob.session.put_contact(SHOP, "Shop")
    await bob.session.put_contact(ALICE, "Alice")
    [line] = bob.models.handover.promises()
    assert (line.is_mine, line.to, line.source) == (False, "Shop", "Alice")
    assert bob.models.home.view(bob.now_ms).coming_in == ()
    assert await bob.session.drop_promise(line.id) is None
    assert bob.models.handover.promises() == []
    assert bob.models.handover.promise(line.id) is None


async def test_a_payment_that_was_handed_over_cannot_be_cancelled_and_says_so() -> None:
    alice, _ = await two()
    name = await pay(alice)
    assert (alice.models.pay.may_cancel, alice.models.pay.may_hand_over) == (True, True)
    assert await alice.session.hand_over([name]) is None
    assert (alice.models.pay.may_cancel, alice.models.pay.reason) == (False, say("wait.handed"))
    assert (await alice.session.cancel(name)).key == "error.cancel-late"
    [row] = alice.models.waiting.rows(alice.now_ms)
    assert (row.may_cancel, row.why.key) == (False, "wait.handed")


async def test_what_cannot_be_handed_over_or_taken_is_told_in_words_of_our_own() -> None:
    alice, bob = await two()
    assert (await bob.session.take_handover(b"nonsense")).key == "take.damaged"
    other = AppScene(network=Network(tools=make_test_chain(4, {"alice": 5_000_000, "bob": 5})))
    other.disconnect()
    await other.session.refresh()
    await other.session.hand_over([await pay(other)])
    assert other.models.handover.given is not None
    assert (await bob.session.take_handover(other.models.handover.given.container)).key == "take.other-network"
    new = AppScene(online=False)
    await new.session.refresh()
    await new.session.pay_many([PaymentRow(to=BOB, amount=1, fee=1)], lambda _: None)
    assert (await new.session.hand_over(["row-1"])).key == "give.unsigned"
    name = await pay(alice)
    await alice.session.hand_over([name])
    assert alice.models.handover.given is not None
    container = alice.models.handover.given.container
    damaged = bytearray(container)
    damaged[container.rindex(test_key("bob").public) + 40] ^= 1
    assert (await bob.session.take_handover(bytes(damaged))).key == "take.forged"
    assert bob.models.handover.promises() == []
    alice.phone.now_us += 100 * 3_600_000_000
    bob.phone.now_us = alice.phone.now_us
    await bob.session.take_handover(container)
    assert [text.key for text in bob.models.handover.told][-1] == "take.past"
    assert (await alice.session.hand_over([name])).key == "give.past"
    assert (await alice.session.hand_over(["row-99"])).key == "error.unknown"


async def test_the_list_is_asked_for_only_while_it_may_change() -> None:
    alice, bob = await two()
    await bob.session.refresh()
    bob.asked.clear()
    for _ in range(3):
        await bob.session.refresh()
    assert [type(request).__name__ for request in bob.asked] == ["Info", "PaymentsSince"] * 3
    await hand_over(alice, bob, await pay(alice))
    bob.asked.clear()
    await bob.session.refresh()
    assert "HandoverList" in [type(request).__name__ for request in bob.asked]


@given(
    status=st.sampled_from(["promised", "accepted", "certified", "final", "proved", "expired", "unknown", "new?"]),
    settled=st.booleans(),
    covered=st.sampled_from([True, False, None]),
    balance=st.sampled_from([None, 0, 5]),
    reason=st.sampled_from([None, "an edge says: no", "another payment of the payer took its place"]),
    mine=st.booleans(),
)
def test_nothing_is_called_settled_without_its_proof(
    status: str, settled: bool, covered: bool | None, balance: int | None, reason: str | None, mine: bool
) -> None:
    promise = {
        "id": "ab", "from": ALICE, "to": BOB if mine else SHOP, "kind": "transfer", "asset": "svm", "amount": 7,
        "status": status, "settled": settled, "reason": reason, "balance": balance, "balance_height": 3,
        "covered": covered, "height": 4, "was_settled_before": False, "valid_until_ms": 10**12,
    }  # fmt: skip
    model = HandoverModel()
    model.take_info({"accounts": [{"address": BOB}], "promises": {"kept": 1, "open": 1}})
    model.take_list({"given": [], "taken": [promise]})
    [line] = model.promises()
    assert line.is_settled == settled
    assert (promise_status(promise).key == "promise.settled") == settled
    assert (promise_certainty(promise).key == "promise.proved") == settled
    is_open = status in ("promised", "accepted", "certified", "final")
    assert (line.until is None) == (not is_open)
    assert model.promised() == ({"svm": (7, 3 if covered else None)} if mine and is_open else {})


@given(st.lists(st.tuples(st.integers(1, 10**6), st.sampled_from([None, 1, 5, 9])), max_size=6))
def test_what_is_promised_is_as_sure_as_the_least_of_it(parts: list[tuple[int, int | None]]) -> None:
    promises = [
        {"to": BOB, "kind": "transfer", "status": "promised", "asset": "svm", "amount": amount,
         "covered": height is not None, "balance_height": height}
        for amount, height in parts
    ]  # fmt: skip
    model = HandoverModel()
    model.take_info({"accounts": [{"address": BOB}], "promises": {"kept": 1, "open": 1}})
    model.take_list({"given": [], "taken": promises})
    heights = [height for _, height in parts]
    lowest = None if None in heights else min(heights, default=None)
    assert model.promised() == ({"svm": (sum(amount for amount, _ in parts), lowest)} if parts else {})


async def test_a_fee_is_split_as_this_network_splits_it() -> None:
    shares = (1_000, 2_000, 3_000, 4_000)
    tools = make_test_chain(4, FUNDS, parameters=Parameters(1, fee_shares_bps=shares))
    scene = AppScene(network=Network(tools=tools))
    await scene.session.refresh()
    await scene.session.pay_many([PaymentRow(to=BOB, amount=1, fee=1_001)], lambda _: None)
    page = scene.session.page_of(await scene.ask(ShowPayment("row-1")))
    assert [part.amount for part in page.fee_parts()] == [Amount(part) for part in split_fee(1_001, shares)]


# --- the scanner ------------------------------------------------------------------------------------------------------


def test_each_thing_goes_where_it_belongs_and_an_anchor_nowhere() -> None:
    chain = make_test_chain(4, FUNDS).chain
    model = ScanModel()
    for scanned, key in (
        (encode_node_id(test_key("node").public), "scan.node"),
        (anchor_text(anchor_of(chain)), "scan.anchor"),
        (anchor_text(anchor_of(chain)).encode(), "scan.anchor"),
        (" ".join(["abandon"] * 11 + ["about"]), "scan.words"),
        ("hello", "scan.other"),
        (b"\xff\xfe", "scan.other"),
        (f"svm:{BOB}?req-tip=5", "scan.request-damaged"),
        (f"svm:{BOB[:-1]}", "error.address-typo"),
        (b"SV\x01nothing", "scan.misread"),
    ):
        assert model.take(scanned) is None
        assert model.note is not None
        assert model.note.key == key, scanned
    found = model.take(f"svm:{BOB}?amount=5")
    assert isinstance(found, ToPay)
    assert (found.request.address, found.request.amount, model.note) == (BOB, 5, None)
    assert isinstance(model.take_codes([b"hello", BOB.encode()]), ToPay)
    assert model.take_codes([]) is None
    assert model.note == say("scan.no-code")


@pytest.mark.parametrize("lost_percent", [0, 30, 60])
async def test_frames_become_a_hand_over_though_many_are_lost(lost_percent: int) -> None:
    alice, bob = await two()
    await alice.session.hand_over([await pay(alice)])
    given_now = alice.models.handover.given
    assert given_now is not None
    rng, model, found = random.Random(7), ScanModel(), None
    for frame in islice(given_now.frames(), 100):
        if rng.randrange(100) >= lost_percent and found is None:
            found = model.take(frame)
    assert found == ToTake(given_now.container)
    assert model.progress == (given_now.frames_min, given_now.frames_min)
    assert model.take(given_now.container) == found  # the same as a file
    assert await bob.session.take_handover(found.container) is None


@given(st.binary(max_size=250) | st.text(max_size=250))
def test_whatever_is_scanned_leads_somewhere_or_is_told(scanned: bytes | str) -> None:
    model = ScanModel()
    found = model.take(scanned)
    assert found is not None or EN.write(model.note)  # type: ignore[arg-type]


def test_frames_of_another_hand_over_begin_anew() -> None:
    model = ScanModel()
    first, second = (list(islice(frames_of(bytes([mark]) * 900), 3)) for mark in (1, 2))
    for frame in first:
        model.take(frame)
    assert model.progress == (3, 6)
    model.take(second[0])
    assert model.progress == (1, 6)
    assert model.note == say("scan.progress", have=1, need=6)
    model.restart()
    assert (model.progress, model.note) == ((0, 0), None)


async def test_a_hand_over_between_phones_that_both_have_an_edge_is_brought_by_either() -> None:
    network = Network(**FUNDS)
    alice, bob = AppScene(network=network), AppScene(network=network, name="bob")
    for scene in (alice, bob):
        await scene.session.refresh()
    await hand_over(alice, bob, await pay(alice))
    alice.seal()
    await alice.session.refresh()
    assert alice.models.pay.is_paid
    bob.phone.wait(2_000_000)
    bring(bob.phone, seal=False)
    await bob.session.refresh()
    assert [line.is_settled for line in bob.models.handover.promises()] == [True]
