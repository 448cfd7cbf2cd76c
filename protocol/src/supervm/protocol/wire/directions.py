"""Which tier may send which message to which tier (decisions.md, "Protocol messages").

A message that travels in a direction the table does not name is the sender's fault: nothing in a node ever looks at it.
Tier 0 is a client that is no node; it may ask what an L4 may ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .chain import (
    BatchCertificateMessage,
    BatchMessage,
    BatchVoteMessage,
    BlocksMessage,
    CheckpointMessage,
    Follow,
    GetBatches,
    GetBlocks,
    GetSnapshot,
    SnapshotChunk,
)
from .consensus import (
    CertificateMessage,
    ConsensusStatus,
    GetBlock,
    ProposalMessage,
    VoteMessage,
)
from .fields import Message
from .link import (
    Goodbye,
    Heartbeat,
)
from .payments import (
    FeeTerms,
    ForkMessage,
    GetLeaves,
    GetReceipt,
    GetValidatorChanges,
    LeafProofs,
    ReceiptAnswer,
    Status,
    Submit,
    Subscribe,
    Unsubscribe,
    ValidatorChanges,
)

Kinds = frozenset[type[Message]]

ANY_LINK: Final[Kinds] = frozenset({Heartbeat, Goodbye})
"""Kinds that travel on every link, both ways; `Hello` is the connection's own and never comes again."""

REQUESTS: Final[Kinds] = frozenset(
    {Submit, Subscribe, Unsubscribe, GetLeaves, GetReceipt, GetValidatorChanges, ForkMessage}
)
ANSWERS: Final[Kinds] = frozenset(
    {Status, LeafProofs, ReceiptAnswer, CheckpointMessage, ValidatorChanges, ForkMessage, FeeTerms}
)
_MINER_TO_VALIDATOR: Final[Kinds] = frozenset(
    {
        BatchMessage,
        BatchCertificateMessage,
        GetBatches,
        GetBlocks,
        Follow,
        GetSnapshot,
        GetLeaves,
        GetReceipt,
        GetValidatorChanges,
    }
)
_VALIDATOR_TO_MINER: Final[Kinds] = frozenset(
    {
        BatchVoteMessage,
        BatchMessage,
        BatchCertificateMessage,
        GetBatches,
        BlocksMessage,
        CheckpointMessage,
        LeafProofs,
        ReceiptAnswer,
        SnapshotChunk,
        ValidatorChanges,
    }
)
_VALIDATORS: Final[Kinds] = frozenset(
    {
        ProposalMessage,
        VoteMessage,
        CertificateMessage,
        GetBlock,
        ConsensusStatus,
        BatchMessage,
        BatchCertificateMessage,
        GetBatches,
        GetBlocks,
        BlocksMessage,
        CheckpointMessage,
        Follow,
        GetValidatorChanges,
        ValidatorChanges,
        GetSnapshot,
        SnapshotChunk,
    }
)

ACCEPTS: Final[Mapping[tuple[int, int], Kinds]] = {
    (0, 3): REQUESTS | ANY_LINK,
    (4, 3): REQUESTS | ANY_LINK,
    (3, 0): ANSWERS | ANY_LINK,
    (3, 4): ANSWERS | ANY_LINK,
    (3, 2): REQUESTS | ANY_LINK,
    (2, 3): ANSWERS | ANY_LINK,
    (2, 1): _MINER_TO_VALIDATOR | ANY_LINK,
    (1, 2): _VALIDATOR_TO_MINER | ANY_LINK,
    (1, 1): _VALIDATORS | ANY_LINK,
}
"""(sender's tier, receiver's tier) -> kinds; a pair that is missing may only say `ANY_LINK`."""

DESPITE_CLOCK: Final[Kinds] = ANSWERS | ANY_LINK | {Subscribe, Unsubscribe, GetLeaves, GetReceipt, GetValidatorChanges}
"""Kinds that still travel between an L4 and its edge when their clocks are too far apart (network.md 3): news and
proofs, never a transaction, whose validity the sender would get wrong."""


def accepted_kinds(sender_tier: int, receiver_tier: int) -> Kinds:
    """Return what a node of `sender_tier` may send to a node of `receiver_tier` after Hello; tiers are 0..4."""
    return ACCEPTS.get((sender_tier, receiver_tier), ANY_LINK)
