"""Tables of an L1 node's database: full history, and the ledger's own."""

from __future__ import annotations

from typing import Final

from supervm.common.contract.records import Column, TableSpec
from supervm.common.parts.ledger_tables import LEDGER_TABLES
from supervm.common.parts.validator_changes import CHANGE_TABLES

BLOCKS: Final = TableSpec(
    "blocks", (Column("height", "int"),), (Column("block", "bytes"), Column("finalization", "bytes", nullable=True))
)
"""Finalized blocks; `finalization` is set where a finalization of exactly that block is known."""
SEALS: Final = TableSpec("seals", (Column("height", "int"),), (Column("proof", "bytes"),))
"""By the height of a sealing block that became final through descendants: those, with the finalization of the last."""
WISHES: Final = TableSpec("wishes", (Column("name", "text"),), (Column("value", "bytes"),))
"""What the operator wants: the validators of the next epoch."""
CHECKPOINTS: Final = TableSpec("checkpoints", (Column("height", "int"),), (Column("checkpoint", "bytes"),))
"""Certified checkpoints by height."""
BATCHES: Final = TableSpec("batches", (Column("digest", "bytes"),), (Column("batch", "bytes"),))
"""Batch bodies by digest: voted on, or fetched for a finalized block."""
LOOSE: Final = TableSpec("loose", (Column("epoch", "int"), Column("digest", "bytes")), ())
"""Bodies that no executed block refers to, by the epoch of their batch: they leave when it is over."""
SPENT: Final = TableSpec("spent", (Column("epoch", "int"), Column("digest", "bytes")), ())
"""Batches of the present epoch that a block has executed: their certificates are of no more use."""

TABLES = (*LEDGER_TABLES, *CHANGE_TABLES, BLOCKS, SEALS, WISHES, CHECKPOINTS, BATCHES, LOOSE, SPENT)
"""All of them."""
