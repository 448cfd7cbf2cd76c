"""Breadth-first search of every reachable state of a small model.

Theory of operation. A model gives initial states, the steps that lead on from a state, and says what is wrong with a
state, if anything. States are compared by equality, so a model must build them canonically: two states that behave
alike should be equal, and two that do not must differ. The search goes level by level; the first violation found is
therefore one with the fewest steps, and its trace is the way there. A search that ends without reaching its bound has
seen everything; `Outcome.complete` says so, and a claim of safety needs it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

State = TypeVar("State", bound=Hashable)
Step = TypeVar("Step", bound=Hashable)


class Model(Protocol[State, Step]):
    """What the search needs to know."""

    def initial(self) -> Iterable[State]:
        """Return the states to start from."""

    def steps(self, state: State) -> Iterable[tuple[Step, State]]:
        """Return what may happen in `state`: the step and the state after it, in an order that never changes."""

    def violation(self, state: State) -> str | None:
        """Return what is wrong with `state`, or None."""

    def describe(self, step: Step) -> str:
        """Return one readable line about a step, for the trace."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[State]):
    """What a search has found.

    Attributes:
        states: distinct states seen, the initial ones included.
        steps: steps looked at, those to known states included.
        depth: steps on the longest shortest way to a state.
        complete: whether everything reachable was seen; False after a violation or at a bound.
        violation: what is wrong with the last state of the trace, or None.
        trace: readable steps from an initial state to the violation.
        end: the state that violates, or None.
    """

    states: int
    steps: int
    depth: int
    complete: bool
    violation: str | None
    trace: tuple[str, ...]
    end: State | None

    def __str__(self) -> str:
        head = f"{self.states} states, {self.steps} steps, depth {self.depth}, "
        if self.violation is None:
            return head + ("complete, no violation" if self.complete else "bound reached, no violation so far")
        lines = [f"  {number}. {line}" for number, line in enumerate(self.trace, 1)]
        return "\n".join([head + f"violation: {self.violation}", *lines])


def explore(model: Model[State, Step], *, states_max: int = 1_000_000, depth_max: int | None = None) -> Outcome[State]:
    """Search `model` from its initial states.

    Args:
        model: what to search.
        states_max: stop after so many distinct states.
        depth_max: look no further than so many steps, None for no such bound.
    """
    came_from: dict[State, tuple[State, Step] | None] = {}
    level: list[State] = []
    steps = 0
    for state in model.initial():
        if state not in came_from:
            came_from[state] = None
            level.append(state)
    for state in level:
        wrong = model.violation(state)
        if wrong is not None:
            return Outcome(len(came_from), steps, 0, False, wrong, (), state)
    depth = 0
    while level:
        if depth == depth_max or len(came_from) >= states_max:
            return Outcome(len(came_from), steps, depth, False, None, (), None)
        following: list[State] = []
        for state in level:
            for step, after in model.steps(state):
                steps += 1
                if after in came_from:
                    continue
                came_from[after] = (state, step)
                wrong = model.violation(after)
                if wrong is not None:
                    trace = _trace(model, came_from, after)
                    return Outcome(len(came_from), steps, depth + 1, False, wrong, trace, after)
                following.append(after)
            if len(came_from) >= states_max:
                return Outcome(len(came_from), steps, depth + 1, False, None, (), None)
        level = following
        depth += bool(following)
    return Outcome(len(came_from), steps, depth, True, None, (), None)


def _trace(
    model: Model[State, Step], came_from: dict[State, tuple[State, Step] | None], state: State
) -> tuple[str, ...]:
    newest_first: list[str] = []
    origin = came_from[state]
    while origin is not None:
        state, step = origin
        newest_first.append(model.describe(step))
        origin = came_from[state]
    return tuple(reversed(newest_first))
