"""What an edge keeps on disk: the transfers it has accepted and that have no fate yet, and what its light client knows.

The key counts up, because sequential keys cost SQLite a tenth of random ones (limits.md rule 5). The transfer's id is
inside: it is the hash of the stored bytes, so the two cannot disagree, and the index is built again at start.
"""

from __future__ import annotations

from supervm.common.contract.records import Column, TableSpec
from supervm.common.parts.light_memory import TRUST_TABLES

PENDING = "pending"
"""Accepted transfers: number -> canonical signed bytes; deleted when the transfer is in a block, refused or expired."""

PENDING_TABLE = TableSpec(PENDING, (Column("number", "int"),), (Column("transfer", "bytes"),))

TABLES = (PENDING_TABLE, *TRUST_TABLES)
"""Tables of an edge."""
