"""Making bytes in files durable: what `fsync` means on each system, in one place."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Final

_FULL_SYNC: Final[int | None] = getattr(fcntl, "F_FULLFSYNC", None)


def sync_data(fd: int) -> None:
    """Return when the file's bytes and length are on the medium.

    Raises:
        OSError: they may not be; the page cache no longer tells.
    """
    if _FULL_SYNC is not None:  # macOS: fsync stops at the drive's volatile cache
        fcntl.fcntl(fd, _FULL_SYNC)
    else:
        os.fdatasync(fd)


def sync_directory(directory: Path) -> None:
    """Return when the names in a directory are on the medium: a created or renamed file is lost without it."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`: one `write` may take less, above all just before the disk is full."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def replace_file(path: Path, data: bytes, *, durable: bool) -> None:
    """Replace a file so that a reader, and with `durable` a crash, finds the old or the new content and no third.

    Args:
        path: the file; ``NAME.new`` beside it is used on the way.
        data: its new content.
        durable: whether the new content is on the medium on return.
    """
    new = path.with_name(path.name + ".new")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write_all(fd, data)
        if durable:
            sync_data(fd)
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    finally:
        os.close(fd)
    new.replace(path)
    if durable:
        sync_directory(path.parent)
