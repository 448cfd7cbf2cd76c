"""The chain goes on: what follows from a block that is executed, a checkpoint that is certified, an epoch that is over.

`Executor` finds out; what it finds concerns nearly every part, in a fixed order, and that order is here and nowhere
else. An epoch is left when its sealing checkpoint is certified, at the end of the step in which that happens: what was
promised, voted or certified in it counts no more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from supervm.common.parts.ledger import Applied
from supervm.common.parts.part import Part
from supervm.common.parts.snapshot.offering import SnapshotOffers
from supervm.common.parts.validator_changes import ChangeStore
from supervm.protocol.base.codec import encode
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint
from supervm.protocol.wire.chain import CheckpointMessage
from supervm.protocol.wire.fields import Message

from ..batches.pool import Pool
from ..batches.slots import Slots
from ..batches.voting import BatchVoter
from ..consensus.building import LAG_BLOCKS_MAX
from ..consensus.epoch_end import EpochEnd
from ..consensus.host import Consensus
from ..consensus.inbox import Inbox
from ..events import Epoch, Executed, NoSeat
from ..ground import Ground
from ..ranks import Ranks
from .executor import Executor
from .serving import Serving
from .swap import Swap
from .whereabouts import Whereabouts


@dataclass(frozen=True, slots=True)
class Following:
    """All that follows the chain at an L1."""

    slots: Slots
    pool: Pool
    voter: BatchVoter
    executor: Executor
    serving: Serving
    epoch_end: EpochEnd
    consensus: Consensus
    whereabouts: Whereabouts
    inbox: Inbox
    ranks: Ranks
    offers: SnapshotOffers
    changes: ChangeStore
    swap: Swap


class Advance(Part):
    """Tells the parts of one node how the chain goes on.

    Args:
        ground: what every part stands on.
        following: who is told.
        take: gives a message to the part that takes it, as if it came now.
    """

    sends = frozenset({CheckpointMessage})
    events = (Epoch, Executed, NoSeat)

    def __init__(self, ground: Ground, following: Following, take: Callable[[int, bytes, Message], None]) -> None:
        self._ground, self._seat, self._ledger, self._outbox = ground, ground.seat, ground.ledger, ground.outbox
        self._all = following
        self._take = take
        self._now_us = 0
        self._epoch_due: CertifiedCheckpoint | None = None  # certified sealing checkpoint: the next epoch begins
        self._seat_said: str | None = None
        following.executor.listen(executed=self._executed, certified=self.certified)
        certified = following.executor.tally.certified
        if certified is not None:
            following.serving.certified(certified)
            ground.peering.height = following.executor.tally.height

    def started(self, now_us: int) -> None:
        """Say whether the node has a seat."""
        self._say_seat()

    def begin(self, now_us: int) -> None:
        """Take part: from here on this node votes."""
        everything = self._all
        everything.executor.start(now_us)
        everything.consensus.start(now_us)
        everything.epoch_end.start(now_us)
        everything.swap.begin()

    def settle(self, now_us: int) -> None:
        """Enter the next epoch if this one is over."""
        while self._epoch_due is not None:
            root, self._epoch_due = self._epoch_due, None
            self._next_epoch(now_us, root)

    def _executed(self, now_us: int, applied: Applied) -> None:
        everything, header = self._all, applied.header
        if header.next_validators_hash != ZERO_HASH:
            view = self._ledger.view(header.height)
            assert view is not None  # it is the newest height
            everything.offers.sealed(self._ledger.epoch, view, self._ledger.peaks())
        soon = everything.executor.unexecuted(LAG_BLOCKS_MAX)
        keep = dict.fromkeys(ref.digest for block in soon for ref in block.body.refs)
        everything.voter.forget(everything.pool.forget_dead(header.ts_ms, keep, everything.slots.anchored))
        everything.epoch_end.executed(self._ledger.block_header, now_us)
        everything.ranks.look_again(now_us)
        # found while our own vote was counted; in the next epoch their indices mean others
        everything.executor.blame_bad_signers(now_us)
        everything.whereabouts.executed()
        everything.consensus.executed()
        self._outbox.publish(Executed(header.height, len(applied.result.receipts), header.state_root.hex()))

    def certified(self, now_us: int, checkpoint: CertifiedCheckpoint) -> None:
        """Serve a certified checkpoint; if it seals the epoch, the next one begins at the end of this step."""
        everything, header = self._all, checkpoint.header
        self._ground.peering.height = header.height
        self._ground.head.certified(self._outbox.persist())
        everything.serving.certified(checkpoint)
        everything.offers.certified(checkpoint)
        if header.next_validators_hash != ZERO_HASH and header.epoch >= self._seat.rules.epoch:
            self._epoch_due = checkpoint
            everything.changes.sealed(checkpoint, self._ledger.epoch.validators)

    def _next_epoch(self, now_us: int, root: CertifiedCheckpoint) -> None:
        """Leave the epoch that `root` seals."""
        everything, seat = self._all, self._seat
        former = seat.rules.validators
        seat.enter(self._ledger.rules)
        everything.slots.clear()
        everything.pool.clear()
        everything.voter.enter_epoch()
        self._ground.accuser.enter_epoch()
        everything.executor.enter_epoch(root)
        members = seat.rules.validators.index_of_node
        for node_id in members:
            everything.serving.gone(node_id)
        changed = former.hash != seat.rules.validators.hash
        self._outbox.publish(Epoch(seat.rules.epoch, len(members), changed, seat.index))
        self._say_seat()
        everything.epoch_end.enter_epoch(now_us)
        everything.ranks.look_again(now_us, is_new_epoch=True)
        everything.consensus.enter_epoch(now_us)
        # whoever is still at the end of the epoch before can follow at once
        message = CheckpointMessage(encode(root))
        for node_id in dict.fromkeys((*former.node_ids, *members)):
            if node_id != seat.node_id and node_id in self._ground.peering.up:
                self._outbox.send(node_id, message, after=self._ground.head.written)
        everything.whereabouts.enter_epoch(now_us)
        for peer, early in everything.inbox.take_early():
            if peer in self._ground.peering.up:
                self._take(now_us, peer, early)

    def _say_seat(self) -> None:
        reason = self._seat.why_none
        if reason is not None and reason != self._seat_said:
            self._outbox.publish(NoSeat(self._seat.rules.epoch, reason))
        self._seat_said = reason
