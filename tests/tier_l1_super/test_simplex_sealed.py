"""One Simplex instance at the end of its epoch: what seals it, what it still does, and how it starts again (2.11)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from epoch_tools import EpochChain

from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.body import EMPTY_BODY
from supervm.protocol.chain.finalized import FinalizedBlocks
from supervm.protocol.chain.votes import Certificate, VoteKind
from supervm.protocol.wire.consensus import CertificateMessage
from supervm.tier_l1_super.consensus.simplex import Simplex
from supervm.tier_l1_super.consensus.simplex import effects as fx
from supervm.tier_l1_super.consensus.simplex.promises import Promise, decode_promise

N, X, F = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE
START_US = 1_700_000_000_000_000 + 60_000_000


class Solo:
    """The instance of node 0 in the present epoch of a chain; the test plays everybody else."""

    def __init__(
        self,
        chain: EpochChain,
        *,
        finalized: Any = None,
        promises: Sequence[Promise] = (),
        blocks: Sequence[Block] = (),
        observer: bool = False,
    ) -> None:
        self.chain, self.now_us = chain, START_US
        self.rules = chain.rules
        self.core = Simplex(
            rules=chain.rules,
            index=None if observer else 0,
            key=None if observer else chain.key(0),
            parameters=chain.chain.parameters,
            finalized=finalized or (chain.head, None),
            promises=promises,
            blocks=blocks,
        )
        self.effects: list[Any] = self.core.step(self.now_us, fx.Started())

    def give(self, event: Any) -> list[Any]:
        self.effects = self.core.step(self.now_us, event)
        return self.effects

    def certificate(self, kind: VoteKind, block: Block) -> list[Any]:
        held = self.chain.certificate(kind, block.header.view, block.hash, signers=(1, 2, 3), rules=self.rules)
        return self.give(fx.CertificateReceived(1, held))

    def propose(self, block: Block) -> None:
        if block.header.proposer != 0:
            self.give(fx.ProposalReceived(block.header.proposer, block))
        else:
            self.give(fx.ProposalReceived(1, block))
        for effect in list(self.effects):
            if isinstance(effect, fx.AskVerify):
                self.give(fx.BlockVerified(effect.block.hash, ok=True))

    def wait(self, us: int) -> list[Any]:
        found = []
        end_us = self.now_us + us
        while (deadline := self.core.deadline_us) is not None and deadline <= end_us:
            self.now_us = max(self.now_us, deadline)
            found += self.give(fx.Tick())
        self.now_us = end_us
        return found


def kinds(effects: Sequence[Any], kind: type) -> list[Any]:
    return [effect for effect in effects if isinstance(effect, kind)]


def to_the_seal(chain: EpochChain, tail: int = 2) -> list[Block]:
    """Blocks above the head: one, the sealing one, and descendants that only prove it."""
    blocks = [chain.block()]
    blocks.append(chain.block(blocks[0].header, closes=[0, 1, 2]))
    for _ in range(tail):
        blocks.append(chain.make(blocks[-1].header, EMPTY_BODY))
    return blocks


@pytest.mark.parametrize("through", [1, 2, 3], ids=["its own", "its child's", "its grandchild's"])
@pytest.mark.parametrize("epoch", [0, 1])
def test_a_sealing_block_is_committed_through_any_finalization(through: int, epoch: int) -> None:
    """Descendants are handed out apart, as the proof they are; the instance is sealed at once."""
    chain = EpochChain(4)
    for _ in range(epoch):
        chain.end_epoch()
    solo = Solo(chain)
    blocks = to_the_seal(chain)
    for block in blocks[: through + 1]:
        solo.propose(block)
        if block is not blocks[through]:
            solo.certificate(N, block)
            assert not solo.core.sealed
    (commit,) = kinds(solo.certificate(F, blocks[through]), fx.Committed)
    assert [block.header.height for block in commit.blocks] == [epoch + 1, epoch + 2]
    assert commit.tail == tuple(blocks[2 : through + 1])
    assert (commit.finalization.number, commit.finalization.digest) == (
        blocks[through].header.view,
        blocks[through].hash,
    )
    assert (solo.core.sealed, solo.core.committed) == (True, blocks[1].header)
    for block in commit.tail:
        assert solo.core.block(block.hash) == block  # whoever lacks it may ask


def sealed(chain: EpochChain, tail: int = 1) -> tuple[Solo, list[Block], Certificate]:
    solo = Solo(chain)
    blocks = to_the_seal(chain, tail)
    for block in blocks[:-1]:
        solo.propose(block)
        solo.certificate(N, block)
    solo.propose(blocks[-1])
    (commit,) = kinds(solo.certificate(F, blocks[-1]), fx.Committed)
    return solo, blocks, commit.finalization


@pytest.mark.parametrize("tail", [0, 1, 3])
def test_a_sealed_instance_votes_on_nothing_and_says_why(tail: int) -> None:
    solo, blocks, finalization = sealed(EpochChain(4), tail)
    chain = solo.chain
    child = chain.make(blocks[-1].header, EMPTY_BODY)
    for event in (
        fx.ProposalReceived(child.header.proposer, child),
        fx.CertificateReceived(1, chain.certificate(N, child.header.view, child.hash, signers=(1, 2, 3))),
        fx.CertificateReceived(1, chain.certificate(X, child.header.view, signers=(1, 2, 3))),
        fx.Built(child.header.view, EMPTY_BODY, START_US // 1000, child.header.last_checkpoint),
        fx.BlockVerified(child.hash, ok=True),
        fx.FinalizedChain(FinalizedBlocks(1, (child,), chain.certificate(F, child.header.view, child.hash))),
    ):
        assert solo.give(event) == []
    said = solo.wait(10_000_000)
    assert {type(effect) for effect in said} == {fx.Broadcast}
    assert {effect.message for effect in said} == {CertificateMessage((finalization,))}
    assert len(said) <= 10


def test_a_sealed_instance_helps_each_laggard_once_a_second() -> None:
    solo, blocks, finalization = sealed(EpochChain(4))
    late = solo.chain.vote(2, X, 1)
    assert solo.give(fx.VoteReceived(2, late)) == [
        fx.SendTo(2, CertificateMessage((finalization,)), solo.effects[0].after)
    ]
    assert solo.give(fx.VoteReceived(2, late)) == []
    assert len(solo.give(fx.VoteReceived(3, solo.chain.vote(3, X, 10**6)))) == 1
    solo.now_us += 1_000_000
    assert len(solo.give(fx.VoteReceived(2, late))) == 1
    solo.chain.append(blocks[0])
    solo.chain.append(blocks[1])  # an epoch further
    solo.now_us += 1_000_000
    assert solo.give(fx.VoteReceived(2, solo.chain.vote(2, X, 1))) == []


@pytest.mark.parametrize("tail", [0, 2])
@pytest.mark.parametrize("observer", [False, True])
def test_a_sealed_instance_starts_again_sealed(tail: int, observer: bool) -> None:
    """With the finalization of the sealing block itself, or with that of a descendant and the descendants."""
    solo, blocks, finalization = sealed(EpochChain(4), tail)
    again = Solo(solo.chain, finalized=(blocks[1].header, finalization), blocks=blocks[2:], observer=observer)
    assert (again.core.sealed, again.core.committed, again.core.final.view) == (
        True,
        blocks[1].header,
        finalization.number,
    )
    assert [effect.message for effect in again.effects] == [CertificateMessage((finalization,))]
    assert again.wait(1_500_000) != []
    (help_,) = again.give(fx.VoteReceived(2, solo.chain.vote(2, X, 1)))
    assert help_.message == CertificateMessage((finalization,))
    assert [again.core.block(block.hash) for block in blocks[2:]] == blocks[2:]


def test_a_crash_before_the_commit_was_durable_comes_to_the_same_end() -> None:
    """The log has the votes, the database nothing: the finalization comes again, and the chain with it."""
    chain = EpochChain(4)
    solo = Solo(chain)
    blocks = to_the_seal(chain)
    records: list[Promise] = []
    for block in blocks[:3]:
        solo.propose(block)
        for effect in solo.effects:
            if isinstance(effect, fx.PersistPromise):
                records.append(decode_promise(effect.payload))
        for effect in solo.certificate(N, block):
            if isinstance(effect, fx.PersistPromise):
                records.append(decode_promise(effect.payload))
    again = Solo(chain, promises=records)
    assert not again.core.sealed
    piece = FinalizedBlocks(
        1, tuple(blocks), chain.certificate(F, blocks[-1].header.view, blocks[-1].hash, signers=(1, 2, 3))
    )
    (commit,) = kinds(again.give(fx.FinalizedChain(piece)), fx.Committed)
    assert (commit.blocks, commit.tail) == (tuple(blocks[:2]), tuple(blocks[2:]))
    assert again.core.sealed


def test_votes_and_records_of_another_epoch_mean_nothing() -> None:
    """The same views and the same validators: only the epoch tells them apart."""
    chain = EpochChain(4)
    old = chain.rules
    solo = Solo(chain)
    records = [
        decode_promise(effect.payload) for effect in solo.wait(5_000_000) if isinstance(effect, fx.PersistPromise)
    ]
    assert records
    chain.end_epoch()
    again = Solo(chain, promises=records)
    assert (again.core.view, again.core.prune(0)) == (1, ())
    for event in (
        *(fx.VoteReceived(index, chain.vote(index, X, 1, rules=old)) for index in (1, 2, 3)),
        fx.CertificateReceived(1, chain.certificate(X, 1, ZERO_HASH, rules=old)),
    ):
        assert again.give(event) == []
    assert again.core.view == 1


def test_a_set_of_one_seals_and_starts_the_next_epoch_alone() -> None:
    """No vote of anybody else: own votes make every certificate, also that of the sealing block."""
    chain = EpochChain(1)
    for epoch in range(3):
        solo = Solo(chain)
        heights = []
        for closes in ((), (0,)):
            asked = kinds(solo.effects, fx.AskBuild)[-1]
            block = chain.block(closes=closes)
            solo.give(fx.Built(asked.view, block.body, block.header.ts_ms, block.header.last_checkpoint))
            (commit,) = kinds(solo.effects, fx.Committed)
            assert commit.tail == ()
            heights += [chain.append(item).header.height for item in commit.blocks]
        assert (solo.core.sealed, chain.rules.epoch, heights) == (True, epoch + 1, [2 * epoch + 1, 2 * epoch + 2])
        assert kinds(solo.effects, fx.AskBuild) == []
