"""Rules of a ledger's history: it starts at once at any age, and proves from disk what memory does not hold."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from chain_tools import TestChain, make_test_chain

from supervm.common.contract.records import Key
from supervm.common.parts.history import UNWRITTEN_NODES, History
from supervm.common.parts.ledger import HistoryDamaged, Ledger
from supervm.common.parts.ledger_tables import HEADERS, HISTORY, LEDGER, LEDGER_TABLES, HistoryRow, LedgerRow
from supervm.common.storage.memory import MemoryStore
from supervm.common.storage.sql import SqlStore
from supervm.protocol.base.hashing import hasher
from supervm.protocol.light.client import LightClient, anchor_of

AGE = 24_000
_hash = hasher(b"svm.test")


class CountingReader:
    """A store that counts what is read of it."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.reads = 0

    def get(self, table: str, key: Key) -> Any:
        self.reads += 1
        return self._store.get(table, key)

    def scan(self, table: str, *, first: Key | None = None, limit: int | None = None) -> Iterator[Any]:
        for row in self._store.scan(table, first=first, limit=limit):
            self.reads += 1
            yield row

    def count(self, table: str) -> int:
        return self._store.count(table)

    def log(self) -> list[bytes]:
        return self._store.log()


def grow(chain: TestChain, ledger: Ledger, store: MemoryStore | SqlStore, count: int) -> None:
    """Apply empty blocks; a thousand at a time are written."""
    parent, records = ledger.block_header, []
    for number in range(count):
        block = chain.block(parent)
        parent = block.header
        records += ledger.apply(block, []).records
        if number % 1_000 == 999:
            store.commit(records)
            records = []
    store.commit(records)


def test_a_start_reads_as_much_at_any_age() -> None:
    """A few rows per doubling of the chain's length, however many headers are stored."""
    chain = make_test_chain()
    store = MemoryStore(LEDGER_TABLES)
    ledger = Ledger(chain.chain, store)
    reads = []
    for height in (15, 255, 1_023):
        grow(chain, ledger, store, height - ledger.height)
        reader = CountingReader(store)
        again = Ledger(chain.chain, reader)
        assert (again.header, again.peaks()) == (ledger.header, ledger.peaks())
        reads.append(reader.reads)
    assert reads[2] - reads[0] <= 6  # one peak per 1-bit: 4, 8 and 10


def test_a_day_of_blocks_adds_next_to_nothing_to_a_start(tmp_path) -> None:
    """24,000 headers: at most 50 ms of CPU and 1 MB of memory beside a start at genesis, on a real database."""
    chain = make_test_chain()
    path = tmp_path / "ledger.db"
    with_age = SqlStore(path, LEDGER_TABLES)
    empty = SqlStore(tmp_path / "empty.db", LEDGER_TABLES)
    try:
        grow(chain, Ledger(chain.chain, with_age), with_age, AGE)
        assert HEADERS.count(with_age) == AGE
        cost = []
        for store in (empty, with_age):
            Ledger(chain.chain, store)  # what is imported and prepared once
            gc.collect()
            began = time.process_time()
            Ledger(chain.chain, store)
            cpu_s = time.process_time() - began
            tracemalloc.start()
            kept = Ledger(chain.chain, store)
            now, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert kept.height in (0, AGE)
            cost.append((cpu_s, now, peak))
        (cpu_0, now_0, peak_0), (cpu_1, now_1, peak_1) = cost
        print(
            f"24,000 headers: {1000 * (cpu_1 - cpu_0):.1f} ms, {now_1 - now_0} B kept, {peak_1 - peak_0} B at the peak"
        )
        assert cpu_1 - cpu_0 <= 0.05
        assert now_1 - now_0 <= 1_000_000
        assert peak_1 - peak_0 <= 1_000_000
    finally:
        with_age.close()
        empty.close()


def test_receipts_are_proved_over_any_distance_by_a_ledger_that_runs_and_one_that_was_restarted() -> None:
    """Proofs go by the stored nodes and verify at a light client."""
    chain = make_test_chain()
    store = MemoryStore(LEDGER_TABLES)
    ledger = Ledger(chain.chain, store)
    paid = []
    for _ in range(6):
        transaction = chain.transaction("alice", chain.account("bob"), amount=7, fee=9)
        batch = chain.batch([transaction])
        block = chain.block(ledger.block_header, refs=[chain.batch_certificate(batch)])
        store.commit(ledger.apply(block, [chain.certified(batch)]).records)
        paid.append(transaction)
        grow(chain, ledger, store, 45)
    checkpoint = chain.certify_checkpoint(ledger.header)
    reopened = Ledger(chain.chain, store)
    for transaction in paid:
        proof = ledger.prove_receipt(transaction.id, checkpoint)
        assert proof is not None
        assert reopened.prove_receipt(transaction.id, checkpoint) == proof
        client = LightClient(anchor_of(chain.chain), chain.chain.verify, trusting_period_ms=None)
        client.check_receipt(proof, transaction.id, ledger.header.ts_ms)


def test_nodes_are_there_before_they_are_durable_and_leave_memory_when_they_are() -> None:
    store = MemoryStore(LEDGER_TABLES)
    history, whole = History(store), []
    assert history.load(0)
    late: list[list[Any]] = []  # writes on their way
    for number in range(2_000):
        whole.append(_hash(number.to_bytes(8, "big")))
        height = number + 1
        late.append([*history.append(whole[-1]), LEDGER.put(LedgerRow("applied_height", height))])
        if len(late) > 100:
            store.commit(late.pop(0))
        for index in {0, number // 2, number}:
            assert history.prove(index, height) is not None
        assert len(history._unwritten) <= 4 * UNWRITTEN_NODES
    for records in late:
        store.commit(records)
    reopened = History(store)
    assert reopened.load(2_000)
    assert (reopened.root, reopened.peaks()) == (history.root, history.peaks())
    assert reopened.prove(77, 1_234) == history.prove(77, 1_234)


@pytest.mark.parametrize("floor", [1, 2, 63, 64, 100, 127])
def test_below_a_floor_nodes_go_and_what_is_above_is_proved_as_before(floor: int) -> None:
    store = MemoryStore(LEDGER_TABLES)
    history = History(store)
    for number in range(128):
        store.commit(history.append(_hash(bytes([number]))))
    store.commit([LEDGER.put(LedgerRow("applied_height", 128))])
    proofs = {index: history.prove(index, 128) for index in range(128)}
    fresh = History(store)
    assert fresh.load(128)
    before = HISTORY.count(store)
    store.commit(fresh.prune(floor))
    assert HISTORY.count(store) == before - (2 * floor - floor.bit_count()) + floor.bit_count()
    again = History(store)
    assert again.load(128)
    assert again.root == history.root
    for index in range(floor, 128):
        assert again.prove(index, 128) == proofs[index]
    assert all(again.prove(index, 128) in (None, proofs[index]) for index in range(floor))
    kept = list(HISTORY.rows(store))
    store.commit(again.prune(floor // 2))  # a lower floor, after a higher one
    assert list(HISTORY.rows(store)) == kept
    for _ in range(70):
        store.commit(again.append(_hash(b"more")))
    assert again.prove(floor, 198) is not None


def test_a_history_that_is_not_the_header_s_stops_the_node() -> None:
    chain = make_test_chain()
    store = MemoryStore(LEDGER_TABLES)
    grow(chain, Ledger(chain.chain, store), store, 6)
    good = list(HISTORY.rows(store))
    for record in (HISTORY.put(HistoryRow(6, bytes(32))), HISTORY.delete(6), HEADERS.delete(6)):
        store.commit([record])
        with pytest.raises(HistoryDamaged):
            Ledger(chain.chain, store)
        store.commit([HISTORY.put(row) for row in good])
