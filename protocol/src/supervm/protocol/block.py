"""Blocks: headers, self-justifying proposals, bodies, and the one validity rule (consensus.md 2.4).

A block carries batch certificates, not transactions, so its validity is a pure function of its ancestors and the
signatures in it: no execution, no local clock, no local database. A proposal carries its own proof that it may stand
where it stands - the parent's certificate and a nullification of every view in between - so a voter never has to fetch
anything in order to decide, and `just_hash` in the header makes a block without that proof provable misbehaviour.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal

import msgspec

from .batch import BatchCertificate, check_batch_certificate
from .codec import INT_MAX, Agreed, Hash, Signature, Uint, Uint8, encode
from .errors import RemoteProtocolError
from .hashing import HASHES_REMEMBERED, ZERO_HASH, hash_block, hash_block_body, hash_justification
from .transition import (
    NO_PROGRESS,
    EpochProgress,
    OwnSignatures,
    SetChange,
    check_control_signatures,
    check_controls,
    mask_weight,
    progress_after,
    signers_mask,
)
from .validators import ValidatorSet
from .votes import Certificate, Verify, VoteKind, check_certificate

REFS_MAX = 64
BODY_BYTES_MAX = 1 << 20
CHECKPOINT_LAG_MAX = 16
"""K of consensus.md 2.4: beyond this lag of certified checkpoints, blocks must carry no batches."""
GAP_VIEWS_MAX = 4_096
"""Most nullifications that a justification carries. At the longest view time-out that is 68 hours in which a quorum
nullifies view after view; a wider gap cannot be proposed over, because the proof no longer fits into a message."""


class CheckpointRef(Agreed, tag="ckptref", frozen=True):
    """Height and header hash of a checkpoint."""

    version: Literal[1]
    height: Uint
    hash: Hash


class BlockHeader(Agreed, tag="block", frozen=True):
    """The part of a block that is hashed and voted on; `ts_ms` is the chain's time."""

    version: Literal[1]
    chain_id: Hash
    epoch: Uint
    view: Uint
    height: Uint
    parent_hash: Hash
    parent_view: Uint
    proposer: Uint8
    ts_ms: Uint
    just_hash: Hash
    body_hash: Hash
    last_checkpoint: CheckpointRef
    progress: EpochProgress = NO_PROGRESS

    @property
    def hash(self) -> Hash:
        """The block's name: 32 bytes."""
        return _block_hash(self)


@lru_cache(maxsize=HASHES_REMEMBERED)
def _block_hash(header: BlockHeader) -> bytes:
    return hash_block(encode(header))


class Justification(Agreed, tag="just", frozen=True):
    """Why a proposal may extend its parent: the parent's certificate, and a nullification of every skipped view.

    `parent` is empty only for a child of the block that the epoch starts from; nullifications come in ascending view
    order.
    """

    version: Literal[1]
    parent: Annotated[tuple[Certificate, ...], msgspec.Meta(max_length=1)]
    nullifications: Annotated[tuple[Certificate, ...], msgspec.Meta(max_length=GAP_VIEWS_MAX)]


class BlockBody(Agreed, tag="body", frozen=True):
    """Batch certificates in execution order, at most one certificate of a newer checkpoint, and what ends the epoch.

    `closes` are EpochCloses of the epoch's validators, `ready` NextReadys of the proposed set's members (`transition`).
    """

    version: Literal[1]
    refs: Annotated[tuple[BatchCertificate, ...], msgspec.Meta(max_length=REFS_MAX)]
    checkpoints: Annotated[tuple[Certificate, ...], msgspec.Meta(max_length=1)]
    closes: OwnSignatures = ()
    set_changes: Annotated[tuple[SetChange, ...], msgspec.Meta(max_length=1)] = ()
    ready: OwnSignatures = ()


EMPTY_BODY = BlockBody(1, (), ())
"""The only body that a descendant of a sealing block may have."""


class Block(Agreed, tag="fullblock", frozen=True):
    """Header, justification and body together; `signature` is the proposer's Notarize signature."""

    version: Literal[1]
    header: BlockHeader
    just: Justification
    body: BlockBody
    signature: Signature

    @property
    def hash(self) -> Hash:
        """The hash of the header."""
        return self.header.hash


class FinalizedBlocks(Agreed, tag="finblocks", frozen=True):
    """A hash chain of blocks in ascending height with a finalization of the last: one certificate proves them all."""

    version: Literal[1]
    blocks: Annotated[tuple[Block, ...], msgspec.Meta(min_length=1, max_length=1024)]
    finalization: Certificate


@dataclass(frozen=True, slots=True)
class ChainRules:
    """What is fixed for every block of an epoch: the chain, the epoch, its validators and its leader order.

    Attributes:
        chain_id: the network.
        epoch: its number.
        validators: who votes.
        leaders: validator indices in the order in which they lead.
        verify: signature verification.
        root_height: height of the epoch's root: the block that it starts from, which belongs to the epoch before (or is
            genesis). Seen from this epoch, the root stands in view 0.
        root_ms: time of the root block.
        epoch_ms: time after which validators close the epoch.
        previous: the set that certified the root; None for the first epoch, whose root is genesis.
    """

    chain_id: bytes
    epoch: int
    validators: ValidatorSet
    leaders: tuple[int, ...]
    verify: Verify
    root_height: int = 0
    root_ms: int = 0
    epoch_ms: int = INT_MAX
    previous: ValidatorSet | None = None

    def leader(self, view: int) -> int:
        """Return the index of the validator that leads `view`."""
        return self.leaders[view % len(self.leaders)]

    def view_of(self, header: BlockHeader) -> int:
        """Return the view of a block as this epoch counts: 0 for its root."""
        return 0 if header.height <= self.root_height else header.view

    def progress_of(self, header: BlockHeader) -> EpochProgress:
        """Return what a block's chain has gathered in this epoch: nothing yet at its root."""
        return NO_PROGRESS if header.height <= self.root_height else header.progress

    def is_sealed(self, header: BlockHeader) -> bool:
        """Return whether the chain up to and including this block holds EpochCloses of quorum weight."""
        closers = self.progress_of(header).closers
        return bool(closers) and mask_weight(signers_mask(closers), self.validators) >= self.validators.quorum

    def is_closing(self, header: BlockHeader) -> bool:
        """Return whether a validator that has executed this block must close the epoch."""
        return header.height > self.root_height and header.ts_ms - self.root_ms >= self.epoch_ms


def genesis_block_header(chain_id: bytes, time_ms: int, checkpoint_hash: bytes) -> BlockHeader:
    """Return the header of view 0, height 0, which nobody signs (decisions.md, Genesis)."""
    return BlockHeader(
        1, chain_id, 0, 0, 0, ZERO_HASH, 0, 0, time_ms, ZERO_HASH, ZERO_HASH, CheckpointRef(1, 0, checkpoint_hash)
    )


def check_justification(header: BlockHeader, just: Justification, parent: BlockHeader, rules: ChainRules) -> None:
    """Check that `just` proves that `header` may extend `parent`.

    Raises:
        RemoteProtocolError: incomplete or invalid (code ``bad-justification``).
    """
    try:
        if hash_justification(encode(just)) != header.just_hash:
            raise RemoteProtocolError("the justification is not the one the header commits to")
        parent_view = rules.view_of(parent)
        if parent_view == 0:
            if just.parent:
                raise RemoteProtocolError("a child of the epoch's root carries a parent certificate; none is allowed")
        else:
            if not just.parent:
                raise RemoteProtocolError("the parent's certificate is missing")
            certificate = just.parent[0]
            if certificate.kind not in (VoteKind.NOTARIZE, VoteKind.FINALIZE):
                raise RemoteProtocolError("the parent's certificate is neither a notarization nor a finalization")
            if (certificate.epoch, certificate.number, certificate.digest) != (
                parent.epoch,
                parent_view,
                header.parent_hash,
            ):
                raise RemoteProtocolError("the parent's certificate is for another block")
            check_certificate(certificate, rules.chain_id, rules.validators, rules.verify)
        skipped = range(parent_view + 1, header.view)
        if len(just.nullifications) != len(skipped):
            raise RemoteProtocolError(f"{len(just.nullifications)} nullifications for {len(skipped)} skipped views")
        for view, nullification in zip(skipped, just.nullifications, strict=True):
            if (nullification.epoch, nullification.number) != (header.epoch, view):
                raise RemoteProtocolError(f"the nullification of view {view} is missing")
            check_certificate(nullification, rules.chain_id, rules.validators, rules.verify, kind=VoteKind.NULLIFY)
    except RemoteProtocolError as error:
        error.code = "bad-justification"
        raise


def check_block(block: Block, parent: BlockHeader, rules: ChainRules, proposed: ValidatorSet | None = None) -> None:
    """The validity rule: fields, leader, limits, justification, checkpoint and batch certificates; cheap checks first.

    A pure function of the block, its ancestors and the epoch. The proposer's own signature is not looked at: it is a
    Notarize vote, and is counted and checked as one.

    Args:
        block: the block.
        parent: its parent's header.
        rules: the epoch.
        proposed: the validator set that the parent's `progress` names; None if it names none.

    Raises:
        RemoteProtocolError: the block is invalid (code ``bad-block`` or that of the part that is wrong).
    """
    header, body = block.header, block.body

    def refuse(reason: str) -> RemoteProtocolError:
        return RemoteProtocolError(
            f"block {header.height} of view {header.view}: {reason}", penalty=50, code="bad-block"
        )

    parent_view = rules.view_of(parent)
    if header.chain_id != rules.chain_id or header.epoch != rules.epoch:
        raise refuse("it belongs to another chain or epoch")
    if header.height != parent.height + 1 or header.parent_hash != parent.hash or header.parent_view != parent_view:
        raise refuse("it does not link to its parent")
    if header.view <= parent_view:
        raise refuse(f"its view must be above the parent's {parent_view}")
    if header.proposer != rules.leader(header.view):
        raise refuse(f"validator {header.proposer} does not lead this view")
    if header.ts_ms <= parent.ts_ms:
        raise refuse(f"its time {header.ts_ms} must be after the parent's {parent.ts_ms}")
    body_bytes = encode(body)
    if len(body_bytes) > BODY_BYTES_MAX:
        raise refuse(f"its body has {len(body_bytes)} bytes; at most {BODY_BYTES_MAX} are allowed")
    if hash_block_body(body_bytes) != header.body_hash:
        raise refuse("its body is not the one the header commits to")
    if rules.is_sealed(parent) and body != EMPTY_BODY:
        raise refuse("it descends from a sealing block, so its body must be empty")
    certified_epoch = _check_last_checkpoint(block, parent, rules, refuse)
    if body.refs and header.height - header.last_checkpoint.height > CHECKPOINT_LAG_MAX:
        raise refuse(
            f"it carries batches {header.height - header.last_checkpoint.height} blocks after the last certified "
            "checkpoint"
        )
    if any(ref.header.epoch != header.epoch for ref in body.refs):
        raise refuse("it carries a batch of another epoch")
    try:
        proposed = check_controls(body, rules.progress_of(parent), rules.validators, proposed)
    except RemoteProtocolError as error:
        raise refuse(error.reason) from error
    if header.progress != progress_after(rules.progress_of(parent), body):
        raise refuse("its progress is not its parent's and what its body adds")
    # from here on signatures are checked: everything cheap has been seen
    check_justification(header, block.just, parent, rules)
    for certificate in body.checkpoints:
        signers = rules.validators if certified_epoch == rules.epoch else rules.previous
        assert signers is not None
        check_certificate(certificate, rules.chain_id, signers, rules.verify, kind=VoteKind.CHECKPOINT)
    check_control_signatures(body, rules.chain_id, rules.epoch, rules.validators, proposed, rules.verify)
    for ref in body.refs:
        check_batch_certificate(ref, rules.chain_id, rules.validators, rules.verify)


def _check_last_checkpoint(
    block: Block, parent: BlockHeader, rules: ChainRules, refuse: Callable[[str], RemoteProtocolError]
) -> int:
    """Check which checkpoint the header names; return the epoch whose validators must have certified it.

    The first block of an epoch carries the certificate of its root, on which the epoch rests, made by the set of the
    epoch before; for whoever comes later it is the proof that the epoch has begun.
    """
    header = block.header
    last, parent_last = header.last_checkpoint, parent.last_checkpoint
    epoch = header.epoch
    if rules.previous is not None and parent.height == rules.root_height:
        epoch -= 1
        if last.height != rules.root_height or not block.body.checkpoints:
            raise refuse("the first block of an epoch must carry the checkpoint certificate of the epoch's root")
    if block.body.checkpoints:
        certificate = block.body.checkpoints[0]
        if (certificate.epoch, certificate.number, certificate.digest) != (epoch, last.height, last.hash):
            raise refuse("its checkpoint certificate is not for the checkpoint its header names")
        if not parent_last.height < last.height < header.height:
            raise refuse("its checkpoint is not newer than the parent's and older than itself")
    elif last != parent_last:
        raise refuse("it names a new checkpoint without its certificate")
    return epoch


def check_finalized_chain(chain: FinalizedBlocks, parent: BlockHeader, rules: ChainRules) -> None:
    """Check blocks obtained from one peer: of one epoch, hash-linked from `parent`, the last one finalized by a quorum.

    The finalization proves the tip and the hash links prove the rest, so old signatures are not checked again
    (consensus.md 2.8). Blocks after a sealing block prove that one and are then discarded (`committed_part`).

    Raises:
        RemoteProtocolError: a broken link, a block of another epoch, or an invalid finalization.
    """
    header = parent
    for block in chain.blocks:
        following = block.header
        if following.epoch != rules.epoch:
            raise RemoteProtocolError(
                f"block {following.height} is of epoch {following.epoch}, the chain is in {rules.epoch}",
                code="bad-chain",
            )
        if following.parent_hash != header.hash or following.height != header.height + 1:
            raise RemoteProtocolError(
                f"block {following.height} does not link to block {header.height}", code="bad-chain"
            )
        if hash_block_body(encode(block.body)) != following.body_hash:
            raise RemoteProtocolError(f"the body of block {following.height} is not its own", code="bad-chain")
        if hash_justification(encode(block.just)) != following.just_hash:
            raise RemoteProtocolError(f"the justification of block {following.height} is not its own", code="bad-chain")
        header = following
    tip = chain.finalization
    if (tip.epoch, tip.number, tip.digest) != (header.epoch, header.view, header.hash):
        raise RemoteProtocolError("the finalization is not for the last block of the chain", code="bad-chain")
    check_certificate(tip, rules.chain_id, rules.validators, rules.verify, kind=VoteKind.FINALIZE)


def committed_part(blocks: Sequence[Block], rules: ChainRules) -> int:
    """Return how many of these consecutive final blocks count: up to and including the sealing block, if one is there.

    The rest are its empty descendants, which only proved it (consensus.md 2.11.3).
    """
    for place, block in enumerate(blocks):
        if rules.is_sealed(block.header):
            return place + 1
    return len(blocks)
