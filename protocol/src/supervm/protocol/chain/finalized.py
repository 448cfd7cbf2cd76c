"""Runs of blocks that one finalization proves, as nodes fetch them from each other (consensus.md 2.8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from ..base import cbor
from ..base.codec import Agreed, decode, encode
from ..base.errors import RemoteProtocolError
from ..base.hashing import hash_block_body, hash_justification
from .block import Block
from .header import BlockHeader, ChainRules
from .votes import Certificate, VoteKind, check_certificate


class FinalizedBlocks(Agreed, tag="finblocks", frozen=True):
    """A hash chain of blocks in ascending height with a finalization of the last: one certificate proves them all.

    Attributes:
        version: layout, 1.
        blocks: of one epoch, each the parent of the next.
        finalization: Finalize certificate of the last block.
    """

    version: Literal[1]
    blocks: Annotated[tuple[Block, ...], msgspec.Meta(min_length=1, max_length=1024)]
    finalization: Certificate


PIECE_BYTES_MAX = 4 << 20
"""Longest encoded piece of the chain; one valid block always fits, with the finalization that proves it."""
HEADERS_MAX = 6_000
"""Most headers in a `FinalizedPrefix`: with blocks of 1 MiB they fit into a piece, with the longest block 800 do."""


class FinalizedPrefix(Agreed, tag="finprefix", frozen=True):
    """A piece of a run of blocks that became final through one finalization, too many for one message.

    Attributes:
        version: layout, 1.
        blocks: the piece: of one epoch, each the parent of the next.
        headers: lead on from the last of `blocks` to the block that is finalized; their blocks come in later pieces.
        finalization: Finalize certificate of the last of `headers`.
    """

    version: Literal[1]
    blocks: Annotated[tuple[Block, ...], msgspec.Meta(min_length=1, max_length=1024)]
    headers: Annotated[tuple[BlockHeader, ...], msgspec.Meta(min_length=1, max_length=HEADERS_MAX)]
    finalization: Certificate


_PREFIX_HEAD = b"\x85" + cbor.dumps(FinalizedPrefix.__struct_config__.tag)


def decode_finalized(data: bytes, *, bytes_max: int = PIECE_BYTES_MAX) -> FinalizedBlocks | FinalizedPrefix:
    """Read a piece of the finalized chain; `check_finalized_chain` checks it.

    Raises:
        RemoteProtocolError: it is neither of the two, or not in its canonical form.
    """
    if data.startswith(_PREFIX_HEAD):
        return decode(FinalizedPrefix, data, bytes_max=bytes_max)
    return decode(FinalizedBlocks, data, bytes_max=bytes_max)


def check_finalized_chain(chain: FinalizedBlocks | FinalizedPrefix, parent: BlockHeader, rules: ChainRules) -> None:
    """Check blocks obtained from one peer: of one epoch, hash-linked from `parent`, the last one finalized by a quorum.

    Of a `FinalizedPrefix` it is the last of the headers that is finalized.

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
    for following in chain.headers if isinstance(chain, FinalizedPrefix) else ():
        if following.epoch != rules.epoch or (following.parent_hash, following.height) != (
            header.hash,
            header.height + 1,
        ):
            raise RemoteProtocolError(f"header {following.height} does not link to {header.height}", code="bad-chain")
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
