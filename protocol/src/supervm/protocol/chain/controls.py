"""What a block's body adds to its chain's `progress`: the rules of EpochCloses, set changes, NextReadys, evidence."""

from __future__ import annotations

from collections.abc import Sequence

from ..base.errors import RemoteProtocolError
from ..base.hashing import ZERO_HASH
from .body import BlockBody
from .progress import EpochProgress, signers_bytes, signers_mask
from .set_change import proposed_set
from .validators import ValidatorSet
from .votes import Certificate, Verify, VoteKind, check_certificate, check_signers, statement


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
