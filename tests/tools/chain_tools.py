"""Small real chains for tests: deterministic keys, a genesis, and builders of everything validators sign.

Nothing here is a stand-in: the keys sign, the certificates verify, and the blocks pass `check_block`. `make_test_chain`
is the way in:

    chain = make_test_chain(validators=4, allocations={"alice": 1_000})
    transaction = chain.transaction("alice", chain.account("bob"), amount=5)
    batch = chain.batch([transaction])
    block = chain.block(chain.genesis_header, view=1, refs=[chain.batch_certificate(batch)])
    check_block(block, chain.genesis_header, chain.rules)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from supervm.protocol.base.codec import encode
from supervm.protocol.base.hashing import ZERO_HASH, hash_block_body, hash_justification
from supervm.protocol.base.keys import SigningKey, verify
from supervm.protocol.chain.allocations import Allocation
from supervm.protocol.chain.batch import Batch, batch_header, miner_statement
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
from supervm.protocol.chain.body import BlockBody, OwnSignatures
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint, CheckpointHeader
from supervm.protocol.chain.controls import progress_after
from supervm.protocol.chain.evidence import BlockEvidence
from supervm.protocol.chain.genesis import Chain, Miner, Parameters, genesis_asset_id, make_genesis
from supervm.protocol.chain.header import BlockHeader, ChainRules, CheckpointRef, Justification
from supervm.protocol.chain.set_change import SetChange
from supervm.protocol.chain.validators import Validator, ValidatorList, ValidatorSet
from supervm.protocol.chain.votes import Certificate, Vote, VoteKind, make_certificate, statement
from supervm.protocol.money.transaction import SignedTransaction, parse_transaction, sign_issue, sign_transfer
from supervm.protocol.state.leaves import NATIVE

GENESIS_TIME_MS = 1_700_000_000_000
"""Time of every test genesis."""
VALID_UNTIL_MS = GENESIS_TIME_MS + 96 * 3_600_000
"""Default validity of test transactions: 96 h after genesis."""


def test_key(name: str) -> SigningKey:
    """Return the signing key that belongs to `name`; equal names give equal keys."""
    return SigningKey(blake2b(name.encode(), digest_size=32, person=b"svm.testkey").digest())


test_key.__test__ = False  # type: ignore[attr-defined]  # a helper, not a test


def block_vote(block: Block) -> Vote:
    """Return the Notarize vote of a block's proposer: the block's signature."""
    header = block.header
    return Vote(1, VoteKind.NOTARIZE, header.epoch, header.view, block.hash, header.proposer, block.signature)


@dataclass
class TestChain:
    """A chain with the secrets of everyone on it.

    Attributes:
        chain: what follows from the genesis.
        validator_keys: vote keys in index order.
        miner_keys: node keys of the registered miners.
        node_keys: node keys of the validators, in index order.
        heads: next (seq, prev) of each sender that `transaction` has signed for.
    """

    __test__ = False

    chain: Chain
    validator_keys: tuple[SigningKey, ...]
    node_keys: tuple[SigningKey, ...]
    miner_keys: tuple[SigningKey, ...]
    heads: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)

    @property
    def chain_id(self) -> bytes:
        """The chain id."""
        return self.chain.chain_id

    @property
    def validators(self) -> ValidatorSet:
        """The validator set."""
        return self.chain.validators

    @property
    def rules(self) -> ChainRules:
        """`ChainRules` of the first epoch."""
        return self.chain.rules

    @property
    def genesis_header(self) -> BlockHeader:
        """Header of block 0."""
        return self.chain.genesis_header

    @property
    def quorum_signers(self) -> tuple[int, ...]:
        """The first validators whose weight reaches the quorum."""
        weight, signers = 0, []
        for index, member_weight in enumerate(self.validators.weights):
            if weight >= self.validators.quorum:
                break
            weight += member_weight
            signers.append(index)
        return tuple(signers)

    @staticmethod
    def account(name: str) -> bytes:
        """Return the account id of `name`."""
        return test_key(name).public

    # --- transactions and batches ------------------------------------------------------------------------------------

    def transaction(
        self,
        sender: str,
        to: bytes,
        amount: int = 1,
        fee: int = 1,
        *,
        seq: int | None = None,
        prev: bytes | None = None,
        valid_until_ms: int = VALID_UNTIL_MS,
        asset: bytes = NATIVE,
        fee_asset: bytes = NATIVE,
        via: bytes = b"",
        payload: bytes = b"",
    ) -> SignedTransaction:
        """Sign a transfer; without `seq` and `prev` it follows the last one that was signed here for `sender`."""
        key = test_key(sender)
        next_seq, head = self.heads.get(key.public, (0, ZERO_HASH))
        signed = sign_transfer(
            key,
            chain_id=self.chain_id,
            seq=next_seq if seq is None else seq,
            prev=head if prev is None else prev,
            to=to,
            amount=amount,
            fee=fee,
            valid_until_ms=valid_until_ms,
            asset=asset,
            fee_asset=fee_asset,
            via=via,
            payload=payload,
        )
        if seq is None and prev is None:
            self.heads[key.public] = (next_seq + 1, signed.id)
        return signed

    def issue(
        self, sender: str, supply: int, fee: int = 1, *, fee_asset: bytes = NATIVE, payload: bytes = b""
    ) -> SignedTransaction:
        """Sign an issue that follows what was signed here for `sender`; the asset's id is its id."""
        key = test_key(sender)
        next_seq, head = self.heads.get(key.public, (0, ZERO_HASH))
        signed = sign_issue(
            key,
            chain_id=self.chain_id,
            seq=next_seq,
            prev=head,
            supply=supply,
            fee=fee,
            valid_until_ms=VALID_UNTIL_MS,
            fee_asset=fee_asset,
            payload=payload,
        )
        self.heads[key.public] = (next_seq + 1, signed.id)
        return signed

    def batch(
        self,
        transactions: Sequence[SignedTransaction],
        *,
        miner: int = 0,
        epoch: int = 0,
    ) -> Batch:
        """Build and sign a batch of the miner with index `miner`."""
        raws = tuple(transaction.raw for transaction in transactions)
        key = self.miner_keys[miner]
        header = batch_header(self.chain_id, epoch, key.public, raws)
        return Batch(2, header, key.sign(miner_statement(header.digest)), raws)

    def batch_vote(self, batch: Batch, signer: int, bits: int | None = None) -> BatchVote:
        """Return a validator's vote on a batch, for all its transactions unless `bits` says which."""
        header = batch.header
        bitmap = bitmap_bytes((1 << header.count) - 1 if bits is None else bits, header.count)
        message = batch_vote_statement(self.chain_id, header.epoch, header.digest, header.count, bitmap)
        signature = self.validator_keys[signer].sign(message)
        return BatchVote(1, header.epoch, header.digest, header.count, bitmap, signer, signature)

    def batch_certificate(
        self, batch: Batch, bits_of: Mapping[int, int] | Iterable[int] | None = None
    ) -> BatchCertificate:
        """Certify a batch: by a quorum that sets every bit, by these signers, or by signer -> bits."""
        if bits_of is None:
            bits_of = self.quorum_signers
        every = (1 << batch.header.count) - 1
        given = dict(bits_of) if isinstance(bits_of, Mapping) else dict.fromkeys(bits_of, every)
        votes = {signer: self.batch_vote(batch, signer, bits) for signer, bits in given.items()}
        return make_batch_certificate(
            batch.header, {signer: (vote.bitmap, vote.signature) for signer, vote in votes.items()}
        )

    def certified(self, batch: Batch, certificate: BatchCertificate | None = None) -> CertifiedBatch:
        """Return what `execute_block` takes; without a certificate every transaction is certified."""
        bits = (1 << batch.header.count) - 1
        if certificate is not None:
            bits = certified_bits(certificate, self.validators)
        transactions = [parse_transaction(raw, self.chain_id) for raw in batch.transactions]
        return CertifiedBatch(batch.header, transactions, bits)

    # --- votes and certificates --------------------------------------------------------------------------------------

    def vote(self, signer: int, kind: VoteKind, number: int, digest: bytes = ZERO_HASH, *, epoch: int = 0) -> Vote:
        """Return one validator's vote."""
        signature = self.validator_keys[signer].sign(statement(self.chain_id, kind, epoch, number, digest))
        return Vote(1, kind, epoch, number, digest, signer, signature)

    def certificate(
        self,
        kind: VoteKind,
        number: int,
        digest: bytes = ZERO_HASH,
        *,
        signers: Iterable[int] | None = None,
        epoch: int = 0,
    ) -> Certificate:
        """Certify a statement, by the first quorum unless `signers` says by whom."""
        chosen = self.quorum_signers if signers is None else tuple(signers)
        signatures = {signer: self.vote(signer, kind, number, digest, epoch=epoch).signature for signer in chosen}
        return make_certificate(kind, epoch, number, digest, signatures)

    def notarization(self, header: BlockHeader) -> Certificate:
        """Certify a block as notarized."""
        return self.certificate(VoteKind.NOTARIZE, header.view, header.hash, epoch=header.epoch)

    def finalization(self, header: BlockHeader) -> Certificate:
        """Certify a block as final."""
        return self.certificate(VoteKind.FINALIZE, header.view, header.hash, epoch=header.epoch)

    def nullification(self, view: int) -> Certificate:
        """Certify that a view was skipped."""
        return self.certificate(VoteKind.NULLIFY, view)

    def certify_checkpoint(self, header: CheckpointHeader, signers: Iterable[int] | None = None) -> CertifiedCheckpoint:
        """Sign a checkpoint header with a quorum."""
        certificate = self.certificate(
            VoteKind.CHECKPOINT, header.height, header.hash, signers=signers, epoch=header.epoch
        )
        return CertifiedCheckpoint(1, header, certificate.signatures)

    def set_change(self, members: Iterable[Validator], signers: Iterable[int] | None = None) -> SetChange:
        """Have a quorum approve the validators of the next epoch."""
        following = ValidatorSet(members)
        certificate = self.certificate(VoteKind.SET_CHANGE, 0, following.hash, signers=signers)
        return SetChange(1, ValidatorList(1, following.members), certificate.signatures)

    # --- blocks ------------------------------------------------------------------------------------------------------

    def justification(self, parent: BlockHeader, view: int) -> Justification:
        """Return the proof that a block of `view` may extend `parent`."""
        proof = (self.notarization(parent),) if parent.height else ()
        return Justification(1, proof, tuple(self.nullification(v) for v in range(parent.view + 1, view)))

    def block(
        self,
        parent: BlockHeader,
        *,
        view: int | None = None,
        refs: Sequence[BatchCertificate] = (),
        checkpoint: Certificate | None = None,
        ts_ms: int | None = None,
        just: Justification | None = None,
        closes: Iterable[int] = (),
        change: SetChange | None = None,
        ready: OwnSignatures = (),
        evidence: Sequence[BlockEvidence] = (),
    ) -> Block:
        """Build and sign the valid block of `view` (by default the next one) on top of `parent`.

        `closes` are the validators whose EpochClose it carries, `change` and `ready` its set change and NextReadys.
        """
        view = parent.view + 1 if view is None else view
        body = BlockBody(
            1,
            tuple(refs),
            () if checkpoint is None else (checkpoint,),
            tuple((signer, self.vote(signer, VoteKind.EPOCH_CLOSE, 0).signature) for signer in closes),
            () if change is None else (change,),
            ready,
            tuple(evidence),
        )
        just = self.justification(parent, view) if just is None else just
        last = parent.last_checkpoint
        if checkpoint is not None:
            last = CheckpointRef(1, checkpoint.number, checkpoint.digest)
        header = BlockHeader(
            1,
            self.chain_id,
            parent.epoch,
            view,
            parent.height + 1,
            parent.hash,
            parent.view,
            self.chain.rules.leader(view),
            parent.ts_ms + 1 if ts_ms is None else ts_ms,
            hash_justification(encode(just)),
            hash_block_body(encode(body)),
            last,
            progress_after(parent.progress, body),
        )
        return self.sign_block(header, just, body)

    def sign_block(self, header: BlockHeader, just: Justification, body: BlockBody) -> Block:
        """Put a block together as its proposer does, whatever is in it."""
        signature = self.vote(
            header.proposer % len(self.validators), VoteKind.NOTARIZE, header.view, header.hash, epoch=header.epoch
        ).signature
        return Block(1, header, just, body, signature)

    def blocks(self, count: int, parent: BlockHeader | None = None) -> list[Block]:
        """Return `count` empty blocks in consecutive views on top of `parent` (by default genesis)."""
        made: list[Block] = []
        head = self.genesis_header if parent is None else parent
        for _ in range(count):
            made.append(self.block(head))
            head = made[-1].header
        return made


def make_test_chain(
    validators: int = 4,
    allocations: Mapping[str, int] | None = None,
    *,
    weights: Sequence[int] | None = None,
    miners: int = 1,
    assets: Mapping[str, Mapping[str, int]] | None = None,
    parameters: Parameters | None = None,
) -> TestChain:
    """Return a chain whose keys all follow from names, so that equal arguments give equal bytes.

    Validator i has the vote key of ``validator{i}``, the node key of ``validator-node{i}`` and is paid to the account
    of ``validator-payout{i}``; miner i likewise (``miner{i}``, ``miner-payout{i}``). `allocations` maps names to grain,
    `assets` names of assets to such maps; the issuer of asset X is ``issuer-X`` and its id `genesis_asset_id("X")`.
    """
    vote_keys = tuple(test_key(f"validator{index}") for index in range(validators))
    node_keys = tuple(test_key(f"validator-node{index}") for index in range(validators))
    miner_keys = tuple(test_key(f"miner{index}") for index in range(miners))
    weights = [1] * validators if weights is None else weights
    funds = {"alice": 1_000_000, "bob": 1_000_000} if allocations is None else allocations
    genesis, ordered = make_genesis(
        name="test",
        time_ms=GENESIS_TIME_MS,
        validators=tuple(
            Validator(
                1,
                vote_keys[index].public,
                node_keys[index].public,
                weights[index],
                test_key(f"validator-payout{index}").public,
            )
            for index in range(validators)
        ),
        miners=tuple(
            Miner(1, key.public, test_key(f"miner-payout{index}").public) for index, key in enumerate(miner_keys)
        ),
        allocations=[
            *(Allocation(test_key(name).public, amount) for name, amount in funds.items()),
            *(
                Allocation(test_key(name).public, amount, genesis_asset_id(asset))
                for asset, held in (assets or {}).items()
                for name, amount in held.items()
            ),
        ],
        assets=[(asset, test_key(f"issuer-{asset}").public) for asset in assets or {}],
        parameters=parameters,
    )
    return TestChain(Chain(genesis, verify, lambda: ordered), vote_keys, node_keys, miner_keys)
