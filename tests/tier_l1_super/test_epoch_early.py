"""What comes before its epoch has begun, or after it is over: kept within bounds, or gone.

The parts are the real ones on a real chain; only disk and links are played by the test.
"""

from __future__ import annotations

import msgspec
import pytest
from epoch_scene import seat_of
from epoch_tools import EpochChain

from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.votes import Vote, VoteKind
from supervm.protocol.wire.chain import BatchMessage
from supervm.protocol.wire.consensus import CertificateMessage, ProposalMessage, VoteMessage
from supervm.protocol.wire.fields import Message
from supervm.tier_l1_super.chain.checkpoints import CheckpointTally
from supervm.tier_l1_super.consensus import early as early_messages
from supervm.tier_l1_super.consensus.early import (
    BYTES_MAX,
    MESSAGES_PER_PEER_MAX,
    PEER_BYTES_MAX,
    PEERS_MAX,
    EarlyMessages,
)

replace = msgspec.structs.replace


def votes_of(count: int) -> list[Message]:
    vote = Vote(1, VoteKind.NULLIFY, 1, 1, ZERO_HASH, 0, bytes(64))
    return [VoteMessage((replace(vote, number=number),)) for number in range(count)]


def test_exactly_the_next_epoch_is_kept_in_order_of_peers() -> None:
    held = EarlyMessages()
    first, second, third = votes_of(3)
    held.keep(b"b", 1, first, 0)
    held.keep(b"a", 1, second, 0)
    held.keep(b"b", 1, third, 0)
    for epoch in (0, 2, 2**63):
        held.keep(b"b", epoch, first, 0)
    assert held.take(1) == [(b"b", first), (b"b", third), (b"a", second)]
    assert held.take(1) == []
    held.keep(b"b", 1, first, 0)
    assert held.take(2) == []


def test_one_peer_and_all_peers_have_bounds() -> None:
    held = EarlyMessages()
    for message in votes_of(MESSAGES_PER_PEER_MAX + 5):
        held.keep(b"one", 1, message, 0)
    for number in range(PEERS_MAX + 5):
        held.keep(number.to_bytes(4, "big"), 1, votes_of(1)[0], 0)
    kept = held.take(1)
    assert len(kept) == MESSAGES_PER_PEER_MAX + PEERS_MAX - 1


@pytest.mark.parametrize("kind", ["proposal", "batch", "certificates"])
def test_large_messages_count_by_their_size(kind: str) -> None:
    """A certificate message is as large as what it lists, and there are peers enough to fill any memory with them."""
    chain = EpochChain(4)
    certificate = chain.certificate(VoteKind.NULLIFY, 1)
    message = {
        "proposal": ProposalMessage(bytes(1 << 20)),
        "batch": BatchMessage(bytes(1 << 20)),
        "certificates": CertificateMessage((certificate,) * 255),
    }[kind]
    size = 1 << 20 if kind != "certificates" else 255 * 4 * 64
    held = EarlyMessages()
    for peer in range(200):
        for _ in range(MESSAGES_PER_PEER_MAX):
            held.keep(bytes([peer]), 1, message, 0)
    assert 1 <= len(held.take(1)) <= BYTES_MAX // size


def test_what_a_peer_said_that_is_gone_makes_room_again() -> None:
    held = EarlyMessages()
    big = ProposalMessage(bytes(PEER_BYTES_MAX // 2))
    for _ in range(20):
        held.keep(b"liar", 1, big, 0)
        held.forget(b"liar")
    held.keep(b"honest", 1, big, 0)
    assert held.take(1) == [(b"honest", big)]
    held.forget(b"nobody")
    assert early_messages.EarlyMessages().take(1) == []


def test_checkpoint_votes_of_an_epoch_that_is_over_are_gone() -> None:
    """A liar votes ahead, past the end of its epoch. Its index then is nobody's, or another's: neither may suffer."""
    chain = EpochChain(5)
    chain.add()
    seat = seat_of(chain)
    tally = CheckpointTally(seat, chain.certified(1))
    for signer in (1, 4):
        for height in range(2, 30):
            tally.add([chain.vote(signer, VoteKind.CHECKPOINT, height, b"x" * 32)])
    chain.end_epoch(chain.members(0, 4, 2, 3))  # index 1 is node 4 now, and there is no index 4
    seat.enter(chain.rules)
    tally.enter_epoch()
    header = chain.add() and chain.checkpoints[-1]
    assert tally.own(header, chain.vote(0, VoteKind.CHECKPOINT, header.height, header.hash)) is None
    others = [chain.vote(signer, VoteKind.CHECKPOINT, header.height, header.hash) for signer in (1, 2)]
    assert [done.header for done in tally.add(others)] == [header]
    assert (tally.bad_signers, tally.evidence) == ([], [])
