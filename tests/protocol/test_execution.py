"""The state transition: what executes, what is skipped, who is paid; no grain is made or lost (consensus.md 3.5)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from chain_tools import VALID_UNTIL_MS, make_test_chain, test_key
from hypothesis import given, settings
from hypothesis import strategies as st

from supervm.protocol.base.codec import INT_MAX
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.batch_certificate import CertifiedBatch
from supervm.protocol.money.execution import STATUS_EXECUTED, STATUS_FAILED, BlockResult, can_execute, execute_block
from supervm.protocol.money.fees import DEFAULT_SHARES_BPS, split_fee
from supervm.protocol.money.transaction import SignedTransaction
from supervm.protocol.state.account import EMPTY_ACCOUNT, FLAG_FAILED, POOL_ACCOUNTS, POOLS, Account
from supervm.protocol.state.leaves import NATIVE
from supervm.protocol.state.state import State

NAMES = ("alice", "bob", "carol", "dave")
KEYS = {name: test_key(name).public for name in NAMES}
EDGES = (test_key("edge0").public, test_key("edge1").public)
TS_MS = VALID_UNTIL_MS - 1_000


CHAIN = make_test_chain(1, {"alice": 1_000_000, "bob": 1_000_000}, miners=2)
START = CHAIN.chain.first_state().accounts
MINER_PAYOUTS = [CHAIN.account(f"miner-payout{index}") for index in range(2)]


def batch(
    transactions: Sequence[SignedTransaction],
    certified: int | None = None,
    *,
    miner: int = 0,
) -> CertifiedBatch:
    signed = CHAIN.batch(transactions, miner=miner)
    bits = (1 << len(transactions)) - 1 if certified is None else certified
    return CertifiedBatch(signed.header, transactions, bits)


def run(batches: Iterable[CertifiedBatch], accounts: dict[bytes, Account] | None = None, **options: int) -> BlockResult:
    return execute_block(
        State(START if accounts is None else accounts),
        list(batches),
        ts_ms=options.get("ts_ms", TS_MS),
        payout_of_miner=CHAIN.chain.payout_of_miner,
        fee_shares_bps=DEFAULT_SHARES_BPS,
    )


def chained(sender: str, *steps: tuple[str, int, int], via: bytes = b"") -> list[SignedTransaction]:
    """A chain of transactions (to, amount, fee) from the sender's first slot on."""
    made: list[SignedTransaction] = []
    for to, amount, fee in steps:
        prev = made[-1].id if made else ZERO_HASH
        made.append(CHAIN.transaction(sender, KEYS[to], amount, fee, seq=len(made), prev=prev, via=via))
    return made


def applied(accounts: dict[bytes, Account], result: BlockResult) -> dict[bytes, Account]:
    return accounts | result.change.accounts


# --- one transaction
# ---------------------------------------------------------------------------------------------------


def test_a_payment_moves_amount_and_fee_and_chains_the_account() -> None:
    (transaction,) = chained("alice", ("carol", 300, 10), via=EDGES[1])
    result = run([batch([transaction])])
    assert result.change.accounts == dict(
        sorted(
            {
                KEYS["alice"]: Account(1_000_000 - 310, 1, transaction.id, 0),
                KEYS["carol"]: Account(300, 0, ZERO_HASH, 0),
                POOLS["l1"]: Account(4, 0, ZERO_HASH, 0),
                MINER_PAYOUTS[0]: Account(3, 0, ZERO_HASH, 0),
                EDGES[1]: Account(2, 0, ZERO_HASH, 0),
                POOLS["l4"]: Account(1, 0, ZERO_HASH, 0),
            }.items()
        )
    )
    (receipt,) = result.receipts
    assert (receipt.transaction_id, receipt.status, receipt.fee) == (transaction.id, STATUS_EXECUTED, 10)
    assert (receipt.next_seq, receipt.position) == (1, 0)
    assert (result.fees, result.change.holdings) == ({NATIVE: (4, 3, 2, 1)}, {})
    assert result.failed == ()


def test_without_edge_the_part_goes_to_the_pool_of_l3() -> None:
    result = run([batch(chained("alice", ("carol", 1, 10)))])
    assert result.change.accounts[POOLS["l3"]].balance == 2
    assert EDGES[0] not in result.change.accounts


def test_the_part_of_an_unknown_miner_goes_to_the_treasury() -> None:
    result = execute_block(
        State(START),
        [batch(chained("alice", ("carol", 1, 10)))],
        ts_ms=TS_MS,
        payout_of_miner={},
        fee_shares_bps=DEFAULT_SHARES_BPS,
    )
    assert result.change.accounts[POOLS["treasury"]].balance == 3


def test_a_payment_to_oneself_costs_the_fee_only() -> None:
    result = run([batch(chained("alice", ("alice", 500, 10)))])
    assert result.change.accounts[KEYS["alice"]].balance == 1_000_000 - 10


def test_the_whole_balance_can_be_paid_and_the_empty_account_stays() -> None:
    (transaction,) = chained("alice", ("carol", 999_990, 10))
    result = run([batch([transaction])])
    assert result.change.accounts[KEYS["alice"]] == Account(0, 1, transaction.id, 0)


def test_an_earner_that_also_pays_is_credited_after_the_last_transaction() -> None:
    """The sender's own fee income of this block never pays for its next transaction in it."""
    accounts = {EDGES[0]: Account(15, 0, ZERO_HASH, 0)}
    first = CHAIN.transaction("edge0", KEYS["bob"], 5, 10, seq=0, prev=ZERO_HASH, via=EDGES[0])
    second = CHAIN.transaction("edge0", KEYS["bob"], 1, 1, seq=1, prev=first.id, via=EDGES[0])
    result = run([batch([first, second])], accounts)
    assert result.failed == (second.id,)
    assert result.change.accounts[EDGES[0]] == Account(2, 2, second.id, FLAG_FAILED)


def test_income_of_the_same_block_can_be_spent_in_it() -> None:
    (income,) = chained("alice", ("carol", 100, 1))
    (spend,) = chained("carol", ("bob", 99, 1))
    result = run([batch([income, spend])])
    assert [receipt.status for receipt in result.receipts] == [STATUS_EXECUTED, STATUS_EXECUTED]
    assert result.change.accounts[KEYS["carol"]] == Account(0, 1, spend.id, 0)


# --- what is skipped ------------------------------------------------------------------------------------------------


def test_nothing_to_execute_changes_nothing() -> None:
    result = run([])
    assert (result.change.leaves(), result.receipts, result.fees) == ({}, (), {})
    assert result.receipts_root == ZERO_HASH
    assert run([batch(chained("alice", ("bob", 1, 1)), certified=0)]).change.accounts == {}


@pytest.mark.parametrize(
    ("seq", "prev", "executes"),
    [(0, ZERO_HASH, True), (1, ZERO_HASH, False), (0, b"p" * 32, False), (INT_MAX, ZERO_HASH, False)],
)
def test_only_the_next_slot_executes(seq: int, prev: bytes, executes: bool) -> None:
    transaction = CHAIN.transaction("alice", KEYS["bob"], 1, 1, seq=seq, prev=prev)
    assert can_execute(transaction, START[KEYS["alice"]], TS_MS) is executes
    assert len(run([batch([transaction])]).receipts) == executes


@pytest.mark.parametrize(
    ("ts_ms", "executes"), [(0, True), (VALID_UNTIL_MS, True), (VALID_UNTIL_MS + 1, False), (INT_MAX, False)]
)
def test_the_block_time_decides_on_expiry(ts_ms: int, executes: bool) -> None:
    result = run([batch(chained("alice", ("bob", 1, 1)))], ts_ms=ts_ms)
    assert bool(result.change.accounts) is executes
    assert len(result.receipts) == executes


def test_a_skipped_transaction_leaves_its_slot_free() -> None:
    expired = CHAIN.transaction("alice", KEYS["bob"], 1, 1, seq=0, prev=ZERO_HASH, valid_until_ms=TS_MS - 1)
    fresh = CHAIN.transaction("alice", KEYS["bob"], 2, 1, seq=0, prev=ZERO_HASH)
    after_expired = CHAIN.transaction("alice", KEYS["bob"], 3, 1, seq=1, prev=expired.id)
    result = run([batch([expired, after_expired, fresh])])
    assert [receipt.transaction_id for receipt in result.receipts] == [fresh.id]


def test_bits_that_are_not_certified_are_skipped() -> None:
    transactions = chained("alice", ("bob", 1, 1), ("bob", 2, 1), ("bob", 3, 1))
    assert [receipt.next_seq for receipt in run([batch(transactions, certified=0b011)]).receipts] == [1, 2]
    assert [receipt.next_seq for receipt in run([batch(transactions, certified=0b101)]).receipts] == [1]
    assert run([batch(transactions, certified=0b110)]).receipts == ()


def test_a_successor_before_its_predecessor_waits_for_a_later_block() -> None:
    first, second = chained("alice", ("bob", 1, 1), ("bob", 2, 1))
    assert [receipt.transaction_id for receipt in run([batch([second, first])]).receipts] == [first.id]
    assert len(run([batch([second]), batch([first]), batch([second])]).receipts) == 2


def test_one_transaction_in_several_batches_is_one_payment_and_pays_the_first() -> None:
    (transaction,) = chained("alice", ("carol", 5, 10), via=EDGES[1])
    copies = [batch([transaction, transaction], miner=1), batch([transaction], miner=0)]
    result = run([*copies, *copies])
    assert result.change.accounts[KEYS["carol"]].balance == 5
    assert (result.change.accounts[MINER_PAYOUTS[1]].balance, result.change.accounts[EDGES[1]].balance) == (3, 2)
    assert MINER_PAYOUTS[0] not in result.change.accounts
    assert EDGES[0] not in result.change.accounts
    later = run(copies, applied(START, result))
    assert (later.change.accounts, later.receipts) == ({}, ())


def test_of_two_transactions_for_one_slot_the_first_in_chain_order_executes() -> None:
    left = CHAIN.transaction("alice", KEYS["bob"], 1, 1, seq=0, prev=ZERO_HASH)
    right = CHAIN.transaction("alice", KEYS["carol"], 2, 1, seq=0, prev=ZERO_HASH)
    for first, second in ((left, right), (right, left)):
        assert [receipt.transaction_id for receipt in run([batch([first]), batch([second])]).receipts] == [first.id]


# --- failure --------------------------------------------------------------------------------------------------------


def test_an_under_run_consumes_the_slot_takes_nothing_and_is_reported() -> None:
    poor = chained("alice", ("carol", 1_000_000, 1), ("carol", 7, 1))
    result = run([batch(poor)])
    assert [receipt.status for receipt in result.receipts] == [STATUS_FAILED, STATUS_EXECUTED]
    assert (result.receipts[0].fee, result.receipts[0].next_seq) == (0, 1)
    assert result.failed == (poor[0].id,)
    assert result.change.accounts[KEYS["alice"]] == Account(1_000_000 - 8, 2, poor[1].id, FLAG_FAILED)
    assert result.change.accounts[KEYS["carol"]].balance == 7
    assert run([batch(poor)]) == result


def test_a_sender_that_does_not_exist_fails_the_same_way() -> None:
    (transaction,) = chained("dave", ("bob", 1, 1))
    result = run([batch([transaction])])
    assert result.change.accounts == {KEYS["dave"]: Account(0, 1, transaction.id, FLAG_FAILED)}


@pytest.mark.parametrize("name", POOLS)
def test_a_pool_is_never_paid_by_a_transaction(name: str) -> None:
    transaction = CHAIN.transaction("alice", POOLS[name], 5, 1, seq=0, prev=ZERO_HASH)
    result = run([batch([transaction])])
    assert result.failed == (transaction.id,)
    assert list(result.change.accounts) == [KEYS["alice"]]
    assert result.change.accounts[KEYS["alice"]].balance == 1_000_000


def test_the_greatest_amounts_do_not_overflow() -> None:
    accounts = {KEYS["alice"]: Account(INT_MAX, 0, ZERO_HASH, 0)}
    huge = CHAIN.transaction("alice", KEYS["bob"], INT_MAX, INT_MAX, seq=0, prev=ZERO_HASH)
    assert run([batch([huge])], accounts).failed == (huge.id,)
    most = CHAIN.transaction("alice", KEYS["bob"], 1, INT_MAX - 1, seq=0, prev=ZERO_HASH)
    result = run([batch([most])], accounts)
    assert sum(account.balance for account in result.change.accounts.values()) == INT_MAX


# --- whole blocks ---------------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.sampled_from(NAMES),
        st.sampled_from(NAMES),
        st.integers(1, 1_200_000) | st.integers(1, 50),
        st.integers(1, 30),
        st.sampled_from(("next", "next", "next", "again", "fork", "late", "gap")),
        st.integers(0, 2),
    ),
    max_size=14,
)


def story(steps: list[tuple[str, str, int, int, str, int]]) -> list[CertifiedBatch]:
    """Batches with good transactions, copies, forks, gaps and expired ones, by up to three miners' turns."""
    heads: dict[str, tuple[int, bytes]] = {}
    parts: list[list[SignedTransaction]] = [[], [], []]
    seen: list[SignedTransaction] = []
    for sender, to, amount, fee, how, part in steps:
        seq, prev = heads.get(sender, (0, ZERO_HASH))
        if how == "again" and seen:
            parts[part].append(seen[amount % len(seen)])
            continue
        transaction = CHAIN.transaction(
            sender,
            KEYS[to],
            amount,
            fee,
            seq=seq + (how == "gap"),
            prev=prev,
            valid_until_ms=TS_MS - (how == "late"),
            via=(*EDGES, b"")[len(seen) % 3],
        )
        if how in ("next", "again"):
            heads[sender] = (seq + 1, transaction.id)
        seen.append(transaction)
        parts[part].append(transaction)
    return [
        batch(
            transactions,
            certified=(1 << len(transactions)) - 1 - (len(transactions) > 2) * 0b100,
            miner=index % 2,
        )
        for index, transactions in enumerate(parts)
        if transactions
    ]


def reference(accounts: dict[bytes, Account], batches: list[CertifiedBatch]) -> dict[bytes, Account]:
    """The rules once more, as plainly as they can be written: one account at a time, a new dict at every step."""
    state = dict(accounts)
    income: list[tuple[bytes, int]] = []
    for part in batches:
        for index, transaction in enumerate(part.transactions):
            body = transaction.body
            old = state.get(body.sender, EMPTY_ACCOUNT)
            certified = bool(part.certified & (1 << index))
            if not certified or (body.seq, body.prev) != (old.next_seq, old.head) or body.valid_until_ms < TS_MS:
                continue
            if old.balance < body.amount + body.fee:
                state[body.sender] = Account(old.balance, old.next_seq + 1, transaction.id, FLAG_FAILED)
                continue
            state[body.sender] = Account(
                old.balance - body.amount - body.fee, old.next_seq + 1, transaction.id, old.flags
            )
            to = state.get(body.to, EMPTY_ACCOUNT)
            state[body.to] = Account(to.balance + body.amount, to.next_seq, to.head, to.flags)
            edge = body.via or POOLS["l3"]
            miner = CHAIN.chain.payout_of_miner[part.header.miner]
            income += zip((POOLS["l1"], miner, edge, POOLS["l4"]), split_fee(body.fee), strict=True)
    for earner, grain in income:
        old = state.get(earner, EMPTY_ACCOUNT)
        if grain:
            state[earner] = Account(old.balance + grain, old.next_seq, old.head, old.flags)
    return state


@given(STEPS)
@settings(max_examples=150, deadline=None)
def test_random_blocks_conserve_money_and_follow_the_rules(steps: list[tuple[str, str, int, int, str, int]]) -> None:
    batches = story(steps)
    before = dict(START)
    result = run(batches, before)
    assert before == START  # the input is not changed
    after = applied(before, result)
    assert sum(account.balance for account in after.values()) == CHAIN.chain.supply
    assert all(account.balance >= 0 for account in after.values())
    assert sum(map(sum, result.fees.values())) == sum(receipt.fee for receipt in result.receipts)
    assert list(result.change.accounts) == sorted(result.change.accounts)
    assert [receipt.position for receipt in result.receipts] == list(range(len(result.receipts)))
    ids = [receipt.transaction_id for receipt in result.receipts]
    assert len(dict.fromkeys(ids)) == len(ids)
    assert result.failed == tuple(r.transaction_id for r in result.receipts if r.status == STATUS_FAILED)
    assert after == reference(before, batches)
    assert run(batches, before) == result
    assert run(batches, dict(reversed(before.items()))) == result
    # C5: what the receipts say adds up to what the state says
    taken = sum(before.get(key, EMPTY_ACCOUNT).balance - after[key].balance for key in after if key in KEYS.values())
    assert taken == sum(receipt.fee for receipt in result.receipts)


@given(STEPS)
@settings(max_examples=60, deadline=None)
def test_executing_a_block_again_skips_everything_that_executed(
    steps: list[tuple[str, str, int, int, str, int]],
) -> None:
    batches = story(steps)
    first = run(batches)
    second = run(batches, applied(START, first))
    done = {receipt.transaction_id for receipt in first.receipts}
    assert done.isdisjoint(receipt.transaction_id for receipt in second.receipts)


@given(STEPS)
@settings(max_examples=60, deadline=None)
def test_splitting_batches_at_their_border_over_two_blocks_executes_the_same_transactions(
    steps: list[tuple[str, str, int, int, str, int]],
) -> None:
    batches = story(steps)
    state, receipts = dict(START), []
    for part in batches:
        result = run([part], state)
        state = applied(state, result)
        receipts += [(receipt.transaction_id, receipt.status, receipt.next_seq) for receipt in result.receipts]
    whole = run(batches)
    assert receipts == [(receipt.transaction_id, receipt.status, receipt.next_seq) for receipt in whole.receipts]
    assert state == applied(START, whole)


def test_pools_are_distinct_accounts() -> None:
    assert len(POOL_ACCOUNTS) == len(POOLS) == 4
