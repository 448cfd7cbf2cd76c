"""One owner per directory (surface.md): a lock on ``DIR/lock`` that ends with its process, however that ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from supervm.common.errors import InputError

LOCK_FILE: Final = "lock"
"""Name of the lock in its directory."""


class DirectoryLock:
    """Holds the lock of a node or wallet directory from construction to `release` or the end of the process.

    The file stays when the lock is released: deleting it would let two processes lock two files of one name. The
    process id in it is for people; what counts is the lock, so a left-over file never blocks a start.

    Args:
        directory: an existing directory.

    Raises:
        InputError: there is no such directory, it cannot be written, or another process holds it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        path = directory / LOCK_FILE
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise InputError(f"cannot use the directory {directory}: {error.strerror}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(fd, 32).decode("ascii", "replace").strip()
            os.close(fd)
            if not isinstance(error, BlockingIOError):
                raise InputError(f"cannot lock {path}: {error.strerror}") from error
            raise InputError(
                f"the directory {directory} is in use by process {holder or 'unknown'}; "
                "stop that process or use another directory"
            ) from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd: int | None = fd

    def release(self) -> None:
        """Give the directory free; a second call does nothing."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
