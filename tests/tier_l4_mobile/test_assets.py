"""Payments in any asset: what covers them, what is asked for, what is signed, what is shown, what survives."""

from __future__ import annotations

from typing import Any

import pytest
from chain_tools import test_key
from mobile_tools import PAYOUT, SECOND_US, TERMS, Network, Phone

from supervm.common.contract.core import PeerDown, Received
from supervm.common.contract.tables import PrimaryKey, Table, TableRow
from supervm.common.errors import InputError
from supervm.common.storage.sql import SqlStore
from supervm.protocol.base.address import encode_address
from supervm.protocol.base.keys import verify
from supervm.protocol.chain.genesis import genesis_asset_id
from supervm.protocol.light.client import LightClient, anchor_of
from supervm.protocol.money.issue import Issue as SignedIssue
from supervm.protocol.money.transaction import sign_transfer
from supervm.protocol.money.transfer import Transfer
from supervm.protocol.state.leaves import account_leaf_id, holding_leaf_id
from supervm.protocol.wire.payments import FeeTerms, GetLeaves, LeafProofs, Submit, Subscribe, Unsubscribe
from supervm.tier_l4_mobile.messages import (
    ALL_ASSETS,
    Balance,
    Cancel,
    Flush,
    Info,
    Issue,
    IssueRow,
    Pay,
    PayMany,
    PaymentRow,
    QueueList,
    ShowPayment,
)
from supervm.tier_l4_mobile.tables import HOLDINGS, TABLES
from supervm.tier_l4_mobile.wallet.lane import HOLDINGS_MAX


class OldPayment(TableRow, frozen=True):
    """How a row of payments began when there was one asset."""

    number: PrimaryKey[int]
    account: bytes
    receiver: bytes
    amount: int
    fee: int


EDGE, OTHER = b"\xe1" * 32, b"\xe2" * 32
ALICE, BOB = test_key("alice").public, test_key("bob").public
BOB_ADDRESS = encode_address(BOB, test=False)
GOLD, SILVER = genesis_asset_id("gold"), genesis_asset_id("silver")
ANY = FeeTerms(PAYOUT, tuple(sorted([(b"", 1), (GOLD, 1), (SILVER, 1)])))


def row(amount: int, asset: bytes = b"", fee_asset: bytes = b"", fee: int = 1, **more: Any) -> PaymentRow:
    return PaymentRow(
        to=BOB_ADDRESS, amount=amount, fee=fee, asset=asset.hex() or "svm", fee_asset=fee_asset.hex() or "svm", **more
    )


def make(funds: dict[str, int] | None = None, *, peers: int = 1) -> Phone:
    assets = {"gold": {"alice": 100, "bob": 7}, "silver": {"bob": 50}}
    return Phone(Network(assets=assets, **(funds or {})), peers=peers)


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


def online(funds: dict[str, int] | None = None, *, peers: int = 1) -> Phone:
    phone = make(funds, peers=peers)
    phone.connect(EDGE, terms=ANY)
    serve(phone)
    return phone


def hear(phone: Phone, *leaves: bytes) -> None:
    phone.step(Received(EDGE, phone.network.leaf_proofs(leaves)))
    phone.disk()


def refused(phone: Phone, request: Any) -> str:
    token = phone.ask(request)
    phone.disk()
    return str(phone.replies[token].error)


def bodies(phone: Phone) -> list[Any]:
    return [phone.network.parse(raw).body for raw in phone.submitted()]


def shown(phone: Phone, payment: dict[str, Any]) -> dict[str, Any]:
    value: dict[str, Any] = phone.call(ShowPayment(f"row-{payment['number']}"))
    return value


def available(phone: Phone, asset: bytes) -> int:
    return phone.core.queue.lanes[ALICE].available(asset)


# --- paying -----------------------------------------------------------------------------------------------------------


def test_an_asset_is_paid_with_a_fee_in_another_and_both_are_proved():
    phone = online()
    payment = phone.call(Pay(row(30, GOLD)))
    assert (payment["kind"], payment["asset"], payment["fee_asset"]) == ("transfer", GOLD.hex(), "svm")
    [raw] = phone.submitted()
    body = phone.network.parse(raw).body
    assert isinstance(body, Transfer)
    assert (body.asset, body.amount, body.fee_asset, body.fee) == (GOLD, 30, b"", 1)
    assert (available(phone, GOLD), available(phone, b"")) == (70, 999_999)
    phone.network.seal([raw])
    phone.step(Received(EDGE, phone.network.proofs([ALICE])))
    assert shown(phone, payment)["status"] == "R4"
    assert (available(phone, GOLD), available(phone, b"")) == (70, 999_999)
    assert phone.take(GetLeaves) == [], "the edge has told all that the block touched"


def test_a_fee_in_the_asset_that_is_moved_is_one_debit():
    phone = online()
    phone.call(Pay(row(99, GOLD, GOLD)))
    assert (available(phone, GOLD), available(phone, b"")) == (0, 1_000_000)
    assert "overdraft" in refused(phone, Pay(row(1, b"", GOLD)))
    assert phone.call(Pay(row(1)))["status"] == "queued"


@pytest.mark.parametrize(
    ("amount", "asset", "fee", "fee_asset", "lacks"),
    [
        (101, GOLD, 1, b"", f"101 of {GOLD.hex()}, 100 are free"),
        (100, GOLD, 1, GOLD, f"101 of {GOLD.hex()}, 100 are free"),
        (1_000_000, b"", 1, b"", "1000001 grain, 1000000 are free"),
        (1_000_001, b"", 1, GOLD, "1000001 grain, 1000000 are free"),
        (1, b"", 101, GOLD, f"101 of {GOLD.hex()}, 100 are free"),
        (1, GOLD, 1_000_001, b"", "1000001 grain, 1000000 are free"),
    ],
)
def test_an_overdraft_of_any_asset_is_refused_before_it_is_signed(amount, asset, fee, fee_asset, lacks):
    phone = online()
    assert lacks in refused(phone, Pay(row(amount, asset, fee_asset, fee)))
    assert phone.submitted() == []
    assert phone.call(QueueList())["total"] == 0


def test_what_is_on_its_way_in_one_asset_takes_nothing_from_another():
    phone = online()
    phone.call(Pay(row(60, GOLD)))
    phone.call(Pay(row(500_000)))
    assert "overdraft" in refused(phone, Pay(row(41, GOLD)))
    assert "overdraft" in refused(phone, Pay(row(500_000)))
    phone.call(Pay(row(40, GOLD)))
    assert [body.seq for body in bodies(phone)] == [0, 1, 2]


def test_income_in_an_asset_counts_once_it_is_proved():
    phone = online()
    phone.network.seal([phone.network.tools.transaction("bob", ALICE, 7, 1, asset=GOLD)])
    assert "overdraft" in refused(phone, Pay(row(101, GOLD)))
    hear(phone, holding_leaf_id(ALICE, GOLD))
    assert phone.call(Pay(row(107, GOLD)))["status"] == "queued"


@pytest.mark.parametrize(
    ("asset", "word"), [("gold", "is no asset"), ("00", "is no asset"), ("zz" * 32, "is no asset")]
)
def test_what_is_no_asset_is_refused_and_logged_by_nobody(asset, word):
    phone = online()
    bad = PaymentRow(to=BOB_ADDRESS, amount=1, fee=1, asset=asset, key="k")
    assert word in refused(phone, Pay(bad))
    assert word in phone.call(PayMany((bad,)))["payments"][0]["reason"]
    assert phone.call(QueueList())["total"] == 0


def test_a_refused_row_is_logged_with_its_assets():
    phone = online()
    [logged] = phone.call(PayMany((row(10**6, GOLD, GOLD, key="k"),)))["payments"]
    phone.crash()
    [kept] = phone.call(QueueList())["payments"]
    assert (kept["status"], kept["asset"], kept["fee_asset"]) == ("refused", GOLD.hex(), GOLD.hex())
    assert kept["number"] == logged["number"]


# --- what is not proved yet -------------------------------------------------------------------------------------------


def test_a_payment_in_an_asset_that_was_not_told_waits_for_a_proof_and_holds_up_no_other():
    phone = online()
    waits = phone.call(Pay(row(5, SILVER)))
    assert (waits["id"], waits["status"], waits["seq"]) == ("row-1", "queued", None)
    assert phone.take(GetLeaves) == [GetLeaves((holding_leaf_id(ALICE, SILVER),))]
    goes = phone.call(Pay(row(6)))
    assert goes["seq"] == 0
    assert [body.amount for body in bodies(phone)] == [6]
    phone.network.seal([phone.network.tools.transaction("bob", ALICE, 5, 1, asset=SILVER)])
    hear(phone, holding_leaf_id(ALICE, SILVER))
    assert [(body.seq, body.amount, body.asset) for body in bodies(phone)] == [(1, 5, SILVER)]


def test_a_holding_that_is_proved_absent_is_nothing():
    phone = online()
    waits = phone.call(Pay(row(5, SILVER)))
    serve(phone)
    told = shown(phone, waits)
    assert (told["status"], told["asset"]) == ("refused", SILVER.hex())
    assert f"it needs 5 of {SILVER.hex()}, 0 are free (0 proved at height 0" in told["reason"]
    assert phone.submitted() == []
    assert "overdraft" in refused(phone, Pay(row(5, SILVER))), "it is known now"


def test_an_edge_that_keeps_a_holding_to_itself_is_asked_again_and_then_another_one_is():
    phone = online(peers=2)
    phone.connect(OTHER, "127.0.0.1:9001", terms=ANY)
    phone.call(Pay(row(5, GOLD, SILVER)))
    phone.take()
    phone.wait(3 * SECOND_US)
    assert phone.core.uplink.active == OTHER
    leaf = holding_leaf_id(ALICE, SILVER)
    assert any(peer == OTHER and isinstance(said, GetLeaves) and leaf in said.leaves for peer, said in phone.sent)


def test_a_question_that_nobody_can_hear_wakes_nobody():
    phone = online()
    phone.call(Pay(row(5, SILVER)))
    phone.step(PeerDown(EDGE, "gone"))
    silent_us = phone.now_us + 600 * SECOND_US
    assert phone.core.parts[[type(part).__name__ for part in phone.core.parts].index("Sync")].deadline_us is None
    phone.wait(600 * SECOND_US)
    assert phone.now_us == silent_us
    phone.connect(EDGE, terms=ANY)
    assert GetLeaves((holding_leaf_id(ALICE, SILVER),)) in phone.take()


def test_payments_of_a_new_phone_in_several_assets_are_signed_when_all_is_proved():
    phone = make()
    for asset in (b"", GOLD, SILVER):
        phone.call(Pay(row(3, asset)))
    phone.crash()
    phone.connect(EDGE, terms=ANY)
    phone.step(Received(EDGE, phone.network.leaf_proofs([account_leaf_id(ALICE)])))
    phone.disk()
    assert [body.asset for body in bodies(phone)] == [b""]
    assert GetLeaves((holding_leaf_id(ALICE, GOLD), holding_leaf_id(ALICE, SILVER))) in phone.take(GetLeaves)
    hear(phone, holding_leaf_id(ALICE, SILVER), holding_leaf_id(ALICE, GOLD))
    assert [(body.asset, body.seq) for body in bodies(phone)] == [(GOLD, 1)]
    assert [payment["status"] for payment in phone.call(QueueList())["payments"]] == ["queued", "queued", "refused"]


def test_an_unsigned_payment_can_be_cancelled_and_expires():
    phone = online()
    first, second = phone.call(Pay(row(5, SILVER))), phone.call(Pay(row(5, SILVER, validity_ms=5_000)))
    signed = phone.call(Pay(row(1), offline=True))
    assert phone.call(Cancel(first["id"]))["status"] == "cancelled"
    assert shown(phone, signed)["id"] == signed["id"], "nothing of its chain has changed"
    phone.network.seal(ts_ms=phone.now_us // 1000 + 6_000)
    phone.wait(6 * SECOND_US)
    hear(phone, account_leaf_id(ALICE))
    assert shown(phone, second)["status"] == "expired"
    assert phone.core.queue.lanes[ALICE].debits == {b"": 2}


# --- proofs of different ages -----------------------------------------------------------------------------------------


def test_a_holding_whose_proof_is_older_than_the_account_counts_less_what_was_sent_since():
    phone = online()
    phone.call(Pay(row(80, GOLD)))
    phone.network.seal(phone.submitted())
    phone.take()
    hear(phone, account_leaf_id(ALICE))  # and not what it holds
    assert available(phone, GOLD) == 20
    assert "20 are free (100 proved at height 0, 80 of them" in refused(phone, Pay(row(21, GOLD)))
    assert phone.take(GetLeaves) == [GetLeaves((holding_leaf_id(ALICE, GOLD),))]
    phone.crash()
    assert available(phone, GOLD) == 20
    phone.connect(EDGE, terms=ANY)
    assert GetLeaves((holding_leaf_id(ALICE, GOLD),)) in phone.take(GetLeaves), "also after a restart"
    hear(phone, holding_leaf_id(ALICE, GOLD))
    assert available(phone, GOLD) == 20
    assert "20 are free (20 proved at height 1, 0 of them" in refused(phone, Pay(row(21, GOLD)))


def test_the_next_account_proof_of_an_edge_that_is_behind_does_not_bring_the_money_back():
    phone = online()
    old = phone.network.leaf_proofs([holding_leaf_id(ALICE, GOLD)])
    phone.call(Pay(row(80, GOLD)))
    phone.network.seal(phone.submitted())
    hear(phone, account_leaf_id(ALICE))
    phone.step(Received(EDGE, old))
    assert available(phone, GOLD) == 20


def other_device(phone: Phone, amount: int, asset: bytes, seq: int = 0) -> bytes:
    return sign_transfer(
        test_key("alice"),
        chain_id=phone.network.chain.chain_id,
        seq=seq,
        prev=bytes(32),
        to=BOB,
        amount=amount,
        fee=1,
        valid_until_ms=phone.now_us // 1000 + 10**6,
        asset=asset,
    ).raw


def test_after_another_device_has_paid_a_holding_is_asked_for_before_it_is_spent():
    phone = online()
    phone.network.seal([other_device(phone, 90, GOLD)])
    hear(phone, account_leaf_id(ALICE))
    assert phone.core.queue.lanes[ALICE].balance(GOLD) is None
    waits = phone.call(Pay(row(50, GOLD)))
    assert waits["seq"] is None
    serve(phone)
    told = shown(phone, waits)
    assert (told["status"], "10 are free" in told["reason"]) == ("refused", True)
    assert [held.amount for held in HOLDINGS.rows(phone.store)] == [10]


def test_what_was_kept_here_while_another_device_paid_is_signed_again_with_what_is_left():
    phone = online()
    kept = [phone.call(Pay(row(amount, asset), offline=True)) for amount, asset in ((30, GOLD), (20, b""), (5, GOLD))]
    phone.network.seal([other_device(phone, 80, GOLD)])
    hear(phone, account_leaf_id(ALICE))
    assert [shown(phone, payment)["seq"] for payment in kept] == [None, 1, None]
    serve(phone)
    assert [shown(phone, payment)["status"] for payment in kept] == ["refused", "queued", "queued"]
    phone.call(Flush())
    assert [(body.seq, body.amount) for body in bodies(phone)] == [(1, 20), (2, 5)]
    assert phone.call(ShowPayment(kept[2]["id"]))["number"] == kept[2]["number"], "found by the id that it had"


def test_unreleased_payments_in_several_assets_survive_a_restart_as_they_were():
    phone = online()
    rows = (row(1, key="a"), row(2, GOLD, key="b"), row(3, GOLD, GOLD, key="c"), row(4, b"", GOLD, key="d"))
    for item in rows:
        phone.call(Pay(item, offline=True))
    issue = phone.call(Issue(IssueRow(supply=77, fee=1, fee_asset=GOLD.hex(), payload_hex=b"tin".hex()), offline=True))
    before = phone.call(QueueList())["payments"]
    lane = phone.core.queue.lanes[ALICE]
    debits, holdings = dict(lane.debits), dict(lane.holdings)
    phone.crash()
    lane = phone.core.queue.lanes[ALICE]
    assert phone.call(QueueList())["payments"] == before
    assert (lane.debits, lane.holdings) == (debits, holdings)
    assert "overdraft" in refused(phone, Pay(row(94, GOLD)))
    assert phone.call(Pay(rows[1]))["number"] == 2
    phone.connect(EDGE, terms=ANY)
    serve(phone)
    phone.call(Flush())
    sent = [phone.network.parse(raw) for raw in phone.submitted()]
    assert [signed.id.hex() for signed in sent] == [payment["id"] for payment in before]
    assert isinstance(sent[-1].body, SignedIssue)
    assert (sent[-1].body.supply, sent[-1].id.hex()) == (77, issue["asset"])
    phone.network.seal([signed.raw for signed in sent])
    phone.step(Received(EDGE, phone.network.proofs([ALICE])))
    assert phone.call(Info())["payments"] == {"R4": 5}
    assert (available(phone, sent[-1].id), available(phone, GOLD)) == (77, 100 - 2 - 4 - 1 - 1)


# --- issues -----------------------------------------------------------------------------------------------------------


def test_a_new_asset_is_its_issuers_and_can_be_paid_once_that_is_proved():
    phone = online()
    issue = phone.call(Issue(IssueRow(supply=1_000, fee=2, key="i")))
    assert (issue["kind"], issue["asset"], issue["amount"]) == ("issue", issue["id"], 1_000)
    assert phone.call(Issue(IssueRow(supply=1_000, fee=2, key="i")))["number"] == issue["number"]
    assert available(phone, b"") == 999_998
    [raw] = phone.submitted()
    body = phone.network.parse(raw).body
    assert isinstance(body, SignedIssue)
    assert (body.supply, body.fee, body.via) == (1_000, 2, PAYOUT)
    phone.network.seal([raw])
    phone.step(Received(EDGE, phone.network.proofs([ALICE])))
    assert shown(phone, issue)["status"] == "R4"
    made = bytes.fromhex(issue["asset"])
    assert available(phone, made) == 1_000
    phone.call(Pay(row(400, made)))
    assert [paid.asset for paid in bodies(phone)] == [made]


def test_an_issue_that_is_signed_again_names_another_asset():
    phone = online()
    before = phone.call(Pay(row(1), offline=True))
    issue = phone.call(Issue(IssueRow(supply=1_000, fee=1)))
    phone.call(Cancel(before["id"]))
    now = shown(phone, issue)
    assert now["asset"] == now["id"] != issue["asset"]
    assert phone.call(ShowPayment(issue["asset"]))["number"] == issue["number"]


def test_an_issue_that_cannot_be_signed_yet_has_no_asset_id():
    phone = make()
    issue = phone.call(Issue(IssueRow(supply=1_000, fee=1)))
    assert (issue["id"], issue["asset"]) == ("row-1", None)
    phone.connect(EDGE, terms=ANY)
    serve(phone)
    assert len(shown(phone, issue)["asset"]) == 64


@pytest.mark.parametrize(
    ("supply", "fee", "payload", "word"),
    [(0, 1, "", "supply"), (1, 0, "", "fee"), (2**63, 1, "", "supply"), (1, 1, "00" * 257, "payload")],
)
def test_an_issue_has_bounds(supply, fee, payload, word):
    assert word in refused(online(), Issue(IssueRow(supply=supply, fee=fee, payload_hex=payload)))


# --- balances ---------------------------------------------------------------------------------------------------------


def test_a_balance_of_one_asset_is_proved_present_or_absent_and_stands_alone():
    phone = online()
    client = LightClient(anchor_of(phone.network.chain), verify)
    for asset, amount in ((GOLD, 7), (SILVER, 50), (b"\x09" * 32, 0)):
        token = phone.ask(Balance(BOB_ADDRESS, True, asset.hex()))
        assert phone.take(GetLeaves) == [GetLeaves((holding_leaf_id(BOB, asset),))]
        hear(phone, holding_leaf_id(BOB, asset))
        value = phone.replies[token].value
        assert (value["asset"], value["balance"], value["exists"]) == (asset.hex(), amount, amount > 0)
        assert (value["proof_verified"], value["next_seq"]) == (True, None)
        proved = client.check_answer(bytes.fromhex(value["answer_hex"]), phone.now_us // 1000)
        assert (proved.account, proved.asset, proved.amount) == (BOB, asset, amount)


def test_all_that_an_account_of_others_has_is_what_the_edge_tells_and_it_is_followed_no_longer():
    phone = online()
    token = phone.ask(Balance(BOB_ADDRESS, asset=ALL_ASSETS))
    assert phone.take() == [Subscribe((BOB,))]
    phone.step(Received(EDGE, phone.network.proofs([BOB])))
    value = phone.replies[token].value
    assert (value["asset"], value["balance"]) == ("svm", 1_000_000)
    held = sorted([(GOLD.hex(), 7), (SILVER.hex(), 50)])
    assert [(item["asset"], item["balance"]) for item in value["holdings"]] == held
    assert phone.take() == [Unsubscribe((BOB,))]


def test_all_that_an_own_account_has_is_known_without_a_link_too():
    phone = online()
    token = phone.ask(Balance(asset=ALL_ASSETS))
    serve(phone)
    value = phone.replies[token].value
    assert (value["proof_verified"], value["balance"]) == (True, 1_000_000)
    assert value["holdings"] == [{"asset": GOLD.hex(), "balance": 100, "height": 0}]
    phone.crash()
    value = phone.call(Balance(asset=ALL_ASSETS))
    assert value["holdings"] == [{"asset": GOLD.hex(), "balance": 100, "height": 0}]
    one = phone.call(Balance(asset=GOLD.hex()))
    assert (one["balance"], one["height"], one["exists"]) == (100, 0, True)
    assert phone.call(Balance(asset=SILVER.hex()))["balance"] is None
    assert phone.call(Balance(BOB_ADDRESS, asset=ALL_ASSETS))["holdings"] == []
    assert "is no asset" in refused(phone, Balance(asset="gold"))


def test_info_shows_what_an_account_has_and_what_is_free_of_it():
    phone = online()
    phone.call(Pay(row(30, GOLD)))
    [account] = phone.call(Info())["accounts"]
    assert account["holdings"] == [{"asset": GOLD.hex(), "balance": 100, "available": 70, "height": 0}]
    assert (account["balance"], account["available"], account["open"]) == (1_000_000, 999_999, 1)


def test_an_account_to_which_anybody_sends_a_thousand_assets_does_not_fill_the_phone():
    phone = online(funds={"alice": 1_000_000, "bob": 1_000_000})
    tools = phone.network.tools
    issues = [tools.issue("bob", 5) for _ in range(HOLDINGS_MAX + 20)]
    phone.network.seal(issues)
    gifts = [tools.transaction("bob", ALICE, 1, 1, asset=issue.id) for issue in issues]
    phone.network.seal(gifts)
    leaves = [holding_leaf_id(ALICE, issue.id) for issue in issues]
    hear(phone, account_leaf_id(ALICE), *leaves)
    assert len(phone.core.queue.lanes[ALICE].holdings) == HOLDINGS_MAX == HOLDINGS.count(phone.store)
    last = issues[-1].id
    phone.call(Pay(row(1, last)))
    hear(phone, holding_leaf_id(ALICE, last))
    assert [body.asset for body in bodies(phone)] == [last], "what its owner pays is asked for all the same"


def test_a_false_proof_of_a_holding_costs_the_edge_its_link():
    phone = online()
    honest = phone.network.leaf_proofs([holding_leaf_id(BOB, GOLD)])
    lie = LeafProofs(honest.checkpoint, ((holding_leaf_id(ALICE, GOLD), honest.proofs[0][1]),))
    phone.step(Received(EDGE, lie))
    assert list(phone.hung_up) == [EDGE]
    assert phone.core.queue.lanes[ALICE].balance(GOLD) == 100


# --- the database -----------------------------------------------------------------------------------------------------


def test_a_database_of_protocol_version_1_is_refused_by_the_name_of_its_table(tmp_path):
    """Its payments are another network's: a genesis of version 1 is refused, too, so there is nothing to take over."""
    path = tmp_path / "node.sqlite"
    SqlStore(path, (Table("payments", OldPayment),)).close()
    with pytest.raises(InputError, match=r"the table payments of .* has the columns number, account") as error:
        SqlStore(path, TABLES)
    assert "kind, asset, fee_asset, via" in str(error.value)


def test_a_phone_that_pays_the_default_fee_needs_no_terms_but_native_ones():
    phone = make()
    phone.connect(EDGE, terms=TERMS)
    serve(phone)
    assert "takes at least 1 of svm" in refused(phone, Pay(row(1, GOLD, GOLD)))
    assert phone.call(Pay(row(1, GOLD)))["status"] == "queued"
