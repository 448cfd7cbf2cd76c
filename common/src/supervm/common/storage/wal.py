"""The write-ahead log: an append-only file that holds what a node has promised (consensus.md 2.2).

Theory of operation. `log_format` says what is in the file and which damage shows and which does not: **bit rot in the
last group cannot be told from a torn tail**. Here is what makes it last. `append` writes one group and syncs it before
it returns. The header is written to another name and renamed, so it is never torn, and `rewrite` (pruning) does the
same with the whole file; the directory is synced each time a name changes. What is found at start is synced again
before anybody acts on it: after a killed process it may be in the page cache only. After any failed write the log
refuses everything: only a new start reads back what is on the medium.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

from supervm.common.errors import InputError
from supervm.protocol.base.errors import LocalProtocolError

from .errors import LogDamaged, StorageFailed
from .files import replace_file, sync_data, sync_directory, write_all
from .log_format import (
    COPY_INCARNATION,
    INCARNATION_BYTES,
    LogContent,
    check_group,
    checksum_under,
    group_frame,
    header_frame,
    parse_log,
)


def read_log(path: Path) -> LogContent:
    """Read a log file, also one that is being written.

    Raises:
        LogDamaged: it is damaged elsewhere than in a torn tail.
        InputError: it has a format this program does not read.
        OSError: it cannot be read.
    """
    return parse_log(path.read_bytes(), path)


def copy_log(source: Path, target: Path) -> None:
    """Copy a log for inspection, under `COPY_INCARNATION`: put in place of a lost log it makes an observer.

    An exact copy would be dangerous: promises made after the copy would be missing and nothing would show it.

    Raises:
        LogDamaged: the source is damaged.
        OSError: it cannot be read, or the copy cannot be written.
    """
    content = read_log(source)
    data = header_frame(COPY_INCARNATION, 1) + group_frame(1, content.payloads, checksum_under(COPY_INCARNATION))
    replace_file(target, data, durable=True)


class WriteAheadLog:
    """The open log of a running node, locked against other processes. Not for use by two threads at once.

    Args:
        path: the file; created, and its directory synced, if there is none.
        incarnation: 16 bytes that belong to the node's keys.

    Attributes:
        created: there was no file. A node whose key is older than this start has lost its log and must be an observer
            (consensus.md 2.2).
        recovered: payloads found, oldest first.
        dropped_bytes: length of the torn tail that was cut off.

    Raises:
        LogDamaged: damage, or a log of another incarnation: the node becomes an observer.
        InputError: another process holds it, it has a format this program does not read, or it cannot be opened.
        StorageFailed: it could not be made durable.
    """

    def __init__(self, path: Path, incarnation: bytes) -> None:
        if len(incarnation) != INCARNATION_BYTES:
            raise LocalProtocolError(f"an incarnation has {INCARNATION_BYTES} bytes, not {len(incarnation)}")
        self.path = path
        self._incarnation = incarnation
        self._checksum = checksum_under(incarnation)
        self._failed = False
        self.created = not path.exists()
        if self.created:
            try:
                replace_file(path, header_frame(incarnation, 1), durable=True)
            except OSError as error:
                raise InputError(f"cannot create the write-ahead log {path}: {error.strerror}") from error
        self._fd = self._open(path)
        try:
            self._recover()
        except BaseException:
            os.close(self._fd)
            raise

    @staticmethod
    def _open(path: Path) -> int:
        try:
            fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except OSError as error:
            raise InputError(f"cannot open the write-ahead log {path}: {error.strerror}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            raise InputError(f"the write-ahead log {path} is in use by another process") from error
        return fd

    def _recover(self) -> None:
        try:
            content = read_log(self.path)
        except OSError as error:
            raise self._fail("read", error) from error
        if content.incarnation != self._incarnation:
            raise LogDamaged(
                f"the write-ahead log {self.path} is of incarnation {content.incarnation.hex()}, the keys are of "
                f"{self._incarnation.hex()}: it is a copy, or of another installation"
            )
        self.recovered = tuple(content.payloads)
        self._sequence = content.next_sequence
        self.size_bytes = content.valid_bytes
        """Bytes of the file."""
        try:
            self.dropped_bytes = os.fstat(self._fd).st_size - content.valid_bytes
            if self.dropped_bytes:
                os.ftruncate(self._fd, content.valid_bytes)
            # after a killed process the last groups may be in the page cache only, and they are acted upon from now on
            sync_data(self._fd)
        except OSError as error:
            raise self._fail("sync", error) from error
        with contextlib.suppress(FileNotFoundError):
            self.path.with_name(self.path.name + ".new").unlink()

    def append(self, payloads: Sequence[bytes]) -> None:
        """Append payloads as one group; on return they are on the medium, and recovered all or none.

        Raises:
            LocalProtocolError: together they exceed `GROUP_BYTES_MAX`; nothing was written.
            StorageFailed: they may not be on the medium; the log takes nothing any more.
        """
        check_group(payloads)
        self._check_usable()
        frame = group_frame(self._sequence, payloads, self._checksum)
        try:
            write_all(self._fd, frame)
            sync_data(self._fd)
        except OSError as error:
            raise self._fail("append to", error) from error
        self._sequence += 1
        self.size_bytes += len(frame)

    def rewrite(self, payloads: Sequence[bytes]) -> None:
        """Replace everything by one group of these payloads: after a crash the old or the new log is found.

        Raises:
            LocalProtocolError: together they exceed `GROUP_BYTES_MAX`; nothing was written.
            StorageFailed: neither log may be on the medium; the log takes nothing any more.
        """
        check_group(payloads)
        self._check_usable()
        data = header_frame(self._incarnation, self._sequence)
        if payloads:
            data += group_frame(self._sequence, payloads, self._checksum)
        new = self.path.with_name(self.path.name + ".new")
        try:
            fd = os.open(new, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # before it has its name, so it is never unlocked there
                write_all(fd, data)
                sync_data(fd)
                new.replace(self.path)
                sync_directory(self.path.parent)
            except BaseException:
                os.close(fd)
                raise
        except OSError as error:
            raise self._fail("rewrite", error) from error
        os.close(self._fd)
        self._fd = fd
        self._sequence += 1 if payloads else 0
        self.size_bytes = len(data)

    def close(self) -> None:
        """Close the file and give up its lock; everything appended is durable already."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._failed = True

    def _check_usable(self) -> None:
        if self._failed:
            raise StorageFailed(f"the write-ahead log {self.path} failed before or is closed; start the node again")

    def _fail(self, action: str, error: OSError) -> StorageFailed:
        self._failed = True
        return StorageFailed(
            f"could not {action} the write-ahead log {self.path}: {error.strerror}; the process must end. "
            "Make room or mend the disk, then start the node again"
        )
