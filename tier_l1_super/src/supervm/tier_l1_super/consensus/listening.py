"""The seconds at a start in which a validator only listens whether its key votes elsewhere (consensus.md 2.2)."""

from __future__ import annotations

from collections.abc import Callable

from supervm.common.parts.part import Part
from supervm.protocol.wire.consensus import CertificateMessage
from supervm.protocol.wire.fields import Message

from ..options import LISTENING_OPTIONS
from .guard import DoubleRunGuard


class Listening(Part):
    """Keeps the other parts waiting until the node may take part.

    Args:
        guard: watches certificates; None: the node takes part at once.
        listen_us: how long to listen.
        begin: lets the other parts begin.
    """

    options = LISTENING_OPTIONS

    def __init__(self, guard: DoubleRunGuard | None, listen_us: int, begin: Callable[[int], None]) -> None:
        self._guard, self._listen_us, self._begin = guard, listen_us, begin
        self._vote_from_us: int | None = None
        self.is_on = guard is not None
        """Whether the node only listens as yet."""

    @property
    def deadline_us(self) -> int | None:
        """When it is over."""
        return self._vote_from_us

    def started(self, now_us: int) -> None:
        """Begin to listen, or to take part."""
        if self._guard is None:
            self._begin(now_us)
        else:
            self._vote_from_us = now_us + self._listen_us

    def tick(self, now_us: int) -> None:
        """Let the others begin when the time is over."""
        if self._vote_from_us is not None and self._vote_from_us <= now_us:
            self._guard = self._vote_from_us = None
            self.is_on = False
            self._begin(now_us)

    def hear(self, message: Message) -> None:
        """Look at what comes meanwhile; whatever else there is to say will be said again.

        Raises:
            DoubleRun: another process votes with this key.
        """
        if self._guard is not None and isinstance(message, CertificateMessage):
            self._guard.look(message.certificates)
