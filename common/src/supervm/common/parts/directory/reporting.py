"""What those above are told of the nodes below, a few records at a time (network.md 1: batched upward).

Theory of operation. News of nodes below are *numbered*; a node of which there is more news moves to the end. Whoever
has to be told has heard everything up to some number, and is told what comes after that, `AT_ONCE_MAX` records at a
time. So news wait for none that are newer, who comes later, or comes back, hears all there is, and nothing is kept
twice. Any validator is a root by itself, so all of them are told; of the miners one is, which tells them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

from .table import RecordTable

REPORT_US: Final = 10_000_000
"""How long news wait for more."""
MORE_US: Final = 1_000_000
"""How long they do if there are more than may be told at once."""
AT_ONCE_MAX: Final = 64
"""Most records that one of those above is told at once."""
_SPARE: Final = 1_024


class Reports:
    """All news, and who has heard what.

    Args:
        table: holds the records.

    Attributes:
        deadline_us: when somebody is to be told; None: there is nothing to tell.
    """

    def __init__(self, table: RecordTable) -> None:
        self._table = table
        self._nodes: dict[int, bytes] = {}  # number -> node
        self._number_of: dict[bytes, int] = {}
        self._numbers: list[int] = []  # ascending; some are of no node any more
        self._last = 0
        self._heard: dict[bytes, int] = {}  # who is to be told -> number of the last news told
        self.deadline_us: int | None = None

    def __len__(self) -> int:
        return len(self._nodes)

    def note(self, now_us: int, node_id: bytes) -> None:
        """There is a new record of a node below."""
        self.forget((node_id,))
        self._last += 1
        self._nodes[self._last], self._number_of[node_id] = node_id, self._last
        self._numbers.append(self._last)
        if len(self._numbers) > 2 * len(self._nodes) + _SPARE:
            self._numbers = list(self._nodes)
        self._wake(now_us, REPORT_US)

    def forget(self, nodes: Iterable[bytes]) -> None:
        """There is nothing to tell of these any more."""
        for node_id in nodes:
            number = self._number_of.pop(node_id, None)
            if number is not None:
                del self._nodes[number]

    def tell(self, now_us: int, peers: Iterable[bytes]) -> None:
        """From now on these are told, and nobody else; one of them that was not so far is told all there is."""
        self._heard = {peer: self._heard.get(peer, 0) for peer in peers}
        if any(heard < self._last for heard in self._heard.values()):
            self._wake(now_us, REPORT_US)

    def take(self, now_us: int) -> list[tuple[bytes, list[bytes]]]:
        """Return what is due: whom to tell, and the records' bytes, the oldest news first."""
        due: list[tuple[bytes, list[bytes]]] = []
        is_more = False
        for peer, heard in self._heard.items():
            records: list[bytes] = []
            for place in range(bisect_right(self._numbers, heard), len(self._numbers)):
                if len(records) >= AT_ONCE_MAX:
                    is_more = True
                    break
                heard = self._numbers[place]
                entry = self._table.peek(self._nodes.get(heard, b""))
                if entry is not None:
                    records.append(entry.raw)
            self._heard[peer] = heard
            if records:
                due.append((peer, records))
        self.deadline_us = now_us + MORE_US if is_more else None
        return due

    def _wake(self, now_us: int, wait_us: int) -> None:
        if self._heard and self.deadline_us is None:
            self.deadline_us = now_us + wait_us
