"""Questions put to miners for clients: one in flight per key whoever asks, repeated, and given up in the end."""

from __future__ import annotations

from collections.abc import Callable

from supervm.common.parts.asking import Asking

from ..relay.routes import Routes

ASK_US = 3_000_000
"""Time after which a question is put to another miner."""
TRIES_MAX = 3
"""Times that a question is put before it is given up."""
QUESTIONS_MAX = 16_384
"""Most questions of one kind at a time."""
ASKERS_MAX = 64
"""Most peers that wait for one answer."""


class Questions:
    """Questions of one kind, by the id that they are about: of a leaf, or a transaction's.

    Args:
        routes: the miners.
        send: puts questions to a miner; called by `flush`.
    """

    def __init__(self, routes: Routes, send: Callable[[bytes, list[bytes]], None]) -> None:
        self._routes = routes
        self._send = send
        self._asking: Asking[bytes] = Asking(ASK_US)
        self._askers: dict[bytes, dict[bytes, None]] = {}  # key -> for whom
        self._to_send: dict[bytes, dict[bytes, None]] = {}  # miner -> keys, this step

    def __contains__(self, key: object) -> bool:
        return key in self._asking

    @property
    def deadline_us(self) -> int | None:
        """When `tick` has something to do."""
        return self._asking.deadline_us

    def ask(self, now_us: int, peer: bytes, key: bytes, *, first: bytes | None) -> bool:
        """Ask on behalf of `peer`, the miner `first` if given; return False if there are too many questions."""
        if key not in self._asking:
            if len(self._asking) >= QUESTIONS_MAX:
                return False
            self._put(now_us, key, first or self._routes.best(now_us))
        askers = self._askers.setdefault(key, {})
        if len(askers) < ASKERS_MAX:
            askers[peer] = None
        return True

    def answered(self, key: bytes) -> tuple[bytes, ...]:
        """Close a question and return who asked it."""
        self._asking.close(key)
        return tuple(self._askers.pop(key, ()))

    def reassign(self, now_us: int, miner: bytes | None) -> None:
        """Put what was asked of a miner that is gone (None: of nobody, for lack of miners) to another one."""
        for key in self._asking.at(miner):
            self._put(now_us, key, self._routes.best(now_us))

    def tick(self, now_us: int) -> list[tuple[bytes, tuple[bytes, ...]]]:
        """Repeat what is due; return what is given up, with who asked."""
        given_up = []
        for key, question in self._asking.due(now_us):
            if question.tries >= TRIES_MAX:
                given_up.append((key, self.answered(key)))
                continue
            but = () if question.peer is None else (question.peer,)
            self._put(now_us, key, self._routes.best(now_us, but=but) or self._routes.best(now_us))
        return given_up

    def flush(self) -> None:
        """Send this step's questions."""
        for miner, keys in self._to_send.items():
            self._send(miner, list(keys))
        self._to_send.clear()

    def _put(self, now_us: int, key: bytes, miner: bytes | None) -> None:
        self._asking.ask(now_us, key, miner)
        if miner is not None:
            self._to_send.setdefault(miner, {})[key] = None
