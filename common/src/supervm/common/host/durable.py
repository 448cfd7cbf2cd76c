"""What a node finds in its folder when it starts: its database and its write-ahead log."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

from ..contract.tables import AnyTable
from ..errors import InputError
from ..storage import LogDamaged
from ..storage.files import sync_directory
from ..storage.sql import SqlStore
from ..storage.wal import WriteAheadLog
from ..text.options import hex_bytes
from . import events as said
from .config import NodeConfig
from .keyfile import create_private_file
from .log import Log
from .mend import DATABASE_FILE

PROMISES_FILE: Final = "promises.log"
"""The write-ahead log, of tiers that have one."""
INCARNATION_FILE: Final = "incarnation"
"""16 random bytes, in hexadecimal, that bind the write-ahead log to this installation."""
_INCARNATION_BYTES: Final = 16


def open_store(
    config: NodeConfig, tables: Iterable[AnyTable], *, with_log: bool, log: Log | None = None
) -> tuple[SqlStore, bool]:
    """Open the node's database and, if asked, its write-ahead log; also say whether an earlier log is lost or damaged.

    The incarnation is written before the log and gets its name after it, so its name says that there was a log. A lost
    log is replaced when the node asks for it (`Prune.begin`): under a new incarnation, so that the old log, should it
    turn up again, is a stranger's.
    """
    database = config.database_url or config.directory / DATABASE_FILE
    if not with_log:
        return SqlStore(database, tables), False
    path = config.directory / INCARNATION_FILE
    new = path.with_suffix(".new")
    had_log = path.exists()
    if not had_log and not new.exists():
        create_private_file(new, os.urandom(_INCARNATION_BYTES).hex().encode() + b"\n")
    source = path if had_log else new
    incarnation = hex_bytes(source.read_text(encoding="ascii", errors="replace").strip(), _INCARNATION_BYTES)
    if incarnation is None:
        raise InputError(f"{source}: one line of {2 * _INCARNATION_BYTES} hexadecimal digits is expected")
    promises = config.directory / PROMISES_FILE

    def begin_log() -> WriteAheadLog:
        if promises.exists():
            promises.replace(promises.with_suffix(".lost"))
        new.unlink(missing_ok=True)
        fresh = os.urandom(_INCARNATION_BYTES)
        create_private_file(new, fresh.hex().encode() + b"\n")
        begun = WriteAheadLog(promises, fresh)
        new.replace(path)
        sync_directory(config.directory)
        return begun

    if had_log and not promises.exists():
        # No new log is begun: the next start must find it missing, too, or it would vote as if it had never voted.
        if log is not None:
            log(said.LogLost(str(promises)))
        return SqlStore(database, tables, begin_log=begin_log), True
    try:
        store = SqlStore(database, tables, log_path=promises, incarnation=incarnation)
    except LogDamaged as error:
        # what is left of the promises cannot be relied on: read the tables, promise nothing any more
        if log is not None:
            log(said.LogDamaged(str(error)))
        return SqlStore(database, tables, begin_log=begin_log), True
    if not had_log:
        new.rename(path)
    return store, False
