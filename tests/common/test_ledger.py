"""Rules of `Ledger`: one chain gives one state, also over restarts at any place; proofs verify; money is conserved."""

from __future__ import annotations

import pytest
from chain_tools import TestChain, make_test_chain

from supervm.common.parts.ledger import UNDO_HEIGHTS, Applied, Ledger, SupplyMismatch
from supervm.common.parts.ledger_tables import (
    ACCOUNTS,
    LEDGER_TABLES,
    AccountRow,
)
from supervm.common.storage.memory import MemoryStore
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.chain.batch_certificate import CertifiedBatch
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint
from supervm.protocol.chain.header import BlockHeader
from supervm.protocol.money.transfer import SignedTransaction
from supervm.protocol.state.account import Account, encode_account
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
        assert again.fees_by_tier == ledger.fees_by_tier
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


def test_only_accounts_that_have_changed_since_genesis_are_stored() -> None:
    """Genesis is at hand at every start: an account that no block has touched takes no row."""
    chain = make_test_chain()
    store = MemoryStore(LEDGER_TABLES)
    ledger = Ledger(chain.chain, store)
    for step in make_steps(chain, 3):
        apply(ledger, store, step)
    changed = {key: state for key, state in ledger.accounts.items() if chain.chain.accounts.get(key) != state}
    assert {row.account: row.leaf for row in ACCOUNTS.rows(store)} == {
        key: encode_account(state) for key, state in changed.items()
    }
    assert 0 < len(changed) < len(ledger.accounts)
    assert Ledger(chain.chain, store).accounts == ledger.accounts


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
    store.commit([ACCOUNTS.put(AccountRow(0, b"x" * 32, encode_account(Account(1, 0, bytes(32), 0))))])
    with pytest.raises(SupplyMismatch):
        Ledger(chain.chain, store)


def test_account_proofs_verify_under_the_last_heights_and_end_there() -> None:
    """The last 32 heights can be proved, present and absent accounts alike; older ones cannot."""
    chain = make_test_chain()
    steps = make_steps(chain, UNDO_HEIGHTS + 4)
    store = MemoryStore(LEDGER_TABLES)
    ledger = Ledger(chain.chain, store)
    roots = {0: ledger.header.state_root}
    for step in steps:
        roots[step[0].header.height] = apply(ledger, store, step).header.state_root
    wanted = [chain.account(name) for name in ("alice", "to1", "nobody")]
    for height in range(ledger.height + 1):
        proofs = ledger.prove_accounts(height, wanted)
        if height <= ledger.height - UNDO_HEIGHTS:
            assert proofs is None
            continue
        assert proofs is not None
        for account, raw in proofs:
            value = verify(roots[height], account, decode_trie_proof(raw))
            known = ledger.accounts.get(account) if height == ledger.height else None
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
