"""How much of the chain an L1 keeps: all of it if it is an archive, else what others may still need.

Theory of operation. Blocks, the finalizations and seals that prove them, certified checkpoints, bodies of batches,
headers, receipts and the history go below one *floor*. It is the first block of an epoch, as a body may be referred to
until its epoch is over, and it rises to the next epoch once

* at least ``keep_blocks`` executed blocks are above it, and
* this node offers a snapshot `SNAPSHOT_LAG` or more above it, so that whoever needs a block below the floor is so far
  behind that it takes the snapshot instead. In the first epoch nothing goes.

What is asked for below the floor is refused by an empty `BlocksMessage` (`serving`), so that nobody waits for it. The
floor rises at once; what is below it is deleted in slices, with the blocks that are executed after (`common.parts
.pruning`). After a restart no snapshot is offered until the next epoch begins, and the floor stays where it is.

An archive keeps all that it has ever had; decisions.md ("Size of L1") gives that to the L1 nodes that do not vote.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from supervm.common.contract.records import Record
from supervm.common.parts.ledger import Applied
from supervm.common.parts.ledger_tables import LEDGER, LedgerRow, stored_number
from supervm.common.parts.part import Part
from supervm.common.parts.snapshot.offering import SnapshotOffers
from supervm.common.parts.snapshot.taking import SNAPSHOT_LAG
from supervm.protocol.base.codec import decode
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.epoch import EpochRecord

from ..ground import Ground
from ..options import PRUNING_OPTIONS
from ..tables import BATCHES, BLOCKS, CHECKPOINTS, SEALS, BlockRow
from .executor import Executor

SLICE_BLOCKS = 32
"""Blocks deleted in one step at most: each is read to find its bodies."""
SLICE_BODIES = 256
"""Bodies deleted in one step at most, or those of one block."""
BLOCK_BYTES_MAX = 8 << 20


class Pruning(Part):
    """The floor of one node, and what goes below it.

    Args:
        ground: what every part stands on.
        executor: tells which blocks are executed.
        offers: the snapshots that this node offers.
        keep_blocks: how many blocks stay; None: all.
    """

    options = PRUNING_OPTIONS

    def __init__(self, ground: Ground, executor: Executor, offers: SnapshotOffers, keep_blocks: int | None) -> None:
        self._head, self._ledger, self._reader, self._outbox = ground.head, ground.ledger, ground.reader, ground.outbox
        self._offers, self._keep_blocks = offers, keep_blocks
        self._epoch = 0
        self._next: EpochRecord | None = None  # the epoch after the floor's, once it is known to have begun
        executor.listen(executed=self._executed, certified=lambda now_us, checkpoint: None)
        self.load()

    def load(self) -> None:
        """Take the floor from disk: at start, and after a snapshot has taken the place of the state."""
        self._epoch = max(stored_number(self._reader, "floor_epoch"), self._ledger.base_epoch)
        self._next = None
        record = self._ledger.epoch_record(self._epoch)
        self._head.prune(1 if record is None else record.root.height + 1)

    def info(self, now_us: int) -> dict[str, Any]:
        """Return from which height on blocks are here, and whether that is to stay so."""
        return {"lowest_height": self._head.floor, "archive": self._keep_blocks is None}

    def _executed(self, now_us: int, applied: Applied) -> None:
        """A block was executed: raise the floor if it may be raised, and delete a slice of what is below it."""
        if self._keep_blocks is None:
            return
        offered = self._offers.heights
        self._raise(min(applied.header.height - self._keep_blocks, (offered[-1] if offered else 0) - SNAPSHOT_LAG))
        root_height = self._head.floor - 1  # its certified checkpoint is what the epoch rests on, and may be the newest
        if self._ledger.pruning.is_due(root_height):
            self._outbox.persist(*self._slice(root_height))

    def _raise(self, root_height_max: int) -> None:
        """Go to the newest epoch that begins at this height or below."""
        while self._epoch < self._ledger.epoch.number:
            if self._next is None:
                self._next = self._ledger.epoch_record(self._epoch + 1)
            if self._next is None or self._next.root.height > root_height_max:
                return
            self._epoch, height, self._next = self._next.number, self._next.root.height, None
            self._head.prune(height + 1)
            self._outbox.persist(LEDGER.put(LedgerRow("floor_epoch", self._epoch)))

    def _slice(self, below: int) -> list[Record]:
        """Return what deletes the next blocks below a height, with all that belongs to them."""
        pruning = self._ledger.pruning
        bodies: list[tuple[int, Record]] = []
        end = below
        for count, row in enumerate(self._blocks(pruning.begin, below)):
            found = [(row.height, BATCHES.delete(digest)) for digest in _digests(row)]
            if count == SLICE_BLOCKS or (bodies and len(bodies) + len(found) > SLICE_BODIES):
                end = row.height
                break
            bodies += found
        records = pruning.slice(end)
        end = pruning.begin
        return [
            *(record for height, record in bodies if height < end),
            BLOCKS.delete_below(end),
            SEALS.delete_below(end),
            CHECKPOINTS.delete_below(end),
            *records,
        ]

    def _blocks(self, begin: int, end: int) -> Iterator[BlockRow]:
        """Go through the blocks of some heights, a few at a time: they are large."""
        while rows := [row for row in BLOCKS.rows(self._reader, first=(begin,), limit=4) if row.height < end]:
            yield from rows
            begin = rows[-1].height + 1


def _digests(row: BlockRow) -> list[bytes]:
    return [ref.digest for ref in decode(Block, row.block, bytes_max=BLOCK_BYTES_MAX).body.refs]
