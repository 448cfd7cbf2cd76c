"""What tests of the ends of epochs share: seats, grounds, sealed histories, and a node in the test's hands."""

from __future__ import annotations

import random
from collections.abc import Callable

from epoch_tools import EPOCH_MS, EpochChain

from supervm.common.contract.core import Outbox
from supervm.common.parts.ledger import Ledger
from supervm.common.parts.manners import Manners
from supervm.common.parts.peering import Peering
from supervm.common.storage.memory import MemoryStore
from supervm.common.testing.hand import HandDriver
from supervm.protocol.base.codec import encode
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.body import EMPTY_BODY
from supervm.protocol.chain.finalized import FinalizedBlocks
from supervm.protocol.wire.chain import BlocksMessage
from supervm.protocol.wire.fields import Message
from supervm.tier_l1_super.budgets import BUDGETS
from supervm.tier_l1_super.consensus.accuse import Accuser
from supervm.tier_l1_super.consensus.seat import Seat
from supervm.tier_l1_super.ground import Ground
from supervm.tier_l1_super.head import Head
from supervm.tier_l1_super.node import ValidatorNode
from supervm.tier_l1_super.tables import TABLES

OTHERS = (0, 1, 2, 4)


def seat_of(chain: EpochChain, node: int = 0, *, amnesia: bool = False, epoch: int = -1) -> Seat:
    return Seat(chain.node_id(node), chain.key(node), chain.rules_of[epoch], amnesia=amnesia)


def ground_of(
    chain: EpochChain, seat: Seat, ledger: Ledger, store: MemoryStore, outbox: Outbox, kind: type[Ground] = Ground
) -> Ground:
    return kind(
        chain.chain,
        seat,
        ledger,
        store,
        outbox,
        Peering(outbox, (), random.Random(0)),
        Manners(outbox, BUDGETS),
        Accuser(seat, outbox),
        Head(),
    )


def late(chain: EpochChain) -> int:
    return chain.rules.root_ms + EPOCH_MS


def sealed_by_descendants(chain: EpochChain, tail: int = 2) -> tuple[list[Block], FinalizedBlocks]:
    """Execute three blocks, of which the last seals; return them and the descendants that prove it."""
    chain.add()
    chain.add(closes=[0])
    sealing = chain.block(closes=[1, 2])
    descendants = [sealing]
    for _ in range(tail):
        descendants.append(chain.make(descendants[-1].header, EMPTY_BODY))
    chain.append(sealing)
    return list(chain.blocks), chain.finalized(descendants[1:])


class Bench(HandDriver[ValidatorNode]):
    """One L1 node in a test's hands."""

    def __init__(self, chain: EpochChain, node: int = 0, store: MemoryStore | None = None, *, now_us: int = 0) -> None:
        self.chain, self.node_index = chain, node
        store = store or MemoryStore(TABLES)
        core = ValidatorNode(
            chain=chain.chain,
            node_id=chain.node_id(node),
            key=chain.key(node),
            reader=store,
            targets=(),
            rng=random.Random(1),
        )
        super().__init__(core, store, now_us=now_us or chain.chain.genesis.time_ms * 1000)

    def linked(self, *nodes: int) -> None:
        for node in nodes:
            self.up(self.chain.node_id(node), 1)

    def get(self, node: int, message: Message) -> None:
        self.receive(self.chain.node_id(node), message)

    def taken(self, kind: type, node: int | None = None) -> list[Message]:
        found = [m for peer, m in self.sent if isinstance(m, kind) and node in (None, self.number(peer))]
        self.sent.clear()
        return found

    def number(self, peer: bytes) -> int | None:
        return next((node for node in range(12) if self.chain.node_id(node) == peer), None)

    def finalized(self, first: int, last: int) -> BlocksMessage:
        return BlocksMessage(encode(self.chain.finalized(self.chain.blocks[first - 1 : last])))


def across_epochs(following: Callable[[EpochChain], tuple] | None = None) -> tuple[EpochChain, int]:
    """A chain with an epoch behind it, and the height of its root."""
    chain = EpochChain(4)
    chain.add()
    chain.end_epoch(None if following is None else following(chain))
    root = chain.head.height
    chain.add()
    return chain, root
