"""Which batch bodies are on disk, and when they leave it (consensus.md 3.2).

A body is stored with the first vote that promises anything for it, or when it was fetched for a block. It is *loose*
until a block that refers to it is executed; what is loose when its epoch is over leaves, since nothing will ever refer
to it: votes and certificates count in their own epoch only (3.7). A batch that a block of the present epoch has
executed is *spent*: another certificate of it brings nothing, and costs a look-up.
"""

from __future__ import annotations

from collections.abc import Iterable

from supervm.common.contract.core import Outbox
from supervm.common.contract.records import Reader, Record
from supervm.protocol.base.codec import encode
from supervm.protocol.chain.batch import Batch, BatchHeader

from ..tables import BATCHES, LOOSE, SPENT, BatchRow, LooseRow, SpentRow


def body_records(batch: Batch, raw: bytes | None = None) -> tuple[Record, ...]:
    """Return what makes a body durable that no executed block refers to as yet; `raw` is its encoding if it is here."""
    digest = batch.header.digest
    stored = BATCHES.put(BatchRow(digest, encode(batch) if raw is None else raw))
    return (stored, LOOSE.put(LooseRow(batch.header.epoch, digest)))


class Bodies:
    """The fates of the bodies on disk.

    Args:
        reader: what is durable.
        outbox: where records go.
    """

    def __init__(self, reader: Reader, outbox: Outbox) -> None:
        self._reader, self._outbox = reader, outbox
        self._spent: dict[bytes, None] = {}  # in this step's and the last steps' writes, maybe not durable yet

    def executed(self, headers: Iterable[BatchHeader]) -> None:
        """A block that refers to these batches has been executed."""
        for header in headers:
            self._spent[header.digest] = None
            self._outbox.persist(
                LOOSE.delete(header.epoch, header.digest), SPENT.put(SpentRow(header.epoch, header.digest))
            )
        while len(self._spent) > SPENT_MAX:
            del self._spent[next(iter(self._spent))]

    def is_spent(self, header: BatchHeader) -> bool:
        """Return whether a block has executed this batch in its epoch."""
        digest = header.digest
        return digest in self._spent or SPENT.get(self._reader, header.epoch, digest) is not None

    def enter_epoch(self, epoch: int) -> None:
        """Drop the bodies of epochs that are over to which nothing refers.

        The last blocks' writes may still be under way, so on disk a body can look loose that one of them refers to.
        """
        for row in LOOSE.rows(self._reader):
            if row.epoch >= epoch:
                break
            # a body that was fetched once more after its block is loose and spent
            if row.digest not in self._spent and SPENT.get(self._reader, row.epoch, row.digest) is None:
                self._outbox.persist(BATCHES.delete(row.digest))
        self._spent.clear()
        self._outbox.persist(LOOSE.delete_below(epoch), SPENT.delete_below(epoch))


SPENT_MAX = 4_096
"""Executed batches that are remembered in memory: their records may not be durable yet."""
