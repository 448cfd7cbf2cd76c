"""A node's log: one JSON object per line in a file, and something for people on a terminal.

Fields are ``time`` (UTC, ISO 8601, milliseconds), ``level``, ``event`` and the event's own. What peers say stands in
fields only and is escaped, so no peer can forge a line or move a terminal's cursor. Standard error shows every line as
text on a terminal (coloured unless ``NO_COLOR`` is set), and elsewhere, where the file is what is kept, warnings and
errors as JSON.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

import msgspec

LEVELS: Final[Mapping[str, int]] = {"debug": 10, "info": 20, "warning": 30, "error": 40}
"""Level names and their order."""

_COLOURS: Final[Mapping[str, str]] = {"debug": "2", "warning": "33", "error": "31"}


def _encoded(document: object) -> bytes:
    return msgspec.json.encode(document, enc_hook=str)


class Log:
    """Writes events.

    Args:
        path: the file, appended to; None for none.
        level: the least important level that is written: debug, info, warning or error.
        stream: where people look; standard error by default.
        now_ms: Unix milliseconds.
    """

    def __init__(
        self, path: Path | None, level: str, *, now_ms: Callable[[], int], stream: TextIO | None = None
    ) -> None:
        self._path = path
        self._least = LEVELS[level]
        self._now_ms = now_ms
        self._stream = sys.stderr if stream is None else stream
        self._terminal = self._stream.isatty()
        self._colour = self._terminal and not os.environ.get("NO_COLOR")
        self._file: int | None = None
        self.reopen()

    def __call__(self, name: str, fields: Mapping[str, Any], level: str, /) -> None:
        """Write an event if its level is wanted; a log that cannot be written never stops a node."""
        rank = LEVELS.get(level, 40)
        if rank < self._least:
            return
        at = self._time()
        line = _line(at, name, fields, level)
        with suppress(OSError, ValueError):
            if self._file is not None:
                os.write(self._file, line)
            if self._terminal:
                self._stream.write(self._text(at, name, fields, level))
                self._stream.flush()
            elif rank >= LEVELS["warning"]:
                self._stream.write(line.decode())
                self._stream.flush()

    def to_file(self, name: str, fields: Mapping[str, Any], level: str, /) -> None:
        """Write an event to the file alone: what ends the program, which prints it itself."""
        with suppress(OSError, ValueError):
            if self._file is not None:
                os.write(self._file, _line(self._time(), name, fields, level))

    def _time(self) -> str:
        return datetime.fromtimestamp(self._now_ms() / 1000, UTC).isoformat(timespec="milliseconds")

    def reopen(self) -> None:
        """Open the file anew, after it was renamed."""
        self.close()
        if self._path is not None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            with suppress(OSError):
                self._file = os.open(self._path, flags, 0o600)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _text(self, at: str, name: str, fields: Mapping[str, Any], level: str) -> str:
        words = " ".join(f"{key}={_encoded(value).decode()}" for key, value in _hexed(fields).items())
        text = f"{at[11:23]} {name} {words}".rstrip()
        colour = _COLOURS.get(level)
        return f"\x1b[{colour}m{text}\x1b[0m\n" if self._colour and colour else f"{text}\n"


def _line(at: str, name: str, fields: Mapping[str, Any], level: str) -> bytes:
    return _encoded({"time": at, "level": level, "event": name, **_hexed(fields)}) + b"\n"


def _hexed(fields: Mapping[str, Any]) -> dict[str, Any]:
    # msgspec would write bytes as base64; everywhere else in this suite they are hexadecimal
    return {key: value.hex() if isinstance(value, bytes) else value for key, value in fields.items()}


class LibraryHandler(logging.Handler):
    """Brings what libraries and housekeeping log into a node's log.

    Args:
        log: where to.
    """

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record as the event ``library``."""
        level = "error" if record.levelno >= logging.ERROR else "warning"
        self._log("library", {"logger": record.name, "text": record.getMessage()}, level)
