"""Block headers, what justifies a proposal, and the rules of an epoch (consensus.md 2.4).

A proposal carries its own proof that it may stand where it stands - the parent's certificate and a nullification of
every view in between - so a voter never has to fetch anything in order to decide, and `just_hash` in the header makes a
block without that proof provable misbehaviour.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal

import msgspec

from .codec import INT_MAX, Agreed, Hash, Uint, Uint8, encode
from .errors import RemoteProtocolError
from .hashing import HASHES_REMEMBERED, ZERO_HASH, hash_block, hash_justification
from .transition import NO_PROGRESS, EpochProgress, mask_weight, signers_mask
from .validators import ValidatorSet
from .votes import Certificate, Verify, VoteKind, check_certificate

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
