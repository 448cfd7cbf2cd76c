"""One end of a line as a core: bytes in, bytes out, a deadline; no clock, no file (architecture.md 2).

Theory of operation. Over a line there is one stream at a time, and it has a number. Who wants one sends `OPEN` with a
number until `OPENED` comes; who listens answers. If both want one, each answers the other's `OPEN`: the smaller number
is the stream's, and `OPENED` names the answerer's own number in the field `number`, so that each end knows that both
have asked, whichever of the four frames is lost. A frame of a stream that is not there is answered with `NONE`, so an
end that was started anew is noticed by the first frame; an `OPEN` of another number ends the stream that there is, for
the same reason. In the stream each direction is a `Sender` and a `Receiver`.

The driver gives what came to `receive`, asks `next_bytes` for what to send whenever something has happened or
`deadline_us` has passed, and hands over and takes the stream's bytes by `put` and `take`.
"""

from __future__ import annotations

import random
from enum import Enum
from typing import Final

from ...contract.core import earliest
from .frame import NUMBERS, Frame, Kind, read_frame, write_frame
from .kiss import KissReader, write_kiss
from .pace import HOUR_US, Line, Pace
from .receiving import Receiver
from .sending import LATENCY_US, Sender

PATIENCE_US: Final = 60_000_000
"""How long frames may be under way without any word, beside what the line itself takes for thirty of them."""
PATIENCE_FRAMES: Final = 30


class State(Enum):
    """What an end is at."""

    LISTENING = "listening"
    """It waits for an `OPEN`."""
    OPENING = "opening"
    """It has sent one."""
    OPEN = "open"
    """There is a stream."""
    ENDED = "ended"
    """There is none any more; `LineCore.reason` says why."""


class LineCore:
    """One end of a line, for one stream.

    Args:
        line: what it is like.
        pace: when it may send; shared by all streams over the line.
        rng: numbers of streams.
        opens: whether this end asks for the stream; else it listens.
        asked: number of a stream that was asked for already (`LineCore.asked`); 0: none.

    Attributes:
        state: what it is at.
        reason: why the stream has ended, for people.
        simultaneous: both ends have asked for it.
        asked: a listener takes the stream of this number next: somebody has asked for it while another was there.
        damaged: frames whose check sum was wrong.
    """

    def __init__(self, line: Line, pace: Pace, rng: random.Random, *, opens: bool, asked: int = 0) -> None:
        self._line, self._pace = line, pace
        self._reader = KissReader(2 * line.frame_bytes_max + 3)
        self._own = rng.randrange(1, NUMBERS) if opens else 0
        self._theirs = 0  # the number that the other end has asked for
        self._stream = 0
        self._sender = Sender(line)
        self._receiver = Receiver(self._sender.word_delay_us)
        self._ask_us: int | None = 0 if opens else None
        self._answers: list[Frame] = []
        self._heard_us = 0
        self.state = State.OPENING if opens else State.LISTENING
        self.reason = ""
        self.simultaneous = False
        self.asked = 0
        self.damaged = 0
        if asked:
            self._hear_open(0, Frame(Kind.OPEN, asked))

    # --- the line -----------------------------------------------------------------------------------------------------

    def deadline_us(self, now_us: int) -> int | None:
        """Return when `next_bytes` has something to say; None: not until something changes."""
        due_us = self._due_us(now_us)
        if due_us is not None:
            due_us = max(due_us, self._pace.free_us(now_us, self._line.frame_bytes_max))
        return earliest(due_us, self._lost_us())

    def next_bytes(self, now_us: int) -> bytes:
        """Return what is to be sent now, one frame at most; empty if nothing is, or not yet."""
        lost_us = self._lost_us()
        if lost_us is not None and lost_us <= now_us:
            self._end(f"no word from the other end of the line for {(now_us - self._heard_us) // 1_000_000} s")
            return b""
        due_us = self._due_us(now_us)
        if due_us is None or max(due_us, self._pace.free_us(now_us, self._line.frame_bytes_max)) > now_us:
            return b""
        if self._answers:
            return self._send(now_us, self._answers.pop(0))
        if self.state is State.OPENING:
            out = self._send(now_us, Frame(Kind.OPEN, self._own))
            self._ask_us = self._pace.free_us(now_us, 0) + self._line.full_us + 2 * LATENCY_US
            return out
        return self._next_of_stream(now_us)

    def receive(self, now_us: int, data: bytes) -> None:
        """Take bytes from the line, cut anywhere."""
        for raw in self._reader.push(data):
            frame = read_frame(raw)
            if frame is None:
                self.damaged += 1
            else:
                self._hear(now_us, frame)

    # --- the stream ---------------------------------------------------------------------------------------------------

    @property
    def room_bytes(self) -> int:
        """How many bytes may be `put` now."""
        return self._sender.room_bytes

    @property
    def repeats(self) -> int:
        """How many frames had to be sent again."""
        return self._sender.repeats

    @property
    def at_end(self) -> bool:
        """Whether nothing more is to be read, now or ever, once `take` gives nothing."""
        return self._receiver.ended or self.state is State.ENDED

    @property
    def ended_well(self) -> bool:
        """Whether the other end has ended the stream in good order, and all of it has come."""
        return self._receiver.ended

    @property
    def may_leave(self) -> bool:
        """Whether nothing is left to do here: all that was put has come, or is of no use, and so has our word."""
        if self.state is not State.OPEN:
            return True
        return (self._sender.is_done or self._receiver.ended) and self._receiver.word_us is None

    def put(self, data: bytes) -> None:
        """Send bytes of the stream, at most `room_bytes`."""
        self._sender.put(data)

    def take(self, bytes_max: int) -> bytes:
        """Return bytes of the stream that have come, at most so many."""
        return self._receiver.take(bytes_max)

    def finish(self) -> None:
        """End our direction of the stream after what was put.

        If the other end has ended the stream, it reads no more, and nothing has to be said.
        """
        if not self._receiver.ended:
            self._sender.end()

    def give_up(self, reason: str) -> None:
        """End the stream at once: the line itself is gone, or nobody here wants it any more."""
        if self.state is not State.ENDED:
            self._end(reason)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _due_us(self, now_us: int) -> int | None:
        if self._answers:
            return now_us
        if self.state is State.OPENING:
            return self._ask_us
        if self.state is State.OPEN:
            return earliest(self._sender.due_us(now_us), self._receiver.word_us)
        return None

    def _lost_us(self) -> int | None:
        """Return when the stream is given up, if nothing comes until then."""
        if self.state is not State.OPEN or not self._sender.waits:
            return None
        patience_us = PATIENCE_US + PATIENCE_FRAMES * self._line.full_us
        return self._heard_us + patience_us + (2 * HOUR_US if self._line.is_limited else 0)

    def _next_of_stream(self, now_us: int) -> bytes:
        waited = self._sender.waits
        chosen = self._sender.choose(now_us)
        number, kind, data = chosen or (0, Kind.WORD, b"")
        awaited, beyond = self._receiver.word
        out = self._send(now_us, Frame(kind, self._stream, number, awaited, beyond, data))
        self._receiver.told()
        if chosen is not None:
            if not waited:
                self._heard_us = max(self._heard_us, now_us)  # patience begins with what there is to wait for
            self._sender.sent(number, self._pace.free_us(now_us, 0))
        return out

    def _send(self, now_us: int, frame: Frame) -> bytes:
        out = write_kiss(write_frame(frame))
        self._pace.sent(now_us, len(out))
        return out

    def _hear(self, now_us: int, frame: Frame) -> None:
        if frame.kind is Kind.OPEN:
            self._hear_open(now_us, frame)
        elif frame.kind is Kind.OPENED:
            if self.state is State.OPENING and frame.stream in (self._own, frame.number):
                self._open(now_us, frame.stream, frame.number)
        elif frame.stream != self._stream or self.state is not State.OPEN:
            if frame.kind is not Kind.NONE and self.state is not State.OPENING:
                self._answer(Frame(Kind.NONE, frame.stream))
        elif frame.kind is Kind.NONE:
            self._end("the other end of the line knows nothing of this link any more")
        else:
            self._heard_us = now_us
            self._sender.heard(now_us, frame.awaited, frame.beyond)
            if frame.kind is not Kind.WORD:
                self._receiver.heard(now_us, frame)

    def _hear_open(self, now_us: int, frame: Frame) -> None:
        if self.state is State.OPENING and frame.stream != self._own:  # our own number is our own echo
            self._open(now_us, min(self._own, frame.stream), frame.stream)
        elif self.state is State.LISTENING:
            self._open(now_us, frame.stream, 0)
            self._theirs = frame.stream
        elif self.state is State.OPEN and frame.stream not in (self._stream, self._theirs):
            self._end("the other end of the line has begun anew")
            self.asked = frame.stream
            return
        if self.state is State.OPEN:
            self._answer(Frame(Kind.OPENED, self._stream, self._own))

    def _open(self, now_us: int, stream: int, theirs: int) -> None:
        self._stream, self._theirs, self._heard_us = stream, theirs, now_us
        self.simultaneous = bool(self._own and theirs)
        self.state, self._ask_us = State.OPEN, None

    def _answer(self, frame: Frame) -> None:
        if frame not in self._answers:
            self._answers.append(frame)

    def _end(self, reason: str) -> None:
        self.state, self.reason = State.ENDED, reason
        self._answers.clear()
