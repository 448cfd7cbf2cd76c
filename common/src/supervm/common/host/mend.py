"""What the owner of a node can do when its database is damaged; it depends on what only that database knew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..storage.errors import DatabaseDamaged, StorageFailed
from .config import NodeConfig

DATABASE_FILE: Final = "node.sqlite"
"""The database of a node that configures no other, in its directory."""

MENDS: Final[Mapping[int, str]] = {
    1: "stop the node and move {files} out of {folder}; it takes blocks or a snapshot from the other validators and "
    "follows until it may vote again. Leave promises.log, incarnation and the keys where they are: they hold what it "
    "has promised",
    2: "stop the node and move {files} out of {folder}; it takes blocks or a snapshot from the validators",
    3: "stop the node and move {files} out of {folder}; it begins anew, and phones submit again what it had "
    "taken and what is not executed yet",
    4: "do not delete it: only it knows which payments were signed. Keep {files}, and put the newest copy of "
    "{folder}/backups (NNNNNN.sqlite) in the place of node.sqlite. Without a copy, wait until the validity of the "
    "payments that were under way has passed ([l4] validity_s), then import the words into a new folder",
}
"""Tier -> what to do when the database is damaged. L1 to L3 may begin anew from their peers, a phone may not."""


def with_mend(error: StorageFailed, config: NodeConfig) -> str:
    """Return what failed and, if a damaged database did, what the owner of a node of that tier can do about it."""
    if not isinstance(error, DatabaseDamaged):
        return str(error)
    if config.database_url and not config.database_url.startswith("sqlite"):
        return f"{error}; restore the database with the tools of its server"
    files = f"{DATABASE_FILE}, {DATABASE_FILE}-wal and {DATABASE_FILE}-shm"
    if config.database_url:
        files = "the database's files"
    return f"{error}; " + MENDS[config.tier].format(files=files, folder=config.directory)
