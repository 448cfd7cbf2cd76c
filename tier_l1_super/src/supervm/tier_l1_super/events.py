"""What a validator says beside what every node does (`supervm.common.parts.events`)."""

from __future__ import annotations

from msgspec import UnsetType

from supervm.common.contract.events import Event, Level


class Accusation(Event, frozen=True):
    """Evidence that a validator or a miner broke a rule; said once of each kind and culprit in an epoch.

    Attributes:
        kind: E1 to E7 (consensus.md 2.10).
        validator: who did it, an index of the epoch's validators; unset if it is a miner.
        miner: who did it, a node id; unset if it is a validator.
        evidence: the encoded object, hexadecimal, as ``supervm evidence`` reads it.
    """

    NAME = "evidence"
    LEVEL = "warning"

    kind: str
    validator: int | UnsetType
    miner: str | UnsetType
    evidence: str


class Fork(Event, frozen=True):
    """The network has finalized two blocks that exclude each other; the node stops.

    Attributes:
        reason: which, for people.
    """

    NAME = "fork"
    LEVEL = "error"

    reason: str


class Solvency(Event, frozen=True):
    """A certified transaction could not be executed, which certification should make impossible.

    Attributes:
        transaction: its id, hexadecimal.
        height: of the block that refers to it.
    """

    NAME = "solvency"
    LEVEL = "error"

    transaction: str
    height: int


class Executed(Event, frozen=True):
    """A block was executed here.

    Attributes:
        height: of the block.
        receipts: transactions in it that were executed.
        state_root: of the state after it, hexadecimal.
    """

    NAME = "executed"

    height: int
    receipts: int
    state_root: str

    @property
    def level(self) -> Level:
        """Debug for the beat of an idle chain, which would fill the log."""
        return "info" if self.receipts else "debug"


class Epoch(Event, frozen=True):
    """An epoch has begun.

    Attributes:
        number: of the epoch.
        validators: how many there are.
        changed: whether they are others than before.
        validator: this node's index among them; None if it has none.
    """

    NAME = "epoch"

    number: int
    validators: int
    changed: bool
    validator: int | None


class NoSeat(Event, frozen=True):
    """This node only follows.

    Attributes:
        epoch: in which.
        reason: why, for people.
    """

    NAME = "no-seat"
    LEVEL = "warning"

    epoch: int
    reason: str


class AmnesiaOver(Event, frozen=True):
    """A validator that had lost its log has heard enough to know from which epoch on it may vote again.

    Attributes:
        epoch: the first one in which it votes.
    """

    NAME = "amnesia-over"

    epoch: int


class DatabaseOlderThanLog(Event, frozen=True):
    """The database was restored: it lacks what the log says it held, so this node does not vote.

    Attributes:
        reason: what it lacks, for people.
    """

    NAME = "database-older-than-log"
    LEVEL = "error"

    reason: str


class Conflict(Event, frozen=True):
    """A second transaction came for a slot that is promised to another.

    Attributes:
        sender: whose slot, a key in hexadecimal.
        seq: number of the slot.
        id: of the transaction that was refused, hexadecimal.
    """

    NAME = "conflict"

    sender: str
    seq: int
    id: str
