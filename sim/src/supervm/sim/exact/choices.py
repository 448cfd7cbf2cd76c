"""Every random decision of the engine, by name, and a record of those that did harm.

Theory of operation. One root seed gives any number of streams by name, so that a draw added in one place reshuffles
nothing in another (simulation.md 2). Decisions that do harm - a crash, a lost message, a full disk - are *choices*:
the n-th decision of one kind about one subject. What was decided is recorded, unless it was the harmless default, 0.
A run can be played from such a record with choices deleted or made smaller; a decision that is not in the record has
its harmless default. Because a choice is named by kind, subject and number, deleting one never gives its place to
another. That is what lets a fuzzer shrink a failing run to the faults that matter (simulation.md 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableSequence, Sequence
from hashlib import blake2b
from typing import Final, TypeVar

import msgspec

from ..errors import SimulationError

PPM: Final = 1_000_000
_MASK: Final = (1 << 64) - 1
_STEP: Final = 0x9E3779B97F4A7C15

T = TypeVar("T")


class Stream:
    """A deterministic stream of integers (SplitMix64: one word of state, the same on every Python).

    Args:
        state: 64 bits.
    """

    __slots__ = ("_state",)

    def __init__(self, state: int) -> None:
        self._state = state & _MASK

    def word(self) -> int:
        """Return the next 64 bits."""
        self._state = state = (self._state + _STEP) & _MASK
        mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return mixed ^ (mixed >> 31)

    def bits(self, count: int) -> int:
        """Return an integer of `count` random bits, 0..64."""
        return self.word() >> (64 - count)

    def below(self, bound: int) -> int:
        """Return an integer of 0 .. bound - 1; `bound` is positive and far below 2**64."""
        return (self.word() * bound) >> 64

    def between(self, low: int, high: int) -> int:
        """Return an integer of low .. high, both included."""
        return low + ((self.word() * (high - low + 1)) >> 64)

    def chance_ppm(self, ppm: int) -> bool:
        """Return True `ppm` times in a million."""
        return (self.word() * PPM) >> 64 < ppm

    def pick(self, items: Sequence[T]) -> T:
        """Return one of `items`, which are not empty."""
        return items[(self.word() * len(items)) >> 64]

    def shuffle(self, items: MutableSequence[T]) -> None:
        """Put the items into a random order, in place."""
        for last in range(len(items) - 1, 0, -1):
            other = (self.word() * (last + 1)) >> 64
            items[last], items[other] = items[other], items[last]


class Choice(msgspec.Struct, frozen=True):
    """A decision that did harm.

    Attributes:
        kind: what was decided, e.g. ``"crash-write"``.
        subject: about whom or what, e.g. a host's name.
        ordinal: the how-manieth decision of this kind about this subject, from 0.
        at_us: when; for people.
        value: what was decided, never 0.
    """

    kind: str
    subject: str
    ordinal: int
    at_us: int
    value: int


class _Line:
    """Decisions of one kind about one subject: how many were made, and where they are drawn from."""

    __slots__ = ("asked", "stream")

    def __init__(self, stream: Stream) -> None:
        self.asked = 0
        self.stream = stream


class Choices:
    """The streams and the record of one run.

    Args:
        seed: root of all streams.
        replay: None to draw; else the choices to play, in any order - all others get their harmless default.

    Attributes:
        recorded: choices that were made so far, in order.
    """

    def __init__(self, seed: int | str, *, replay: Iterable[Choice] | None = None) -> None:
        self.seed = seed
        self.recorded: list[Choice] = []
        self._root = str(seed)
        self._streams: dict[str, Stream] = {}
        self._lines: dict[tuple[str, str], _Line] = {}
        self._plan: dict[tuple[str, str, int], int] | None = None
        if replay is not None:
            self._plan = {}
            for choice in replay:
                name = (choice.kind, choice.subject, choice.ordinal)
                if name in self._plan:
                    raise SimulationError(
                        f"the record has two choices for {choice.kind} {choice.subject} number {choice.ordinal}"
                    )
                self._plan[name] = choice.value

    @property
    def replaying(self) -> bool:
        """Whether decisions are read from a record instead of drawn."""
        return self._plan is not None

    def stream(self, name: str) -> Stream:
        """Return the stream of that name, the same object each time."""
        stream = self._streams.get(name)
        if stream is None:
            digest = blake2b(f"{self._root}\0{name}".encode(), digest_size=8, person=b"svm.sim.stream").digest()
            stream = self._streams[name] = Stream(int.from_bytes(digest, "big"))
        return stream

    def fault(self, kind: str, subject: str, at_us: int, draw: Callable[[Stream], int]) -> int:
        """Decide about a fault: 0 is the harmless default.

        Args:
            kind: what is decided.
            subject: about whom or what.
            at_us: present time.
            draw: makes the decision from the stream of this kind and subject; not called in a replay.
        """
        line = self._lines.get((kind, subject))
        if line is None:
            line = self._lines[kind, subject] = _Line(self.stream(f"fault/{kind}/{subject}"))
        ordinal = line.asked
        line.asked = ordinal + 1
        value = draw(line.stream) if self._plan is None else self._plan.get((kind, subject, ordinal), 0)
        if value:
            self.recorded.append(Choice(kind, subject, ordinal, at_us, value))
        return value

    def chance(self, kind: str, subject: str, at_us: int, ppm: int) -> bool:
        """Decide whether something bad happens that does so `ppm` times in a million."""
        return self.fault(kind, subject, at_us, lambda stream: int(stream.chance_ppm(ppm))) != 0
