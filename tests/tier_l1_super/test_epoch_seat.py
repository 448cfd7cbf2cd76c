"""Who votes in an epoch: where a node is listed with its own key, and what it may not know any more.

The parts are the real ones on a real chain; only disk and links are played by the test.
"""

from __future__ import annotations

import pytest
from epoch_scene import seat_of
from epoch_tools import EpochChain
from hypothesis import given
from hypothesis import strategies as st

from supervm.tier_l1_super.consensus.seat import Seat, WrongKeys


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
