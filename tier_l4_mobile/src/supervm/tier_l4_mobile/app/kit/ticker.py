"""Something that is done again and again while a screen is seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kivy.clock import Clock


class Ticker:
    """Does something so many times a second, between `start` and `stop`.

    Args:
        act: what is done; it has to be short.
    """

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act
        self._event: Any = None

    def start(self, times_per_s: int) -> None:
        """Begin, or go on at another pace.

        Args:
            times_per_s: how often; 0: with every frame.
        """
        self.stop()
        self._event = Clock.schedule_interval(lambda _: self._act(), 1 / times_per_s if times_per_s else 0)

    def stop(self) -> None:
        """Do it no more."""
        if self._event is not None:
            self._event.cancel()
            self._event = None
