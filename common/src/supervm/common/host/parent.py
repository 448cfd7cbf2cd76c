"""Nodes that `supervm up` starts end with it, also when it is killed and can tell them nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import trio

PARENT_VARIABLE: Final = "SUPERVM_PARENT"
"""Environment variable with the process id of the `supervm up` that a node belongs to."""
LOOK_S: Final = 1.0
"""Where the system gives no descriptor of a process, the parent is looked for this often."""


def parent_to_follow(environment: Mapping[str, str] | None = None) -> int | None:
    """Return the process that this one must not outlive, None if there is none."""
    text = (os.environ if environment is None else environment).get(PARENT_VARIABLE, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


async def parent_gone(parent: int) -> None:
    """Return when `parent` is no longer this process's parent: an orphan is handed to another one.

    Linux tells by a descriptor, so that a node that has nothing to do sleeps.
    """
    with suppress(OSError):  # it is gone, or a sandbox forbids it
        descriptor = _descriptor_of(parent)
        if descriptor is not None:
            try:
                if os.getppid() == parent:  # else the number is another process's by now
                    await trio.lowlevel.wait_readable(descriptor)
            finally:
                os.close(descriptor)
    while os.getppid() == parent:
        await trio.sleep(LOOK_S)


def _descriptor_of(process: int) -> int | None:
    if sys.platform == "linux" and hasattr(os, "pidfd_open"):
        return os.pidfd_open(process)
    return None
