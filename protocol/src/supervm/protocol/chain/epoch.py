"""Epochs as a function of the finalized chain: who validates after which block (consensus.md 2.11).

`EpochRecord` is what a node keeps about an epoch, `rules_of` turns it into the rules for the epoch's blocks, and
`next_epoch` says, for a sealing block, what comes after it. Nothing here depends on when anybody saw anything.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from ..base.codec import Agreed, Uint
from ..base.errors import LocalProtocolError
from .header import BlockHeader, ChainRules
from .progress import mask_weight, signers_mask
from .validators import ValidatorList, ValidatorSet, leader_permutation
from .votes import Verify


class EpochRecord(Agreed, tag="epoch", frozen=True):
    """One epoch.

    Attributes:
        version: layout, 1.
        number: 0 for the first.
        root: header of the block it starts from: genesis, or the sealing block of the epoch before.
        validators: who votes in it.
        previous: who voted in the epoch before, and so certified the root; empty for the first.
    """

    version: Literal[1]
    number: Uint
    root: BlockHeader
    validators: ValidatorList
    previous: Annotated[tuple[ValidatorList, ...], msgspec.Meta(max_length=1)]


def rules_of(record: EpochRecord, chain_id: bytes, epoch_ms: int, verify: Verify) -> ChainRules:
    """Return the rules for the blocks of an epoch.

    Leaders are drawn from the hash of the root, which nobody could choose; for the first epoch from the chain id.
    """
    validators = ValidatorSet(record.validators.members)
    seed = record.root.hash if record.previous else chain_id
    return ChainRules(
        chain_id,
        record.number,
        validators,
        leader_permutation(len(validators), seed),
        verify,
        record.root.height,
        record.root.ts_ms,
        epoch_ms,
        ValidatorSet(record.previous[0].members) if record.previous else None,
    )


def next_validators(sealing: BlockHeader, rules: ChainRules, proposed: ValidatorSet | None) -> ValidatorSet:
    """Return who votes after a sealing block: the proposed set if its members of quorum weight are ready, else the old.

    Raises:
        LocalProtocolError: `proposed` is not the set that the header names.
    """
    progress = rules.progress_of(sealing)
    if proposed is None:
        return rules.validators
    if proposed.hash != progress.next_validators_hash:
        raise LocalProtocolError("the proposed validators are not those the sealing block's header names")
    ready = mask_weight(signers_mask(progress.ready), proposed) >= proposed.quorum
    return proposed if ready else rules.validators


def next_epoch(sealing: BlockHeader, rules: ChainRules, proposed: ValidatorSet | None) -> EpochRecord:
    """Return the epoch that follows a sealing block."""
    following = next_validators(sealing, rules, proposed)
    return EpochRecord(
        1,
        rules.epoch + 1,
        sealing,
        ValidatorList(1, following.members),
        (ValidatorList(1, rules.validators.members),),
    )
