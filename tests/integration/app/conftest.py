"""Kivy without a screen: drawn in software, into memory, as fast as it goes."""

from __future__ import annotations

import os
from importlib.util import find_spec

collect_ignore_glob = []
if find_spec("kivy") is None:  # there is none for the newest Python yet
    collect_ignore_glob.append("test_*.py")
else:
    os.environ["SDL_VIDEODRIVER"] = "offscreen"
    os.environ.pop("DISPLAY", None)
    from supervm.tier_l4_mobile.app.window import set_up_kivy

    set_up_kivy(390, 844, frames_per_s_max=0)
