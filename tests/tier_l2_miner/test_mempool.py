"""Rules of the mempool: order per sender, fees across senders, patience, bounds, execution and expiry."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mempool_tools import CHAIN_ID, DAY_MS, KEYS, Pool, chain_of, issue, transaction

from supervm.common.parts.fee_policy import FeePolicy
from supervm.protocol.base.codec import INT_MAX
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.money.transaction import sign_transfer
from supervm.protocol.state.account import POOLS, Account
from supervm.protocol.state.leaves import NATIVE
from supervm.protocol.wire.payments import LEVEL_EXPIRED, LEVEL_R1, LEVEL_R3, LEVEL_REFUSED
from supervm.tier_l2_miner.mempool.mempool import (
    BUSY,
    CONFLICT,
    FUNDS_US_MAX,
    OVERDRAFT,
    POOL,
    PREDECESSOR_DEAD,
    PREDECESSOR_UNKNOWN,
    PREDECESSOR_US_MAX,
    SLOT_USED,
    TOO_LONG,
    WINDOW,
)
from supervm.tier_l2_miner.mempool.offers import AGED_US, BACKOFF_US_MAX, fee_rank

GOLD = b"gold" * 8


def test_a_senders_transactions_leave_in_order_of_seq_even_if_they_came_in_reverse():
    pool, chain = Pool(), chain_of(0, 4)
    pool.add(*reversed(chain))
    assert pool.take() == chain


def test_across_senders_the_higher_fee_goes_first_then_the_earlier_arrival():
    pool = Pool()
    low, high, high_later = transaction(0, fee=1), transaction(1, fee=9), transaction(2, fee=9)
    pool.add(low, high, high_later)
    assert pool.take() == [high, high_later, low]


def test_fees_in_different_assets_are_compared_in_multiples_of_the_least_one_taken():
    pool = Pool(fees=FeePolicy({NATIVE: 1_000, GOLD: 5}))
    for who in range(4):
        pool.give(who, 100, GOLD)
        pool.give(who, 1_000_000)
    twice, most, least, equal = (
        transaction(0, fee=2_000),
        transaction(1, fee=11, fee_asset=GOLD),  # 2.2 times
        transaction(2, fee=1_999),
        transaction(3, fee=10, fee_asset=GOLD),
    )
    pool.add(twice, most, least, equal)
    assert pool.take() == [most, twice, equal, least]


@given(st.lists(st.tuples(st.integers(1, INT_MAX), st.integers(1, INT_MAX)), min_size=2, max_size=8))
def test_the_rank_of_a_fee_is_exact_within_an_asset_and_within_a_step_across(fees):
    for (fee, least), (other, other_least) in itertools.pairwise(fees):
        assert (fee_rank(fee, least) > fee_rank(other, least)) == (fee > other)
        higher = fee * other_least - other * least
        if fee_rank(fee, least) != fee_rank(other, other_least):
            assert (fee_rank(fee, least) > fee_rank(other, other_least)) == (higher > 0)
        else:
            assert abs(higher) << 63 < least * other_least


def test_a_fee_that_is_not_taken_is_refused_with_what_would_be():
    pool = Pool(fees=FeePolicy({GOLD: 5}))
    pool.give(0, 100, GOLD)
    low, other, good = (
        transaction(fee=4, fee_asset=GOLD),
        transaction(fee=1_000),
        transaction(fee=5, fee_asset=GOLD),
    )
    assert pool.add(low, other, good) == [False, False, True]
    reason = f"fee-not-taken: takes at least 5 of {GOLD.hex()}"
    assert pool.news == [(low.id, LEVEL_REFUSED, reason), (other.id, LEVEL_REFUSED, reason)]


def test_money_of_one_asset_that_is_missing_holds_up_its_senders_chain_and_nothing_else():
    pool = Pool(fees=FeePolicy({NATIVE: 1, GOLD: 1}))
    pool.give(0, 25, GOLD)
    pool.give(1, 25, GOLD)
    first = transaction(0, asset=GOLD, amount=20)
    short = transaction(0, 1, first.id, asset=GOLD, amount=6)  # has 5 left
    behind = transaction(0, 2, short.id)  # could be paid, were it its turn
    other = chain_of(1, 2, asset=GOLD, amount=12)
    pool.add(first, short, behind, *other, transaction(2))
    assert sorted(item.id for item in pool.take()) == sorted(item.id for item in (first, *other, transaction(2)))
    pool.give(0, 1, GOLD)
    pool.pool.executed(1, [KEYS[0].public], 0)
    assert pool.take(now=1) == [short, behind]
    assert pool.news == []


def test_a_fee_in_another_asset_is_summed_with_what_the_chain_takes_of_it():
    pool = Pool(fees=FeePolicy({NATIVE: 1, GOLD: 1}))
    pool.give(0, 25, GOLD)
    chain = [transaction(0, amount=990, fee=5, fee_asset=GOLD)]
    chain.append(transaction(0, 1, chain[0].id, asset=GOLD, amount=15, fee=5, fee_asset=GOLD))
    chain.append(transaction(0, 2, chain[1].id, amount=1, fee=1, fee_asset=GOLD))  # 26 of gold
    pool.add(*chain)
    assert pool.take() == chain[:2]
    pool.pool.wake(FUNDS_US_MAX)
    assert pool.news == [(chain[2].id, LEVEL_REFUSED, OVERDRAFT)]
    pool.execute(*chain[:2])
    assert pool.pool._lanes == {}


def test_an_account_that_has_nothing_but_another_asset_pays_with_it():
    pool = Pool(fees=FeePolicy({GOLD: 1}))
    del pool.state.accounts[KEYS[0].public]
    pool.give(0, 12, GOLD)
    item = transaction(asset=GOLD, amount=10, fee_asset=GOLD)
    assert pool.add(item) == [True]
    assert pool.take() == [item]


def test_what_an_issue_makes_can_be_sent_when_the_issue_is_executed():
    pool, made = Pool(), issue()
    sent = transaction(0, 1, made.id, asset=made.id, amount=100)
    pool.add(made, sent)
    assert pool.take() == [made]
    pool.execute(made)
    assert pool.take() == [sent]


def test_after_a_snapshot_every_senders_lane_is_looked_at():
    pool, chain = Pool(balance=0), chain_of(0, 1)
    pool.add(*chain, *chain_of(1, 1))
    pool.give(0, 11)
    pool.give(1, 11)
    pool.pool.executed(1, None, 0)
    assert pool.take(now=1) == [*chain, *chain_of(1, 1)]


def test_what_has_waited_two_seconds_goes_before_any_fee():
    pool = Pool()
    old, rich = transaction(0, fee=1), transaction(1, fee=500)
    pool.add(old, now=0)
    pool.add(rich, now=AGED_US)
    assert pool.take(now=AGED_US, count=1) == [old]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: transaction(seq=5_000), WINDOW),
        (lambda: transaction(to=POOLS["l1"]), POOL),
        (lambda: transaction(valid=8 * DAY_MS), TOO_LONG),
        (lambda: transaction(prev=b"x" * 32), CONFLICT),
    ],
)
def test_what_can_never_be_batched_is_refused_with_its_reason(make, reason):
    pool, item = Pool(), make()
    assert pool.add(item) == [False]
    assert pool.news == [(item.id, LEVEL_REFUSED, reason)]
    assert len(pool.pool) == 0


def test_a_used_slot_is_r3_for_the_transaction_that_used_it_and_refused_for_another():
    pool, first, rival = Pool(), *chain_of(0, 1), transaction(0, amount=11)
    pool.execute(first)
    pool.add(first, rival)
    assert pool.news == [(first.id, LEVEL_R3, ""), (rival.id, LEVEL_REFUSED, SLOT_USED)]


def test_of_two_transactions_for_one_slot_the_first_stays():
    pool, first, rival = Pool(), transaction(0), transaction(0, amount=11)
    assert pool.add(first, rival) == [True, False]
    assert pool.news == [(rival.id, LEVEL_REFUSED, CONFLICT)]
    assert pool.take() == [first]


def test_an_unknown_predecessor_is_waited_for_five_seconds():
    pool, (_, second) = Pool(), chain_of(0, 2)
    pool.add(second)
    assert pool.pool.deadline_us == PREDECESSOR_US_MAX
    pool.pool.wake(PREDECESSOR_US_MAX - 1)
    assert pool.news == []
    pool.pool.wake(PREDECESSOR_US_MAX)
    assert pool.news == [(second.id, LEVEL_REFUSED, PREDECESSOR_UNKNOWN)]
    assert (len(pool.pool), pool.pool.bytes_held, pool.pool.deadline_us) == (0, 0, None)


def test_queued_debits_count_and_missing_money_is_waited_for_a_moment():
    pool, chain = Pool(balance=25), chain_of(0, 3)  # 11 each
    pool.add(*chain)
    assert pool.take() == chain[:2]
    pool.pool.wake(FUNDS_US_MAX)
    assert pool.news == [(chain[2].id, LEVEL_REFUSED, OVERDRAFT)]


def test_money_that_arrives_in_time_lets_a_parked_transaction_go():
    pool, item = Pool(balance=0), transaction(0)
    pool.add(item)
    pool.state.accounts[item.body.sender] = Account(11, 0, ZERO_HASH, 0)
    pool.pool.executed(1, [item.body.sender], 0)
    assert pool.take(now=1) == [item]


def test_the_mempool_is_bounded_in_count_and_bytes():
    by_count = Pool(mempool_transactions_max=2)
    by_count.add(*chain_of(0, 3))
    by_bytes = Pool(mempool_bytes_max=600)
    by_bytes.add(*chain_of(0, 3))
    for pool in (by_count, by_bytes):
        assert [(level, reason) for _, level, reason in pool.news][-1] == (LEVEL_REFUSED, BUSY)
        assert len(pool.pool) == 2
        assert pool.pool.load_percent >= 70


def stranger(number, seq=1, prev=ZERO_HASH, fee=1):
    """A transaction of an account that does not exist, by default with a gap below it."""
    key = SigningKey(number.to_bytes(2, "big") + b"\3" * 30)
    return sign_transfer(
        key, chain_id=CHAIN_ID, seq=seq, prev=prev, to=bytes(32), amount=10, fee=fee, valid_until_ms=DAY_MS
    )


@pytest.mark.parametrize("seq", [0, 1], ids=["unfunded", "gap"])
def test_what_cannot_run_has_a_quarter_of_the_room_and_keeps_nothing_out_that_can(seq):
    pool = Pool(mempool_transactions_max=40)
    pool.add(*(stranger(number, seq) for number in range(100)))
    assert len(pool.pool) == 10
    assert [reason for _, _, reason in pool.news] == [BUSY] * 90
    chains = [chain_of(who, 10) for who in range(4)]
    assert pool.add(*(item for chain in chains for item in chain)) == [True] * 40
    assert [reason for _, _, reason in pool.news] == [BUSY] * 100
    assert len(pool.take()) == 40
    assert pool.add(stranger(200, seq), transaction(0, 10, chains[0][-1].id)) == [False, False]


def test_the_bytes_of_what_cannot_run_have_their_share_too():
    pool = Pool(mempool_bytes_max=4_000)
    pool.add(*(stranger(number) for number in range(100)))
    assert 0 < pool.pool.bytes_held <= 1_000
    assert all(pool.add(*chain_of(0, 10)))


def test_the_sender_with_most_parked_gives_way_with_what_is_furthest_from_execution():
    pool = Pool(mempool_transactions_max=40)
    greedy = [stranger(7, seq) for seq in range(1, 11)]
    assert all(pool.add(*greedy))
    others = [stranger(number) for number in range(100, 109)]
    assert pool.add(*others) == [True] * 9
    assert [identity for identity, _, _ in pool.news] == [item.id for item in reversed(greedy[1:])]
    assert pool.add(stranger(300)) == [False]  # all have one
    assert pool.add(greedy[1]) == [False]


def test_senders_with_money_come_before_those_without():
    pool = Pool(mempool_transactions_max=40)
    pool.add(*(stranger(number) for number in range(10)))
    later = chain_of(0, 8)[1:]
    assert pool.add(*later) == [True] * 7
    assert len(pool.pool) == 10
    assert pool.add(stranger(50)) == [False]
    pool.execute(chain_of(0, 1)[0])
    assert pool.take() == later


def test_a_gap_is_filled_though_the_share_is_full_of_the_senders_own_transactions():
    pool = Pool(mempool_transactions_max=40)
    chain = chain_of(0, 12)
    assert pool.add(*chain[2:]) == [True] * 10
    assert pool.add(chain[1]) == [True]  # parked as well: the one furthest away gives way
    assert pool.news == [(chain[11].id, LEVEL_REFUSED, BUSY)]
    assert pool.add(chain[0]) == [True]
    assert pool.take() == chain[:11]


def test_a_full_mempool_of_what_can_run_is_busy_before_any_signature_is_checked():
    pool = Pool(mempool_transactions_max=4)
    pool.add(*chain_of(0, 4))
    late = transaction(1, fee=100)
    assert pool.pool.decided(late, (b"peer",))
    assert pool.news == [(late.id, LEVEL_REFUSED, BUSY)]


def test_money_that_comes_lets_a_parked_sender_keep_its_place():
    pool = Pool(balance=0, mempool_transactions_max=16)
    pool.add(*chain_of(0, 3)[1:], *chain_of(1, 3)[1:])
    pool.state.accounts[KEYS[0].public] = Account(1_000, 0, ZERO_HASH, 0)
    pool.pool.executed(1, [KEYS[0].public], 0)
    pool.state.accounts[KEYS[2].public] = Account(1_000, 0, ZERO_HASH, 0)
    assert pool.add(*chain_of(2, 3)[1:]) == [True, True]
    assert {identity for identity, _, _ in pool.news} == {item.id for item in chain_of(1, 3)[1:]}


def test_without_quorum_a_transaction_is_offered_again_after_fifty_ms_doubling_to_two_seconds():
    pool, item, now, waits = Pool(), transaction(0), 0, []
    pool.add(item)
    for _ in range(9):
        entries = pool.pool.take(now, 10, 1 << 20)
        pool.pool.requeue(now, entries)
        assert pool.take(now=now) == []
        waits.append(pool.pool.deadline_us - now)
        now = pool.pool.deadline_us
        pool.pool.wake(now)
    assert waits == [50_000 * 2**n for n in range(6)] + [BACKOFF_US_MAX] * 3


def test_successors_wait_behind_a_predecessor_that_backs_off():
    pool, chain = Pool(), chain_of(0, 3)
    pool.add(*chain[:2])
    entries = pool.pool.take(0, 10, 1 << 20)
    pool.pool.requeue(0, entries[:1])
    pool.add(chain[2])
    assert pool.take() == []
    pool.pool.wake(50_000)
    assert pool.take(now=50_000) == [chain[0], chain[2]]


def test_certified_transactions_are_told_and_leave_when_executed():
    pool, chain = Pool(), chain_of(0, 2)
    pool.add(*chain)
    pool.pool.certified(pool.pool.take(0, 10, 1 << 20))
    pool.execute(*chain)
    assert pool.news == [(t.id, LEVEL_R1, "") for t in chain] + [(t.id, LEVEL_R3, "") for t in chain]
    assert len(pool.pool) == 0


def test_execution_elsewhere_lets_parked_successors_connect():
    pool, chain = Pool(), chain_of(0, 3)
    pool.add(chain[2], chain[1])
    pool.execute(chain[0])
    assert pool.take() == chain[1:]


def test_when_another_transaction_takes_the_slot_the_queue_behind_it_is_dead():
    pool, chain, rival = Pool(), chain_of(0, 3), transaction(0, amount=11)
    pool.add(*chain)
    pool.execute(rival)
    assert pool.news == [
        (chain[0].id, LEVEL_REFUSED, SLOT_USED),
        (chain[1].id, LEVEL_REFUSED, PREDECESSOR_DEAD),
        (chain[2].id, LEVEL_REFUSED, PREDECESSOR_DEAD),
    ]
    following = transaction(0, 1, rival.id)
    pool.add(following)
    assert pool.take() == [following]


def test_expiry_is_measured_by_executed_time_and_takes_the_successors_along():
    pool = Pool()
    first = transaction(0, valid=10_000)
    second = transaction(0, 1, first.id)
    parked = transaction(1, 3, b"y" * 32, valid=10_000)
    pool.add(first, second, parked)
    pool.pool.executed(0, [], 10_000)
    assert pool.news == []
    pool.pool.executed(0, [], 10_001)
    assert sorted(pool.news) == sorted(
        [(second.id, LEVEL_REFUSED, PREDECESSOR_DEAD), (first.id, LEVEL_EXPIRED, ""), (parked.id, LEVEL_EXPIRED, "")]
    )
    again = transaction(0, amount=3)
    assert pool.add(again) == [True]
    pool.add(first)
    assert pool.news[-1] == (first.id, LEVEL_EXPIRED, "")


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "take", "requeue", "certify", "execute", "rival", "tick", "expire"]),
        st.integers(0, 3),
        st.integers(0, 7),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_any_history_keeps_order_bounds_and_one_fate_per_transaction(steps):
    pool = Pool(balance=60, fees=FeePolicy({NATIVE: 1, GOLD: 2}), mempool_transactions_max=12)
    chains = []
    for who in range(4):  # every mix of what is moved and what pays the fee
        pool.give(who, 45, GOLD)
        asset, fee_asset = (NATIVE, GOLD)[who % 2], (NATIVE, GOLD)[who // 2]
        chains.append(chain_of(who, 8, fee=who + 1, valid=5_000 * (who + 2), asset=asset, fee_asset=fee_asset))
    out, now, ts_ms, attempts = [], 0, 0, 0
    for action, who, which in steps:
        now += 10_000
        if action == "add":
            if chains[who][which].id not in pool.pool:
                pool.add(chains[who][which], now=now)
                attempts += 1
        elif action == "take":
            taken = pool.pool.take(now, which + 1, 1 << 20)
            assert len(taken) <= which + 1
            seqs: dict[bytes, int] = {}
            for entry in taken:
                body = entry.transaction.body
                assert body.seq > seqs.get(body.sender, -1)
                seqs[body.sender] = body.seq
            out += taken
        elif action == "requeue":
            pool.pool.requeue(now, out[:which])
            del out[:which]
        elif action == "certify":
            pool.pool.certified(out[:which])
            del out[:which]
        elif action in ("execute", "rival"):
            account = pool.state.accounts[KEYS[who].public]
            item = chains[who][account.next_seq] if account.next_seq < 8 else None
            if item is None or item.body.prev != account.head or action == "rival":
                item = transaction(who, account.next_seq, account.head, amount=1)
            if pool.affords(item):
                pool.execute(item, now=now, ts_ms=ts_ms)
        elif action == "tick":
            now += 1_000_000 * which
            pool.pool.wake(now)
        else:
            ts_ms += 1_000 * which
            pool.pool.executed(now, [], ts_ms)
        mempool = pool.pool
        assert len(mempool) <= 12
        assert mempool.bytes_held == sum(len(entry.transaction.raw) for entry in mempool._entries.values())
        assert mempool.queued == sum(entry.state == 1 for entry in mempool._entries.values())
        parked = [entry for lane in mempool._lanes.values() for entry in lane.parked.values()]
        assert mempool._parking.count == len(parked) <= 3
        assert mempool._parking.size == sum(len(entry.transaction.raw) for entry in parked)
        for sender, lane in mempool._lanes.items():
            account = pool.state.accounts[sender]
            assert lane.chain or lane.parked
            assert lane.base == account.next_seq
            owed: dict[bytes, int] = {}
            for entry in lane.chain:
                for asset, amount in entry.transaction.debits:
                    owed[asset] = owed.get(asset, 0) + amount
            assert lane.owed == owed
            assert all(amount <= pool.state.balance(sender, asset) for asset, amount in owed.items())
            head = account.head
            for position, entry in enumerate(lane.chain):
                assert (entry.transaction.body.seq, entry.transaction.body.prev) == (lane.base + position, head)
                head = entry.transaction.id
            states = [entry.state for entry in lane.chain]
            assert set(lane.parked.values()) == {
                entry
                for entry in mempool._entries.values()
                if entry.state == 0 and entry.transaction.body.sender == sender
            }
            assert lane.cursor == (states.index(1) if 1 in states else len(states))
    pool.pool.executed(now, [], 10**9)
    assert sum(level != LEVEL_R1 for _, level, _ in pool.news) == attempts
    assert (len(pool.pool), pool.pool.bytes_held, pool.pool.queued, pool.pool._lanes) == (0, 0, 0, {})
