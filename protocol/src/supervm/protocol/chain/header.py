"""Block headers, what justifies a proposal, and the rules of an epoch (consensus.md 2.4).

A proposal carries its own proof that it may stand where it stands - the parent's certificate and a nullification of
every view in between, alone or in a span - so a voter never has to fetch anything in order to decide, and `just_hash`
in the header makes a block without that proof provable misbehaviour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal

import msgspec

from ..base.codec import INT_MAX, Agreed, Hash, Uint, Uint8, encode
from ..base.errors import RemoteProtocolError
from ..base.hashing import HASHES_REMEMBERED, ZERO_HASH, hash_block, hash_justification
from .progress import NO_PROGRESS, EpochProgress, mask_weight, signers_mask
from .spans import span_of
from .validators import ValidatorSet
from .votes import Certificate, Verify, VoteKind, check_certificate

SKIPS_MAX = 256
"""Most certificates of skipped views that a justification carries: 190 spans and single views prove any gap, and some
views may be without their span yet."""
SKIP_SIGNATURES_MAX = 40_000
"""Most signatures in them: 255 validators that all sign prove a gap of 10**12 views with fewer. A rule of validity,
since a block that is valid must fit into the messages that it travels in, also beside what proves that it is final."""
JUSTIFICATION_BYTES_MAX = 2_800_000
"""More than any valid justification takes: its signatures of 69 bytes, 62 for each certificate, the parent's own."""


class CheckpointRef(Agreed, tag="ckptref", frozen=True):
    """The name of a checkpoint.

    Attributes:
        version: layout, 1.
        height: of the checkpoint's block.
        hash: of its `CheckpointHeader`.
    """

    version: Literal[1]
    height: Uint
    hash: Hash


class BlockHeader(Agreed, tag="block", frozen=True, cache_hash=True):
    """The part of a block that is hashed and voted on.

    Attributes:
        version: layout, 1.
        chain_id: the network.
        epoch: whose validators vote on the block; 0 for the first.
        view: the view it was proposed in, from 1 in each epoch; 0 for genesis.
        height: one more than the parent's; 0 for genesis.
        parent_hash: hash of the parent's header; zero for genesis.
        parent_view: view of the parent; 0 if the parent is the epoch's root.
        proposer: index of the validator that leads the view.
        ts_ms: the chain's time, Unix time in ms: that of the proposer's clock, but always above the parent's.
        just_hash: hash of the block's `Justification`; zero for genesis.
        body_hash: hash of the block's body; zero for genesis.
        last_checkpoint: the newest one whose certificate is in the chain up to this block; genesis names its own.
        progress: what the chain has gathered in this epoch, this block included.
    """

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
    """Why a proposal may extend its parent.

    Attributes:
        version: layout, 1.
        parent: the parent's notarization or finalization; empty only for a child of the epoch's root.
        nullifications: prove that every view between the parent's and the block's was skipped; in ascending view
            order, each of one view or of a span. The first span may begin below the gap.
    """

    version: Literal[1]
    parent: Annotated[tuple[Certificate, ...], msgspec.Meta(max_length=1)]
    nullifications: Annotated[tuple[Certificate, ...], msgspec.Meta(max_length=SKIPS_MAX)]


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
        _check_skips(header, just.nullifications, parent_view + 1)
        for nullification in just.nullifications:
            check_certificate(nullification, rules.chain_id, rules.validators, rules.verify)
    except RemoteProtocolError as error:
        error.code = "bad-justification"
        raise


def _check_skips(header: BlockHeader, nullifications: Sequence[Certificate], view: int) -> None:
    """Check that these name every view from `view` up to the header's, in order, but not whether they are genuine."""
    signatures = sum(len(nullification.signatures) for nullification in nullifications)
    if signatures > SKIP_SIGNATURES_MAX:
        raise RemoteProtocolError(
            f"the nullifications have {signatures} signatures; at most {SKIP_SIGNATURES_MAX} are allowed"
        )
    for nullification in nullifications:
        first = last = nullification.number
        if nullification.kind is VoteKind.NULLIFY_SPAN:
            span = span_of(last, nullification.digest)
            if span is None:
                raise RemoteProtocolError(f"no span of views ends at {last} with the width that is named")
            first = span.first
        elif nullification.kind is not VoteKind.NULLIFY:
            raise RemoteProtocolError(f"a {nullification.kind.name} certificate stands among the nullifications")
        if nullification.epoch != header.epoch or not first <= view <= last:
            raise RemoteProtocolError(f"the nullification of view {view} is missing")
        view = last + 1
    if view != header.view:
        raise RemoteProtocolError(f"the nullifications end before view {view}, the block is of view {header.view}")
