"""The shipped objects as a table: (local state, event) -> local state.

Theory of operation. Parts of a distributed system meet only through messages, so each of them is a deterministic
automaton of its own, and a global state is no more than one local state of each, if a local state remembers what it has
ever sent. There are far fewer local states than global ones. The real objects therefore run once for each pair of local
state and event, on a copy; the global search works on small integers and looks results up. Nothing is abstracted by
that: a local state is the frozen object graph, as `mirror` sees it.

What was ever sent may arrive late, twice, in any order or never. Loss needs no step of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

from .mirror import Mirror


class Part(Protocol):
    """One participant: the shipped objects with the little that hosts them."""

    def take(self, event: Hashable) -> None:
        """Take one event."""


Member = TypeVar("Member", bound=Part)


class Automaton(Generic[Member]):
    """Every local state met so far, and the results of every event tried.

    Args:
        mirror: how to copy and compare a part.
    """

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._number: dict[Hashable, int] = {}
        self._parts: list[Member] = []
        self._table: list[dict[Hashable, int]] = []

    def __len__(self) -> int:
        return len(self._parts)

    @property
    def transitions(self) -> int:
        """How many events were tried on the real objects."""
        return sum(len(row) for row in self._table)

    def add(self, part: Member) -> int:
        """Return the number of the state that `part` is in; it must not be changed afterwards."""
        frozen = self._mirror.freeze(part)
        number = self._number.get(frozen)
        if number is None:
            number = self._number[frozen] = len(self._parts)
            self._parts.append(part)
            self._table.append({})
        return number

    def part(self, number: int) -> Member:
        """Return a part in that state, to look at only."""
        return self._parts[number]

    def after(self, number: int, event: Hashable) -> int:
        """Return the state after `event`."""
        row = self._table[number]
        known = row.get(event)
        if known is None:
            part = self._mirror.copy(self._parts[number])
            part.take(event)
            known = row[event] = self.add(part)
        return known


Path = tuple[Hashable, ...]


class Moves(Generic[Member]):
    """Silent events contracted: where some events that nobody sees and one that shows lead.

    What was sent stays deliverable, so an event that shows nothing to the others may as well happen just before the
    next one that does; and a state from which silent events lead to another can do all that the other can, so the other
    need not be looked at. Neither loses anything that the parts can show together.

    Args:
        automaton: the parts.
        shown: what the others, or the property, can see of a local state.
        local_events: the events that a part in a local state has of itself.
    """

    def __init__(
        self,
        automaton: Automaton[Member],
        shown: Callable[[int], Hashable],
        local_events: Callable[[int], tuple[Hashable, ...]],
    ) -> None:
        self._automaton, self._shown, self._local_events = automaton, shown, local_events
        self._number: dict[Path, int] = {}
        self._offers: list[Path] = []
        self._moves: dict[tuple[int, int], tuple[tuple[int, Path], ...]] = {}
        self._closures: dict[tuple[int, int], tuple[dict[int, Path], dict[int, Path]]] = {}

    def offer(self, events: tuple[Hashable, ...]) -> int:
        """Return the number of a list of events that the others' messages allow."""
        number = self._number.setdefault(events, len(self._offers))
        if number == len(self._offers):
            self._offers.append(events)
        return number

    def of(self, local: int, offer: int) -> tuple[tuple[int, Path], ...]:
        """Return the local states that one move leads to, and the events of a shortest way to each."""
        known = self._moves.get((local, offer))
        if known is not None:
            return known
        _, found = self._closure(local, offer)
        rank = {target: place for place, target in enumerate(found)}
        silent = {target: self._closure(target, offer)[0] for target in found} if len(found) > 1 else {}
        moves = tuple(
            (target, path)
            for target, path in found.items()
            if not any(
                target in reached and other != target and (other not in silent[target] or rank[other] < rank[target])
                for other, reached in silent.items()
            )
        )
        self._moves[local, offer] = moves
        return moves

    def _closure(self, local: int, offer: int) -> tuple[dict[int, Path], dict[int, Path]]:
        """Return the states that silent events lead to, and those that one showing event leads to from there."""
        known = self._closures.get((local, offer))
        if known is not None:
            return known
        offered, after, shown = self._offers[offer], self._automaton.after, self._shown
        face = shown(local)
        found: dict[int, Path] = {}
        seen: dict[int, Path] = {local: ()}
        waiting = [local]
        for one in waiting:
            for event in (*offered, *self._local_events(one)):
                following = after(one, event)
                if following in seen or following in found:
                    continue
                if shown(following) == face:
                    seen[following] = (*seen[one], event)
                    waiting.append(following)
                else:
                    found[following] = (*seen[one], event)
        self._closures[local, offer] = seen, found
        return seen, found
