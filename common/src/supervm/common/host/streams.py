"""The process's standard streams, also where whoever started it gave it none.

A bare init, cron or a program that turns itself into a daemon may start a process with descriptors 0, 1 or 2 closed.
The next files that the process opens would then take these numbers, and what Python and C libraries print to "standard
error" would land in a database. So missing ones are opened first of all, on the null device.
"""

from __future__ import annotations

import os
import sys
from typing import IO, Any, Final

_STREAMS: Final = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def open_standard_streams() -> None:
    """Open the null device on each of descriptors 0, 1 and 2 that is closed, and give Python its stream for it."""
    for number, (name, mode) in enumerate(_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)  # child processes need them as much as this one
        if getattr(sys, name) is None:
            stream = open(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def point_to_null(stream: IO[Any]) -> None:
    """Let what is still written to `stream` go nowhere: its reader is gone, or its disk is full."""
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, stream.fileno())
    finally:
        os.close(null)
