"""What a forger, a double payer and a flooder may try with hand-overs, and what they get: a sentence."""

from __future__ import annotations

import os
import random
from typing import Any

import msgspec
import pytest
from chain_tools import make_test_chain, test_key
from handover_tools import EDGE, FUNDS, bring, export, kept, later, offline, online, promised, serve, take, transfer
from mobile_tools import START_US, Network, Phone

from supervm.common.parts.participation import PASSIVE
from supervm.common.testing.hand import BrokenContract
from supervm.protocol.money.transaction import SignedTransaction
from supervm.protocol.state.account import POOL_ACCOUNTS
from supervm.tier_l4_mobile.handover import carrier, taker
from supervm.tier_l4_mobile.handover.container import Container, read_container, write_container
from supervm.tier_l4_mobile.messages import HandoverTake, Info

MUTANTS = 100_000 if os.environ.get("SUPERVM_HYPOTHESIS") == "explore" else 5_000
"""Containers that a phone is given, the same ones each time; the long run takes more of them."""


@pytest.fixture
def network() -> Network:
    return Network(**FUNDS)


def opened(phone: Phone, text: str) -> Container:
    return read_container(bytes.fromhex(text), phone.network.chain.chain_id)


def closed(container: Container, **changes: Any) -> str:
    return write_container(msgspec.structs.replace(container, **changes)).hex()


def of(network: Network, *transactions: SignedTransaction, **more: Any) -> str:
    """Return a container of these, with what is proved of their senders."""
    phone = offline(network, "alice")
    container = opened(phone, export(phone, promised(phone)["id"]))
    return closed(container, transactions=tuple(item.raw for item in transactions), **more)


def refusal(phone: Phone, text: str) -> str:
    """Return why a container is refused; the phone keeps nothing of it."""
    before = phone.call(Info())
    with pytest.raises(BrokenContract) as caught:
        take(phone, text)
    after = phone.call(Info())
    assert after["promises"] == before["promises"]
    assert after["accounts"] == before["accounts"]
    return str(caught.value)


def notes(phone: Phone, text: str) -> str:
    """Return what is noted against a container of which nothing is kept."""
    answer = take(phone, text)
    assert answer["promises"] == []
    return " ".join(answer["notes"])


def test_a_signature_that_is_not_the_senders(network: Network) -> None:
    signed = transfer(network, "alice")
    forged = signed.raw[:-1] + bytes([signed.raw[-1] ^ 1])
    container = opened(offline(network, "bob"), of(network, signed))
    assert "its signature is not its sender's" in refusal(
        online(network, "bob"), closed(container, transactions=(forged,))
    )


def test_one_of_another_network(network: Network) -> None:
    other = Network(tools=make_test_chain(7, FUNDS))
    assert other.chain.chain_id != network.chain.chain_id
    alice, bob = offline(other, "alice"), online(network, "bob")
    text = export(alice, promised(alice)["id"])
    assert "another network" in refusal(bob, text)
    relabelled = opened(alice, text)
    assert "signed for another chain" in refusal(bob, closed(relabelled, chain_id=network.chain.chain_id))
    proofs_only = closed(relabelled, chain_id=network.chain.chain_id, transactions=())
    assert "proof 1 of the hand-over does not hold" in refusal(bob, proofs_only)


def test_what_no_wallet_makes(network: Network) -> None:
    bob = online(network, "bob")
    long = START_US // 1000 + network.chain.parameters.validity_ms_max + 3_600_000
    assert "its validity ends at" in refusal(bob, of(network, transfer(network, "alice", valid_until_ms=long)))
    pool = sorted(POOL_ACCOUNTS)[0]
    assert "a pool of the protocol" in refusal(bob, of(network, transfer(network, "alice", to=pool)))
    assert "together" in refusal(bob, of(network, transfer(network, "alice", amount=2**63 - 1, fee=2)))
    first, second = transfer(network, "alice"), transfer(network, "alice", seq=1)
    assert "does not follow the one before it" in refusal(bob, of(network, first, second))
    third = transfer(network, "carol")
    after = transfer(network, "alice", seq=1, prev=first.id)
    assert "stand apart" in refusal(bob, of(network, first, third, after))


def test_one_that_is_over_by_our_clock_is_noted(network: Network) -> None:
    bob = online(network, "bob")
    late = transfer(network, "alice", valid_until_ms=START_US // 1000 - 1)
    assert "its validity has passed" in notes(bob, of(network, late))


def test_a_payer_that_promises_one_place_twice(network: Network) -> None:
    bob = online(network, "bob")
    one, other = transfer(network, "alice", amount=10), transfer(network, "alice", amount=11)
    assert len(take(bob, of(network, one))["promises"]) == 1
    assert "has signed another payment for the same place" in notes(bob, of(network, other))
    # to another phone it is new; one of the two is executed, the other one is proved dead, and nobody is blamed
    carol = online(network, "carol")
    take(carol, of(network, other))
    bring(bob)
    later(carol, 4_000_000)
    serve(carol)
    later(carol, 4_000_000)
    serve(carol)
    assert [item["status"] for item in kept(bob)] == ["proved"]
    [dead] = kept(carol)
    assert (dead["status"], dead["settled"]) == ("expired", False)
    assert "another payment of the payer took its place" in dead["reason"]
    assert carol.hung_up == {}


def test_those_behind_a_dead_one_are_dead(network: Network) -> None:
    bob = online(network, "bob")
    first = transfer(network, "alice", amount=10)
    second = transfer(network, "alice", seq=1, prev=first.id)
    take(bob, of(network, first, second))
    network.seal([transfer(network, "alice", amount=12)])
    later(bob, 4_000_000)
    serve(bob)
    assert [item["status"] for item in kept(bob)] == ["expired", "expired"]
    assert "before it can no longer execute" in kept(bob)[1]["reason"]


def test_more_than_the_payer_has(network: Network) -> None:
    bob = online(network, "bob")
    assert "does not cover it" in notes(bob, of(network, transfer(network, "alice", amount=1_000_000)))
    first = transfer(network, "alice", amount=600_000)
    second = transfer(network, "alice", amount=600_000, seq=1, prev=first.id)
    answer = take(bob, of(network, first, second))
    assert [item["covered"] for item in answer["promises"]] == [True]
    assert "does not cover it, counting the payments before it" in answer["notes"][0]


def test_a_replayed_payment_promises_nothing(network: Network) -> None:
    text = of(network, old := transfer(network, "alice"))
    network.seal([old])
    bob = online(network, "bob")
    newer = opened(bob, of(network, transfer(network, "carol"))).proofs
    container = closed(opened(bob, text), proofs=newer)
    assert "promises nothing new" in notes(bob, container)
    gap = transfer(network, "alice", seq=3)
    assert "payments before it are missing" in notes(bob, of(network, gap, proofs=newer))
    rival = transfer(network, "alice", prev=bytes(32))
    assert "took the place before it" in notes(bob, of(network, rival, proofs=newer))


def test_proofs_that_do_not_hold(network: Network) -> None:
    bob = online(network, "bob")
    container = opened(bob, of(network, transfer(network, "alice")))
    [leaf] = container.proofs
    stolen = msgspec.structs.replace(leaf, account=test_key("carol").public)
    assert "proof 1 of the hand-over does not hold" in refusal(bob, closed(container, proofs=(stolen,)))
    header = msgspec.structs.replace(leaf.checkpoint.header, height=9, supply=1)
    checkpoint = msgspec.structs.replace(leaf.checkpoint, header=header)
    forged = msgspec.structs.replace(leaf, checkpoint=checkpoint)
    assert "does not hold" in refusal(bob, closed(container, proofs=(forged,)))
    assert bob.core.client.fork is None


def test_a_receipt_of_somebody_else_settles_nothing(network: Network) -> None:
    alice, bob, carol = offline(network, "alice"), online(network, "bob"), offline(network, "carol")
    payment, other = promised(alice), promised(carol)
    take(bob, export(alice, payment["id"])), take(bob, export(carol, other["id"]))
    bring(bob)
    proofs = opened(bob, export(bob, payment["id"], other["id"]))
    swapped = tuple(
        msgspec.structs.replace(
            receipt, receipt=msgspec.structs.replace(receipt.receipt, transaction_id=bytes.fromhex(name))
        )
        for receipt, name in zip(proofs.receipts, (other["id"], payment["id"]), strict=True)
    )
    take(erin := offline(network, "erin"), export(alice, payment["id"]))
    with pytest.raises(BrokenContract, match="does not hold"):
        take(erin, closed(proofs, receipts=swapped, proofs=()))
    assert [item["status"] for item in kept(erin)] == ["promised"]
    take(alice, closed(proofs, proofs=()))
    assert alice.core.queue.payments[1].status == "queued"  # without a proof of the account nothing is settled


def test_what_is_kept_has_bounds(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    bob = online(network, "bob")
    monkeypatch.setattr(taker, "PAYER_MAX", 2)
    chain = [transfer(network, "alice")]
    while len(chain) < 3:
        chain.append(transfer(network, "alice", seq=len(chain), prev=chain[-1].id))
    answer = take(bob, of(network, *chain))
    assert (len(answer["promises"]), len(answer["notes"])) == (2, 1)
    assert "2 open payments of its payer" in answer["notes"][0]
    monkeypatch.setattr(taker, "UNPROVED_MAX", 1)
    strangers = [transfer(network, name) for name in ("dan", "erin")]
    answer = take(bob, closed(opened(bob, of(network, *strangers)), proofs=()))
    assert [item["covered"] for item in answer["promises"]] == [None]
    assert "nothing is proved of its payer" in answer["notes"][0]
    monkeypatch.setattr(taker, "UNPROVED_MAX", 64)
    part = next(part for part in bob.core.parts if isinstance(part, carrier.Carrier))
    part._promises.most = 3
    assert "3 open payments of others are kept here" in notes(bob, of(network, transfer(network, "carol")))


def test_a_container_of_proofs_alone_leaves_nothing(network: Network) -> None:
    bob = online(network, "bob")
    take(bob, of(network))
    part = next(part for part in bob.core.parts if isinstance(part, carrier.Carrier))
    assert {key[0] for key in part._kept._proofs} == {test_key("bob").public}


def test_hostile_containers_end_in_a_sentence(network: Network) -> None:
    alice, bob, carol = offline(network, "alice"), online(network, "bob"), online(network, "carol")
    first, second = promised(alice), promised(alice)
    out = export(alice, first["id"])
    take(bob, out)
    bring(bob)
    samples = [bytes.fromhex(text) for text in (out, export(bob, first["id"]), export(alice, second["id"]))]
    rng = random.Random(4)
    good = 0
    for _ in range(MUTANTS):
        data = bytearray(rng.choice(samples))
        for _ in range(rng.choice((1, 1, 2, 8))):
            place = rng.randrange(len(data))
            match rng.randrange(3):
                case 0:
                    data[place] ^= 1 << rng.randrange(8)
                case 1:
                    del data[place : place + rng.randrange(1, 40)]
                case _:
                    data[place:place] = rng.randbytes(rng.randrange(1, 40))
        token = carol.ask(HandoverTake(data.hex()))
        carol.disk()
        good += carol.replies.pop(token).error is None
    assert good < MUTANTS // 5  # what has nothing for Carol, or proofs of validators that she does not know
    assert carol.hung_up == {}
    assert carol.core.client.fork is None
    assert {item["id"] for item in kept(carol)} <= {first["id"], second["id"]}
    for text in ("zz", "f", "00" * (1 << 18) + "00"):
        with pytest.raises(BrokenContract, match="refused"):
            take(carol, text)
    assert take(carol, samples[0].hex())["promises"]


def test_a_passive_phone_carries_nothing_for_others_and_hands_its_own_over(network: Network) -> None:
    watch = Phone(network, ("bob",), mode=PASSIVE)
    watch.connect(EDGE)
    serve(watch)
    assert "carries its own traffic only" in notes(watch, of(network, transfer(network, "alice")))
    payment = promised(watch, offline=True)
    carol = online(network, "carol")
    take(carol, export(watch, payment["id"]))
    bring(carol)
    assert [item["status"] for item in take(watch, export(carol, payment["id"]))["payments"]] == ["R4"]
