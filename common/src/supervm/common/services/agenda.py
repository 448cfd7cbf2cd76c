"""When periodic work is due, over restarts and whatever happens to the wall clock.

Theory of operation. Work is due an interval after it last succeeded - not after the process started, or what restarts
more often than the interval never does it. So the last success is kept on disk, both ways in which time passes: as the
wall clock's date, which goes on while the node is off, and as the seconds that the node has run since, by a steady
clock, which goes on when the wall clock is set back or is wrong at every start. Whichever of the two says "due" is
believed: a backup too many harms nobody. What has never succeeded counts from the first time that its node ran.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..storage.files import replace_file

AGENDA_FILE: Final = "housekeeping.json"
"""The last successes, in a node's directory: job -> ``{"at_s": Unix seconds, "ran_s": seconds run since}``."""


@dataclass(slots=True)
class _Entry:
    at_s: float  # wall clock
    ran_s: float  # run by earlier processes since
    since_s: float  # steady clock of this process


class Agenda:
    """Last successes of jobs.

    Args:
        path: the file; one that is missing or damaged begins anew, now.
        wall_s: Unix time in seconds; may be set.
        steady_s: seconds from any zero; never set.
    """

    def __init__(self, path: Path, *, wall_s: Callable[[], float], steady_s: Callable[[], float]) -> None:
        self._path = path
        self._wall_s = wall_s
        self._steady_s = steady_s
        self._entries: dict[str, _Entry] = {}
        for name, at_s, ran_s in _read(path):
            # a date ahead of the clock is from before it was set back: nobody knows how long ago that is
            self._entries[name] = _Entry(min(at_s, wall_s()), ran_s, steady_s())

    def wait_s(self, name: str, interval_s: float) -> float:
        """Return how many seconds from now a job is due, 0 if it is."""
        entry = self._entries.get(name)
        if entry is None:
            entry = self._entries[name] = _Entry(self._wall_s(), 0.0, self._steady_s())
        passed_s = max(self._wall_s() - entry.at_s, self._ran_s(entry))
        return min(interval_s, max(0.0, interval_s - passed_s))

    def succeeded(self, name: str) -> None:
        """Note that a job was done, now."""
        self._entries[name] = _Entry(self._wall_s(), 0.0, self._steady_s())

    def save(self) -> None:
        """Write the file.

        Raises:
            OSError: it cannot be written.
        """
        rows = {
            name: {"at_s": round(entry.at_s, 3), "ran_s": round(self._ran_s(entry), 3)}
            for name, entry in sorted(self._entries.items())
        }
        replace_file(self._path, json.dumps(rows, indent=1).encode() + b"\n", durable=False)

    def _ran_s(self, entry: _Entry) -> float:
        return entry.ran_s + self._steady_s() - entry.since_s


def _read(path: Path) -> list[tuple[str, float, float]]:
    try:
        document = json.loads(path.read_bytes())
        rows = [(str(name), float(row["at_s"]), float(row["ran_s"])) for name, row in document.items()]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return []
    return [row for row in rows if math.isfinite(row[1]) and math.isfinite(row[2]) and row[2] >= 0]
