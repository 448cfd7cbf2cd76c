"""Four validators in a test's hands, and a miner in its hands, too: real keys, real objects, no clock."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest

from supervm.common.parts.ledger import Ledger
from supervm.common.parts.ledger_tables import LEDGER_TABLES
from supervm.common.storage.memory import MemoryStore
from supervm.common.testing.hand import HandDriver
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.hashing import ZERO_HASH, hash_block_body, hash_justification
from supervm.protocol.base.keys import SigningKey, verify
from supervm.protocol.chain.allocations import Allocation
from supervm.protocol.chain.batch import Batch, batch_header, check_batch, miner_statement
from supervm.protocol.chain.batch_certificate import (
    BatchCertificate,
    BatchVote,
    CertifiedBatch,
    batch_vote_statement,
    bitmap_bytes,
    certified_bits,
    make_batch_certificate,
)
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.body import BlockBody
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint
from supervm.protocol.chain.finalized import FinalizedBlocks
from supervm.protocol.chain.genesis import Chain, Miner, genesis_asset_id, make_genesis
from supervm.protocol.chain.header import BlockHeader, CheckpointRef, Justification
from supervm.protocol.chain.validators import Validator
from supervm.protocol.chain.votes import VoteKind, make_certificate, statement
from supervm.protocol.money.transaction import parse_transaction, sign_issue, sign_transfer
from supervm.protocol.wire.chain import BlocksMessage, CheckpointMessage
from supervm.tier_l2_miner.node import MinerNode
from supervm.tier_l2_miner.options import MinerOptions
from supervm.tier_l2_miner.tables import TABLES

FUNDS = 10**9
GOLD = 1_000
"""What the first two wallets have of the asset that genesis has."""
GENESIS_MS = 1_000_000
BLOCK_MS = 500


def key(kind: int, index: int) -> SigningKey:
    return SigningKey(bytes([kind, index]) + bytes(30))


class Net:
    """Four validators that agree, as one object: it certifies, finalizes and executes what a test tells it to."""

    def __init__(self) -> None:
        self.validator_keys = [key(1, i) for i in range(4)]
        self.node_ids = [key(2, i).public for i in range(4)]
        self.miner_key, self.rival_key = key(3, 0), key(3, 1)
        self.wallets = [key(4, i) for i in range(6)]
        self.edge = key(5, 0).public
        self.gold = genesis_asset_id("gold")
        genesis, allocations = make_genesis(
            name="test",
            time_ms=GENESIS_MS,
            validators=tuple(
                Validator(1, k.public, n, 1, key(6, i).public)
                for i, (k, n) in enumerate(zip(self.validator_keys, self.node_ids, strict=True))
            ),
            miners=(
                Miner(1, self.miner_key.public, key(7, 0).public),
                Miner(1, self.rival_key.public, key(7, 1).public),
            ),
            allocations=[
                *(Allocation(w.public, FUNDS) for w in self.wallets),
                *(Allocation(w.public, GOLD, self.gold) for w in self.wallets[:2]),
            ],
            assets=[("gold", self.wallets[0].public)],
        )
        self.chain = Chain(genesis, verify, lambda: allocations)
        self.id = self.chain.chain_id
        self.ledger = Ledger(self.chain, MemoryStore(LEDGER_TABLES))
        self.blocks: list[FinalizedBlocks] = []
        self.checkpoints: list[CertifiedCheckpoint] = []
        self.bodies: dict[bytes, Batch] = {}

    def pay(
        self, wallet: int, seq: int, prev: bytes = ZERO_HASH, *, amount=10, fee=10, valid_ms=3_600_000, to=None, **how
    ):
        return sign_transfer(
            self.wallets[wallet],
            chain_id=self.id,
            seq=seq,
            prev=prev,
            to=to or self.wallets[5].public,
            amount=amount,
            fee=fee,
            valid_until_ms=self.ledger.header.ts_ms + valid_ms,
            **how,
        )

    def issue(self, wallet: int, seq: int, prev: bytes = ZERO_HASH, *, supply=1_000, fee=10):
        return sign_issue(
            self.wallets[wallet],
            chain_id=self.id,
            seq=seq,
            prev=prev,
            supply=supply,
            fee=fee,
            valid_until_ms=self.ledger.header.ts_ms + 3_600_000,
        )

    def chain_of(self, wallet: int, count: int, **how):
        out, prev = [], ZERO_HASH
        for seq in range(count):
            out.append(self.pay(wallet, seq, prev, **how))
            prev = out[-1].id
        return out

    def vote(self, digest: bytes, count: int, bits: int, signer: int) -> BatchVote:
        bitmap = bitmap_bytes(bits, count)
        signed = self.validator_keys[signer].sign(batch_vote_statement(self.id, 0, digest, count, bitmap))
        return BatchVote(1, 0, digest, count, bitmap, signer, signed)

    def rival_batch(self, transactions) -> Batch:
        raw = tuple(t.raw for t in transactions)
        header = batch_header(self.id, 0, self.rival_key.public, raw)
        batch = Batch(2, header, self.rival_key.sign(miner_statement(header.digest)), raw)
        self.bodies[header.digest] = batch
        return batch

    def certify_batch(self, batch: Batch, bits: int | None = None) -> BatchCertificate:
        self.bodies[batch.header.digest] = batch
        count = batch.header.count
        bits = (1 << count) - 1 if bits is None else bits
        votes = [self.vote(batch.header.digest, count, bits, i) for i in range(3)]
        return make_batch_certificate(batch.header, {v.signer: (v.bitmap, v.signature) for v in votes})

    def certificate(self, kind: VoteKind, number: int, digest: bytes):
        message = statement(self.id, kind, 0, number, digest)
        return make_certificate(kind, 0, number, digest, {i: self.validator_keys[i].sign(message) for i in range(3)})

    def block(self, *refs: BatchCertificate, skip_ms: int = BLOCK_MS, with_checkpoint: bool = True) -> FinalizedBlocks:
        """Finalize, execute and certify the next block."""
        parent = self.ledger.block_header
        height = parent.height + 1
        parents = () if height == 1 else (self.certificate(VoteKind.NOTARIZE, parent.view, parent.hash),)
        just = Justification(1, parents, ())
        last, certs = parent.last_checkpoint, ()
        if self.checkpoints and with_checkpoint:
            newest = self.checkpoints[-1]
            certs = (newest.certificate(),)
            last = CheckpointRef(1, newest.header.height, newest.header.hash)
        body = BlockBody(1, refs, certs)
        header = BlockHeader(
            1,
            self.id,
            0,
            height,
            height,
            parent.hash,
            parent.view,
            self.chain.rules.leader(height),
            parent.ts_ms + skip_ms,
            hash_justification(encode(just)),
            hash_block_body(encode(body)),
            last,
        )
        signer = self.validator_keys[header.proposer]
        block = Block(1, header, just, body, signer.sign(statement(self.id, VoteKind.NOTARIZE, 0, height, header.hash)))
        batches = []
        for ref in refs:
            held = self.bodies[ref.digest]
            transactions = tuple(parse_transaction(raw, self.id) for raw in held.transactions)
            bits = certified_bits(ref, self.chain.validators)
            batches.append(CertifiedBatch(ref.header, transactions, bits))
        self.ledger.apply(block, batches)
        finalized = FinalizedBlocks(1, (block,), self.certificate(VoteKind.FINALIZE, height, header.hash))
        self.blocks.append(finalized)
        self.checkpoints.append(self.certify(self.ledger.header))
        return finalized

    def certify(self, header) -> CertifiedCheckpoint:
        certificate = self.certificate(VoteKind.CHECKPOINT, header.height, header.hash)
        return CertifiedCheckpoint(1, header, certificate.signatures)


class Bench(HandDriver[MinerNode]):
    """A miner in a test's hands."""

    def __init__(self, net: Net, *, store: MemoryStore | None = None, seed: int = 1, **options) -> None:
        self.net = net
        store = store or MemoryStore(TABLES)
        node = MinerNode(
            chain=net.chain,
            key=net.miner_key,
            reader=store,
            targets=(),
            rng=random.Random(seed),
            options=MinerOptions(**options),
        )
        super().__init__(node, store, now_us=5_000_000_000)

    def forgive(self, peer: bytes) -> None:
        """Let the longest ban of a validator pass, and have it connect again."""
        self.down(peer)
        self.now_us += 61_000_000
        self.up(peer, 1)

    def start(self) -> None:
        """Connect all validators and an edge, and bring the miner to a certified first block."""
        for node_id in self.net.node_ids:
            self.up(node_id, 1)
        self.up(self.net.edge, 3)
        if not self.net.blocks:
            self.net.block()
        self.catch_up()

    @property
    def source(self) -> bytes:
        """The validator that the miner follows."""
        return self.core.replica.source

    def catch_up(self, *, checkpoint: bool = True) -> None:
        for finalized in self.net.blocks[self.core.replica._tip.height :]:
            self.receive(self.source, BlocksMessage(encode(finalized)))
        if checkpoint:
            self.receive(self.source, CheckpointMessage(encode(self.net.checkpoints[-1])))

    def peers_sent(self, kind) -> list[bytes]:
        return [p for p, m in self.sent if isinstance(m, kind)]

    def batches(self) -> list[Batch]:
        """Remove and return the batches sent to validator 0, checked as a validator checks them."""
        from supervm.protocol.wire.chain import BatchMessage

        out = [decode(Batch, m.batch) for m in self.take(BatchMessage, self.net.node_ids[0])]
        self.take(BatchMessage)
        for batch in out:
            check_batch(batch, self.net.id, verify)
            self.net.bodies[batch.header.digest] = batch
        return out


@pytest.fixture
def net() -> Net:
    return Net()


@pytest.fixture
def bench(net: Net) -> Bench:
    made = Bench(net)
    made.start()
    made.sent.clear()
    return made


@pytest.fixture
def kit() -> SimpleNamespace:
    """The classes themselves, for tests that need their own."""
    return SimpleNamespace(Net=Net, Bench=Bench, key=key, FUNDS=FUNDS, GOLD=GOLD)
