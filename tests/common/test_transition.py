"""What blocks carry towards the end of an epoch, rule by rule (consensus.md 2.11; `protocol.chain.controls`)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from epoch_tools import EpochChain
from hypothesis import given, settings
from hypothesis import strategies as st

from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.hashing import ZERO_HASH, hash_block_body, hash_justification
from supervm.protocol.chain.block import Block, check_block
from supervm.protocol.chain.body import EMPTY_BODY, BlockBody
from supervm.protocol.chain.evidence import double_vote
from supervm.protocol.chain.finalized import FinalizedBlocks, check_finalized_chain, committed_part
from supervm.protocol.chain.header import Justification
from supervm.protocol.chain.progress import NO_PROGRESS, EpochProgress, mask_weight, signers_bytes, signers_mask
from supervm.protocol.chain.set_change import SetChange
from supervm.protocol.chain.validators import ValidatorList, ValidatorSet
from supervm.protocol.chain.votes import VoteKind, statement

replace = msgspec.structs.replace
OTHERS = (0, 1, 2, 4)
"""Nodes of the set that most tests propose: node 3 leaves, node 4 comes."""


def refused(chain: EpochChain, block: Block, reason: str, *, parent=None, code: str = "bad-block") -> None:
    with pytest.raises(RemoteProtocolError, match=reason) as caught:
        chain.check(block, parent)
    assert caught.value.code == code


def with_body(chain: EpochChain, **changes: object) -> Block:
    """The next block, its body changed before header and signature are made."""
    return chain.make(chain.head, replace(chain.block().body, **changes))


def with_progress(chain: EpochChain, block: Block, **changes: object) -> Block:
    header = replace(block.header, progress=replace(block.header.progress, **changes))
    return chain.sign(header, block.just, block.body)


def proposing(*nodes: int, members: int = 4) -> EpochChain:
    """A chain whose newest block proposes these nodes."""
    chain = EpochChain(members)
    chain.add(change=chain.change(chain.members(*nodes)))
    return chain


# --- masks ------------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 254), unique=True))
def test_masks_and_bytes_are_one_to_one(signers: list[int]) -> None:
    mask = sum(1 << signer for signer in signers)
    data = signers_bytes(mask)
    assert signers_mask(data) == mask
    assert len(data) <= 32
    assert not data.endswith(b"\0")


def test_weight_counts_members_only() -> None:
    """Bits beyond the set count nothing, so no mask of them can seal."""
    chain = EpochChain(3, weights=(5, 7, 11))
    validators = chain.rules.validators
    assert [mask_weight(mask, validators) for mask in (0, 0b001, 0b110, 0b111, 0b1000, 2**255 - 1)] == [
        0,
        5,
        18,
        23,
        0,
        23,
    ]


# --- EpochClose -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signers", "reason"),
    [
        ((4,), "signer 4 is not one of the 4"),
        ((255,), "signer 255"),
        ((1, 1), "must increase strictly"),
        ((2, 1), "must increase strictly"),
        ((0,), "EpochClose of validator 0 is in the chain already"),
        ((0, 1, 2, 3), "in the chain already"),
    ],
)
def test_closes_name_distinct_new_members(signers: tuple[int, ...], reason: str) -> None:
    chain = EpochChain(4)
    chain.add(closes=[0])
    signature = chain.closes(1)[0][1]
    refused(chain, with_body(chain, closes=tuple((signer, signature) for signer in signers)), reason)


@pytest.mark.parametrize("what", ["bits", "signer", "epoch", "number", "kind", "digest"])
def test_a_close_is_signed_by_its_signer_for_this_epoch(what: str) -> None:
    chain = EpochChain(4)
    chain.end_epoch()
    rules = chain.rules
    good = chain.closes(1)[0][1]
    key = chain.key(1)
    forged = {
        "bits": bytes([good[0] ^ 1]) + good[1:],
        "signer": chain.closes(2)[0][1],
        "epoch": key.sign(statement(rules.chain_id, VoteKind.EPOCH_CLOSE, 0, 0, ZERO_HASH)),
        "number": key.sign(statement(rules.chain_id, VoteKind.EPOCH_CLOSE, 1, 1, ZERO_HASH)),
        "kind": key.sign(statement(rules.chain_id, VoteKind.NEXT_READY, 1, 0, ZERO_HASH)),
        "digest": key.sign(statement(rules.chain_id, VoteKind.EPOCH_CLOSE, 1, 0, b"x" * 32)),
    }[what]
    chain.check(with_body(chain, closes=((1, good),)))
    with pytest.raises(RemoteProtocolError, match="EpochClose of validator 1 is invalid"):
        chain.check(with_body(chain, closes=((1, forged),)))


def test_the_quorum_of_closes_is_of_weight_and_not_of_heads() -> None:
    """Two of four with weight 8 of 10 seal; three of four with weight 6 do not."""
    chain = EpochChain(4, weights=(4, 1, 1, 4))
    light = chain.block(closes=[0, 1, 2])
    chain.check(light)
    assert not chain.rules.is_sealed(light.header)
    heavy = chain.block(closes=[0, 3])
    chain.check(heavy)
    assert chain.rules.is_sealed(heavy.header)


def test_closes_of_several_blocks_add_up() -> None:
    chain = EpochChain(4)
    for signer in (2, 0):
        chain.add(closes=[signer])
        assert not chain.rules.is_sealed(chain.head)
    before = chain.rules
    sealing = chain.add(closes=[1])
    assert before.is_sealed(sealing.header)
    assert (sealing.header.progress.closers, chain.rules.epoch) == (b"\x07", 1)


# --- progress ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"closers": b""},
        {"closers": b"\x03"},
        {"closers": b"\x01\x00"},
        {"closers": b"\x01\x01"},
        {"ready": b"\x01"},
        {"accused": b"\x01"},
        {"next_validators_hash": b"n" * 32},
    ],
    ids=lambda wrong: f"{next(iter(wrong))}={next(iter(wrong.values())).hex()[:4]}",
)
def test_every_bit_of_the_progress_is_checked(wrong: dict[str, bytes]) -> None:
    """Missing and invented bits, bits past the end of the set, and zero bytes at the end (ava-labs #381)."""
    chain = EpochChain(4)
    block = chain.block(closes=[0])
    chain.check(block)
    refused(chain, with_progress(chain, block, **wrong), "its progress is not")


def test_progress_must_be_carried_on() -> None:
    """An empty block forgets nothing of what its chain has gathered."""
    chain = proposing(*OTHERS)
    chain.add(closes=[0], ready=chain.ready(3))
    assert chain.block().header.progress == chain.head.progress
    header = replace(chain.block().header, progress=NO_PROGRESS)
    refused(chain, chain.sign(header, chain.block().just, chain.block().body), "its progress is not")


def test_every_epoch_starts_without_progress() -> None:
    chain = proposing(*OTHERS)
    chain.add(ready=chain.ready(0, 1))
    chain.end_epoch()
    assert chain.head.progress != NO_PROGRESS
    assert chain.rules.progress_of(chain.head) == NO_PROGRESS
    block = chain.block()
    assert block.header.progress == NO_PROGRESS
    chain.check(block)
    refused(chain, with_progress(chain, block, closers=b"\x0f"), "its progress is not")


@given(st.lists(st.sampled_from(["0", "1", "2", "3", "r0", "r1", "r3", "change", "empty"]), max_size=12))
@settings(max_examples=25, deadline=None)
def test_whatever_honest_leaders_gather_is_valid_and_summed_up(steps: list[str]) -> None:
    """Any order of closes, readiness and a change: the header says exactly what is in the chain."""
    chain = EpochChain(4)
    closed: dict[int, None] = {}
    ready: dict[int, None] = {}
    for step in steps:
        if chain.rules.epoch:
            break
        if step == "change" and chain.proposed is None:
            chain.add(change=chain.change(chain.members(*OTHERS)))
        elif step.startswith("r") and chain.proposed is not None and int(step[1:]) not in ready:
            ready[int(step[1:])] = None
            chain.add(ready=chain.ready(int(step[1:])))
        elif step.isdigit() and int(step) not in closed:
            closed[int(step)] = None
            chain.add(closes=[int(step)])
        else:
            chain.add()
        progress = chain.head.progress
        assert signers_mask(progress.closers) == sum(1 << signer for signer in closed)
        assert signers_mask(progress.ready) == sum(1 << signer for signer in ready)
        assert decode(Block, encode(chain.blocks[-1])) == chain.blocks[-1]
    assert chain.rules.epoch == (len(closed) >= 3)
    if chain.rules.epoch:
        moved = chain.rules.validators.hash != chain.rules_of[0].validators.hash
        assert moved == (len(ready) >= 3)


# --- set changes ------------------------------------------------------------------------------------------------------


def test_only_the_first_set_change_of_an_epoch_stands() -> None:
    chain = proposing(*OTHERS)
    refused(chain, chain.block(change=chain.change(chain.members(0, 1, 2, 5))), "a second set change")
    refused(chain, chain.block(change=chain.change(chain.members(*OTHERS))), "a second set change")
    chain.end_epoch()  # it has lapsed, and the next epoch may change again
    chain.add(change=chain.change(chain.members(0, 1, 2, 5)))


def test_a_change_to_the_set_that_stands_is_refused() -> None:
    chain = EpochChain(4)
    refused(chain, chain.block(change=chain.change(chain.rules.validators.members)), "the set that stands already")


def test_a_change_of_order_or_weight_alone_is_a_change() -> None:
    chain = EpochChain(4)
    chain.check(chain.block(change=chain.change(chain.members(3, 2, 1, 0))))
    chain.check(chain.block(change=chain.change([chain.member(0, 2), *chain.members(1, 2, 3)])))


def test_a_list_that_is_no_set_is_refused() -> None:
    """Double keys, double nodes, and more weight than there may be: found before any signature is looked at."""
    chain = EpochChain(4)
    signatures = chain.change(chain.members(*OTHERS)).signatures
    for members in (
        (chain.member(0), chain.member(1, key=chain.key(0))),
        (chain.member(0), chain.member(0, key=chain.key(1))),
        (chain.member(0, 2**62), chain.member(1, 2**62)),
    ):
        body = replace(EMPTY_BODY, set_changes=(SetChange(1, ValidatorList(1, members), signatures),))
        empty = chain.block()
        header = replace(empty.header, body_hash=hash_block_body(encode(body)))
        refused(chain, chain.sign(header, empty.just, body), "the proposed validators are no set")


@pytest.mark.parametrize("signers", [(0,), (0, 1), (1, 3)])
def test_a_change_needs_the_quorum(signers: tuple[int, ...]) -> None:
    chain = EpochChain(4)
    block = chain.block(change=chain.change(chain.members(*OTHERS), signers))
    refused(chain, block, "below the quorum", code="bad-certificate")


def test_a_changes_quorum_is_of_weight() -> None:
    chain = EpochChain(4, weights=(10, 1, 1, 10))
    members = chain.members(*OTHERS)
    refused(chain, chain.block(change=chain.change(members, (0, 1, 2))), "below the quorum", code="bad-certificate")
    chain.check(chain.block(change=chain.change(members, (0, 3))))


@pytest.mark.parametrize("what", ["other list", "other epoch", "other chain"])
def test_approvals_count_for_their_list_epoch_and_chain_only(what: str) -> None:
    chain, other = EpochChain(4), EpochChain(4, epoch_ms=777)
    members = chain.members(*OTHERS)
    if what == "other list":
        change = replace(chain.change(members), validators=ValidatorList(1, chain.members(0, 1, 2, 5)))
    elif what == "other epoch":
        change = chain.change(members)
        chain.end_epoch()
    else:
        change = other.change(members)
    with pytest.raises(RemoteProtocolError, match="signature of validator 0 is invalid"):
        chain.check(chain.block(change=change))


# --- NextReady --------------------------------------------------------------------------------------------------------


def test_readiness_needs_a_proposal() -> None:
    chain = EpochChain(4)
    proposed = ValidatorSet(chain.members(*OTHERS))
    refused(chain, chain.block(ready=chain.ready(0, proposed=proposed)), "although no set is proposed")


def test_readiness_may_stand_beside_its_proposal() -> None:
    """One block may bring both: nothing says that the signers wait for each other."""
    chain = EpochChain(4)
    proposed = ValidatorSet(chain.members(*OTHERS))
    chain.add(change=chain.change(proposed.members), ready=chain.ready(0, 3, proposed=proposed))
    assert chain.head.progress.ready == b"\x09"


@pytest.mark.parametrize(
    ("signers", "reason"),
    [
        ((4,), "signer 4 is not one of the 4"),
        ((1, 1), "must increase strictly"),
        ((3, 1), "must increase strictly"),
        ((0,), "NextReady of validator 0 is in the chain already"),
    ],
)
def test_ready_members_are_of_the_proposed_set_and_new(signers: tuple[int, ...], reason: str) -> None:
    chain = proposing(*OTHERS)
    chain.add(ready=chain.ready(0))
    signature = chain.ready(1)[0][1]
    refused(chain, with_body(chain, ready=tuple((signer, signature) for signer in signers)), reason)


def test_index_and_key_of_readiness_are_the_proposed_sets() -> None:
    """Index 3 is node 4 there: node 3, who leaves, cannot speak for it, nor can a member with a signature of old."""
    chain = proposing(*OTHERS)
    assert chain.proposed is not None
    mine = statement(chain.rules.chain_id, VoteKind.NEXT_READY, 0, 0, chain.proposed.hash)
    old = statement(chain.rules.chain_id, VoteKind.NEXT_READY, 1, 0, chain.proposed.hash)
    chain.check(with_body(chain, ready=((3, chain.key(4).sign(mine)),)))
    for signature in (chain.key(3).sign(mine), chain.key(4).sign(old), bytes(64)):
        with pytest.raises(RemoteProtocolError, match="NextReady of member 3 is invalid"):
            chain.check(with_body(chain, ready=((3, signature),)))


def test_readiness_for_a_set_that_lapsed_counts_no_more() -> None:
    chain = proposing(*OTHERS)
    early = chain.ready(0, 1, 2)
    chain.end_epoch()
    chain.add(change=chain.change(chain.members(*OTHERS)))
    with pytest.raises(RemoteProtocolError, match="NextReady of member 0 is invalid"):
        chain.check(with_body(chain, ready=early))


# --- sealed -----------------------------------------------------------------------------------------------------------

CONTENTS: dict[str, Callable[[EpochChain], dict[str, object]]] = {
    "close": lambda chain: {"closes": chain.closes(3)},
    "change": lambda chain: {"set_changes": (chain.change(chain.members(*OTHERS)),)},
    "checkpoint": lambda chain: {
        "checkpoints": (chain.certificate(VoteKind.CHECKPOINT, 1, chain.checkpoints[1].hash),)
    },
    "batch": lambda chain: {
        "refs": (
            chain.tools.batch_certificate(
                chain.tools.batch([chain.tools.transaction("alice", chain.tools.account("bob"))])
            ),
        )
    },
    "evidence": lambda chain: {"evidence": (accusation(chain, 3),)},
}


@pytest.mark.parametrize("content", CONTENTS)
def test_descendants_of_a_sealing_block_are_empty(content: str) -> None:
    chain = EpochChain(4)
    chain.add()
    sealing = chain.block(closes=[0, 1, 2])
    chain.check(sealing)
    body = replace(EMPTY_BODY, **CONTENTS[content](chain))
    chain.check(chain.make(chain.head, body))  # before the seal it may stand
    first = chain.make(sealing.header, EMPTY_BODY)
    second = chain.make(first.header, EMPTY_BODY, view=first.header.view + 3)
    chain.check(first, sealing.header)
    chain.check(second, first.header)
    for parent in (sealing.header, first.header):
        refused(chain, chain.make(parent, body), "its body must be empty", parent=parent)


def test_what_descends_from_a_sealing_block_is_no_part_of_the_chain() -> None:
    chain = EpochChain(4)
    blocks = [chain.block()]
    blocks.append(chain.make(blocks[-1].header, replace(EMPTY_BODY, closes=chain.closes(0, 1, 3))))
    for _ in range(2):
        blocks.append(chain.make(blocks[-1].header, EMPTY_BODY))
    assert [committed_part(blocks[:count], chain.rules) for count in range(5)] == [0, 1, 2, 2, 2]
    assert committed_part(blocks[2:], chain.rules) == 1  # each of them carries the sum


# --- the next epoch ---------------------------------------------------------------------------------------------------


def first_of_epoch_one(members: tuple[int, ...] = OTHERS) -> EpochChain:
    chain = EpochChain(4)
    chain.end_epoch(chain.members(*members))
    assert chain.rules.epoch == 1
    return chain


def test_the_first_block_rests_on_the_certificate_of_the_root() -> None:
    chain = first_of_epoch_one()
    block = chain.add()
    assert block.header.last_checkpoint.height == chain.rules.root_height
    assert (block.header.parent_view, block.header.view, block.just.parent) == (0, 1, ())
    chain.add()  # the second one needs none


def test_the_first_block_without_the_roots_certificate_is_refused() -> None:
    chain = first_of_epoch_one()
    refused(chain, chain.make(chain.head, EMPTY_BODY), "must carry the checkpoint certificate of the epoch's root")


def test_the_first_block_with_another_certificate_is_refused() -> None:
    """Not of a lower height, not of another header, not by the new set, and not by too few of the old."""
    chain = first_of_epoch_one()
    height, old = chain.rules.root_height, chain.rules_of[0]
    digest = chain.checkpoints[height].hash

    def block(certificate) -> Block:
        return chain.make(chain.head, replace(EMPTY_BODY, checkpoints=(certificate,)))

    chain.check(block(chain.certificate(VoteKind.CHECKPOINT, height, digest, rules=old, signers=(0, 1, 2))))
    lower = chain.certificate(VoteKind.CHECKPOINT, height - 1, chain.checkpoints[height - 1].hash, rules=old)
    refused(chain, block(lower), "must carry the checkpoint certificate of the epoch's root")
    by_new = chain.certificate(VoteKind.CHECKPOINT, height, digest, rules=chain.rules)
    refused(chain, block(by_new), "not for the checkpoint its header names")
    refused(chain, block(replace(by_new, epoch=0)), "signature of validator 0 is invalid", code="bad-certificate")
    few = chain.certificate(VoteKind.CHECKPOINT, height, digest, rules=old, signers=(0, 1))
    refused(chain, block(few), "below the quorum", code="bad-certificate")
    final = chain.certificate(VoteKind.FINALIZE, height, digest, rules=old)
    refused(chain, block(final), "FINALIZE certificate stands where CHECKPOINT", code="bad-certificate")


def test_later_blocks_carry_checkpoints_of_their_own_epoch_only() -> None:
    chain = first_of_epoch_one()
    chain.add()
    height = chain.head.height
    good = chain.certificate(VoteKind.CHECKPOINT, height, chain.checkpoints[height].hash)
    chain.check(chain.make(chain.head, replace(EMPTY_BODY, checkpoints=(good,))))
    old = chain.certificate(VoteKind.CHECKPOINT, height, chain.checkpoints[height].hash, rules=chain.rules_of[0])
    refused(chain, chain.make(chain.head, replace(EMPTY_BODY, checkpoints=(old,))), "not for the checkpoint")


def test_batches_and_justifications_of_another_epoch_are_refused() -> None:
    chain = EpochChain(4)
    chain.end_epoch()
    transaction = chain.tools.transaction("alice", chain.tools.account("bob"))
    root = chain.root_certificate()
    for epoch in (0, 2):
        stale = chain.tools.batch_certificate(chain.tools.batch([transaction], epoch=epoch))
        block = chain.make(chain.head, replace(EMPTY_BODY, checkpoints=(root,), refs=(stale,)))
        refused(chain, block, "a batch of another epoch")
    fresh = chain.tools.batch_certificate(chain.tools.batch([transaction], epoch=1))
    chain.check(chain.make(chain.head, replace(EMPTY_BODY, checkpoints=(root,), refs=(fresh,))))


def test_votes_of_the_old_epoch_justify_nothing_in_the_new() -> None:
    """The set is the same and so are the views: the epoch inside each signature tells them apart."""
    chain = EpochChain(4)
    chain.end_epoch()
    gap = chain.block(view=2)
    chain.check(gap)
    stale = Justification(1, (), (chain.certificate(VoteKind.NULLIFY, 1, rules=chain.rules_of[0]),))
    header = replace(gap.header, just_hash=hash_justification(encode(stale)))
    refused(chain, chain.sign(header, stale, gap.body), "nullification of view 1 is missing", code="bad-justification")
    renamed = Justification(1, (), (replace(stale.nullifications[0], epoch=1),))
    header = replace(gap.header, just_hash=hash_justification(encode(renamed)))
    refused(chain, chain.sign(header, renamed, gap.body), "signature of validator 0", code="bad-justification")


def test_a_block_of_the_old_epoch_on_the_root_is_refused() -> None:
    chain = EpochChain(4)
    sealing = chain.end_epoch()
    block = chain.block()
    with pytest.raises(RemoteProtocolError, match="another chain or epoch"):
        check_block(block, sealing.header, chain.rules_of[0])


def test_a_chain_of_blocks_is_of_one_epoch() -> None:
    chain = EpochChain(4)
    chain.add()
    chain.end_epoch()
    chain.add()
    old, new = chain.rules_of
    blocks = tuple(chain.blocks)
    check_finalized_chain(chain.finalized(blocks[:2]), chain.chain.genesis_header, old)
    check_finalized_chain(chain.finalized(blocks[2:]), blocks[1].header, new)
    mixed = chain.finalized(blocks)
    for rules in (old, new):
        with pytest.raises(RemoteProtocolError, match="the chain is in"):
            check_finalized_chain(mixed, chain.chain.genesis_header, rules)
    forged = FinalizedBlocks(
        1, blocks[2:], chain.certificate(VoteKind.FINALIZE, blocks[2].header.view, blocks[2].hash, rules=old)
    )
    with pytest.raises(RemoteProtocolError, match="not for the last block"):
        check_finalized_chain(forged, blocks[1].header, new)


# --- evidence ---------------------------------------------------------------------------------------------------------


def accusation(chain: EpochChain, signer: int, view: int = 3):
    one, two = (chain.vote(signer, VoteKind.NOTARIZE, view, bytes([number]) * 32) for number in (1, 2))
    return double_vote(one, two)


def test_each_validator_is_accused_once_on_a_chain() -> None:
    chain = EpochChain(4)
    chain.append(chain.block(evidence=[accusation(chain, 1), accusation(chain, 3)]))
    assert chain.head.progress == EpochProgress(1, b"", ZERO_HASH, b"", b"\x0a")
    refused(chain, chain.block(evidence=[accusation(chain, 3, view=4)]), "Accusation of validator 3 is in the chain")
    for order in ((2, 0), (0, 0)):
        items = tuple(accusation(chain, signer) for signer in order)
        refused(chain, with_body(chain, evidence=items), "must increase strictly")
    chain.end_epoch()
    chain.append(chain.block(evidence=[accusation(chain, 3)]))


def test_evidence_in_a_block_must_prove_its_fault_in_this_epoch() -> None:
    chain = EpochChain(4)
    good = accusation(chain, 1)
    forged = [
        replace(good, first=replace(good.first, signature=bytes(64))),
        double_vote(good.first, replace(good.second, number=4)),
        double_vote(*(chain.vote(1, VoteKind.NULLIFY, 3) for _ in range(2))),
    ]
    chain.end_epoch()
    for evidence in (good, *forged):
        with pytest.raises(RemoteProtocolError) as caught:
            chain.check(chain.block(evidence=[evidence]))
        assert caught.value.code == "bad-evidence"
    outside = replace(good, first=replace(good.first, signer=7), second=replace(good.second, signer=7))
    refused(chain, chain.block(evidence=[outside]), "signer 7 is not one of the 4")


def test_a_body_has_one_canonical_form() -> None:
    """The type bounds what a body may hold before anything is checked."""
    chain = EpochChain(4)
    change = chain.change(chain.members(*OTHERS))
    for body in (
        BlockBody(1, (), (), set_changes=(change, change)),
        BlockBody(1, (), (), evidence=tuple(accusation(chain, signer % 4) for signer in range(5))),
    ):
        with pytest.raises(RemoteProtocolError):
            decode(BlockBody, encode(body))
