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
from supervm.protocol.chain.edge import sign_edge_record
from supervm.protocol.chain.epoch import next_epoch
from supervm.protocol.chain.evidence import BadJustification, bad_batch, double_vote
from supervm.protocol.chain.finalized import FinalizedBlocks, FinalizedPrefix
from supervm.protocol.chain.validators import ValidatorList, ValidatorSet
from supervm.protocol.chain.votes import VoteKind
from supervm.protocol.light.client import AccountAnswer, ReceiptProof, ValidatorChange, anchor_of
from supervm.protocol.light.forks import checkpoint_fork
from supervm.protocol.light.snapshot import SnapshotStart
from supervm.protocol.money.execution import BlockReceipts, Receipt, execute_block
from supervm.protocol.money.fees import NO_EDGE
from supervm.protocol.state.account import AccountLeaf, encode_account
from supervm.protocol.state.receipts import RECEIPTS, merkle_path, path_sides
from supervm.protocol.state.trie import QuadTrie
from supervm.protocol.state.trie_range import FIRST_KEY, prove_range
from supervm.protocol.wire import chain, consensus, fields, link, payments


def sample_chain() -> TestChain:
    """Return the chain of all samples: four validators, two miners, two funded accounts."""
    return make_test_chain(4, {"alice": 1_000_000, "bob": 2**40}, miners=2)


def sample_batch(chain: TestChain) -> Batch:
    """Return a batch of five transactions of which an edge brought the first, the third and the fourth."""
    carol, edge = chain.account("carol"), chain.account("edge-payout")
    transactions = [
        chain.transaction("alice", carol, 300, 7),
        chain.transaction("alice", carol, 1, 1, payload=b"invoice 42"),
        chain.transaction("bob", chain.account("alice"), 2**33, 1_000),
        chain.transaction("bob", chain.account("bob"), 5, 3, payload=bytes(range(256))),
        chain.transaction("bob", carol, 24, 24),
    ]
    return chain.batch(transactions, edges=(edge,), edge_of=bytes([0, NO_EDGE, 0, 0, NO_EDGE]))


def agreed_samples() -> dict[str, Agreed]:
    """Return one instance of every agreed type of `supervm.protocol`, by type name."""
    chain = sample_chain()
    batch = sample_batch(chain)
    certificate = chain.batch_certificate(batch, {0: 0b11111, 1: 0b01111, 2: 0b01111, 3: 0b11011})
    first = chain.block(chain.genesis_header, view=1, refs=[certificate], ts_ms=GENESIS_TIME_MS + 500)
    executed = chain.certified(batch, certificate)
    result = execute_block(
        chain.chain.accounts,
        [executed],
        ts_ms=first.header.ts_ms,
        payout_of_miner=chain.chain.payout_of_miner,
        fee_shares_bps=chain.chain.parameters.fee_shares_bps,
    )
    trie = QuadTrie({key: encode_account(account) for key, account in chain.chain.accounts.items()})
    trie.update({key: encode_account(account) for key, account in result.changes.items()})
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
    alice = chain.account("alice")
    receipts = [encode(receipt) for receipt in result.receipts]
    samples: list[Agreed] = [
        executed.transactions[1].body,
        chain.validators.members[2],
        ValidatorList(1, chain.validators.members),
        chain.vote(2, VoteKind.NULLIFY, 9),
        chain.finalization(second.header),
        batch.header,
        batch,
        chain.batch_vote(batch, 3, 0b11011),
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
        chain.chain.genesis.allocations[0],
        chain.chain.parameters,
        chain.chain.genesis,
        AccountLeaf(1, *result.changes[alice]),
        Receipt(1, executed.transactions[0].id, 1, 7, 1, 0),
        BlockReceipts(1, result.receipts),
        sign_edge_record(test_key("edge-node"), chain.chain_id, chain.account("edge-payout"), 3),
        anchor_of(chain.chain),
        AccountAnswer(1, checkpoint, alice, trie.prove(alice)),
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
        trie.prove(chain.account("nobody")),
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
        link.Hello(1, 1, 3, ("receipts", "größe"), GENESIS_TIME_MS, "supervm/1"),
        link.Heartbeat(70_000, 100, GENESIS_TIME_MS, 0),
        link.Goodbye("version", "the peer speaks versions 2 to 3"),
        payments.Submit((blob["Transaction"], b"")),
        payments.Status(
            (
                payments.StatusItem(digest, payments.LEVEL_R1, ""),
                payments.StatusItem(digest, payments.LEVEL_REFUSED, "the fee is too low"),
            )
        ),
        payments.Subscribe(keys),
        payments.Unsubscribe(()),
        payments.GetAccounts(keys[:1]),
        payments.AccountProofs(blob["CertifiedCheckpoint"], ((keys[0], blob["TrieProof"]),)),
        payments.GetReceipt(digest),
        payments.ReceiptAnswer(digest, blob["ReceiptProof"]),
        payments.GetValidatorChanges(65_536),
        payments.ValidatorChanges((blob["ValidatorChange"],)),
        payments.ForkMessage(blob["CheckpointFork"]),
        payments.EdgeRegistration(blob["EdgeRecord"]),
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
