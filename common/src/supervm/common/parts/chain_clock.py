"""Is this machine's clock behind the chain? Said to people, because nothing else explains what they see.

Blocks carry the time of those who made them, and no node builds on, or believes, what is dated ahead of its own clock
by more than the allowed drift (consensus.md 2.4, network.md 3). So where a network was made, or blocks were made, under
a clock that was ahead and was set right since, no block comes until the clock has caught up: everything is in order,
and everything stands still. Which of the two times is wrong nobody here can tell; that they do not fit is certain.

`ClockWatch` is a part that every node core composes: it publishes ``clock-behind`` when the newest time that the chain
shows is ahead, again each minute, and ``clock-in-step`` when that is over.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from ..contract.core import Outbox
from .events import ClockBehind, ClockInStep

DRIFT_MS_MAX: Final = 2_000
"""How far ahead of our clock a time may be (decisions.md, Numbers)."""
AGAIN_US: Final = 60_000_000
_ISO_MS_MAX: Final = 253_402_300_799_999  # the end of year 9999


def age_ms(ts_ms: int, now_us: int) -> int | None:
    """Return how old what is dated `ts_ms` is by our clock; None if it is dated ahead, so that nobody can tell."""
    ahead_ms = ts_ms - now_us // 1000
    return None if ahead_ms > DRIFT_MS_MAX else max(0, -ahead_ms)


def date_text(ts_ms: int) -> str:
    """Return a time in Unix ms for people."""
    return datetime.fromtimestamp(min(ts_ms, _ISO_MS_MAX) / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def behind_text(what: str, ts_ms: int, now_us: int, *, drift_ms: int = DRIFT_MS_MAX) -> str | None:
    """Return the sentence that says that our clock is behind `what`, or None if it is not.

    Args:
        what: what is dated `ts_ms`: "the genesis file", "block 7".
        ts_ms: its time, Unix milliseconds.
        now_us: our clock, Unix microseconds.
        drift_ms: how far ahead a time may be.
    """
    ahead_ms = ts_ms - now_us // 1000
    if ahead_ms <= drift_ms:
        return None
    return (
        f"this machine's clock is {ahead_ms / 1000:.0f} s behind {what}, which is dated {date_text(ts_ms)}: no new "
        "block is made or believed here until the clock gets there. Set the clock; if it is right, the other time was "
        "made under a clock that was ahead, and only waiting or a new network helps"
    )


class ClockWatch:
    """Compares our clock with the newest time that the chain, or a peer in its name, shows.

    Args:
        outbox: where events go.
        drift_ms: how far ahead a block's time may be (a parameter of the chain).
    """

    def __init__(self, outbox: Outbox, *, drift_ms: int = DRIFT_MS_MAX) -> None:
        self._outbox = outbox
        self._drift_ms = drift_ms
        self._shown: tuple[int, int] | None = None  # height and time that are ahead
        self._shown_at_us = 0
        self._again_at_us = 0

    def look(self, now_us: int, height: int, ts_ms: int) -> None:
        """Take the time of the block of `height` (0: genesis); tell whoever watches if it is ahead of our clock or was.

        What a peer shows may be a lie, so it counts for as long as it is shown; see `problem`.
        """
        if ts_ms - now_us // 1000 <= self._drift_ms:
            if self._shown is not None and height >= self._shown[0]:
                self._shown = None
                self._outbox.publish(ClockInStep(height))
            return
        if self._shown is None:
            self._again_at_us = now_us
        self._shown, self._shown_at_us = (height, ts_ms), now_us
        if self._again_at_us <= now_us:
            self._again_at_us = now_us + AGAIN_US
            self._outbox.publish(ClockBehind(height, ts_ms - now_us // 1000, self.problem(now_us)))

    def problem(self, now_us: int) -> str | None:
        """Return what is wrong for the owner; None if nothing is, or if nobody has shown it for two minutes."""
        if self._shown is None or self._shown_at_us + 2 * AGAIN_US < now_us:
            return None
        height, ts_ms = self._shown
        what = f"block {height}" if height else "the genesis file"
        return behind_text(what, ts_ms, now_us, drift_ms=self._drift_ms)
