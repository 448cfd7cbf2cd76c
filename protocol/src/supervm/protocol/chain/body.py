"""What a block carries: batch certificates in execution order, a checkpoint, controls, evidence (consensus.md 2.4)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from ..base.codec import Agreed, Signature, Uint8
from ..base.limits import REFS_MAX
from .batch_certificate import BatchCertificate
from .evidence import BlockEvidence
from .set_change import SetChange
from .validators import VALIDATORS_MAX
from .votes import Certificate

BODY_BYTES_MAX = 1 << 20
EVIDENCE_MAX = 4
OwnSignatures = Annotated[tuple[tuple[Uint8, Signature], ...], msgspec.Meta(max_length=VALIDATORS_MAX)]
"""(signer index, signature) with strictly increasing indices; may be empty."""


class BlockBody(Agreed, tag="body", frozen=True):
    """Batch certificates, at most one certificate of a newer checkpoint, and controls.

    Attributes:
        version: layout, 1.
        refs: certificates of the batches to execute, in the order of execution.
        checkpoints: the certificate of the header's `last_checkpoint` if the parent names an older one; else empty.
        closes: EpochCloses of the epoch's validators that are new on this chain (`controls`).
        set_changes: the validators proposed for the next epoch; only one in an epoch of a chain.
        ready: NextReadys of the proposed set's members, new on this chain, by their index in that set.
        evidence: accuses validators of this epoch, each at most once on a chain.
    """

    version: Literal[1]
    refs: Annotated[tuple[BatchCertificate, ...], msgspec.Meta(max_length=REFS_MAX)]
    checkpoints: Annotated[tuple[Certificate, ...], msgspec.Meta(max_length=1)]
    closes: OwnSignatures = ()
    set_changes: Annotated[tuple[SetChange, ...], msgspec.Meta(max_length=1)] = ()
    ready: OwnSignatures = ()
    evidence: Annotated[tuple[BlockEvidence, ...], msgspec.Meta(max_length=EVIDENCE_MAX)] = ()


EMPTY_BODY = BlockBody(1, (), ())
"""The only body that a descendant of a sealing block may have."""
