"""Kivy without a screen: drawn in software, into memory, as fast as it goes."""

from __future__ import annotations

import os

from supervm.common.errors import InputError
from supervm.tier_l4_mobile.app.window import set_up_kivy
from supervm.tier_l4_mobile.cli.app import check_display

collect_ignore_glob = []
os.environ["SDL_VIDEODRIVER"] = "offscreen"
os.environ.pop("DISPLAY", None)
missing = ""
try:
    check_display()
    set_up_kivy(390, 844, frames_per_s_max=0)
except InputError as error:  # no Kivy for this Python, or nothing on this system that draws
    collect_ignore_glob.append("test_*.py")
    missing = f"screens are not tested: {error}"


def pytest_report_header() -> str:
    """Say why there are no tests of screens, if there are none."""
    return missing


def pytest_terminal_summary(terminalreporter) -> None:
    """Say it at the end, too, which `-q` does not leave out."""
    if missing:
        terminalreporter.write_line(missing)
