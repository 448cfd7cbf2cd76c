"""One peer is asked, then the next: whose turn it is, when a question is due, and which of many is due first."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from supervm.common.parts.asking import Asking, Question, after, next_of

A, B, C = b"a", b"b", b"c"
WAIT_US = 10


@pytest.mark.parametrize(
    ("peers", "peer", "turn"),
    [
        ((), None, []),
        ((), A, []),
        ((A, B, C), None, [A, B, C]),
        ((A, B, C), A, [B, C, A]),
        ((A, B, C), B, [C, A, B]),
        ((A, B, C), C, [A, B, C]),
        ((A, C), B, [A, C]),
        ((A,), A, [A]),
    ],
)
def test_the_turn_goes_round_and_begins_anew_after_one_that_is_gone(
    peers: tuple[bytes, ...], peer: bytes | None, turn: list[bytes]
) -> None:
    assert after(peers, peer) == turn


@pytest.mark.parametrize(
    ("peers", "peer", "start", "turn"),
    [
        ((), None, 0, None),
        ((), A, 5, None),
        ((A, B, C), None, 0, A),
        ((A, B, C), None, 5, C),
        ((A, B, C), A, 5, B),
        ((A, B, C), C, 5, A),
        ((A, C), B, 1, C),
        ((A,), A, 7, A),
    ],
)
def test_the_next_one_comes_after_the_last_and_the_first_is_at_the_place_that_is_given(
    peers: tuple[bytes, ...], peer: bytes | None, start: int, turn: bytes | None
) -> None:
    assert next_of(peers, peer, start) == turn


def test_everybody_has_a_turn_before_anybody_has_a_second() -> None:
    asked = [A]
    for _ in range(5):
        asked.append(after((A, B, C), asked[-1])[0])
    assert asked == [A, B, C, A, B, C]


def test_a_question_is_due_when_its_time_is_over_and_not_while_it_is_closed() -> None:
    question = Question()
    assert (question.is_due(1 << 60), question.until_us) == (False, None)
    question.ask(100, A, WAIT_US)
    assert [question.is_due(now_us) for now_us in (100, 109, 110, 111)] == [False, False, True, True]
    question.wait(105, WAIT_US)
    assert (question.is_due(114), question.is_due(115), question.peer, question.tries) == (False, True, A, 1)
    question.ask(115, None, 2 * WAIT_US)
    assert (question.peer, question.until_us, question.tries) == (None, 135, 2)
    question.close()
    assert question == Question()


@dataclass
class _Known:
    peer: bytes | None
    until_us: int
    tries: int
    order: int


class AskingModel(RuleBasedStateMachine):
    """`Asking` beside a table without any order, in which everything is looked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asking: Asking[int] = Asking(WAIT_US)
        self.known: dict[int, _Known] = {}
        self.now_us = 0
        self.count = 0

    def sorted_keys(self) -> list[int]:
        return sorted(self.known, key=lambda key: (self.known[key].until_us, self.known[key].order))

    @rule(step_us=st.integers(0, 2 * WAIT_US))
    def time_goes_on(self, step_us: int) -> None:
        self.now_us += step_us

    @rule(key=st.integers(0, 5), peer=st.sampled_from((A, B, C, None)))
    def ask(self, key: int, peer: bytes | None) -> None:
        self.count += 1
        tries = self.known[key].tries if key in self.known else 0
        self.asking.ask(self.now_us, key, peer)
        self.known[key] = _Known(peer, self.now_us + WAIT_US, tries + 1, self.count)

    @rule(key=st.integers(0, 5))
    def close(self, key: int) -> None:
        assert self.asking.close(key) is (self.known.pop(key, None) is not None)

    @precondition(lambda self: self.known)
    @rule()
    def clear(self) -> None:
        self.asking.clear()
        self.known.clear()

    @rule(peer=st.sampled_from((A, B, C, None)), other=st.sampled_from((A, B, None)))
    def a_peer_goes(self, peer: bytes | None, other: bytes | None) -> None:
        """What it had is put to another one, as a part does."""
        keys = self.asking.at(peer)
        assert keys == [key for key in self.sorted_keys() if self.known[key].peer == peer]
        for key in keys:
            self.ask(key, other)

    @rule()
    def ask_what_is_due(self) -> None:
        for key, question in self.asking.due(self.now_us):
            assert question is self.asking.get(key)
            self.ask(key, after((A, B, C), question.peer)[0])
        assert not self.asking.due(self.now_us)

    @invariant()
    def it_agrees(self) -> None:
        keys = self.sorted_keys()
        assert list(self.asking) == keys
        assert len(self.asking) == len(keys)
        due = [key for key, _ in self.asking.due(self.now_us)]
        assert due == [key for key in keys if self.known[key].until_us <= self.now_us]
        assert self.asking.deadline_us == (self.known[keys[0]].until_us if keys else None)
        for key in range(6):
            known, question = self.known.get(key), self.asking.get(key)
            assert (key in self.asking) is (known is not None)
            assert question == (None if known is None else Question(known.peer, known.until_us, known.tries))


TestAsking = AskingModel.TestCase
