"""What an L1 node does around the end of an epoch, part by part: seat, signatures, early messages, leftovers, history.

The parts are the real ones on a real chain; only disk and links are played by the test.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec
import pytest
from epoch_tools import EPOCH_MS, EpochChain
from hypothesis import given
from hypothesis import strategies as st

from supervm.common.contract import core as c
from supervm.common.contract.core import Outbox, Persist
from supervm.common.contract.records import Append
from supervm.common.parts.events import PeerFault
from supervm.common.parts.ledger import Ledger
from supervm.common.parts.ledger_tables import LEDGER_TABLES
from supervm.common.parts.manners import Manners, Rank
from supervm.common.parts.peering import Peering
from supervm.common.storage.memory import MemoryStore
from supervm.common.testing.hand import HandDriver
from supervm.protocol.base.codec import decode, encode
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.block import Block
from supervm.protocol.chain.body import EMPTY_BODY
from supervm.protocol.chain.finalized import (
    HEADERS_MAX,
    FinalizedBlocks,
    FinalizedPrefix,
    check_finalized_chain,
    committed_part,
    decode_finalized,
)
from supervm.protocol.chain.header import BlockHeader, CheckpointRef
from supervm.protocol.chain.progress import NO_PROGRESS
from supervm.protocol.chain.validators import ValidatorList, ValidatorSet
from supervm.protocol.chain.votes import Certificate, Vote, VoteKind
from supervm.protocol.wire.chain import (
    BatchCertificateMessage,
    BatchMessage,
    BlocksMessage,
    CheckpointMessage,
    Follow,
    GetBlocks,
)
from supervm.protocol.wire.consensus import CertificateMessage, ConsensusStatus, GetBlock, ProposalMessage, VoteMessage
from supervm.protocol.wire.fields import Message
from supervm.tier_l1_super.batches.pool import Pool
from supervm.tier_l1_super.budgets import BUDGETS
from supervm.tier_l1_super.chain import serving
from supervm.tier_l1_super.chain.checkpoints import CheckpointTally
from supervm.tier_l1_super.chain.serving import Serving
from supervm.tier_l1_super.consensus import early as early_messages
from supervm.tier_l1_super.consensus.accuse import Accuser
from supervm.tier_l1_super.consensus.early import (
    BYTES_MAX,
    MESSAGES_PER_PEER_MAX,
    PEER_BYTES_MAX,
    PEERS_MAX,
    EarlyMessages,
)
from supervm.tier_l1_super.consensus.epoch_end import REPEAT_US, EpochEnd
from supervm.tier_l1_super.consensus.seat import Seat, WrongKeys
from supervm.tier_l1_super.consensus.simplex.promises import ClosePromise, decode_promise
from supervm.tier_l1_super.ground import Ground
from supervm.tier_l1_super.head import Head
from supervm.tier_l1_super.messages import Approve
from supervm.tier_l1_super.node import ValidatorNode
from supervm.tier_l1_super.tables import BLOCKS, SEALS, TABLES, BlockRow, SealRow

replace = msgspec.structs.replace
OTHERS = (0, 1, 2, 4)


def seat_of(chain: EpochChain, node: int = 0, *, amnesia: bool = False, epoch: int = -1) -> Seat:
    return Seat(chain.node_id(node), chain.key(node), chain.rules_of[epoch], amnesia=amnesia)


# --- Seat -------------------------------------------------------------------------------------------------------------


def test_a_node_has_a_seat_exactly_where_it_is_listed_with_its_own_key() -> None:
    chain = EpochChain(4)
    chain.end_epoch(chain.members(4, 2, 0))
    leaving, staying, joining, outside = (seat_of(chain, node, epoch=0) for node in (3, 2, 4, 5))
    assert [seat.index for seat in (leaving, staying, joining, outside)] == [3, 2, None, None]
    for seat in (leaving, staying, joining, outside):
        seat.enter(chain.rules)
        assert (seat.index is None) == (seat.key is None)
    assert [seat.index for seat in (leaving, staying, joining, outside)] == [None, 1, 0, None]
    follower = Seat(chain.node_id(0), None, chain.rules, amnesia=False)
    assert (follower.index, follower.key) == (None, None)


def test_keys_of_two_members_in_one_node_are_refused_at_the_start() -> None:
    chain = EpochChain(4)
    for node_id, key in (
        (chain.node_id(0), chain.key(1)),
        (chain.node_id(0), chain.key(9)),
        (chain.node_id(9), chain.key(0)),
    ):
        with pytest.raises(WrongKeys, match="not those of one validator"):
            Seat(node_id, key, chain.rules, amnesia=False)


def test_a_member_that_is_listed_with_another_key_follows() -> None:
    """Its operator gave a wrong key to the others: it must not vote with one that is not listed."""
    chain = EpochChain(4)
    chain.end_epoch([*chain.members(0, 1, 2), chain.member(4, key=chain.key(9))])
    seat = seat_of(chain, 4, epoch=0)
    seat.enter(chain.rules)
    assert (seat.index, seat.place_in(chain.rules.validators)) == (None, None)


LEARNT: dict[str, tuple[dict[int, tuple[int, bool]], bool]] = {
    "all others are in it": ({1: (1, False), 2: (1, False), 3: (1, False)}, True),
    "some are even behind": ({1: (0, False), 2: (0, True), 3: (1, False)}, True),
    "too few": ({1: (1, False), 2: (1, False)}, False),
    "one has executed its end": ({1: (1, False), 2: (1, False), 3: (1, True)}, False),
    "one is ahead": ({1: (1, False), 2: (2, False), 3: (1, False)}, False),
    "our own word counts nothing": ({0: (1, False), 1: (1, False), 2: (1, False)}, False),
    "nor that of strangers": ({5: (1, False), 6: (1, False), 1: (1, False), 2: (1, False)}, False),
    "silence": ({}, False),
}


@pytest.mark.parametrize(("standings", "learns"), LEARNT.values(), ids=LEARNT)
def test_amnesia_ends_with_an_epoch_that_provably_began_after_it(
    standings: dict[int, tuple[int, bool]], learns: bool
) -> None:
    chain = EpochChain(4)
    chain.end_epoch()
    seat = seat_of(chain, amnesia=True)
    assert (seat.index, seat.may_vote_in(10**6)) == (None, False)
    said = {chain.node_id(node): standing for node, standing in standings.items()}
    assert seat.learn(said) is learns
    assert seat.may_vote_in(1) is False
    assert seat.may_vote_in(2) is learns
    assert not seat.learn(said)  # no news twice
    seat.enter(chain.rules)
    assert seat.index is None
    chain.end_epoch()
    seat.enter(chain.rules)
    assert (seat.index == 0) is learns


def test_amnesia_is_judged_by_weight() -> None:
    chain = EpochChain(4, weights=(1, 1, 1, 10))
    said = {chain.node_id(node): (0, False) for node in (1, 2)}
    seat = seat_of(chain, amnesia=True)
    assert not seat.learn(said)
    assert seat.learn({**said, chain.node_id(3): (0, False)})
    alone = EpochChain(1)
    assert not seat_of(alone, amnesia=True).learn({alone.node_id(0): (0, False)})


@given(st.dictionaries(st.integers(0, 6), st.tuples(st.integers(0, 3), st.booleans())))
def test_nobody_learns_while_a_witness_may_have_gone_on(standings: dict[int, tuple[int, bool]]) -> None:
    """Whatever is said: those who may have signed the end of the epoch never make a quorum with one honest in both."""
    chain = EpochChain(7)
    seat = seat_of(chain, amnesia=True)
    said = {chain.node_id(node): standing for node, standing in standings.items()}
    waiting = [node for node, standing in standings.items() if node != 0 and standing <= (0, False)]
    assert seat.learn(said) == (len(waiting) >= 5)


# --- EpochEnd ---------------------------------------------------------------------------------------------------------


def ground_of(
    chain: EpochChain, seat: Seat, ledger: Ledger, store: MemoryStore, outbox: Outbox, kind: type[Ground] = Ground
) -> Ground:
    return kind(
        chain.chain,
        seat,
        ledger,
        store,
        outbox,
        Peering(outbox, (), random.Random(0)),
        Manners(outbox, BUDGETS),
        Accuser(seat, outbox),
        Head(),
    )


class End:
    """An `EpochEnd` at one node, whose disk and peers are lists."""

    def __init__(
        self,
        chain: EpochChain,
        node: int = 0,
        *,
        store: MemoryStore | None = None,
        promised: bool = False,
        amnesia: bool = False,
    ) -> None:
        self.chain = chain
        self.outbox = Outbox()
        self.store = store or MemoryStore(TABLES)
        self.seat = seat_of(chain, node, amnesia=amnesia)
        self.sent: list[tuple[tuple[Vote, ...], int]] = []
        self.written: list[Persist] = []
        self.now_us = 0
        sent = self.sent

        class Heard(Ground):
            """Keeps what is said to all."""

            def broadcast(self, message: Message, after: int = 0) -> None:
                assert isinstance(message, VoteMessage)
                sent.append((message.votes, after))

        self.part = EpochEnd(
            ground_of(chain, self.seat, chain.ledger, self.store, self.outbox, Heard), promised=promised
        )
        self.part.start(0)
        self.drain()

    def drain(self) -> None:
        for effect in self.outbox.drain():
            if isinstance(effect, Persist):
                self.written.append(effect)
                self.store.commit(effect.records)

    def executed(self) -> None:
        self.part.executed(self.chain.head, self.now_us)
        self.drain()

    def wait(self, us: int = REPEAT_US) -> None:
        self.now_us += us
        self.part.tick(self.now_us)
        self.drain()

    def kinds(self) -> list[VoteKind]:
        found = [vote.kind for votes, _ in self.sent for vote in votes]
        self.sent.clear()
        return found


def late(chain: EpochChain) -> int:
    return chain.rules.root_ms + EPOCH_MS


def test_the_promise_to_close_is_on_disk_before_the_close_leaves() -> None:
    chain = EpochChain(4)
    end = End(chain)
    chain.add(ts_ms=late(chain) - 1)
    end.executed()
    assert (end.part.closing, end.sent, end.written) == (False, [], [])
    chain.add(ts_ms=late(chain))
    end.executed()
    (((vote,), after),) = end.sent
    (write,) = end.written
    assert (vote.kind, vote.signer, after) == (VoteKind.EPOCH_CLOSE, 0, write.token)
    assert [decode_promise(item.payload) for item in write.records if isinstance(item, Append)] == [ClosePromise(1, 0)]
    assert end.part.live_promises() == [ClosePromise(1, 0)]
    assert dict(chain.closes(0)) == {0: vote.signature}
    end.wait()
    assert end.sent[-1] == ((vote,), write.token)  # repeats wait for it, too


def test_a_close_is_repeated_every_second_until_it_is_in_the_executed_chain() -> None:
    chain = EpochChain(4)
    end = End(chain)
    chain.add(ts_ms=late(chain))
    end.executed()
    assert end.kinds() == [VoteKind.EPOCH_CLOSE]
    for _ in range(3):
        assert end.part.deadline_us == end.now_us + REPEAT_US
        end.wait(REPEAT_US - 1)
        assert end.kinds() == []
        end.wait(1)
        assert end.kinds() == [VoteKind.EPOCH_CLOSE]
    chain.add(closes=[1])
    end.executed()
    end.wait()
    assert end.kinds() == [VoteKind.EPOCH_CLOSE]
    chain.add(closes=[0])
    end.executed()
    end.wait()
    assert (end.kinds(), end.part.deadline_us) == ([], None)


def test_a_restart_says_again_what_was_promised_and_what_is_due() -> None:
    chain = EpochChain(4)
    chain.add()
    assert End(chain, promised=True).kinds() == [VoteKind.EPOCH_CLOSE]
    torn = EpochChain(4)  # the tables have the block, the log has no promise
    torn.add(ts_ms=late(torn))
    end = End(torn)
    assert end.kinds() == [VoteKind.EPOCH_CLOSE]
    assert len(end.written) == 1


def test_who_has_no_seat_closes_without_a_word() -> None:
    for end in (End(EpochChain(4), 7), End(EpochChain(4), 0, amnesia=True)):
        end.chain.add(ts_ms=late(end.chain))
        end.executed()
        end.part.want(ValidatorSet(end.chain.members(*OTHERS)), 0)
        assert (end.part.closing, end.sent, end.part.live_promises()) == (True, [], [])


def test_a_member_of_the_proposed_set_is_ready_once_it_has_executed_the_proposal() -> None:
    """Also one that has no seat yet. It says so until the chain says so, and not once more."""
    chain = EpochChain(4)
    ends = {node: End(chain, node) for node in (0, 3, 4, 9)}
    chain.add(change=chain.change(chain.members(*OTHERS)))
    for end in ends.values():
        end.executed()
    assert {node: end.kinds() for node, end in ends.items()} == {
        0: [VoteKind.NEXT_READY],
        3: [],
        4: [VoteKind.NEXT_READY],
        9: [],
    }
    ends[4].wait()
    assert ends[4].kinds() == [VoteKind.NEXT_READY]
    chain.add(ready=chain.ready(3))  # index 3 of the proposed set is node 4
    for _ in range(5):
        for end in ends.values():
            end.executed()
        chain.add()
    assert {node: end.kinds() for node, end in ends.items()} == {0: [], 3: [], 4: [], 9: []}


def test_a_member_listed_with_another_key_and_one_with_amnesia_are_not_ready() -> None:
    chain = EpochChain(4)
    wrong, lost = End(chain, 4), End(chain, 2, amnesia=True)
    chain.add(change=chain.change([*chain.members(0, 1, 2), chain.member(4, key=chain.key(9))]))
    for end in (wrong, lost):
        end.executed()
        assert end.kinds() == []
    assert lost.seat.learn({chain.node_id(node): (0, False) for node in (0, 1, 3)})
    lost.executed()
    assert lost.kinds() == [VoteKind.NEXT_READY]


def test_a_wish_survives_restarts_and_epochs_until_it_is_in_force() -> None:
    chain = EpochChain(4)
    end = End(chain)
    wish = ValidatorSet(chain.members(*OTHERS))
    end.part.want(wish, 0)
    end.drain()
    assert end.sent[0][1] == end.written[0].token
    assert end.kinds() == [VoteKind.SET_CHANGE]
    again = End(chain, store=end.store)
    assert again.part.wish is not None
    assert again.part.wish.hash == wish.hash
    assert again.kinds() == [VoteKind.SET_CHANGE]
    chain.add(change=chain.change(wish.members))
    again.executed()
    again.wait()
    assert VoteKind.SET_CHANGE not in again.kinds()  # it is in the chain
    chain.end_epoch()  # nobody was ready: it lapses
    again.seat.enter(chain.rules)
    again.part.enter_epoch(again.now_us)
    again.drain()
    assert again.kinds() == [VoteKind.SET_CHANGE]
    chain.end_epoch(wish.members)
    again.seat.enter(chain.rules)
    again.part.enter_epoch(again.now_us)
    again.drain()
    assert (again.kinds(), again.part.wish) == ([], None)
    assert End(chain, store=again.store).part.wish is None


def test_a_wish_is_withdrawn_or_replaced() -> None:
    """Of the wish before, nothing is said or counted any more - also not if the new wish is what stands already."""
    chain = EpochChain(4)
    end = End(chain)
    for instead in (None, chain.rules.validators, ValidatorSet(chain.members(0, 1, 2, 5))):
        end.part.want(ValidatorSet(chain.members(*OTHERS)), 0)
        for signer in (1, 2):
            approval = chain.vote(signer, VoteKind.SET_CHANGE, 0, ValidatorSet(chain.members(*OTHERS)).hash)
            end.part.vote(chain.node_id(signer), approval)
        assert len(end.part.content(chain.head)[1]) == 1
        end.part.want(instead, 0)
        end.sent.clear()
        end.wait()
        said = [vote.digest for votes, _ in end.sent for vote in votes]
        # a withdrawal is an approval of no set, so that it takes the place of what was said before
        assert said == [ZERO_HASH if instead is None or instead is chain.rules.validators else instead.hash]
        assert end.part.content(chain.head)[1] == ()
    assert End(chain, store=end.store).part.wish is not None


def test_a_withdrawal_reaches_the_others_and_outlives_a_restart() -> None:
    """It counts no more where it was counted, and is said again until the epoch ends - not in the next one."""
    chain = EpochChain(4)
    end, other = End(chain), End(chain, 1)
    wish = ValidatorSet(chain.members(*OTHERS))

    def hear() -> None:
        for votes, _ in end.sent:
            for vote in votes:
                other.part.vote(chain.node_id(0), vote)
        end.sent.clear()

    other.part.want(wish, 0)
    other.part.vote(chain.node_id(2), chain.vote(2, VoteKind.SET_CHANGE, 0, wish.hash))
    end.part.want(wish, 0)
    hear()
    assert other.part.approvals() == [
        {"validators_hash": wish.hash.hex(), "weight": 3, "validators": [0, 1, 2], "own": True}
    ]
    assert len(other.part.content(chain.head)[1]) == 1
    end.part.want(None, 0)
    end.drain()
    end = again = End(chain, store=end.store)
    hear()
    assert [item["validators"] for item in other.part.approvals()] == [[1, 2]]
    assert other.part.content(chain.head)[1] == ()
    chain.end_epoch()
    assert End(chain, store=again.store).kinds() == []


def test_a_leader_gathers_what_the_chain_lacks() -> None:
    chain = EpochChain(4)
    end = End(chain)
    for node in (1, 2, 3):
        assert end.part.vote(chain.node_id(node), chain.vote(node, VoteKind.EPOCH_CLOSE))
        assert not end.part.vote(chain.node_id(node), chain.vote(node, VoteKind.EPOCH_CLOSE))
    closes, changes, ready = end.part.content(chain.head)
    assert ([signer for signer, _ in closes], changes, ready) == ([1, 2, 3], (), ())
    assert end.part.is_urgent(chain.head, replace(EMPTY_BODY, closes=closes))
    assert not end.part.is_urgent(chain.head, replace(EMPTY_BODY, closes=closes[:2]))
    parent = chain.block(closes=[1, 3])
    assert end.part.content(parent.header)[0] == chain.closes(2)
    sealing = chain.block(closes=[1, 2, 3])
    assert end.part.content(sealing.header) == ((), (), ())
    assert not end.part.is_urgent(parent.header, EMPTY_BODY)
    chain.check(chain.make(chain.head, replace(EMPTY_BODY, closes=closes)))


def test_readiness_is_gathered_only_for_the_set_that_the_parent_names() -> None:
    chain = EpochChain(4)
    end = End(chain)
    block = chain.block(change=chain.change(chain.members(*OTHERS)))
    vote = chain.vote(
        3,
        VoteKind.NEXT_READY,
        0,
        block.header.progress.next_validators_hash,
        validators=ValidatorSet(chain.members(*OTHERS)),
    )
    assert not end.part.vote(chain.node_id(4), vote)  # we have not executed the proposal: it will be said again
    chain.append(block)
    assert end.part.vote(chain.node_id(4), vote)
    assert end.part.content(chain.head)[2] == ((3, vote.signature),)
    with pytest.raises(RemoteProtocolError, match="not the peer's own"):
        end.part.vote(chain.node_id(3), vote)


@pytest.mark.parametrize(
    "wrong",
    [{"signer": 2}, {"signature": bytes(64)}, {"number": 1}, {"digest": b"x" * 32}],
    ids=["signer", "bits", "number", "digest"],
)
def test_signatures_come_from_their_signers_and_are_checked_at_once(wrong: dict[str, object]) -> None:
    chain = EpochChain(4)
    end = End(chain)
    good = chain.vote(1, VoteKind.EPOCH_CLOSE)
    with pytest.raises(RemoteProtocolError) as caught:
        end.part.vote(chain.node_id(1), replace(good, **wrong))
    assert caught.value.penalty >= 50
    assert end.part.content(chain.head)[0] == ()
    assert not end.part.vote(chain.node_id(1), replace(good, epoch=1))  # of another epoch: no fault, no use
    assert not end.part.vote(chain.node_id(1), replace(good, epoch=2**60))


# --- EarlyMessages ----------------------------------------------------------------------------------------------------


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


# --- what is left of an epoch -----------------------------------------------------------------------------------------


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


# --- Serving ----------------------------------------------------------------------------------------------------------


def sealed_by_descendants(chain: EpochChain, tail: int = 2) -> tuple[list[Block], FinalizedBlocks]:
    """Execute three blocks, of which the last seals; return them and the descendants that prove it."""
    chain.add()
    chain.add(closes=[0])
    sealing = chain.block(closes=[1, 2])
    descendants = [sealing]
    for _ in range(tail):
        descendants.append(chain.make(descendants[-1].header, EMPTY_BODY))
    chain.append(sealing)
    return list(chain.blocks), chain.finalized(descendants[1:])


class Served:
    """A `Serving` with a store of its own."""

    def __init__(self, chain: EpochChain, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore(TABLES)
        self.outbox = Outbox()
        ledger = Ledger(chain.chain, MemoryStore(LEDGER_TABLES))
        seat = seat_of(chain, epoch=0)
        ground = ground_of(chain, seat, ledger, self.store, self.outbox)
        self.head = ground.head
        self.part = Serving(ground, Pool(ledger.state, seat), lambda digest: (None, 0))

    def committed(
        self, blocks: tuple[Block, ...], finalization: Certificate, now_us: int, tail: tuple[Block, ...] = ()
    ) -> None:
        """Make blocks final, as `Consensus` does."""
        self.head.finalized(blocks[-1].header.height, 0)
        self.part.committed(blocks, finalization, now_us, tail)

    def chunks(self, start: int = 1) -> list[FinalizedBlocks]:
        found = []
        while (chunk := self.part.chunk(start)) is not None:
            assert chunk[1] > start
            found.append(chunk[0])
            start = chunk[1]
        return found


def follow(chain: EpochChain, chunks: list[FinalizedBlocks]) -> list[int]:
    """Check chunks as a follower does that begins at genesis; return the heights that count."""
    head, heights = chain.chain.genesis_header, []
    for chunk in chunks:
        rules = chain.rules_of[chunk.blocks[0].header.epoch]
        check_finalized_chain(chunk, head, rules)
        counted = chunk.blocks[: committed_part(chunk.blocks, rules)]
        head = counted[-1].header
        heights += [block.header.height for block in counted]
    return heights


@pytest.mark.parametrize("stored", [False, True], ids=["in memory", "after a restart"])
@pytest.mark.parametrize("with_tail", [False, True], ids=["own finalization", "through descendants"])
def test_history_is_served_across_epochs(stored: bool, with_tail: bool) -> None:
    """Each piece is of one epoch and proves itself, the sealing block through its descendants if need be."""
    chain = EpochChain(4)
    blocks, proof = sealed_by_descendants(chain)
    chain.add()
    chain.add()
    served = Served(chain)
    own = chain.certificate(VoteKind.FINALIZE, blocks[-1].header.view, blocks[-1].hash, rules=chain.rules_of[0])
    newer = chain.finalized(chain.blocks[3:])
    if stored:
        rows = [
            (blocks[0], None),
            (blocks[1], None),
            (blocks[2], None if with_tail else own),
            (chain.blocks[3], None),
            (chain.blocks[4], newer.finalization),
        ]
        for block, finalization in rows:
            raw = None if finalization is None else encode(finalization)
            served.store.commit([BLOCKS.put(BlockRow(block.header.height, encode(block), raw))])
        if with_tail:
            served.store.commit([SEALS.put(SealRow(3, encode(proof)))])
        served.head.found(5)
    elif with_tail:
        served.committed(tuple(blocks), proof.finalization, 0, proof.blocks)
        served.committed(tuple(chain.blocks[3:]), newer.finalization, 0)
    else:
        served.committed(tuple(blocks), own, 0)
        served.committed(tuple(chain.blocks[3:]), newer.finalization, 0)
    chunks = served.chunks()
    assert follow(chain, chunks) == [1, 2, 3, 4, 5]
    assert [len(chunk.blocks) for chunk in chunks] == [5 if with_tail else 3, 2]
    assert follow(chain, [decode(FinalizedBlocks, encode(chunk)) for chunk in chunks]) == [1, 2, 3, 4, 5]
    (last,) = served.chunks(4)
    assert [block.header.height for block in last.blocks] == [4, 5]
    assert served.part.chunk(6) is None
    assert served.part.chunk(0) is None


def test_a_piece_that_begins_at_the_sealing_block_brings_its_proof() -> None:
    chain = EpochChain(4)
    blocks, proof = sealed_by_descendants(chain, tail=4)
    served = Served(chain)
    served.committed(tuple(blocks), proof.finalization, 0, proof.blocks)
    found = served.part.chunk(3)
    assert found is not None
    assert ([block.header.height for block in found[0].blocks], found[1]) == ([3, 4, 5, 6, 7], 4)
    check_finalized_chain(found[0], blocks[1].header, chain.rules_of[0])
    assert served.part.chunk(4) is None


@pytest.mark.parametrize("stored", [False, True], ids=["in memory", "after a restart"])
def test_a_run_that_one_late_finalization_made_final_is_served_in_pieces(
    stored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each piece proves itself, by headers that lead to the finalization; nothing is read twice for it."""
    monkeypatch.setattr(serving, "CHUNK_BLOCKS_MAX", 7)
    chain = EpochChain(4)
    for _ in range(40):
        chain.add()
    served = Served(chain)
    whole = chain.finalized(chain.blocks)
    if stored:
        for block in chain.blocks:
            raw = encode(whole.finalization) if block is chain.blocks[-1] else None
            served.store.commit([BLOCKS.put(BlockRow(block.header.height, encode(block), raw))])
        served.head.found(40)
    else:
        served.committed(tuple(chain.blocks), whole.finalization, 0)
    chunks = served.chunks()
    assert [len(chunk.blocks) for chunk in chunks] == [7, 7, 7, 7, 7, 5]
    assert [type(chunk) for chunk in chunks] == [FinalizedPrefix] * 5 + [FinalizedBlocks]
    assert follow(chain, [decode_finalized(encode(chunk)) for chunk in chunks]) == list(range(1, 41))
    head = chain.blocks[6].header
    for headers in (chunks[1].headers[1:], chunks[1].headers[:-1], chunks[1].headers[::-1], chunks[2].headers):
        with pytest.raises(RemoteProtocolError) as caught:
            check_finalized_chain(replace(chunks[1], headers=headers), head, chain.rules_of[0])
        assert caught.value.code == "bad-chain"
    # a node takes the pieces one by one, also over restarts in between, and asks for the next
    store = MemoryStore(TABLES)
    node = Bench(chain, 1, store)
    for place, chunk in enumerate(chunks):
        node.linked(0, 2, 3)
        node.get(0, BlocksMessage(encode(chunk)))
        assert node.core.serving.tip == chunk.blocks[-1].header.height
        assert node.core.ledger.height == node.core.serving.tip
        assert node.core.simplex.final.view == 40
        if place < 5:
            assert GetBlocks(node.core.serving.tip + 1) in [message for _, message in node.sent]
        if place % 2:
            store.reopen()
            node = Bench(chain, 1, store, now_us=node.now_us)
    assert (node.hung_up, node.halted) == ({}, "")


def test_a_piece_that_is_longer_than_a_message_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked would have to hang up on it; without an answer it takes a snapshot when there is one."""
    chain = EpochChain(4)
    for _ in range(3):
        chain.add()
    served = Served(chain)
    served.committed(tuple(chain.blocks), chain.finalized(chain.blocks).finalization, 0)
    piece = served.part._piece(1)
    assert piece is not None
    for size, fits in ((len(piece[0].blocks), True), (len(piece[0].blocks) - 1, False)):
        monkeypatch.setattr(serving, "PIECE_BYTES_MAX", size)
        served.part._pieces.clear()
        assert (served.part._piece(1) == piece) == fits


def test_the_longest_run_that_can_be_served_fits_into_a_message() -> None:
    mask = b"\xff" * 32
    header = BlockHeader(
        1,
        mask,
        1 << 20,
        1 << 31,
        1 << 31,
        mask,
        1 << 31,
        255,
        1 << 42,
        mask,
        mask,
        CheckpointRef(1, 1 << 31, mask),
        replace(NO_PROGRESS, next_validators_hash=mask, closers=mask, ready=mask, accused=mask[:4]),
    )
    block = EpochChain(4).add()
    finalization = Certificate(1, VoteKind.FINALIZE, 1, 1, mask, tuple((index, bytes(64)) for index in range(255)))
    piece = FinalizedPrefix(1, (block,), (header,) * HEADERS_MAX, finalization)
    assert len(encode(piece)) + serving.CHUNK_BYTES_MAX <= 4 << 20


# --- the node ---------------------------------------------------------------------------------------------------------


class Bench(HandDriver[ValidatorNode]):
    """One L1 node in a test's hands."""

    def __init__(self, chain: EpochChain, node: int = 0, store: MemoryStore | None = None, *, now_us: int = 0) -> None:
        self.chain, self.node_index = chain, node
        store = store or MemoryStore(TABLES)
        core = ValidatorNode(
            chain=chain.chain,
            node_id=chain.node_id(node),
            key=chain.key(node),
            reader=store,
            targets=(),
            rng=random.Random(1),
        )
        super().__init__(core, store, now_us=now_us or chain.chain.genesis.time_ms * 1000)

    def linked(self, *nodes: int) -> None:
        for node in nodes:
            self.up(self.chain.node_id(node), 1)

    def get(self, node: int, message: Message) -> None:
        self.receive(self.chain.node_id(node), message)

    def taken(self, kind: type, node: int | None = None) -> list[Message]:
        found = [m for peer, m in self.sent if isinstance(m, kind) and node in (None, self.number(peer))]
        self.sent.clear()
        return found

    def number(self, peer: bytes) -> int | None:
        return next((node for node in range(12) if self.chain.node_id(node) == peer), None)

    def finalized(self, first: int, last: int) -> BlocksMessage:
        return BlocksMessage(encode(self.chain.finalized(self.chain.blocks[first - 1 : last])))


def across_epochs(following: Callable[[EpochChain], tuple] | None = None) -> tuple[EpochChain, int]:
    """A chain with an epoch behind it, and the height of its root."""
    chain = EpochChain(4)
    chain.add()
    chain.end_epoch(None if following is None else following(chain))
    root = chain.head.height
    chain.add()
    return chain, root


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


# --- who is to join ---------------------------------------------------------------------------------------------------


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
