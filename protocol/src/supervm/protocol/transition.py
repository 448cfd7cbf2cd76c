"""What blocks carry towards the end of an epoch, and what their headers sum up of it (consensus.md 2.11, 3.7, 3.9).

Theory of operation. An epoch is a stretch of the chain with one validator set. It ends by the chain's own time: once a
validator has *executed* a block whose time is `epoch_ms` after the epoch's root block, it signs EpochClose and votes on
no batch of the epoch any more. The block whose chain holds EpochCloses of quorum weight is the **sealing block**. Its
descendants in the epoch must be empty; they exist only so that the sealing block can become final through one of them,
and are discarded. The next epoch starts from the sealing block's certified checkpoint: view 1, parent the sealing
block, leaders drawn from its hash.

Who votes in the next epoch is decided on the chain as well. A `SetChange` is a list of validators with signatures of a
quorum of the present set; the first that gets into a block of the epoch stands. Members of that list that have
executed the block sign NextReady. If those have quorum weight *of the next set* when the epoch is sealed, the next
epoch is theirs; otherwise the change lapses and the set stays, so a set that never comes up cannot stop the chain.

All of it is summed up in the header (`EpochProgress`), so whether a block is valid, sealing or sealed is a pure
function of its parent's header, its body and the epoch - and every bit of the sums is checked in every block, because
sums that are taken on trust end up deciding who the next validators are (ava-labs #381).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec

from .codec import Agreed, Hash, Signature, Uint8
from .errors import LocalProtocolError, RemoteProtocolError
from .hashing import ZERO_HASH
from .validators import VALIDATORS_MAX, ValidatorList, ValidatorSet
from .votes import Certificate, Signatures, Verify, VoteKind, check_certificate, check_signers, statement

if TYPE_CHECKING:
    from .block import BlockBody

Signers = Annotated[bytes, msgspec.Meta(max_length=(VALIDATORS_MAX + 7) // 8)]
"""A set of validator indices: bit ``i % 8`` (least significant first) of byte ``i // 8``; no zero byte at the end."""
OwnSignatures = Annotated[tuple[tuple[Uint8, Signature], ...], msgspec.Meta(max_length=VALIDATORS_MAX)]
"""(signer index, signature) with strictly increasing indices; may be empty."""


def signers_mask(signers: bytes) -> int:
    """Read `Signers` as an integer, bit i for validator i."""
    return int.from_bytes(signers, "little")


def signers_bytes(mask: int) -> bytes:
    """Write an integer mask as canonical `Signers`."""
    return mask.to_bytes((mask.bit_length() + 7) // 8, "little")


def mask_weight(mask: int, validators: ValidatorSet) -> int:
    """Return the weight of the validators in `mask`; bits beyond the set count nothing."""
    return sum(weight for index, weight in enumerate(validators.weights) if mask >> index & 1)


class EpochProgress(Agreed, tag="progress", frozen=True):
    """What a block's chain has gathered in this epoch, the block included.

    Attributes:
        version: layout, 1.
        closers: validators whose EpochClose is in the chain.
        next_validators_hash: the set that a `SetChange` proposes, zero if there is none.
        ready: members of that set whose NextReady is in the chain, by their index in it.
        accused: validators against whom evidence is in the chain.
    """

    version: Literal[1]
    closers: Signers
    next_validators_hash: Hash
    ready: Signers
    accused: Signers


NO_PROGRESS = EpochProgress(1, b"", ZERO_HASH, b"", b"")
"""Where every epoch starts."""


class SetChange(Agreed, tag="setchange", frozen=True):
    """The validators of the next epoch, signed by a quorum of this epoch's.

    Attributes:
        version: layout, 1.
        validators: the whole proposed set, in index order.
        signatures: those of the SetChange votes for its hash, by index in this epoch's set.
    """

    version: Literal[1]
    validators: ValidatorList
    signatures: Signatures


def proposed_set(validators: ValidatorList) -> ValidatorSet:
    """Return the set that a peer's list describes.

    Raises:
        RemoteProtocolError: it is none: empty, duplicate keys or nodes, or too much weight.
    """
    try:
        return ValidatorSet(validators.members)
    except LocalProtocolError as error:
        raise RemoteProtocolError(f"the proposed validators are no set: {error}", penalty=50, code="bad-set") from error


def progress_after(progress: EpochProgress, body: BlockBody) -> EpochProgress:
    """Return what a chain has gathered after a block with this body, whose signers are distinct and new."""
    closers = signers_mask(progress.closers)
    for index, _ in body.closes:
        closers |= 1 << index
    ready = signers_mask(progress.ready)
    for index, _ in body.ready:
        ready |= 1 << index
    digest = progress.next_validators_hash
    if body.set_changes:
        digest = proposed_set(body.set_changes[0].validators).hash
    accused = signers_mask(progress.accused)
    for item in body.evidence:
        accused |= 1 << item.accused
    return EpochProgress(1, signers_bytes(closers), digest, signers_bytes(ready), signers_bytes(accused))


def check_controls(
    body: BlockBody, progress: EpochProgress, validators: ValidatorSet, proposed: ValidatorSet | None
) -> ValidatorSet | None:
    """Check the form of what a body adds to `progress`, without any signature; return the set its chain proposes.

    Args:
        body: the block's.
        progress: its parent's.
        validators: of the epoch.
        proposed: the set that `progress` names, None if it names none.

    Raises:
        RemoteProtocolError: a signer is out of place or stands there already, or a second set is proposed.
    """
    _check_new(body.closes, progress.closers, validators, "EpochClose")
    if body.set_changes:
        if progress.next_validators_hash != ZERO_HASH:
            raise RemoteProtocolError("a second set change in one epoch; only the first stands", penalty=50)
        proposed = proposed_set(body.set_changes[0].validators)
        if proposed.hash == validators.hash:
            raise RemoteProtocolError("a set change to the set that stands already", penalty=50)
    if body.ready:
        if proposed is None:
            raise RemoteProtocolError("a NextReady although no set is proposed", penalty=50)
        _check_new(body.ready, progress.ready, proposed, "NextReady")
    accused = [item.accused for item in body.evidence]
    _check_new([(index, b"") for index in accused], progress.accused, validators, "Accusation")
    return proposed


def _check_new(signatures: Sequence[tuple[int, bytes]], held: bytes, validators: ValidatorSet, what: str) -> None:
    check_signers([index for index, _ in signatures], validators, what)
    mask = signers_mask(held)
    for index, _ in signatures:
        if mask >> index & 1:
            raise RemoteProtocolError(f"{what} of validator {index} is in the chain already", penalty=50)


def check_control_signatures(
    body: BlockBody,
    chain_id: bytes,
    epoch: int,
    validators: ValidatorSet,
    proposed: ValidatorSet | None,
    verify: Verify,
) -> None:
    """Check every signature of what `check_controls` has found well formed.

    Raises:
        RemoteProtocolError: one is invalid, or a set change lacks the quorum.
    """
    close = statement(chain_id, VoteKind.EPOCH_CLOSE, epoch, 0, ZERO_HASH)
    for index, signature in body.closes:
        if not verify(validators.keys[index], close, signature):
            raise RemoteProtocolError(f"the EpochClose of validator {index} is invalid", penalty=100)
    if proposed is None:
        return
    for change in body.set_changes:
        certificate = Certificate(1, VoteKind.SET_CHANGE, epoch, 0, proposed.hash, change.signatures)
        check_certificate(certificate, chain_id, validators, verify)
    ready = statement(chain_id, VoteKind.NEXT_READY, epoch, 0, proposed.hash)
    for index, signature in body.ready:
        if not verify(proposed.keys[index], ready, signature):
            raise RemoteProtocolError(f"the NextReady of member {index} is invalid", penalty=100)
