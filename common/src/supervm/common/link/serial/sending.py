"""The sending half of a stream: what is under way, and what is sent once more (selective repeat).

Theory of operation. Frames are numbered and stay in the window until the other end says that they have come; it says so
of each one, so only those that were lost are sent again. A line keeps the order of what it carries. So a frame is lost
as soon as the other end has one that was sent after it: it is repeated at once, without waiting. Only if no word comes
at all, because the last frames or the words themselves were lost, time decides, and then the first frame alone is
repeated until there is a word again, soon after twice the time each time: a line that is down costs little.

Where it is not clear which of two sendings of a frame has come, the later one counts if it can have; a wrong guess
costs a repeat that nobody needed, never data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .frame import NUMBERS, OVERHEAD_BYTES, Kind
from .pace import Line

WINDOW: Final = 16
"""Frames under way at once; the words about them have a bit for each after the first."""
SEND_BYTES_MAX: Final = 16 << 10
"""Bytes that may wait to be sent for the first time."""
LATENCY_US: Final = 500_000
"""How long a modem may keep what it is given, each way, until it is known better."""
EVEN_WAITS: Final = 3
"""How often that is waited for before the wait doubles: a lost word is no sign that the line is down."""
DOUBLINGS_MAX, DOUBLINGS_MAX_LIMITED = 5, 10
"""How often the wait for a word doubles; more often where the other end may have to be silent for most of an hour."""


@dataclass(slots=True)
class _Sent:
    """A frame under way.

    Attributes:
        kind: `DATA` or `END`.
        data: what it carries.
        times: how often it was sent.
        first: its place among all sendings when it was sent first.
        last: likewise, last.
        left_us: when the last byte of its last sending had left.
        lost: it is to be sent again.
    """

    kind: Kind
    data: bytes
    times: int = 0
    first: int = 0
    last: int = 0
    left_us: int = 0
    lost: bool = False


class Sender:
    """One direction of a stream, at the end where it begins.

    Args:
        line: what the line is like.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._payload_bytes = line.frame_bytes_max - OVERHEAD_BYTES
        self._waiting = bytearray()
        self._ending = False
        self._window: dict[int, _Sent] = {}  # by number, ascending
        self._next = 0
        self._sendings = 0
        self._silences = 0
        self._wait_us = 2 * (line.full_us + LATENCY_US) + self.word_delay_us
        self._smooth_us: int | None = None
        self._swing_us = 0
        self._left_us = 0
        self.repeats = 0
        """Sendings that were not the first of their frame."""

    @property
    def word_delay_us(self) -> int:
        """How long the other end may keep a word back in the hope that more comes, or that it has data to go with."""
        return self._line.full_us + LATENCY_US // 10

    @property
    def room_bytes(self) -> int:
        """How many bytes may be given to it now."""
        return max(0, SEND_BYTES_MAX - len(self._waiting))

    @property
    def is_done(self) -> bool:
        """Whether all that was given to it has come, and the end too if it was ended."""
        return not self._waiting and not self._window and not self._ending

    @property
    def waits(self) -> bool:
        """Whether something is under way of which nothing is known yet."""
        return bool(self._window)

    def put(self, data: bytes) -> None:
        """Take bytes to send, behind those that wait."""
        self._waiting += data

    def end(self) -> None:
        """Say after all of them that there are no more."""
        self._ending = True

    def due_us(self, now_us: int) -> int | None:
        """Return from when on there is something to send; None: not until something changes."""
        if any(sent.lost for sent in self._window.values()):
            return now_us
        if len(self._window) < WINDOW and (self._waiting or self._ending):
            return now_us
        if not self._window:
            return None
        most = DOUBLINGS_MAX_LIMITED if self._line.is_limited else DOUBLINGS_MAX
        return self._left_us + (self._wait_us << min(max(0, self._silences - EVEN_WAITS + 1), most))

    def choose(self, now_us: int) -> tuple[int, Kind, bytes] | None:
        """Return number, kind and data of the frame to send now, None if there is none; `sent` has to follow."""
        for number, sent in self._window.items():
            if sent.lost:
                return number, sent.kind, sent.data
        if len(self._window) < WINDOW:
            if self._waiting:
                return self._next, Kind.DATA, bytes(self._waiting[: self._payload_bytes])
            if self._ending:
                return self._next, Kind.END, b""
        due_us = self.due_us(now_us)
        if due_us is None or due_us > now_us:
            return None
        number, sent = next(iter(self._window.items()))
        self._silences += 1
        return number, sent.kind, sent.data

    def sent(self, number: int, left_us: int) -> None:
        """Note that a frame was chosen and sent, and when its last byte will have left."""
        self._sendings += 1
        sent = self._window.get(number)
        if sent is None:
            data = bytes(self._waiting[: self._payload_bytes])
            del self._waiting[: self._payload_bytes]
            if not data:
                self._ending = False
            sent = self._window[number] = _Sent(Kind.DATA if data else Kind.END, data, first=self._sendings)
            self._next = number + 1
        else:
            self.repeats += 1
        sent.times += 1
        sent.last, sent.left_us, sent.lost = self._sendings, left_us, False
        self._left_us = left_us

    def heard(self, now_us: int, awaited: int, beyond: int) -> None:
        """Take the other end's word for what has come; an old one, or one about what was never sent, changes nothing.

        Args:
            now_us: when it came.
            awaited: number of the first frame that has not come, modulo 2^16.
            beyond: bits for those after it.
        """
        base = next(iter(self._window), self._next)
        first = base + (awaited - base) % NUMBERS
        if first > self._next:
            return
        said = beyond << first + 1 - base | (1 << first - base) - 1  # bit b: the frame b after the window's first
        come = [number for number in self._window if said >> number - base & 1]
        if not come:
            return
        newest = 0
        for number in come:
            sent = self._window.pop(number)
            if sent.times == 1:
                self._measure(now_us - sent.left_us)
            can_be_last = now_us >= sent.left_us
            newest = max(newest, sent.last if can_be_last else sent.first)
        for sent in self._window.values():
            sent.lost = sent.lost or sent.last < newest
        self._silences = 0

    def _measure(self, us: int) -> None:
        """Learn how long a word takes, from the end of a sending on (RFC 6298, in whole microseconds)."""
        if self._smooth_us is None:
            self._smooth_us, self._swing_us = us, us // 2
        else:
            self._swing_us += (abs(us - self._smooth_us) - self._swing_us) // 4
            self._smooth_us += (us - self._smooth_us) // 8
        least_us = 2 * self._line.full_us + self.word_delay_us  # a frame of theirs under way, and their word behind it
        self._wait_us = max(least_us, self._smooth_us + 4 * self._swing_us)
