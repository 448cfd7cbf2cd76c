"""An L4 against edges that are slow, gone, lying or busy; the chain behind them is a real ledger."""

from __future__ import annotations

import pytest
from mobile_tools import SECOND_US, Network, Phone
from phone_scene import ALICE, ALICE_LEAF, BOB, EDGE, OTHER, edge_up, online, prove, row, submitted_to, tell

from supervm.common.contract.core import DialFailed, Hold, PeerDown, PeerMoved, PeerUp, Received
from supervm.common.parts.buckets import Rate
from supervm.common.parts.events import PeerFault
from supervm.common.parts.manners import Budget, Rank
from supervm.protocol.base.address import encode_node_id
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.state.trie_proof import TrieProof
from supervm.protocol.wire.link import Goodbye, Heartbeat, Hello
from supervm.protocol.wire.payments import (
    LEVEL_EXPIRED,
    LEVEL_R0,
    LEVEL_R1,
    LEVEL_REFUSED,
    GetLeaves,
    LeafProofs,
    Submit,
    Subscribe,
)
from supervm.tier_l4_mobile import node as mobile_node
from supervm.tier_l4_mobile.messages import Info, Pay
from supervm.tier_l4_mobile.sync.uplink import LIED_SHOWN_US


def test_an_edge_that_says_nothing_for_three_seconds_is_replaced():
    phone = online()
    edge_up(phone, OTHER)
    phone.call(Pay(row()))
    phone.sent.clear()
    phone.wait(3 * SECOND_US)
    sent = phone.sent
    assert any(peer == OTHER and isinstance(message, Submit) for peer, message in sent)
    assert any(peer == OTHER and isinstance(message, Subscribe) for peer, message in sent)


def test_what_an_edge_acknowledged_is_not_repeated_after_three_seconds_but_later():
    phone = online()
    payment = phone.call(Pay(row()))
    phone.submitted()
    tell(phone, payment["id"], LEVEL_R0)
    phone.wait(10 * SECOND_US)
    assert phone.submitted() == []
    phone.wait(8 * SECOND_US)
    assert len(phone.submitted()) == 1


def test_an_edge_that_goes_is_replaced_at_once():
    phone = online()
    edge_up(phone, OTHER)
    phone.call(Pay(row()))
    phone.sent.clear()
    phone.step(PeerDown(EDGE, "gone"))
    assert [peer for peer, message in phone.sent if isinstance(message, Submit)] == [OTHER]


def test_an_unanswered_subscription_is_asked_again():
    phone = Phone(Network())
    edge_up(phone)
    assert [type(m) for m in phone.take()] == [Subscribe]
    phone.wait(3 * SECOND_US)
    assert GetLeaves((ALICE_LEAF,)) in phone.take()


def forged_balance(network: Network) -> LeafProofs:
    honest = network.proofs([ALICE])
    proof = decode(TrieProof, honest.proofs[0][1])
    richer = bytearray(proof.value)
    richer[len(richer) // 2] ^= 1
    fake = TrieProof(1, bytes(richer), proof.other_key, proof.other_value_hash, proof.masks, proof.siblings)
    return LeafProofs(honest.checkpoint, ((ALICE_LEAF, encode(fake)),))


def too_few_signers(network: Network) -> LeafProofs:
    weak = network.tools.certify_checkpoint(network.ledger.header, signers=(0, 1))
    return LeafProofs(encode(weak), network.proofs([ALICE]).proofs)


def proof_of_another(network: Network) -> LeafProofs:
    honest = network.proofs([BOB])
    return LeafProofs(honest.checkpoint, ((ALICE_LEAF, honest.proofs[0][1]),))


@pytest.mark.parametrize(
    "lie",
    [
        forged_balance,
        too_few_signers,
        proof_of_another,
        lambda n: LeafProofs(b"\x80", ()),
        lambda n: LeafProofs(n.proofs([ALICE]).checkpoint, ((ALICE_LEAF, b""),)),
        lambda n: LeafProofs(n.proofs([ALICE]).checkpoint, ((b"\x04" + ALICE, b""),)),
    ],
)
def test_a_lying_edge_is_hung_up_on_and_another_is_used(lie):
    phone = Phone(Network(), peers=2)
    edge_up(phone)
    edge_up(phone, OTHER)
    phone.network.seal()
    phone.sent.clear()
    phone.step(Received(EDGE, lie(phone.network)))
    assert list(phone.hung_up) == [EDGE]
    assert phone.core.queue.lanes[ALICE].proved is None
    assert any(peer == OTHER and isinstance(message, Subscribe) for peer, message in phone.sent)
    assert any(isinstance(event, PeerFault) for event in phone.events)
    assert phone.call(Info())["problems"] == [
        f"the edge {encode_node_id(EDGE)} sent a proof that does not hold: nothing in it was believed, and the edge is "
        "left alone for a while"
    ]
    phone.now_us += LIED_SHOWN_US
    assert phone.call(Info())["problems"] == []


def test_a_stale_checkpoint_or_one_from_the_future_changes_nothing_and_costs_no_edge():
    phone = online()
    old = phone.network.proofs([ALICE])
    phone.network.seal()
    prove(phone)
    height = phone.core.client.header.height
    phone.step(Received(EDGE, old))  # it has started again and is behind: no operator needs to hear of it
    assert not any(isinstance(event, PeerFault) for event in phone.events)
    phone.network.seal(ts_ms=phone.now_us // 1000 + 60_000)
    prove(phone)
    assert phone.core.client.header.height == height
    assert phone.hung_up == {}
    (problem,) = phone.call(Info())["problems"]
    assert "this machine's clock is 60 s behind block" in problem


@pytest.mark.parametrize(("offset_ms", "side"), [(40_000, "40 s behind"), (-40_000, "40 s ahead of")])
def test_a_clock_far_from_the_edges_is_said_whichever_way_it_is_wrong(offset_ms, side):
    phone = Phone(Network())
    phone.step(PeerUp(EDGE, 3, (), offset_ms, "edge:1"))
    assert any(side in text for text in phone.call(Info())["problems"])


def test_messages_that_no_phone_gets_end_the_link():
    phone = online()
    phone.step(Received(EDGE, Hello(1, 1, 3, (), 0, "x")))
    assert list(phone.hung_up.values()) == ["direction"]


def test_heartbeats_goodbyes_and_failed_dials_are_taken():
    phone = online()
    phone.step(Received(EDGE, Heartbeat(1, 50, 0, 9)))
    phone.step(Received(EDGE, Goodbye("shutdown", "bye")))
    phone.step(DialFailed("127.0.0.1:9001", "refused"))
    assert phone.core.peering.loads == {EDGE: 50}
    assert phone.hung_up == {}


@pytest.mark.parametrize("level", [LEVEL_REFUSED, LEVEL_EXPIRED])
def test_what_an_edge_refuses_and_may_run_goes_to_another_at_once_and_each_is_left_once(level):
    phone = online()
    edge_up(phone, OTHER)
    payment, after = phone.call(Pay(row())), phone.call(Pay(row(11)))
    phone.disk()
    assert submitted_to(phone, EDGE) == 2
    tell(phone, after["id"], level, "no")
    assert phone.core.uplink.active == EDGE, "behind another one it only means: not yet"
    tell(phone, payment["id"], level, "no", edge=OTHER)
    assert phone.core.uplink.active == EDGE, "nobody asked the other one"
    tell(phone, payment["id"], level, "no")
    phone.disk()
    assert (phone.core.uplink.active, submitted_to(phone, OTHER)) == (OTHER, 2)
    tell(phone, payment["id"], level, "no", edge=OTHER)
    assert phone.core.uplink.active == OTHER, "both refuse it: it waits"
    tell(phone, payment["id"], LEVEL_R1, edge=OTHER)
    phone.now_us += 20 * SECOND_US
    tell(phone, payment["id"], level, "no", edge=OTHER)
    assert phone.core.uplink.active == OTHER, "it is certified"


def test_an_edge_is_not_held_for_proofs_that_are_news_and_is_for_old_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """With thousands of accounts each block brings thousands of proofs; an edge that is held falls behind for good."""
    budget = Budget({"link": Rate(5_000, 100_000), "answers": Rate(1, 1_000)})
    monkeypatch.setattr(mobile_node, "BUDGETS", dict(mobile_node.BUDGETS) | {Rank.NAMED: budget})
    phone = Phone(Network())
    phone.connect(EDGE)
    holds = []
    for _ in range(20):
        phone.network.seal()
        holds += [
            effect for effect in phone.step(Received(EDGE, phone.network.proofs([ALICE]))) if isinstance(effect, Hold)
        ]
    assert holds == []
    for _ in range(20):
        holds += [
            effect for effect in phone.step(Received(EDGE, phone.network.proofs([ALICE]))) if isinstance(effect, Hold)
        ]
    assert [hold.peer for hold in holds][:1] == [EDGE]


def test_an_edge_that_moves_to_a_link_which_it_dialled_stays_the_phones_edge():
    """Nothing is asked anew, and what it says still counts as its edge's; see `Shell`."""
    phone = online()
    rank = phone.core.manners._peers[EDGE].rank
    assert rank is Rank.NAMED
    phone.step(PeerMoved(EDGE, None, "192.0.2.7"))
    known = phone.core.manners._peers[EDGE]
    assert (known.rank, known.remote) == (Rank.NAMED, "192.0.2.7")
    assert list(phone.core.peering.up) == [EDGE]
