"""What is written, and the answers that wait for it.

Theory of operation. All changed rows of a step go to disk in one write. What rests on a row - a payment that leaves, an
answer that tells its owner of one - waits for the newest write that is not durable yet, also where this step wrote
nothing: an earlier step's write may still be under way. Checkpoints that the light client remembers are no promise;
they join a write of payments, or make one of their own after `SAVE_US`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from supervm.common.contract.core import Outbox
from supervm.common.contract.records import Record
from supervm.common.parts.light_memory import LightMemory
from supervm.common.parts.part import Part

from .queue import PaymentQueue

SAVE_US = 600_000_000
"""Checkpoints that are remembered are written with the next payment's row, or after this time."""


class Books(Part):
    """The node's writes: rows of payments, checkpoints, and who waits for them.

    Args:
        outbox: where they go.
        queue: whose rows are written.
        memory: whose checkpoints are written.
    """

    def __init__(self, outbox: Outbox, queue: PaymentQueue, memory: LightMemory) -> None:
        self._outbox = outbox
        self._queue = queue
        self._memory = memory
        self._unwritten = 0  # token of the newest write that is not durable yet
        self._saved_us = 0
        self._answers: list[tuple[int, Any]] = []
        self.sources: tuple[Callable[[], list[Record]], ...] = ()
        """Other parts' changed rows, which join the write of each step."""

    def started(self, now_us: int) -> None:
        """Begin to count."""
        self._saved_us = now_us

    def durable(self, now_us: int, token: int) -> None:
        """Nothing waits any more for this write."""
        if token == self._unwritten:
            self._unwritten = 0

    def write(self, now_us: int) -> int:
        """Write what has changed; return the write that must be durable before what rests on it leaves, or 0."""
        records = self._queue.take_records()
        for take in self.sources:
            records += take()
        if records or now_us >= self._saved_us + SAVE_US:
            self._saved_us = now_us
            records += self._memory.take_records()
        if records:
            self._unwritten = self._outbox.persist(*records)
            self._queue.wrote(self._unwritten)
        return self._unwritten

    def answer(self, token: int, value: Any) -> None:
        """Answer a command once all that was changed until the end of this step is durable."""
        self._answers.append((token, value))

    def settle(self, now_us: int) -> None:
        """Write what is still unwritten, and let the answers wait for it."""
        after = self.write(now_us)
        answers, self._answers = self._answers, []
        for token, value in answers:
            self._outbox.reply(token, value, after=after)
