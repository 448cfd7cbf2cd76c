"""The votes that validators give a batch, and the certificates those add up to (consensus.md 3.1).

A vote carries one bit per transaction: 1 promises to support only this transaction for its slot in this epoch, 0
promises nothing. Bit j is bit ``j % 8`` (least significant first) of byte ``j // 8``; bits past the end are 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Literal

import msgspec

from ..base import memory
from ..base.codec import Agreed, Hash, Signature, Uint, Uint8, Uint16
from ..base.errors import RemoteProtocolError
from ..base.hashing import hash_batch_vote
from ..base.limits import BATCH_TRANSACTIONS_MAX
from ..money.transaction import SignedTransaction
from .batch import BatchHeader
from .validators import VALIDATORS_MAX, ValidatorSet
from .votes import Signatures, Verify, VoteKind, check_signers, statement

CERTIFICATES_REMEMBERED = 256
"""Batch certificates whose bits are remembered: a node asks when one comes and again when its block is executed."""


def bitmap_bytes(bits: int, count: int) -> bytes:
    """Write `bits` (bit j for transaction j) as the canonical bitmap of `count` transactions."""
    return bits.to_bytes((count + 7) // 8, "little")


def bitmap_bits(bitmap: bytes, count: int) -> int:
    """Read a canonical bitmap of `count` bits.

    Raises:
        RemoteProtocolError: the length is not ceil(count / 8) or a bit past the end is set.
    """
    bits = int.from_bytes(bitmap, "little")
    if len(bitmap) != (count + 7) // 8 or bits >> count:
        raise RemoteProtocolError(
            f"a bitmap of {len(bitmap)} bytes does not fit {count} transactions", code="bad-bitmap"
        )
    return bits


class BatchVote(Agreed, tag="bvote", frozen=True):
    """A validator's vote on a batch: which of its transactions it supports.

    Attributes:
        version: layout, 1.
        epoch: of the batch and of the set that `signer` is an index of.
        digest: the batch's.
        count: number of the batch's transactions, as its header says.
        bitmap: bit j is 1 if transaction j is supported; ceil(count / 8) bytes, laid out as the module says.
        signer: index of the validator.
        signature: by the validator's vote key over `statement`.
    """

    version: Literal[1]
    epoch: Uint
    digest: Hash
    count: Uint16
    bitmap: Annotated[bytes, msgspec.Meta(max_length=(BATCH_TRANSACTIONS_MAX + 7) // 8)]
    signer: Uint8
    signature: Signature

    def statement(self, chain_id: bytes) -> bytes:
        """Return the bytes that `signature` must cover."""
        return batch_vote_statement(chain_id, self.epoch, self.digest, self.count, self.bitmap)


def batch_vote_statement(chain_id: bytes, epoch: int, digest: bytes, count: int, bitmap: bytes) -> bytes:
    """Return the 32 bytes that a batch vote signs: chain, epoch, digest, count and bitmap are all under it."""
    return statement(chain_id, VoteKind.BATCH, epoch, 0, hash_batch_vote(digest + count.to_bytes(4, "big") + bitmap))


class VoteGroup(Agreed, tag="bvotes", frozen=True):
    """The signatures of the validators that gave one and the same bitmap.

    Attributes:
        version: layout, 1.
        bitmap: as in each of their votes (`BatchVote`).
        signatures: (signer index, signature of the vote) with strictly increasing indices.
    """

    version: Literal[1]
    bitmap: Annotated[bytes, msgspec.Meta(max_length=(BATCH_TRANSACTIONS_MAX + 7) // 8)]
    signatures: Signatures


class BatchCertificate(Agreed, tag="bcert", frozen=True, cache_hash=True):
    """Votes of quorum weight on one batch: in a block it is the reference to the batch.

    Attributes:
        version: layout, 1.
        header: the batch's.
        votes: grouped by equal bitmap, in ascending bitmap order; they say which transactions are certified.
    """

    version: Literal[1]
    header: BatchHeader
    votes: Annotated[tuple[VoteGroup, ...], msgspec.Meta(min_length=1, max_length=VALIDATORS_MAX)]

    @property
    def digest(self) -> Hash:
        """The digest of the batch."""
        return self.header.digest


@lru_cache(maxsize=CERTIFICATES_REMEMBERED)
def certified_bits(certificate: BatchCertificate, validators: ValidatorSet) -> int:
    """Return the bits that voters of quorum weight set; the certificate must have been checked.

    The weights are summed for all transactions together, one integer per binary place, because a faulty minority can
    make every vote's bitmap another one: adding up per transaction would then cost transactions times validators.
    """
    count, quorum = certificate.header.count, validators.quorum
    planes: list[int] = []  # bit j of planes[k] is bit k of the weight that voted for transaction j
    for group in certificate.votes:
        bits = bitmap_bits(group.bitmap, count)
        weight = validators.weight_of(index for index, _ in group.signatures)
        for place in range(weight.bit_length()):
            if weight >> place & 1:
                _add_bits(planes, bits, place)
    above, equal = 0, (1 << count) - 1  # compare all sums with the quorum at once, from the highest place down
    for place in reversed(range(max(len(planes), quorum.bit_length()))):
        plane = planes[place] if place < len(planes) else 0
        if quorum >> place & 1:
            equal &= plane
        else:
            above |= equal & plane
            equal &= ~plane
    return above | equal


def _add_bits(planes: list[int], bits: int, place: int) -> None:
    while bits:
        if place >= len(planes):
            planes.extend([0] * (place + 1 - len(planes)))
        planes[place], bits = planes[place] ^ bits, planes[place] & bits
        place += 1


def check_batch_certificate(
    certificate: BatchCertificate, chain_id: bytes, validators: ValidatorSet, verify: Verify
) -> None:
    """Check form, signers, weight and every signature of a batch certificate, cheap checks first.

    Raises:
        RemoteProtocolError: anything is wrong (code ``bad-certificate``).
    """
    known = memory.active
    if known is not None and known.is_good(certificate, chain_id, validators.hash, verify):
        return
    try:
        header = certificate.header
        if header.chain_id != chain_id:
            raise RemoteProtocolError("the batch certificate belongs to another chain")
        bitmaps = [group.bitmap for group in certificate.votes]
        if any(left >= right for left, right in pairwise(bitmaps)):
            raise RemoteProtocolError("the vote groups of a batch certificate must be in ascending bitmap order")
        for group in certificate.votes:
            bitmap_bits(group.bitmap, header.count)
            check_signers([index for index, _ in group.signatures], validators, "batch certificate")
        signers = sorted(index for group in certificate.votes for index, _ in group.signatures)
        weight = check_signers(signers, validators, "batch certificate")
        if weight < validators.quorum:
            raise RemoteProtocolError(f"a batch certificate of weight {weight} is below {validators.quorum}")
        digest = header.digest
        for group in certificate.votes:
            message = batch_vote_statement(chain_id, header.epoch, digest, header.count, group.bitmap)
            for index, signature in group.signatures:
                if not verify(validators.keys[index], message, signature):
                    raise RemoteProtocolError(f"the batch vote of validator {index} is invalid", penalty=100)
        if known is not None:
            known.note_good(certificate, chain_id, validators.hash, verify, len(signers))
    except RemoteProtocolError as error:
        error.code = "bad-certificate"
        raise


def make_batch_certificate(header: BatchHeader, votes: dict[int, tuple[bytes, bytes]]) -> BatchCertificate:
    """Assemble a certificate from verified votes: signer index -> (bitmap, signature)."""
    groups: dict[bytes, list[tuple[int, bytes]]] = {}
    for index in sorted(votes):
        bitmap, signature = votes[index]
        groups.setdefault(bitmap, []).append((index, signature))
    return BatchCertificate(1, header, tuple(VoteGroup(1, bitmap, tuple(groups[bitmap])) for bitmap in sorted(groups)))


@dataclass(frozen=True, slots=True)
class CertifiedBatch:
    """A batch as a block references it: header, parsed transactions, and the certified bits."""

    header: BatchHeader
    transactions: Sequence[SignedTransaction]
    certified: int
