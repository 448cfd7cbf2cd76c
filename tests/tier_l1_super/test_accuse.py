"""What an L1 publishes as evidence is proof to anybody (consensus.md 2.10, A2)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from unittest.mock import ANY

import pytest
from chain_tools import TestChain, make_test_chain
from evidence_samples import batch_with, faulty_entries

from supervm.common.contract.core import Effect, HangUp, Outbox, Persist, Publish
from supervm.common.parts.events import PeerFault
from supervm.common.storage.memory import MemoryStore
from supervm.common.testing.hand import HandDriver
from supervm.protocol.base.address import encode_node_id
from supervm.protocol.base.codec import encode
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.evidence import Culprit, check_evidence, decode_evidence, double_vote
from supervm.protocol.chain.header import Justification
from supervm.protocol.chain.votes import VoteKind
from supervm.protocol.wire.chain import BatchMessage
from supervm.protocol.wire.consensus import CertificateMessage, ProposalMessage, VoteMessage
from supervm.protocol.wire.fields import Message
from supervm.tier_l1_super.consensus.accuse import Accuser
from supervm.tier_l1_super.consensus.seat import Seat
from supervm.tier_l1_super.events import Accusation
from supervm.tier_l1_super.node import ValidatorNode
from supervm.tier_l1_super.tables import TABLES

NOTARIZE, NULLIFY, FINALIZE, CHECKPOINT = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE, VoteKind.CHECKPOINT
A, B = b"a" * 32, b"b" * 32


class Solo(HandDriver[ValidatorNode]):
    """One validator of four that is linked to all others and two miners, and hears what a test says."""

    def __init__(self) -> None:
        self.chain: TestChain = make_test_chain(4, miners=2)
        self.index = self.chain.rules.leader(0)  # not the leader of views 1 to 3
        store = MemoryStore(TABLES, with_log=True)
        node = ValidatorNode(
            chain=self.chain.chain,
            node_id=self.chain.node_keys[self.index].public,
            key=self.chain.validator_keys[self.index],
            reader=store,
            targets=(),
            rng=random.Random(1),
        )
        super().__init__(node, store, now_us=(self.chain.chain.genesis.time_ms + 60_000) * 1_000, disk_at_once=False)
        for tier, keys in ((1, self.chain.node_keys), (2, self.chain.miner_keys)):
            for key in keys:
                if key.public != self.core.node_id:
                    self.up(key.public, tier)

    def again(self, signer: int) -> None:
        """A validator that was hung up on comes back when its ban is over."""
        self.now_us += 20_000_000
        self.up(self.chain.node_keys[signer].public, 1)

    def hears(self, signer: int, message: Message) -> list[Effect]:
        return self.receive(self.chain.node_keys[signer].public, message)

    def proposes(self, block: Block) -> list[Effect]:
        return self.hears(block.header.proposer, ProposalMessage(encode(block)))

    def culprits(self, effects: Sequence[Effect]) -> list[Culprit]:
        """Return what the published evidence proves, having seen that the event says the same."""
        found = []
        for effect in effects:
            if isinstance(effect, Publish) and isinstance(effect.event, Accusation):
                fields = effect.event.fields
                culprit = check_evidence(decode_evidence(bytes.fromhex(fields.pop("evidence"))), self.chain.rules)
                who = {"miner": encode_node_id(culprit.miner)} if culprit.miner else {"validator": culprit.validator}
                assert fields == {"kind": culprit.kind, **who}
                found.append(culprit)
        return found


def rejections(effects: Sequence[Effect]) -> list[str]:
    events = [effect.event for effect in effects if isinstance(effect, Publish)]
    return [event.code for event in events if isinstance(event, PeerFault)]


def test_two_proposals_of_one_view() -> None:
    solo = Solo()
    one = solo.chain.block(solo.chain.genesis_header)
    other = solo.chain.block(solo.chain.genesis_header, ts_ms=one.header.ts_ms + 1)
    assert solo.culprits(solo.proposes(one)) == []
    assert solo.culprits(solo.proposes(other)) == [Culprit("E1", one.header.proposer)]


def test_giving_up_and_finalizing() -> None:
    solo = Solo()
    signer = solo.chain.rules.leader(2)
    effects = [
        effect
        for kind, digest in ((FINALIZE, A), (NULLIFY, ZERO_HASH))
        for effect in solo.hears(signer, VoteMessage((solo.chain.vote(signer, kind, 3, digest),)))
    ]
    assert solo.culprits(effects) == [Culprit("E2", signer)]


def test_two_checkpoints_of_one_height() -> None:
    solo = Solo()
    signer = solo.chain.rules.leader(2)
    effects = [
        effect
        for digest in (B, A)
        for effect in solo.hears(signer, VoteMessage((solo.chain.vote(signer, CHECKPOINT, 3, digest),)))
    ]
    assert solo.culprits(effects) == [Culprit("E3", signer)]


def unjustified(chain: TestChain, view: int) -> Block:
    """A child of genesis whose justification carries a parent's certificate where there is none."""
    just = chain.justification(chain.genesis_header, view)
    needless = chain.certificate(NOTARIZE, 0, chain.genesis_header.hash)
    return chain.block(chain.genesis_header, view=view, just=Justification(1, (needless,), just.nullifications))


def test_blocks_without_proof_of_their_place_are_one_accusation_a_leader() -> None:
    solo = Solo()
    chain, leader = solo.chain, solo.chain.rules.leader(1)
    effects = solo.proposes(unjustified(chain, 1))
    assert solo.culprits(effects) == [Culprit("E6", leader)]
    assert rejections(effects) == ["bad-justification"]
    solo.again(leader)
    solo.hears(leader, CertificateMessage(tuple(chain.nullification(view) for view in range(1, 5))))
    effects = solo.proposes(unjustified(chain, 5))
    assert solo.culprits(effects) == []
    assert rejections(effects) == ["bad-justification"]


def test_a_block_that_is_bad_in_another_way_is_no_evidence() -> None:
    solo = Solo()
    block = solo.chain.block(solo.chain.genesis_header, ts_ms=solo.chain.genesis_header.ts_ms)
    effects = solo.proposes(block)
    assert solo.culprits(effects) == []
    assert rejections(effects) == ["bad-block"]


@pytest.mark.parametrize("fault", ["another's signature", "other chain", "unreadable", "zeros"])
def test_a_batch_that_its_miner_must_not_have_signed(fault: str) -> None:
    solo = Solo()
    miner = solo.chain.miner_keys[1].public
    batch = batch_with(solo.chain, faulty_entries(solo.chain)[fault])
    effects = solo.receive(miner, BatchMessage(encode(batch)))
    assert solo.culprits(effects) == [Culprit("E7", miner=miner)]
    assert HangUp(miner, "bad-batch", ANY) in effects
    assert not any(isinstance(effect, Persist) for effect in effects)


def test_what_proves_nothing_to_others_is_not_published() -> None:
    chain, outbox = make_test_chain(), Outbox()
    vote = chain.vote(1, NOTARIZE, 1, A)
    seat = Seat(chain.validators.node_ids[0], chain.validator_keys[0], chain.rules, amnesia=False)
    assert not Accuser(seat, outbox).accuse(double_vote(vote, vote))
    assert outbox.drain() == []
