"""The end of an epoch: promises to close it, readiness, wishes of operators, and what a leader gathers of them.

The parts are the real ones on a real chain; only disk and links are played by the test.
"""

from __future__ import annotations

import msgspec
import pytest
from epoch_scene import OTHERS, ground_of, late, seat_of
from epoch_tools import EpochChain

from supervm.common.contract.core import Outbox, Persist
from supervm.common.contract.records import Append
from supervm.common.storage.memory import MemoryStore
from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.body import EMPTY_BODY
from supervm.protocol.chain.validators import ValidatorSet
from supervm.protocol.chain.votes import Vote, VoteKind
from supervm.protocol.wire.consensus import VoteMessage
from supervm.protocol.wire.fields import Message
from supervm.tier_l1_super.consensus.epoch_end import REPEAT_US, EpochEnd
from supervm.tier_l1_super.consensus.simplex.promises import ClosePromise, decode_promise
from supervm.tier_l1_super.ground import Ground
from supervm.tier_l1_super.tables import TABLES

replace = msgspec.structs.replace


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
