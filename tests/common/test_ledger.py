"""Rules of `Ledger`: one chain gives one state, also over restarts at any place; proofs verify; money is conserved."""

from __future__ import annotations

import pytest
from chain_tools import TestChain, make_test_chain

from supervm.common.parts.ledger import UNDO_HEIGHTS, Applied, Ledger, SupplyMismatch
from supervm.common.parts.ledger_tables import (
    LEAVES,
    LEDGER_TABLES,
    LeafRow,
)
from supervm.common.storage.memory import MemoryStore
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.chain.batch_certificate import CertifiedBatch
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint
from supervm.protocol.chain.genesis import genesis_asset_id
from supervm.protocol.chain.header import BlockHeader
from supervm.protocol.money.transaction import SignedTransaction
from supervm.protocol.state.account import Account, encode_account
from supervm.protocol.state.leaves import account_leaf_id, encode_holding, holding_leaf_id
from supervm.protocol.state.trie_proof import decode_trie_proof, verify

Step = tuple[Block, list[CertifiedBatch], list[SignedTransaction]]


def make_steps(chain: TestChain, count: int) -> list[Step]:
    """Blocks with 0, 1 or 2 batches of three transactions."""
    steps: list[Step] = []
    parent: BlockHeader = chain.genesis_header
    for number in range(count):
        batches, transactions = [], []
        for _ in range(number % 3):
            listed = [chain.transaction("alice", chain.account(f"to{number % 5}"), amount=7, fee=9) for _ in range(3)]
            transactions += listed
            batches.append(chain.batch(listed))
        block = chain.block(parent, refs=[chain.batch_certificate(batch) for batch in batches])
        steps.append((block, [chain.certified(batch) for batch in batches], transactions))
        parent = block.header
    return steps


def apply(ledger: Ledger, store: MemoryStore, step: Step) -> Applied:
    applied = ledger.apply(step[0], step[1])
    store.commit(applied.records)
    return applied


def test_a_restart_at_any_height_goes_on_with_the_same_bytes() -> None:
    """A ledger that is opened anew before every block gives the same headers as one that runs through."""
    chain = make_test_chain()
    steps = make_steps(chain, 12)
    through, restarted = MemoryStore(LEDGER_TABLES), MemoryStore(LEDGER_TABLES)
    ledger = Ledger(chain.chain, through)
    for step in steps:
        header = apply(ledger, through, step).header
        again = Ledger(chain.chain, restarted)
        assert apply(again, restarted, step).header == header
        assert again.fees == ledger.fees
    for table in LEDGER_TABLES:
        assert list(table.rows(through)) == list(table.rows(restarted))


def test_a_block_whose_write_was_lost_is_applied_again() -> None:
    """A crash before the write leaves the block before; applying again gives the same header."""
    chain = make_test_chain()
    steps = make_steps(chain, 6)
    store = MemoryStore(LEDGER_TABLES)
    ledger = Ledger(chain.chain, store)
    for step in steps[:5]:
        apply(ledger, store, step)
    lost = ledger.apply(*steps[5][:2])
    reopened = Ledger(chain.chain, store)
    assert reopened.height == 5
    assert apply(reopened, store, steps[5]).header == lost.header


def test_only_leaves_that_have_changed_since_genesis_are_stored() -> None:
    """Genesis is at hand at every start: an account that no block has touched takes no row."""
    chain = make_test_chain()
    store = MemoryStore(LEDGER_TABLES)
    ledger = Ledger(chain.chain, store)
    for step in make_steps(chain, 3):
        apply(ledger, store, step)
    first = dict(chain.chain.first_state().leaves())
    changed = {key: value for key, value in ledger.state.leaves() if first.get(key) != value}
    assert {row.leaf_id: row.value for row in LEAVES.rows(store)} == changed
    assert 0 < len(changed) < len(ledger.state.accounts)
    assert Ledger(chain.chain, store).state == ledger.state


def test_only_the_next_block_is_applied() -> None:
    """A block that skips, repeats or forks is the caller's bug."""
    chain = make_test_chain()
    steps = make_steps(chain, 3)
    ledger = Ledger(chain.chain, MemoryStore(LEDGER_TABLES))
    with pytest.raises(LocalProtocolError, match="does not follow"):
        ledger.apply(*steps[1][:2])
    ledger.apply(*steps[0][:2])
    with pytest.raises(LocalProtocolError, match="does not follow"):
        ledger.apply(*steps[0][:2])


def test_stored_accounts_that_are_not_the_header_s_stop_the_node() -> None:
    """One grain more, or an account more: neither root nor sum may be off."""
    chain = make_test_chain()
    steps = make_steps(chain, 3)
    store = MemoryStore(LEDGER_TABLES)
    ledger = Ledger(chain.chain, store)
    for step in steps:
        apply(ledger, store, step)
    good = LEAVES.get(store, 0, account_leaf_id(chain.account("alice")))
    for bad in (
        LeafRow(0, account_leaf_id(b"x" * 32), encode_account(Account(1, 0, bytes(32), 0))),
        LeafRow(0, account_leaf_id(chain.account("alice")), good.value[:-1]),
        LeafRow(0, holding_leaf_id(chain.account("alice"), b"g" * 32), encode_holding(1)),
        LeafRow(0, b"\x04" + bytes(32), b"x"),
    ):
        store.commit([LEAVES.put(bad)])
        with pytest.raises(SupplyMismatch):
            Ledger(chain.chain, store)
        store.commit([LEAVES.delete(0, bad.leaf_id), LEAVES.put(good)])
    assert Ledger(chain.chain, store).state == ledger.state


def test_a_holding_of_genesis_that_was_spent_stays_spent_after_a_restart() -> None:
    """Its leaf is gone, and the file of allocations still has it: the database says that it is not to come back."""
    chain = make_test_chain(assets={"gold": {"alice": 10}})
    gold = genesis_asset_id("gold")
    whole = chain.transaction("alice", chain.account("bob"), 10, asset=gold)
    back = chain.transaction("bob", chain.account("carol"), 3, fee=2, asset=gold, fee_asset=gold)
    issued = chain.issue("alice", 5, fee=3)
    store = MemoryStore(LEDGER_TABLES)
    ledger = Ledger(chain.chain, store)
    parent = chain.genesis_header
    for listed in ([whole], [back, issued]):
        batch = chain.batch(listed)
        block = chain.block(parent, refs=[chain.batch_certificate(batch)])
        store.commit(ledger.apply(block, [chain.certified(batch)]).records)
        parent = block.header
    assert chain.account("alice") in ledger.state.holdings
    assert ledger.state.balance(chain.account("alice"), gold) == 0
    assert ledger.state.balance(chain.account("alice"), issued.id) == 5
    assert ledger.state.balance(chain.account("carol"), gold) == 3
    assert sum(ledger.fees[gold]) == 2
    again = Ledger(chain.chain, store)
    assert (again.state, again.fees, again.header) == (ledger.state, ledger.fees, ledger.header)
    assert ledger.leaf_ids_of(chain.account("alice")) == [
        account_leaf_id(chain.account("alice")),
        holding_leaf_id(chain.account("alice"), issued.id),
    ]


def test_account_proofs_verify_under_the_last_heights_and_end_there() -> None:
    """The last 32 heights can be proved, present and absent accounts alike; older ones cannot."""
    chain = make_test_chain()
    steps = make_steps(chain, UNDO_HEIGHTS + 4)
    store = MemoryStore(LEDGER_TABLES)
    ledger = Ledger(chain.chain, store)
    roots = {0: ledger.header.state_root}
    for step in steps:
        roots[step[0].header.height] = apply(ledger, store, step).header.state_root
    wanted = [account_leaf_id(chain.account(name)) for name in ("alice", "to1", "nobody")]
    for height in range(ledger.height + 1):
        proofs = ledger.prove_leaves(height, wanted)
        if height <= ledger.height - UNDO_HEIGHTS:
            assert proofs is None
            continue
        assert proofs is not None
        for leaf_id, raw in proofs:
            value = verify(roots[height], leaf_id, decode_trie_proof(raw))
            known = ledger.state.accounts.get(leaf_id[1:]) if height == ledger.height else None
            if known is not None:
                assert value == encode_account(known)


def test_receipts_are_found_before_and_after_they_are_on_disk_and_only_below_the_checkpoint() -> None:
    """Every executed transaction can be proved under the newest checkpoint, by this ledger and by a reopened one."""
    chain = make_test_chain()
    steps = make_steps(chain, 9)
    store = MemoryStore(LEDGER_TABLES)
    ledger = Ledger(chain.chain, store)
    for step in steps[:-1]:
        apply(ledger, store, step)
    checkpoint: CertifiedCheckpoint = chain.certify_checkpoint(ledger.header)
    unwritten = ledger.apply(*steps[-1][:2])
    assert unwritten.result.receipts
    reopened = Ledger(chain.chain, store)
    for _, _, transactions in steps[:-1]:
        for transaction in transactions:
            proof = ledger.prove_receipt(transaction.id, checkpoint)
            assert proof
            assert reopened.prove_receipt(transaction.id, checkpoint) == proof
    for transaction in steps[-1][2]:
        assert ledger.prove_receipt(transaction.id, checkpoint) is None
    assert ledger.prove_receipt(bytes(32), checkpoint) is None
