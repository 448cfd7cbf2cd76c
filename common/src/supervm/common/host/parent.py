"""Nodes that `supervm up` starts end with it, also when it is killed and can tell them nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

import trio

PARENT_VARIABLE: Final = "SUPERVM_PARENT"
"""Environment variable with the process id of the `supervm up` that a node belongs to."""
LOOK_S: Final = 1.0


def parent_to_follow(environment: Mapping[str, str] | None = None) -> int | None:
    """Return the process that this one must not outlive, None if there is none."""
    text = (os.environ if environment is None else environment).get(PARENT_VARIABLE, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


async def parent_gone(parent: int) -> None:
    """Return when `parent` is no longer this process's parent: an orphan is handed to another one."""
    while os.getppid() == parent:
        await trio.sleep(LOOK_S)
