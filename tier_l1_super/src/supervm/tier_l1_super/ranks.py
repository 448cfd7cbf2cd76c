"""What a peer is to an L1: a validator of the epoch, one that the chain or the node's owner names, or anybody."""

from __future__ import annotations

from supervm.common.contract.core import PeerDown, PeerUp
from supervm.common.parts.manners import Rank
from supervm.common.parts.part import Part
from supervm.protocol.chain.validators import ValidatorSet

from .consensus.epoch_end import EpochEnd
from .ground import Ground


class Ranks(Part):
    """Ranks of the peers of one node; they change with the sets of validators.

    Args:
        ground: what every part stands on.
        epoch_end: the set that the operator wants next.
    """

    def __init__(self, ground: Ground, epoch_end: EpochEnd) -> None:
        self._ground, self._epoch_end = ground, epoch_end
        self._chosen: dict[bytes, None] = {}  # peers that this node has dialled: its owner has configured them
        self._ranked_for = self._next_sets()

    def of_new(self, event: PeerUp) -> Rank:
        """Return the rank of a peer that comes."""
        if event.address is not None:
            self._chosen[event.peer] = None
        return self.of(event.peer)

    def peer_down(self, now_us: int, event: PeerDown) -> None:
        """Forget that a peer was dialled."""
        self._chosen.pop(event.peer, None)

    def of(self, peer: bytes) -> Rank:
        """Return a peer's rank."""
        chain, ledger = self._ground.chain, self._ground.ledger
        if peer in self._ground.seat.rules.validators.index_of_node:
            return Rank.MEMBER
        is_named = (
            peer in chain.payout_of_miner
            or peer in self._chosen
            or peer in chain.rules.validators.index_of_node
            or any(member.node_id == peer for member in ledger.epoch.validators.members)
            # who is to join has to catch up first, whatever strangers do
            or any(peer in next_set.index_of_node for next_set in self._next_sets())
        )
        return Rank.NAMED if is_named else Rank.STRANGER

    def _next_sets(self) -> tuple[ValidatorSet, ...]:
        """Return the sets that the chain proposes, and that our operator wants, for the next epoch."""
        wanted = (self._ground.ledger.proposed, self._epoch_end.wish)
        return tuple(found for found in wanted if found is not None)

    def look_again(self, now_us: int, *, is_new_epoch: bool = False) -> None:
        """Rank everybody anew if the sets are others."""
        next_sets = self._next_sets()
        if is_new_epoch or next_sets != self._ranked_for:
            self._ranked_for = next_sets
            self._ground.manners.rerank(now_us, self.of)
