"""What installed distributions announce by entry points, read once in a process.

Python's own `entry_points` reads the files of every installed distribution again at each call, 1 to 4 ms in a full
environment; a node that starts asks five times, and once more for each address in its configuration. What is installed
while a process runs is found by the next one.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from functools import cache
from importlib.metadata import EntryPoint
from typing import Any


@cache
def _everything() -> Any:  # EntryPoints, or what could be selected from before Python 3.12
    return importlib.metadata.entry_points()


def entry_points(*, group: str, name: str | None = None) -> Iterable[EntryPoint]:
    """Return what was announced under `group` when the process first asked for anything.

    Args:
        group: as in the distributions' metadata, for example ``supervm.commands``.
        name: only entries of this name; None: all.
    """
    found: Iterable[EntryPoint] = _everything().select(group=group)
    return [entry for entry in found if name is None or entry.name == name]
