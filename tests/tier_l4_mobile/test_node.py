"""An L4 against an edge that is honest, slow, gone or lying; the chain behind it is a real ledger."""

from __future__ import annotations

import pytest
from chain_tools import GENESIS_TIME_MS, test_key
from mobile_tools import SECOND_US, Network, Phone

from supervm.common.contract.core import Command, DialFailed, Hold, PeerDown, PeerMoved, PeerUp, Received
from supervm.common.parts.buckets import Rate
from supervm.common.parts.events import PeerFault
from supervm.common.parts.manners import Budget, Rank
from supervm.protocol.base.address import encode_address
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.keys import verify
from supervm.protocol.light.client import LightClient, anchor_of
from supervm.protocol.state.leaves import NATIVE, account_leaf_id
from supervm.protocol.state.trie_proof import TrieProof
from supervm.protocol.wire.fields import FORWARD_MAX
from supervm.protocol.wire.link import Goodbye, Heartbeat, Hello
from supervm.protocol.wire.payments import (
    LEVEL_EXPIRED,
    LEVEL_R0,
    LEVEL_R1,
    LEVEL_REFUSED,
    GetLeaves,
    GetReceipt,
    LeafProofs,
    ReceiptAnswer,
    Status,
    StatusItem,
    Submit,
    Subscribe,
)
from supervm.tier_l4_mobile import node as mobile_node
from supervm.tier_l4_mobile.messages import (
    Balance,
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

EDGE, OTHER = b"\xe1" * 32, b"\xe2" * 32
ALICE, BOB = test_key("alice").public, test_key("bob").public
ALICE_LEAF = account_leaf_id(ALICE)
BOB_ADDRESS = encode_address(BOB, test=False)


def row(amount: int = 10, **more: object) -> PaymentRow:
    return PaymentRow(to=BOB_ADDRESS, amount=amount, fee=1, **more)


def edge_up(phone: Phone, edge: bytes = EDGE) -> None:
    phone.connect(edge, f"127.0.0.1:{9000 if edge == EDGE else 9001}")


def serve(phone: Phone, edge: bytes = EDGE) -> None:
    """The edge answers every question that waits."""
    asked, phone.sent = phone.sent, []
    for peer, message in asked:
        if isinstance(message, Submit):
            phone.sent.append((peer, message))
        elif peer == edge:
            for answer in phone.network.answer(message):
                phone.step(Received(edge, answer))
    phone.disk()


def online(*names: str, funds: dict[str, int] | None = None) -> Phone:
    phone = Phone(Network(**(funds or {})), names or ("alice",), peers=2)
    edge_up(phone)
    serve(phone)
    return phone


def prove(phone: Phone, *accounts: bytes, edge: bytes = EDGE) -> None:
    phone.step(Received(edge, phone.network.proofs(accounts or [ALICE])))
    phone.disk()


def tell(phone: Phone, payment_id: str, level: int, reason: str = "", edge: bytes = EDGE) -> None:
    phone.step(Received(edge, Status((StatusItem(bytes.fromhex(payment_id), level, reason),))))


def status(phone: Phone, payment: dict) -> str:
    return phone.call(ShowPayment(payment["id"]))["status"]


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


def submitted_to(phone: Phone, edge: bytes) -> int:
    """How many payments went to an edge since the last time that somebody asked."""
    asked, phone.sent = phone.sent, []
    return sum(len(message.transactions) for peer, message in asked if peer == edge and isinstance(message, Submit))


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
