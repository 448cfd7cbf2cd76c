"""Where the others stand and where we do: statuses, catching up, following (consensus.md 2.8, 2.11.5).

Validators of the epoch tell each other every two seconds where they stand. What a peer claims is never believed, it
only says whom to ask: blocks, certificates and snapshots prove themselves, so even a stranger may be asked. Whoever is
seen to be in an epoch that is over is told where we are, at most once a second, with the certified checkpoint that ends
it for those who have executed its block.

Outside of the set nobody sends a node what becomes final, so it follows a validator, and the next one after that when
it brings nothing for the beat of an idle chain and four seconds. Twice a second it asks another one, too, and follows
that one instead if it knows more: the first may be behind itself, because the others do not talk to it. A member
follows in the same way if nobody else of its set is connected: all others may have handed over and left.
"""

from __future__ import annotations

from collections.abc import Callable

from supervm.common.contract.core import PeerDown, PeerUp
from supervm.common.parts.asking import Question, next_of
from supervm.common.parts.part import Part
from supervm.common.parts.snapshot.taking import SnapshotTaker
from supervm.protocol.base.codec import encode
from supervm.protocol.wire.chain import BlocksMessage, CheckpointMessage, Follow, GetBlocks
from supervm.protocol.wire.consensus import ConsensusStatus

from ..consensus.epoch_end import EpochEnd
from ..consensus.host import Consensus
from ..consensus.seat import Standing
from ..events import AmnesiaOver
from ..ground import Ground
from .executor import Executor

L1_TIER = 1
QUEUED_BLOCKS_MAX = 1_024
"""Finalized blocks that wait for execution, beyond which no more are fetched."""
STATUS_US = 2_000_000
"""Time between ConsensusStatus messages to the other validators."""
REMIND_US = 1_000_000
COMPARE_US = 500_000
"""Time between two questions to others than the one that is followed."""
BEHIND_US = 2_000_000
"""A followed validator is left for another that knows more only if it has brought nothing new for this long, and the
beat of an idle chain: whoever was followed once goes on sending, and a lead of some milliseconds changes from block to
block."""
FOLLOW_SILENCE_US = 4_000_000
"""A followed validator that brings no block for this long, and the beat of an idle chain, is replaced by another."""


class Whereabouts(Part):
    """Who is where, as one node sees it.

    Args:
        ground: what every part stands on.
        executor: finalized blocks that wait for execution, and the epoch's root.
        snapshot: what is taken instead of blocks if the node is far behind.
        consensus: takes finalized blocks.
        epoch_end: told when this node knows from when on it may vote again.
        is_listening: whether the node only listens for its own key as yet: then it follows nobody.
    """

    takes = frozenset({BlocksMessage, ConsensusStatus})
    sends = frozenset({CheckpointMessage, ConsensusStatus, Follow, GetBlocks})
    events = (AmnesiaOver,)

    def __init__(
        self,
        ground: Ground,
        executor: Executor,
        snapshot: SnapshotTaker,
        consensus: Consensus,
        epoch_end: EpochEnd,
        is_listening: Callable[[], bool],
    ) -> None:
        self._ground, self._seat, self._ledger = ground, ground.seat, ground.ledger
        self._peering, self._outbox = ground.peering, ground.outbox
        self._executor, self._snapshot = executor, snapshot
        self._consensus, self._epoch_end = consensus, epoch_end
        self._is_listening = is_listening
        idle_us = ground.chain.parameters.idle_interval_ms * 1000
        self._silence_us, self._behind_us = FOLLOW_SILENCE_US + idle_us, BEHIND_US + idle_us
        self._turn = 0
        self._held_back = False  # finalized blocks were not asked for because too many wait for execution
        self._standings: dict[bytes, Standing] = {}  # of the epoch's validators, said since our start
        self._reminded_us: dict[bytes, int] = {}
        self._followed = Question()
        self._followed_us = 0  # when it was followed, or last brought something new
        self._status_at_us = 0
        self._compare_at_us = 0

    @property
    def _following(self) -> bytes | None:
        return self._followed.peer

    @property
    def deadline_us(self) -> int:
        """When `tick` has something to do."""
        if self._followed.peer is not None and self._compare_at_us < self._status_at_us:
            return self._compare_at_us
        return self._status_at_us

    def _ups(self) -> list[bytes]:
        """Return the connected validators, else the connected L1 nodes, in a fixed order."""
        count = len(self._seat.rules.validators)
        ups = [peer for index in range(count) if (peer := self._ground.peer_of(index)) is not None]
        return ups or self._peering.of_tier(L1_TIER)

    # --- what we say --------------------------------------------------------------------------------------------------

    def status(self) -> ConsensusStatus:
        """Return where this node stands."""
        simplex, epoch = self._consensus.simplex, self._seat.rules.epoch
        is_sealed = self._ledger.epoch.number > epoch
        return ConsensusStatus(epoch, simplex.view, simplex.final.view, self._ground.head.tip, is_sealed)

    def tick(self, now_us: int) -> None:
        """Tell the validators of the epoch where we are, and see whether there is still somebody to follow."""
        if self._following is not None and self._compare_at_us <= now_us:
            self._compare_at_us = now_us + COMPARE_US
            self.ask_anyone()
        if self._status_at_us > now_us:
            return
        self._status_at_us = now_us + STATUS_US
        self._ground.broadcast(self.status())
        self._follow(now_us, or_alone=True)

    def remind(self, now_us: int, peer: bytes) -> None:
        """Tell a peer that is still in an epoch that is over where we are, at most once a second."""
        last_us = self._reminded_us.get(peer)
        if last_us is not None and now_us - last_us < REMIND_US:
            return
        self._reminded_us[peer] = now_us
        self._outbox.send(peer, self.status())
        root = self._executor.root
        if root is not None:  # all that is missing if it has executed the sealing block
            self._outbox.send(peer, CheckpointMessage(encode(root)), after=self._ground.head.written)

    # --- what others say ----------------------------------------------------------------------------------------------

    def receive(self, now_us: int, peer: bytes, message: BlocksMessage | ConsensusStatus) -> None:
        """Take blocks, or a peer's word for where it stands."""
        match message:
            case BlocksMessage(b""):
                self._not_kept(now_us, peer)
            case BlocksMessage(raw):
                if self._consensus.chain(now_us, raw):
                    self._ground.manners.refund(peer, message)
                    self.brought_blocks(now_us, peer)
            case ConsensusStatus():
                if self.heard(now_us, peer, message):
                    self._outbox.publish(AmnesiaOver(self._seat.rules.epoch + 1))
                    self._epoch_end.executed(self._ledger.block_header, now_us)

    def peer_up(self, now_us: int, event: PeerUp) -> None:
        """Greet a peer that has come."""
        peer = event.peer
        if peer in self._seat.rules.validators.index_of_node:
            self._outbox.send(peer, self.status())
        if self._following is None:
            self._follow(now_us)

    def peer_down(self, now_us: int, event: PeerDown) -> None:
        """Forget a peer."""
        peer = event.peer
        self._reminded_us.pop(peer, None)
        if peer == self._following:
            self._followed.close()
            self._follow(now_us)

    def heard(self, now_us: int, peer: bytes, status: ConsensusStatus) -> bool:
        """Take a peer's word for where it stands; return whether this node now knows from when on it may vote again."""
        epoch = self._seat.rules.epoch
        if status.epoch < epoch:
            self.remind(now_us, peer)
        self._snapshot.behind(now_us, status.finalized_height, peer)
        if status.finalized_height > self._ground.head.tip + (0 if status.epoch > epoch else 1):
            self.ask_chain(peer)
        if peer in self._seat.rules.validators.index_of_node:
            self._standings[peer] = (status.epoch, status.sealed)
        return self._seat.learn(self._standings)

    # --- catching up --------------------------------------------------------------------------------------------------

    def ask_chain(self, peer: bytes) -> None:
        """Ask for the next finalized blocks, unless too many wait for execution: then as soon as they are fewer.

        While a snapshot is taken, the blocks below it are of no use.
        """
        self._held_back = self._executor.queued >= QUEUED_BLOCKS_MAX or self._snapshot.is_taking
        if not self._held_back:
            self._outbox.send(peer, GetBlocks(self._ground.head.tip + 1))

    def ask_anyone(self) -> None:
        """Ask the next connected validator in turn for the next finalized blocks, any L1 if there is none.

        Not the one that is followed, if there is another: it sends them by itself.
        """
        ups = self._ups()
        if len(ups) > 1 and self._following in ups:
            ups.remove(self._following)
        if ups:
            self._turn += 1  # a turn by the clock would meet the same one each time that a timer fires
            self.ask_chain(ups[self._turn % len(ups)])

    def brought_blocks(self, now_us: int, peer: bytes) -> None:
        """A peer has sent blocks that count: whoever is followed goes on by itself, another is asked for more.

        If another knows more than the one that is followed, which has brought nothing for a while, it is followed from
        now on.
        """
        if self._following is None:
            self.ask_anyone()
            return
        self._followed.wait(now_us, self._silence_us)
        if peer == self._following:
            self._followed_us = now_us
        elif now_us - self._followed_us >= self._behind_us:
            self._follow_now(now_us, peer)

    def _not_kept(self, now_us: int, peer: bytes) -> None:
        """A peer keeps the blocks no more that were asked of it: follow another one soon, if that was whom we follow.

        Other questions go to another peer each time anyway; whoever is that far behind seeks a snapshot, too.
        """
        if peer == self._following:
            self._followed.wait(now_us, 0)

    def executed(self) -> None:
        """A block was executed: there may be room for more, or the next epoch may be entered."""
        if self._held_back and self._executor.queued < QUEUED_BLOCKS_MAX // 2:
            self.ask_anyone()
        if self._ledger.epoch.number > self._seat.rules.epoch:
            # who is behind may have been given the proof that the next epoch has begun before it could check it
            if self._following is not None:
                self.ask_chain(self._following)
            else:
                self.ask_anyone()

    def enter_epoch(self, now_us: int) -> None:
        """Go on in another epoch: indices mean others, and we may be in or out of its set."""
        self._standings.clear()
        self._followed.close()
        self._follow(now_us)

    def _follow(self, now_us: int, *, or_alone: bool = False) -> None:
        node_ids = self._seat.rules.validators.node_ids
        is_alone = or_alone and len(node_ids) > 1 and not any(node_id in self._peering.up for node_id in node_ids)
        if self._is_listening() or (self._seat.node_id in node_ids and not is_alone):
            return
        if self._following is not None and not self._followed.is_due(now_us):
            return
        peer = next_of(self._ups(), self._following, now_us)  # at first any
        if peer is not None:
            self._follow_now(now_us, peer)

    def _follow_now(self, now_us: int, peer: bytes) -> None:
        self._followed.ask(now_us, peer, self._silence_us)
        self._followed_us = now_us
        self._outbox.send(peer, Follow(self._ground.head.tip))
