"""How Kivy is set up: in memory, without files, arguments or messages of its own; before anything imports it."""

from __future__ import annotations

import logging
import os
from typing import Final

WIDTH, HEIGHT = 420, 800
"""Size of the window on a desktop, in px; a phone gives what it has."""
FRAMES_PER_S_MAX: Final = 60
"""Frames are drawn when something changed, and not more often than this."""
ENVIRONMENT: Final = {
    "KIVY_NO_ARGS": "1",
    "KIVY_NO_CONFIG": "1",
    "KIVY_NO_FILELOG": "1",
    "KIVY_LOG_MODE": "PYTHON",
    "KIVY_EVENTLOOP": "trio",
}
"""What Kivy reads when it is imported: nothing of the command line, no file of settings or logs in somebody's home."""


def set_up_kivy(width: int = WIDTH, height: int = HEIGHT, *, frames_per_s_max: int = FRAMES_PER_S_MAX) -> None:
    """Prepare Kivy; the first thing that a program with screens does.

    Args:
        width: of the window, in px.
        height: likewise.
        frames_per_s_max: frames per second at most; 0: as many as there are, for tests.
    """
    os.environ.update(ENVIRONMENT)
    log = logging.getLogger("kivy")
    log.setLevel(logging.CRITICAL)  # it warns of input devices that nobody has, with tracebacks
    log.addHandler(logging.NullHandler())
    log.propagate = False
    from kivy.config import Config

    for name, _ in Config.items("input"):
        Config.remove_option("input", name)  # mouse and touches come from the window
    if os.environ.get("SDL_VIDEODRIVER") != "offscreen":
        Config.set("input", "mouse", "mouse,disable_multitouch")
    settings: dict[str, dict[str, str | int]] = {
        "graphics": {"width": width, "height": height, "maxfps": frames_per_s_max, "multisamples": 0},
        "kivy": {"exit_on_escape": 0, "desktop": 1, "log_level": "critical"},
        "widgets": {"scroll_timeout": 120, "scroll_distance": 12},
    }
    for section, values in settings.items():
        for name, value in values.items():
            Config.set(section, name, str(value))
