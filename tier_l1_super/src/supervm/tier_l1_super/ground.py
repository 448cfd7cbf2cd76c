"""What every part of an L1 node stands on, made once and given to all of them as one record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from supervm.common.contract.core import Outbox
from supervm.common.contract.records import Reader
from supervm.common.parts.ledger import Ledger
from supervm.common.parts.manners import Manners
from supervm.common.parts.peering import Peering
from supervm.protocol.chain.genesis import Chain
from supervm.protocol.wire.fields import Message

from .consensus.accuse import Accuser
from .consensus.seat import Seat
from .head import Head


@dataclass(frozen=True, slots=True)
class Ground:
    """The network, this node's place in it, and the way out.

    Attributes:
        chain: the network.
        seat: the epoch and this node's place in it.
        ledger: the executed chain.
        reader: durable state.
        outbox: where effects go.
        peering: who is connected.
        manners: what peers cost and did wrong.
        accuser: told of validators and miners that broke the rules in a way that can be shown.
        head: where the chain stands here.
    """

    chain: Chain
    seat: Seat
    ledger: Ledger
    reader: Reader
    outbox: Outbox
    peering: Peering
    manners: Manners
    accuser: Accuser
    head: Head

    def peer_of(self, index: int) -> bytes | None:
        """Return the node id of a validator of the epoch if it is connected."""
        node_id = self.seat.rules.validators.node_ids[index]
        return node_id if node_id in self.peering.up else None

    def others(self) -> Iterator[bytes]:
        """Yield the node ids of the epoch's other validators that are connected, by index."""
        own, up = self.seat.index, self.peering.up
        for index, node_id in enumerate(self.seat.rules.validators.node_ids):
            if index != own and node_id in up:
                yield node_id

    def broadcast(self, message: Message, after: int = 0) -> None:
        """Send to every other validator of the epoch that is connected, once the write `after` (0: none) is durable."""
        send = self.outbox.send
        for peer in self.others():
            send(peer, message, after=after)
