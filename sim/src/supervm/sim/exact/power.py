"""Hosts that go on and off: starts, crashes, orderly stops, and traps that crash a host where it hurts most.

Theory of operation. Several faults may keep one host off, and each of them ends by itself. So whoever switches a host
off for a time gives a cause and ends it later; the host comes back when its last cause has ended and its disk has
room, whatever the order. Nothing else brings a host back: scenario faults, churn, damage, traps and the fuzzer all do
it here. What a host does to itself (`Halt`, a disk that is full) is no cause: it stays off until it is started, or
until a cause that struck it meanwhile has ended, as a machine that is switched on again starts its programs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from supervm.common.contract.core import Input, Started
from supervm.common.contract.records import Record
from supervm.common.parts.shell import wire_of

from ..boundaries import BOUNDARIES
from ..errors import SimulationError
from .choices import Choices, Stream
from .cuts import Cause
from .disk import KEPT, LOST, TORN
from .events import HostStarted, HostStopped, Persisted, Watchers
from .host import CALL, Host, Trap
from .links import Links
from .queue import BucketQueue


class Power:
    """Switches the hosts of a world on and off.

    Args:
        queue: the world's events.
        choices: decide what a crash makes of a write under way.
        links: lose the ends of a host that is off.
        watchers: told every start, every stop, and what is durable by it.
        take: gives a core its input.
    """

    def __init__(
        self,
        queue: BucketQueue[Any],
        choices: Choices,
        links: Links,
        watchers: Watchers,
        take: Callable[[Host, Input], None],
    ) -> None:
        self._queue = queue
        self._choices = choices
        self._links = links
        self._watchers = watchers
        self._take = take

    def hold(self, host: Host, cause: Cause, *, orderly: bool = False, silent_us: int | None = None) -> None:
        """Switch a host off, if it is on, and keep it off until `let_go`.

        Args:
            host: the host.
            cause: why; one that holds it already goes on holding it.
            orderly: as `stop`; else as `crash`.
            silent_us: see `crash`.
        """
        host.down_for[cause] = None
        if orderly:
            self.stop(host)
        else:
            self.crash(host, "connection reset", silent_us=silent_us)

    def let_go(self, host: Host, cause: Cause) -> None:
        """End a cause; switch the host on if it was the last. A cause that does not hold it changes nothing."""
        if cause in host.down_for:
            del host.down_for[cause]
            self._revive(host)

    def free_disk(self, host: Host, cause: Cause) -> None:
        """End a cause for which a host's disk is full; switch the host on if nothing else keeps it off."""
        if cause in host.disk.full_for:
            host.disk.free(cause)
            self._revive(host)

    def _revive(self, host: Host) -> None:
        if host.core is None and not host.down_for and not host.disk.full:
            self.on(host)

    def on(self, host: Host) -> None:
        """Switch a host on, whatever held it off: all causes are over.

        Raises:
            SimulationError: it runs.
        """
        if host.core is not None:
            raise SimulationError(f"{host.name} runs already")
        host.down_for.clear()
        host.life += 1
        host.halted = None
        host.asked = host.durable = 0
        if host.clock is not None:
            host.clock.new_life()
        host.core = host.build(host.disk)
        host.wire = wire_of(host.core)
        self._watchers.tell(HostStarted(self._queue.now_us, host))
        self._take(host, Started())

    def crash(self, host: Host, reason: str, *, silent_us: int | None = None) -> None:
        """Switch a host off at once; what is not durable is lost. A host that is off stays off.

        Args:
            host: the host.
            reason: for its peers and for observers.
            silent_us: how long its peers take to notice, if nobody tells them; None: its kernel does.
        """
        if host.core is not None:
            self._off(host, reason, crashed=True, silent_us=silent_us)

    def stop(self, host: Host) -> None:
        """Switch a host off in good order: what was asked to be written is written, its peers are told."""
        if host.core is None:
            return
        disk = host.disk
        if disk.under_way:
            self.tell_durable(host, disk.end())
        if disk.waiting:
            disk.begin(None)
            self.tell_durable(host, disk.end())
        self._off(host, "the peer closed the connection", crashed=False)

    def tell_durable(self, host: Host, done: Sequence[tuple[int, Sequence[Record]]]) -> None:
        """Tell observers of writes that are durable from now on: (token, records)."""
        if self._watchers.persisted:
            for token, records in done:
                self._watchers.tell(Persisted(self._queue.now_us, host, token, records))

    def _off(self, host: Host, reason: str, *, crashed: bool, silent_us: int | None = None) -> None:
        host.core = None
        host.life += 1
        host.tick_at_us = None
        host.numbers.clear()
        host.gate.clear()
        host.lanes.clear()
        host.backlog.clear()
        host.busy_us = 0
        outcome = LOST
        if crashed and host.disk.under_way:
            outcome = self._choices.fault("crash-write", host.name, self._queue.now_us, _draw_crash)
        self.tell_durable(host, host.disk.lose_power(outcome))
        self._links.host_off(host, reason, silent_us=silent_us)
        self._watchers.tell(HostStopped(self._queue.now_us, host, reason, crashed))

    # --- traps --------------------------------------------------------------------------------------------------------

    def set_trap(self, host: Host, boundary: str, nth: int, restart_after_us: int | None) -> None:
        """Crash a host the nth time from now that it reaches a boundary; see `ExactWorld.crash_at`."""
        if boundary not in BOUNDARIES:
            raise SimulationError(f"there is no boundary {boundary!r}; allowed are {', '.join(BOUNDARIES)}")
        host.traps.setdefault(boundary, []).append(Trap(nth, restart_after_us))

    def trapped(self, host: Host, boundary: str) -> bool:
        """Note that a host is at a boundary; return whether that crashed it."""
        waiting = host.traps.get(boundary)
        if waiting is None:
            return False
        for trap in waiting:
            trap.left -= 1
        sprung = [trap for trap in waiting if trap.left <= 0]
        if not sprung:
            return False
        host.traps[boundary] = [trap for trap in waiting if trap.left > 0]
        if not host.traps[boundary]:
            del host.traps[boundary]
        for trap in sprung:
            host.down_for[trap] = None
            if trap.restart_after_us is not None:
                at_us = self._queue.now_us + trap.restart_after_us
                self._queue.push(at_us, (CALL, partial(self.let_go, host, trap)))
        self._off(host, f"crash {boundary}", crashed=True)
        return True


def _draw_crash(stream: Stream) -> int:
    """What a crash makes of the group under way: half of the time it is lost."""
    return stream.pick((LOST, LOST, TORN, KEPT))
