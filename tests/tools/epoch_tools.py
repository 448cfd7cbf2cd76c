"""A chain of many epochs with every secret of it: its blocks, certificates, checkpoints and changes of validators.

Built on `chain_tools` (node i has the keys of ``validator{i}`` and ``validator-node{i}``) and on the real ledger, which
executes every block that is added, so checkpoints are those that validators would sign:

    chain = EpochChain(4)
    chain.add(change=chain.change(chain.members(0, 1, 2, 4)))
    chain.add(ready=chain.ready(0, 1, 2))
    chain.add(closes=[0, 1, 2])          # the sealing block: from here on `chain.rules` are those of epoch 1
    chain.add()
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from chain_tools import TestChain, make_test_chain, test_key

from supervm.common.parts.ledger import Ledger
from supervm.common.parts.ledger_tables import LEDGER_TABLES
from supervm.common.storage.memory import MemoryStore
from supervm.protocol.base.codec import encode
from supervm.protocol.base.hashing import ZERO_HASH, hash_block_body, hash_justification
from supervm.protocol.base.keys import SigningKey
from supervm.protocol.chain.batch_certificate import BatchCertificate
from supervm.protocol.chain.block import Block, check_block
from supervm.protocol.chain.body import BlockBody, OwnSignatures
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint, CheckpointHeader
from supervm.protocol.chain.controls import progress_after
from supervm.protocol.chain.evidence import BlockEvidence
from supervm.protocol.chain.finalized import FinalizedBlocks
from supervm.protocol.chain.genesis import Parameters
from supervm.protocol.chain.header import BlockHeader, ChainRules, CheckpointRef, Justification
from supervm.protocol.chain.set_change import SetChange
from supervm.protocol.chain.validators import Validator, ValidatorList, ValidatorSet
from supervm.protocol.chain.votes import Certificate, Vote, VoteKind, make_certificate, statement
from supervm.protocol.light.client import ValidatorChange

EPOCH_MS = 10_000
"""Length of an epoch of these chains."""
NODES = 12
"""Nodes whose keys are known, members or not."""


class EpochChain:
    """A chain that the tests extend block by block.

    Attributes:
        tools: the chain it began with.
        rules: of the next block.
        head: header of the newest block.
        blocks: every block, from height 1.
        rules_of: rules of each epoch so far.
        checkpoints: checkpoint header of every height, genesis included.
    """

    def __init__(self, members: int = 4, *, weights: Sequence[int] | None = None, epoch_ms: int = EPOCH_MS) -> None:
        self.tools: TestChain = make_test_chain(
            members, weights=weights, parameters=Parameters(2, epoch_ms=epoch_ms, block_interval_ms=100)
        )
        self.chain = self.tools.chain
        self.ledger = Ledger(self.chain, MemoryStore(LEDGER_TABLES))
        self.blocks: list[Block] = []
        self.checkpoints: list[CheckpointHeader] = [self.chain.anchor]
        self.rules_of: list[ChainRules] = [self.chain.rules]
        self._keys: dict[bytes, SigningKey] = {key.public: key for key in map(self.key, range(NODES))}

    # --- who is who ---------------------------------------------------------------------------------------------------

    @staticmethod
    def key(node: int) -> SigningKey:
        """Return the vote key of a node."""
        return test_key(f"validator{node}")

    @staticmethod
    def node_id(node: int) -> bytes:
        """Return the id of a node."""
        return test_key(f"validator-node{node}").public

    def member(self, node: int, weight: int = 1, *, key: SigningKey | None = None) -> Validator:
        """Return a node as a member of a set, with `key` as its vote key instead of its own."""
        public = (key or self.key(node)).public
        return Validator(1, public, self.node_id(node), weight, test_key(f"validator-payout{node}").public)

    def members(self, *nodes: int) -> tuple[Validator, ...]:
        """Return nodes as members of weight 1."""
        return tuple(self.member(node) for node in nodes)

    @property
    def rules(self) -> ChainRules:
        """The rules of the next block."""
        return self.rules_of[-1]

    @property
    def head(self) -> BlockHeader:
        """The newest block's header."""
        return self.ledger.block_header

    @property
    def proposed(self) -> ValidatorSet | None:
        """The set that the chain proposes for the next epoch."""
        return self.ledger.proposed

    # --- signatures ---------------------------------------------------------------------------------------------------

    def vote(
        self,
        signer: int,
        kind: VoteKind,
        number: int = 0,
        digest: bytes = ZERO_HASH,
        *,
        rules: ChainRules | None = None,
        validators: ValidatorSet | None = None,
    ) -> Vote:
        """Return the vote of the validator with this index, in the present epoch unless `rules` are of another."""
        rules = rules or self.rules
        key = self._keys[(validators or rules.validators).keys[signer]]
        signature = key.sign(statement(rules.chain_id, kind, rules.epoch, number, digest))
        return Vote(1, kind, rules.epoch, number, digest, signer, signature)

    def certificate(
        self,
        kind: VoteKind,
        number: int,
        digest: bytes = ZERO_HASH,
        *,
        signers: Iterable[int] | None = None,
        rules: ChainRules | None = None,
    ) -> Certificate:
        """Certify a statement, by all validators of the epoch unless `signers` says by whom."""
        rules = rules or self.rules
        chosen = range(len(rules.validators)) if signers is None else signers
        return make_certificate(
            kind,
            rules.epoch,
            number,
            digest,
            {signer: self.vote(signer, kind, number, digest, rules=rules).signature for signer in chosen},
        )

    def change(self, members: Iterable[Validator], signers: Iterable[int] | None = None) -> SetChange:
        """Have validators approve the members of the next epoch."""
        following = ValidatorSet(members)
        certificate = self.certificate(VoteKind.SET_CHANGE, 0, following.hash, signers=signers)
        return SetChange(1, ValidatorList(1, following.members), certificate.signatures)

    def closes(self, *signers: int) -> OwnSignatures:
        """Return EpochCloses of the present epoch."""
        return tuple((signer, self.vote(signer, VoteKind.EPOCH_CLOSE).signature) for signer in signers)

    def ready(self, *signers: int, proposed: ValidatorSet | None = None) -> OwnSignatures:
        """Return NextReadys of members of the proposed set, by their index in it."""
        following = proposed or self.proposed
        assert following is not None
        return tuple(
            (signer, self.vote(signer, VoteKind.NEXT_READY, 0, following.hash, validators=following).signature)
            for signer in signers
        )

    def root_certificate(self) -> Certificate:
        """Return the certificate of the present epoch's root, made by the set of the epoch before."""
        height = self.rules.root_height
        return self.certificate(
            VoteKind.CHECKPOINT, height, self.checkpoints[height].hash, rules=self.rules_of[self.rules.epoch - 1]
        )

    def certified(self, height: int = -1, signers: Iterable[int] | None = None) -> CertifiedCheckpoint:
        """Return the certified checkpoint of a height."""
        header = self.checkpoints[height]
        certificate = self.certificate(
            VoteKind.CHECKPOINT, header.height, header.hash, signers=signers, rules=self.rules_of[header.epoch]
        )
        return CertifiedCheckpoint(1, header, certificate.signatures)

    def changes(self) -> list[ValidatorChange]:
        """Return every change of validators so far, oldest first."""
        return [
            ValidatorChange(1, self.certified(header.height), ValidatorList(1, following.validators.members))
            for header in self.checkpoints
            if header.next_validators_hash not in (ZERO_HASH, header.validators_hash)
            for following in [self.rules_of[header.epoch + 1]]
        ]

    # --- blocks -------------------------------------------------------------------------------------------------------

    def make(self, parent: BlockHeader, body: BlockBody, *, view: int | None = None, ts_ms: int | None = None) -> Block:
        """Build and sign a block of the present epoch with exactly this body, whatever is in it."""
        rules = self.rules
        parent_view = rules.view_of(parent)
        view = parent_view + 1 if view is None else view
        proof = (self.certificate(VoteKind.NOTARIZE, parent_view, parent.hash),) if parent_view else ()
        skips = tuple(self.certificate(VoteKind.NULLIFY, skipped) for skipped in range(parent_view + 1, view))
        just = Justification(1, proof, skips)
        last = parent.last_checkpoint
        if body.checkpoints:
            last = CheckpointRef(1, body.checkpoints[0].number, body.checkpoints[0].digest)
        header = BlockHeader(
            1,
            rules.chain_id,
            rules.epoch,
            view,
            parent.height + 1,
            parent.hash,
            parent_view,
            rules.leader(view),
            parent.ts_ms + 100 if ts_ms is None else ts_ms,
            hash_justification(encode(just)),
            hash_block_body(encode(body)),
            last,
            progress_after(rules.progress_of(parent), body),
        )
        return self.sign(header, just, body)

    def sign(self, header: BlockHeader, just: Justification, body: BlockBody) -> Block:
        """Put a block together as its proposer does."""
        signer = header.proposer % len(self.rules.validators)
        vote = self.vote(signer, VoteKind.NOTARIZE, header.view, header.hash)
        return Block(1, header, just, body, vote.signature)

    def block(
        self,
        parent: BlockHeader | None = None,
        *,
        closes: Iterable[int] = (),
        change: SetChange | None = None,
        ready: OwnSignatures = (),
        refs: Sequence[BatchCertificate] = (),
        evidence: Sequence[BlockEvidence] = (),
        view: int | None = None,
        ts_ms: int | None = None,
    ) -> Block:
        """Build the valid block on `parent` (by default the head); the first of an epoch carries its certificate."""
        parent = self.head if parent is None else parent
        is_first = parent.height == self.rules.root_height and self.rules.previous is not None
        body = BlockBody(
            1,
            tuple(refs),
            (self.root_certificate(),) if is_first else (),
            self.closes(*closes),
            () if change is None else (change,),
            ready,
            tuple(evidence),
        )
        return self.make(parent, body, view=view, ts_ms=ts_ms)

    def check(self, block: Block, parent: BlockHeader | None = None) -> None:
        """Check a block as a validator does that has executed its parent."""
        check_block(block, self.head if parent is None else parent, self.rules, self.proposed)

    def append(self, block: Block) -> Block:
        """Check and execute the next block."""
        self.check(block)
        self.ledger.apply(block, [])
        self.blocks.append(block)
        self.checkpoints.append(self.ledger.header)
        if self.ledger.rules is not self.rules and self.ledger.rules.epoch != self.rules.epoch:
            self.rules_of.append(self.ledger.rules)
        return block

    def add(
        self,
        *,
        closes: Iterable[int] = (),
        change: SetChange | None = None,
        ready: OwnSignatures = (),
        ts_ms: int | None = None,
    ) -> Block:
        """Build, check and execute the next block."""
        return self.append(self.block(closes=closes, change=change, ready=ready, ts_ms=ts_ms))

    def end_epoch(self, following: Iterable[Validator] | None = None) -> Block:
        """Go to the next epoch, with other validators if they are given; return the sealing block."""
        if following is not None:
            self.add(change=self.change(following))
            assert self.proposed is not None
            self.add(ready=self.ready(*range(len(self.proposed))))
        return self.add(closes=range(len(self.rules.validators)))

    def finalized(self, blocks: Sequence[Block]) -> FinalizedBlocks:
        """Return blocks of one epoch with a finalization of the last."""
        last = blocks[-1].header
        rules = self.rules_of[last.epoch]
        return FinalizedBlocks(1, tuple(blocks), self.certificate(VoteKind.FINALIZE, last.view, last.hash, rules=rules))
