"""Checkpoints: what a quorum of validators signs after executing a finalized block (consensus.md 2.7).

The header is all a light client needs: the roots of state, receipts and history, the validator set and the supply.
`prev_hash` links headers backwards; `history_root` lets one header prove any earlier one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from ..base import memory
from ..base.codec import Agreed, Hash, Uint, encode
from ..base.errors import RemoteProtocolError
from ..base.hashing import HASHES_REMEMBERED, hash_checkpoint
from .validators import ValidatorSet
from .votes import Certificate, Signatures, Verify, VoteKind, check_certificate


class CheckpointHeader(Agreed, tag="ckpt", frozen=True, cache_hash=True):
    """The signed summary of the chain at `height`.

    Attributes:
        version: layout, 1.
        chain_id: the network.
        epoch: of the block.
        height: of the block; 0 for genesis, whose checkpoint nobody signs.
        block_hash: hash of the block's header; zero for genesis.
        prev_hash: hash of the checkpoint header one height below; zero for genesis.
        ts_ms: Unix time of the block in ms.
        state_root: root of the state trie after the block.
        receipts_root: root of the block's receipts tree; zero if the block has no receipts.
        history_root: of the `HistoryMMR` of all checkpoint headers below this height; zero for genesis.
        validators_hash: hash of the epoch's set, a quorum of which signs this header.
        next_validators_hash: hash of the next epoch's set, even if it is the same, on a sealing block; else zero.
        supply: grain in all accounts together; it never changes.
    """

    version: Literal[1]
    chain_id: Hash
    epoch: Uint
    height: Uint
    block_hash: Hash
    prev_hash: Hash
    ts_ms: Uint
    state_root: Hash
    receipts_root: Hash
    history_root: Hash
    validators_hash: Hash
    next_validators_hash: Hash
    supply: Uint

    @property
    def hash(self) -> Hash:
        """The header's name: 32 bytes."""
        return _checkpoint_hash(self)


@lru_cache(maxsize=HASHES_REMEMBERED)
def _checkpoint_hash(header: CheckpointHeader) -> bytes:
    return hash_checkpoint(encode(header))


class CertifiedCheckpoint(Agreed, tag="cckpt", frozen=True):
    """A checkpoint header with the quorum's signatures over its hash.

    Attributes:
        version: layout, 1.
        header: what is certified.
        signatures: those of the checkpoint votes for it, by index in the set that its `validators_hash` names.
    """

    version: Literal[1]
    header: CheckpointHeader
    signatures: Signatures

    def certificate(self) -> Certificate:
        """The signatures as the certificate that blocks carry."""
        header = self.header
        return Certificate(1, VoteKind.CHECKPOINT, header.epoch, header.height, header.hash, self.signatures)


def check_certified_checkpoint(
    checkpoint: CertifiedCheckpoint, chain_id: bytes, validators: ValidatorSet, verify: Verify
) -> None:
    """Check that a quorum of exactly `validators` signed this header of this chain (consensus.md 5, verify_qc).

    Raises:
        RemoteProtocolError: wrong chain or set, or a bad certificate.
    """
    header = checkpoint.header
    if header.chain_id != chain_id:
        raise RemoteProtocolError("the checkpoint belongs to another chain", penalty=100, code="wrong-chain")
    if header.validators_hash != validators.hash:
        raise RemoteProtocolError("the checkpoint names another validator set than the trusted one", code="wrong-set")
    known = memory.active
    if known is not None and known.is_good(checkpoint, chain_id, validators.hash, verify):
        return
    check_certificate(checkpoint.certificate(), chain_id, validators, verify, kind=VoteKind.CHECKPOINT)
    if known is not None:
        known.note_good(checkpoint, chain_id, validators.hash, verify, len(checkpoint.signatures))
