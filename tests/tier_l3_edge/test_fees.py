"""Fees: what is taken, of whom it is heard and who is told, which miner gets a transaction, and what is not carried."""

from __future__ import annotations

from typing import Any

import pytest

from supervm.common.parts.fee_policy import FeePolicy
from supervm.protocol.base.address import encode_address
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.chain.genesis import genesis_asset_id
from supervm.protocol.money.transaction import sign_issue
from supervm.protocol.state.account import Account
from supervm.protocol.wire.payments import FEE_ASSETS_MAX, FeeTerms, Status, StatusItem, Submit, Subscribe
from supervm.tier_l3_edge.intake import intake
from supervm.tier_l3_edge.messages import Info
from supervm.tier_l3_edge.options import EdgeOptions
from supervm.tier_l3_edge.relay.relay import UNTAKEN_US
from supervm.tier_l3_edge.relay.terms import TOLD_US
from supervm.tier_l3_edge.tables import PENDING

R0, R3, REFUSED = 0, 3, 10
GOLD = genesis_asset_id("gold")
PAYOUT = SigningKey(b"payout".ljust(32, b".")).public
"""Where the edge of these tests is paid."""
CLIENT = bytes([7]) * 32
SILVER = bytes([9]) * 32
GOLD_AND_SVM = EdgeOptions(fees=FeePolicy({b"": 1, GOLD: 1}))
NOT_TAKEN = "fee-not-taken: takes at least "


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signatures are checked when they come: these tests are about what becomes of transactions after that."""
    monkeypatch.setattr(intake, "CHECK_INTERVAL_US", 0)


def submit(*transactions: Any) -> Submit:
    return Submit(tuple(transaction.raw for transaction in transactions))


def forwarded(driver: Any, miner: bytes) -> list[bytes]:
    return [raw for message in driver.take(Submit, miner) for raw in message.transactions]


def takes(driver: Any, miner: bytes, **fees: int) -> None:
    """A miner says what it takes."""
    names = {"svm": b"", "gold": GOLD, "silver": SILVER}
    listed = sorted((names[name], least) for name, least in fees.items())
    driver.receive(miner, FeeTerms(b"", tuple(listed)))


def refuse(driver: Any, miner: bytes, transaction: Any, reason: str) -> None:
    driver.receive(miner, Status((StatusItem(transaction.id, REFUSED, reason),)))


# --- who is told what -------------------------------------------------------------------------------------------------


def test_a_client_is_told_right_away_what_is_taken_and_who_is_paid(world: Any, make: Any) -> None:
    driver = make(miners=0)
    for peer, tier in ((CLIENT, 0), (bytes(32), 4)):
        driver.up(peer, tier)
        assert driver.take(peer=peer) == [FeeTerms(PAYOUT, ((b"", 1),))]
    unpaid = make(miners=0, payout=None)
    unpaid.up(CLIENT, 4)
    assert unpaid.take(FeeTerms, CLIENT) == [FeeTerms(b"", ((b"", 1),))]


def test_what_is_taken_follows_the_miners_as_they_come_speak_and_go(world: Any, make: Any) -> None:
    driver, (one, two) = make(options=GOLD_AND_SVM, miners=0), world.miners

    def told() -> list[tuple[tuple[bytes, int], ...]]:
        driver.wait(TOLD_US)
        return [message.fees for message in driver.take(FeeTerms, world.phone)]

    driver.up(one, 2)
    assert told() == []  # it has not said anything yet
    takes(driver, one, svm=1_000)
    assert told() == [((b"", 1_000),)]
    driver.up(two, 2)
    takes(driver, two, svm=500, gold=3, silver=1)
    assert told() == [((b"", 500), (GOLD, 3))]  # the cheaper one decides; what the owner does not take is not taken
    takes(driver, two, gold=4)
    assert told() == [((b"", 1_000), (GOLD, 4))]
    takes(driver, two, gold=4)
    assert told() == []
    driver.down(one)
    assert told() == [((GOLD, 4),)]
    driver.up(two, 2)  # another connection in the place of the first
    assert told() == []
    takes(driver, two, silver=1)
    assert told() == [()]
    (problem,) = driver.call(Info())["problems"]
    assert "no miner that is up takes a fee" in problem
    driver.receive(world.phone, submit(world.transaction()))
    assert [reason for _, _, reason in driver.statuses(world.phone)] == ["fee-not-taken: takes no fee at present"]
    driver.down(two)
    assert told() == [((b"", 1), (GOLD, 1))]  # nobody is known to take less
    assert driver.call(Info())["takes"] == {"svm": 1, GOLD.hex(): 1}


def test_changes_in_quick_succession_are_told_together(world: Any, make: Any) -> None:
    driver, miner = make(miners=1), world.miners[0]
    for least in range(2, 100):
        takes(driver, miner, svm=least)
    assert [message.fees for message in driver.take(FeeTerms, world.phone)] == [((b"", 2),)]
    driver.up(CLIENT, 4)  # who comes meanwhile is told the newest
    assert [message.fees for message in driver.take(FeeTerms, CLIENT)] == [((b"", 99),)]
    driver.wait(TOLD_US)
    assert [message.fees for message in driver.take(FeeTerms, world.phone)] == [((b"", 99),)]


def test_only_clients_are_told(world: Any, make: Any) -> None:
    driver, stranger = make(miners=1), bytes([5]) * 32
    driver.up(stranger, 2)
    takes(driver, world.miners[0], svm=5)
    assert [to for to, message in driver.sent if isinstance(message, FeeTerms)] == [world.phone]


@pytest.mark.parametrize(
    "terms",
    [
        FeeTerms(b"", ((GOLD, 1), (b"", 1))),
        FeeTerms(b"", ((GOLD, 1), (GOLD, 2))),
        FeeTerms(b"", ((b"short", 1),)),
        FeeTerms(b"short", ()),
    ],
)
def test_terms_out_of_order_are_the_miners_fault_and_change_nothing(world: Any, make: Any, terms: FeeTerms) -> None:
    driver = make(miners=1)
    for _ in range(20):
        driver.receive(world.miners[0], terms)
    assert list(driver.hung_up) == [world.miners[0]]
    assert driver.take(FeeTerms, world.phone) == []


def test_a_long_list_fits(world: Any, make: Any) -> None:
    listed = {number.to_bytes(32, "big"): 1 for number in range(FEE_ASSETS_MAX)}
    driver = make(options=EdgeOptions(fees=FeePolicy(listed)), miners=1)
    driver.receive(world.miners[0], FeePolicy(listed).terms())
    driver.up(CLIENT, 4)
    assert driver.take(FeeTerms, CLIENT) == [FeeTerms(PAYOUT, tuple(listed.items()))]


# --- what is not carried ----------------------------------------------------------------------------------------------


def test_a_fee_that_is_not_taken_is_refused_with_what_would_be(world: Any, make: Any) -> None:
    driver = make(options=GOLD_AND_SVM, miners=1)
    takes(driver, world.miners[0], svm=10, gold=2)
    low, gold, silver = (
        world.transaction(0, fee=9),
        world.transaction(1, fee=1, fee_asset=GOLD),
        world.transaction(2, fee=99, fee_asset=SILVER),
    )
    issue = sign_issue(
        world.senders[3], chain_id=world.chain.chain_id, seq=0, prev=ZERO_HASH, supply=5, fee=9, valid_until_ms=10**14
    )
    driver.receive(world.phone, submit(low, gold, silver, issue))
    reason = f"{NOT_TAKEN}10 of svm or 2 of {GOLD.hex()}"
    assert driver.statuses(world.phone) == [(item.id, REFUSED, reason) for item in (low, gold, silver, issue)]
    assert PENDING.count(driver.store) == 0
    assert driver.core.standing.statistics()["transactions"]["refused_here"] == {"fee-not-taken": 4}
    driver.receive(world.phone, submit(world.transaction(0, fee=10), world.transaction(1, fee=2, fee_asset=GOLD)))
    assert [level for _, level, _ in driver.statuses(world.phone)] == [R0, R0]


def test_what_is_executed_or_taken_in_is_not_refused_for_its_fee(world: Any, make: Any) -> None:
    driver, miner, sender = make(miners=1), world.miners[0], world.senders[0].public
    done, waiting = world.transaction(0), world.transaction(1)
    driver.receive(world.phone, submit(waiting))
    driver.receive(world.phone, Subscribe((sender,)))
    world.set_account(sender, Account(9_989, 1, done.id, 0))
    driver.receive(miner, world.proofs(1, driver.now_us, sender))
    takes(driver, miner, svm=1_000)
    driver.statuses(world.phone)
    driver.receive(world.phone, submit(done, waiting))
    assert [level for _, level, _ in driver.statuses(world.phone)] == [R3, R0]


def test_an_edge_carries_what_pays_another_unless_its_owner_says_no(world: Any, make: Any) -> None:
    other = SigningKey(bytes(range(32))).public
    unpaid, elsewhere, paid = world.transaction(0), world.transaction(1, via=other), world.transaction(2, via=PAYOUT)
    driver = make(miners=1)
    driver.receive(world.phone, submit(unpaid, elsewhere, paid))
    assert [level for _, level, _ in driver.statuses(world.phone)] == [R0] * 3
    assert len(forwarded(driver, world.miners[0])) == 3
    strict = make(options=EdgeOptions(carry_unpaid=False), miners=1)
    strict.receive(world.phone, submit(unpaid, elsewhere, paid))
    address = encode_address(PAYOUT, test=world.chain.parameters.test_network)
    reason = f"edge-not-paid: this edge carries only what names {address} in via"
    assert strict.statuses(world.phone) == [
        (unpaid.id, REFUSED, reason),
        (elsewhere.id, REFUSED, reason),
        (paid.id, R0, ""),
    ]
    assert forwarded(strict, world.miners[0]) == [paid.raw]


# --- which miner ------------------------------------------------------------------------------------------------------


def test_a_transaction_goes_to_a_miner_that_takes_its_fee(world: Any, make: Any) -> None:
    driver, (one, two) = make(options=GOLD_AND_SVM), world.miners
    takes(driver, one, svm=1)
    takes(driver, two, gold=1, svm=100)
    transactions = [
        *(world.transaction(0, seq, fee=5) for seq in range(1)),
        world.transaction(1, fee=1, fee_asset=GOLD),
        world.transaction(2, fee=99),
        world.transaction(3, fee=3, fee_asset=GOLD),
    ]
    driver.receive(world.phone, submit(*transactions))
    assert forwarded(driver, one) == [transactions[0].raw, transactions[2].raw]
    assert forwarded(driver, two) == [transactions[1].raw, transactions[3].raw]


def test_a_miner_that_takes_all_that_waits_of_a_sender_is_preferred(world: Any, make: Any) -> None:
    driver, (one, two) = make(options=GOLD_AND_SVM), world.miners
    takes(driver, one, svm=1)
    takes(driver, two, svm=1, gold=1)
    driver.disk_at_once = False
    for sender in range(4):
        first = world.transaction(sender, 0, fee=5)
        driver.receive(world.phone, submit(first))
        driver.receive(world.phone, submit(world.transaction(sender, 1, first.id, fee=5, fee_asset=GOLD)))
    driver.disk()
    assert len(forwarded(driver, two)) == 8
    assert forwarded(driver, one) == []


def test_a_sender_whose_fees_no_one_miner_takes_has_its_transactions_at_several(world: Any, make: Any) -> None:
    driver, (one, two) = make(options=GOLD_AND_SVM), world.miners
    takes(driver, one, svm=1)
    takes(driver, two, gold=1)
    first = world.transaction(0, 0, fee=5)
    second = world.transaction(0, 1, first.id, fee=5, fee_asset=GOLD)
    third = world.transaction(0, 2, second.id, fee=5)
    driver.receive(world.phone, submit(first, second, third))
    assert forwarded(driver, one) == [first.raw, third.raw]
    assert forwarded(driver, two) == [second.raw]


def test_who_says_what_it_takes_comes_before_who_does_not(world: Any, make: Any) -> None:
    for number in range(8):
        driver = make()
        takes(driver, world.miners[number % 2], svm=1)
        driver.receive(world.phone, submit(world.transaction()))
        assert len(forwarded(driver, world.miners[number % 2])) == 1


def test_what_one_refuses_for_its_fee_goes_to_another_with_its_successors(world: Any, make: Any) -> None:
    driver, chain = make(), world.chain_of(4)
    one, two = world.miners
    takes(driver, one, svm=1)
    driver.receive(world.phone, submit(*chain))
    assert len(forwarded(driver, one)) == 4
    takes(driver, two, svm=1)
    driver.statuses(world.phone)
    refuse(driver, one, chain[1], f"{NOT_TAKEN}5 of svm")
    assert forwarded(driver, two) == [transaction.raw for transaction in chain[1:]]
    assert driver.statuses(world.phone) == []
    refuse(driver, two, chain[1], f"{NOT_TAKEN}7 of svm")
    assert driver.statuses(world.phone) == [(chain[1].id, REFUSED, f"{NOT_TAKEN}7 of svm")]
    assert PENDING.count(driver.store) == 3


def test_what_no_other_takes_is_refused_with_the_reason(world: Any, make: Any) -> None:
    driver, transaction = make(options=GOLD_AND_SVM), world.transaction(fee=5)
    one, two = world.miners
    takes(driver, one, svm=1)
    takes(driver, two, gold=1)
    driver.receive(world.phone, submit(transaction))
    driver.statuses(world.phone)
    refuse(driver, one, transaction, f"{NOT_TAKEN}50 of svm")
    assert driver.statuses(world.phone) == [(transaction.id, REFUSED, f"{NOT_TAKEN}50 of svm")]
    assert forwarded(driver, two) == []
    assert PENDING.count(driver.store) == 0


def test_what_lost_its_only_miner_waits_aside_for_one_that_takes_it(world: Any, make: Any) -> None:
    driver = make(options=GOLD_AND_SVM)
    one, two = world.miners
    takes(driver, one, gold=1)
    takes(driver, two, svm=1)
    gold = world.transaction(0, fee=5, fee_asset=GOLD)
    driver.receive(world.phone, submit(gold))
    assert forwarded(driver, one) == [gold.raw]
    driver.down(one)
    driver.statuses(world.phone)
    driver.wait(2_000_000)
    assert forwarded(driver, two) == []
    others = [world.transaction(1), world.transaction(2)]
    driver.receive(world.phone, submit(*others))  # nobody waits behind it
    assert forwarded(driver, two) == [other.raw for other in others]
    takes(driver, two, svm=1, gold=6)
    assert forwarded(driver, two) == []
    takes(driver, two, svm=1, gold=5)
    driver.wait(0)
    driver.receive(world.phone, Subscribe(()))
    assert forwarded(driver, two) == [gold.raw]
    assert PENDING.count(driver.store) == 3


def test_what_nobody_takes_for_long_is_refused_with_what_would_be_taken(world: Any, make: Any) -> None:
    driver = make(options=GOLD_AND_SVM)
    one, two = world.miners
    takes(driver, one, gold=1)
    takes(driver, two, svm=8)
    gold = world.transaction(0, fee=5, fee_asset=GOLD)
    driver.receive(world.phone, submit(gold))
    driver.down(one)
    driver.statuses(world.phone)
    for _ in range(UNTAKEN_US // 1_000_000):
        assert driver.statuses(world.phone) == []
        for peer in (two, world.phone):
            driver.receive(peer, Status(()) if peer == two else Subscribe(()))
        driver.wait(1_000_000)
    assert driver.statuses(world.phone) == [(gold.id, REFUSED, f"{NOT_TAKEN}8 of svm")]
    assert PENDING.count(driver.store) == 0


def test_while_no_miner_is_up_nothing_is_refused_for_its_fee(world: Any, make: Any) -> None:
    driver = make(options=GOLD_AND_SVM, miners=1)
    one = world.miners[0]
    takes(driver, one, gold=1)
    gold = world.transaction(0, fee=5, fee_asset=GOLD)
    driver.receive(world.phone, submit(gold))
    takes(driver, one, svm=1)
    driver.down(one)
    driver.statuses(world.phone)
    for _ in range(2 * UNTAKEN_US // 1_000_000):
        driver.receive(world.phone, Subscribe(()))
        driver.wait(1_000_000)
    assert driver.statuses(world.phone) == []
    driver.up(world.miners[1], 2)
    assert forwarded(driver, world.miners[1]) == [gold.raw]


def test_a_miner_that_has_a_transaction_is_reminded_of_it_whatever_it_takes_by_now(world: Any, make: Any) -> None:
    driver, transaction = make(miners=1), world.transaction(fee=5)
    driver.receive(world.phone, submit(transaction))
    assert forwarded(driver, world.miners[0]) == [transaction.raw]
    takes(driver, world.miners[0], svm=1_000)
    driver.wait(3_000_000)
    assert forwarded(driver, world.miners[0]) == [transaction.raw]
