"""Tables of an L1 node's database: full history, and the ledger's own."""

from __future__ import annotations

from typing import Final

from supervm.common.contract.tables import PrimaryKey, Table, TableRow
from supervm.common.parts.directory.root import DIRECTORY
from supervm.common.parts.ledger_tables import LEDGER_TABLES
from supervm.common.parts.reach.tables import REACH_TABLES
from supervm.common.parts.validator_changes import CHANGE_TABLES


class BlockRow(TableRow, frozen=True):
    """A finalized block; `finalization` is set where a finalization of exactly that block is known."""

    height: PrimaryKey[int]
    block: bytes
    finalization: bytes | None


class SealRow(TableRow, frozen=True):
    """What made a block final that has no finalization of its own (`chain.serving.Serving.seal`).

    Of a sealing block, its descendants with the finalization of the last.
    """

    height: PrimaryKey[int]
    proof: bytes


class WishRow(TableRow, frozen=True):
    """What the operator wants: the validators of the next epoch."""

    name: PrimaryKey[str]
    value: bytes


class CheckpointRow(TableRow, frozen=True):
    """A certified checkpoint."""

    height: PrimaryKey[int]
    checkpoint: bytes


class BatchRow(TableRow, frozen=True):
    """The body of a batch: voted on, or fetched for a finalized block."""

    digest: PrimaryKey[bytes]
    batch: bytes


class LooseRow(TableRow, frozen=True):
    """A body that no executed block refers to, by the epoch of its batch: it leaves when that is over."""

    epoch: PrimaryKey[int]
    digest: PrimaryKey[bytes]


class SpentRow(TableRow, frozen=True):
    """A batch of the present epoch that a block has executed: its certificates are of no more use."""

    epoch: PrimaryKey[int]
    digest: PrimaryKey[bytes]


BLOCKS: Final = Table("blocks", BlockRow)
SEALS: Final = Table("seals", SealRow)
WISHES: Final = Table("wishes", WishRow)
CHECKPOINTS: Final = Table("checkpoints", CheckpointRow)
BATCHES: Final = Table("batches", BatchRow)
LOOSE: Final = Table("loose", LooseRow)
SPENT: Final = Table("spent", SpentRow)

TABLES: Final = (
    *LEDGER_TABLES,
    *CHANGE_TABLES,
    BLOCKS,
    SEALS,
    WISHES,
    CHECKPOINTS,
    BATCHES,
    LOOSE,
    SPENT,
    *REACH_TABLES,
    DIRECTORY,
)
"""All of them."""
