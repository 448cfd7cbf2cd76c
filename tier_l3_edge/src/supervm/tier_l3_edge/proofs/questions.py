"""Questions put to miners for clients: one in flight per key whoever asks, repeated, and given up in the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..relay.routes import Routes

ASK_US = 3_000_000
"""Time after which a question is put to another miner."""
TRIES_MAX = 3
"""Times that a question is put before it is given up."""
QUESTIONS_MAX = 16_384
"""Most questions of one kind at a time."""
ASKERS_MAX = 64
"""Most peers that wait for one answer."""


@dataclass(slots=True)
class _Question:
    """Of which miner it is asked now, until when, how often it was put, and for whom."""

    miner: bytes | None = None
    retry_us: int = 0
    tries: int = 0
    askers: dict[bytes, None] = field(default_factory=dict)


class Questions:
    """Questions of one kind, by the 32 bytes they are about.

    Args:
        routes: the miners.
        send: puts questions to a miner; called by `flush`.
    """

    def __init__(self, routes: Routes, send: Callable[[bytes, list[bytes]], None]) -> None:
        self._routes = routes
        self._send = send
        self._open: dict[bytes, _Question] = {}  # the one due first comes first
        self._to_send: dict[bytes, dict[bytes, None]] = {}  # miner -> keys, this step

    def __contains__(self, key: object) -> bool:
        return key in self._open

    @property
    def deadline_us(self) -> int | None:
        """When `tick` has something to do."""
        return next(iter(self._open.values())).retry_us if self._open else None

    def ask(self, now_us: int, peer: bytes, key: bytes, *, first: bytes | None) -> bool:
        """Ask on behalf of `peer`, the miner `first` if given; return False if there are too many questions."""
        question = self._open.get(key)
        if question is None:
            if len(self._open) >= QUESTIONS_MAX:
                return False
            question = _Question()
            self._put(now_us, key, question, first or self._routes.best(now_us))
        if len(question.askers) < ASKERS_MAX:
            question.askers[peer] = None
        return True

    def answered(self, key: bytes) -> tuple[bytes, ...]:
        """Close a question and return who asked it."""
        question = self._open.pop(key, None)
        return () if question is None else tuple(question.askers)

    def reassign(self, now_us: int, miner: bytes | None) -> None:
        """Put what was asked of a miner that is gone (None: of nobody, for lack of miners) to another one."""
        for key in [key for key, question in self._open.items() if question.miner == miner]:
            self._put(now_us, key, self._open.pop(key), self._routes.best(now_us))

    def tick(self, now_us: int) -> list[tuple[bytes, tuple[bytes, ...]]]:
        """Repeat what is due; return what is given up, with who asked."""
        due = []
        for key, question in self._open.items():
            if question.retry_us > now_us:
                break
            due.append(key)
        given_up = []
        for key in due:
            question = self._open.pop(key)
            if question.tries >= TRIES_MAX:
                given_up.append((key, tuple(question.askers)))
                continue
            but = () if question.miner is None else (question.miner,)
            self._put(now_us, key, question, self._routes.best(now_us, but=but) or self._routes.best(now_us))
        return given_up

    def flush(self) -> None:
        """Send this step's questions."""
        for miner, keys in self._to_send.items():
            self._send(miner, list(keys))
        self._to_send.clear()

    def _put(self, now_us: int, key: bytes, question: _Question, miner: bytes | None) -> None:
        question.miner = miner
        question.tries += 1
        question.retry_us = now_us + ASK_US
        self._open[key] = question
        if miner is not None:
            self._to_send.setdefault(miner, {})[key] = None
