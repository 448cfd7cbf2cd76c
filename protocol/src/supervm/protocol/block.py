"""Blocks: headers, self-justifying proposals, bodies, and the one validity rule (consensus.md 2.4).

A block carries batch certificates, not transactions, so its validity is a pure function of its ancestors and the
signatures in it: no execution, no local clock, no local database. A proposal carries its own proof that it may stand
where it stands - the parent's certificate and a nullification of every view in between - so a voter never has to fetch
anything in order to decide, and `just_hash` in the header makes a block without that proof provable misbehaviour.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal

import msgspec

from .batch import BatchCertificate, check_batch_certificate
from .codec import Agreed, Hash, Signature, Uint, Uint8, encode
from .errors import RemoteProtocolError
from .hashing import HASHES_REMEMBERED, ZERO_HASH, hash_block, hash_block_body, hash_justification
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

    @property
    def hash(self) -> Hash:
        """The block's name: 32 bytes."""
        return _block_hash(self)


@lru_cache(maxsize=HASHES_REMEMBERED)
def _block_hash(header: BlockHeader) -> bytes:
    return hash_block(encode(header))


class Justification(Agreed, tag="just", frozen=True):
    """Why a proposal may extend its parent: the parent's certificate, and a nullification of every skipped view.

    `parent` is empty only for a child of genesis; nullifications come in ascending view order.
    """

    version: Literal[1]
    parent: Annotated[tuple[Certificate, ...], msgspec.Meta(max_length=1)]
    nullifications: Annotated[tuple[Certificate, ...], msgspec.Meta(max_length=GAP_VIEWS_MAX)]


class BlockBody(Agreed, tag="body", frozen=True):
    """Batch certificates in execution order, and at most one certificate of a newer checkpoint."""

    version: Literal[1]
    refs: Annotated[tuple[BatchCertificate, ...], msgspec.Meta(max_length=REFS_MAX)]
    checkpoints: Annotated[tuple[Certificate, ...], msgspec.Meta(max_length=1)]


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
    """What is fixed for every block of an epoch: the chain, the epoch, its validators and its leader order."""

    chain_id: bytes
    epoch: int
    validators: ValidatorSet
    leaders: tuple[int, ...]
    verify: Verify

    def leader(self, view: int) -> int:
        """Return the index of the validator that leads `view`."""
        return self.leaders[view % len(self.leaders)]


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
        if parent.height == 0:
            if just.parent:
                raise RemoteProtocolError("a child of genesis carries a parent certificate; it must carry none")
        else:
            if not just.parent:
                raise RemoteProtocolError("the parent's certificate is missing")
            certificate = just.parent[0]
            if certificate.kind not in (VoteKind.NOTARIZE, VoteKind.FINALIZE):
                raise RemoteProtocolError("the parent's certificate is neither a notarization nor a finalization")
            if (certificate.epoch, certificate.number, certificate.digest) != (
                parent.epoch,
                parent.view,
                header.parent_hash,
            ):
                raise RemoteProtocolError("the parent's certificate is for another block")
            check_certificate(certificate, rules.chain_id, rules.validators, rules.verify)
        skipped = range(parent.view + 1, header.view)
        if len(just.nullifications) != len(skipped):
            raise RemoteProtocolError(f"{len(just.nullifications)} nullifications for {len(skipped)} skipped views")
        for view, nullification in zip(skipped, just.nullifications, strict=True):
            if (nullification.epoch, nullification.number) != (header.epoch, view):
                raise RemoteProtocolError(f"the nullification of view {view} is missing")
            check_certificate(nullification, rules.chain_id, rules.validators, rules.verify, kind=VoteKind.NULLIFY)
    except RemoteProtocolError as error:
        error.code = "bad-justification"
        raise


def check_block(block: Block, parent: BlockHeader, rules: ChainRules) -> None:
    """The validity rule: fields, leader, limits, justification, checkpoint and batch certificates; cheap checks first.

    A pure function of the block, its parent's header and the epoch. The proposer's own signature is not looked at: it
    is a Notarize vote, and is counted and checked as one.

    Raises:
        RemoteProtocolError: the block is invalid (code ``bad-block`` or that of the part that is wrong).
    """
    header, body = block.header, block.body

    def refuse(reason: str) -> RemoteProtocolError:
        return RemoteProtocolError(
            f"block {header.height} of view {header.view}: {reason}", penalty=50, code="bad-block"
        )

    if header.chain_id != rules.chain_id or header.epoch != rules.epoch:
        raise refuse("it belongs to another chain or epoch")
    if header.height != parent.height + 1 or header.parent_hash != parent.hash or header.parent_view != parent.view:
        raise refuse("it does not link to its parent")
    if header.view <= parent.view:
        raise refuse(f"its view must be above the parent's {parent.view}")
    if header.proposer != rules.leader(header.view):
        raise refuse(f"validator {header.proposer} does not lead this view")
    if header.ts_ms <= parent.ts_ms:
        raise refuse(f"its time {header.ts_ms} must be after the parent's {parent.ts_ms}")
    body_bytes = encode(body)
    if len(body_bytes) > BODY_BYTES_MAX:
        raise refuse(f"its body has {len(body_bytes)} bytes; at most {BODY_BYTES_MAX} are allowed")
    if hash_block_body(body_bytes) != header.body_hash:
        raise refuse("its body is not the one the header commits to")
    last, parent_last = header.last_checkpoint, parent.last_checkpoint
    if body.checkpoints:
        certificate = body.checkpoints[0]
        if (certificate.epoch, certificate.number, certificate.digest) != (header.epoch, last.height, last.hash):
            raise refuse("its checkpoint certificate is not for the checkpoint its header names")
        if not parent_last.height < last.height < header.height:
            raise refuse("its checkpoint is not newer than the parent's and older than itself")
    elif last != parent_last:
        raise refuse("it names a new checkpoint without its certificate")
    if body.refs and header.height - last.height > CHECKPOINT_LAG_MAX:
        raise refuse(f"it carries batches {header.height - last.height} blocks after the last certified checkpoint")
    if any(ref.header.epoch != header.epoch for ref in body.refs):
        raise refuse("it carries a batch of another epoch")
    # from here on signatures are checked: everything cheap has been seen
    check_justification(header, block.just, parent, rules)
    for certificate in body.checkpoints:
        check_certificate(certificate, rules.chain_id, rules.validators, rules.verify, kind=VoteKind.CHECKPOINT)
    for ref in body.refs:
        check_batch_certificate(ref, rules.chain_id, rules.validators, rules.verify)


def check_finalized_chain(chain: FinalizedBlocks, parent: BlockHeader, rules: ChainRules) -> None:
    """Check blocks obtained from one peer: hash-linked from `parent`, and the last one finalized by a quorum.

    The finalization proves the tip and the hash links prove the rest, so old signatures are not checked again
    (consensus.md 2.8).

    Raises:
        RemoteProtocolError: a broken link or an invalid finalization.
    """
    header = parent
    for block in chain.blocks:
        following = block.header
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
