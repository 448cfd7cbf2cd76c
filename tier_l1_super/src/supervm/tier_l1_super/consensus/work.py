"""What is under way at one validator, so that further blocks are wanted before the beat of an idle chain.

Theory of operation. A block without content finishes nothing: it is there so that everybody sees, once in an idle
interval, that the chain stands where it stood. Blocks follow each other after `block_interval_ms` only while one of
these holds: a certified batch waits that would execute; content stands in a block that is not certified yet - the next
block may finalize it, and carries its checkpoint to those who missed it -; the epoch is closing; signatures of
validators or evidence wait to be put into a block. This is about patience and cadence alone: validators that see it
differently for a while agree on the same blocks.
"""

from __future__ import annotations

from supervm.protocol.chain.block import Block
from supervm.protocol.chain.body import BlockBody
from supervm.protocol.chain.header import BlockHeader

from ..batches.pool import Pool
from ..chain.executor import Executor
from ..ground import Ground
from .epoch_end import EpochEnd


def has_content(body: BlockBody) -> bool:
    """Return whether a block says more than that time has passed; a checkpoint's certificate alone is not more."""
    return bool(body.refs or body.closes or body.set_changes or body.ready or body.evidence)


class Work:
    """What further blocks would finish, as one node sees it.

    Args:
        ground: what every part stands on.
        pool: certificates that wait for a block.
        executor: says what is certified.
        epoch_end: signatures that wait for a block.
    """

    def __init__(self, ground: Ground, pool: Pool, executor: Executor, epoch_end: EpochEnd) -> None:
        self._ground, self._pool, self._executor, self._epoch_end = ground, pool, executor, epoch_end
        self._view = 0  # the newest view of this epoch whose proposal is known to have content
        self.batches_view = -1
        """The newest view of this epoch whose proposal is known to have batches, -1: none; the root has view 0."""
        self._height = 0  # the newest finalized block with content

    def enter_epoch(self) -> None:
        """Views are counted anew."""
        self._view, self.batches_view = 0, -1

    def proposed(self, view: int, body: BlockBody) -> None:
        """Note a block that may become final."""
        if has_content(body):
            self._view = max(self._view, view)
        if body.refs:
            self.batches_view = max(self.batches_view, view)

    def committed(self, blocks: tuple[Block, ...]) -> None:
        """Note blocks that are final."""
        for block in blocks:
            if has_content(block.body):
                self._height = block.header.height

    def is_busy(self, now_us: int, final_view: int, committed: BlockHeader) -> bool:
        """Return whether anything is under way that further blocks finish.

        Args:
            now_us: the time.
            final_view: view of the last finalization.
            committed: header of the last finalized block that is here.
        """
        if self._view > final_view or self._height > self._executor.tally.height:
            return True
        if self._ground.head.is_closing or self._ground.seat.rules.is_closing(committed):
            return True
        if any(self._epoch_end.content(committed)) or self._ground.accuser.content(committed):
            return True
        return self._pool.has_executable(now_us // 1000)
