"""Every message between nodes, as typed msgpack arrays (network.md 7, decisions.md "Protocol messages").

A message is an array whose first element is its number (`tag`). Types and bounds are part of the definition, so
decoding is checking. Whatever is hashed or signed travels inside as its canonical CBOR bytes, or as fields from which
those bytes are rebuilt (votes); the msgpack envelope itself is never hashed.

Whether a message may be dropped under pressure, and whether it waits for a durable write, are properties of the kind:
`DROPPABLE` here, and the table in docs/messages.md.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from ..base.codec import Hash, Key, Uint, Uint16
from ..chain.batch_certificate import BatchVote
from ..chain.validators import VALIDATORS_MAX
from ..chain.votes import Certificate, Vote
from ..light.forks import FORK_BYTES_MAX
from ..money.transfer import TRANSFER_BYTES_MAX

RawTransfer = Annotated[bytes, msgspec.Meta(max_length=TRANSFER_BYTES_MAX)]
Text = Annotated[str, msgspec.Meta(max_length=256)]
Word = Annotated[str, msgspec.Meta(max_length=32)]
Blob = Annotated[bytes, msgspec.Meta(max_length=1 << 20)]
"""Canonical CBOR bytes of an agreed object."""
BigBlob = Annotated[bytes, msgspec.Meta(max_length=4 << 20)]

FORWARD_MAX = 512
"""Most transfers, statuses or accounts in one message."""


CHANGES_MAX = 16
"""Most changes of validators in one answer; the asker goes on from the last."""


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of every message."""


# --- every link -----------------------------------------------------------------------------------------------------


class Hello(Message, tag=1, frozen=True):
    """First message in both directions.

    Attributes:
        version_min: lowest version of this protocol that the sender speaks.
        version_max: highest one.
        tier: the sender's, 1 to 4; 0 of a client that is no node.
        features: words for what the sender can do beyond its version; none is in use yet, and unknown ones do no harm.
        clock_ms: the sender's clock when it sent this, Unix time in ms.
        agent: name and version of its software, for logs.
    """

    version_min: Uint16
    version_max: Uint16
    tier: Annotated[int, msgspec.Meta(ge=0, le=4)]
    features: Annotated[tuple[Word, ...], msgspec.Meta(max_length=32)]
    clock_ms: Uint
    agent: Word


class Heartbeat(Message, tag=2, frozen=True):
    """Sign of life.

    Attributes:
        counter: number of this round of heartbeats since the sender started, from 1.
        load_percent: how full the sender's store of transfers is; always 0 at an L1 and an L4.
        clock_ms: the sender's clock, Unix time in ms.
        height: of the newest certified checkpoint that the sender has.
    """

    counter: Uint
    load_percent: Annotated[int, msgspec.Meta(ge=0, le=100)]
    clock_ms: Uint
    height: Uint


class Goodbye(Message, tag=3, frozen=True):
    """Why the sender closes the connection: `code` is a stable word for programs, `reason` a sentence for people."""

    code: Word
    reason: Text


# --- L4 - L3 - L2: payments up, news down ---------------------------------------------------------------------------


class Submit(Message, tag=10, frozen=True):
    """Transfers on their way up: `transfers` are their canonical signed bytes."""

    transfers: Annotated[tuple[RawTransfer, ...], msgspec.Meta(max_length=FORWARD_MAX)]


class StatusItem(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the sender of the message says about one transfer.

    Attributes:
        transfer_id: the transfer's.
        level: one of the `LEVEL_...` below.
        reason: why it is refused or has expired, or empty; ``busy`` at the front means that a later try may do better.
    """

    transfer_id: Hash
    level: Annotated[int, msgspec.Meta(ge=0, le=20)]
    reason: Text


class Status(Message, tag=11, frozen=True):
    """News of transfers on their way down; `items` are claims of the sender, never proof (architecture.md 3)."""

    items: Annotated[tuple[StatusItem, ...], msgspec.Meta(max_length=FORWARD_MAX)]


class Subscribe(Message, tag=12, frozen=True):
    """Ask to be sent checkpoints with proofs of these `accounts`, now and whenever a block touches them.

    A subscription adds to those of the connection and ends with it.
    """

    accounts: Annotated[tuple[Key, ...], msgspec.Meta(max_length=FORWARD_MAX)]


class Unsubscribe(Message, tag=13, frozen=True):
    """End this connection's subscriptions of these `accounts`."""

    accounts: Annotated[tuple[Key, ...], msgspec.Meta(max_length=FORWARD_MAX)]


class GetAccounts(Message, tag=14, frozen=True):
    """Ask once for proofs of `accounts`; a request never names a height (decisions.md).

    Without any, an L3 answers with its newest checkpoint alone.
    """

    accounts: Annotated[tuple[Key, ...], msgspec.Meta(max_length=FORWARD_MAX)]


class AccountProofs(Message, tag=15, frozen=True):
    """What accounts are proved to be.

    Attributes:
        checkpoint: a `CertifiedCheckpoint`.
        proofs: (account, `TrieProof` under its state root) of each; with none the checkpoint is the news.
    """

    checkpoint: Blob
    proofs: Annotated[tuple[tuple[Key, Blob], ...], msgspec.Meta(max_length=FORWARD_MAX)]


class GetReceipt(Message, tag=16, frozen=True):
    """Ask for the receipt of the executed transfer `transfer_id`, with its proof."""

    transfer_id: Hash


class ReceiptAnswer(Message, tag=17, frozen=True):
    """The receipt of `transfer_id`: `proof` is a `light.ReceiptProof`, empty when the sender knows no such receipt."""

    transfer_id: Hash
    proof: Blob


class EdgeRegistration(Message, tag=18, frozen=True):
    """An edge tells its miner where its share is paid: `record` is a signed `edge.EdgeRecord`."""

    record: Blob


class GetValidatorChanges(Message, tag=19, frozen=True):
    """Ask for the changes of validators above `after_height`: the sender knows those up to it."""

    after_height: Uint


class ValidatorChanges(Message, tag=20, frozen=True):
    """`changes` of validators (`light.ValidatorChange`), oldest first; none if the sender knows no newer one."""

    changes: Annotated[tuple[Blob, ...], msgspec.Meta(max_length=CHANGES_MAX)]


class ForkMessage(Message, tag=21, frozen=True):
    """Two certified checkpoints that no one chain contains (`fork`: a `forks.CheckpointFork`), so that others stop."""

    fork: Annotated[bytes, msgspec.Meta(max_length=FORK_BYTES_MAX)]


# --- L2 - L1 --------------------------------------------------------------------------------------------------------


class BatchMessage(Message, tag=30, frozen=True):
    """A batch for voting, or a body that was asked for: `batch` is the agreed `Batch`."""

    batch: BigBlob


class BatchVoteMessage(Message, tag=31, frozen=True):
    """A validator's `vote` on a batch, to its miner."""

    vote: BatchVote


class BatchCertificateMessage(Message, tag=32, frozen=True):
    """A batch `certificate` (`BatchCertificate`), from its miner to every validator, and between validators."""

    certificate: Blob


class GetBatches(Message, tag=33, frozen=True):
    """Ask for batch bodies by `digests` of their headers; each comes back as a `BatchMessage`."""

    digests: Annotated[tuple[Hash, ...], msgspec.Meta(max_length=64)]


class GetBlocks(Message, tag=34, frozen=True):
    """Ask for finalized blocks from `from_height` on; answered by one `BlocksMessage` when there are any."""

    from_height: Uint


class BlocksMessage(Message, tag=35, frozen=True):
    """Final `blocks` with the finalization of the last (`FinalizedBlocks`), or a part of them (`FinalizedPrefix`)."""

    blocks: BigBlob


class CheckpointMessage(Message, tag=36, frozen=True):
    """A certified `checkpoint` (`CertifiedCheckpoint`)."""

    checkpoint: Blob


class Follow(Message, tag=37, frozen=True):
    """Ask to be sent every finalized block above `height`, and every certified checkpoint, from now on."""

    height: Uint


class GetSnapshot(Message, tag=38, frozen=True):
    """Ask for the leaves of a snapshot from a trie key on (consensus.md 2.8); always answered by a `SnapshotChunk`.

    Attributes:
        height: of the snapshot's checkpoint; 0 asks for the newest there is.
        first_key: trie key of the first leaf that is wanted; zeros for the first of all.
        above: a snapshot that is not higher is of no use to the asker; 0 where `height` names one.
    """

    height: Uint
    first_key: Hash
    above: Uint


class SnapshotChunk(Message, tag=39, frozen=True):
    """Leaves of a snapshot from a trie key on; empty bytes if the sender does not have it.

    Attributes:
        height: of the snapshot's checkpoint; of an empty answer as it was asked for.
        first_key: as it was asked for.
        start: a `SnapshotStart` with the first leaves of all; later empty.
        leaves: a `TrieRange`.
    """

    height: Uint
    first_key: Hash
    start: Blob
    leaves: Blob


# --- L1 - L1 --------------------------------------------------------------------------------------------------------


class ProposalMessage(Message, tag=50, frozen=True):
    """A proposed `block` (`Block`); it counts as its leader's Notarize vote."""

    block: BigBlob


class VoteMessage(Message, tag=51, frozen=True):
    """Consensus and checkpoint `votes`, and those on the end of the epoch."""

    votes: Annotated[tuple[Vote, ...], msgspec.Meta(max_length=4 * VALIDATORS_MAX)]


class CertificateMessage(Message, tag=52, frozen=True):
    """`certificates`: notarizations, nullifications and finalizations."""

    certificates: Annotated[tuple[Certificate, ...], msgspec.Meta(max_length=VALIDATORS_MAX)]


class GetBlock(Message, tag=53, frozen=True):
    """Ask for one proposed block by its `view` and header hash `digest`; it comes back as a `ProposalMessage`."""

    view: Uint
    digest: Hash


class ConsensusStatus(Message, tag=54, frozen=True):
    """Where the sender stands; never trusted as proof.

    Attributes:
        epoch: the one that it votes in or follows.
        view: the view of that epoch that it is in.
        finalized_view: view of its last finalized block; 0 at the epoch's root.
        finalized_height: height of its last finalized block.
        sealed: whether it has executed the sealing block of that epoch.
    """

    epoch: Uint
    view: Uint
    finalized_view: Uint
    finalized_height: Uint
    sealed: bool


AnyMessage = (
    Hello
    | Heartbeat
    | Goodbye
    | Submit
    | Status
    | Subscribe
    | Unsubscribe
    | GetAccounts
    | AccountProofs
    | GetReceipt
    | ReceiptAnswer
    | EdgeRegistration
    | GetValidatorChanges
    | ValidatorChanges
    | ForkMessage
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

LEVEL_R0, LEVEL_R1, LEVEL_R3, LEVEL_REFUSED, LEVEL_EXPIRED = 0, 1, 3, 10, 11
"""Levels of `StatusItem`; R4 is never told, it is proved."""
