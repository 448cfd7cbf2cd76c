"""Rules of `Slots`: who gets a bit, what frees a slot, and that a restart takes back exactly what is alive."""

from __future__ import annotations

import random

import msgspec
import pytest
from chain_tools import GENESIS_TIME_MS, TestChain, make_test_chain

from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.money.transaction import SignedTransaction
from supervm.protocol.state.account import POOLS
from supervm.protocol.state.state import State
from supervm.tier_l1_super.batches.slots import EXPIRY_SLACK, Slots

A, B = b"a" * 32, b"b" * 32
DAY_MS = 86_400_000


def new_slots(chain: TestChain, state: State | None = None) -> Slots:
    slots = Slots(chain.chain.first_state() if state is None else state, chain.chain.parameters)
    slots.executed_ts_ms = GENESIS_TIME_MS
    return slots


def lane(chain: TestChain, count: int) -> list[SignedTransaction]:
    return [chain.transaction("alice", chain.account("bob"), amount=10) for _ in range(count)]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"seq": 1, "prev": ZERO_HASH}, "predecessor unknown"),
        ({"seq": 0, "prev": A}, "conflict"),
        ({"seq": 5_000, "prev": ZERO_HASH}, "beyond the window"),
        ({"amount": 2_000_000}, "overdraft"),
        ({"amount": 1_000_000}, "overdraft"),
        ({"valid_until_ms": GENESIS_TIME_MS + 4_999}, "expired"),
        ({"valid_until_ms": GENESIS_TIME_MS + 5_000}, None),
        ({"valid_until_ms": GENESIS_TIME_MS + 7 * DAY_MS}, None),
        ({"valid_until_ms": GENESIS_TIME_MS + 7 * DAY_MS + 1}, "valid for too long"),
        ({"to": POOLS["l1"]}, "pools neither send nor receive transactions"),
    ],
)
def test_a_first_transaction(changes: dict[str, object], reason: str | None) -> None:
    """Each bound of consensus.md 3.2 and 3.9.1, at its edge."""
    chain = make_test_chain()
    options: dict[str, object] = {"to": chain.account("bob"), **changes}
    to = options.pop("to")
    transaction = chain.transaction("alice", to, **options)  # type: ignore[arg-type]
    assert new_slots(chain).vote(transaction, A) == reason


def test_a_slot_supports_one_transaction_and_a_repeat_keeps_its_bit() -> None:
    """The same transaction gets its bit in every batch, another for the slot in none; the first batch is the anchor."""
    chain = make_test_chain()
    slots = new_slots(chain)
    one, other = (chain.transaction("alice", chain.account("bob"), amount=n, seq=0, prev=ZERO_HASH) for n in (1, 2))
    assert slots.vote(one, A) is None
    assert slots.vote(one, B) is None
    assert slots.vote(other, B) == "conflict"
    assert (slots.anchored, len(slots)) == ({A: 1}, 1)


def test_debits_of_the_whole_lane_count_and_income_does_not() -> None:
    """Three times 400,000 of 1,000,000: the third is an overdraft although bob promises to pay."""
    chain = make_test_chain()
    slots = new_slots(chain)
    assert slots.vote(chain.transaction("bob", chain.account("alice"), amount=900_000), A) is None
    verdicts = [slots.vote(chain.transaction("alice", chain.account("bob"), amount=400_000), A) for _ in range(3)]
    assert verdicts == [None, None, "overdraft"]


def test_execution_frees_slots_and_another_transaction_kills_the_lane() -> None:
    """What was executed leaves the lane; if another took the slot, everything behind it is dead."""
    for own in (True, False):
        chain = make_test_chain()
        state = chain.chain.first_state()
        accounts, slots = state.accounts, new_slots(chain, state)
        transactions = lane(chain, 3)
        for transaction in transactions:
            slots.vote(transaction, A)
        sender = transactions[0].body.sender
        head = transactions[0].id if own else B
        accounts[sender] = accounts[sender]._replace(next_seq=1, head=head)
        slots.executed([sender], {sender: (0, ZERO_HASH)}, GENESIS_TIME_MS + 1)
        assert len(slots) == (2 if own else 0)
        assert slots.anchored == ({A: 2} if own else {})
        follower = chain.transaction("alice", chain.account("bob"), seq=1, prev=head, amount=7)
        assert slots.vote(follower, B) == ("conflict" if own else None)


def test_expiry_frees_the_slot_and_what_is_behind() -> None:
    """A validity that the executed time has passed frees its slot; the very millisecond does not."""
    chain = make_test_chain()
    slots = new_slots(chain)
    short = chain.transaction("alice", chain.account("bob"), valid_until_ms=GENESIS_TIME_MS + 9_000)
    behind = chain.transaction("alice", chain.account("bob"))
    other = chain.transaction("alice", chain.account("bob"), amount=3, seq=0, prev=ZERO_HASH)
    assert [slots.vote(item, A) for item in (short, behind)] == [None, None]
    slots.executed([], {}, GENESIS_TIME_MS + 9_000)
    assert slots.vote(other, B) == "conflict"
    slots.executed([], {}, GENESIS_TIME_MS + 9_001)
    assert len(slots) == 0
    assert slots.vote(other, B) is None
    assert slots.vote(behind, B) == "conflict"


def test_a_restart_finds_the_lane_in_whatever_order_records_are_read() -> None:
    """Compaction may put a later promise before its predecessor: neither is forgotten, and no conflict gets a bit."""
    chain = make_test_chain()
    transactions = lane(chain, 6)
    promised = [(transaction, A if index % 2 else B) for index, transaction in enumerate(transactions)]
    for seed in range(20):
        random.Random(seed).shuffle(promised)
        slots = new_slots(chain)
        slots.restore(promised)
        assert len(slots) == 6
        assert slots.anchored == {A: 3, B: 3}
        for index in range(1, 6):
            rival = chain.transaction(
                "alice", chain.account("bob"), amount=99, seq=index, prev=transactions[index - 1].id
            )
            assert slots.vote(rival, A) == "conflict"


def test_a_restart_forgets_what_is_executed_or_expired() -> None:
    """Only what leads on from the executed state at the executed time is taken back."""
    chain = make_test_chain()
    state = chain.chain.first_state()
    accounts = state.accounts
    done, short, behind = (
        chain.transaction("alice", chain.account("bob"), valid_until_ms=GENESIS_TIME_MS + ms)
        for ms in (90_000, 9_000, 90_000)
    )
    fresh = chain.transaction("alice", chain.account("bob"), seq=1, prev=done.id, amount=5)
    accounts[done.body.sender] = accounts[done.body.sender]._replace(next_seq=1, head=done.id)
    slots = new_slots(chain, state)
    slots.executed_ts_ms = GENESIS_TIME_MS + 9_001
    slots.restore([(done, A), (short, A), (behind, A), (fresh, B)])
    assert slots.anchored == {B: 1}


def test_executed_entries_do_not_pile_up_until_they_expire() -> None:
    """Memory follows what is promised now, not what was promised within the days of a validity."""
    chain = make_test_chain(allocations={"alice": 10**12})
    state = chain.chain.first_state()
    accounts, slots = state.accounts, new_slots(chain, state)
    sender = chain.account("alice")
    template = chain.transaction("alice", chain.account("bob"))
    head = ZERO_HASH
    for seq in range(EXPIRY_SLACK + 500):
        transaction_id = seq.to_bytes(32, "big")
        body = msgspec.structs.replace(template.body, seq=seq, prev=head)
        transaction = SignedTransaction(body, template.raw, transaction_id)
        assert slots.vote(transaction, A) is None
        accounts[sender] = accounts[sender]._replace(next_seq=seq + 1, head=transaction_id)
        slots.executed([sender], {sender: (seq, head)}, GENESIS_TIME_MS)
        head = transaction_id
    assert (len(slots), slots.anchored) == (0, {})
    assert len(slots._expiry) <= EXPIRY_SLACK + 2
