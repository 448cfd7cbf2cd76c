"""Errors of storage, told apart by what the node has to do."""

from __future__ import annotations

from supervm.common.errors import CommonError


class StorageFailed(CommonError):
    """A write did not become durable, or stored data cannot be read: the process must end and never try again.

    After a failed fsync the page cache no longer tells what is on the disk, so a repeated fsync that succeeds proves
    nothing (consensus.md 2.1). Only a new start, which reads everything back, is safe.
    """


class DatabaseDamaged(StorageFailed):
    """The database holds what no node has written: starting again does not help, a person has to mend it."""


class LogDamaged(CommonError):
    """The write-ahead log cannot be trusted to hold every promise: the node becomes an observer (consensus.md 2.8)."""
