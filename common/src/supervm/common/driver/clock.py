"""The driver's one clock: microseconds of wall-clock time that never go back."""

from __future__ import annotations

import time
from typing import Protocol

import trio

_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # goes on while the machine sleeps, where there is one


def steady_s() -> float:
    """Return seconds that pass evenly however the machine's clock is set, also while it sleeps if that is known."""
    return time.clock_gettime(_STEADY)


class Clock(Protocol):
    """What a driver reads the time from."""

    def now_us(self) -> int:
        """Return Unix time in microseconds, never less than before."""


class SystemClock:
    """Wall time when it was made, carried on by a steady clock.

    Setting the machine's clock never turns it back; a node that started with a wrong clock has to be started
    again after the clock was set.
    """

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.clock_gettime_ns(_STEADY)

    def now_us(self) -> int:
        """Return Unix time in microseconds."""
        return (time.clock_gettime_ns(_STEADY) + self._offset_ns) // 1000


class TrioClock:
    """Time of the running trio loop, for tests under a mock clock.

    Args:
        start_us: Unix time in microseconds at the loop's time 0.
    """

    def __init__(self, start_us: int) -> None:
        self._start_us = start_us

    def now_us(self) -> int:
        """Return Unix time in microseconds."""
        return self._start_us + round(trio.current_time() * 1_000_000)
