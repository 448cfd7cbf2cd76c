"""Scanner: what a camera saw, somebody pasted or a file held, and where it goes.

Only what pays or is handed over leads anywhere. An anchor is never taken here, whatever it says (`scanned`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ...errors import MobileError
from ...handover.frames import FrameReader
from ...handover.payment_request import PaymentRequest, RequestError, parse_request
from ...scanned import Kind, look_at
from ..errors import explain_text
from ..values import Text, say

_REFUSED: Final[Mapping[Kind, Text]] = {
    "node": say("scan.node"),
    "anchor": say("scan.anchor"),
    "words": say("scan.words"),
    "other": say("scan.other"),
}


@dataclass(frozen=True, slots=True)
class ToPay:
    """Somebody asks to be paid."""

    request: PaymentRequest


@dataclass(frozen=True, slots=True)
class ToTake:
    """Another phone has handed over all of this."""

    container: bytes


Found = ToPay | ToTake | None
"""What was scanned and where it goes; None: nowhere yet, and `ScanModel.note` says why."""


@dataclass(slots=True)
class ScanModel:
    """State of the scanner.

    Attributes:
        note: what is to be said of what was scanned last; None if nothing is.
    """

    note: Text | None = None
    _reader: FrameReader = field(default_factory=FrameReader)

    def restart(self) -> None:
        """Forget what was scanned so far."""
        self.note, self._reader = None, FrameReader()

    @property
    def progress(self) -> tuple[int, int]:
        """How many frames of a hand-over have come that say something new, and how many are needed; (0, 0): none."""
        return self._reader.progress

    def take(self, scanned: str | bytes) -> Found:
        """Take one thing; return where it goes."""
        found = look_at(scanned)
        self.note = None
        match found.kind:
            case "address" | "payment-request":
                return self._to_pay(found.text)
            case "container":
                return ToTake(found.data)
            case "hand-over":
                return self._frame(found.data)
            case kind:
                self.note = _REFUSED[kind]
                return None

    def take_codes(self, codes: list[bytes]) -> Found:
        """Take what the codes of one picture said; the first that leads somewhere counts."""
        if not codes:
            self.note = say("scan.no-code")
        for code in codes:
            found = self.take(code)
            if found is not None:
                return found
        return None

    def _to_pay(self, text: str) -> Found:
        try:
            return ToPay(parse_request(text))
        except RequestError as error:
            told = explain_text(str(error))
            self.note = say("scan.request-damaged") if told.key == "error.unknown" else told
            return None

    def _frame(self, data: bytes) -> Found:
        try:
            if self._reader.take(data):
                assert self._reader.container is not None
                return ToTake(self._reader.container)
        except MobileError:  # a frame that was misread is one that was lost: others make up for it
            self.note = say("scan.misread")
            return None
        have, need = self.progress
        self.note = say("scan.progress", have=have, need=need)
        return None
