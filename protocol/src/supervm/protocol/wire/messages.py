"""Every message between nodes, as typed msgpack arrays (network.md 7, decisions.md "Protocol messages").

A message is an array whose first element is its number (`tag`). Types and bounds are part of the definition, so
decoding is checking. Whatever is hashed or signed travels inside as its canonical CBOR bytes, or as fields from which
those bytes are rebuilt (votes); the msgpack envelope itself is never hashed.

Whether a message may be dropped under pressure, and whether it waits for a durable write, are properties of the kind:
`DROPPABLE` here, and the table in docs/messages.md. Each subject has a module and a range of numbers (`TAGS`).
"""

from __future__ import annotations

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
from .link import (
    Goodbye,
    Heartbeat,
    Hello,
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

AnyMessage = (
    Hello
    | Heartbeat
    | Goodbye
    | Submit
    | Status
    | Subscribe
    | Unsubscribe
    | GetLeaves
    | LeafProofs
    | GetReceipt
    | ReceiptAnswer
    | GetValidatorChanges
    | ValidatorChanges
    | ForkMessage
    | FeeTerms
    | BatchMessage
    | BatchVoteMessage
    | BatchCertificateMessage
    | GetBatches
    | GetBlocks
    | BlocksMessage
    | CheckpointMessage
    | Follow
    | GetSnapshot
    | SnapshotChunk
    | ProposalMessage
    | VoteMessage
    | CertificateMessage
    | GetBlock
    | ConsensusStatus
)
"""Every message there is."""

DROPPABLE = (Heartbeat, ConsensusStatus)
"""Kinds that a full queue may drop: the next one says more. All others close the connection instead, and the
protocol above repeats what still matters when the peer is back."""
