"""What the root keeps on disk: the records of all nodes that are told to it, so that a restart forgets nobody.

A record is written down when its node says something new of where it is, and else now and then: how often a node says
something is its own choice, how often the disk is written is ours.
"""

from __future__ import annotations

from typing import Final

from supervm.protocol.base.errors import RemoteProtocolError
from supervm.protocol.reach.record import NodeRecord, read_record

from ...contract.core import Outbox
from ...contract.records import Reader
from ...contract.tables import PrimaryKey, Table, TableRow
from .table import RecordTable

KEEP_MS: Final = 600_000
"""A record that says nothing new of where its node is is written down again after so long."""


class DirectoryRow(TableRow, frozen=True):
    """A node of the network.

    Attributes:
        node_id: whose record.
        source: network of who brought it.
        record: its bytes.
    """

    node_id: PrimaryKey[bytes]
    source: str
    record: bytes


DIRECTORY: Final = Table("directory", DirectoryRow)


class Root:
    """Keeps a table's records on disk.

    Args:
        outbox: where the writes go.
        reader: durable state to start from.
        table: what is kept.
    """

    def __init__(self, outbox: Outbox, reader: Reader, table: RecordTable) -> None:
        self._outbox, self._reader, self._table = outbox, reader, table
        self._kept: dict[bytes, NodeRecord] = {}

    def restore(self, now_ms: int) -> None:
        """Take up what is on disk; what has ended or cannot be read is deleted."""
        for row in DIRECTORY.rows(self._reader):
            try:
                record = read_record(row.record)
            except RemoteProtocolError:
                record = None
            if record is None or record.expires_ms <= now_ms or self._table.put(record, row.record, row.source) is None:
                self._outbox.persist(DIRECTORY.delete(row.node_id))
            else:
                self._kept[row.node_id] = record

    def keep(self, record: NodeRecord, raw: bytes, source: str) -> None:
        """Write a record down, unless one that says the same of where its node is was written a moment ago."""
        kept = self._kept.get(record.node_id)
        if kept is not None and _place_of(kept) == _place_of(record) and record.counter < kept.counter + KEEP_MS:
            return
        self._kept[record.node_id] = record
        self._outbox.persist(DIRECTORY.put(DirectoryRow(record.node_id, source, raw)))

    def settle(self) -> None:
        """Delete who is in the table no more."""
        for node_id in self._table.forgotten:
            if self._table.peek(node_id) is None and self._kept.pop(node_id, None) is not None:
                self._outbox.persist(DIRECTORY.delete(node_id))
        self._table.forgotten.clear()


def _place_of(record: NodeRecord) -> tuple[object, ...]:
    return record.tier, record.region, record.endpoints, record.home_edges, record.box_key
