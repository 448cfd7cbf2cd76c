"""Which payments changed after a cursor: lets a reader follow ten thousand of them without reading all each time."""

from __future__ import annotations


class Changes:
    """Numbers of things in the order they last changed, each under a version that only grows."""

    def __init__(self) -> None:
        self._versions: dict[int, int] = {}  # in ascending order of version
        self._version = 0
        self.began = 0
        """The version that this run began with."""

    def start(self, now_us: int) -> None:
        """Count versions from `now_us` on: a cursor of an earlier run is then older than every change of this one."""
        self._version = self.began = now_us
        for number in self._versions:
            self._version += 1
            self._versions[number] = self._version

    def note(self, number: int) -> None:
        """Note that `number` changed."""
        self._version += 1
        self._versions.pop(number, None)
        self._versions[number] = self._version

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
