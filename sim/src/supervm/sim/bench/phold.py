"""The bare engine against SimPy on PHOLD: every event schedules one successor after a random delay, and does no more.

Both are driven in the same way: a callback, one draw, one event asked for, no generators. Delays are even over
`DELAY_BITS` bits of microseconds, which is about what messages and timers of a simulated network take, so at 10^3
pending events hardly two share a microsecond and at 10^5 about one has company. Time is that of the CPU, of this
thread (the clock of the process is coarse while `spent` takes samples), so that others are not measured.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import thread_time

from ..exact import ExactWorld

DELAY_BITS = 17
"""Bits of a delay in us: up to 131 ms, 66 ms on average."""

Rate = Callable[[int, int], float]
"""(pending events, events to handle) -> events per second."""


def engine_rate(pending: int, events: int) -> float:
    """Return how many events per second the bare engine handles.

    Args:
        pending: events that wait at any time.
        events: about how many are handled; the exact number is counted.
    """
    world = ExactWorld(start_us=0)
    draw, at = random.Random(1).getrandbits, world.at  # noqa: S311 - nothing here is a secret

    def act() -> None:
        at(world.now_us + 1 + draw(DELAY_BITS), act)

    for _ in range(pending):
        at(1 + draw(DELAY_BITS), act)
    with _no_collector():
        began_s = thread_time()
        world.run(_span_us(pending, events))
        taken_s = thread_time() - began_s
    return world.events / taken_s


def simpy_rate() -> Rate | None:
    """Return the same for SimPy, None if it is not installed."""
    try:
        from simpy import Environment, Event, Timeout
    except ImportError:
        return None

    def rate(pending: int, events: int) -> float:
        environment = Environment()
        draw = random.Random(1).getrandbits  # noqa: S311 - nothing here is a secret
        handled = 0

        def act(_: Event) -> None:
            nonlocal handled
            handled += 1
            later = Timeout(environment, 1 + draw(DELAY_BITS))
            later.callbacks.append(act)

        for _ in range(pending):
            first = Timeout(environment, 1 + draw(DELAY_BITS))
            first.callbacks.append(act)
        with _no_collector():
            began_s = thread_time()
            environment.run(until=_span_us(pending, events))
            taken_s = thread_time() - began_s
        return handled / taken_s

    return rate


def _span_us(pending: int, events: int) -> int:
    """Return how long to run so that about `events` are handled: each of `pending` waits for the mean delay."""
    return max(1 << DELAY_BITS, (events << (DELAY_BITS - 1)) // pending)


@contextmanager
def _no_collector() -> Iterator[None]:
    """Keep the collector of cyclic garbage away from both, as the engine does when it runs."""
    gc.collect()
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
