"""Waits after wrong passphrases, kept on disk so that neither a restart nor a clock set back ends them.

Theory of operation. Every try is counted as wrong in ``wallet.tries``, durably, *before* the passphrase is tried; one
that opens the wallet sets the count to zero. So whoever ends the program before it answers has had a try all the same.
Beside the count stands the time of the last try. A wait is what is left of `wait_us` since then. If the clock is found
before that time it was set back (or had been ahead): the wait begins anew, from now, so it is neither cut short nor
made longer than it is. A clock that is set forward does end a wait, since nothing on the device knows better; and
whoever can write the folder can delete the count, but can copy the wallet as well: against that only the passphrase
helps.

A disk that is full must not give free tries, so a try that cannot be counted is refused - unless the folder is read
only, which whoever tries passphrases on the screen cannot bring about.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from supervm.common.errors import CommonError, InputError
from supervm.common.storage.files import replace_file
from supervm.protocol.base.codec import INT_MAX, Agreed, decode, encode
from supervm.protocol.base.errors import RemoteProtocolError

TRIES_FILE: Final = "wallet.tries"
"""Name of the count, beside the wallet."""
FREE_TRIES: Final = 5
"""So many wrong tries cost no wait: people mistype."""
FIRST_WAIT_US: Final = 30_000_000
"""The wait after these; each further wrong try doubles it."""
LONGEST_WAIT_US: Final = 3_600_000_000
"""An hour: longer would be a way to lock an owner out."""

_FILE_BYTES_MAX = 64
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


class WrongPassphrase(InputError):
    """The passphrase does not open the wallet."""


class TooSoon(InputError):
    """There were wrong passphrases, and the wait after them is not over.

    Attributes:
        wait_us: what is left of it.
    """

    def __init__(self, wrong: int, wait_us: int) -> None:
        wait_s = -(-wait_us // 1_000_000)
        super().__init__(f"after {wrong} wrong passphrases the next may be tried in {wait_s} s")
        self.wait_us = wait_us


class Tries(Agreed, frozen=True):
    """Wrong tries since the last right one, and when the last was, in Unix microseconds."""

    kind: Literal["svm.tries"]
    wrong: Annotated[int, msgspec.Meta(ge=0, le=INT_MAX)]
    at_us: Annotated[int, msgspec.Meta(ge=0, le=INT_MAX)]


def wait_us(wrong: int) -> int:
    """Return how long to wait after so many wrong tries in a row."""
    if wrong < FREE_TRIES:
        return 0
    return min(FIRST_WAIT_US << min(wrong - FREE_TRIES, 32), LONGEST_WAIT_US)


def rest_us(tries: Tries, now_us: int) -> int:
    """Return what is left of the wait; all of it if the clock is before the last try."""
    return max(0, wait_us(tries.wrong) - max(0, now_us - tries.at_us))


def read_tries(path: Path, now_us: int) -> Tries:
    """Return the count beside the wallet at `path`; one that is damaged counts as the first that has to wait.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with _beside(path).open("rb") as file:
            return decode(Tries, file.read(_FILE_BYTES_MAX + 1), bytes_max=_FILE_BYTES_MAX)
    except FileNotFoundError:
        return Tries("svm.tries", 0, 0)
    except RemoteProtocolError:
        return Tries("svm.tries", FREE_TRIES, now_us)
    except OSError as error:
        raise InputError(f"{_beside(path)}: the count of wrong tries cannot be read: {error.strerror}") from error


@contextmanager
def counted(path: Path, now_us: int) -> Iterator[None]:
    """Count a try at the wallet at `path` as wrong while the body runs; a body that does not raise makes it right.

    Args:
        path: the wallet's file.
        now_us: Unix microseconds.

    Raises:
        TooSoon: a wait is not over; the body is not run.
        InputError: the count cannot be read or written; the body is not run.
    """
    with _alone(path.parent):
        before = read_tries(path, now_us)
        if before.at_us > now_us and before.wrong:
            before = Tries("svm.tries", before.wrong, now_us)
            _write(path, before)
        left_us = rest_us(before, now_us)
        if left_us:
            raise TooSoon(before.wrong, left_us)
        _write(path, Tries("svm.tries", before.wrong + 1, now_us))
        try:
            yield
        except WrongPassphrase:
            raise
        except CommonError:  # the machine's fault - no memory, no keystore - and no wrong passphrase
            _write(path, before)
            raise
        _write(path, Tries("svm.tries", 0, now_us))


def _beside(path: Path) -> Path:
    return path.with_name(TRIES_FILE)


def _write(path: Path, tries: Tries) -> None:
    try:
        replace_file(_beside(path), encode(tries), durable=True)
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise InputError(
                f"{_beside(path)}: the try cannot be counted ({error.strerror}), and a passphrase is not tried "
                "uncounted: make room on the disk"
            ) from error


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Let no other process try at the same time, so that none counts from an old count."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # a file system that knows no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
