"""What a light client keeps on disk (`light_memory.LightMemory`); a miner keeps its forks the same way."""

from __future__ import annotations

from typing import Final

from ..contract.tables import PrimaryKey, Table, TableRow
from .validator_changes import CHANGE_TABLES


class AnchorRow(TableRow, frozen=True):
    """``given``: the newest `Anchor` that the owner gave."""

    name: PrimaryKey[str]
    anchor: bytes


class CertifiedRow(TableRow, frozen=True):
    """A `CertifiedCheckpoint` that is remembered."""

    height: PrimaryKey[int]
    checkpoint: bytes


class ForkRow(TableRow, frozen=True):
    """A `CheckpointFork`, by the height where it begins."""

    height: PrimaryKey[int]
    fork: bytes


ANCHORS: Final = Table("anchors", AnchorRow)
CERTIFIED: Final = Table("certified", CertifiedRow)
FORKS: Final = Table("forks", ForkRow)
TRUST_TABLES: Final = (ANCHORS, CERTIFIED, FORKS, *CHANGE_TABLES)
"""Tables of a node with a light client."""
