"""Rules of `CheckpointTally`: which votes count, what they certify, and when a node must stop."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest
from chain_tools import TestChain, make_test_chain

from supervm.common.parts.ledger import Ledger
from supervm.common.parts.ledger_tables import LEDGER_TABLES
from supervm.common.storage.memory import MemoryStore
from supervm.protocol.chain.checkpoint import CheckpointHeader
from supervm.protocol.chain.votes import Vote, VoteKind
from supervm.tier_l1_super.chain.checkpoints import HEIGHTS_AHEAD_MAX, REPEAT_HEIGHTS_MAX, CheckpointTally, Divergence
from supervm.tier_l1_super.consensus.seat import Seat

WRONG = b"\x07" * 32


def seat_of(chain: TestChain) -> Seat:
    return Seat(chain.validators.node_ids[0], chain.validator_keys[0], chain.rules, amnesia=False)


def headers(chain: TestChain, count: int) -> list[CheckpointHeader]:
    ledger = Ledger(chain.chain, MemoryStore(LEDGER_TABLES))
    return [ledger.apply(block, []).header for block in chain.blocks(count)]


def vote(chain: TestChain, signer: int, header: CheckpointHeader, digest: bytes | None = None) -> Vote:
    return chain.vote(signer, VoteKind.CHECKPOINT, header.height, header.hash if digest is None else digest)


def test_a_quorum_of_equal_votes_certifies() -> None:
    """Three of four, own vote included; whether ours comes first or last."""
    chain = make_test_chain()
    (header,) = headers(chain, 1)
    early = CheckpointTally(seat_of(chain), None)
    assert early.own(header, vote(chain, 0, header)) is None
    assert early.add([vote(chain, 1, header)]) == []
    (done,) = early.add([vote(chain, 2, header)])
    assert (done.header, [signer for signer, _ in done.signatures]) == (header, [0, 1, 2])
    assert (early.height, early.uncertified_votes()) == (1, ())
    late = CheckpointTally(seat_of(chain), None)
    assert late.add([vote(chain, signer, header) for signer in (1, 2, 3)]) == []
    certified = late.own(header, None)
    assert certified is not None
    assert certified.header == header


def test_a_bad_signature_is_thrown_out_and_named_and_its_signer_may_vote_again() -> None:
    """A bad vote neither counts nor blocks the good one that comes after it."""
    chain = make_test_chain()
    (header,) = headers(chain, 1)
    tally = CheckpointTally(seat_of(chain), None)
    tally.own(header, vote(chain, 0, header))
    bad = msgspec.structs.replace(vote(chain, 1, header), signature=bytes(64))
    assert tally.add([bad, vote(chain, 2, header)]) == []
    assert tally.bad_signers == [1]
    assert tally.add([vote(chain, 1, header)]) == [], "it has to go first"
    tally.bad_signers.clear()
    assert len(tally.add([vote(chain, 1, header)])) == 1


def test_two_genuine_votes_for_one_height_are_evidence_once() -> None:
    """E3: both votes are shown, whether the first is verified already or not; a forged second vote accuses nobody."""
    chain = make_test_chain()
    (header,) = headers(chain, 1)
    tally = CheckpointTally(seat_of(chain), None)
    honest, wrong = vote(chain, 1, header), vote(chain, 1, header, WRONG)
    tally.add([honest, msgspec.structs.replace(wrong, signature=bytes(64))])
    assert (tally.evidence, tally.bad_signers) == ([], [1])
    tally.bad_signers.clear()
    tally.add([wrong, wrong, honest])
    assert tally.evidence == [(honest, wrong)]


@pytest.mark.parametrize("first", ["genuine", "forged", "certified"])
def test_repeated_rivals_cost_two_verifications_and_their_sender_the_link(first: str) -> None:
    """The finding: 1,000 votes for one height with another digest and garbage signatures, over and over."""
    chain = make_test_chain()
    (header,) = headers(chain, 1)
    calls = 0

    def counted(key: bytes, message: bytes, signature: bytes) -> bool:
        nonlocal calls
        calls += 1
        return chain.rules.verify(key, message, signature)

    seat = seat_of(chain)
    seat.rules = dataclasses.replace(chain.rules, verify=counted)
    tally = CheckpointTally(seat, None)
    good = vote(chain, 1, header)
    tally.add([good if first != "forged" else msgspec.structs.replace(good, signature=b"x" * 64)])
    if first == "certified":
        tally.own(header, vote(chain, 0, header))
        tally.add([vote(chain, 2, header, WRONG)])
    rivals = [
        msgspec.structs.replace(vote(chain, 1, header, bytes([number]) * 32), signature=bytes([number]) * 64)
        for number in range(200)
    ]
    for _ in range(5):
        tally.add(rivals)
        assert tally.bad_signers == [1], "blamed for the first, whatever comes after it"
    assert calls <= 2
    assert tally.evidence == []


def test_one_validator_alone_neither_stops_a_node_nor_fills_its_memory() -> None:
    """Any number of wrong roots of one signer: no divergence, and one vote per height is kept."""
    chain = make_test_chain()
    (header,) = headers(chain, 1)
    tally = CheckpointTally(seat_of(chain), None)
    tally.own(header, vote(chain, 0, header))
    for number in range(50):
        assert tally.add([vote(chain, 3, header, bytes([number]) * 32)]) == []
    assert (len(tally.evidence), tally.bad_signers) == (1, []), "evidence once, and then its rivals are not looked at"
    held = [*tally._votes.values(), *(signers for found in tally._verified.values() for signers in found.values())]
    assert sum(1 for signers in held if 3 in signers) == 1
    for height in (HEIGHTS_AHEAD_MAX + 1, 2**62):
        tally.add([chain.vote(3, VoteKind.CHECKPOINT, height, WRONG)])
    assert list(tally._votes) == [1]
    assert len(tally.add([vote(chain, signer, header) for signer in (1, 2)])) == 1


def test_witness_weight_for_another_header_stops_the_node() -> None:
    """Of f + 1 validators that signed another root, at least one is correct: we computed something else."""
    chain = make_test_chain()
    (header,) = headers(chain, 1)
    tally = CheckpointTally(seat_of(chain), None)
    tally.own(header, vote(chain, 0, header))
    assert tally.add([vote(chain, 1, header, WRONG)]) == []
    with pytest.raises(Divergence):
        tally.add([vote(chain, 2, header, WRONG)])
    other = CheckpointTally(seat_of(chain), None)
    other.add([vote(chain, signer, header, WRONG) for signer in (1, 2, 3)])
    with pytest.raises(Divergence):
        other.own(header, vote(chain, 0, header))


def test_forged_votes_for_another_header_do_not_stop_the_node() -> None:
    """Witness weight is counted only after the signatures have been checked."""
    chain = make_test_chain()
    (header,) = headers(chain, 1)
    tally = CheckpointTally(seat_of(chain), None)
    tally.own(header, vote(chain, 0, header))
    forged = [msgspec.structs.replace(vote(chain, n, header, WRONG), signature=bytes(64)) for n in (1, 2, 3)]
    assert tally.add(forged) == []
    assert tally.bad_signers == [1, 2]  # the third alone is not worth a check


def test_only_an_executed_height_is_adopted_and_another_header_stops_the_node() -> None:
    """A certified checkpoint of a peer is taken if it is ours and newer."""
    chain = make_test_chain()
    one, two = headers(chain, 2)
    tally = CheckpointTally(seat_of(chain), None)
    tally.own(one, None)
    assert not tally.adopt(chain.certify_checkpoint(two))
    assert tally.adopt(chain.certify_checkpoint(one))
    assert not tally.adopt(chain.certify_checkpoint(one))
    tally.own(two, None)
    with pytest.raises(Divergence):
        tally.adopt(chain.certify_checkpoint(msgspec.structs.replace(two, state_root=WRONG)))


def test_own_uncertified_votes_are_repeated_lowest_first_and_bounded() -> None:
    """At most 16 heights; none that is certified."""
    chain = make_test_chain()
    made = headers(chain, REPEAT_HEIGHTS_MAX + 4)
    tally = CheckpointTally(seat_of(chain), None)
    for header in made:
        tally.own(header, vote(chain, 0, header))
    assert [item.number for item in tally.uncertified_votes()] == list(range(1, REPEAT_HEIGHTS_MAX + 1))
    tally.add([vote(chain, signer, made[9]) for signer in (1, 2)])
    assert [item.number for item in tally.uncertified_votes()] == list(range(11, REPEAT_HEIGHTS_MAX + 5))
