"""A whole L1 node that catches up across epochs, is sealed out of one, or is to join the next.

The node is the real one on a real chain; only disk and links are played by the test.
"""

from __future__ import annotations

import msgspec
import pytest
from epoch_scene import OTHERS, Bench, across_epochs, late, sealed_by_descendants
from epoch_tools import EpochChain

from supervm.common.contract import core as c
from supervm.common.parts.events import PeerFault
from supervm.common.parts.manners import Rank
from supervm.protocol.base.codec import encode
from supervm.protocol.chain.finalized import FinalizedBlocks, check_finalized_chain
from supervm.protocol.chain.validators import ValidatorList
from supervm.protocol.chain.votes import VoteKind
from supervm.protocol.wire.chain import BatchCertificateMessage, BlocksMessage, CheckpointMessage, Follow, GetBlocks
from supervm.protocol.wire.consensus import CertificateMessage, ConsensusStatus, GetBlock, ProposalMessage, VoteMessage
from supervm.tier_l1_super.messages import Approve

replace = msgspec.structs.replace


@pytest.mark.parametrize("node", [0, 3, 4, 9], ids=["stays", "leaves", "joins", "outside"])
def test_a_node_catches_up_through_epochs_from_blocks_alone(node: int) -> None:
    """The first block of the next epoch proves that it may begin; the node is where the chain is, with its seat."""
    chain, root = across_epochs(lambda chain: chain.members(*OTHERS))
    bench = Bench(chain, node)
    bench.linked(1)
    bench.get(1, bench.finalized(1, root))
    bench.get(1, bench.finalized(root + 1, root + 1))
    bench.get(1, bench.finalized(root + 1, root + 1))
    assert bench.core.ledger.height == root + 1
    assert bench.core.seat.rules.epoch == 1
    assert bench.core.index == {0: 0, 3: None, 4: 3, 9: None}[node]
    assert (bench.hung_up, bench.halted) == ({}, "")
    again = Bench(chain, node, bench.store)
    assert (again.core.seat.rules.epoch, again.core.index) == (1, bench.core.index)
    assert again.core.simplex.committed == chain.head


def test_an_answer_that_crosses_the_change_of_epoch_is_no_fault() -> None:
    """Asked in the old epoch, answered in the new: the descendants that prove our root cost nobody."""
    chain = EpochChain(4)
    blocks, proof = sealed_by_descendants(chain)
    answer = BlocksMessage(encode(FinalizedBlocks(1, (*blocks, *proof.blocks), proof.finalization)))
    bench = Bench(chain)
    bench.linked(1)
    bench.get(1, answer)
    assert bench.core.simplex.sealed
    bench.get(1, CheckpointMessage(encode(chain.certified(3))))
    assert bench.core.seat.rules.epoch == 1
    events = bench.core.step(bench.now_us, c.Received(chain.node_id(1), answer))
    assert [effect for effect in events if isinstance(effect, c.Publish) and isinstance(effect.event, PeerFault)] == []


def test_a_sealed_node_restarts_sealed() -> None:
    """Executed, not certified: it stands in the old epoch, only helps, and goes on with the certificate."""
    chain = EpochChain(4)
    blocks, proof = sealed_by_descendants(chain)
    bench = Bench(chain)
    bench.linked(1)
    bench.get(1, BlocksMessage(encode(FinalizedBlocks(1, (*blocks, *proof.blocks), proof.finalization))))
    again = Bench(chain, store=bench.store)
    assert (again.core.seat.rules.epoch, again.core.simplex.sealed, again.core.ledger.height) == (0, True, 3)
    again.linked(1, 2)
    again.sent.clear()
    again.get(1, VoteMessage((chain.vote(1, VoteKind.NULLIFY, 9, rules=chain.rules_of[0]),)))
    (helped,) = again.taken(CertificateMessage, 1)
    assert helped.certificates == (proof.finalization,)  # type: ignore[attr-defined]
    again.wait(3_000_000)
    kinds = {vote.kind for message in again.taken(VoteMessage) for vote in message.votes}  # type: ignore[attr-defined]
    assert kinds == {VoteKind.CHECKPOINT}
    (chunk,) = [again.core.serving.chunk(1)]
    assert chunk is not None
    check_finalized_chain(chunk[0], chain.chain.genesis_header, chain.rules_of[0])
    again.get(2, CheckpointMessage(encode(chain.certified(3))))
    assert (again.core.seat.rules.epoch, again.core.index, again.core.simplex.sealed) == (1, 0, False)


def test_who_is_behind_an_epoch_is_told_where_it_goes_on() -> None:
    """Votes, or only a status - an observer has nothing else to say -, of whoever: a leaving validator too."""
    chain, root = across_epochs(lambda chain: chain.members(*OTHERS))
    bench = Bench(chain)
    bench.linked(1, 2, 3)
    bench.get(1, bench.finalized(1, root))
    bench.get(1, bench.finalized(root + 1, root + 1))
    bench.get(1, bench.finalized(root + 1, root + 1))
    bench.sent.clear()
    for message in (
        ConsensusStatus(0, 7, 1, 1, False),
        VoteMessage((chain.vote(3, VoteKind.NULLIFY, 9, rules=chain.rules_of[0]),)),
    ):
        bench.get(3, message)
        bench.get(3, message)
        told = [item for peer, item in bench.sent if peer == chain.node_id(3)]
        assert [type(item) for item in told] == [ConsensusStatus, CheckpointMessage]
        assert told[0].epoch == 1  # type: ignore[attr-defined]
        assert told[1] == CheckpointMessage(encode(chain.certified(root)))
        bench.sent.clear()
        bench.now_us += 1_000_000


def test_a_voteless_member_that_missed_the_certificate_gets_it() -> None:
    """It has executed the sealing block and says so in its status; without the certificate the new epoch may stand."""
    chain, root = across_epochs()
    ahead, behind = Bench(chain, 0), Bench(chain, 1)
    for bench, peer in ((ahead, 1), (behind, 0)):
        bench.linked(peer, 2)
        bench.get(2, bench.finalized(1, root))
    ahead.get(2, CheckpointMessage(encode(chain.certified(root))))
    assert (ahead.core.seat.rules.epoch, behind.core.seat.rules.epoch) == (1, 0)
    ahead.sent.clear()
    behind.wait(2_500_000)
    for status in behind.taken(ConsensusStatus, 0)[:1]:
        ahead.get(1, status)
    for message in [item for peer, item in ahead.sent if peer == chain.node_id(1)]:
        behind.get(0, message)
    assert behind.core.seat.rules.epoch == 1


def test_a_member_whose_set_has_left_follows_whom_it_finds() -> None:
    """All others handed over while it was away, and only strangers are there."""
    chain, root = across_epochs(lambda chain: chain.members(4, 5, 6))
    bench = Bench(chain, 0)
    bench.linked(4)
    bench.wait(2_500_000)
    assert bench.taken(Follow, 4) == [Follow(0)]
    bench.get(4, bench.finalized(1, root))
    bench.get(4, bench.finalized(root + 1, root + 1))
    assert (bench.core.seat.rules.epoch, bench.core.index) == (1, None)
    stays = Bench(chain, 0)
    stays.linked(1, 4)
    stays.wait(10_000_000)
    assert stays.taken(Follow) == []


def test_missing_blocks_are_asked_of_one_validator_after_the_other() -> None:
    """Found by fuzzing: a turn by the clock met the same peer at each tick of a timer, and that one lacked them too."""
    bench = Bench(EpochChain(4), 0)
    bench.linked(1, 2, 3)
    bench.sent.clear()
    for _ in range(3):
        bench.core.whereabouts.ask_anyone()
    bench.step(c.Tick())
    asked = [bench.number(peer) for peer, message in bench.sent if isinstance(message, GetBlocks)]
    assert sorted(asked) == [1, 2, 3]  # type: ignore[type-var]


def test_a_final_block_is_still_given_to_who_lacks_just_that_one() -> None:
    chain = EpochChain(4)
    chain.add()
    chain.add()
    bench = Bench(chain, 0)
    bench.linked(1)
    bench.get(1, bench.finalized(1, 2))
    bench.sent.clear()
    block = chain.blocks[0]
    bench.get(1, GetBlock(block.header.view, block.hash))
    bench.get(1, GetBlock(block.header.view + 1, block.hash))
    assert bench.taken(ProposalMessage, 1) == [ProposalMessage(encode(block))]


def test_a_node_far_ahead_is_asked_for_the_chain_whoever_it_is() -> None:
    chain = EpochChain(4)
    bench = Bench(chain, 0)
    bench.linked(1, 9)
    bench.sent.clear()
    bench.get(9, ConsensusStatus(10**6, 1, 1, 10**3, False))
    assert [item for peer, item in bench.sent if peer == chain.node_id(9)] == [GetBlocks(1)]
    assert bench.core.seat.rules.epoch == 0


def shrunk() -> tuple[EpochChain, int]:
    """Five validators, then the first four of them: whatever is left of index 4 names nobody."""
    chain = EpochChain(5)
    chain.add()
    chain.end_epoch(chain.members(0, 1, 2, 3))
    root = chain.head.height
    chain.add()
    return chain, root


@pytest.mark.parametrize("left", ["a vote ahead", "a bad vote for the sealing height", "a body that never came"])
def test_a_smaller_set_is_not_indexed_by_what_the_larger_one_left(left: str) -> None:
    """Validator 4 may do what it likes before it leaves, and so may an honest miner: nobody falls over it later."""
    chain, root = shrunk()
    bench = Bench(chain)
    bench.linked(1, 2, 3, 4)
    old = chain.rules_of[0]
    if left == "a vote ahead":
        votes = tuple(chain.vote(4, VoteKind.CHECKPOINT, root + ahead, b"x" * 32, rules=old) for ahead in range(1, 9))
        bench.get(4, VoteMessage(votes))
    elif left == "a bad vote for the sealing height":
        digest = chain.checkpoints[root].hash
        good = [chain.vote(signer, VoteKind.CHECKPOINT, root, digest, rules=old) for signer in (1, 2, 3)]
        for vote in (replace(chain.vote(4, VoteKind.CHECKPOINT, root, digest, rules=old), signature=bytes(64)), *good):
            bench.get(vote.signer, VoteMessage((vote,)))
    else:
        batch = chain.tools.batch([chain.tools.transaction("alice", chain.tools.account("bob"))])
        certificate = chain.tools.batch_certificate(batch, (0, 1, 2, 4))
        bench.get(1, BatchCertificateMessage(encode(certificate)))
    bench.get(1, bench.finalized(1, root))
    bench.get(1, bench.finalized(root + 1, root + 1))
    bench.get(1, bench.finalized(root + 1, root + 1))
    assert (bench.core.seat.rules.epoch, bench.core.ledger.height) == (1, root + 1)
    bench.wait(5_000_000)
    header = chain.checkpoints[-1]
    for signer in (1, 2, 3):
        vote = chain.vote(signer, VoteKind.CHECKPOINT, header.height, header.hash)
        bench.get(signer, VoteMessage((vote,)))
    assert bench.core.executor.tally.height == root + 1
    assert bench.halted == ""
    assert list(bench.hung_up) == ([chain.node_id(4)] if left.startswith("a bad vote") else [])


def test_a_restart_past_the_epochs_time_votes_on_no_batch() -> None:
    """The block is executed, the promise to close was lost with the power: closed from the first moment on."""
    chain = EpochChain(4)
    chain.add(ts_ms=late(chain))
    bench = Bench(chain, now_us=late(chain) * 1000)
    bench.linked(1)
    bench.get(1, bench.finalized(1, 1))
    assert bench.core.voter.closed
    bench.store._log.clear()
    bench.store.reopen()
    again = Bench(chain, store=bench.store, now_us=bench.now_us)
    assert again.core.epoch_end.closing
    assert again.core.voter.closed


@pytest.mark.parametrize("by", ["wish", "proposal"])
def test_who_is_to_validate_next_is_no_stranger_while_it_catches_up(by: str) -> None:
    """Strangers share a twentieth of a core and 64 places: hostile ones could keep a future validator from its set."""
    chain = EpochChain(4)
    bench = Bench(chain, 0)
    bench.linked(1, 4, 9)
    rank_of = {node: lambda node=node: bench.core.manners._peers[chain.node_id(node)].rank for node in (1, 4, 9)}
    assert [rank_of[node]() for node in (1, 4, 9)] == [Rank.MEMBER, Rank.STRANGER, Rank.STRANGER]
    members = chain.members(*OTHERS)
    if by == "wish":
        bench.step(c.Command(1, Approve(encode(ValidatorList(1, members)))))
    else:
        chain.add(change=chain.change(members))
        bench.get(1, bench.finalized(1, 1))
    assert [rank_of[node]() for node in (1, 4, 9)] == [Rank.MEMBER, Rank.NAMED, Rank.STRANGER]
    if by == "wish":
        bench.step(c.Command(2, Approve(b"")))
        assert rank_of[4]() is Rank.STRANGER


def test_an_observer_leaves_whom_it_follows_only_if_that_one_stays_behind() -> None:
    """Who was followed once goes on sending: with a change at each lead, all of them sent all blocks in the end."""
    chain = EpochChain(4)
    for _ in range(8):
        chain.add()
    bench = Bench(chain, 9)
    bench.linked(1, 2)
    (follow,) = [(peer, message) for peer, message in bench.sent if isinstance(message, Follow)]
    followed = bench.number(follow[0])
    other = 3 - followed  # type: ignore[operator]
    bench.taken(Follow)
    for height in range(1, 7):  # in turn one is ahead of the other by a block
        bench.now_us += 400_000
        bench.get(followed if height % 2 else other, bench.finalized(height, height))  # type: ignore[arg-type]
    assert bench.taken(Follow) == []
    bench.now_us += 12_000_000  # the beat of an idle chain, and two seconds
    bench.get(other, bench.finalized(7, 7))
    assert bench.taken(Follow, other) == [Follow(7)]
