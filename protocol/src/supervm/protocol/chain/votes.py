"""Validator votes and the certificates they add up to (consensus.md 2.3).

Every vote signs one 32-byte statement: BLAKE2b (person ``svm.vote``) of CBOR [version, chain_id, kind, epoch, number,
hash]. `number` is the view of a consensus vote, the height of a checkpoint vote and 0 for all others; the chain id and
the epoch inside every statement keep a signature from counting anywhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Annotated, Literal

import msgspec

from ..base import cbor, memory
from ..base.codec import Agreed, Hash, Signature, Uint, Uint8
from ..base.errors import RemoteProtocolError
from ..base.hashing import ZERO_HASH, hash_vote
from .spans import span_of
from .validators import VALIDATORS_MAX, ValidatorSet

STATEMENTS_REMEMBERED = 1_024
"""Statements that are remembered: each is signed once and checked with the votes of all validators."""

Verify = Callable[[bytes, bytes, bytes], bool]
"""(public key, message, signature) -> valid; a constructor argument, so that a simulator may memoise it."""


class VoteKind(IntEnum):
    """What a vote is about; the value is part of the signed statement."""

    NOTARIZE = 1
    NULLIFY = 2
    FINALIZE = 3
    CHECKPOINT = 4
    BATCH = 5
    EPOCH_CLOSE = 6
    SET_CHANGE = 7
    NEXT_READY = 8
    NULLIFY_SPAN = 9
    """Nullify of all views of a span (`spans`), which lie behind."""


@lru_cache(maxsize=STATEMENTS_REMEMBERED)
def statement(chain_id: bytes, kind: VoteKind, epoch: int, number: int, digest: bytes) -> bytes:
    """Return the 32 bytes that a vote of this kind signs."""
    return hash_vote(cbor.dumps([1, chain_id, int(kind), epoch, number, digest]))


class Vote(Agreed, tag="vote", frozen=True):
    """One validator's vote on a view, a checkpoint, or the end of the epoch.

    Attributes:
        version: layout, 1.
        kind: what the vote is about; on batches there is another object (`batch.BatchVote`).
        epoch: in which alone it counts.
        number: the view, the last view of a span, the height of a checkpoint; 0 for all others.
        digest: hash of the block, the checkpoint or the next validator set; the width of a span (`spans`); zero for
            Nullify and EpochClose, and for a SetChange that takes back the signer's wish.
        signer: index in the epoch's set, of a NextReady in the *next* set.
        signature: by the signer's vote key over `statement`.
    """

    version: Literal[1]
    kind: VoteKind
    epoch: Uint
    number: Uint
    digest: Hash
    signer: Uint8
    signature: Signature

    def statement(self, chain_id: bytes) -> bytes:
        """Return the bytes that `signature` must cover."""
        return statement(chain_id, self.kind, self.epoch, self.number, self.digest)


Signatures = Annotated[tuple[tuple[Uint8, Signature], ...], msgspec.Meta(min_length=1, max_length=VALIDATORS_MAX)]
"""(signer index, signature) with strictly increasing indices."""


class Certificate(Agreed, tag="cert", frozen=True):
    """Votes of at least quorum weight for one statement.

    Attributes:
        version: layout, 1.
        kind: what the votes are about.
        epoch: in which the votes count.
        number: view, last view of a span, height or 0, as in `Vote`.
        digest: as in `Vote`.
        signatures: (signer index, signature) of each vote, with strictly increasing indices.
    """

    version: Literal[1]
    kind: VoteKind
    epoch: Uint
    number: Uint
    digest: Hash
    signatures: Signatures

    def statement(self, chain_id: bytes) -> bytes:
        """Return the bytes that every signature must cover."""
        return statement(chain_id, self.kind, self.epoch, self.number, self.digest)


def make_certificate(
    kind: VoteKind, epoch: int, number: int, digest: bytes, signatures: Mapping[int, bytes]
) -> Certificate:
    """Assemble a certificate from verified votes, signers in index order."""
    return Certificate(1, kind, epoch, number, digest, tuple(sorted(signatures.items())))


def check_signers(signers: Sequence[int], validators: ValidatorSet, what: str) -> int:
    """Check that indices increase strictly and lie in the set; return their weight.

    Raises:
        RemoteProtocolError: out of order, twice, or outside the set.
    """
    previous = -1
    weight = 0
    for index in signers:
        if index <= previous:
            raise RemoteProtocolError(f"{what}: signer {index} after {previous}; indices must increase strictly")
        if index >= len(validators):
            raise RemoteProtocolError(f"{what}: signer {index} is not one of the {len(validators)} validators")
        previous = index
        weight += validators.weights[index]
    return weight


def check_certificate(
    certificate: Certificate,
    chain_id: bytes,
    validators: ValidatorSet,
    verify: Verify,
    *,
    kind: VoteKind | None = None,
) -> None:
    """Check kind, signers, weight and every signature of a certificate; cheap checks first.

    Raises:
        RemoteProtocolError: anything is wrong (code ``bad-certificate``).
    """
    try:
        if kind is not None and certificate.kind is not kind:
            raise RemoteProtocolError(f"a {certificate.kind.name} certificate stands where {kind.name} is required")
        known = memory.active
        if known is not None and known.is_good(certificate, chain_id, validators.hash, verify):
            return
        if certificate.kind is VoteKind.NULLIFY and certificate.digest != ZERO_HASH:
            raise RemoteProtocolError("a nullification carries a hash; it must be zero")
        if certificate.kind is VoteKind.NULLIFY_SPAN and span_of(certificate.number, certificate.digest) is None:
            raise RemoteProtocolError(f"no span of views ends at {certificate.number} with the width that is named")
        what = f"{certificate.kind.name} certificate for {certificate.number}"
        weight = check_signers([index for index, _ in certificate.signatures], validators, what)
        if weight < validators.quorum:
            raise RemoteProtocolError(f"{what}: weight {weight} is below the quorum of {validators.quorum}")
        message = certificate.statement(chain_id)
        keys = validators.keys
        for index, signature in certificate.signatures:
            if not verify(keys[index], message, signature):
                raise RemoteProtocolError(f"{what}: the signature of validator {index} is invalid", penalty=100)
        if known is not None:
            known.note_good(certificate, chain_id, validators.hash, verify, len(certificate.signatures))
    except RemoteProtocolError as error:
        error.code = "bad-certificate"
        raise
