"""What time it is, as far as validators have signed it, and which of two clocks is wrong where they do not agree.

Theory of operation. A block carries a time, and an honest validator signs none that is ahead of its clock by more than
the drift (consensus.md 2.4). A certified checkpoint is signed by a quorum, so by f + 1 honest validators at least:
whoever holds one *knows* that it is later than its time less the drift. That is a floor under this machine's clock, it
holds for ever, and no edge can make it up. A clock below it is wrong, whoever else says what.

There is no such ceiling: an edge can bring everything late, so that all that is signed looks old. What can be said is
what is seen. Where blocks keep coming, each as old as the others when it comes, either our clock is ahead by so much or
the edge is behind by so much; the edge's own clock, which it told in its Hello, says which of the two it claims. That
is told as what it is, a comparison, and nothing here sets a clock or changes what is believed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from supervm.protocol.chain.checkpoint import CheckpointHeader

from .chain_clock import DRIFT_MS_MAX, ClockWatch, date_text
from .part import Part

AHEAD_MS: Final = 30_000
"""Blocks that are no older than this when they come are on time: what links call a right clock."""
SPREAD_MS: Final = 10_000
"""Ages of blocks that come in step differ by less; those of somebody who catches up shrink."""
MOVED_MS: Final = 5_000
"""What the blocks' own times have to go on by before their ages are compared."""
SAMPLES: Final = 4
"""Blocks that are compared."""
SAMPLE_US: Final = 1_000_000
"""Of blocks that come closer together than this only the first is one of them."""
SHOWN_US: Final = 300_000_000
"""How long after the last of them a comparison is shown."""


class SignedTime(Part):
    """Compares our clock with what validators have signed.

    Args:
        clock: tells the owner of a block that is ahead of our clock while one is shown.
        newest: returns the newest header that is trusted.
        offset_ms: returns how far the clock of whoever brings blocks is ahead of ours, by its own word; None: nobody
            brings any.
    """

    def __init__(
        self, clock: ClockWatch, newest: Callable[[], CheckpointHeader], offset_ms: Callable[[], int | None]
    ) -> None:
        self._clock, self._newest, self._offset_ms = clock, newest, offset_ms
        self._floor_ms = newest().ts_ms
        self._height = newest().height
        self._seen: deque[tuple[int, int]] = deque(maxlen=SAMPLES)  # when a block came, and its time

    def note(self, signed_ms: int) -> None:
        """Take a time that a quorum has signed, of a checkpoint of which nothing else is believed."""
        self._floor_ms = max(self._floor_ms, signed_ms)

    def settle(self, now_us: int) -> None:
        """Look whether a newer header has come to be trusted."""
        header = self._newest()
        if header.height <= self._height:
            return
        self._height = header.height
        self.note(header.ts_ms)
        if not self._seen or now_us >= self._seen[-1][0] + SAMPLE_US:
            self._seen.append((now_us, header.ts_ms))

    def behind_ms(self, now_us: int) -> int:
        """Return by how much our clock is behind at least, as f + 1 validators have signed; 0 if it may be right."""
        return max(0, self._floor_ms - DRIFT_MS_MAX - now_us // 1_000)

    def late_ms(self, now_us: int) -> int:
        """Return how old blocks are when they come, if they come in step and too late; else 0."""
        seen = self._seen
        if len(seen) < SAMPLES or now_us > seen[-1][0] + SHOWN_US or seen[-1][1] - seen[0][1] < MOVED_MS:
            return 0
        ages_ms = [came_us // 1_000 - signed_ms for came_us, signed_ms in seen]
        return min(ages_ms) if min(ages_ms) > AHEAD_MS and max(ages_ms) - min(ages_ms) < SPREAD_MS else 0

    def info(self, now_us: int) -> Mapping[str, Any]:
        """Return the newest time that a quorum has signed, and what follows for our clock."""
        return {
            "time": {
                "signed_ms": self._floor_ms,
                "behind_ms": self.behind_ms(now_us),
                "late_ms": self.late_ms(now_us),
            }
        }

    def problems(self, now_us: int) -> Iterable[str]:
        """Return which clock is wrong, as far as that can be told."""
        behind_ms, late_ms = self.behind_ms(now_us), self.late_ms(now_us)
        if behind_ms and self._clock.problem(now_us) is None:
            yield (
                f"this machine's clock is at least {behind_ms // 1_000} s behind: more than a third of the validators, "
                f"and honest ones among them, have signed that it is later than {date_text(self._floor_ms)}. Set the "
                "clock"
            )
        if late_ms:
            offset_ms = self._offset_ms()
            if offset_ms is not None and abs(offset_ms + late_ms) < AHEAD_MS:
                yield (
                    f"this machine's clock is about {late_ms // 1_000} s ahead of what validators sign and of the "
                    "edge's clock. Set the clock; if it is right, the edge keeps everything back for so long"
                )
            else:
                yield (
                    f"blocks are {late_ms // 1_000} s old when they come: the edge, or whoever it has them from, is "
                    "behind by so much, or this machine's clock is ahead"
                )
