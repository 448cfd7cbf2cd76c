"""Store and forward: R0 is a promise, miners come and go, nothing acknowledged is lost."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from supervm.common.contract.core import Command
from supervm.common.parts.buckets import Rate
from supervm.common.storage.memory import MemoryStore
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.money.transaction import sign_transfer
from supervm.protocol.state.account import Account
from supervm.protocol.wire.chain import GetBlocks
from supervm.protocol.wire.fields import FORWARD_MAX
from supervm.protocol.wire.link import Heartbeat
from supervm.protocol.wire.payments import Status, StatusItem, Submit, Subscribe
from supervm.tier_l3_edge.errors import EdgeError
from supervm.tier_l3_edge.intake import intake
from supervm.tier_l3_edge.messages import Request, Statistics
from supervm.tier_l3_edge.options import DEFAULT_RATES, EdgeOptions
from supervm.tier_l3_edge.relay.relay import UNANSWERED_MAX
from supervm.tier_l3_edge.tables import PENDING, TABLES, PendingRow

R0, R1, R3, REFUSED, EXPIRED = 0, 1, 3, 10, 11


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signatures are checked when they come: these tests are about what becomes of transactions after that."""
    monkeypatch.setattr(intake, "CHECK_INTERVAL_US", 0)


def submit(*transactions: Any) -> Submit:
    return Submit(tuple(transaction.raw for transaction in transactions))


def say(level: int, *transactions: Any, reason: str = "") -> Status:
    return Status(tuple(StatusItem(transaction.id, level, reason) for transaction in transactions))


def forwarded(driver: Any, miner: bytes) -> list[bytes]:
    return [raw for message in driver.take(Submit, miner) for raw in message.transactions]


def where(driver: Any) -> tuple[bytes, bytes]:
    """Return the miner that got the transactions, and the other one."""
    first, second = driver.world.miners
    got = [to for to, message in driver.sent if isinstance(message, Submit)]
    return (first, second) if got[0] == first else (second, first)


def test_r0_and_forwarding_wait_for_the_write(world: Any, make: Any) -> None:
    driver, transaction = make(miners=1), world.transaction()
    driver.disk_at_once = False
    driver.receive(world.phone, submit(transaction))
    assert driver.statuses(world.phone) == []
    driver.receive(world.phone, submit(transaction))  # again, before the write is done
    assert driver.statuses(world.phone) == []
    assert forwarded(driver, world.miners[0]) == []
    driver.disk()
    assert driver.statuses(world.phone) == [(transaction.id, R0, "")] * 2
    assert forwarded(driver, world.miners[0]) == [transaction.raw]
    assert PENDING.count(driver.store) == 1


def test_news_reach_the_phone_and_the_end_clears_the_store(world: Any, make: Any) -> None:
    driver, transaction = make(), world.transaction()
    driver.receive(world.phone, submit(transaction))
    miner, _ = where(driver)
    driver.statuses(world.phone)
    driver.receive(miner, say(R0, transaction))
    assert driver.statuses(world.phone) == []
    driver.receive(miner, say(R1, transaction))
    driver.receive(miner, say(R1, transaction))
    assert driver.statuses(world.phone) == [(transaction.id, R1, "")]
    driver.receive(world.phone, submit(transaction))
    assert driver.statuses(world.phone) == [(transaction.id, R1, "")]
    driver.receive(miner, say(R3, transaction))
    assert driver.statuses(world.phone) == [(transaction.id, R3, "")]
    assert PENDING.count(driver.store) == 0
    driver.sent.clear()
    driver.receive(world.phone, submit(transaction))  # answered from memory
    assert driver.statuses(world.phone) == [(transaction.id, R3, "")]
    assert driver.sent == []


def test_a_fate_is_answered_from_memory_only_for_a_while(world: Any, make: Any) -> None:
    driver, transaction = make(miners=1), world.transaction()
    driver.receive(world.phone, submit(transaction))
    driver.receive(world.miners[0], say(R3, transaction))
    driver.sent.clear()
    driver.now_us += 31_000_000
    driver.receive(world.phone, submit(transaction))
    assert forwarded(driver, world.miners[0]) == [transaction.raw]


def test_fates_that_are_answered_no_more_leave_memory(world: Any, make: Any) -> None:
    driver = make(miners=1)
    transactions = [world.transaction(seq=seq) for seq in range(3)]
    for transaction in transactions:
        driver.receive(world.phone, submit(transaction))
        driver.receive(world.miners[0], say(R3, transaction))
        driver.now_us += 16_000_000
    assert list(driver.core.store._finals) == [transaction.id for transaction in transactions[1:]]


def test_every_peer_that_submitted_is_told(world: Any, make: Any) -> None:
    driver, transaction = make(miners=1), world.transaction()
    other = bytes([9]) * 32
    driver.up(other, 4)
    driver.receive(world.phone, submit(transaction))
    driver.receive(other, submit(transaction))
    driver.statuses(other)
    driver.receive(world.miners[0], say(R1, transaction))
    assert driver.statuses(world.phone)[-1] == driver.statuses(other)[-1] == (transaction.id, R1, "")


def test_without_miners_it_stores_and_drains_in_order_in_bounded_messages(world: Any, make: Any) -> None:
    driver = make(miners=0)
    chains = [world.chain_of(300, sender) for sender in range(3)]
    for place in range(300):  # interleaved, and the first sender's pairs in the wrong order
        first = chains[0][place ^ 1]
        driver.receive(world.phone, submit(first, chains[1][place], chains[2][place]))
    assert len(driver.statuses(world.phone)) == 900
    driver.up(world.miners[0], 2)
    messages = driver.take(Submit, world.miners[0])
    assert [len(message.transactions) for message in messages] == [FORWARD_MAX, 900 - FORWARD_MAX]
    got = [raw for message in messages for raw in message.transactions]
    for chain in chains:
        raws = [transaction.raw for transaction in chain]
        assert [raw for raw in got if raw in raws] == raws


def test_what_is_out_unanswered_is_bounded_and_answers_make_room(world: Any, make: Any) -> None:
    driver = make(miners=0)
    count = UNANSWERED_MAX + 100
    chain = world.chain_of(count)
    for start in range(0, count, FORWARD_MAX):
        driver.receive(world.phone, submit(*chain[start : start + FORWARD_MAX]))
    driver.up(world.miners[0], 2)
    assert forwarded(driver, world.miners[0]) == [transaction.raw for transaction in chain[:UNANSWERED_MAX]]
    driver.receive(world.miners[0], say(R1, *chain[:60]))
    assert forwarded(driver, world.miners[0]) == [t.raw for t in chain[UNANSWERED_MAX : UNANSWERED_MAX + 60]]


def test_a_miner_without_news_is_left_after_three_seconds(world: Any, make: Any) -> None:
    driver, chain = make(), world.chain_of(3)
    driver.receive(world.phone, submit(*chain))
    silent, other = where(driver)
    driver.sent.clear()
    driver.receive(silent, Heartbeat(1, 0, 0, 0))  # a sign of life is no news
    driver.wait(2_900_000)
    assert forwarded(driver, other) == []
    driver.wait(200_000)
    assert forwarded(driver, other) == [transaction.raw for transaction in chain]
    driver.receive(other, say(R3, *chain))
    assert len(driver.statuses(world.phone)) == 3
    more = world.transaction(0, 3, chain[-1].id)
    driver.receive(world.phone, submit(more))  # the sender stays with the new one
    assert forwarded(driver, other) == [more.raw]


def test_with_one_miner_only_it_submits_again_with_back_off(world: Any, make: Any) -> None:
    driver, transaction = make(miners=1), world.transaction()
    driver.receive(world.phone, submit(transaction))
    times = []
    for _ in range(120):
        driver.wait(500_000)
        driver.receive(world.miners[0], Heartbeat(1, 0, 0, 0))
        if forwarded(driver, world.miners[0]):
            times.append((driver.now_us - world.start_us) // 500_000 * 500_000)
    assert times[:5] == [500_000, 3_000_000, 9_000_000, 21_000_000, 45_000_000]


def test_a_sender_whose_transactions_alone_get_no_answer_moves_to_another_miner(world: Any, make: Any) -> None:
    driver = make()
    driver.down(world.miners[1])
    censored, others = world.transaction(0), world.chain_of(40, 1)
    driver.receive(world.phone, submit(censored))
    driver.up(world.miners[1], 2)
    driver.sent.clear()
    got: list[bytes] = []
    for other in others[:20]:
        driver.receive(world.phone, submit(other))
        driver.receive(world.miners[0], say(R1, other))
        driver.wait(1_000_000)
        got += forwarded(driver, world.miners[1])
    assert censored.raw in got


def test_when_a_miner_goes_down_its_transactions_go_to_another_at_once(world: Any, make: Any) -> None:
    driver, chain = make(), world.chain_of(4)
    driver.receive(world.phone, submit(*chain))
    miner, other = where(driver)
    driver.receive(miner, say(R1, chain[0]))
    driver.sent.clear()
    driver.down(miner)
    assert forwarded(driver, other) == [transaction.raw for transaction in chain]


def test_a_restart_loses_nothing_that_was_acknowledged(world: Any, make: Any) -> None:
    driver, chain = make(miners=1), world.chain_of(5)
    driver.receive(world.phone, submit(*chain))
    driver.receive(world.miners[0], say(R3, chain[0]))
    store = driver.store
    store.crash()
    store.reopen()
    again = make(store, miners=0)
    again.up(world.miners[1], 2)
    assert forwarded(again, world.miners[1]) == [transaction.raw for transaction in chain[1:]]
    again.receive(world.phone, submit(chain[2]))
    assert again.statuses(world.phone) == [(chain[2].id, R0, "")]
    new = world.transaction(0, 5, chain[-1].id)
    again.receive(world.phone, submit(new))
    again.receive(world.miners[1], say(R3, *chain[1:]))
    assert [row.raw for row in PENDING.rows(store)] == [new.raw]


def test_a_write_that_was_not_durable_was_not_acknowledged(world: Any, make: Any) -> None:
    driver, transaction = make(miners=1), world.transaction()
    driver.disk_at_once = False
    driver.receive(world.phone, submit(transaction))
    assert driver.statuses(world.phone) == []
    assert PENDING.count(driver.store) == 0


def test_a_database_of_another_network_is_refused_with_a_reason(world: Any, make: Any) -> None:

    store = MemoryStore(TABLES)
    foreign = sign_transfer(
        world.senders[0], chain_id=bytes(32), seq=0, prev=ZERO_HASH, to=world.payee, amount=1, fee=1, valid_until_ms=1
    )
    store.commit([PENDING.put(PendingRow(1, foreign.raw))])
    with pytest.raises(EdgeError, match="another network"):
        make(store)


@pytest.mark.parametrize("reason", ["overdraft", "conflict", "slot used"])
def test_a_refusal_is_relayed_and_may_be_outlived(world: Any, make: Any, reason: str) -> None:
    driver, transaction = make(), world.transaction()
    driver.receive(world.phone, submit(transaction))
    miner, other = where(driver)
    driver.statuses(world.phone)
    driver.receive(miner, say(REFUSED, transaction, reason=reason))
    assert driver.statuses(world.phone) == [(transaction.id, REFUSED, reason)]
    assert PENDING.count(driver.store) == 0
    driver.sent.clear()
    driver.receive(world.phone, submit(transaction))  # asked anew, not answered from memory
    assert driver.statuses(world.phone) == [(transaction.id, R0, "")]
    assert forwarded(driver, miner) == [transaction.raw]
    assert forwarded(driver, other) == []


def test_an_unknown_predecessor_is_tried_at_one_other_miner(world: Any, make: Any) -> None:
    driver, chain = make(), world.chain_of(2)
    driver.receive(world.phone, submit(*chain))
    miner, other = where(driver)
    driver.sent.clear()
    driver.receive(miner, say(REFUSED, chain[1], reason="predecessor unknown"))
    assert driver.statuses(world.phone) == []
    assert forwarded(driver, other) == [transaction.raw for transaction in chain]
    driver.receive(other, say(REFUSED, chain[1], reason="predecessor unknown"))
    assert driver.statuses(world.phone) == [(chain[1].id, REFUSED, "predecessor unknown")]


def test_a_busy_miner_is_tried_again_and_never_ends_a_promise(world: Any, make: Any) -> None:
    driver, transaction = make(), world.transaction()
    driver.receive(world.phone, submit(transaction))
    miner, other = where(driver)
    driver.sent.clear()
    driver.receive(miner, say(REFUSED, transaction, reason="busy"))
    assert forwarded(driver, other) == [transaction.raw]
    driver.receive(other, say(REFUSED, transaction, reason="busy"))
    driver.wait(1_000_000)
    assert driver.statuses(world.phone) == []
    assert set(forwarded(driver, other) + forwarded(driver, miner)) == {transaction.raw}
    assert PENDING.count(driver.store) == 1


def test_a_miner_has_no_say_about_what_it_was_not_sent(world: Any, make: Any) -> None:
    driver, transaction = make(), world.transaction()
    driver.receive(world.phone, submit(transaction))
    _, other = where(driver)
    driver.statuses(world.phone)
    for level in (R1, R3, REFUSED, EXPIRED):
        driver.receive(other, say(level, transaction))
    assert driver.statuses(world.phone) == []
    assert PENDING.count(driver.store) == 1


def test_a_miner_that_genesis_does_not_name_is_only_a_client(world: Any, make: Any) -> None:
    driver, transaction, stranger = make(miners=0), world.transaction(), bytes([5]) * 32
    driver.up(stranger, 2)
    driver.receive(world.phone, submit(transaction))
    assert driver.take(Submit, stranger) == []


def test_load_decides_where_a_new_sender_goes(world: Any, make: Any) -> None:
    driver = make()
    driver.receive(world.miners[0], Heartbeat(1, 90, 0, 0))
    driver.receive(world.miners[1], Heartbeat(1, 10, 0, 0))
    for sender in range(4):
        driver.receive(world.phone, submit(world.transaction(sender)))
    assert len(forwarded(driver, world.miners[1])) == 4


def test_what_is_refused_here_says_why(world: Any, make: Any) -> None:
    driver = make(miners=1)
    good = world.transaction()
    broken = good.raw[:-1] + bytes([good.raw[-1] ^ 1])
    foreign = sign_transfer(
        world.senders[0], chain_id=bytes(32), seq=0, prev=ZERO_HASH, to=world.payee, amount=1, fee=1, valid_until_ms=1
    )
    driver.receive(world.phone, Submit((broken, foreign.raw, b"\x80")))
    reasons = [reason.partition(":")[0] for _, level, reason in driver.statuses(world.phone) if level == REFUSED]
    assert sorted(reasons) == ["bad signature", "malformed", "wrong-chain"]
    assert PENDING.count(driver.store) == 0
    driver.receive(world.phone, submit(good))  # a forged copy does not stand in the way of the real one
    assert driver.statuses(world.phone) == [(good.id, R0, "")]


def test_a_flood_of_garbage_ends_the_connection_and_nothing_else(world: Any, make: Any) -> None:
    driver = make(miners=1)
    attacker = bytes([8]) * 32
    driver.up(attacker, 0)
    for _ in range(10):
        driver.receive(attacker, Submit((b"garbage" * 20,)))
        driver.receive(attacker, GetBlocks(0))
    assert driver.hung_up == {attacker: "bad-transactions"} or driver.hung_up == {attacker: "direction"}
    driver.receive(world.phone, submit(world.transaction()))
    assert forwarded(driver, world.miners[0])


def test_rates_and_the_store_are_bounded_with_busy(world: Any, make: Any) -> None:
    rates = {**DEFAULT_RATES, "transactions": Rate(1, 3)}
    driver = make(options=EdgeOptions(rates=rates), miners=0)
    chain = world.chain_of(5)
    driver.receive(world.phone, submit(*chain))
    answers = driver.statuses(world.phone)
    assert sorted(answers, key=lambda item: item[1]) == [
        *((transaction.id, R0, "") for transaction in chain[:3]),
        *((transaction.id, REFUSED, "busy") for transaction in chain[3:]),
    ]
    driver.wait(1_000_000)
    driver.receive(world.phone, submit(chain[3]))
    assert driver.statuses(world.phone) == [(chain[3].id, R0, "")]
    full = make(options=EdgeOptions(store_max=4), miners=0)  # one peer may fill half
    full.receive(world.phone, submit(*chain))
    assert PENDING.count(full.store) == 2
    full.receive(world.phone, submit(chain[4]))
    assert full.statuses(world.phone)[-1] == (chain[4].id, REFUSED, "busy")


def test_a_peer_with_a_wrong_clock_may_read_but_not_submit(world: Any, make: Any) -> None:
    driver, odd, transaction = make(miners=1), bytes([7]) * 32, world.transaction()
    driver.up(odd, 4, clock_offset_ms=-30_001)
    driver.receive(odd, submit(transaction))
    assert driver.statuses(odd) == [(transaction.id, REFUSED, "clock")]
    driver.receive(odd, Subscribe((world.payee,)))
    assert driver.take(Subscribe, world.miners[0]) == [Subscribe((world.payee,))]


def test_a_fresh_proof_refuses_what_can_never_execute(world: Any, make: Any) -> None:
    driver, sender = make(miners=1), world.senders[0].public
    used, rival = world.transaction(0, 0, amount=5), world.transaction(0, 0, amount=6)
    world.set_account(sender, Account(50, 1, used.id, 0))
    driver.receive(world.phone, Subscribe((sender,)))
    driver.receive(world.miners[0], world.proofs(1, driver.now_us, sender))
    too_much = world.transaction(0, 1, used.id, amount=50)
    driver.receive(world.phone, submit(used, rival, too_much))
    assert driver.statuses(world.phone) == [
        (used.id, R3, ""),
        (rival.id, REFUSED, "slot used: another transaction of the sender has this number"),
        (too_much.id, REFUSED, "overdraft: 51 of svm would be spent, the balance is 50"),
    ]
    driver.now_us += 10_000_000  # nothing new for long: the proof says no longer what is
    driver.receive(world.phone, submit(too_much))
    assert driver.statuses(world.phone) == [(too_much.id, R0, "")]


def test_a_slot_far_back_is_left_to_the_miner(world: Any, make: Any) -> None:
    driver, chain = make(miners=1), world.chain_of(3)
    world.set_account(world.senders[0].public, Account(50, 3, chain[-1].id, 0))
    driver.receive(world.phone, Subscribe((world.senders[0].public,)))
    driver.receive(world.miners[0], world.proofs(1, driver.now_us, world.senders[0].public))
    driver.receive(world.phone, submit(chain[0]))
    assert forwarded(driver, world.miners[0]) == [chain[0].raw]


def test_an_expired_transaction_is_not_taken(world: Any, make: Any) -> None:
    driver = make(miners=1)
    late = world.transaction(valid_until_ms=world.start_us // 1000 - 1)
    driver.receive(world.phone, Subscribe((world.payee,)))
    driver.receive(world.miners[0], world.proofs(1, driver.now_us, world.payee))
    driver.receive(world.phone, submit(late))
    assert driver.statuses(world.phone) == [(late.id, EXPIRED, "its validity has passed")]


def test_statistics_are_answered(world: Any, make: Any) -> None:
    driver = make(miners=1)
    driver.receive(world.phone, submit(world.transaction()))
    request = msgspec.json.decode(b'{"request":"statistics"}', type=Request)
    assert request == Statistics()
    (reply,) = driver.core.step(driver.now_us, Command(1, request))
    assert reply.value["transactions"]["pending"] == 1
    assert list(reply.value["cache"]) == ["hits", "misses", "evictions", "entries", "bytes", "bytes_max"]
    (reply,) = driver.core.step(driver.now_us, Command(2, msgspec.json.decode(b'{"request":"info"}', type=Request)))
    assert reply.value["tier"] == 3
    (reply,) = driver.core.step(driver.now_us, Command(3, Submit(())))
    assert reply.error == "an L3 takes no request Submit; Info, Statistics are allowed"
