"""Which payments changed after a cursor: lets a reader follow ten thousand of them without reading all each time.

Remembered are the changes of the last seconds, and some hundred more than there are open payments. A reader whose
cursor is older than that reads all payments by number first (`log`), as one does that comes for the first time.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

CHANGES_KEPT: Final = 128
"""Changes that are remembered at least, beside as many as there are open payments."""
RECENT_US: Final = 5_000_000
"""Changes stay for at least as long."""


class Changes:
    """Numbers of things in the order they last changed, each under a version that only grows."""

    def __init__(self) -> None:
        self._versions: dict[int, int] = {}  # in ascending order of version
        self._version = 0
        self.began = 0
        """The version after which every change is remembered; at first the one that this run began with."""
        self.forgotten = 0
        """How many times changes were forgotten in this run."""
        self._marked_us = self._marked = self._old = 0  # the version at the newest mark, and at the one before

    def start(self, now_us: int) -> None:
        """Count versions from `now_us` on: a cursor of an earlier run is then older than every change of this one."""
        self._version = self.began = now_us
        for number in self._versions:
            self._version += 1
            self._versions[number] = self._version

    @property
    def newest(self) -> int:
        """The version of the newest change: a cursor after which there is none yet."""
        return self._version

    def note(self, number: int) -> None:
        """Note that `number` changed."""
        self._version += 1
        self._versions.pop(number, None)
        self._versions[number] = self._version

    def forget(self, now_us: int, open_count: int) -> None:
        """Forget the oldest changes, if there are twice as many as stay with so many open payments."""
        if now_us - self._marked_us >= RECENT_US:
            self._marked_us, self._marked, self._old = now_us, self._version, self._marked
        kept = CHANGES_KEPT + open_count
        if len(self._versions) > 2 * kept and next(iter(self._versions.values())) <= self._old:
            for number in list(islice(self._versions, len(self._versions) - kept)):
                if self._versions[number] > self._old:
                    break
                self.began = self._versions.pop(number)
            self.forgotten += 1

    def since(self, cursor: int, limit: int) -> tuple[list[int], int]:
        """Return up to `limit` numbers that changed after `cursor`, oldest change first, and the next cursor."""
        found: list[int] = []
        for number in reversed(self._versions):
            if self._versions[number] <= cursor:
                break
            found.append(number)
        found.reverse()
        found = found[:limit]
        return found, self._versions[found[-1]] if found else max(cursor, self._version)
