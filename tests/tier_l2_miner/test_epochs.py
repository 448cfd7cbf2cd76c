"""A miner across epochs: follows from blocks alone, batches anew what is not executed, goes where the set goes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from chain_tools import GENESIS_TIME_MS, test_key
from epoch_tools import EpochChain

from supervm.common.parts.events import PeerFault
from supervm.common.storage.memory import MemoryStore
from supervm.protocol.base.codec import encode
from supervm.protocol.base.keys import verify
from supervm.protocol.chain.batch import check_batch
from supervm.protocol.chain.batch_certificate import BatchVote, batch_vote_statement, bitmap_bytes
from supervm.protocol.chain.body import EMPTY_BODY
from supervm.protocol.chain.finalized import FinalizedBlocks
from supervm.protocol.wire.chain import (
    BatchCertificateMessage,
    BatchMessage,
    BatchVoteMessage,
    BlocksMessage,
    CheckpointMessage,
    Follow,
)
from supervm.protocol.wire.payments import LEVEL_R1, GetValidatorChanges, Status, Submit, ValidatorChanges
from supervm.tier_l2_miner.tables import TABLES

EDGE = test_key("edge").public


class Place:
    """A miner beside a chain of epochs."""

    def __init__(self, kit: Any, chain: EpochChain, *nodes: int, store: MemoryStore | None = None) -> None:
        self.chain = chain
        net = SimpleNamespace(
            chain=chain.chain,
            miner_key=chain.tools.miner_keys[0],
            id=chain.chain.chain_id,
            node_ids=[chain.node_id(node) for node in nodes],
            bodies={},
        )
        self.bench = kit.Bench(net, store=store or MemoryStore(TABLES))
        self.bench.now_us = GENESIS_TIME_MS * 1000
        for node in nodes:
            self.bench.up(chain.node_id(node), 1)
        self.bench.up(EDGE, 3)

    @property
    def node(self) -> Any:
        return self.bench.core

    @property
    def epoch(self) -> int:
        return int(self.node.replica.voting_rules.epoch)

    def blocks(self, first: int, last: int) -> None:
        raw = encode(self.chain.finalized(self.chain.blocks[first - 1 : last]))
        self.bench.receive(self.bench.source, BlocksMessage(raw))

    def checkpoint(self, height: int) -> None:
        self.bench.receive(self.bench.source, CheckpointMessage(encode(self.chain.certified(height))))

    def vote(self, batch: Any, *nodes: int) -> None:
        header = batch.header
        bitmap = bitmap_bytes((1 << header.count) - 1, header.count)
        for node in nodes:
            signed = batch_vote_statement(self.chain.chain.chain_id, header.epoch, header.digest, header.count, bitmap)
            signature = self.chain.key(node).sign(signed)
            vote = BatchVote(1, header.epoch, header.digest, header.count, bitmap, node, signature)
            self.bench.receive(self.chain.node_id(node), BatchVoteMessage(vote))

    def batches(self) -> list[Any]:
        found = self.bench.batches()
        for batch in found:
            check_batch(batch, self.chain.chain.chain_id, verify)
        return found


def started(kit: Any, chain: EpochChain, *nodes: int) -> Place:
    chain.add()
    place = Place(kit, chain, *nodes)
    place.blocks(1, 1)
    place.checkpoint(1)
    place.bench.sent.clear()
    return place


@pytest.mark.parametrize("certified", [False, True], ids=["in flight", "certified"])
def test_what_is_not_executed_is_batched_again_for_the_new_epoch(kit: Any, certified: bool) -> None:
    """In order, at once, in batches that name the new epoch; old votes and certificates are spoken of no more."""
    chain = EpochChain(4)
    place = started(kit, chain, 0, 1, 2, 3)
    transactions = [chain.tools.transaction("alice", chain.tools.account("bob")) for _ in range(5)]
    place.bench.receive(EDGE, Submit(tuple(transaction.raw for transaction in transactions)))
    place.bench.wait(60_000)
    (old,) = place.batches()
    assert (old.header.epoch, old.transactions) == (0, tuple(transaction.raw for transaction in transactions))
    place.vote(old, 0, 1)
    if certified:
        place.vote(old, 2)
        levels = {item.level for message in place.bench.take(Status, EDGE) for item in message.items}
        assert LEVEL_R1 in levels
    chain.end_epoch()
    place.blocks(2, 2)
    assert (place.epoch, place.batches()) == (0, [])  # sealed, not certified: the old set still votes
    place.checkpoint(2)
    assert place.epoch == 1
    place.bench.sent.clear()
    place.vote(old, 3)
    place.bench.wait(60_000)
    (new,) = place.batches()
    assert (new.header.epoch, new.transactions) == (1, old.transactions)
    place.bench.wait(3_000_000)
    assert place.bench.take(BatchCertificateMessage) == []
    place.vote(new, 0, 1, 2)
    assert place.bench.take(BatchCertificateMessage) != []
    assert (place.bench.hung_up, place.bench.halted) == ({}, "")


def test_executed_transactions_are_not_batched_again(kit: Any) -> None:
    chain = EpochChain(4)
    place = started(kit, chain, 0, 1, 2, 3)
    place.bench.receive(EDGE, Submit((chain.tools.transaction("alice", chain.tools.account("bob")).raw,)))
    place.bench.wait(60_000)
    (batch,) = place.batches()
    place.vote(batch, 0, 1, 2)
    block = chain.block(refs=[chain.tools.batch_certificate(batch)])
    chain.check(block)
    chain.ledger.apply(block, [chain.tools.certified(batch)])
    chain.blocks.append(block)
    chain.checkpoints.append(chain.ledger.header)
    chain.end_epoch()
    place.blocks(2, 3)
    place.checkpoint(3)
    place.bench.sent.clear()
    place.bench.wait(3_000_000)
    assert (place.epoch, place.batches(), place.node.mempool.queued) == (1, [], 0)


@pytest.mark.parametrize("new", [(0, 1, 2, 4), (4, 5, 6), (7,)])
def test_the_miner_goes_where_the_set_goes(kit: Any, new: tuple[int, ...]) -> None:
    """It follows and asks the new validators, also if they are all strangers, and tells its clients."""
    chain = EpochChain(4)
    place = started(kit, chain, 0, 1, 2, 3, 4, 5, 6, 7)
    place.bench.receive(EDGE, GetValidatorChanges(0))
    assert place.bench.take(ValidatorChanges, EDGE) == [ValidatorChanges(())]
    chain.end_epoch(chain.members(*new))
    root = chain.head.height
    place.blocks(2, root)
    place.checkpoint(root)
    news = ValidatorChanges(tuple(encode(change) for change in chain.changes()))
    assert place.epoch == 1
    assert place.bench.source in [chain.node_id(node) for node in new]
    place.bench.receive(EDGE, GetValidatorChanges(0))
    assert place.bench.take(ValidatorChanges, EDGE)[-1] == news
    place.bench.receive(EDGE, Submit((chain.tools.transaction("alice", chain.tools.account("bob")).raw,)))
    chain.add()
    place.blocks(root + 1, root + 1)
    place.checkpoint(root + 1)
    assert place.node.replica.certified_height == root + 1
    again = Place(kit, chain, *new, store=place.bench.store)
    assert again.epoch == 1
    again.bench.receive(EDGE, GetValidatorChanges(0))
    assert again.bench.take(ValidatorChanges, EDGE) == [news]


def test_descendants_of_the_sealing_block_are_left_out(kit: Any) -> None:
    """They prove it; what follows is the next epoch's first block, at the same height as the first of them."""
    chain = EpochChain(4)
    place = started(kit, chain, 0, 1, 2, 3)
    sealing = chain.block(closes=[0, 1, 2])
    tail = [chain.make(sealing.header, EMPTY_BODY)]
    tail.append(chain.make(tail[0].header, EMPTY_BODY))
    chain.append(sealing)
    piece = chain.finalized([sealing, *tail])
    for _ in range(2):  # a second time they bring nothing, and are no fault
        place.bench.receive(place.bench.source, BlocksMessage(encode(piece)))
        only = FinalizedBlocks(1, tuple(tail), piece.finalization)
        place.bench.receive(place.bench.source, BlocksMessage(encode(only)))
    assert place.node.replica.ledger.height == 2
    chain.add()
    place.blocks(3, 3)
    assert (place.node.replica.ledger.height, place.epoch) == (3, 1)
    assert [event for event in place.bench.events if isinstance(event, PeerFault)] == []


def test_a_restart_between_the_seal_and_its_certificate_loses_no_change(kit: Any) -> None:
    """The first block of the new epoch carries the certificate, and so the proof for light clients."""
    chain = EpochChain(4)
    place = started(kit, chain, 0, 1, 2, 3)
    chain.end_epoch(chain.members(0, 1, 2, 4))
    root = chain.head.height
    place.blocks(2, root)
    again = Place(kit, chain, 0, 1, 2, 4, store=place.bench.store)
    assert again.node.replica.ledger.height == root
    assert again.bench.take(Follow)[-1] == Follow(root)
    again.checkpoint(root)  # of an epoch that it has left behind: no fault
    chain.add()
    again.blocks(root + 1, root + 1)
    assert again.node.replica.certified_height == root
    again.bench.receive(EDGE, GetValidatorChanges(0))
    expected = ValidatorChanges(tuple(encode(change) for change in chain.changes()))
    assert again.bench.take(ValidatorChanges, EDGE)[-1] == expected
    assert again.bench.hung_up == {}


def test_a_validator_that_left_is_not_blamed_for_what_it_still_sends(kit: Any) -> None:
    """It was followed until a moment ago and does not know that it no longer is."""
    chain = EpochChain(4)
    place = started(kit, chain, 3, 0, 1, 2)
    chain.end_epoch(chain.members(0, 1, 2, 4))
    root = chain.head.height
    place.blocks(2, root)
    place.checkpoint(root)
    chain.add()
    for message in (
        BlocksMessage(encode(chain.finalized(chain.blocks[root:]))),
        CheckpointMessage(encode(chain.certified())),
    ):
        for _ in range(5):
            place.bench.receive(chain.node_id(3), message)
    assert place.bench.hung_up == {}
    assert place.bench.told(PeerFault) == []


def test_a_miner_that_was_off_while_everybody_changed_finds_its_way(kit: Any) -> None:
    """Of the validators that it knew none is left; strangers bring the chain, which proves itself."""
    chain = EpochChain(4)
    place = started(kit, chain, 0, 1, 2, 3)
    chain.end_epoch(chain.members(4, 5, 6, 7))
    root = chain.head.height
    chain.add()
    again = Place(kit, chain, 4, 5, 6, 7, store=place.bench.store)
    again.blocks(2, root)
    again.blocks(root + 1, root + 1)
    again.checkpoint(root + 1)
    assert (again.epoch, again.node.replica.certified_height) == (1, root + 1)
    again.bench.receive(EDGE, Submit((chain.tools.transaction("alice", chain.tools.account("bob")).raw,)))
    again.bench.wait(60_000)
    assert {peer for peer, message in again.bench.sent if isinstance(message, BatchMessage)} == {
        chain.node_id(node) for node in (4, 5, 6, 7)
    }
