"""What two ends of a data channel say to each other besides the stream itself: a window, acknowledgement, the end.

Theory of operation. Binary messages, put end to end, are the stream. Texts are about it:

* ``?`` - are you there? Answered at once by ``!N``: N bytes of your stream have come.
* ``+N`` - N bytes of your stream have been taken by whoever reads it here.
* ``.`` - my stream ends here. Answered by ``,``: all of it has come.

An end sends at most `WINDOW_BYTES` more than the other has taken, so neither end holds more than that for the other.
SCTP has a window of its own, but aiortc opens it again as soon as a message is handed up, and a browser likewise. N is
a total since the beginning, in decimal digits: a lost or doubled word would do no harm, although none is ever lost.

Sans-I/O and without a clock: who owns it moves the messages.
"""

from __future__ import annotations

from typing import Final

from supervm.protocol.base.errors import RemoteProtocolError

MESSAGE_BYTES_MAX: Final = 16_384
"""Longest binary message: what every implementation of data channels takes whole (network.md 3)."""
WINDOW_BYTES: Final = 512 << 10
"""Bytes that may be under way or unread in one direction."""
CREDIT_BYTES: Final = WINDOW_BYTES // 8
"""Bytes taken after which the other end is told."""
PROBE: Final = "?"
END: Final = "."
END_ARRIVED: Final = ","
_TEXT_CHARS_MAX: Final = 20


class Flow:
    """Both directions of one channel.

    Attributes:
        sent: bytes given to the channel.
        acknowledged: how many of these are known to have come to the other end.
        arrived: bytes that came.
        heard: messages that came, of any kind.
        ended: the other end has said its last.
        end_arrived: the other end has all that we have said, and that it was the last.
    """

    def __init__(self) -> None:
        self.sent = self.acknowledged = self.arrived = self.heard = 0
        self.ended = self.end_arrived = False
        self._taken_there = self._taken_here = 0

    @property
    def room(self) -> int:
        """Bytes that may be sent now."""
        return WINDOW_BYTES - (self.sent - self._taken_there)

    def receive(self, message: bytes | str) -> tuple[bytes, str]:
        """Take a message; return the bytes of the stream in it, and the text to answer at once, either may be empty.

        Raises:
            RemoteProtocolError: more than the window allows, something after the end, or no such text.
        """
        self.heard += 1
        if isinstance(message, str):
            return b"", self._receive_text(message)
        self.arrived += len(message)
        if self.ended or len(message) > MESSAGE_BYTES_MAX or self.arrived - self._taken_here > WINDOW_BYTES:
            rule = "something after its end" if self.ended else "more than the window or a message holds"
            raise RemoteProtocolError(f"the peer sends {rule}", penalty=100, code="window")
        return message, ""

    def send(self, count: int) -> None:
        """Note that bytes are sent, `room` at most."""
        self.sent += count

    def take(self, count: int) -> str:
        """Note that bytes that came were read; return the text that says so."""
        self._taken_here += count
        return f"+{self._taken_here}"

    def _receive_text(self, text: str) -> str:
        if text == PROBE:
            return f"!{self.arrived}"
        if text == END:
            self.ended = True
            return END_ARRIVED
        if text == END_ARRIVED:
            self.end_arrived = True
            return ""
        kind, digits = text[:1], text[1:]
        if kind not in ("!", "+") or not (digits.isascii() and digits.isdigit()) or len(digits) > _TEXT_CHARS_MAX:
            raise RemoteProtocolError(
                f"the peer says a text of {len(text)} characters that means nothing", penalty=100, code="malformed"
            )
        total = int(digits)
        if total > self.sent:
            raise RemoteProtocolError(
                f"the peer says that {total} bytes came; {self.sent} were sent", penalty=100, code="window"
            )
        self.acknowledged = max(self.acknowledged, total)
        if kind == "+":
            self._taken_there = max(self._taken_there, total)
        return ""


class Patience:
    """Judges from what is seen now and then whether the other end is gone.

    Args:
        patience_s: how long it may say nothing at all while it owes word of what it was sent.
    """

    SLOWEST_BYTES_PER_S: Final = 32 << 10
    """Of a line on which the question alone may have to wait behind a whole window; it gets more time for it."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._since_s: float | None = None
        self._heard = 0

    def is_lost(self, now_s: float, flow: Flow) -> bool:
        """Return whether the other end has been silent for longer than allowed; to be asked after it was probed."""
        owed = flow.sent - flow.acknowledged
        if not owed:
            self._since_s = None
            return False
        if self._since_s is None or flow.heard != self._heard:
            self._since_s, self._heard = now_s, flow.heard
            return False
        return now_s - self._since_s >= self._patience_s + owed / self.SLOWEST_BYTES_PER_S
