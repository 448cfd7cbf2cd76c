"""One instance of every agreed type and of every message, from one small chain; frozen in tests/vectors/protocol.json.

`agreed_samples` and `message_samples` are pure functions: no clock, no randomness, the same bytes on every machine.
"""

from __future__ import annotations

import msgspec
from chain_tools import GENESIS_TIME_MS, TestChain, block_vote, make_test_chain, test_key
from kept_history import KeptHistory

from supervm.protocol.base.codec import Agreed, encode
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.batch import Batch
from supervm.protocol.chain.checkpoint import CheckpointHeader
from supervm.protocol.chain.epoch import next_epoch
from supervm.protocol.chain.evidence import BadJustification, bad_batch, double_vote
from supervm.protocol.chain.finalized import FinalizedBlocks, FinalizedPrefix
from supervm.protocol.chain.genesis import genesis_asset_id
from supervm.protocol.chain.validators import ValidatorList, ValidatorSet
from supervm.protocol.chain.votes import VoteKind
from supervm.protocol.light.client import AccountAnswer, ReceiptProof, ValidatorChange, anchor_of
from supervm.protocol.light.forks import checkpoint_fork
from supervm.protocol.light.snapshot import SnapshotStart
from supervm.protocol.money.execution import BlockReceipts, Receipt, execute_block
from supervm.protocol.money.transaction import TRANSACTION_BYTES_MIN
from supervm.protocol.state.account import AccountLeaf
from supervm.protocol.state.leaves import AssetLeaf, HoldingLeaf, account_leaf_id, asset_leaf_id, holding_leaf_id
from supervm.protocol.state.receipts import RECEIPTS, merkle_path, path_sides
from supervm.protocol.state.trie import QuadTrie
from supervm.protocol.state.trie_range import FIRST_KEY, prove_range
from supervm.protocol.wire import chain, consensus, fields, link, payments


def sample_chain() -> TestChain:
    """Return the chain of all samples: four validators, two miners, two funded accounts, an asset besides."""
    return make_test_chain(4, {"alice": 1_000_000, "bob": 2**40}, miners=2, assets={"gold": {"bob": 2**33}})


def sample_batch(chain: TestChain) -> Batch:
    """Return a batch of six transactions in two assets, of which three name an edge and one issues a third asset."""
    carol, edge, gold = chain.account("carol"), chain.account("edge-payout"), genesis_asset_id("gold")
    transactions = [
        chain.transaction("alice", carol, 300, 7, via=edge),
        chain.transaction("alice", carol, 1, 1, payload=b"invoice 42"),
        chain.transaction("bob", chain.account("alice"), 2**32, 1_000, asset=gold, via=edge),
        chain.transaction("bob", chain.account("bob"), 5, 3, fee_asset=gold, via=edge, payload=bytes(range(256))),
        chain.transaction("bob", carol, 24, 24, asset=gold, fee_asset=gold),
        chain.issue("alice", 21_000_000, 2, payload=b"SILVER"),
    ]
    return chain.batch(transactions)


def agreed_samples() -> dict[str, Agreed]:
    """Return one instance of every agreed type of `supervm.protocol`, by type name."""
    chain = sample_chain()
    batch = sample_batch(chain)
    certificate = chain.batch_certificate(batch, {0: 0b111111, 1: 0b101111, 2: 0b101111, 3: 0b111011})
    first = chain.block(chain.genesis_header, view=1, refs=[certificate], ts_ms=GENESIS_TIME_MS + 500)
    executed = chain.certified(batch, certificate)
    state = chain.chain.first_state()
    result = execute_block(
        state,
        [executed],
        ts_ms=first.header.ts_ms,
        payout_of_miner=chain.chain.payout_of_miner,
        fee_shares_bps=chain.chain.parameters.fee_shares_bps,
    )
    trie = QuadTrie(dict(state.leaves()))
    trie.update(result.change.leaves())
    history = KeptHistory([chain.chain.anchor.hash])
    headers = [
        CheckpointHeader(
            1,
            chain.chain_id,
            0,
            1,
            first.hash,
            chain.chain.anchor.hash,
            first.header.ts_ms,
            trie.root,
            result.receipts_root,
            history.root,
            chain.validators.hash,
            ZERO_HASH,
            chain.chain.supply,
        )
    ]
    checkpoint = chain.certify_checkpoint(headers[0])
    members = tuple(msgspec.structs.replace(member, weight=2) for member in chain.validators.members[1:])
    following = ValidatorSet(members)
    second = chain.block(
        first.header,
        view=4,
        checkpoint=checkpoint.certificate(),
        ts_ms=GENESIS_TIME_MS + 2_000,
        closes=(0, 3),
        change=chain.set_change(members),
        evidence=[double_vote(chain.vote(0, VoteKind.NULLIFY, 7), chain.vote(0, VoteKind.FINALIZE, 7, first.hash))],
        ready=((1, chain.vote(2, VoteKind.NEXT_READY, 0, following.hash).signature),),
    )
    sealing = chain.block(second.header, closes=(1,), ts_ms=GENESIS_TIME_MS + 2_500)
    history.append(headers[0].hash)
    newest = msgspec.structs.replace(
        headers[0],
        height=2,
        block_hash=second.hash,
        prev_hash=headers[0].hash,
        ts_ms=second.header.ts_ms,
        receipts_root=ZERO_HASH,
        history_root=history.root,
    )
    alice, gold, silver = chain.account("alice"), genesis_asset_id("gold"), executed.transactions[5].id
    receipts = [encode(receipt) for receipt in result.receipts]
    samples: list[Agreed] = [
        executed.transactions[3].body,
        executed.transactions[5].body,
        chain.validators.members[2],
        ValidatorList(1, chain.validators.members),
        chain.vote(2, VoteKind.NULLIFY, 9),
        chain.finalization(second.header),
        batch.header,
        batch,
        chain.batch_vote(batch, 3, 0b111011),
        certificate.votes[0],
        certificate,
        second.header.last_checkpoint,
        second.header,
        second.just,
        second.body,
        second.body.set_changes[0],
        second.header.progress,
        next_epoch(sealing.header, chain.rules, following),
        second,
        FinalizedBlocks(1, (first, second), chain.finalization(second.header)),
        FinalizedPrefix(1, (first,), (second.header,), chain.finalization(second.header)),
        headers[0],
        checkpoint,
        chain.chain.genesis.miners[0],
        chain.chain.genesis.assets[0],
        chain.chain.parameters,
        chain.chain.genesis,
        AccountLeaf(1, *result.change.accounts[alice]),
        HoldingLeaf(1, result.change.holdings[alice, silver]),
        AssetLeaf(1, *result.change.assets[silver]),
        Receipt(1, executed.transactions[0].id, 1, 7, 1, 0),
        BlockReceipts(1, result.receipts),
        anchor_of(chain.chain),
        AccountAnswer(2, checkpoint, alice, gold, trie.prove(holding_leaf_id(alice, gold))),
        ValidatorChange(
            1,
            chain.certify_checkpoint(msgspec.structs.replace(newest, next_validators_hash=following.hash)),
            ValidatorList(1, members),
        ),
        ReceiptProof(
            1,
            result.receipts[2],
            path_sides(2, len(receipts)),
            tuple(merkle_path(receipts, 2, RECEIPTS)),
            headers[0],
            (history.prove(1),),
            chain.certify_checkpoint(newest),
        ),
        checkpoint_fork(
            chain.certify_checkpoint(newest, (0, 1, 2)),
            chain.certify_checkpoint(msgspec.structs.replace(newest, state_root=ZERO_HASH), (1, 2, 3)),
        ),
        trie.prove(account_leaf_id(chain.account("nobody"))),
        prove_range(trie.snapshot(), FIRST_KEY, leaves_max=2),
        history.prove(0),
        double_vote(chain.vote(1, VoteKind.NULLIFY, 5), chain.vote(1, VoteKind.FINALIZE, 5, first.hash)),
        BadJustification(1, second.header, second.just, first.header, block_vote(second)),
        bad_batch(batch, 3),
        SnapshotStart(
            1,
            chain.certify_checkpoint(
                msgspec.structs.replace(newest, block_hash=sealing.hash, next_validators_hash=following.hash)
            ),
            tuple(history.peaks()),
            next_epoch(sealing.header, chain.rules, following),
        ),
    ]
    named = {type(sample).__name__: sample for sample in samples}
    if len(named) != len(samples):
        raise ValueError("two samples share a type")
    return named


def message_samples() -> dict[str, fields.Message]:
    """Return one instance of every message, by type name."""
    agreed = agreed_samples()
    blob = {name: encode(value) for name, value in agreed.items()}
    keys = tuple(test_key(name).public for name in ("alice", "bob"))
    digest = bytes(range(32))
    vote = agreed["BatchVote"]
    samples: list[fields.Message] = [
        link.Hello(2, 2, 3, ("receipts", "größe"), GENESIS_TIME_MS, "supervm/1"),
        link.Heartbeat(70_000, 100, GENESIS_TIME_MS, 0),
        link.Goodbye("version", "the peer speaks versions 3 to 4"),
        payments.Submit((blob["Transfer"], bytes(TRANSACTION_BYTES_MIN))),
        payments.Status(
            (
                payments.StatusItem(digest, payments.LEVEL_R1, ""),
                payments.StatusItem(digest, payments.LEVEL_REFUSED, "the fee is too low"),
            )
        ),
        payments.Subscribe(keys),
        payments.Unsubscribe(()),
        payments.GetLeaves((account_leaf_id(keys[0]), holding_leaf_id(*keys), asset_leaf_id(keys[1]))),
        payments.LeafProofs(blob["CertifiedCheckpoint"], ((holding_leaf_id(*keys), blob["TrieProof"]),)),
        payments.GetReceipt(digest),
        payments.ReceiptAnswer(digest, blob["ReceiptProof"]),
        payments.GetValidatorChanges(65_536),
        payments.ValidatorChanges((blob["ValidatorChange"],)),
        payments.ForkMessage(blob["CheckpointFork"]),
        payments.FeeTerms(keys[0], ((b"", 1_000), (keys[1], 5))),
        chain.BatchMessage(blob["Batch"]),
        chain.BatchVoteMessage(vote),  # type: ignore[arg-type]
        chain.BatchCertificateMessage(blob["BatchCertificate"]),
        chain.GetBatches((digest, ZERO_HASH)),
        chain.GetBlocks(2**63 - 1),
        chain.BlocksMessage(blob["FinalizedBlocks"]),
        chain.CheckpointMessage(blob["CertifiedCheckpoint"]),
        chain.Follow(0),
        chain.GetSnapshot(0, FIRST_KEY, 4_096),
        chain.SnapshotChunk(2, FIRST_KEY, blob["SnapshotStart"], blob["TrieRange"]),
        consensus.ProposalMessage(blob["Block"]),
        consensus.VoteMessage((agreed["Vote"],)),  # type: ignore[arg-type]
        consensus.CertificateMessage((agreed["Certificate"],)),  # type: ignore[arg-type]
        consensus.GetBlock(2**32, digest),
        consensus.ConsensusStatus(0, 128, 127, 65_536, False),
    ]
    named = {type(sample).__name__: sample for sample in samples}
    if len(named) != len(samples):
        raise ValueError("two samples share a type")
    return named
