"""Tables of an L1 node's database: full history, and the ledger's own."""

from __future__ import annotations

from supervm.common.contract.records import Column, TableSpec
from supervm.common.parts.ledger import LEDGER_TABLES
from supervm.common.parts.validator_changes import CHANGE_TABLES

TABLES = (
    *LEDGER_TABLES,
    *CHANGE_TABLES,
    # finalized blocks; `finalization` is set where a finalization of exactly that block is known
    TableSpec(
        "blocks", (Column("height", "int"),), (Column("block", "bytes"), Column("finalization", "bytes", nullable=True))
    ),
    # by the height of a sealing block that became final through descendants: those, with the finalization of the last
    TableSpec("seals", (Column("height", "int"),), (Column("proof", "bytes"),)),
    # what the operator wants: the validators of the next epoch
    TableSpec("wishes", (Column("name", "text"),), (Column("value", "bytes"),)),
    # certified checkpoints by height
    TableSpec("checkpoints", (Column("height", "int"),), (Column("checkpoint", "bytes"),)),
    # batch bodies by digest: voted on, or fetched for a finalized block
    TableSpec("batches", (Column("digest", "bytes"),), (Column("batch", "bytes"),)),
    # bodies that no executed block refers to, by the epoch of their batch: they leave when it is over
    TableSpec("loose", (Column("epoch", "int"), Column("digest", "bytes")), ()),
    # batches of the present epoch that a block has executed: their certificates are of no more use
    TableSpec("spent", (Column("epoch", "int"), Column("digest", "bytes")), ()),
)
