"""The pure parts of `bench network`: schedule, percentiles, search, accounts, /proc, and what a block costs."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from supervm.common.bench.open_loop.accounts import Owners
from supervm.common.bench.open_loop.costs import Seen, block_cost_s, by_tier, per_day
from supervm.common.bench.open_loop.load import StepResult
from supervm.common.bench.open_loop.schedule import Schedule, percentile
from supervm.common.bench.open_loop.search import RateSearch
from supervm.common.bench.procfs import Memory, Usage, folder_bytes, memory_of, parse_cpu_ticks, parse_fields, usage_of
from supervm.common.errors import CommonError
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.money.transaction import parse_transaction
from supervm.protocol.state.account import FLAG_FAILED, Account

CHAIN_ID = bytes(range(32))


@pytest.mark.parametrize(
    ("rate", "seconds", "count", "elapsed_s", "due"),
    [
        (10, 30, 300, -0.001, 0),
        (10, 30, 300, 0.0, 1),
        (10, 30, 300, 0.0999, 1),
        (10, 30, 300, 0.1, 2),
        (10, 30, 300, 29.9, 300),
        (10, 30, 300, 1e9, 300),
        (0.1, 1, 1, 5, 1),
        (1_500.5, 2, 3_001, 1, 1_501),
    ],
)
def test_a_schedule_does_not_wait(rate: float, seconds: float, count: int, elapsed_s: float, due: int) -> None:
    schedule = Schedule(rate, seconds)
    assert schedule.count == count
    assert schedule.due_by(elapsed_s) == due


@pytest.mark.parametrize("rate", [0.5, 3, 7.7, 999, 12_345.6])
def test_what_is_due_by_its_own_time_is_due(rate: float) -> None:
    schedule = Schedule(rate, 10)
    for number in range(0, schedule.count, 7):
        assert schedule.due_by(schedule.due_s(number)) == number + 1


@pytest.mark.parametrize(
    ("count", "per_cent", "value"),
    [(1, 50, 1), (1, 99, 1), (100, 50, 50), (100, 99, 99), (101, 99, 100), (1_000, 99, 990), (7, 100, 7), (7, 0, 1)],
)
def test_percentiles_are_values_that_were_measured(count: int, per_cent: float, value: float) -> None:
    assert percentile([float(number) for number in range(1, count + 1)], per_cent) == value


def result_of(latencies_s: list[float], *, sent: int | None = None, unproved: int = 0) -> StepResult:
    count = len(latencies_s)
    return StepResult(Schedule(count, 1), count if sent is None else sent, sorted(latencies_s), unproved, 1.0)


@pytest.mark.parametrize(
    ("result", "holds"),
    [
        (result_of([0.1] * 99 + [9.0]), True),
        (result_of([0.1] * 98 + [1.0, 9.0]), False),
        (result_of([0.1] * 100, unproved=1), False),
        (result_of([0.1] * 100, sent=99), False),
        (StepResult(Schedule(1, 1), 1), False),
    ],
)
def test_a_rate_holds_if_all_is_proved_and_nearly_all_in_time(result: StepResult, holds: bool) -> None:
    assert result.holds(1.0) is holds


def test_a_step_without_a_proof_has_no_latency() -> None:
    with pytest.raises(CommonError, match="of 5 payments at 5/s not one was proved"):
        StepResult(Schedule(5, 1), 5).latency_s(50)


@pytest.mark.parametrize("first", [1, 20, 200, 1_000, 9_000])
@pytest.mark.parametrize("capacity", [3.7, 150, 1_999, 60_000])
@pytest.mark.parametrize("growth", [1.2, 1.5])
def test_a_search_ends_close_below_what_the_network_bears(first: float, capacity: float, growth: float) -> None:
    search = RateSearch(first, growth=growth, precision=1.05)
    while (look := search.look) is not None:
        search.told(look.rate <= capacity)
    assert search.found is not None
    assert capacity / 1.05 <= search.found <= capacity
    assert search.tried < 80


def test_a_rate_is_only_found_if_it_held_for_the_full_time() -> None:
    """Short looks say yes up to 1,000; for long a network bears no more than 600."""
    search = RateSearch(100, growth=1.5, precision=1.06)
    long = []
    while (look := search.look) is not None:
        if look.is_long:
            long.append(look.rate)
        search.told(look.rate <= (600 if look.is_long else 1_000))
    assert search.found == long[-1] <= 600
    assert long == sorted(long, reverse=True)
    assert all(rate > 600 for rate in long[:-1])


def test_a_network_that_bears_nothing_ends_the_search() -> None:
    search = RateSearch(50, growth=1.5, precision=1.06)
    while search.look is not None:
        search.told(held=False)
    search.told(held=True)
    assert search.found is None


@pytest.mark.parametrize(("capacity", "found"), [(10_000, 300), (300, 300), (200, 200)])
def test_nothing_is_tried_above_the_ceiling(capacity: float, found: float) -> None:
    search, rates = RateSearch(50, growth=1.5, precision=1.01, ceiling=300), []
    while (look := search.look) is not None:
        rates.append(look.rate)
        search.told(look.rate <= capacity)
    assert max(rates) <= 300
    assert search.found == pytest.approx(found, rel=0.01)


def test_noise_does_not_keep_a_search_going() -> None:
    rng = random.Random(7)
    for _ in range(200):
        search = RateSearch(100, growth=1.5, precision=1.06)
        while (look := search.look) is not None:
            search.told(look.rate * rng.uniform(0.7, 1.4) <= 1_000)
        assert search.tried < 200


def test_payments_of_an_account_stand_one_behind_the_other() -> None:
    owners = Owners(5, 2, seed=3)
    assert [len(owners.of_client(number)) for number in range(2)] == [3, 2]
    payments = owners.sign(100, chain_id=CHAIN_ID, via=b"v" * 32, now_ms=1_000)
    heads: dict[bytes, bytes] = {}
    counts: dict[bytes, int] = {}
    for payment in payments:
        body = parse_transaction(payment.raw, CHAIN_ID).body
        assert body.prev == heads.get(body.sender, ZERO_HASH)
        assert body.seq == counts.get(body.sender, 0) == payment.seq
        assert body.sender == payment.owner.account != body.to
        assert body.to in owners.by_account
        heads[body.sender], counts[body.sender] = payment.id, body.seq + 1
    owners.unsend(payments[40:])
    for payment in payments[40:]:
        assert payment.seq >= payment.owner.seq
    again = owners.sign(1, chain_id=CHAIN_ID, via=b"", now_ms=1_000)[0]
    sent = [payment for payment in payments[:40] if payment.owner is again.owner]
    assert (again.seq, again.prev) == (len(sent), sent[-1].id if sent else ZERO_HASH)


def test_a_proof_of_an_account_shows_its_payments() -> None:
    owners = Owners(2, 1, seed=1)
    payments = [payment for payment in owners.sign(6, chain_id=CHAIN_ID, via=b"", now_ms=1) if payment.owner.seq]
    owner = payments[0].owner
    mine = [payment for payment in payments if payment.owner is owner]
    owner.open.extend(mine)
    assert owner.prove(Account(1, 0, ZERO_HASH, 0), 1.0) == []
    assert owner.prove(Account(1, 1, mine[0].id, 0), 2.0) == [mine[0]]
    assert mine[0].proved_s == 2.0
    with pytest.raises(CommonError, match="was not signed here"):
        owner.prove(Account(1, len(mine), b"x" * 32, 0), 3.0)
    with pytest.raises(CommonError, match="more than f faults"):
        owner.prove(Account(1, 1, mine[0].id, FLAG_FAILED), 3.0)


def test_what_proc_says_is_read_whatever_a_program_is_called() -> None:
    stat = "71 (a (b) c) S 1 71 71 0 -1 4194304 11 22 0 0 250 31 7 8 20 0 1 0 99 1 2"
    assert parse_cpu_ticks(stat) == 281
    status = "Name:\tpython\nVmRSS:\t  40 kB\nvoluntary_ctxt_switches:\t17\nnonvoluntary_ctxt_switches:\t3\n"
    assert parse_fields(status) == {"VmRSS": 40, "voluntary_ctxt_switches": 17, "nonvoluntary_ctxt_switches": 3}
    rollup = "5566-7788 ---p 00000000 00:00 0    [rollup]\nRss:  1024 kB\nPss:   512 kB\nPss_Anon:  1 kB\n"
    assert parse_fields(rollup) == {"Rss": 1024, "Pss": 512, "Pss_Anon": 1}
    assert parse_fields("rchar: 1\nwrite_bytes: 8192\ncancelled_write_bytes: 0\n")["write_bytes"] == 8192


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="only Linux has /proc")
def test_this_process_is_one_of_those_that_can_be_looked_at() -> None:
    before = usage_of(os.getpid())
    sum(range(10**6))
    used = usage_of(os.getpid()) - before
    assert used.cpu_s >= 0
    assert used.wakeups >= 0
    memory = memory_of(os.getpid())
    assert 0 < memory.pss <= memory.rss
    assert usage_of(2**22 + 1) == Usage()
    assert memory_of(2**22 + 1) == Memory()


def test_a_folder_has_the_bytes_of_all_that_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "a").write_bytes(bytes(100))
    (tmp_path / "in" / "b").write_bytes(bytes(23))
    assert folder_bytes(tmp_path) == 123


def seen(payments_per_s: float, blocks_per_s: float, block_s: float, payment_s: float, rest_s: float = 0.02) -> Seen:
    """Return ten seconds of a network with these costs."""
    cpu_s = 10 * (rest_s + blocks_per_s * block_s + payments_per_s * payment_s)
    return Seen(round(10 * payments_per_s), 10.0, {1: cpu_s * 0.75, 3: cpu_s * 0.25}, 0.1, round(10 * blocks_per_s))


@pytest.mark.parametrize(("block_s", "payment_s"), [(0.05, 0.0007), (0.002, 0.004), (0.0, 0.001)])
def test_the_cost_of_a_block_comes_out_of_three_rates(block_s: float, payment_s: float) -> None:
    idle, slow, fast = (seen(*rates, block_s, payment_s) for rates in ((0, 0.1), (10, 9.8), (1_000, 6)))
    cost_s = block_cost_s(idle, slow, fast)
    assert cost_s == (pytest.approx(block_s) if block_s else None) or cost_s == pytest.approx(0, abs=1e-9)


def test_two_rates_that_say_the_same_tell_no_cost() -> None:
    idle, slow = seen(0, 0.1, 0.05, 0.001), seen(10, 9.8, 0.05, 0.001)
    assert block_cost_s(idle, slow, slow) is None


def test_figures_of_nodes_are_summed_by_tier_and_brought_to_a_day() -> None:
    assert by_tier({"l1-0": 1.0, "l1-1": 2.0, "l3-0": 4.0}, {"l1-0": 1, "l1-1": 1, "l3-0": 3}) == {1: 3.0, 3: 4.0}
    assert per_day(10, 30) == 28_800
    assert Usage(2.0, 5, 7) - Usage(1.0, 2, 3) == Usage(1.0, 3, 4)
    assert Memory(1, 2) + Memory(3, 4) == Memory(4, 6)
