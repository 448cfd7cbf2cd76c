"""The history of headers on disk: what a start, a proof and another header cost, against how many there are.

One database grows from the smallest number to the largest, and each is measured on the way. A proof is of a header
drawn at random, read node by node, under the root of all; the limit of proofs is to read as many rows of the same table
by their keys, without making anything of them.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from supervm.protocol.base.hashing import hasher

from ..contract.records import Record
from ..errors import CommonError
from ..parts.history import History
from ..parts.ledger_tables import HISTORY, LEDGER, LEDGER_TABLES, LedgerRow
from ..storage.sql import SqlStore
from .measure import BenchOptions, Row, interleaved, rate_row, short
from .procfs import folder_bytes

SIZES = (1_000, 10_000, 100_000, 1_000_000)
SIZES_QUICK = (1_000, 10_000)
WRITE_HEADERS = 1_000
"""Headers in one write while the history grows."""
PROOFS = 300
_hash = hasher(b"svm.bench")


def run(options: BenchOptions) -> list[Row]:
    """Measure at every size; the disk must hold about 120 bytes for each header."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="supervm-bench-", dir=options.directory) as folder:
        store = SqlStore(Path(folder) / "history.db", LEDGER_TABLES)
        try:
            history = History(store)
            history.load(0)
            for size in SIZES_QUICK if options.quick else SIZES:
                options.progress(f"{size} headers")
                _grow(store, history, size)
                rows += _measure(options, store, Path(folder), size)
        finally:
            store.close()
    return rows


def _grow(store: SqlStore, history: History, size: int) -> None:
    while history.size < size:
        records: list[Record] = []
        for _ in range(min(WRITE_HEADERS, size - history.size)):
            records += history.append(_hash(history.size.to_bytes(8, "big")))
        store.commit([*records, LEDGER.put(LedgerRow("applied_height", history.size))])


def _measure(options: BenchOptions, store: SqlStore, folder: Path, size: int) -> list[Row]:
    rng = random.Random(size)  # noqa: S311 - which headers are proved
    loaded = _loaded(store, size)
    heights = [rng.randrange(size) for _ in range(PROOFS)]
    reads = 0

    def prove() -> int:
        for height in heights:
            if loaded.prove(height, size) is None:
                raise CommonError(f"the header of height {height} of {size} cannot be proved")
        return PROOFS

    proof = loaded.prove(heights[0], size)
    nodes = 0 if proof is None else len(proof.hashes)
    positions = [rng.randrange(2 * size - 64) for _ in range(PROOFS * nodes)]

    def read() -> int:
        nonlocal reads
        for position in positions:
            reads += HISTORY.get(store, position) is not None
        return PROOFS

    rates = interleaved({"ours": prove, "limit": read}, options.rounds)
    starts = [_seconds(lambda: _loaded(store, size)) for _ in range(options.rounds)]
    return [
        rate_row(f"history.prove.of{size}", "proofs/s", rates["ours"], rates["limit"]),
        Row(f"history.start.of{size}", short(statistics.median(starts) * 1e3), "ms", None, None, options.rounds),
        Row(f"history.disk.of{size}", short(folder_bytes(folder) / size), "bytes/header", None, None, size),
    ]


def _loaded(store: SqlStore, size: int) -> History:
    history = History(store)
    if not history.load(size):
        raise CommonError(f"the history of {size} headers is not on the disk it was written to")
    return history


def _seconds(work: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s
