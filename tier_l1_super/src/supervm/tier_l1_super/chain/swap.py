"""Putting a finished snapshot in the place of the state (consensus.md 2.8).

One small write changes the base of the state; until it is durable the node hears nothing, and what is said meanwhile
is said again. Then the node stands at the snapshot's epoch root as if it had just certified that block itself, and the
next epoch is entered the way it always is.
"""

from __future__ import annotations

from supervm.common.contract.core import Durable, Input, Received, Tick
from supervm.common.contract.records import Prune
from supervm.common.parts.events import SnapshotAdopted
from supervm.common.parts.ledger_tables import LEDGER, LedgerRow
from supervm.common.parts.snapshot.offering import SnapshotOffers
from supervm.common.parts.snapshot.taking import SnapshotTaker
from supervm.protocol.base.codec import encode
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint
from supervm.protocol.wire.link import Heartbeat

from ..batches.slots import Slots
from ..consensus.simplex.promises import LogFloor
from ..ground import Ground
from ..tables import CHECKPOINTS, CheckpointRow
from .executor import Executor
from .pruning import Pruning
from .serving import Serving


class Swap:
    """The change from one state to another.

    Args:
        ground: what every part stands on.
        slots, executor, serving: what stands on the state.
        snapshot: where the new state comes from.
        offers: snapshots for others.
        pruning: told that nothing below the snapshot is here.
    """

    def __init__(
        self,
        ground: Ground,
        slots: Slots,
        executor: Executor,
        serving: Serving,
        snapshot: SnapshotTaker,
        offers: SnapshotOffers,
        pruning: Pruning,
    ) -> None:
        self._ground = ground
        self._seat, self._ledger, self._slots = ground.seat, ground.ledger, slots
        self._executor, self._serving, self._snapshot = executor, serving, snapshot
        self._offers, self._peering, self._outbox = offers, ground.peering, ground.outbox
        self._pruning = pruning
        self._written: int | None = None
        self.is_under_way = False
        """Whether the write is not durable yet; then `wait` takes every input but commands and connections."""

    def begin(self) -> None:
        """Write a finished snapshot in the place of the state, if there is one.

        With it the root of an epoch is certified here, and what this node promised in earlier epochs is void. A log
        that is lost stays lost: only `Seat.learn` knows from when on this node may vote.
        """
        start = self._snapshot.finished
        if start is None:
            return
        height = start.height
        self._written = self._outbox.persist(
            CHECKPOINTS.put(CheckpointRow(height, encode(start.checkpoint))),
            LEDGER.put(LedgerRow("certified_height", height)),
            LEDGER.put(LedgerRow("finalized_height", height)),
            *self._snapshot.records(),
            *([] if self._seat.amnesia else [Prune((encode(LogFloor(1, height, height, height)),))]),
        )
        self.is_under_way = True

    def wait(self, now_us: int, event: Input) -> CertifiedCheckpoint | None:
        """Keep the links up; return the checkpoint of the root that the node stands at once the write is durable."""
        match event:
            case Durable(token) if self._written is not None and token >= self._written:
                self._written, self.is_under_way = None, False
                return self._adopt()
            case Received(peer, message):
                self._peering.heard(now_us, peer)
                if isinstance(message, Heartbeat):
                    self._peering.heartbeat(peer, message)
            case Tick():
                self._peering.tick(now_us)
        return None

    def _adopt(self) -> CertifiedCheckpoint:
        start = self._snapshot.finished
        assert start is not None  # nothing but this takes it away
        height = start.height
        self._ledger.reload()
        self._slots.jump(self._ledger.block_header.ts_ms)
        self._executor.jump(start.checkpoint)
        self._ground.head.found(height)
        self._serving.jump()
        self._pruning.load()
        self._snapshot.adopted(height)
        view = self._ledger.view(height)
        assert view is not None  # it is the newest height
        self._offers.sealed(start.epoch, view, self._ledger.peaks())
        self._outbox.publish(SnapshotAdopted(height))
        return start.checkpoint
