"""Single attacks and accidents at L1 that once did harm, each with what must hold instead."""

from __future__ import annotations

import random

import pytest

from supervm.common.contract.core import Received, Send
from supervm.protocol.base.codec import decode
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.genesis import Parameters
from supervm.protocol.chain.votes import Vote, VoteKind, statement
from supervm.protocol.wire.chain import BatchMessage
from supervm.protocol.wire.consensus import GetBlock, ProposalMessage, VoteMessage
from supervm.protocol.wire.payments import GetReceipt, ReceiptAnswer
from supervm.sim.exact import Deployment
from supervm.tier_l1_super.chain import executor, whereabouts
from supervm.tier_l1_super.consensus.simplex.promises import ClosePromise, decode_promise
from supervm.tier_l1_super.node import ValidatorNode
from supervm.tier_l1_super.tables import BATCHES
from supervm.tier_l4_mobile.messages import PaymentRow


def core_of(net: Deployment, index: int) -> ValidatorNode:
    core = net.host(f"l1-{index}").core
    assert isinstance(core, ValidatorNode)
    return core


def is_linked(net: Deployment, one: int, other: int) -> bool:
    return net.l1[other].public in net.host(f"l1-{one}").links


@pytest.mark.parametrize("kind", [VoteKind.BATCH, VoteKind.CHECKPOINT])
def test_votes_that_do_not_belong_there_cost_only_their_sender(kind: VoteKind) -> None:
    """A batch vote among consensus votes, or a checkpoint vote in another's name: the sender is cut off, no more."""
    net = Deployment()
    net.start()
    height = core_of(net, 0).ledger.height
    vote = Vote(1, kind, 0, height + 1, b"x" * 32, 2, bytes(64))
    net.world.inject(net.l1[1].public, net.l1[0].public, VoteMessage((vote,)))
    assert not is_linked(net, 0, 1)
    assert net.host("l1-0").halted is None
    net.pay(0, net.random_rows(0, 5, random.Random(1)))
    assert net.settle(20) == {"R4": 5}


def test_a_validator_cannot_overwrite_the_checkpoint_votes_of_others() -> None:
    """With one validator off and one that floods wrong roots for every height, checkpoints are still certified."""
    net = Deployment()
    net.start()
    net.world.crash(net.l1[3].public)
    before = core_of(net, 0).executor.tally.height
    key = net.validators[3]
    for _ in range(40):
        net.world.run(100_000)
        for index in range(3):
            # what the liar sends over its own link: here straight into the tally, as the link would let it
            height = core_of(net, index).ledger.height
            digest = random.Random(height).randbytes(32)
            signed = key.sign(statement(net.chain.chain_id, VoteKind.CHECKPOINT, 0, height + 1, digest))
            core_of(net, index).executor.votes(
                0, net.l1[3].public, [Vote(1, VoteKind.CHECKPOINT, 0, height + 1, digest, 3, signed)]
            )
    assert core_of(net, 0).executor.tally.height > before
    assert all(len(votes) <= 4 for votes in core_of(net, 0).executor.tally._votes.values())


def test_a_body_that_comes_twice_is_no_fault() -> None:
    """Two validators answer one request, because the first was slow: nobody is cut off for the second answer."""
    net = Deployment(l2=1, l3=1)
    net.start()
    net.pay(0, net.random_rows(0, 5, random.Random(1)))
    net.settle(20)
    row = next(BATCHES.rows(net.host("l1-1").disk))
    net.world.inject(net.l1[1].public, net.l1[0].public, BatchMessage(row.batch))
    assert is_linked(net, 0, 1)


def test_an_own_proposal_does_not_leave_before_its_record() -> None:
    """A peer that asks for a block whose proposer has not yet written its promise waits for the write (rule P0)."""
    net = Deployment()
    net.start()
    for _ in range(20_000):
        net.world.run(100)
        for index in range(4):
            core = core_of(net, index)
            for digest, block in core.simplex._tree._blocks.items():
                unwritten = core.consensus.promise_written in net.host(f"l1-{index}").numbers
                if block.header.proposer == index and unwritten:
                    other = net.l1[(index + 1) % 4].public
                    effects = core.step(net.world.now_us, Received(other, GetBlock(block.header.view, digest)))
                    sends = [
                        item for item in effects if isinstance(item, Send) and isinstance(item.message, ProposalMessage)
                    ]
                    assert [item.after for item in sends] == [core.consensus.promise_written]
                    assert decode(Block, sends[0].message.block).hash == digest  # type: ignore[union-attr]
                    return
    pytest.fail("no proposal was ever between its write and the disk")


def test_a_restarted_validator_serves_proofs_although_nothing_new_is_certified() -> None:
    """With the others off, what was certified before the restart can still be asked for."""
    net = Deployment()
    net.start()
    net.pay(0, [PaymentRow(to=net.address(1, 0), amount=5, fee=1, source=net.address(0, 0), key="one")])
    assert net.settle(20) == {"R4": 1}
    transaction_id = bytes.fromhex(net.payments()[0]["id"])
    net.world.run(2_000_000)
    for item in net.l1:
        net.world.crash(item.public)
    net.world.start(net.l1[0].public)
    net.world.run(1_000_000)
    effects = core_of(net, 0).step(net.world.now_us, Received(net.l2[0].public, GetReceipt(transaction_id)))
    answers = [item.message for item in effects if isinstance(item, Send) and isinstance(item.message, ReceiptAnswer)]
    assert answers
    assert answers[0].proof


def test_a_validator_far_behind_catches_up_in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fetching stops while too many blocks wait, one step executes few, and in the end nothing is missing."""
    monkeypatch.setattr(whereabouts, "QUEUED_BLOCKS_MAX", 4)
    monkeypatch.setattr(executor, "RUN_BLOCKS_MAX", 2)
    monkeypatch.setattr(executor, "FETCH_BYTES_MAX", 2_000)
    net = Deployment(l2=1, l3=1)
    net.start()
    net.world.crash(net.l1[0].public)
    for number in range(20):
        net.pay(0, net.random_rows(0, 10, random.Random(number), prefix=f"r{number}"))
        net.world.run(700_000)
    assert net.settle(60) == {"R4": 200}
    net.world.start(net.l1[0].public)
    net.world.run(20_000_000)
    infos = net.validator_info()
    assert max(info["height"] for info in infos) - infos[0]["height"] <= 1
    assert infos[0]["fees"] == infos[1]["fees"]
    assert core_of(net, 0).executor.queued == 0


def test_a_restart_of_everybody_reads_the_promises_back() -> None:
    """What a crash leaves durable is the log that the next start reads: no vote is ever contradicted."""
    net = Deployment()
    net.start()
    net.pay(0, net.random_rows(0, 20, random.Random(3)))
    net.world.run(56_000)
    for item in net.l1:
        net.world.crash(item.public)
    assert all(net.host(name).disk.log() for name in net.names(1))
    for item in net.l1:
        net.world.start(item.public)
    assert net.settle(60) == {"R4": 20}


def test_memory_of_promises_follows_what_is_open() -> None:
    """After hundreds of payments nothing of them is left in the validators' memory."""
    net = Deployment()
    net.start()
    for phone in range(2):
        net.pay(phone, net.random_rows(phone, 200, random.Random(phone)))
    assert net.settle(60) == {"R4": 400}
    net.world.run(3_000_000)
    for index in range(4):
        core = core_of(net, index)
        assert (len(core.slots), core.slots.anchored, core.pool.bodies, core.pool.held) == (0, {}, {}, {})
        assert (core.voter._bits, core.voter._written, core.voter._verifying) == ({}, {}, {})


def test_a_lost_record_of_closing_an_epoch_is_made_up_for() -> None:
    """The block that closes the epoch is on disk, the record of it is not: whoever closes again votes on no batch."""
    parameters = Parameters(2, test_network=True, view_timeout_ms=200, idle_interval_ms=500, epoch_ms=2_000)
    net = Deployment(l2=1, l3=1, l4=1, parameters=parameters, keep_events=False)
    net.start(500_000)
    host = net.host("l1-0")

    def closing() -> bool:
        return isinstance(host.core, ValidatorNode) and host.core.epoch_end.closing

    assert net.world.run(5_000_000, until=closing)
    net.world.run(1_000)  # the record is durable
    net.world.crash(host.node_id)
    records = len(list(host.disk.log()))
    while any(isinstance(decode_promise(payload), ClosePromise) for payload in host.disk.log()):
        host.disk.lose_suffix(1)
    assert len(list(host.disk.log())) < records
    net.world.start(host.node_id)
    assert isinstance(host.core, ValidatorNode)
    assert host.core.epoch_end.closing
    assert host.core.voter.closed


def test_who_follows_from_far_behind_does_not_wait_at_the_end_of_each_epoch() -> None:
    """A node without a seat that was off for epochs with payments is at the tip within two seconds of its start."""
    parameters = Parameters(2, test_network=True, view_timeout_ms=200, idle_interval_ms=500, epoch_ms=2_000)
    net = Deployment(l1=5, members=4, l4=1, parameters=parameters, keep_events=False)
    net.start(1_000_000)
    follower = net.l1[4].public
    net.world.crash(follower)
    for part in range(18):
        net.pay(0, net.random_rows(0, 2, random.Random(part), prefix=f"p{part}"))
        net.world.run(500_000)
    net.world.start(follower)
    net.world.run(2_000_000)
    assert core_of(net, 0).seat.rules.epoch >= 4
    assert core_of(net, 4).ledger.height >= core_of(net, 0).ledger.height - 1
