"""Where a snapshot of the state begins: everything but the leaves that a node needs to stand at its height.

A node that is far behind takes the state of one certified checkpoint instead of all blocks (consensus.md 2.8): this
object, then the leaves in runs that prove themselves against the checkpoint's state root (`trie_range`).

The checkpoint is always a sealing one, the root of an epoch. There everything is proved that a node must know besides
the state: the root's header hashes to the checkpoint's ``block_hash``, the validators before and after it to
``validators_hash`` and ``next_validators_hash``, and of the new epoch nothing has happened yet - no block, no proposed
set, no promise. The root's block is not needed, since a certified checkpoint is final and the next block links to the
header. Whoever has checked a start stands where a node stands that has just certified that root.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from ..base.codec import Agreed, Hash, decode
from ..base.errors import RemoteProtocolError
from ..chain.checkpoint import CertifiedCheckpoint
from ..chain.epoch import EpochRecord
from ..chain.set_change import proposed_set
from ..state.mmr import check_peaks
from .client import LightClient

SNAPSHOT_START_BYTES_MAX = 1 << 18
"""Longest encoded start: two sets of 255 validators and 255 signatures take about 90 kB."""
_PEAKS_MAX = 63


class SnapshotStart(Agreed, tag="snapstart", frozen=True):
    """A certified sealing checkpoint and what must be known at its height besides the leaves.

    Attributes:
        version: layout, 1.
        checkpoint: the checkpoint whose state the snapshot is; it seals an epoch.
        peaks: of the history under its ``history_root``, as `HistoryMMR.peaks` gives them.
        epoch: the epoch that it begins.
    """

    version: Literal[1]
    checkpoint: CertifiedCheckpoint
    peaks: Annotated[tuple[Hash, ...], msgspec.Meta(max_length=_PEAKS_MAX)]
    epoch: EpochRecord

    @property
    def height(self) -> int:
        """The height of the checkpoint."""
        return self.checkpoint.header.height

    @property
    def state_root(self) -> bytes:
        """The root that the leaves lead to."""
        return self.checkpoint.header.state_root


def decode_snapshot_start(data: bytes) -> SnapshotStart:
    """Read a start from exactly `data`, at most `SNAPSHOT_START_BYTES_MAX` bytes in canonical form.

    Raises:
        RemoteProtocolError: code ``bad-snapshot``.
    """
    try:
        return decode(SnapshotStart, data, bytes_max=SNAPSHOT_START_BYTES_MAX)
    except RemoteProtocolError as error:
        raise _bad(error.reason) from error


def check_snapshot_start(start: SnapshotStart, client: LightClient) -> None:
    """Check that a trusted set has certified the checkpoint, and that epoch and history are the ones it binds.

    Args:
        start: the start, decoded.
        client: knows the validators; it has followed their changes up to this checkpoint.

    Raises:
        RemoteProtocolError: code ``bad-snapshot`` or that of the part that is wrong; ``unknown-set`` with no penalty
            if the client must follow more changes first.
    """
    header, epoch = start.checkpoint.header, start.epoch
    if (epoch.number, epoch.root.height, epoch.root.hash) != (header.epoch + 1, header.height, header.block_hash):
        raise _bad(f"its epoch does not begin at the block of the checkpoint of height {header.height}")
    if len(epoch.previous) != 1 or proposed_set(epoch.previous[0]).hash != header.validators_hash:
        raise _bad("its former validators are not those of the checkpoint")
    if proposed_set(epoch.validators).hash != header.next_validators_hash:
        raise _bad("its validators are not those that the checkpoint hands over to")
    check_peaks(header.history_root, header.height, start.peaks)
    # what a quorum has certified is final whatever the clock here says
    client.check_checkpoint(start.checkpoint, header.ts_ms)


def _bad(reason: str) -> RemoteProtocolError:
    return RemoteProtocolError(reason, penalty=100, code="bad-snapshot")
