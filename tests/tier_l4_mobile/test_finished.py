"""Rules of finished payments: once they are on disk they leave memory, and are found, counted and listed as before."""

from __future__ import annotations

import gc
import time
import tracemalloc
from dataclasses import replace
from itertools import count

import pytest
from chain_tools import test_key
from mobile_tools import START_US as NOW_US
from mobile_tools import Network, make_queue

from supervm.common.storage.memory import MemoryStore
from supervm.common.storage.sql import SqlStore
from supervm.tier_l4_mobile.tables import FINISHED, PAYMENTS, TABLES
from supervm.tier_l4_mobile.wallet.changes import CHANGES_KEPT, RECENT_US
from supervm.tier_l4_mobile.wallet.finished import PAGE_ROWS, Finished
from supervm.tier_l4_mobile.wallet.payments import CANCELLED, CLOSED, EXECUTED, QUEUED, R4, REFUSED, Payment
from supervm.tier_l4_mobile.wallet.queue import PaymentQueue

ALICE, BOB = test_key("alice").public, test_key("bob").public
MANY = 100_000


class Phone:
    """A queue whose writes are durable when it is said."""

    def __init__(self, store: MemoryStore | SqlStore) -> None:
        self.network = Network(alice=10**9)
        self.store = store
        self.writes = 0
        self.restart()

    def restart(self) -> None:
        self.queue: PaymentQueue = make_queue(self.network, self.store)
        self.queue.started(NOW_US)

    def pay(self, key: str = "") -> Payment:
        return self.queue.add(NOW_US, ALICE, BOB, amount=1, fee=1, valid_until_ms=NOW_US // 1000 + 10**6, key=key)

    def write(self) -> None:
        """Make everything durable; the queue is not told yet."""
        self.store.commit(self.queue.take_records())
        self.writes += 1
        self.queue.wrote(self.writes)

    def told(self, now_us: int = NOW_US) -> None:
        self.write()
        self.queue.durable(now_us, self.writes)


def finished(number: int) -> Payment:
    """Return a payment as it is at its end."""
    name = number.to_bytes(32, "big")
    return replace(
        Payment(number, ALICE, BOB, 1, 1, b"", 10**13, f"row:{number}", NOW_US, number, name, name[::-1], b"r" * 250),
        released=True,
        place=CLOSED,
        status=R4,
        result=EXECUTED,
        r0_us=NOW_US + 1,
        r1_us=NOW_US + 2,
        r3_us=NOW_US + 3,
        r4_us=NOW_US + 4,
    )


def fill(store: MemoryStore | SqlStore, count: int) -> None:
    """Write finished payments, as a queue does."""
    kept = Finished(store)
    for first in range(1, count + 1, 5_000):
        records = []
        for number in range(first, min(first + 5_000, count + 1)):
            payment = finished(number)
            kept.numbered(number)
            kept.ended(payment)
            records += kept.records(payment)
        store.commit([*records, *kept.take_tallies()])


def test_a_payment_leaves_memory_when_its_end_is_durable_and_not_before() -> None:
    phone = Phone(MemoryStore(TABLES, with_log=False))
    phone.queue.prove(ALICE, phone.network.proved(ALICE), NOW_US)
    first, second, third = phone.pay("one"), phone.pay("two"), phone.pay()
    former = third.id  # it is signed again when the second one goes, as what that was
    phone.told()
    assert list(phone.queue.payments) == [1, 2, 3]
    phone.queue.cancel(second)
    assert phone.queue.by_key("two") is second
    phone.write()
    assert (list(phone.queue.payments), phone.queue.by_key("two")) == ([1, 2, 3], second)
    assert [payment.number for payment in phone.queue.every()] == [1, 2, 3]
    phone.queue.durable(NOW_US, phone.writes)
    assert list(phone.queue.payments) == [1, 3]
    for _ in range(2):
        known = phone.queue.by_key("two")
        assert known is not None
        assert (known.number, known.status, phone.queue.find("row-2")) == (2, CANCELLED, known)
        assert second.id == third.id
        assert phone.queue.find(third.label) == phone.queue.find(former.hex()) == phone.queue.get(3)
        assert phone.pay("two") == known  # no second payment
        assert phone.queue.info(0) == {"payments": {CANCELLED: 1, QUEUED: 2}}
        phone.restart()
    assert [PAYMENTS.count(phone.store), FINISHED.count(phone.store)] == [2, 1]
    assert first.place != CLOSED


def test_a_refused_request_is_finished_at_once_and_its_number_is_never_given_again() -> None:
    phone = Phone(MemoryStore(TABLES, with_log=False))
    phone.queue.add_refused(NOW_US, ALICE, BOB, amount=1, fee=1, reason="no", key="bad")
    phone.told()
    assert not phone.queue.payments
    phone.restart()
    assert phone.pay().number == 2
    bad = phone.queue.by_key("bad")
    assert bad is not None
    assert (bad.number, bad.status) == (1, REFUSED)


@pytest.mark.parametrize("count", [0, 3, PAGE_ROWS, 3 * PAGE_ROWS + 5])
def test_lists_and_changes_go_through_disk_and_memory_in_order(count: int) -> None:
    store = MemoryStore(TABLES, with_log=False)
    fill(store, count)
    phone = Phone(store)
    opened = [phone.pay(f"new:{place}") for place in range(4)]
    phone.queue.cancel(opened[1])
    numbers = list(range(1, count + 5))
    assert [payment.number for payment in phone.queue.every()] == numbers
    found, total = phone.queue.newest((), None, 10)
    assert ([payment.number for payment in found], total) == (numbers[-10:], len(numbers))
    found, total = phone.queue.newest((R4,), ALICE, 2)
    assert ([payment.number for payment in found], total) == (numbers[:count][-2:], count)
    assert phone.queue.newest((CANCELLED,), None, 9)[0] == [opened[1]]
    assert phone.queue.newest((), BOB, 9) == ([], 0)
    cursor, seen = 0, []
    for _ in range(100):
        page, cursor = phone.queue.changed_since(cursor, 100)
        assert len(page) <= 100
        if not page:
            break
        seen += [payment.number for payment in page]
    assert sorted(set(seen)) == numbers
    assert seen[:count] == numbers[:count]
    phone.queue.cancel(opened[2])
    assert opened[2] in phone.queue.changed_since(cursor, 9)[0]
    old = cursor
    phone.told()
    phone.restart()
    page, _ = phone.queue.changed_since(old - 1 if old < phone.queue.changes.began else 0, 5)
    assert [payment.number for payment in page] == numbers[:5]  # a cursor of an earlier run begins anew


def follow(phone: Phone, cursor: int, limit: int = 100) -> tuple[list[int], int]:
    """Read changes until there are no more; return their payments' numbers, and the cursor after them."""
    seen = []
    while page := phone.queue.changed_since(cursor, limit):
        found, cursor = page
        if not found:
            return seen, cursor
        seen += [payment.number for payment in found]
    raise AssertionError("never")


def test_old_changes_leave_memory_and_who_knows_less_reads_all() -> None:
    phone = Phone(MemoryStore(TABLES, with_log=False))
    phone.queue.prove(ALICE, phone.network.proved(ALICE), NOW_US)
    for number in range(1, 6):
        assert phone.pay().number == number

    clock = count(NOW_US, RECENT_US // 16)

    def refuse(times: int) -> list[int]:
        added = []
        for _ in range(times):
            added.append(phone.queue.add_refused(NOW_US, ALICE, BOB, amount=1, fee=1, reason="no", key="").number)
            phone.told(next(clock))
        return added

    refuse(10)
    seen, early = follow(phone, 0)
    assert sorted(seen) == list(range(1, 16))
    added = refuse(2 * CHANGES_KEPT)
    late = follow(phone, early)[1]
    assert phone.queue.changes.forgotten
    assert len(phone.queue.changes._versions) <= 2 * (CHANGES_KEPT + 5) + 32
    everything = list(range(1, added[-1] + 1))
    for cursor in (0, early):
        seen, after = follow(phone, cursor)
        assert seen[: len(everything)] == everything  # by number, and then the changes that are known
        assert after == late
    assert follow(phone, late) == ([], late)
    newest = refuse(1)
    assert follow(phone, late)[0] == newest
    # a reader among the numbers, when changes are forgotten once more, may have missed one: it begins anew
    page, cursor = phone.queue.changed_since(0, 100)
    assert (page[-1].number, cursor & 0xFFFF_FFFF) == (100, 100)
    assert phone.queue.changed_since(cursor, 1)[0][0].number == 101
    refuse(2 * CHANGES_KEPT)
    assert phone.queue.changed_since(cursor, 1)[0][0].number == 1


def test_a_hundred_thousand_finished_payments_cost_a_start_nothing(tmp_path) -> None:
    """At most 64 MiB of memory in all, and a start that does not depend on them: on a real database."""
    full, empty = SqlStore(tmp_path / "full.db", TABLES), SqlStore(tmp_path / "empty.db", TABLES)
    network = Network(alice=10**9)
    try:
        fill(full, MANY)
        cost = []
        for store in (empty, full):
            make_queue(network, store)
            gc.collect()
            began = time.process_time()
            make_queue(network, store)
            cpu_s = time.process_time() - began
            tracemalloc.start()
            queue = make_queue(network, store)
            now, _ = tracemalloc.get_traced_memory()
            found, total = queue.newest((), None, 1_000)
            by_key = queue.by_key("row:77777")
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            cost.append((cpu_s, now, peak))
        assert (len(found), total, found[-1].number) == (1_000, MANY, MANY)
        assert by_key is not None
        assert by_key.number == 77_777
        (cpu_0, now_0, _), (cpu_1, now_1, peak_1) = cost
        print(f"10^5 payments: {1000 * (cpu_1 - cpu_0):.1f} ms, {now_1 - now_0} B kept, {peak_1} B at the peak")
        assert cpu_1 - cpu_0 <= 0.02
        assert now_1 - now_0 <= 100_000
        assert peak_1 <= 8 << 20
    finally:
        full.close()
        empty.close()
