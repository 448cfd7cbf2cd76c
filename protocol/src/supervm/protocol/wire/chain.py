"""Messages about batches and the finalized chain, numbers 30 to 49: between miners and validators."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ..base.codec import Hash, Uint
from ..chain.batch_certificate import BatchVote
from .fields import BigBlob, Blob, Message

TAGS = range(30, 50)


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
    """Final `blocks` with the finalization of the last (`FinalizedBlocks`), or a part of them (`FinalizedPrefix`).

    Empty bytes if the sender does not keep the blocks any more that were asked for.
    """

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
