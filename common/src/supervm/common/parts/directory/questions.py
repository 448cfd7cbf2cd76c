"""Questions that a directory cannot answer by itself: who waits for what, and whom it is asked of (network.md 2).

Theory of operation. What is asked for has a *key*: a node id, or what is wanted and how many. For each key one question
is under way at most, whoever waits for the answer (`Asking`). An answer that a node is not known is remembered for a
moment, and so is which nodes were found; after that the table, which keeps records until they end, is all the memory
there is. Everything here is bounded: what is beyond it is answered with what is known.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from supervm.protocol.wire.reach import FOUND_MAX, Find, Wanted

from ..asking import Asking
from .distances import Distances

ASK_US: Final = 1_000_000
"""Time after which a question is put to another node above."""
TRIES_MAX: Final = 2
"""Times that a question is put before what is known has to do."""
WAITING_MAX: Final = 1_024
"""Most keys that are asked for at a time."""
ASKERS_MAX: Final = 64
"""Most who wait for one key."""
UNKNOWN_US: Final = 5_000_000
"""How long it is believed that a node is not known above."""
FOUND_US: Final = 10_000_000
"""How long nothing more is asked for what was just found."""
QUESTIONS_FROM: Final = 1 << 31
"""Numbers of these questions begin here; those below are of questions for neighbours."""
REMEMBERED_MAX: Final = 4_096
"""Most such answers that are remembered, and most questions that may still be answered after they were given up."""


class Sought(msgspec.Struct, frozen=True):
    """What is asked for: one node, or nodes as they are wanted.

    Attributes:
        node_id: of the node; empty: any that is as `wanted`.
        wanted: what it has to say.
        limit: most nodes.
    """

    node_id: bytes
    wanted: Wanted = Wanted()
    limit: int = 1


@dataclass(slots=True)
class Waiting:
    """Somebody who waits for an answer.

    Attributes:
        answer: called once, when it is there.
        keys: what is not known yet.
    """

    answer: Callable[[int], None]
    keys: dict[Sought, None] = field(default_factory=dict)
    is_told: bool = False

    def tell(self, now_us: int) -> None:
        """Answer if nothing is waited for any more."""
        if not self.keys and not self.is_told:
            self.is_told = True
            self.answer(now_us)


@dataclass(frozen=True, slots=True)
class _Open:
    peer: bytes
    keys: tuple[Sought, ...]
    at_us: int


class Questions:
    """What is asked above.

    Args:
        send: puts a question to somebody but the one that is named; returns whom, None if nobody is there to be asked.
        distances: is told how long answers took.
    """

    def __init__(self, send: Callable[[Find, bytes | None], bytes | None], distances: Distances) -> None:
        self._send = send
        self._asking: Asking[Sought] = Asking(ASK_US)
        self._waiting: dict[Sought, list[Waiting]] = {}
        self._known_until: OrderedDict[Sought, int] = OrderedDict()
        self._open: OrderedDict[int, _Open] = OrderedDict()  # by number
        self._number = 0
        self._distances = distances
        self.asked = 0
        """Keys that were asked for above."""

    @property
    def deadline_us(self) -> int | None:
        """When `tick` has something to do."""
        return self._asking.deadline_us

    def wants(self, now_us: int, sought: Sought) -> bool:
        """Return whether asking for this may bring something that was not said a moment ago."""
        until_us = self._known_until.get(sought)
        return until_us is None or until_us <= now_us

    def ask(self, now_us: int, keys: Iterable[Sought], answer: Callable[[int], None]) -> None:
        """Ask for what is not asked for yet; `answer` is called with the time when all of it is answered or given up.

        It is called at once if there is nobody to ask, or too much is asked for already.
        """
        waiting = Waiting(answer)
        fresh: list[Sought] = []
        for key in keys:
            others = self._waiting.get(key)
            if others is None:
                if len(self._waiting) >= WAITING_MAX:
                    continue
                others = self._waiting[key] = []
                fresh.append(key)
            if len(others) < ASKERS_MAX:
                others.append(waiting)
                waiting.keys[key] = None
        self._put(now_us, fresh, None)
        waiting.tell(now_us)

    def answered(self, now_us: int, peer: bytes, number: int) -> tuple[Sought, ...] | None:
        """Close the question that a peer answers; return what it was for, None if there is none.

        Whoever waits is told by `settle`, once what was found is in the table.
        """
        asked = self._open.get(number)
        if asked is None or asked.peer != peer:
            return None
        del self._open[number]
        self._distances.note(peer, now_us - asked.at_us)
        return asked.keys

    def settle(self, now_us: int, keys: Iterable[Sought], *, unknown: Iterable[Sought]) -> None:
        """What is known of these by now is all that there is; remember that for a while, and tell who waits."""
        absent = dict.fromkeys(unknown)
        for key in keys:
            self._known_until.pop(key, None)
            self._known_until[key] = now_us + (UNKNOWN_US if key in absent else FOUND_US)
            if len(self._known_until) > REMEMBERED_MAX:
                self._known_until.popitem(last=False)
        self._close(now_us, keys)

    def ask_another(self, now_us: int, keys: list[Sought], but: bytes) -> None:
        """Put what somebody did not know to another one."""
        self._put(now_us, keys, but)

    def tick(self, now_us: int) -> None:
        """Put questions again that are not answered, or give them up."""
        again: dict[bytes | None, list[Sought]] = {}
        for key, question in self._asking.due(now_us):
            if question.peer is not None:
                self._distances.note(question.peer, ASK_US)
            if question.tries >= TRIES_MAX:
                self._close(now_us, (key,))
            else:
                again.setdefault(question.peer, []).append(key)
        for peer, keys in again.items():
            self._put(now_us, keys, peer)

    def peer_down(self, now_us: int, peer: bytes) -> None:
        """Put what a peer was asked to another one."""
        for number in [number for number, asked in self._open.items() if asked.peer == peer]:
            del self._open[number]
        self._distances.forget(peer)
        self._put(now_us, self._asking.at(peer), peer)

    def _put(self, now_us: int, keys: list[Sought], but: bytes | None) -> None:
        """Ask for keys, nodes by their ids together."""
        named = [key for key in keys if key.node_id]
        finds = [named[start : start + FOUND_MAX] for start in range(0, len(named), FOUND_MAX)]
        finds += [[key] for key in keys if not key.node_id]
        for part in finds:
            self._number = (self._number + 1) % QUESTIONS_FROM
            ids = tuple(key.node_id for key in part if key.node_id)
            find = Find(QUESTIONS_FROM + self._number, ids, part[0].wanted, len(ids) or part[0].limit)
            peer = self._send(find, but)
            if peer is None:
                self._close(now_us, part)
                continue
            self._open[find.number] = _Open(peer, tuple(part), now_us)
            if len(self._open) > REMEMBERED_MAX:
                self._open.popitem(last=False)
            self.asked += len(part)
            for key in part:
                self._asking.ask(now_us, key, peer)

    def _close(self, now_us: int, keys: Iterable[Sought]) -> None:
        for key in keys:
            self._asking.close(key)
            for waiting in self._waiting.pop(key, ()):
                waiting.keys.pop(key, None)
                waiting.tell(now_us)
