"""Evidence names who is guilty, and nobody who is not (consensus.md 2.10, invariants A1-A3)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from chain_tools import GENESIS_TIME_MS, TestChain, block_vote, make_test_chain
from evidence_samples import (
    batch_with,
    evidence_samples,
    evidence_vectors,
    faulty_entries,
    justification_evidence,
    misjustified,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol_samples import sample_batch, sample_chain

from supervm.protocol.base.codec import INT_MAX, decode, encode
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.base.keys import verify
from supervm.protocol.base.limits import BATCH_TRANSACTIONS_MAX
from supervm.protocol.chain.batch import BatchHeader
from supervm.protocol.chain.body import BODY_BYTES_MAX
from supervm.protocol.chain.evidence import (
    EVIDENCE_BYTES_MAX,
    BadBatch,
    BadJustification,
    Culprit,
    DoubleVote,
    Evidence,
    bad_batch,
    check_evidence,
    decode_evidence,
    double_vote,
)
from supervm.protocol.chain.genesis import Chain, load_genesis
from supervm.protocol.chain.header import Justification
from supervm.protocol.chain.votes import Vote, VoteKind
from supervm.protocol.money.transaction import TRANSACTION_BYTES_MAX

replace = msgspec.structs.replace
CHAIN = sample_chain()
OTHER = make_test_chain(4, {"alice": 7}, miners=2)
SAMPLES = evidence_samples()
EACH = pytest.mark.parametrize("name", SAMPLES)
FROZEN = json.loads((Path(__file__).parents[1] / "vectors" / "evidence.json").read_text())
NOTARIZE, NULLIFY, FINALIZE, CHECKPOINT = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE, VoteKind.CHECKPOINT
A, B = b"a" * 32, b"b" * 32


def judged(evidence: Evidence, chain: TestChain = CHAIN) -> Culprit:
    return check_evidence(evidence, chain.rules)


def assert_proves_nothing(evidence: Evidence, reason: str, chain: TestChain = CHAIN) -> None:
    with pytest.raises(RemoteProtocolError, match=reason) as caught:
        judged(evidence, chain)
    assert caught.value.code == "bad-evidence"


# --- proven -----------------------------------------------------------------------------------------------------------


@EACH
def test_every_kind_is_proved_after_a_journey_as_bytes(name: str) -> None:
    evidence, culprit = SAMPLES[name]
    data = encode(evidence)
    assert decode_evidence(data) == evidence
    assert judged(decode_evidence(data)) == culprit
    assert culprit.kind == name.split()[0]


def test_the_frozen_bytes_are_those_of_the_samples() -> None:
    assert evidence_vectors() == FROZEN


@pytest.mark.parametrize("name", FROZEN["evidence"])
def test_frozen_evidence_is_proved_by_a_genesis_and_nothing_else(name: str) -> None:
    rules = Chain(load_genesis(bytes.fromhex(FROZEN["genesis"])), verify).rules
    row = FROZEN["evidence"][name]
    miner = None if row["miner"] is None else bytes.fromhex(row["miner"])
    culprit = check_evidence(decode_evidence(bytes.fromhex(row["cbor"])), rules)
    assert culprit == Culprit(row["kind"], row["validator"], miner)


def test_whoever_notarized_an_unjustified_block_is_guilty_not_its_leader_alone() -> None:
    evidence = next(iter(misjustified(CHAIN).values()))
    for signer in range(4):
        vote = CHAIN.vote(signer, NOTARIZE, evidence.header.view, evidence.header.hash)
        assert judged(replace(evidence, vote=vote)) == Culprit("E6", signer)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, BATCH_TRANSACTIONS_MAX])
def test_a_bad_entry_is_proved_wherever_it_stands(count: int) -> None:
    bad = faulty_entries(CHAIN)["unreadable"]
    good = [CHAIN.transaction("bob", CHAIN.account("alice"), seq=0, prev=ZERO_HASH)] * (count - 1)
    for position in {0, count // 2, count - 1}:
        batch = CHAIN.batch([*good[:position], bad, *good[position:]])
        assert judged(bad_batch(batch, position)) == Culprit("E7", miner=batch.header.miner)


# --- two votes --------------------------------------------------------------------------------------------------------


def votes() -> st.SearchStrategy[Vote]:
    return st.builds(
        CHAIN.vote,
        st.integers(0, 3),
        st.sampled_from(list(VoteKind)),
        st.integers(1, 3),
        st.sampled_from([ZERO_HASH, A, B]),
        epoch=st.integers(0, 1),
    )


def contradiction(one: Vote, other: Vote) -> str | None:
    """Say what two genuine votes prove, as consensus.md 2.10 puts it."""
    if (one.signer, one.number, one.epoch, other.epoch) != (other.signer, other.number, 0, 0):
        return None
    kinds = {one.kind, other.kind}
    if kinds == {NULLIFY, FINALIZE}:
        return "E2" if (one if one.kind is NULLIFY else other).digest == ZERO_HASH else None
    if len(kinds) == 2 or one.digest == other.digest:
        return None
    return {NOTARIZE: "E1", FINALIZE: "E1", CHECKPOINT: "E3"}.get(one.kind)


@given(votes(), votes())
@settings(max_examples=400, deadline=None)
def test_two_genuine_votes_prove_exactly_what_nobody_may_sign(one: Vote, other: Vote) -> None:
    evidence, kind = double_vote(one, other), contradiction(one, other)
    if kind is None:
        assert_proves_nothing(evidence, ".")
    else:
        assert evidence == double_vote(other, one)
        assert judged(evidence) == Culprit(kind, one.signer)  # type: ignore[arg-type]
        assert_proves_nothing(DoubleVote(1, evidence.second, evidence.first), "ascending order")


def made(chain: TestChain, *rows: tuple[int, VoteKind, int, bytes]) -> DoubleVote:
    one, other = (chain.vote(*row) for row in rows)
    return double_vote(one, other)


DOUBLE = made(CHAIN, (1, NOTARIZE, 7, A), (1, NOTARIZE, 7, B))
HONEST_PAIRS: dict[str, tuple[DoubleVote, str]] = {
    "the same vote twice": (DoubleVote(1, DOUBLE.first, DOUBLE.first), "for the same"),
    "two validators": (made(CHAIN, (1, NOTARIZE, 7, A), (2, NOTARIZE, 7, B)), "not of one validator"),
    "two views": (made(CHAIN, (1, NOTARIZE, 7, A), (1, NOTARIZE, 8, B)), "not of one validator"),
    "two epochs": (double_vote(DOUBLE.first, CHAIN.vote(1, NOTARIZE, 7, B, epoch=1)), "not of one validator"),
    "another epoch": (
        double_vote(*(CHAIN.vote(1, NOTARIZE, 7, digest, epoch=1) for digest in (A, B))),
        "about epoch 1;",
    ),
    "another chain": (made(OTHER, (1, NOTARIZE, 7, A), (1, NOTARIZE, 7, B)), "not signed by validator 1 for this"),
    "one of another chain": (double_vote(DOUBLE.first, OTHER.vote(1, NOTARIZE, 7, B)), "not signed by validator 1"),
    "swapped": (DoubleVote(1, DOUBLE.second, DOUBLE.first), "ascending order"),
    "signed by another": (
        double_vote(DOUBLE.first, replace(CHAIN.vote(2, NOTARIZE, 7, B), signer=1)),
        "not signed by validator 1",
    ),
    "nobody's": (DoubleVote(1, replace(DOUBLE.first, signer=4), replace(DOUBLE.second, signer=4)), "no validator 4"),
    "a vote and its finalize": (made(CHAIN, (1, NOTARIZE, 7, A), (1, FINALIZE, 7, A)), "forbidden"),
    "a finalize of the other block": (made(CHAIN, (1, NOTARIZE, 7, A), (1, FINALIZE, 7, B)), "forbidden"),
    "a vote, then giving up": (made(CHAIN, (1, NOTARIZE, 7, A), (1, NULLIFY, 7, ZERO_HASH)), "forbidden"),
    "view and height": (made(CHAIN, (1, NOTARIZE, 7, A), (1, CHECKPOINT, 7, B)), "forbidden"),
    "batch votes": (made(CHAIN, (1, VoteKind.BATCH, 0, A), (1, VoteKind.BATCH, 0, B)), "forbidden"),
    "a nullify with a hash": (made(CHAIN, (1, NULLIFY, 7, A), (1, FINALIZE, 7, A)), "forbidden"),
}


@pytest.mark.parametrize("name", HONEST_PAIRS)
def test_votes_that_honest_validators_sign_prove_nothing(name: str) -> None:
    assert_proves_nothing(*HONEST_PAIRS[name])


# --- justifications ---------------------------------------------------------------------------------------------------

FIRST = CHAIN.block(CHAIN.genesis_header)
GOOD = CHAIN.block(FIRST.header, view=4)
WRONG = misjustified(CHAIN)["a gap"]


@pytest.mark.parametrize("view", [1, 2, 5])
def test_a_valid_justification_proves_nothing(view: int) -> None:
    genesis = CHAIN.genesis_header
    assert_proves_nothing(justification_evidence(CHAIN.block(genesis, view=view), genesis), "is valid")
    block = CHAIN.block(FIRST.header, view=view + 1)
    assert_proves_nothing(justification_evidence(block, FIRST.header), "is valid")


def unjustified(**changes: Any) -> BadJustification:
    """The proof against a leader with something else put into it."""
    return replace(WRONG, **changes)


SIBLING = CHAIN.block(CHAIN.genesis_header, ts_ms=GENESIS_TIME_MS + 9).header
FORGED: dict[str, tuple[BadJustification, str]] = {
    "a good block with a bad justification beside it": (
        replace(justification_evidence(GOOD, FIRST.header), just=Justification(1, (), ())),
        "justification is not the one the header commits to",
    ),
    "a good block on another parent": (justification_evidence(GOOD, SIBLING), "parent is not the one"),
    "a good block on its grandparent": (justification_evidence(GOOD, CHAIN.genesis_header), "parent is not the one"),
    "a vote for another block": (unjustified(vote=block_vote(GOOD)), "not a Notarize of the block"),
    "a finalize": (
        unjustified(vote=CHAIN.vote(1, FINALIZE, WRONG.header.view, WRONG.header.hash)),
        "not a Notarize of the block",
    ),
    "another view's vote": (
        unjustified(vote=CHAIN.vote(1, NOTARIZE, 5, WRONG.header.hash)),
        "not a Notarize of the block",
    ),
    "signed by another": (
        unjustified(vote=replace(WRONG.vote, signer=(WRONG.vote.signer + 1) % 4)),
        "not signed by validator",
    ),
    "nobody's": (unjustified(vote=replace(WRONG.vote, signer=255)), "no validator 255"),
    "another chain": (misjustified(OTHER)["a gap"], "another chain"),
    "another epoch": (
        justification_evidence(CHAIN.sign_block(replace(WRONG.header, epoch=1), WRONG.just, GOOD.body), FIRST.header),
        "about epoch 1;",
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_justification_proves_nothing_unless_all_of_it_is_signed(name: str) -> None:
    assert_proves_nothing(*FORGED[name])


def test_the_evidence_against_a_leader_is_good_before_it_is_changed() -> None:
    assert judged(WRONG) == Culprit("E6", WRONG.header.proposer)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=4), st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_no_vote_for_an_honest_block_can_be_turned_into_evidence(gaps: list[int], signer: int) -> None:
    head = CHAIN.genesis_header
    for gap in gaps:
        block = CHAIN.block(head, view=head.view + 1 + gap)
        vote = CHAIN.vote(signer, NOTARIZE, block.header.view, block.hash)
        for just in (block.just, GOOD.just, WRONG.just, Justification(1, (), ())):
            for parent in (head, FIRST.header, CHAIN.genesis_header):
                assert_proves_nothing(BadJustification(1, block.header, just, parent, vote), ".")
        head = block.header


# --- batches ----------------------------------------------------------------------------------------------------------

BATCH = sample_batch(CHAIN)
SPOILT = batch_with(CHAIN, faulty_entries(CHAIN)["another's signature"])
FALSE = bad_batch(SPOILT, 3)


@pytest.mark.parametrize("position", range(6))
def test_a_batch_whose_signatures_are_fine_proves_nothing(position: int) -> None:
    assert_proves_nothing(bad_batch(BATCH, position), "signed by its sender")


@pytest.mark.parametrize("position", [0, 1, 2, 4])
def test_a_good_entry_of_a_bad_batch_proves_nothing(position: int) -> None:
    assert_proves_nothing(bad_batch(SPOILT, position), "signed by its sender")


HONEST = bad_batch(BATCH, 3)
ENTRIES: dict[str, tuple[BadBatch, str]] = {
    "a bad transaction that the miner never batched": (replace(HONEST, transaction=FALSE.transaction), "not entry 3"),
    "bytes that the miner never batched": (replace(HONEST, transaction=b""), "not entry 3"),
    "an inner node": (replace(HONEST, transaction=HONEST.path[0] + HONEST.path[1], path=HONEST.path[1:]), "not entry"),
    "another place": (replace(FALSE, position=2), "not entry 2"),
    "a place behind the end": (replace(FALSE, position=65_535), "not entry 65535"),
    "no path": (replace(FALSE, path=()), "not entry 3"),
    "the path of another": (replace(FALSE, path=HONEST.path), "not entry 3"),
    "another miner's signature": (replace(FALSE, signature=HONEST.signature), "not signed by its miner"),
    "another miner's name": (
        replace(FALSE, header=replace(FALSE.header, miner=BATCH.header.miner)),
        "not signed by its miner",
    ),
    "another length": (replace(FALSE, header=replace(FALSE.header, count=4)), "not entry 3"),
    "another size": (replace(FALSE, header=replace(FALSE.header, bytes=1)), "not signed by its miner"),
    "another chain": (bad_batch(batch_with(OTHER, faulty_entries(OTHER)["zeros"]), 3), "another chain"),
    "another epoch": (bad_batch(CHAIN.batch([faulty_entries(CHAIN)["zeros"]], epoch=1), 0), "about epoch 1;"),
}


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_proves_nothing_unless_the_miner_signed_it(name: str) -> None:
    assert_proves_nothing(*ENTRIES[name])


def test_there_is_no_evidence_of_an_entry_that_is_not_there() -> None:
    with pytest.raises(LocalProtocolError, match="no leaf 6"):
        bad_batch(BATCH, 6)


# --- bytes ------------------------------------------------------------------------------------------------------------


@given(st.sampled_from(sorted(SAMPLES)), st.integers(0, 10_000), st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_no_changed_byte_accuses_anybody_else(name: str, place: int, flip: int) -> None:
    """A change is refused, or proves the same fault of the same node: no signature accuses anybody else."""
    evidence, culprit = SAMPLES[name]
    data = bytearray(encode(evidence))
    data[place % len(data)] ^= flip
    try:
        found = judged(decode_evidence(bytes(data)))
    except RemoteProtocolError:
        return
    assert found == culprit


@pytest.mark.parametrize("data", [b"", b"\x84", encode(DOUBLE.first), encode(GOOD), encode(DOUBLE)[:-1], b"\xff" * 99])
def test_other_bytes_are_no_evidence(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_evidence(data)


def test_two_votes_and_a_batch_entry_are_small() -> None:
    vote = Vote(1, NOTARIZE, INT_MAX, INT_MAX, A, 255, bytes(64))
    assert len(encode(DoubleVote(1, vote, vote))) <= 280
    header = BatchHeader(2, A, INT_MAX, A, BATCH_TRANSACTIONS_MAX, 1 << 20, A)
    longest = BadBatch(1, header, bytes(64), 1_999, bytes(TRANSACTION_BYTES_MAX), (A,) * 11)
    assert decode(BadBatch, encode(longest)) == longest
    assert len(encode(longest)) <= 2 << 10


@pytest.mark.parametrize(("validators", "views"), [(64, 86), (255, 21)])
def test_a_justification_fits_up_to_its_bound(validators: int, views: int) -> None:
    """The numbers of the bound's own description: a parent's certificate, and so many nullifications."""
    chain = make_test_chain(validators)
    parent = chain.block(chain.genesis_header).header
    nullification = chain.nullification(2)
    just = Justification(1, (chain.notarization(parent),), (nullification,) * views)
    evidence = justification_evidence(chain.block(parent, view=2, just=just), parent)
    assert judged(evidence, chain).kind == "E6"
    assert decode_evidence(encode(evidence)) == evidence
    longer = Justification(1, just.parent, (nullification,) * (views + 1))
    large = justification_evidence(chain.block(parent, view=2, just=longer), parent)
    assert_proves_nothing(large, "bytes; at most 262144", chain)
    with pytest.raises(RemoteProtocolError, match="at most 262144"):
        decode_evidence(encode(large))
    assert EVIDENCE_BYTES_MAX * 4 == BODY_BYTES_MAX
