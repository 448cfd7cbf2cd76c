"""The changes of validators that a node can prove to light clients (consensus.md 5, epoch ratchet)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from supervm.protocol.base.codec import decode, encode
from supervm.protocol.chain.checkpoint import CertifiedCheckpoint
from supervm.protocol.chain.validators import ValidatorList
from supervm.protocol.light.client import ValidatorChange
from supervm.protocol.wire.payments import CHANGES_MAX, ValidatorChanges

from ..contract.core import Outbox
from ..contract.records import Reader
from ..contract.tables import PrimaryKey, Table, TableRow


class ChangeRow(TableRow, frozen=True):
    """A `ValidatorChange`, by the height of the sealing checkpoint that hands over to other validators."""

    height: PrimaryKey[int]
    change: bytes


CHANGES: Final = Table("validator_changes", ChangeRow)
CHANGE_TABLES: Final = (CHANGES,)
"""Tables of a node that knows the changes of validators."""


class ChangeStore:
    """Every change of validators since genesis, oldest first; they are rare, so all are in memory.

    Args:
        reader: durable state, with `CHANGE_TABLES`.
        outbox: where records go.
    """

    def __init__(self, reader: Reader, outbox: Outbox) -> None:
        self._outbox = outbox
        self._changes = {row.height: row.change for row in CHANGES.rows(reader)}

    def sealed(self, checkpoint: CertifiedCheckpoint, following: ValidatorList) -> None:
        """Note a certified sealing checkpoint and who validates after it; it is a change only if the set is another."""
        header = checkpoint.header
        if header.next_validators_hash != header.validators_hash:
            self.add(ValidatorChange(1, checkpoint, following))

    def add(self, change: ValidatorChange) -> None:
        """Note a change that has been verified."""
        height = change.checkpoint.header.height
        if height not in self._changes:
            self._changes[height] = encode(change)
            self._outbox.persist(CHANGES.put(ChangeRow(height, self._changes[height])))

    def forget_all_but(self, changes: Sequence[ValidatorChange], *, above: int) -> None:
        """Forget those above a height that are not among `changes`: they do not lead on from the anchor there."""
        kept = {change.checkpoint.header.height for change in changes}
        for height in [height for height in self._changes if height >= above and height not in kept]:
            del self._changes[height]
            self._outbox.persist(CHANGES.delete(height))

    def all(self) -> list[ValidatorChange]:
        """Return every change, oldest first."""
        return [decode(ValidatorChange, raw) for _, raw in sorted(self._changes.items())]

    def answer(self, after_height: int) -> ValidatorChanges:
        """Return the oldest changes above a height."""
        found = [raw for height, raw in sorted(self._changes.items()) if height > after_height]
        return ValidatorChanges(tuple(found[:CHANGES_MAX]))
