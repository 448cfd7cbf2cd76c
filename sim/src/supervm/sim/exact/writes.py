"""Writes, and what waits for them: the rules of the committer (P0).

Writes asked for while one is under way share the next. What a core sends leaves when the write it waits for is
durable, and to one peer nothing overtakes anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from supervm.common.contract.core import Durable, Input, Persist, Reply, Send

from .choices import Choices
from .host import WRITTEN, Host
from .power import Power
from .queue import BucketQueue


class Writes:
    """The writes of all hosts of a world.

    Args:
        queue: the world's events.
        choices: decide how long a write takes.
        power: crashes hosts at the boundaries of a write, and stops one whose disk is full.
        take: gives a core its input.
        emit: lets a message or a reply go.
    """

    def __init__(
        self,
        queue: BucketQueue[Any],
        choices: Choices,
        power: Power,
        take: Callable[[Host, Input], None],
        emit: Callable[[Host, Send | Reply], None],
    ) -> None:
        self._queue = queue
        self._choices = choices
        self._power = power
        self._take = take
        self._emit = emit

    def ask(self, host: Host, effect: Persist) -> None:
        """Write what a core asks for, now or with the next group."""
        if host.traps and self._power.trapped(host, "before-persist"):
            return
        host.asked += 1
        host.numbers[effect.token] = host.asked
        host.disk.waiting.append((effect.token, effect.records))
        if not host.disk.under_way:
            self._begin(host)
        if host.core is not None and host.traps:
            self._power.trapped(host, "after-persist")

    def _begin(self, host: Host) -> None:
        disk = host.disk
        if disk.full:
            host.halted = "storage-failed: no space is left on the disk"
            self._power.crash(host, host.halted)
            return
        taken_us = disk.begin(self._choices.stream(f"disk/{host.name}") if disk.profile.jitter_us else None)
        self._queue.push(self._queue.now_us + taken_us, (WRITTEN, host, host.life))

    def written(self, host: Host) -> None:
        """The group under way is durable: begin the next, let go what waited, and tell the core."""
        life = host.life
        done = host.disk.end()
        self._power.tell_durable(host, done)
        if host.traps and self._power.trapped(host, "after-durable"):
            return
        if host.disk.waiting:
            self._begin(host)
            if host.life != life:
                return
        for token, _ in done:
            host.durable = host.numbers.pop(token)
        if host.gate:
            self._release(host)
        for token, _ in done:
            if host.life != life:
                return
            self._take(host, Durable(token))
        if host.life == life and host.traps:
            self._power.trapped(host, "after-told")

    def _release(self, host: Host) -> None:
        """Let go what waited for writes that are durable; to one peer nothing overtakes anything."""
        life = host.life
        ready: list[Send | Reply] = []
        kept: list[tuple[int, Send | Reply]] = []
        behind: dict[bytes, None] = {}
        for number, effect in host.gate:
            peer = effect.peer if type(effect) is Send else b""
            if number <= host.durable and peer not in behind:
                ready.append(effect)
            else:
                kept.append((number, effect))
                if peer:
                    behind[peer] = None
        host.gate = kept
        for effect in ready:
            self._emit(host, effect)
            if host.life != life:
                return
