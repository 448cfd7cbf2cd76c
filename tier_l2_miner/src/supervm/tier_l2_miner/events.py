"""What a miner says beside what every node does (`supervm.common.parts.events`)."""

from __future__ import annotations

from supervm.common.contract.events import Event


class Batch(Event, frozen=True):
    """A batch was made and is on its way to the validators.

    Attributes:
        digest: of its header, hexadecimal.
        transactions: how many are in it.
        bytes: size of its transactions.
    """

    NAME = "batch"
    LEVEL = "debug"

    digest: str
    transactions: int
    bytes: int


class Certificate(Event, frozen=True):
    """A batch was closed: its certificate is made.

    Attributes:
        digest: of the batch's header, hexadecimal.
        certified: its transactions that a quorum voted for.
        transactions: how many are in it.
    """

    NAME = "certificate"
    LEVEL = "debug"

    digest: str
    certified: int
    transactions: int


class Executed(Event, frozen=True):
    """A block with transactions was executed here.

    Attributes:
        height: of the block.
        transactions: how many were executed.
    """

    NAME = "executed"
    LEVEL = "debug"

    height: int
    transactions: int


class Solvency(Event, frozen=True):
    """Certified transactions could not be executed, which certification should make impossible.

    Attributes:
        height: of the block that refers to them.
        transactions: how many.
    """

    NAME = "solvency"
    LEVEL = "error"

    height: int
    transactions: int


class Epoch(Event, frozen=True):
    """Other validators, or the same anew, vote from now on.

    Attributes:
        number: of the epoch.
        validators: how many there are.
    """

    NAME = "epoch"

    number: int
    validators: int
