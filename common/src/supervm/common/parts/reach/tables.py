"""What a node keeps on disk of others: only nodes that it has dialled, and how far it has counted its own records."""

from __future__ import annotations

from typing import Final

from ...contract.tables import PrimaryKey, Table, TableRow


class ProvenRow(TableRow, frozen=True):
    """A node that answered at an address when it was dialled there.

    Attributes:
        node_id: whose.
        endpoint: where it answered last.
        proven_us: when.
        lasted_us: how long the longest link to it stood.
        anchor: 1 if it was one of the peers that had been up longest.
        record: its newest record.
    """

    node_id: PrimaryKey[bytes]
    endpoint: str
    proven_us: int
    lasted_us: int
    anchor: int
    record: bytes


class CounterRow(TableRow, frozen=True):
    """Our own records have counters up to this one at most."""

    number: PrimaryKey[int]
    reserved: int


PROVEN: Final = Table("reach_proven", ProvenRow)
COUNTER: Final = Table("reach_counter", CounterRow)
REACH_TABLES: Final = (PROVEN, COUNTER)
"""Tables of a node that finds its peers."""
