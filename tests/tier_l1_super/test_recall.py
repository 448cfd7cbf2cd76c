"""A database that is older than the write-ahead log makes an observer (consensus.md 2.2, 2.8)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from supervm.common.contract.records import Append, Prune
from supervm.common.parts.ledger import Ledger
from supervm.common.parts.ledger_tables import LEDGER, LedgerRow
from supervm.common.storage.memory import MemoryStore
from supervm.protocol.base.hashing import ZERO_HASH
from supervm.tier_l1_super.consensus.recall import NOTHING_HELD, Floors, held_by, highest, recall
from supervm.tier_l1_super.consensus.simplex.promises import (
    BatchPromise,
    CheckpointPromise,
    ClosePromise,
    LogFloor,
    NullifyPromise,
    Promise,
    decode_promise,
    encode_promise,
)
from supervm.tier_l1_super.tables import BATCHES, TABLES, BatchRow

DIGEST = b"b" * 32
VOTE = BatchPromise(1, 3, DIGEST, 8, b"\xff")


def store(log: list[Promise], *, finalized: int = 0, certified: int = 0, batch: bool = True) -> MemoryStore:
    made = MemoryStore(TABLES)
    made.commit(
        [
            LEDGER.put(LedgerRow("finalized_height", finalized)),
            LEDGER.put(LedgerRow("certified_height", certified)),
            *([BATCHES.put(BatchRow(DIGEST, b"body"))] if batch else []),
            *(Append(encode_promise(item)) for item in log),
        ]
    )
    made.reopen()
    return made


def at(height: int) -> Ledger:
    return cast(Ledger, SimpleNamespace(height=height))


LOG: list[Promise] = [LogFloor(1, 20, 18, 19), NullifyPromise(1, 3, 40), CheckpointPromise(1, 21, ZERO_HASH)]


@pytest.mark.parametrize(
    ("log", "finalized", "certified", "executed", "batch", "doubt"),
    [
        ([], 0, 0, 0, True, ""),
        (LOG, 20, 18, 19, True, ""),
        (LOG, 25, 24, 25, True, ""),
        (LOG, 19, 18, 19, True, "height 20 finalized, this one has 19"),
        (LOG, 20, 17, 19, True, "height 18 certified, this one has 17"),
        (LOG, 20, 18, 18, True, "height 19 executed, this one has 18"),
        (LOG, 0, 0, 0, True, "height 20 finalized, this one has 0"),
        ([*LOG, LogFloor(1, 20, 18, 22)], 25, 20, 21, True, "height 22 executed, this one has 21"),
        ([*LOG, LogFloor(1, 1, 1, 22)], 19, 20, 23, True, "height 20 finalized"),
        ([*LOG, VOTE], 20, 18, 19, True, ""),
        ([*LOG, VOTE], 20, 18, 19, False, "batch 6262626262626262, which the database lacks"),
        ([*LOG, BatchPromise(1, 2, DIGEST, 8, b"\xff")], 20, 18, 19, False, ""),  # of an epoch that is over
        ([NullifyPromise(1, 4, 1)], 90, 90, 90, True, "promises of epoch 4, the database stands in epoch 3"),
        # written before there were floors: nothing shows but a later epoch, or a batch that is not there
        ([NullifyPromise(1, 3, 1), ClosePromise(1, 3)], 0, 0, 0, True, ""),
        ([VOTE], 0, 0, 0, False, "which the database lacks"),
    ],
)
def test_what_shows_that_the_tables_are_older(
    log: list[Promise], finalized: int, certified: int, executed: int, batch: bool, doubt: str
) -> None:
    reader = store(log, finalized=finalized, certified=certified, batch=batch)
    found = recall(reader, at(executed), 3)
    assert held_by(reader, at(executed)) == LogFloor(1, finalized, certified, executed)
    if doubt:
        assert doubt in found.doubt
        assert found.promises == ()
    else:
        assert (found.doubt, list(found.promises)) == ("", log)
        assert found.floor == highest(item for item in log if isinstance(item, LogFloor))


def test_a_floor_goes_along_when_execution_has_gone_on() -> None:
    ledger = at(5)
    floors = Floors(ledger, lambda: 7, lambda: 4, None)
    (first,) = floors.news()
    assert decode_promise(first.payload) == LogFloor(1, 7, 4, 5)
    assert floors.news() == ()
    ledger = cast(Ledger, ledger)
    ledger.height = 6  # type: ignore[misc]
    assert decode_promise(floors.begin()) == LogFloor(1, 7, 4, 6)
    assert floors.news() == ()
    assert Floors(ledger, lambda: 7, lambda: 4, LogFloor(1, 0, 0, 6)).news() == ()


def test_a_rewrite_keeps_the_newest_floor_only() -> None:
    made = store(LOG, finalized=30, certified=30)
    made.commit([Prune((encode_promise(LogFloor(1, 30, 30, 30)),)), Append(encode_promise(VOTE))])
    made.reopen()
    assert recall(made, at(30), 3).floor == LogFloor(1, 30, 30, 30)
    assert recall(made, at(29), 3).doubt
    assert held_by(store([]), at(0)) == NOTHING_HELD
