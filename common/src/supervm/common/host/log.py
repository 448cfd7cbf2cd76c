"""A node's log: one JSON object per line in a file, and something for people on a terminal.

Fields are ``time`` (UTC, ISO 8601, milliseconds), ``level``, ``event`` and the event's own. What peers say stands in
fields only and is escaped, so no peer can forge a line or move a terminal's cursor. Where people look too, every line
is shown as text on a terminal (coloured unless ``NO_COLOR`` is set), and elsewhere, where the file is what is kept,
warnings and errors as JSON.

A stranger who comes and goes all day must not fill the disk with that news. Of each event a node writes `LINES` and
counts the rest; the next line of that event says how many were ``left_out``. Errors are always written, and so is
everything if the level is debug, where somebody looks for something.

A process that is a node's alone takes what any library logs into the node's log. A node inside another program takes
only what the libraries that it uses log in its own tasks: the rest is that program's, or another node's in it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

import msgspec

from supervm.common.contract.events import Event, Level
from supervm.common.parts.buckets import Bucket, Rate

from .events import Library

LEVELS: Final[Mapping[str, int]] = {"debug": 10, "info": 20, "warning": 30, "error": 40}
"""Level names and their order."""

LINES: Final = Rate(per_s=1, burst=20)
"""Lines of one event."""

_LIBRARIES: Final = ("supervm", "apscheduler", "sqlalchemy")
"""Loggers of ours and of the libraries that log while a node runs."""
_of_node: ContextVar[Log | None] = ContextVar("node", default=None)

_COLOURS: Final[Mapping[str, str]] = {"debug": "2", "warning": "33", "error": "31"}


def _encoded(document: object) -> bytes:
    return msgspec.json.encode(document, enc_hook=str)


class Log:
    """Writes events.

    Args:
        path: the file, appended to; None for none.
        level: the least important level that is written: debug, info, warning or error.
        stream: where people look; None if nobody does.
        now_ms: Unix milliseconds.
    """

    def __init__(
        self, path: Path | None, level: str, *, now_ms: Callable[[], int], stream: TextIO | None = None
    ) -> None:
        self._path = path
        self._least = LEVELS[level]
        self._now_ms = now_ms
        self._stream = stream
        self._terminal = stream is not None and stream.isatty()
        self._colour = self._terminal and not os.environ.get("NO_COLOR")
        self._file: int | None = None
        self._buckets: dict[str, Bucket] = {}
        self._left_out: dict[str, int] = {}
        self.reopen()

    def __call__(self, event: Event, /) -> None:
        """Write an event if its level is wanted; a log that cannot be written never stops a node."""
        name, level = event.NAME, event.level
        rank = LEVELS.get(level, 40)
        if rank < self._least:
            return
        fields = event.fields
        if rank < LEVELS["error"] and self._least > LEVELS["debug"]:
            if not self._has_room(name):
                self._left_out[name] = self._left_out.get(name, 0) + 1
                return
            left_out = self._left_out.pop(name, 0)
            if left_out:
                fields = {**fields, "left_out": left_out}
        at = self._time()
        line = _line(at, name, fields, level)
        with suppress(OSError, ValueError):
            if self._file is not None:
                os.write(self._file, line)
            if self._stream is None:
                return
            if self._terminal:
                self._stream.write(self._text(at, name, fields, level))
                self._stream.flush()
            elif rank >= LEVELS["warning"]:
                self._stream.write(line.decode())
                self._stream.flush()

    def to_file(self, event: Event, /) -> None:
        """Write an event to the file alone: what ends the program, which prints it itself."""
        with suppress(OSError, ValueError):
            if self._file is not None:
                os.write(self._file, _line(self._time(), event.NAME, event.fields, event.level))

    def _has_room(self, name: str) -> bool:
        now_us = self._now_ms() * 1000
        bucket = self._buckets.get(name)
        if bucket is None:  # names are the program's own, so there are few
            bucket = self._buckets[name] = Bucket(LINES, now_us)
        return bucket.take(now_us, 1) == 1

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
        everything: False takes only what is logged in tasks and threads of the node that `in_tasks_of` was called for.
    """

    def __init__(self, log: Log, *, everything: bool = True) -> None:
        super().__init__(logging.WARNING)
        self._log = log
        self._everything = everything

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record as the event ``library``."""
        if not self._everything and _of_node.get() is not self._log:
            return
        level: Level = "error" if record.levelno >= logging.ERROR else "warning"
        self._log(Library(record.name, record.getMessage(), level))


def in_tasks_of(log: Log) -> None:
    """Say that this task, and tasks and threads that it starts from now on, are those of the node with this log."""
    _of_node.set(log)


@contextmanager
def libraries_logged(log: Log, *, everything: bool) -> Iterator[None]:
    """Take what libraries log into a node's log.

    Args:
        log: where to.
        everything: take from every library and wherever in the process; False: see `LibraryHandler`. The root logger
            is then left alone, so that the program around can still configure it.
    """
    handler = LibraryHandler(log, everything=everything)
    loggers = [logging.getLogger(name) for name in (("",) if everything else _LIBRARIES)]
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
