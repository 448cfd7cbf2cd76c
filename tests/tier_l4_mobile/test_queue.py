"""The queue of payments: slots, release, cancelling, fates (consensus.md 3.8 T16, 3.9.4)."""

from __future__ import annotations

import pytest
from chain_tools import GENESIS_TIME_MS, test_key
from mobile_tools import Network, make_queue

from supervm.common.storage.memory import MemoryStore
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.money.transaction import parse_transaction, sign_transfer
from supervm.protocol.state.account import POOLS
from supervm.protocol.wire.payments import LEVEL_R0, LEVEL_R1, LEVEL_R3, LEVEL_REFUSED
from supervm.tier_l4_mobile.errors import PaymentError
from supervm.tier_l4_mobile.tables import TABLES
from supervm.tier_l4_mobile.wallet.payments import CANCELLED, EXPIRED, QUEUED, R0, R3, R4, REFUSED

NOW_MS = GENESIS_TIME_MS + 10_000
NOW_US = NOW_MS * 1000
LATER_MS = NOW_MS + 3_600_000
BOB = test_key("bob").public
ALICE = test_key("alice").public


class Desk:
    """A queue with its store, on a chain where alice owns 1,000,000 grain."""

    def __init__(self, *, prove: bool = True) -> None:
        self.network = Network()
        self.store = MemoryStore(TABLES, with_log=False)
        self.queue = make_queue(self.network, self.store)
        if prove:
            self.prove()

    def pay(self, amount: int = 10, fee: int = 1, *, key: str = "", valid_until_ms: int = LATER_MS):
        return self.queue.add(NOW_US, ALICE, BOB, amount=amount, fee=fee, valid_until_ms=valid_until_ms, key=key)

    def prove(self, now_us: int = NOW_US) -> bool:
        return self.queue.prove(ALICE, self.network.proved(ALICE), now_us)

    def release(self, count: int = 1000):
        released = self.queue.release(count, NOW_MS)
        self.write()
        return released

    def write(self) -> None:
        self.store.commit(self.queue.take_records())

    def restart(self) -> None:
        self.store.crash()
        self.queue = make_queue(self.network, self.store)

    def body(self, payment):
        return parse_transaction(payment.raw, self.network.chain.chain_id).body


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_slots_follow_each_other_from_the_proved_head(desk):
    first, second, third = desk.pay(), desk.pay(), desk.pay()
    assert [(p.seq, p.prev) for p in (first, second, third)] == [(0, ZERO_HASH), (1, first.id), (2, second.id)]
    assert desk.body(third).prev == second.id


def test_nothing_is_signed_before_the_account_is_proved():
    desk = Desk(prove=False)
    payments = [desk.pay(), desk.pay()]
    assert [p.raw for p in payments] == [b"", b""]
    assert desk.release() == []
    desk.prove()
    assert [p.seq for p in payments] == [0, 1]
    assert desk.release() == payments


def test_unsigned_payments_survive_a_restart_and_are_signed_in_order():
    desk = Desk(prove=False)
    desk.pay(1), desk.pay(2)
    desk.write()
    desk.restart()
    desk.prove()
    assert [desk.body(p).amount for p in desk.release()] == [1, 2]


def test_unsigned_payments_beyond_the_balance_are_refused_when_the_proof_comes():
    desk = Desk(prove=False)
    small, big, last = desk.pay(5), desk.pay(10_000_000), desk.pay(6)
    desk.prove()
    assert (small.status, big.status, last.status) == (QUEUED, REFUSED, QUEUED)
    assert "overdraft" in big.reason
    assert last.prev == small.id


@pytest.mark.parametrize(
    ("amount", "fee", "word"),
    [
        (0, 1, "amount"),
        (-1, 1, "amount"),
        (1, 0, "fee"),
        (2**63, 1, "amount"),
        (2**63 - 1, 1, "together"),
    ],
)
def test_amount_and_fee_have_bounds(desk, amount, fee, word):
    with pytest.raises(PaymentError, match=word):
        desk.pay(amount, fee)


def test_payload_receiver_key_and_payer_are_checked(desk):
    add = desk.queue.add
    with pytest.raises(PaymentError, match="256"):
        add(NOW_US, ALICE, BOB, amount=1, fee=1, valid_until_ms=LATER_MS, payload=bytes(257))
    with pytest.raises(PaymentError, match="receiver"):
        add(NOW_US, ALICE, POOLS["l1"], amount=1, fee=1, valid_until_ms=LATER_MS)
    with pytest.raises(PaymentError, match="not in this wallet"):
        add(NOW_US, BOB, ALICE, amount=1, fee=1, valid_until_ms=LATER_MS)
    with pytest.raises(PaymentError, match="key"):
        add(NOW_US, ALICE, BOB, amount=1, fee=1, valid_until_ms=LATER_MS, key="a\0b")


def test_an_overdraft_counts_what_is_queued_and_not_income(desk):
    desk.pay(999_000, 1)
    with pytest.raises(PaymentError, match=r"overdraft.*999 are free"):
        desk.pay(1_000, 1)
    desk.pay(998, 1)


def test_a_key_makes_one_payment_also_after_a_restart(desk):
    first = desk.pay(key="file:1")
    assert desk.pay(key="file:1") is first
    desk.write()
    desk.restart()
    assert desk.pay(key="file:1").id == first.id
    assert len(desk.queue.payments) == 1


def test_release_is_in_slot_order_and_bounded_by_the_window():
    desk = Desk()
    payments = [desk.pay(1) for _ in range(1_030)]
    assert desk.release(10) == payments[:10]
    assert desk.release(10_000) == payments[10:1_024]
    assert desk.release(10_000) == []
    desk.network.seal([payment.raw for payment in payments[:5]])
    desk.prove()
    assert desk.release(10_000) == payments[1_024:1_029]


def test_a_payment_past_its_validity_is_not_released(desk):
    desk.pay(valid_until_ms=NOW_MS - 1)
    assert desk.release() == []


def test_cancel_signs_the_successors_again_on_the_new_chain(desk):
    first, second, third, fourth = (desk.pay(n) for n in (1, 2, 3, 4))
    former = fourth.id
    desk.queue.cancel(second)
    assert second.status == CANCELLED
    assert [(p.seq, p.prev) for p in (third, fourth)] == [(1, first.id), (2, third.id)]
    assert desk.body(third).amount == 3
    assert desk.queue.find(former.hex()) is fourth
    desk.write()
    desk.restart()
    assert desk.queue.find(former.hex()).id == fourth.id
    assert [p.amount for p in desk.release()] == [1, 3, 4]


def test_an_equal_payment_that_takes_a_cancelled_ones_slot_owns_the_transaction(desk):
    first, second = desk.pay(), desk.pay()
    desk.queue.cancel(first)
    assert (first.status, second.id) == (CANCELLED, first.id)
    desk.release()
    desk.restart()
    desk.queue.claim(second.id, LEVEL_R0, "", NOW_US)
    assert [payment.status for payment in desk.queue.every()] == [CANCELLED, R0]


def test_what_was_released_or_is_over_cannot_be_cancelled(desk):
    first = desk.pay()
    desk.release()
    with pytest.raises(PaymentError, match="released"):
        desk.queue.cancel(first)
    second = desk.pay()
    desk.queue.cancel(second)
    with pytest.raises(PaymentError, match="cancelled"):
        desk.queue.cancel(second)


def test_claims_only_raise_and_only_for_what_was_released(desk):
    payment = desk.pay()
    assert desk.queue.claim(payment.id, LEVEL_R0, "", NOW_US) is None
    desk.release()
    for level, status in ((LEVEL_R0, R0), (LEVEL_R3, R3), (LEVEL_R1, R3), (LEVEL_R0, R3), (4, R3), (2, R3)):
        desk.queue.claim(payment.id, level, "", NOW_US)
        assert payment.status == status
    assert desk.queue.claim(bytes(32), LEVEL_R1, "", NOW_US) is None


def test_a_proof_executes_the_chain_up_to_its_head(desk):
    first, second, third = desk.pay(), desk.pay(), desk.pay()
    desk.release()
    desk.network.seal([first.raw, second.raw])
    assert desk.prove()
    assert (first.status, second.status, third.status) == (R4, R4, QUEUED)
    assert first.result == "executed"
    fourth = desk.pay()
    assert fourth.prev == third.id


def test_an_older_proof_changes_nothing(desk):
    old = desk.network.proved(ALICE)
    payment = desk.pay()
    desk.release()
    desk.network.seal([payment.raw])
    assert desk.prove()
    assert not desk.queue.prove(ALICE, old, NOW_US)
    assert payment.status == R4


def test_expired_needs_a_certified_header_past_the_validity(desk):
    payment = desk.pay(valid_until_ms=NOW_MS + 100)
    desk.release()
    desk.network.seal(ts_ms=NOW_MS + 100)
    desk.prove()
    assert payment.status == QUEUED
    desk.network.seal(ts_ms=NOW_MS + 101)
    desk.prove()
    assert payment.status == EXPIRED
    again = desk.pay()
    assert (again.seq, again.prev) == (payment.seq, payment.prev)


def test_successors_of_an_expired_payment_die_if_released_and_are_signed_again_if_not(desk):
    first, second = desk.pay(1, valid_until_ms=NOW_MS + 100), desk.pay(2)
    desk.release()
    third = desk.pay(3)
    desk.network.seal(ts_ms=NOW_MS + 101)
    desk.prove()
    assert (first.status, second.status, third.status) == (EXPIRED, EXPIRED, QUEUED)
    assert (third.seq, third.prev) == (0, ZERO_HASH)
    assert "before it" in second.reason


def test_a_successor_that_expires_first_leaves_its_predecessor_alone(desk):
    first, second, third = desk.pay(1), desk.pay(2, valid_until_ms=NOW_MS + 100), desk.pay(3)
    desk.release(2)
    desk.network.seal(ts_ms=NOW_MS + 101)
    desk.prove()
    assert (first.status, second.status, third.status) == (QUEUED, EXPIRED, QUEUED)
    assert (third.seq, third.prev) == (1, first.id)


def test_a_refusal_is_believed_only_after_a_newer_proof(desk):
    payment, after = desk.pay(), desk.pay()
    desk.release(1)
    desk.queue.claim(payment.id, LEVEL_REFUSED, "bad\nday", NOW_US)
    assert payment.status == QUEUED
    desk.network.seal(ts_ms=NOW_MS + 1_000)
    desk.prove()
    assert payment.status == QUEUED
    desk.network.seal(ts_ms=NOW_MS + 2_000)
    desk.prove()
    assert payment.status == REFUSED
    assert payment.reason.endswith("bad?day")
    assert desk.release() == []
    assert after.status == QUEUED


def test_a_refused_payment_that_executes_after_all_is_proved(desk):
    payment, after = desk.pay(), desk.pay()
    desk.release(1)
    desk.queue.claim(payment.id, LEVEL_REFUSED, "no", NOW_US)
    desk.network.seal(ts_ms=NOW_MS + 2_000)
    desk.prove()
    desk.network.seal([payment.raw])
    desk.prove()
    assert payment.status == R4
    assert desk.release() == [after]


def test_a_refusal_of_what_has_executed_meanwhile_is_not_believed(desk):
    payment = desk.pay()
    desk.release()
    desk.network.seal([payment.raw], ts_ms=NOW_MS + 3_000)
    desk.queue.claim(payment.id, LEVEL_REFUSED, "its slot is used", NOW_US)
    desk.prove()
    assert payment.status == R4
    assert desk.queue.lanes[ALICE].doubt is None


def test_a_refusal_behind_another_payment_says_only_not_yet(desk):
    _, second = desk.pay(), desk.pay()
    desk.release()
    desk.queue.claim(second.id, LEVEL_REFUSED, "unknown predecessor", NOW_US)
    desk.network.seal(ts_ms=NOW_MS + 9_000)
    desk.prove()
    assert second.status == QUEUED


def test_a_slot_used_by_another_device_moves_what_was_not_released(desk):
    mine, held = desk.pay(1), desk.pay(2)
    desk.release(1)
    other = sign_transfer(
        test_key("alice"),
        chain_id=desk.network.chain.chain_id,
        seq=0,
        prev=ZERO_HASH,
        to=BOB,
        amount=77,
        fee=1,
        valid_until_ms=LATER_MS,
    )
    desk.network.seal([other])
    desk.prove()
    assert mine.status == EXPIRED
    assert "another device" in mine.reason
    assert (held.status, held.seq, held.prev) == (QUEUED, 1, other.id)


def test_slots_below_a_foreign_head_wait_for_their_receipts(desk):
    mine = desk.pay(1)
    desk.release()
    other = sign_transfer(
        test_key("alice"),
        chain_id=desk.network.chain.chain_id,
        seq=1,
        prev=mine.id,
        to=BOB,
        amount=77,
        fee=1,
        valid_until_ms=LATER_MS,
    )
    desk.network.seal([mine.raw, other.raw])
    desk.prove()
    assert mine.status == QUEUED
    assert list(desk.queue.awaiting) == [mine.id]
    desk.write()
    desk.restart()
    desk.queue.receipt(mine.id, executed=True, now_us=NOW_US)
    assert desk.queue.payments[1].status == R4
    assert desk.pay().prev == other.id


def test_once_a_transaction_has_failed_only_receipts_tell(desk):
    payment = desk.pay(10)
    desk.release()
    desk.network.ledger.state.accounts[ALICE] = desk.network.ledger.state.accounts[ALICE]._replace(balance=0)
    desk.network.seal([payment.raw])
    desk.prove()
    assert payment.status == QUEUED
    desk.queue.receipt(payment.id, executed=False, now_us=NOW_US)
    assert (payment.status, payment.result) == (R4, "failed")


def test_changes_are_read_from_a_cursor_on(desk):
    desk.queue.changes.start(NOW_US)
    payments = [desk.pay() for _ in range(5)]
    part, cursor = desk.queue.changed_since(0, 3)
    rest, cursor = desk.queue.changed_since(cursor, 3)
    assert part + rest == payments
    assert desk.queue.changed_since(cursor, 3) == ([], cursor)
    desk.release(1)
    assert desk.queue.changed_since(cursor, 3)[0] == payments[:1]


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        ((), (9, 9, 9, 9)),
        ((LEVEL_R0,), (0, 9, 9, 9)),
        ((LEVEL_R1,), (0, 0, 9, 9)),
        ((LEVEL_R0, LEVEL_R1), (0, 1, 9, 9)),
        ((LEVEL_R3,), (0, 0, 0, 9)),
        ((LEVEL_R0, LEVEL_R1, LEVEL_R3), (0, 1, 2, 9)),
    ],
)
def test_a_level_that_nobody_told_of_has_the_time_of_the_one_that_shows_it(desk, heard, expected):
    """A proof by one miner may overtake the news of another: no level of a proved payment is without a time."""
    payment = desk.pay()
    desk.release()
    for at_us, level in enumerate(heard):
        desk.queue.claim(payment.id, level, "", NOW_US + 1_000 + at_us)
    desk.network.seal([payment.raw])
    desk.prove(NOW_US + 1_009)
    times = (payment.r0_us, payment.r1_us, payment.r3_us, payment.r4_us)
    assert tuple(at_us - NOW_US - 1_000 for at_us in times) == expected
    assert payment.status == R4


def test_a_refused_or_expired_payment_has_no_times_of_levels_it_never_reached(desk):
    payment = desk.pay(valid_until_ms=NOW_MS + 10)
    desk.network.seal(ts_ms=NOW_MS + 11)
    desk.prove()
    assert (payment.status, payment.r0_us, payment.r1_us, payment.r3_us, payment.r4_us) == (EXPIRED, 0, 0, 0, 0)
