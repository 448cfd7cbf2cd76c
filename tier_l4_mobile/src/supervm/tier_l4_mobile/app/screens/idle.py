"""How long nobody has touched the app, so that it locks itself."""

from __future__ import annotations

from collections.abc import Callable

from kivy.core.window import Window

from ..face import Face


class Idle:
    """Notes each touch and each key.

    Args:
        face: the window; a phone says when it is left.
        uptime_ms: a clock that nobody sets, in ms.
    """

    def __init__(self, face: Face, uptime_ms: Callable[[], int]) -> None:
        self._face = face
        self._uptime_ms = uptime_ms
        self._used_ms = uptime_ms()
        self._was_left = False

    def begin(self) -> None:
        """Note what happens from now on."""
        Window.bind(on_touch_down=self._used, on_key_down=self._used, on_minimize=self._left)
        self._face.bind(on_pause=self._left)

    def end(self) -> None:
        """Note nothing more."""
        Window.unbind(on_touch_down=self._used, on_key_down=self._used, on_minimize=self._left)
        self._face.unbind(on_pause=self._left)

    def is_over(self, lock_after_s: int) -> bool:
        """Return whether it is time to lock.

        Args:
            lock_after_s: seconds without a touch after which it is; 0: only once the app was left.
        """
        if not lock_after_s:
            return self._was_left
        return self._uptime_ms() - self._used_ms >= lock_after_s * 1000

    def _used(self, *_: object) -> bool:
        self._used_ms = self._uptime_ms()
        return False

    def _left(self, *_: object) -> None:
        self._was_left = True
