"""When a line may send: one thing after another at its rate, and no more of each hour than the rules of its band allow.

Radio bands are shared by giving each sender a share of the time, its *duty cycle*: of 868 MHz mostly 1 %, which is 36
seconds an hour (ETSI EN 300 220). What counts is any hour, not the hours of a clock, so time in the air is remembered
for an hour, in slots of a minute; a slot counts until an hour after its end, so what is sent is never more than allowed
and at most a sixtieth less.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

HOUR_US: Final = 3_600_000_000
SLOT_US: Final = 60_000_000
_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Line:
    """What a line is like; both ends have to be told the same.

    Attributes:
        bitrate_bps: bits per second, without what the line itself adds to each byte; 1 and above.
        duty_ppm: millionths of the time in which sending is allowed, 1 to 1,000,000.
        frame_bytes_max: longest frame, as `frame` makes it.
    """

    bitrate_bps: int
    duty_ppm: int = 1_000_000
    frame_bytes_max: int = 200

    def air_us(self, size_bytes: int) -> int:
        """Return how long it takes to send so many bytes."""
        return -(-size_bytes * 8 * _US // self.bitrate_bps)

    @property
    def full_us(self) -> int:
        """How long the longest frame takes, with some bytes that have to be written as two."""
        return self.air_us(self.frame_bytes_max + self.frame_bytes_max // 64 + 3)

    @property
    def is_limited(self) -> bool:
        """Whether there is a duty cycle to be kept."""
        return self.duty_ppm < _US


class Pace:
    """Counts the time in the air of one sender; it belongs to the line and outlives the streams over it.

    Args:
        line: what it is like.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._allowed_us = HOUR_US * line.duty_ppm // _US
        self._slots: deque[tuple[int, int]] = deque()  # (end of the slot, time in the air that began in it)
        self._spent_us = 0
        self._free_us = 0

    def free_us(self, now_us: int, size_bytes: int) -> int:
        """Return from when on so many bytes may be sent; at most `now_us` if that is now."""
        self._drop(now_us)
        air_us, free_us = self._line.air_us(size_bytes), self._free_us
        if self._line.is_limited:
            spent_us = self._spent_us
            for end_us, slot_us in self._slots:
                if spent_us + air_us <= self._allowed_us:
                    break
                spent_us -= slot_us
                free_us = max(free_us, end_us + HOUR_US)
        return free_us

    def sent(self, now_us: int, size_bytes: int) -> int:
        """Note that so many bytes are sent now; return when the last of them has left."""
        air_us = self._line.air_us(size_bytes)
        self._free_us = max(now_us, self._free_us) + air_us
        if self._line.is_limited:
            # what is still in the air at the end of its slot counts there: so the slot is the one in which it ends
            end_us = self._free_us // SLOT_US * SLOT_US + SLOT_US
            before_us = self._slots.pop()[1] if self._slots and self._slots[-1][0] == end_us else 0
            self._slots.append((end_us, before_us + air_us))
            self._spent_us += air_us
        return self._free_us

    def _drop(self, now_us: int) -> None:
        while self._slots and self._slots[0][0] + HOUR_US <= now_us:
            self._spent_us -= self._slots.popleft()[1]
