"""What an edge keeps on disk: the transactions accepted that have no fate yet, what its light client knows, and peers.

The key counts up, because sequential keys cost SQLite a tenth of random ones (limits.md rule 5). The transaction's id
is inside: it is the hash of the stored bytes, so the two cannot disagree, and the index is built again at start.
"""

from __future__ import annotations

from typing import Final

from supervm.common.contract.tables import PrimaryKey, Table, TableRow
from supervm.common.parts.light_tables import TRUST_TABLES
from supervm.common.parts.reach.tables import REACH_TABLES


class PendingRow(TableRow, frozen=True):
    """An accepted transaction, as its canonical signed bytes; it leaves when it is in a block, refused or expired."""

    number: PrimaryKey[int]
    raw: bytes


PENDING: Final = Table("pending", PendingRow)

TABLES: Final = (PENDING, *TRUST_TABLES, *REACH_TABLES)
"""Tables of an edge."""
