"""What a ledger keeps on disk (`ledger.Ledger`)."""

from __future__ import annotations

from typing import Final

from ..contract.records import Reader
from ..contract.tables import PrimaryKey, Table, TableRow


class LeafRow(TableRow, frozen=True):
    """A leaf of the state by its id, kept since the base that the state began with: height 0, or that of a snapshot.

    An empty value says that a leaf of the first state is gone.
    """

    since: PrimaryKey[int]
    leaf_id: PrimaryKey[bytes]
    value: bytes


class HeaderRow(TableRow, frozen=True):
    """An executed block: the `CheckpointHeader` that followed, and the block's `BlockHeader`."""

    height: PrimaryKey[int]
    checkpoint: bytes
    block: bytes


class HistoryRow(TableRow, frozen=True):
    """A node of the history of headers, by its position (`protocol.state.mmr.mmr_position`)."""

    position: PrimaryKey[int]
    node: bytes


class ReceiptsRow(TableRow, frozen=True):
    """The `BlockReceipts` of a block that executed transactions."""

    height: PrimaryKey[int]
    receipts: bytes


class ReceiptIndexRow(TableRow, frozen=True):
    """Where the receipt of a transaction is, by the first 63 bits of the transaction's id (`short_id`)."""

    short_id: PrimaryKey[int]
    height: PrimaryKey[int]
    position: PrimaryKey[int]


class LedgerRow(TableRow, frozen=True):
    """A number by its name: ``applied_height``, ``base_height`` and other heights."""

    name: PrimaryKey[str]
    value: int


class FeesRow(TableRow, frozen=True):
    """What the tiers were given of an asset's fees since the base that the state began with."""

    since: PrimaryKey[int]
    asset: PrimaryKey[bytes]
    l1: int
    l2: int
    l3: int
    l4: int


class EpochRow(TableRow, frozen=True):
    """An `EpochRecord` from the second epoch on, or from the first proposal; and the list that the chain proposes."""

    number: PrimaryKey[int]
    epoch: bytes
    proposed: bytes | None


class SnapshotRow(TableRow, frozen=True):
    """``base``: the `SnapshotStart` that the state began with; the other names are `snapshot.taking`'s."""

    name: PrimaryKey[str]
    value: bytes


LEAVES: Final = Table("leaves", LeafRow)
HEADERS: Final = Table("headers", HeaderRow)
HISTORY: Final = Table("history", HistoryRow)
BLOCK_RECEIPTS: Final = Table("receipts", ReceiptsRow)
RECEIPT_INDEX: Final = Table("receipt_index", ReceiptIndexRow)
LEDGER: Final = Table("ledger", LedgerRow)
FEES: Final = Table("fees", FeesRow)
EPOCHS: Final = Table("epochs", EpochRow)
SNAPSHOT: Final = Table("snapshot", SnapshotRow)

LEDGER_TABLES: Final = (LEAVES, HEADERS, HISTORY, BLOCK_RECEIPTS, RECEIPT_INDEX, LEDGER, FEES, EPOCHS, SNAPSHOT)
"""Tables a node with a ledger adds to its own."""


def short_id(transaction_id: bytes) -> int:
    """Return the first 63 bits of an id: an integer key costs a third of a 32-byte one (limits.md rule 5)."""
    return int.from_bytes(transaction_id[:8], "big") >> 1


def stored_number(reader: Reader, name: str) -> int:
    """Return a number of the table ``ledger``, 0 if it has none of this name."""
    row = LEDGER.get(reader, name)
    return 0 if row is None else row.value
