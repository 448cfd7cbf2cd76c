"""Payments handed from phone to phone: the honest way, the way back, and what forgers try."""

from __future__ import annotations

import random

import msgspec
import pytest
from chain_tools import test_key
from handover_tools import (
    EDGE,
    FUNDS,
    bring,
    export,
    kept,
    later,
    offline,
    online,
    promised,
    row,
    serve,
    take,
    transfer,
)
from mobile_tools import Network, Phone

from supervm.common.contract.core import Command, PeerDown
from supervm.common.testing.hand import BrokenContract
from supervm.protocol.base.address import encode_address
from supervm.protocol.wire.payments import Submit
from supervm.tier_l4_mobile.events import PromiseChanged
from supervm.tier_l4_mobile.handover import kept as kept_module
from supervm.tier_l4_mobile.handover.container import read_container, write_container
from supervm.tier_l4_mobile.messages import (
    Cancel,
    HandoverDrop,
    HandoverExport,
    HandoverList,
    HandoverTake,
    Info,
    Pay,
    ShowPayment,
)
from supervm.tier_l4_mobile.tables import LEAF_PROOFS


def test_a_payment_of_a_phone_without_network_is_brought_and_its_proof_comes_back() -> None:
    network = Network(**FUNDS)
    alice, bob = offline(network, "alice"), online(network, "bob")
    payment = promised(alice)
    [promise] = take(bob, export(alice, payment["id"]))["promises"]
    assert (promise["status"], promise["settled"], promise["covered"]) == ("promised", False, True)
    assert (promise["balance"], promise["balance_height"]) == (1_000_000, 0)
    [raw] = bring(bob)
    assert network.parse(raw).id.hex() == payment["id"]
    [promise] = kept(bob)
    assert (promise["status"], promise["result"], promise["settled"]) == ("proved", "executed", True)
    assert not promise["was_settled_before"]
    assert [event.status for event in bob.told(PromiseChanged)] == ["accepted", "final", "proved"]
    answer = take(alice, export(bob, payment["id"]))
    assert [item["status"] for item in answer["payments"]] == ["R4"]
    shown = alice.call(ShowPayment(payment["id"]))
    assert (shown["status"], shown["result"], shown["proof_verified"]) == ("R4", "executed", True)
    assert alice.call(Info())["accounts"][0]["balance"] == 1_000_000 - 11
    assert answer["notes"] == []


def test_what_is_handed_over_is_released_and_stays_the_owners() -> None:
    network = Network(**FUNDS)
    alice = offline(network, "alice")
    first, second, third = (promised(alice, n, offline=True) for n in (1, 2, 3))
    export(alice, second["id"])
    shown = [alice.call(ShowPayment(item["id"])) for item in (first, second, third)]
    assert [item["released"] for item in shown] == [True, True, False]
    assert "handed over" in shown[1]["reason"]
    assert shown[2]["reason"] is None
    with pytest.raises(BrokenContract, match="was released"):
        alice.call(Cancel(first["id"]))
    alice.call(Cancel(third["id"]))
    given = alice.call(HandoverList())["given"]
    assert [item["handed_over_times"] for item in given] == [1, 1]
    alice.crash()
    assert [item["released"] for item in alice.call(HandoverList())["given"]] == [True, True]
    alice.connect(EDGE)
    assert len(serve(alice)) == 2  # whoever meets an edge first brings it


def test_nothing_is_shown_before_its_release_is_durable() -> None:
    alice = offline(Network(**FUNDS), "alice")
    payment = promised(alice)
    token = alice.ask(HandoverExport((payment["id"],)))
    assert token not in alice.replies
    alice.crash()
    assert not alice.call(ShowPayment(payment["id"]))["released"]
    token = alice.ask(HandoverExport((payment["id"],)))
    alice.disk()
    container = alice.replies[token].value["container_hex"]
    alice.crash()
    assert alice.call(ShowPayment(payment["id"]))["released"]
    assert export(alice, payment["id"]) == container


def test_a_promise_is_on_disk_before_it_is_acknowledged_or_leaves() -> None:
    network = Network(**FUNDS)
    alice, bob = offline(network, "alice"), online(network, "bob")
    container = export(alice, promised(alice)["id"])
    token = bob.ask(HandoverTake(container))
    assert token not in bob.replies
    assert bob.take(Submit) == []
    bob.crash()
    assert kept(bob) == []
    take(bob, container)
    bob.crash()
    [promise] = kept(bob)
    assert (promise["status"], promise["covered"]) == ("promised", True)
    bob.connect(EDGE)
    bring(bob)
    bob.crash()
    [promise] = kept(bob)
    assert (promise["status"], promise["result"]) == ("proved", "executed")
    assert promise["height"] == 1


def test_two_phones_bring_one_payment_and_it_is_executed_once() -> None:
    network = Network(**FUNDS)
    alice, bob, carol = offline(network, "alice"), online(network, "bob"), online(network, "carol")
    payment = promised(alice)
    container = export(alice, payment["id"])
    assert export(alice, payment["id"]) == container
    take(bob, container), take(carol, container)
    [raw], [other] = serve(bob), serve(carol)
    assert raw == other
    network.seal([raw])
    for phone in (bob, carol):
        phone.wait(4_000_000)
        serve(phone)
        assert [item["status"] for item in kept(phone)] == ["proved"]
        assert phone.hung_up == {}
    assert network.proved(test_key("alice").public).account.balance == 1_000_000 - 11
    take(alice, export(bob, payment["id"]))
    again = take(alice, export(carol, payment["id"]))
    assert again["payments"] == []
    assert alice.call(ShowPayment(payment["id"]))["status"] == "R4"


def test_a_container_may_come_twice_and_be_carried_on() -> None:
    network = Network(**FUNDS)
    alice, bob, carol = offline(network, "alice"), offline(network, "bob"), online(network, "carol")
    payment = promised(alice)
    container = export(alice, payment["id"])
    take(bob, container)
    assert len(take(bob, container)["promises"]) == 1
    [promise] = take(carol, export(bob, payment["id"]))["promises"]
    assert promise["covered"] is True
    bring(carol)
    back = export(carol, payment["id"])
    assert [item["status"] for item in take(bob, back)["promises"]] == []
    assert [item["status"] for item in kept(bob)] == ["proved"]
    take(alice, export(bob, payment["id"]))
    assert alice.call(ShowPayment(payment["id"]))["status"] == "R4"


def test_what_was_settled_already_promises_nothing_new() -> None:
    network = Network(**FUNDS)
    alice, bob = offline(network, "alice"), online(network, "bob")
    payment = promised(alice)
    container = export(alice, payment["id"])
    network.seal([alice.core.queue.payments[1].raw])
    # Bob has not seen the newer state yet: he takes it, and learns that it was settled before
    [promise] = take(bob, container)["promises"]
    assert promise["covered"] is True
    bob.wait(4_000_000)
    serve(bob)
    [promise] = kept(bob)
    assert (promise["status"], promise["was_settled_before"]) == ("proved", True)
    bob.call(HandoverDrop(payment["id"]))
    assert kept(bob) == []


def test_an_account_whose_payments_failed_is_settled_by_the_receipt() -> None:
    network = Network(**FUNDS)
    too_much = transfer(network, "alice", amount=10**9)
    network.seal([too_much])
    alice, bob = offline(network, "alice"), online(network, "bob")
    payment = promised(alice)
    take(bob, export(alice, payment["id"]))
    bring(bob)
    answer = take(alice, export(bob, payment["id"]))
    assert [(item["status"], item["result"]) for item in answer["payments"]] == [("R4", "executed")]


def test_promises_end_when_their_validity_is_proved_to_be_over() -> None:
    network = Network(**FUNDS)
    alice, bob = offline(network, "alice"), online(network, "bob")
    payments = [promised(alice, n, validity_ms=60_000) for n in (1, 2)]
    take(bob, export(alice, payments[1]["id"]))
    serve(bob)  # an edge that loses them
    later(bob, 200_000_000)
    serve(bob)
    assert {item["status"] for item in kept(bob)} == {"promised"}  # our own clock decides nothing
    network.seal(ts_ms=bob.now_us // 1000)
    later(bob, 200_000_000)
    serve(bob)
    assert [item["status"] for item in kept(bob)] == ["expired", "expired"]
    assert bob.call(Info())["promises"] == {"kept": 2, "open": 0}
    alice.now_us = bob.now_us
    with pytest.raises(BrokenContract, match="validity has passed"):
        export(alice, payments[0]["id"])


def test_a_phone_that_never_proved_its_account_hands_nothing_over() -> None:
    alice = Phone(Network(**FUNDS))
    payment = promised(alice)
    with pytest.raises(BrokenContract, match="is not signed"):
        export(alice, payment["id"])
    with pytest.raises(BrokenContract, match="no payment"):
        export(alice, "ab" * 32)


def test_promises_of_a_stranger_touch_nothing_of_this_wallet() -> None:
    network = Network(**FUNDS)
    alice, bob = offline(network, "alice"), online(network, "bob")
    own = promised(bob, 5)
    before = bob.call(Info())
    take(bob, export(alice, promised(alice)["id"]))
    after = bob.call(Info())
    assert {key: after[key] for key in ("accounts", "payments")} == {
        key: before[key] for key in ("accounts", "payments")
    }
    raws = bring(bob)
    assert len(raws) == 2
    bob.step(PeerDown(EDGE, "gone"))
    assert bob.call(ShowPayment(own["id"]))["seq"] == 0


def test_an_asset_is_handed_over_with_what_is_proved_of_it() -> None:
    network = Network(assets={"gold": {"alice": 500}}, **FUNDS)
    alice, bob = online(network, "alice"), online(network, "bob")
    [asset] = alice.core.queue.lanes[network.account("alice")].holdings
    payment = promised(alice, 200, asset=asset.hex(), offline=True)
    [promise] = take(bob, export(alice, payment["id"]))["promises"]
    assert (promise["asset"], promise["amount"], promise["balance"]) == (asset.hex(), 200, 500)
    assert promise["covered"] is True
    bring(bob)
    assert [item["status"] for item in take(alice, export(bob, payment["id"]))["payments"]] == ["R4"]


def test_an_old_proof_of_a_holding_covers_nothing() -> None:
    """A payer may show what it had of an asset before it sent it away."""
    network = Network(assets={"gold": {"alice": 500}}, **FUNDS)
    alice, bob = online(network, "alice"), online(network, "bob")
    [asset] = alice.core.queue.lanes[network.account("alice")].holdings
    text = export(alice, promised(alice, 200, asset=asset.hex(), offline=True)["id"])
    old = read_container(bytes.fromhex(text), network.chain.chain_id)
    network.seal([transfer(network, "alice", amount=450, asset=asset)])
    spent = transfer(network, "alice", amount=200, asset=asset)
    alice = online(network, "alice")
    alice.call(HandoverExport((promised(alice, 1, offline=True)["id"],)))
    newer = read_container(bytes.fromhex(export(alice, "row-1")), network.chain.chain_id)
    [holding] = [leaf for leaf in old.proofs if leaf.asset]
    mixed = msgspec.structs.replace(newer, proofs=(*newer.proofs, holding), transactions=(spent.raw,))
    [promise] = take(bob, write_container(mixed).hex())["promises"]
    assert promise["covered"] is None


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_killed_when_nothing_acknowledged_is_lost_and_no_slot_is_used_twice(seed: int) -> None:
    """Two phones lose power between a write and its answer, over and over; everything ends once."""
    rng, network = random.Random(seed), Network(**FUNDS)
    alice, bob = offline(network, "alice"), online(network, "bob")
    acknowledged: dict[str, None] = {}
    taken: dict[str, None] = {}
    slots: dict[tuple[int, bytes], bytes] = {}
    for number in range(30):
        token = alice.ask(Pay(row(1 + number, key=f"k{number}")))
        if rng.randrange(3):
            alice.disk()
            payment = alice.replies[token].value
            token = alice.ask(HandoverExport((payment["id"],)))
            if rng.randrange(3):
                alice.disk()
                container = alice.replies[token].value["container_hex"]
                for raw in read_container(bytes.fromhex(container), network.chain.chain_id).transactions:
                    parsed = network.parse(raw)
                    slot = (parsed.body.seq, parsed.body.prev)
                    assert slots.setdefault(slot, parsed.id) == parsed.id
                acknowledged[payment["id"]] = None
                token = bob.ask(HandoverTake(container))
                if rng.randrange(3):
                    bob.disk()
                    taken.update((item["id"], None) for item in bob.replies[token].value["promises"])
        if not rng.randrange(3):
            alice.crash()
        if not rng.randrange(3):
            bob.crash()
    for name in acknowledged:
        assert alice.call(ShowPayment(name))["released"]
    assert set(taken) <= {item["id"] for item in kept(bob)}
    last = max(acknowledged, key=lambda name: alice.call(ShowPayment(name))["seq"])
    take(bob, export(alice, last))
    bob.connect(EDGE)
    bring(bob)
    assert {item["status"] for item in kept(bob)} == {"proved"}
    take(alice, export(bob, *(item["id"] for item in kept(bob))))
    assert {alice.call(ShowPayment(name))["status"] for name in acknowledged} == {"R4"}


def test_requests_are_known() -> None:
    alice = offline(Network(**FUNDS), "alice")
    alice.step(Command(99, HandoverList()))
    assert alice.replies[99].value == {"given": [], "taken": []}


def test_proofs_of_many_own_accounts_are_kept_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of accounts with open payments first; what has left memory has left the disk."""
    monkeypatch.setattr(kept_module, "OWN_MAX", 3)
    names = [f"n{number}" for number in range(6)]
    network = Network(**dict.fromkeys(names, 1_000))
    phone = online(network, *names)
    assert len(list(LEAF_PROOFS.rows(phone.store))) == 3
    own = [network.account(name) for name in names]
    for account in own[3:]:
        promised(phone, source=encode_address(account, test=False), offline=True)
    network.seal()
    phone.step(PeerDown(EDGE, "gone"))
    phone.connect(EDGE)
    serve(phone)
    assert {row.account for row in LEAF_PROOFS.rows(phone.store)} == set(own[3:])
    phone.crash()
    phone.connect(EDGE)
    serve(phone)
    assert len(list(LEAF_PROOFS.rows(phone.store))) == 3
