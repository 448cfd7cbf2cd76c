"""Snapshots at an L1: given to others, taken when this node is far behind, put in the place of the state (2.8).

The changes of validators go with them, since whoever takes a snapshot follows those first.
"""

from __future__ import annotations

from supervm.common.contract.core import PeerDown
from supervm.common.parts.events import Snapshot, SnapshotAdopted
from supervm.common.parts.ledger_tables import LEDGER_TABLES
from supervm.common.parts.part import Part
from supervm.common.parts.snapshot.offering import SnapshotOffers
from supervm.common.parts.snapshot.taking import SnapshotTaker
from supervm.common.parts.validator_changes import CHANGE_TABLES, ChangeStore
from supervm.protocol.wire.chain import GetSnapshot, SnapshotChunk
from supervm.protocol.wire.link import Heartbeat
from supervm.protocol.wire.payments import GetValidatorChanges, ValidatorChanges

from ..ground import Ground
from .swap import Swap


class Snapshots(Part):
    """Snapshots and changes of validators at one node.

    Args:
        ground: what every part stands on.
        taker: the snapshot that is being taken.
        offers: those for others.
        changes: the changes of validators that this node can prove.
        swap: puts a finished snapshot in the place of the state.
    """

    takes = frozenset({GetSnapshot, GetValidatorChanges, Heartbeat, SnapshotChunk, ValidatorChanges})
    sends = frozenset({GetSnapshot, GetValidatorChanges, SnapshotChunk, ValidatorChanges})
    tables = (*LEDGER_TABLES, *CHANGE_TABLES)
    events = (Snapshot, SnapshotAdopted)

    def __init__(
        self, ground: Ground, taker: SnapshotTaker, offers: SnapshotOffers, changes: ChangeStore, swap: Swap
    ) -> None:
        self._outbox, self._manners = ground.outbox, ground.manners
        self._head = ground.head
        self._taker, self._offers, self._changes, self._swap = taker, offers, changes, swap

    @property
    def deadline_us(self) -> int | None:
        """When a chunk is due, one way or the other."""
        first_us, other_us = self._taker.deadline_us, self._offers.deadline_us
        return first_us if other_us is None or (first_us is not None and first_us < other_us) else other_us

    def tick(self, now_us: int) -> None:
        """Ask on, give on."""
        self._taker.reached(self._head.tip)
        self._taker.tick(now_us)
        self._offers.tick(now_us)

    def peer_down(self, now_us: int, event: PeerDown) -> None:
        """Forget a peer that asked; ask another than the one that is gone."""
        self._offers.gone(event.peer)
        self._taker.gone(now_us, event.peer)

    def receive(
        self,
        now_us: int,
        peer: bytes,
        message: GetSnapshot | GetValidatorChanges | Heartbeat | SnapshotChunk | ValidatorChanges,
    ) -> None:
        """Answer a question, or take an answer; a peer's height says whether this node is far behind."""
        match message:
            case Heartbeat():
                self._taker.behind(now_us, message.height, peer)
            case GetValidatorChanges(after_height):
                changes = self._changes.answer(after_height)
                self._outbox.send(peer, changes, after=self._head.written)
                self._manners.answered(now_us, peer, "history", sum(map(len, changes.changes)))
            case GetSnapshot():
                self._offers.ask(now_us, peer, message)
            case ValidatorChanges():
                self._taker.followed(now_us, peer, message)
            case SnapshotChunk():
                self._taker.reached(self._head.tip)
                if self._taker.chunk(now_us, peer, message):
                    self._manners.refund(peer, message)
                self._swap.begin()
