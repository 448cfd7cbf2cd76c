"""Rules of the mempool: order per sender, fees across senders, patience, bounds, execution and expiry."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.chain.genesis import Parameters
from supervm.protocol.money.transfer import sign_transfer
from supervm.protocol.state.account import POOLS, Account
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
    Mempool,
)
from supervm.tier_l2_miner.mempool.offers import AGED_US, BACKOFF_US_MAX
from supervm.tier_l2_miner.options import MinerOptions

CHAIN_ID = bytes(range(32))
KEYS = [SigningKey(bytes([9, i]) + bytes(30)) for i in range(4)]
DAY_MS = 86_400_000


def transaction(who=0, seq=0, prev=ZERO_HASH, *, amount=10, fee=1, valid=DAY_MS, to=None):
    return sign_transfer(
        KEYS[who],
        chain_id=CHAIN_ID,
        seq=seq,
        prev=prev,
        to=to or bytes(32),
        amount=amount,
        fee=fee,
        valid_until_ms=valid,
    )


def chain_of(who, count, **how):
    out, prev = [], ZERO_HASH
    for seq in range(count):
        out.append(transaction(who, seq, prev, **how))
        prev = out[-1].id
    return out


class Pool:
    def __init__(self, balance=1_000, **options):
        self.accounts = {key.public: Account(balance, 0, ZERO_HASH, 0) for key in KEYS}
        self.known: set[bytes] = set()
        self.news: list[tuple[bytes, int, str]] = []
        self.pool = Mempool(
            SimpleNamespace(accounts=self.accounts, ts_ms=0),
            Parameters(1),
            MinerOptions(**options),
            lambda peers, identity, level, reason: self.news.append((identity, level, reason)),
            self.known.__contains__,
        )

    def add(self, *transactions, now=0):
        return [self.pool.add(now, item, (b"peer",), None) for item in transactions]

    def take(self, now=0, count=2_000):
        return [entry.transaction for entry in self.pool.take(now, count, 1 << 22)]

    def execute(self, *transactions, now=0, ts_ms=0):
        for item in transactions:
            before = self.accounts[item.body.sender]
            self.accounts[item.body.sender] = Account(before.balance - item.debit, item.body.seq + 1, item.id, 0)
        self.known.update(item.id for item in transactions)
        self.pool.executed(now, dict.fromkeys(item.body.sender for item in transactions), ts_ms)


def test_a_senders_transactions_leave_in_order_of_seq_even_if_they_came_in_reverse():
    pool, chain = Pool(), chain_of(0, 4)
    pool.add(*reversed(chain))
    assert pool.take() == chain


def test_across_senders_the_higher_fee_goes_first_then_the_earlier_arrival():
    pool = Pool()
    low, high, high_later = transaction(0, fee=1), transaction(1, fee=9), transaction(2, fee=9)
    pool.add(low, high, high_later)
    assert pool.take() == [high, high_later, low]


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
    pool.accounts[item.body.sender] = Account(11, 0, ZERO_HASH, 0)
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
    pool.accounts[KEYS[0].public] = Account(1_000, 0, ZERO_HASH, 0)
    pool.pool.executed(1, [KEYS[0].public], 0)
    pool.accounts[KEYS[2].public] = Account(1_000, 0, ZERO_HASH, 0)
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
    pool = Pool(balance=60, mempool_transactions_max=12)
    chains = [chain_of(who, 8, fee=who + 1, valid=5_000 * (who + 2)) for who in range(4)]
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
            account = pool.accounts[KEYS[who].public]
            item = chains[who][account.next_seq] if account.next_seq < 8 else None
            if item is None or item.body.prev != account.head or action == "rival":
                item = transaction(who, account.next_seq, account.head, amount=1)
            if account.balance >= item.debit:
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
            account = pool.accounts[sender]
            assert lane.chain or lane.parked
            assert lane.base == account.next_seq
            assert lane.debit == sum(entry.transaction.debit for entry in lane.chain) <= account.balance
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
