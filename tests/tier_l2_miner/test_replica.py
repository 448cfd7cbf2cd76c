"""Rules of the replica: it follows, fetches bodies, compares, stops on a difference, and starts again from disk."""

from __future__ import annotations

import msgspec
import pytest

from supervm.common.parts.events import PeerFault
from supervm.protocol.base.codec import encode
from supervm.protocol.chain.finalized import FinalizedBlocks
from supervm.protocol.chain.votes import VoteKind
from supervm.protocol.wire.chain import (
    BatchMessage,
    BatchVoteMessage,
    BlocksMessage,
    CheckpointMessage,
    Follow,
    GetBatches,
)
from supervm.protocol.wire.payments import LEVEL_R3, Status, Submit
from supervm.tier_l2_miner.replica.bodies import FETCH_RETRY_US, USED_HEIGHTS, Bodies
from supervm.tier_l2_miner.replica.executed import Executed


def finalized_with_rival_batch(bench, *transactions):
    batch = bench.net.rival_batch(transactions)
    return batch, bench.net.block(bench.net.certify_batch(batch))


def test_one_validator_is_followed_from_our_height(net, kit):
    bench = kit.Bench(net)
    for node_id in net.node_ids:
        bench.up(node_id, 1)
    assert [(p, m) for p, m in bench.sent if isinstance(m, Follow)] == [(bench.source, Follow(0))]


def test_a_stranger_is_followed_only_while_no_validator_is_there(net, kit):
    """Who says it is an L1 may know how the chain went on; it is believed no more than anybody."""
    bench, stranger = kit.Bench(net), b"x" * 32
    bench.up(stranger, 1)
    assert bench.peers_sent(Follow) == [stranger]
    finalized = net.block()
    forged = msgspec.structs.replace(finalized, finalization=net.certificate(VoteKind.FINALIZE, 1, bytes(32)))
    bench.receive(stranger, BlocksMessage(encode(forged)))
    assert (bench.core.replica.ledger.height, bench.events[-1].code) == (0, "bad-chain")
    bench.receive(stranger, BlocksMessage(encode(finalized)))
    assert bench.core.replica.ledger.height == 1
    bench.up(net.node_ids[0], 1)
    assert bench.source == net.node_ids[0]
    bench.events.clear()
    bench.receive(stranger, BlocksMessage(encode(net.block())))  # late, and no fault
    assert (bench.core.replica.ledger.height, bench.events) == (1, [])
    bench.down(net.node_ids[0])
    assert bench.source == stranger


def test_what_is_no_l1_tells_nothing_of_the_chain(net, kit):
    bench = kit.Bench(net)
    bench.up(b"x" * 32, 3)
    bench.receive(b"x" * 32, BlocksMessage(encode(net.block())))
    assert (bench.take(Follow), bench.core.replica.ledger.height) == ([], 0)
    assert bench.events[-1].code == "direction"


def test_a_silent_validator_is_replaced_after_the_beat_and_three_seconds(bench):
    first = bench.source
    bench.wait(12_999_999)
    assert bench.source == first
    bench.wait(1)
    assert bench.source != first
    assert [(p, m) for p, m in bench.sent if isinstance(m, Follow)] == [(bench.source, Follow(1))]


def test_a_silent_validator_is_replaced_after_three_seconds_while_a_batch_waits_for_a_block(bench):
    first = bench.source
    bench.receive(bench.net.edge, Submit((bench.net.pay(0, 0).raw,)))
    bench.wait(250_000)
    (batch,) = bench.batches()
    digest, count = batch.header.digest, batch.header.count
    for signer in range(3):
        bench.receive(bench.net.node_ids[signer], BatchVoteMessage(bench.net.vote(digest, count, 1, signer)))
    bench.wait(2_999_999)
    assert bench.source == first
    bench.wait(1)
    assert bench.source != first


def test_one_that_leaves_a_gap_at_each_beat_is_replaced_as_if_it_were_silent(bench):
    """It forges a block now and then, as seen in the simulator: asking it anew must not give it more time."""
    first = bench.source
    for _ in range(3):
        bench.net.block()
    later = BlocksMessage(encode(bench.net.blocks[-1]))  # above the gap that the forged block leaves
    bench.wait(9_000_000)
    bench.receive(first, later)
    assert bench.peers_sent(Follow) == [first]
    bench.wait(3_999_999)
    assert bench.source == first
    bench.wait(1)
    assert bench.source != first


def test_a_validator_that_leaves_is_replaced_at_once(bench):
    first = bench.source
    bench.down(first)
    assert bench.source not in (first, None)
    assert bench.peers_sent(Follow) == [bench.source]


def test_own_bodies_are_used_and_foreign_ones_fetched_by_digest(bench):
    transactions = bench.net.chain_of(0, 3)
    batch, _ = finalized_with_rival_batch(bench, *transactions)
    bench.catch_up()
    assert bench.core.replica.ledger.height == 1
    ((peer, message),) = [(p, m) for p, m in bench.sent if isinstance(m, GetBatches)]
    assert (peer, message.digests) == (bench.source, (batch.header.digest,))
    bench.receive(peer, BatchMessage(encode(batch)))
    assert bench.core.replica.ledger.header == bench.net.ledger.header
    assert bench.core.replica.certified_height == 2


def test_a_body_that_does_not_come_is_asked_for_elsewhere_every_half_second(bench):
    finalized_with_rival_batch(bench, bench.net.pay(0, 0))
    bench.catch_up(checkpoint=False)
    asked = bench.peers_sent(GetBatches)
    for _ in range(3):
        bench.wait(500_000)
        asked = bench.peers_sent(GetBatches)
    assert sorted(asked) == sorted(bench.net.node_ids)


def test_a_body_goes_to_the_next_validator_also_when_another_is_followed_meanwhile(net):
    bodies = Bodies(net.chain, lambda digest: None)
    digest, validators = b"d" * 32, list(net.node_ids)
    bodies.want([digest])
    asked = []
    for turn, first in enumerate((0, 3, 3, 1)):  # whoever is followed is at `first`
        (peer,) = bodies.asks(turn * FETCH_RETRY_US, validators, first)
        assert bodies.asks(turn * FETCH_RETRY_US, validators, first) == {}
        asked.append(peer)
    assert asked == validators
    bodies.want([])
    assert bodies.deadline_us is None


def test_a_body_that_was_not_asked_for_or_is_forged_changes_nothing(bench):
    batch, _ = finalized_with_rival_batch(bench, bench.net.pay(0, 0))
    bench.receive(bench.source, BatchMessage(encode(batch)))
    bench.catch_up(checkpoint=False)
    forged = msgspec.structs.replace(batch, transactions=(bench.net.pay(1, 0).raw,))
    liar = bench.source
    bench.receive(liar, BatchMessage(encode(forged)))
    assert bench.core.replica.ledger.height == 1
    assert bench.told(PeerFault)[-1].code == "bad-batch"
    assert list(bench.hung_up) == [liar]
    bench.receive(bench.source, BatchMessage(encode(batch)))
    assert bench.core.replica.ledger.height == 2


def test_a_transaction_executed_through_another_miner_is_r3_here_too(bench):
    transaction = bench.net.pay(0, 0)
    bench.receive(bench.net.edge, Submit((transaction.raw,)))
    batch, _ = finalized_with_rival_batch(bench, transaction)
    bench.catch_up(checkpoint=False)
    bench.receive(bench.source, BatchMessage(encode(batch)))
    items = [i for m in bench.take(Status, bench.net.edge) for i in m.items]
    assert [(i.transaction_id, i.level) for i in items] == [(transaction.id, LEVEL_R3)]
    bench.receive(bench.net.edge, Submit((transaction.raw,)))
    assert bench.take(Status, bench.net.edge)[0].items[0].level == LEVEL_R3


def test_after_some_blocks_a_transaction_is_on_disk_alone_and_still_r3(bench):
    transaction = bench.net.pay(0, 0)
    bench.receive(bench.net.edge, Submit((transaction.raw,)))
    batch, _ = finalized_with_rival_batch(bench, transaction)
    bench.catch_up(checkpoint=False)
    bench.receive(bench.source, BatchMessage(encode(batch)))
    bench.take(Status, bench.net.edge)
    replica = bench.core.replica
    (executed,) = (part for part in bench.core.parts if isinstance(part, Executed))
    assert (len(replica._bodies._bodies), len(executed._ids)) == (1, 1)
    for _ in range(USED_HEIGHTS):
        bench.receive(bench.source, BlocksMessage(encode(bench.net.block())))
    assert replica.ledger.height == bench.net.ledger.height
    assert (len(replica._bodies._bodies), replica._bodies._bytes, len(replica._bodies._used)) == (0, 0, 0)
    assert not executed._ids
    bench.receive(bench.net.edge, Submit((transaction.raw,)))
    assert bench.take(Status, bench.net.edge)[0].items[0].level == LEVEL_R3


@pytest.mark.parametrize("before", [True, False], ids=["after-the-block", "before-the-block"])
def test_a_certified_checkpoint_with_another_root_stops_the_node(bench, before):
    finalized = bench.net.block()
    other = msgspec.structs.replace(bench.net.ledger.header, state_root=b"\x01" * 32)
    messages = [BlocksMessage(encode(finalized)), CheckpointMessage(encode(bench.net.certify(other)))]
    for message in messages if before else reversed(messages):
        bench.receive(bench.source, message)
    assert "height 2" in bench.halted
    bench.receive(bench.source, BlocksMessage(encode(bench.net.block())))
    assert bench.core.deadline_us is None
    assert bench.core.replica.ledger.height == 2


def test_a_block_that_certifies_another_header_stops_the_node(bench):
    finalized = bench.net.block()
    bench.receive(bench.source, BlocksMessage(encode(finalized)))
    other = msgspec.structs.replace(bench.net.ledger.header, state_root=b"\x01" * 32)
    bench.net.checkpoints[-1] = bench.net.certify(other)
    bench.receive(bench.source, BlocksMessage(encode(bench.net.block())))
    assert bench.halted


def test_a_checkpoint_without_quorum_stops_nothing(bench):
    bench.receive(bench.source, BlocksMessage(encode(bench.net.block())))
    other = bench.net.certify(msgspec.structs.replace(bench.net.ledger.header, state_root=b"\x01" * 32))
    weak = msgspec.structs.replace(other, signatures=other.signatures[:2])
    bench.receive(bench.source, CheckpointMessage(encode(weak)))
    assert bench.halted == ""
    assert bench.events[-1].code == "bad-certificate"


def test_the_certificate_inside_the_next_block_certifies_as_well(bench):
    bench.net.block()
    bench.net.block()
    bench.catch_up(checkpoint=False)
    assert bench.core.replica.certified_height == 2


def test_blocks_that_are_not_finalized_or_not_linked_are_refused(bench):
    finalized = bench.net.block()
    weak = msgspec.structs.replace(
        finalized,
        finalization=msgspec.structs.replace(finalized.finalization, signatures=finalized.finalization.signatures[:2]),
    )
    changed = msgspec.structs.replace(
        finalized.blocks[0], header=msgspec.structs.replace(finalized.blocks[0].header, parent_hash=b"z" * 32)
    )
    for bad in (weak, FinalizedBlocks(1, (changed,), finalized.finalization)):
        bench.receive(bench.source, BlocksMessage(encode(bad)))
    assert bench.core.replica.ledger.height == 1
    assert [event.code for event in bench.told(PeerFault)] == ["bad-certificate", "bad-chain"]


def test_catching_up_takes_many_blocks_in_chunks_that_overlap_and_a_gap_is_followed_again(bench):
    finalized = [bench.net.block() for _ in range(100)]
    blocks = tuple(f.blocks[0] for f in finalized)
    bench.now_us += 1_000_000
    bench.receive(bench.source, BlocksMessage(encode(finalized[50])))
    assert bench.take(Follow) == [Follow(1)]
    for start, end in ((0, 40), (20, 70), (65, 100)):
        chunk = FinalizedBlocks(1, blocks[start:end], finalized[end - 1].finalization)
        bench.receive(bench.source, BlocksMessage(encode(chunk)))
    bench.wait(0)
    assert bench.core.replica.ledger.header == bench.net.ledger.header
    assert bench.core.replica.certified_height == 100
    assert len(bench.core.replica.certified._headers) <= 2


def test_a_restarted_miner_goes_on_from_its_database(bench, kit):
    batch, _ = finalized_with_rival_batch(bench, bench.net.pay(0, 0))
    bench.catch_up(checkpoint=False)
    bench.receive(bench.source, BatchMessage(encode(batch)))
    again = kit.Bench(bench.net, store=bench.store, seed=2)
    assert again.core.replica.ledger.header == bench.net.ledger.header
    for node_id in bench.net.node_ids:
        again.up(node_id, 1)
    assert again.take(Follow) == [Follow(2)]
    bench.net.block()
    again.catch_up()
    assert again.core.replica.certified_height == 3
    assert again.halted == ""
    again.up(bench.net.edge, 3)
    again.receive(bench.net.edge, Submit((batch.transactions[0],)))
    assert again.take(Status, bench.net.edge)[0].items[0].level == LEVEL_R3


def test_a_node_that_is_no_miner_of_this_genesis_says_so(net, kit):
    net.miner_key = kit.key(9, 9)
    with pytest.raises(Exception, match="not among the miners"):
        kit.Bench(net)
