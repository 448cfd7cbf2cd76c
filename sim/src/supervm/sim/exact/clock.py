"""The clock of one host: late or early, too fast or too slow, and set while it runs.

A core sees local time only. It never goes back within one life (core.py): after a step backwards it stands still until
it has caught up, as a node's clock does. All integer; drift counts from the moment the clock was made.
"""

from __future__ import annotations

from .choices import PPM


class HostClock:
    """Local time of one host as a function of the world's time.

    Args:
        offset_us: local time minus the world's at `start_us`.
        drift_ppm: microseconds gained per second; negative: lost. Above -1,000,000.
        start_us: the world's time from which drift counts.
    """

    __slots__ = ("_drift_ppm", "_floor_us", "_offset_us", "_start_us")

    def __init__(self, offset_us: int = 0, drift_ppm: int = 0, *, start_us: int = 0) -> None:
        self._offset_us = offset_us
        self._drift_ppm = drift_ppm
        self._start_us = start_us
        self._floor_us = 0

    def raw_us(self, now_us: int) -> int:
        """Return what the machine's clock shows, which may have gone back."""
        return now_us + self._offset_us + (now_us - self._start_us) * self._drift_ppm // PPM

    def local_us(self, now_us: int) -> int:
        """Return local time: what the machine shows, but never less than before in this life."""
        local_us = max(self.raw_us(now_us), self._floor_us)
        self._floor_us = local_us
        return local_us

    def when_us(self, local_us: int) -> int:
        """Return the first moment of the world's time at which local time is at least `local_us`, if nothing is set."""
        gone_us = local_us - self._offset_us - self._start_us  # = elapsed + elapsed * drift // PPM
        rate = PPM + self._drift_ppm
        return self._start_us + -(-gone_us * PPM // rate)

    def step(self, now_us: int, delta_us: int) -> None:
        """Set the clock forward, or back if `delta_us` is negative; drift goes on."""
        self._offset_us += delta_us

    def new_life(self) -> None:
        """A new process may find an earlier time than the last one had."""
        self._floor_us = 0
