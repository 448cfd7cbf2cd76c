"""Asking one peer and then the next: whom a question was put to, how long that peer has, and whose turn it is.

Theory of operation. A `Question` is at one peer at a time. It has a time; when that is over it is *due*, and whoever
holds it puts it to another peer, mostly the one `after` the last. `Asking` holds many such questions by key, all with
the same time, so that the one due first is always the first. What is asked, what an answer must be and what a silent
peer costs is for the part that asks; nothing here knows the time by itself, sends anything or draws lots.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


def after(peers: Sequence[bytes], peer: bytes | None) -> list[bytes]:
    """Return `peers` from the one after `peer` on, round to `peer` itself; as they are if it is not among them."""
    place = peers.index(peer) + 1 if peer is not None and peer in peers else 0
    return [*peers[place:], *peers[:place]]


def next_of(peers: Sequence[bytes], peer: bytes | None, start: int = 0) -> bytes | None:
    """Return the one of `peers` whose turn it is; None if there is nobody.

    Args:
        peers: who may be asked.
        peer: who was asked last: whoever comes after it is next.
        start: place of the one that is next if `peer` is not among them, counted round.
    """
    if not peers:
        return None
    return after(peers, peer)[0] if peer in peers else peers[start % len(peers)]


@dataclass(slots=True)
class Question:
    """A question that is put to one peer at a time, or a peer that is followed.

    Attributes:
        peer: who has it; None: nobody, as nobody was there to be asked.
        until_us: when it is due; None: it is not open.
        tries: how often it was put to somebody, or to nobody, since it was opened.
    """

    peer: bytes | None = None
    until_us: int | None = None
    tries: int = 0

    def ask(self, now_us: int, peer: bytes | None, wait_us: int) -> None:
        """Note that `peer` has it now, for `wait_us`; None: nobody, and after that time it is due all the same."""
        self.peer = peer
        self.until_us = now_us + wait_us
        self.tries += 1

    def wait(self, now_us: int, wait_us: int) -> None:
        """Give whoever has it `wait_us` from now on, as it said something of use."""
        self.until_us = now_us + wait_us

    def is_due(self, now_us: int) -> bool:
        """Return whether it is open and its time is over."""
        return self.until_us is not None and self.until_us <= now_us

    def close(self) -> None:
        """Nothing is asked any more."""
        self.peer = self.until_us = None
        self.tries = 0


class Asking(Generic[K]):
    """The open questions of one kind.

    Args:
        wait_us: how long a peer has for each.
    """

    def __init__(self, wait_us: int) -> None:
        self._wait_us = wait_us
        self._open: dict[K, Question] = {}  # the one due first comes first

    def __contains__(self, key: object) -> bool:
        return key in self._open

    def __iter__(self) -> Iterator[K]:
        """Go through the keys, the one due first before the others."""
        return iter(self._open)

    def __len__(self) -> int:
        return len(self._open)

    @property
    def deadline_us(self) -> int | None:
        """When a question is due; None if none is open."""
        return next(iter(self._open.values())).until_us if self._open else None

    def get(self, key: K) -> Question | None:
        """Return the question of that key if it is open; to be read only."""
        return self._open.get(key)

    def ask(self, now_us: int, key: K, peer: bytes | None) -> None:
        """Note that `peer`, or nobody, has the question now; `now_us` is never less than the last time."""
        question = self._open.pop(key, None) or Question()
        question.ask(now_us, peer, self._wait_us)
        self._open[key] = question

    def due(self, now_us: int) -> list[tuple[K, Question]]:
        """Return the questions whose time is over with their keys, the longest due first; they stay open."""
        due = []
        for key, question in self._open.items():
            if not question.is_due(now_us):
                break
            due.append((key, question))
        return due

    def at(self, peer: bytes | None) -> list[K]:
        """Return the keys of the questions that `peer` has, or nobody; the one due first comes first."""
        return [key for key, question in self._open.items() if question.peer == peer]

    def close(self, key: K) -> bool:
        """Nothing is asked for that key any more; return whether it was open."""
        return self._open.pop(key, None) is not None

    def clear(self) -> None:
        """Close every question."""
        self._open.clear()
