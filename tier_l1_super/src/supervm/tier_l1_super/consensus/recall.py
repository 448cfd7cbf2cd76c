"""What a validator may rely on at its start: its write-ahead log, beside tables that are new enough (2.2, 2.8).

Theory of operation. The log is pruned by what the tables hold: a vote of a view at or below the durable finalization
is forgotten, and so are checkpoint votes up to the certified height and batch votes whose transactions are executed.
Put an older database beside today's log - a backup that was restored - and those promises are in neither: the node
would vote anew where it has voted before, and sign evidence against itself. So each rewrite of the log says how far the
tables had come (`LogFloor`), and a database below that makes an observer, as if the log were lost.

What is above the floor is in the log, so an older database that is not below it does no harm, with one exception: a
promised slot hangs on what was executed when it was promised, and on the batch, which is in the tables. Hence a floor
goes along with batch votes, and a promised batch that the tables lack shows an older database, too.

The question is asked at each start and not remembered. The log is whole, so once the database has followed the chain
beyond the floor and nothing that it lacks is promised in the present epoch, nothing is missing any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from supervm.common.contract.records import Append, Reader
from supervm.common.parts.ledger import Ledger
from supervm.common.parts.ledger_tables import stored_number

from ..tables import BATCHES
from .simplex.promises import (
    BatchPromise,
    ConsensusPromise,
    LogFloor,
    Promise,
    decode_promise,
    encode_promise,
    epoch_of,
)

P = TypeVar("P", bound=Promise)

NOTHING_HELD = LogFloor(1, 0, 0, 0)
"""What the tables of a new node hold."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """What the log says.

    Attributes:
        promises: what was promised; nothing if `doubt` is set.
        doubt: why the tables are older than the log; empty if they are not.
        floor: what the log says of the tables that belong to it; None in an empty log, and in one that was written
            before there were floors: of those, only an older epoch can be noticed.
    """

    promises: tuple[Promise, ...]
    doubt: str
    floor: LogFloor | None


def held_by(reader: Reader, ledger: Ledger) -> LogFloor:
    """Return how far the durable tables have come."""
    return LogFloor(
        1, stored_number(reader, "finalized_height"), stored_number(reader, "certified_height"), ledger.height
    )


def recall(reader: Reader, ledger: Ledger, epoch: int) -> Recalled:
    """Read the log and compare it with the tables.

    Args:
        reader: durable state, as found at the start.
        ledger: the executed chain, as found at the start.
        epoch: the epoch in which consensus stands by these tables.

    Raises:
        LocalProtocolError: a record of the log cannot be read.
    """
    promises = tuple(decode_promise(payload) for payload in reader.log())
    floor = highest(item for item in promises if isinstance(item, LogFloor))
    doubt = _doubt(promises, floor, held_by(reader, ledger), reader, epoch)
    return Recalled(() if doubt else promises, doubt, floor)


def highest(floors: Iterable[LogFloor]) -> LogFloor | None:
    """Return the floor that asks for the most, height by height; None if there is none."""
    found = list(floors)
    if not found:
        return None
    return LogFloor(
        1,
        max(item.finalized_height for item in found),
        max(item.certified_height for item in found),
        max(item.executed_height for item in found),
    )


def _doubt(promises: Sequence[Promise], floor: LogFloor | None, held: LogFloor, reader: Reader, epoch: int) -> str:
    """Return what shows that the tables are older than the log, or nothing."""
    later = [epoch_of(item) for item in promises if isinstance(item, ConsensusPromise) and epoch_of(item) > epoch]
    if later:
        return f"the log holds promises of epoch {max(later)}, the database stands in epoch {epoch}"
    if floor is not None:
        for what, needed, found in (
            ("finalized", floor.finalized_height, held.finalized_height),
            ("certified", floor.certified_height, held.certified_height),
            ("executed", floor.executed_height, held.executed_height),
        ):
            if found < needed:
                return f"the log belongs to a database with height {needed} {what}, this one has {found}"
    for item in promises:
        if isinstance(item, BatchPromise) and item.epoch == epoch and BATCHES.get(reader, item.digest) is None:
            return f"the log holds a vote on batch {item.digest.hex()[:16]}, which the database lacks"
    return ""


class Floors:
    """Makes the floors of one node's log.

    Args:
        ledger: the executed chain.
        finalized: the height of the last finalized block whose write was asked for.
        certified: the height of the last certified checkpoint whose write was asked for.
        floor: that of the log as it was found, None if it has none.
    """

    def __init__(
        self, ledger: Ledger, finalized: Callable[[], int], certified: Callable[[], int], floor: LogFloor | None
    ) -> None:
        self._ledger, self._finalized, self._certified = ledger, finalized, certified
        self._executed_height = -1 if floor is None else floor.executed_height

    def begin(self) -> bytes:
        """Return the record that a rewrite of the log begins with: all writes asked for so far come before it."""
        self._executed_height = self._ledger.height
        return encode_promise(LogFloor(1, self._finalized(), self._certified(), self._executed_height))

    def news(self) -> tuple[Append, ...]:
        """Return what a batch vote appends besides itself: a floor, if execution has gone on since the last one."""
        return (Append(self.begin()),) if self._ledger.height > self._executed_height else ()


@dataclass(frozen=True, slots=True)
class FoundLog:
    """The write-ahead log as a node found it, and how it goes on.

    Attributes:
        promises: what binds the node.
        floors: says beside which tables the log means something.
    """

    promises: Sequence[Promise]
    floors: Floors

    def of_kind(self, kind: type[P]) -> list[P]:
        """Return the promises of one kind, in the order they were made."""
        return [promise for promise in self.promises if isinstance(promise, kind)]
