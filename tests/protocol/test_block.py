"""The block validity rule, field by field, and catch-up by hash chain (consensus.md 2.4, 2.8)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from chain_tools import GENESIS_TIME_MS, TestChain, make_test_chain
from hypothesis import given, settings
from hypothesis import strategies as st

from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.hashing import ZERO_HASH, hash_block_body, hash_justification
from supervm.protocol.base.limits import REFS_MAX
from supervm.protocol.chain.block import CHECKPOINT_LAG_MAX, Block, check_block
from supervm.protocol.chain.body import BODY_BYTES_MAX, BlockBody
from supervm.protocol.chain.finalized import FinalizedBlocks, check_finalized_chain
from supervm.protocol.chain.header import BlockHeader, CheckpointRef, Justification
from supervm.protocol.chain.votes import Certificate, VoteKind

CHAIN = make_test_chain(4, miners=2)
GENESIS = CHAIN.genesis_header
BATCH = CHAIN.batch([CHAIN.transaction("alice", CHAIN.account("bob"))])
REF = CHAIN.batch_certificate(BATCH)
FIRST = CHAIN.block(GENESIS)
CHECKPOINT = CHAIN.certificate(VoteKind.CHECKPOINT, 1, b"c" * 32)
SECOND = CHAIN.block(FIRST.header, view=4, refs=[REF])
replace = msgspec.structs.replace


def check(block: Block, parent: BlockHeader) -> None:
    check_block(block, parent, CHAIN.rules)


def assert_refused(block: Block, parent: BlockHeader, reason: str, code: str = "bad-block") -> None:
    with pytest.raises(RemoteProtocolError, match=reason) as caught:
        check(block, parent)
    assert caught.value.code == code


def with_header(block: Block, **changes: object) -> Block:
    return CHAIN.sign_block(replace(block.header, **changes), block.just, block.body)


def with_just(block: Block, just: Justification) -> Block:
    header = replace(block.header, just_hash=hash_justification(encode(just)))
    return CHAIN.sign_block(header, just, block.body)


def with_body(block: Block, body: BlockBody, **changes: object) -> Block:
    header = replace(block.header, body_hash=hash_block_body(encode(body)), **changes)
    return CHAIN.sign_block(header, block.just, body)


# --- accepted -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", [1, 2, 5, 65])
def test_a_child_of_genesis_needs_nullifications_only(view: int) -> None:
    block = CHAIN.block(GENESIS, view=view)
    assert block.just.parent == ()
    assert len(block.just.nullifications) == view - 1
    check(block, GENESIS)


@pytest.mark.parametrize("gap", [0, 1, 3])
def test_a_block_with_parent_certificate_and_nullified_gap(gap: int) -> None:
    check(CHAIN.block(FIRST.header, view=2 + gap, refs=[REF]), FIRST.header)


def test_a_finalization_justifies_as_well_as_a_notarization() -> None:
    just = Justification(1, (CHAIN.finalization(FIRST.header),), ())
    check(CHAIN.block(FIRST.header, just=just), FIRST.header)


def test_the_genesis_header_is_view_and_height_zero_and_names_the_anchor() -> None:
    assert (GENESIS.view, GENESIS.height, GENESIS.parent_hash, GENESIS.ts_ms) == (0, 0, ZERO_HASH, GENESIS_TIME_MS)
    assert GENESIS.last_checkpoint == CheckpointRef(1, 0, CHAIN.chain.anchor.hash)


def test_time_has_no_maximal_step() -> None:
    check(CHAIN.block(FIRST.header, ts_ms=2**63 - 1), FIRST.header)


def test_a_batch_may_be_referenced_again() -> None:
    check(CHAIN.block(FIRST.header, refs=[REF, REF]), FIRST.header)
    second = CHAIN.block(FIRST.header, refs=[REF])
    check(CHAIN.block(second.header, refs=[REF]), second.header)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6))
@settings(max_examples=15, deadline=None)
def test_honest_chains_are_valid_whatever_their_gaps(gaps: list[int]) -> None:
    head = GENESIS
    for gap in gaps:
        block = CHAIN.block(head, view=head.view + 1 + gap)
        check(block, head)
        assert decode(Block, encode(block)) == block
        head = block.header
    assert head.height == len(gaps)


# --- refused --------------------------------------------------------------------------------------------------------

FIELDS: dict[str, tuple[dict[str, object], str]] = {
    "chain": ({"chain_id": bytes(32)}, "another chain or epoch"),
    "epoch": ({"epoch": 1}, "another chain or epoch"),
    "height too low": ({"height": 1}, "link to its parent"),
    "height too high": ({"height": 3}, "link to its parent"),
    "parent hash": ({"parent_hash": GENESIS.hash}, "link to its parent"),
    "parent view": ({"parent_view": 0}, "link to its parent"),
    "view of the parent": ({"view": 1}, "must be above the parent's 1"),
    "view below the parent": ({"view": 0}, "must be above the parent's 1"),
    "another view": ({"view": 5}, "does not lead this view"),
    "proposer": ({"proposer": (SECOND.header.proposer + 1) % 4}, "does not lead this view"),
    "proposer outside the set": ({"proposer": 255}, "validator 255 does not lead"),
    "time of the parent": ({"ts_ms": FIRST.header.ts_ms}, "must be after the parent's"),
    "time before the parent": ({"ts_ms": 0}, "must be after the parent's"),
    "body hash": ({"body_hash": ZERO_HASH}, "its body is not the one"),
    "checkpoint height": ({"last_checkpoint": CheckpointRef(1, 1, CHAIN.chain.anchor.hash)}, "without its certificate"),
    "progress": ({"progress": replace(SECOND.header.progress, closers=b"\x01")}, "its progress is not its parent's"),
    "checkpoint hash": ({"last_checkpoint": CheckpointRef(1, 0, ZERO_HASH)}, "without its certificate"),
}


@pytest.mark.parametrize(("changes", "reason"), FIELDS.values(), ids=FIELDS)
def test_a_wrong_header_field_is_refused(changes: dict[str, object], reason: str) -> None:
    check(SECOND, FIRST.header)
    assert_refused(with_header(SECOND, **changes), FIRST.header, reason)


def test_every_header_field_is_in_the_table_or_among_the_justification_rules() -> None:
    tried = {name for changes, _ in FIELDS.values() for name in changes} | {"version", "just_hash"}
    assert tried == {field.name for field in msgspec.structs.fields(BlockHeader)}
    assert_refused(with_header(SECOND, just_hash=ZERO_HASH), FIRST.header, "not the one", "bad-justification")


NULLIFIED = CHAIN.nullification
JUSTIFICATIONS: dict[str, tuple[tuple[Certificate, ...], tuple[Certificate, ...], str]] = {
    "no parent": ((), SECOND.just.nullifications, "parent's certificate is missing"),
    "no nullification": (SECOND.just.parent, (), "end before view 2"),
    "one nullification missing": (SECOND.just.parent, SECOND.just.nullifications[:1], "end before view 3"),
    "one too many": (SECOND.just.parent, (*SECOND.just.nullifications, NULLIFIED(4)), "end before view 5"),
    "out of order": (SECOND.just.parent, SECOND.just.nullifications[::-1], "nullification of view 2 is missing"),
    "one twice": (SECOND.just.parent, (NULLIFIED(2), NULLIFIED(2)), "nullification of view 3 is missing"),
    "another view": (SECOND.just.parent, (NULLIFIED(2), NULLIFIED(9)), "nullification of view 3 is missing"),
    "nullification of another epoch": (
        SECOND.just.parent,
        (NULLIFIED(2), CHAIN.certificate(VoteKind.NULLIFY, 3, epoch=1)),
        "nullification of view 3 is missing",
    ),
    "a notarization for a nullification": (
        SECOND.just.parent,
        (NULLIFIED(2), CHAIN.certificate(VoteKind.NOTARIZE, 3)),
        "NOTARIZE certificate stands among the nullifications",
    ),
    "a nullification without quorum": (
        SECOND.just.parent,
        (NULLIFIED(2), CHAIN.certificate(VoteKind.NULLIFY, 3, signers=(0, 3))),
        "below the quorum",
    ),
    "a nullification for the parent": ((NULLIFIED(1),), SECOND.just.nullifications, "neither a notarization nor"),
    "a checkpoint for the parent": ((CHECKPOINT,), SECOND.just.nullifications, "neither a notarization nor"),
    "a certificate of a block of the same view": (
        (CHAIN.certificate(VoteKind.NOTARIZE, 1, b"x" * 32),),
        SECOND.just.nullifications,
        "for another block",
    ),
    "the parent's hash under another view": (
        (CHAIN.certificate(VoteKind.NOTARIZE, 2, FIRST.hash),),
        SECOND.just.nullifications,
        "for another block",
    ),
    "the parent's hash under another epoch": (
        (CHAIN.certificate(VoteKind.NOTARIZE, 1, FIRST.hash, epoch=1),),
        SECOND.just.nullifications,
        "for another block",
    ),
    "a parent without quorum": (
        (CHAIN.certificate(VoteKind.NOTARIZE, 1, FIRST.hash, signers=(1, 2)),),
        SECOND.just.nullifications,
        "below the quorum",
    ),
    "a forged parent certificate": (
        (replace(CHAIN.finalization(FIRST.header), kind=VoteKind.NOTARIZE),),
        SECOND.just.nullifications,
        "signature of validator 0 is invalid",
    ),
}


@pytest.mark.parametrize(("parent", "nullifications", "reason"), JUSTIFICATIONS.values(), ids=JUSTIFICATIONS)
def test_a_wrong_justification_is_refused(
    parent: tuple[Certificate, ...], nullifications: tuple[Certificate, ...], reason: str
) -> None:
    block = with_just(SECOND, Justification(1, parent, nullifications))
    assert_refused(block, FIRST.header, reason, "bad-justification")


def test_a_child_of_genesis_with_a_parent_certificate_is_refused() -> None:
    just = Justification(1, (CHAIN.certificate(VoteKind.NOTARIZE, 0, GENESIS.hash),), ())
    assert_refused(with_just(FIRST, just), GENESIS, "none is allowed", "bad-justification")


def test_a_huge_view_is_refused_without_walking_the_gap() -> None:
    view = 2**63 - 1
    header = replace(SECOND.header, view=view, proposer=CHAIN.rules.leader(view))
    assert_refused(
        CHAIN.sign_block(header, SECOND.just, SECOND.body), FIRST.header, "end before view 4", "bad-justification"
    )


def test_batches_are_checked() -> None:
    bad = CHAIN.batch_certificate(BATCH, (0, 1))
    assert_refused(with_body(SECOND, BlockBody(1, (REF, bad), ())), FIRST.header, "below 3", "bad-certificate")


def test_a_batch_of_another_epoch_is_refused() -> None:
    other = CHAIN.batch_certificate(CHAIN.batch([CHAIN.transaction("bob", CHAIN.account("bob"))], epoch=1))
    assert_refused(with_body(SECOND, BlockBody(1, (other,), ())), FIRST.header, "a batch of another epoch")


def test_the_size_of_a_body_is_bounded() -> None:
    groups = tuple(
        replace(REF.votes[0], bitmap=bytes([index]), signatures=((index, bytes(64)),)) for index in range(255)
    )
    body = BlockBody(1, (replace(REF, votes=groups),) * 60, ())
    assert len(encode(body)) > BODY_BYTES_MAX
    assert_refused(with_body(SECOND, body), FIRST.header, "at most 1048576 are allowed")


def test_the_number_of_batches_is_bounded() -> None:
    body = BlockBody(1, (REF,) * (REFS_MAX + 1), ())
    with pytest.raises(RemoteProtocolError):
        decode(BlockBody, encode(body))
    assert decode(BlockBody, encode(replace(body, refs=body.refs[1:]))).refs == (REF,) * REFS_MAX


# --- checkpoints in blocks ------------------------------------------------------------------------------------------


def test_a_newer_certified_checkpoint_is_carried_once_and_then_named() -> None:
    second = CHAIN.block(FIRST.header, checkpoint=CHECKPOINT)
    check(second, FIRST.header)
    assert second.header.last_checkpoint == CheckpointRef(1, 1, b"c" * 32)
    third = CHAIN.block(second.header)
    check(third, second.header)
    assert third.header.last_checkpoint == second.header.last_checkpoint


def checkpoint(height: int, digest: bytes = b"c" * 32, **options: object) -> Certificate:
    return CHAIN.certificate(VoteKind.CHECKPOINT, height, digest, **options)  # type: ignore[arg-type]


CHECKPOINTS: dict[str, tuple[Certificate, str, str]] = {
    "of genesis again": (checkpoint(0), "newer than the parent's", "bad-block"),
    "of the block itself": (checkpoint(2), "older than itself", "bad-block"),
    "of the future": (checkpoint(3), "older than itself", "bad-block"),
    "without quorum": (checkpoint(1, signers=(0, 1)), "below the quorum", "bad-certificate"),
    "of another epoch": (checkpoint(1, epoch=1), "not for the checkpoint its header names", "bad-block"),
    "of another kind": (
        CHAIN.certificate(VoteKind.FINALIZE, 1, b"c" * 32),
        "FINALIZE certificate stands where CHECKPOINT is required",
        "bad-certificate",
    ),
    "forged": (replace(checkpoint(1, b"d" * 32), digest=b"c" * 32), "is invalid", "bad-certificate"),
}


@pytest.mark.parametrize(("certificate", "reason", "code"), CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_a_wrong_checkpoint_certificate_is_refused(certificate: Certificate, reason: str, code: str) -> None:
    assert_refused(CHAIN.block(FIRST.header, checkpoint=certificate), FIRST.header, reason, code)


@pytest.mark.parametrize("named", [CheckpointRef(1, 0, CHAIN.chain.anchor.hash), CheckpointRef(1, 1, b"d" * 32)])
def test_the_header_must_name_the_checkpoint_that_the_body_certifies(named: CheckpointRef) -> None:
    block = with_header(CHAIN.block(FIRST.header, checkpoint=CHECKPOINT), last_checkpoint=named)
    assert_refused(block, FIRST.header, "not for the checkpoint its header names")


def test_a_checkpoint_never_goes_back() -> None:
    blocks = CHAIN.blocks(3)
    newer = CHAIN.block(blocks[-1].header, checkpoint=checkpoint(2))
    check(newer, blocks[-1].header)
    older = CHAIN.block(newer.header, checkpoint=checkpoint(1))
    assert_refused(older, newer.header, "newer than the parent's")
    same = CHAIN.block(newer.header, checkpoint=checkpoint(2))
    assert_refused(same, newer.header, "newer than the parent's")


def test_batches_stop_when_checkpoints_lag_and_start_again_with_the_certificate() -> None:
    blocks = CHAIN.blocks(CHECKPOINT_LAG_MAX - 1)
    last = CHAIN.block(blocks[-1].header, refs=[REF])
    check(last, blocks[-1].header)  # height 16 with checkpoint 0: a lag of exactly K
    assert_refused(CHAIN.block(last.header, refs=[REF]), last.header, "17 blocks after the last certified checkpoint")
    empty = CHAIN.block(last.header)
    check(empty, last.header)
    check(CHAIN.block(empty.header, refs=[REF], checkpoint=checkpoint(2)), empty.header)
    late = CHAIN.block(empty.header, refs=[REF], checkpoint=checkpoint(1))
    assert_refused(late, empty.header, "17 blocks after the last certified checkpoint")


# --- catch-up -------------------------------------------------------------------------------------------------------


def finalized(chain: TestChain, count: int) -> FinalizedBlocks:
    blocks = chain.blocks(count)
    return FinalizedBlocks(1, tuple(blocks), chain.finalization(blocks[-1].header))


LINE = finalized(CHAIN, 4)


def test_one_finalization_proves_a_whole_line() -> None:
    check_finalized_chain(LINE, GENESIS, CHAIN.rules)
    rest = replace(LINE, blocks=LINE.blocks[2:])
    check_finalized_chain(rest, LINE.blocks[1].header, CHAIN.rules)


def changed(place: int, change: Callable[[Block], Block]) -> FinalizedBlocks:
    blocks = list(LINE.blocks)
    blocks[place] = change(blocks[place])
    return replace(LINE, blocks=tuple(blocks))


LINES: dict[str, tuple[FinalizedBlocks, str]] = {
    "the first missing": (replace(LINE, blocks=LINE.blocks[1:]), "block 2 does not link to block 0"),
    "one missing": (replace(LINE, blocks=(*LINE.blocks[:1], *LINE.blocks[2:])), "block 3 does not link to block 1"),
    "one twice": (replace(LINE, blocks=(LINE.blocks[0], *LINE.blocks)), "block 1 does not link to block 1"),
    "backwards": (replace(LINE, blocks=LINE.blocks[::-1]), "block 4 does not link"),
    "the tip missing": (replace(LINE, blocks=LINE.blocks[:-1]), "not for the last block"),
    "a changed header": (changed(1, lambda b: with_header(b, ts_ms=2**60)), "block 3 does not link to block 2"),
    "a changed height": (changed(1, lambda b: with_header(b, height=9)), "block 9 does not link to block 1"),
    "a changed tip": (changed(3, lambda b: with_header(b, ts_ms=2**60)), "not for the last block"),
    "a changed body": (changed(2, lambda b: replace(b, body=BlockBody(1, (REF,), ()))), "body of block 3 is not its"),
    "a changed justification": (
        changed(2, lambda b: replace(b, just=Justification(1, (), ()))),
        "justification of block 3 is not its own",
    ),
    "a notarization of the tip": (
        replace(LINE, finalization=CHAIN.notarization(LINE.blocks[-1].header)),
        "NOTARIZE certificate stands where FINALIZE is required",
    ),
    "a finalization without quorum": (
        replace(LINE, finalization=replace(LINE.finalization, signatures=LINE.finalization.signatures[:2])),
        "below the quorum",
    ),
    "a finalization of another view": (
        replace(LINE, finalization=CHAIN.certificate(VoteKind.FINALIZE, 9, LINE.blocks[-1].hash)),
        "not for the last block",
    ),
}


@pytest.mark.parametrize(("line", "reason"), LINES.values(), ids=LINES)
def test_a_wrong_line_is_refused(line: FinalizedBlocks, reason: str) -> None:
    with pytest.raises(RemoteProtocolError, match=reason):
        check_finalized_chain(line, GENESIS, CHAIN.rules)
