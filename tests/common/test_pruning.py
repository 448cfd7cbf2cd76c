"""Rules of pruning: what is below the floor goes in slices, what is above is proved as before, also over restarts."""

from __future__ import annotations

from chain_tools import TestChain, make_test_chain

from supervm.common.contract.records import Delete
from supervm.common.parts.ledger import Applied, Ledger
from supervm.common.parts.ledger_tables import (
    BLOCK_RECEIPTS,
    HEADERS,
    HISTORY,
    LEDGER_TABLES,
    RECEIPT_INDEX,
)
from supervm.common.parts.pruning import SLICE_HEIGHTS, SLICE_MIN, SLICE_RECEIPTS
from supervm.common.storage.memory import MemoryStore
from supervm.protocol.money.transaction import SignedTransaction

KEPT = 40


def pay(
    chain: TestChain, ledger: Ledger, store: MemoryStore, count: int = 1
) -> tuple[Applied, list[SignedTransaction]]:
    """Apply a block with `count` payments."""
    made = [chain.transaction("alice", chain.account("bob"), amount=1, fee=1) for _ in range(count)]
    batches = [chain.batch(made)] if made else []
    block = chain.block(ledger.block_header, refs=[chain.batch_certificate(batch) for batch in batches])
    applied = ledger.apply(block, [chain.certified(batch) for batch in batches])
    store.commit(applied.records)
    return applied, made


def kept(store: MemoryStore) -> tuple[set[int], set[int]]:
    """Return the heights that headers and receipts are kept of."""
    return {row.height for row in HEADERS.rows(store)}, {row.height for row in BLOCK_RECEIPTS.rows(store)}


def test_no_more_heights_stay_than_are_kept_and_those_are_proved_as_before() -> None:
    chain = make_test_chain()
    store, whole = MemoryStore(LEDGER_TABLES), MemoryStore(LEDGER_TABLES)
    ledger, archive = Ledger(chain.chain, store, keep_blocks=KEPT), Ledger(chain.chain, whole)
    paid: list[tuple[int, SignedTransaction]] = []
    for number in range(200):
        made = [chain.transaction("alice", chain.account("bob"), amount=1, fee=1)] if number % 2 else []
        batches = [chain.batch(made)] if made else []
        block = chain.block(ledger.block_header, refs=[chain.batch_certificate(batch) for batch in batches])
        for one, disk in ((ledger, store), (archive, whole)):
            applied = one.apply(block, [chain.certified(batch) for batch in batches])
            disk.commit(applied.records)
        paid += [(ledger.height, transaction) for transaction in made]
        if number % 50 == 7:
            ledger = Ledger(chain.chain, store, keep_blocks=KEPT)  # a restart
        headers, receipts = kept(store)
        assert KEPT <= len(headers) <= KEPT + SLICE_MIN or ledger.height <= KEPT + SLICE_MIN
        assert receipts <= headers
        assert {row.height for row in RECEIPT_INDEX.rows(store)} == receipts
        assert HISTORY.count(store) <= 2 * (KEPT + SLICE_MIN) + 10 or ledger.height <= KEPT + SLICE_MIN
    assert ledger.header == archive.header
    checkpoint = chain.certify_checkpoint(ledger.header)
    headers, _ = kept(store)
    for node in (ledger, Ledger(chain.chain, store)):
        for height, transaction in paid:
            proof = node.prove_receipt(transaction.id, checkpoint)
            assert proof == (archive.prove_receipt(transaction.id, checkpoint) if height in headers else None)


def test_a_node_that_kept_all_until_now_prunes_a_bounded_slice_per_block() -> None:
    chain = make_test_chain()
    store = MemoryStore(LEDGER_TABLES)
    ledger = Ledger(chain.chain, store)
    for _ in range(3 * SLICE_HEIGHTS):
        pay(chain, ledger, store)
    ledger = Ledger(chain.chain, store, keep_blocks=KEPT)
    before = ledger.height
    while ledger.height - ledger.pruning.begin > KEPT + SLICE_MIN:
        begin, heights = ledger.pruning.begin, HEADERS.count(store)
        pay(chain, ledger, store)
        assert ledger.pruning.begin - begin <= SLICE_HEIGHTS + 1
        assert heights + 1 - HEADERS.count(store) <= SLICE_HEIGHTS
    assert ledger.height - before <= 4


def test_a_slice_has_no_more_receipts_than_one_block_or_the_bound() -> None:
    chain = make_test_chain()
    store = MemoryStore(LEDGER_TABLES)
    ledger = Ledger(chain.chain, store)
    for _ in range(SLICE_MIN):
        pay(chain, ledger, store, 600)
    ledger = Ledger(chain.chain, store, keep_blocks=1)
    for _ in range(6):
        applied, _ = pay(chain, ledger, store)
        deleted = [record for record in applied.records if isinstance(record, Delete)]
        assert len(deleted) <= SLICE_RECEIPTS
