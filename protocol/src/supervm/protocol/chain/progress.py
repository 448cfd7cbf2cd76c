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

from typing import Annotated, Literal

import msgspec

from ..base.codec import Agreed, Hash
from ..base.hashing import ZERO_HASH
from .validators import VALIDATORS_MAX, ValidatorSet

Signers = Annotated[bytes, msgspec.Meta(max_length=(VALIDATORS_MAX + 7) // 8)]
"""A set of validator indices: bit ``i % 8`` (least significant first) of byte ``i // 8``; no zero byte at the end."""


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
