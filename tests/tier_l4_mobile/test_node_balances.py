"""What an L4 says of balances, with and without an edge, and after its clock was set back."""

from __future__ import annotations

from chain_tools import GENESIS_TIME_MS, test_key
from mobile_tools import SECOND_US
from phone_scene import ALICE, BOB, BOB_ADDRESS, EDGE, edge_up, online, prove, row, serve, status

from supervm.common.contract.core import PeerDown, Received
from supervm.protocol.base.address import encode_address
from supervm.protocol.base.keys import verify
from supervm.protocol.light.client import LightClient, anchor_of
from supervm.protocol.state.leaves import NATIVE
from supervm.tier_l4_mobile.messages import Balance, Pay


def test_a_balance_of_anyone_is_proved_and_its_answer_stands_alone():
    phone = online()
    token = phone.ask(Balance(BOB_ADDRESS, answer=True))
    serve(phone)
    value = phone.replies[token].value
    assert (value["balance"], value["proof_verified"], value["height"]) == (1_000_000, True, 0)
    assert value["age_s"] == 10.0
    client = LightClient(anchor_of(phone.network.chain), verify)
    proved = client.check_answer(bytes.fromhex(value["answer_hex"]), GENESIS_TIME_MS)
    assert (proved.account, proved.asset, proved.amount) == (BOB, NATIVE, 1_000_000)


def test_an_account_that_never_was_is_proved_absent():
    phone = online()
    token = phone.ask(Balance(encode_address(test_key("nobody").public, test=False)))
    serve(phone)
    value = phone.replies[token].value
    assert (value["balance"], value["exists"], value["proof_verified"]) == (0, False, True)


def test_a_balance_waits_for_a_young_header_and_gives_up_in_time():
    phone = online()
    phone.wait(40 * SECOND_US)
    phone.step(PeerDown(EDGE, "silent"))
    edge_up(phone)
    serve(phone)
    token = phone.ask(Balance())
    serve(phone)
    assert token not in phone.replies
    phone.wait(11 * SECOND_US)
    value = phone.replies[token].value
    assert (value["balance"], value["proof_verified"]) == (1_000_000, False)
    assert "last proof" in value["reason"]


def test_without_an_edge_a_balance_is_the_last_proof_or_nothing():
    phone = online()
    phone.step(PeerDown(EDGE, "gone"))
    assert phone.call(Balance())["balance"] == 1_000_000
    assert phone.call(Balance(BOB_ADDRESS)) | {"reason": ""} == {
        "address": BOB_ADDRESS,
        "asset": "svm",
        "balance": None,
        "height": None,
        "age_s": None,
        "proof_verified": False,
        "exists": None,
        "next_seq": None,
        "reason": "",
    }
    token = phone.ask(Balance(BOB_ADDRESS, answer=True))
    assert "no edge" in str(phone.replies[token].error)


def test_a_restarted_phone_does_not_go_below_the_height_it_has_seen():
    phone = online()
    old = phone.network.proofs([ALICE])
    payment = phone.call(Pay(row()))
    phone.network.seal(phone.submitted())
    prove(phone)
    phone.crash()
    assert phone.core.client.header.height == 1
    edge_up(phone)
    phone.step(Received(EDGE, old))
    assert phone.core.queue.lanes[ALICE].proved.next_seq == 1
    assert status(phone, payment) == "R4"


def test_a_clock_that_was_set_back_lowers_no_height_and_proves_no_balance():
    phone = online()
    old = phone.network.proofs([ALICE])
    phone.call(Pay(row()))
    phone.network.seal(phone.submitted())
    prove(phone)
    phone.now_us -= 3600 * SECOND_US
    phone.crash()
    assert phone.core.client.header.height == 1
    value = phone.call(Balance())
    assert (value["proof_verified"], value["age_s"]) == (False, None)
    assert "clock is" in value["reason"]
    edge_up(phone)
    phone.step(Received(EDGE, old))
    assert phone.core.client.header.height == 1
    assert phone.core.queue.lanes[ALICE].proved.next_seq == 1
