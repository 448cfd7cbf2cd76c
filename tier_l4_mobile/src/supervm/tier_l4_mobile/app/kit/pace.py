"""How often the window looks for something to do: often while it is used, seldom while nobody touches it.

Kivy's loop looks for touches and changes so many times a second, whether there are any or not; at 60 that alone is two
percent of a core. Frames are drawn only when something changed, in either pace.
"""

from __future__ import annotations

from typing import Final

from kivy.clock import Clock
from kivy.core.window import Window

SLOW_PER_S: Final = 20
"""Looks per second at rest: the first touch waits a twentieth of a second at most."""
USED_S: Final = 3
"""How long it is thought to be in use after each touch and key: as long as anything moves that a finger has pushed."""


class Pace:
    """Slows the loop down between `begin` and `end` while nothing is touched; one without a bound is left alone."""

    def __init__(self) -> None:
        self._fast: float = Clock._max_fps
        self._rests = Clock.create_trigger(self._slow, USED_S)
        self._events = dict.fromkeys(("on_touch_down", "on_touch_move", "on_touch_up", "on_key_down"), self._used)

    def begin(self) -> None:
        """Look at what is touched."""
        if self._fast:
            Window.bind(**self._events)
            self._rests()

    def end(self) -> None:
        """Leave the loop as it was."""
        if self._fast:
            Window.unbind(**self._events)
            self._rests.cancel()
            Clock._max_fps = self._fast

    def _used(self, *_: object) -> bool:
        Clock._max_fps = self._fast
        self._rests.cancel()
        self._rests()
        return False

    def _slow(self, *_: object) -> None:
        Clock._max_fps = SLOW_PER_S
