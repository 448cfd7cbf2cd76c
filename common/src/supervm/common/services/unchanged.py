"""What housekeeping leaves alone: a node that has nothing to do writes nothing, so that a phone's storage can rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ..storage.sql import SqlStore

QUIET_S: Final = 600.0
"""Counters are written this often while the node writes nothing else."""


class Written:
    """Which counters were written last: a node that has written nothing since has little to tell.

    Args:
        steady_s: seconds from any zero; never set.
    """

    def __init__(self, steady_s: Callable[[], float] = time.monotonic) -> None:
        self._steady_s = steady_s
        self._commits: object = None
        self._at_s = 0.0

    def is_new(self, counters: Mapping[str, Any]) -> bool:
        """Return whether the counters are to be written, and take them as written if so."""
        commits, now_s = counters.get("commits"), self._steady_s()
        if commits is not None and commits == self._commits and now_s - self._at_s < QUIET_S:
            return False
        self._commits, self._at_s = commits, now_s
        return True


Look = tuple[tuple[int, int], ...]
"""Length and time of change, in ns, of each of a database's files."""


class Kept:
    """What the files of a database looked like when a job was done with them: unchanged ones are left alone.

    Args:
        store: the database.
    """

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self._seen: dict[str, Look] = {}

    def look(self) -> Look:
        """Return what the files look like now, the database's journal and the write-ahead log among them."""
        found = []
        path = self._store.sqlite_path
        for file in () if path is None else (path, path.with_name(f"{path.name}-wal"), self._store.log_path):
            with suppress(OSError):
                if file is not None:
                    status = file.stat()
                    found.append((status.st_size, status.st_mtime_ns))
        return tuple(found)

    def is_same(self, job: str) -> bool:
        """Return whether the files are as they were when a job was done."""
        return job in self._seen and self._seen[job] == self.look()

    def done(self, job: str, seen: Look) -> None:
        """Note that a job is done with files that looked like that."""
        self._seen[job] = seen
